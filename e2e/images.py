"""Make the images that the node runs, once for the same content, and keep them in the cache as archives."""

from __future__ import annotations

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from devcluster import parts
from devcluster.locking import locked
from devcluster.parts import Part
from e2e import operator_image
from e2e.archive import RunConfig, write_archive
from e2e.rootfs import add_program, lay_out

FIND = Callable[[Part], Path]
ENGINE_PARTS = (parts.DOCKERD_29, parts.CONTAINERD_2, parts.CONTAINERD_SHIM_2, parts.RUNC, parts.DOCKER_CLI)
"""What the Engine's image has of the official one of its line: nothing that only containers need."""

_HOST = "imageops.test"
_DIGITS = 12
_KEPT = 4
"""Archives of one name; each change of the operator makes another."""
_REGISTRY_CONFIG = {
    "version": 0.1,
    "log": {"level": "info"},
    "storage": {"filesystem": {"rootdirectory": "/var/lib/registry"}},
    "http": {"addr": ":5000"},
}
"""As the official image listens and stores."""
_CODE = ("archive.py", "rootfs.py")
"""Of this package, what every image depends on."""


@dataclass(frozen=True, slots=True)
class NodeImage:
    """An image in an archive. Its tag is made from its content, so that it never names two."""

    repository: str
    tag: str
    archive: Path

    @property
    def reference(self) -> str:
        """Name it as pods do."""
        return f"{self.repository}:{self.tag}"


@dataclass(frozen=True, slots=True)
class NodeImages:
    """What the node has to have before the first pod."""

    operator: NodeImage
    engine: NodeImage
    pause: NodeImage
    registry: NodeImage

    @property
    def all(self) -> tuple[NodeImage, ...]:
        """List them."""
        return (self.operator, self.engine, self.pause, self.registry)


def make_images(cache: Path, find: FIND, say: Callable[[str], None]) -> NodeImages:
    """Make what is not in the cache.

    Raises `NodeError` or `DevClusterError` if something it takes cannot be had.
    """
    cupboard = Cupboard(cache / "images", say)
    programs = {part.program: find(part) for part in ENGINE_PARTS}
    busybox, registry = find(parts.BUSYBOX), find(parts.REGISTRY)

    def lay_out_engine(root: Path, _: Path) -> None:
        lay_out(root)
        for name, program in programs.items():
            add_program(root, program, name)

    def lay_out_pause(root: Path, _: Path) -> None:
        lay_out(root)
        add_program(root, busybox, "busybox")

    def lay_out_registry(root: Path, _: Path) -> None:
        lay_out(root)
        add_program(root, registry, "registry")
        add_program(root, busybox, "wget")
        (root / "etc" / "registry.json").write_text(json.dumps(_REGISTRY_CONFIG), encoding="utf-8")

    path = {"PATH": "/usr/local/bin"}
    versions = [str(program.resolve()).encode() for program in programs.values()]
    return NodeImages(
        operator=cupboard.image(
            "operator", operator_image.inputs(), operator_image.lay_out_operator, operator_image.RUN
        ),
        engine=cupboard.image("engine", versions, lay_out_engine, RunConfig(command=("dockerd",), environment=path)),
        pause=cupboard.image(
            "pause",
            [busybox.read_bytes()],
            lay_out_pause,
            RunConfig(entrypoint=("busybox", "sleep", "infinity"), environment=path),
        ),
        registry=cupboard.image(
            "registry",
            [str(registry.resolve()).encode(), busybox.read_bytes(), json.dumps(_REGISTRY_CONFIG).encode()],
            lay_out_registry,
            RunConfig(
                command=("registry", "serve", "/etc/registry.json"),
                environment={**path, "OTEL_TRACES_EXPORTER": "none"},
            ),
        ),
    )


class Cupboard:
    """Keep archives in a folder, by a hash of what they are made from."""

    def __init__(self, folder: Path, say: Callable[[str], None]) -> None:
        self._folder = folder
        self._say = say

    def image(self, name: str, inputs: Iterable[bytes], lay: Callable[[Path, Path], None], run: RunConfig) -> NodeImage:
        """Return the image of this name that is made from these inputs; `lay` lays out its files."""
        digest = hashlib.sha256()
        for piece in (*_code(), *inputs):
            digest.update(len(piece).to_bytes(8, "big"))
            digest.update(piece)
        tag = digest.hexdigest()[:_DIGITS]
        image = NodeImage(f"{_HOST}/{name}", tag, self._folder / f"{name}-{tag}.tar")
        with locked(self._folder / f"{name}.lock", lambda: self._say(f"{name}: another checkout makes it, waiting")):
            if not image.archive.exists():
                self._say(f"image {image.reference}: making it")
                self._make(image, lay, run)
        return image

    def _make(self, image: NodeImage, lay: Callable[[Path, Path], None], run: RunConfig) -> None:
        work = Path(tempfile.mkdtemp(dir=self._folder))
        try:
            root, partial = work / "root", work / "archive.tar"
            root.mkdir()
            lay(root, work)
            write_archive(partial, root, image.reference, run)
            partial.replace(image.archive)  # by one rename, so that an interrupted run leaves none
        finally:
            shutil.rmtree(work)
        name = image.repository.rpartition("/")[2]
        archives = sorted(self._folder.glob(f"{name}-*.tar"), key=lambda archive: archive.stat().st_mtime)
        for old in archives[:-_KEPT]:
            old.unlink()


def _code() -> Sequence[bytes]:
    return [(Path(__file__).parent / name).read_bytes() for name in _CODE]
