"""Builds happen once, and appear whole or not at all."""

from __future__ import annotations

import json
import threading
from pathlib import Path

import pytest

from devcluster import parts
from devcluster.building import GoBuilder
from devcluster.errors import DevClusterError
from devcluster.parts import GoBuild

assert parts.REGISTRY.go is not None
_REGISTRY = parts.REGISTRY.go

_GO = """#!/bin/sh
echo run >> {folder}/runs
{body}
"""


@pytest.fixture
def go(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Put a tool chain on PATH whose `go install` writes a program; return its folder."""
    folder = tmp_path / "toolchain"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    _teach(folder, 'printf "#!/bin/sh\\n" > "$GOBIN/registry"; chmod +x "$GOBIN/registry"')
    return folder


def _teach(folder: Path, body: str) -> None:
    (folder / "go").write_text(_GO.format(folder=folder, body=body))
    (folder / "go").chmod(0o755)


def test_a_program_is_built_once_and_kept_by_its_version(tmp_path: Path, go: Path) -> None:
    """The second request finds the first one's result, and says so to nobody."""
    lines: list[str] = []
    builder = GoBuilder(tmp_path / "cache", lines.append)
    program = builder.build(_REGISTRY)
    assert program == tmp_path / "cache" / "bin" / f"registry-{parts.REGISTRY_VERSION}"
    assert builder.build(_REGISTRY) == program
    assert (go / "runs").read_text().count("run") == 1
    assert lines[0] == f"registry-{parts.REGISTRY_VERSION}: building, 0:00 of about 1.5 min"


def test_two_checkouts_do_not_build_the_same_program_twice(tmp_path: Path, go: Path) -> None:
    """The second waits for the first one's result."""
    threads = [threading.Thread(target=GoBuilder(tmp_path / "cache", print).build, args=(_REGISTRY,)) for _ in range(2)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert (go / "runs").read_text().count("run") == 1


def test_a_failed_build_shows_the_compilers_words_and_leaves_no_program(tmp_path: Path, go: Path) -> None:
    """What a broken build wrote is not taken for a program, and the next try starts afresh."""
    _teach(go, 'echo half > "$GOBIN/registry"; echo "undefined: x" >&2; exit 1')
    builder = GoBuilder(tmp_path / "cache", print)
    with pytest.raises(DevClusterError, match="undefined: x"):
        builder.build(_REGISTRY)
    assert builder.cached(_REGISTRY) is None
    _teach(go, 'test ! -e "$GOBIN/registry" && printf "#!/bin/sh\\n" > "$GOBIN/registry"; chmod +x "$GOBIN/registry"')
    assert builder.build(_REGISTRY) == builder.cached(_REGISTRY)


def test_without_a_tool_chain_the_error_says_what_to_install(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody has to guess what is missing."""
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(DevClusterError, match=r"takes Go .* on PATH"):
        GoBuilder(tmp_path / "cache", print).build(_REGISTRY)


def test_a_module_with_replace_lines_is_built_by_a_module_that_repeats_them(tmp_path: Path, go: Path) -> None:
    """Published versions stand in for folders; what the module itself replaces stays replaced."""
    required = [{"Path": "example.dev/beside", "Version": "v0.0.0"}, {"Path": "example.dev/api", "Version": "v1.2.3"}]
    replaced = [
        {"Old": {"Path": "example.dev/beside"}, "New": {"Path": "./beside"}},
        {"Old": {"Path": "example.dev/api"}, "New": {"Path": "./api"}},
        {"Old": {"Path": "example.dev/fork"}, "New": {"Path": "example.dev/forked", "Version": "v4.5.6"}},
    ]
    (go / "module.json").write_text(json.dumps({"Go": "1.26", "Require": required, "Replace": replaced}))
    _teach(
        go,
        f"""case "$2" in
        download) echo '{{"GoMod": "x"}}' ;;
        edit) cat {go}/module.json ;;
        tidy) cp go.mod {go}/written ;;
        *) printf "#!/bin/sh\n" > "$5"; chmod +x "$5" ;;
        esac""",
    )
    module = GoBuild("example.dev/tool", "v1.7.0", "example.dev/tool/cmd/tool", minutes=1, staging=True)
    GoBuilder(tmp_path / "cache", print).build(module)
    written = (go / "written").read_text().splitlines()
    assert [line for line in written if line.startswith("replace")] == [
        "replace example.dev/beside => example.dev/beside v0.7.0",
        "replace example.dev/fork => example.dev/forked v4.5.6",
    ]


def test_a_program_of_this_tree_is_built_in_its_own_folder(tmp_path: Path, go: Path) -> None:
    """Its version follows from its files, and the build is left to its own go.mod."""
    assert parts.KSTATUS.go is not None
    _teach(go, 'pwd > "{folder}/pwd"; printf "#!/bin/sh\\n" > "$5"; chmod +x "$5"'.replace("{folder}", str(go)))
    program = GoBuilder(tmp_path / "cache", print).build(parts.KSTATUS.go)
    assert program.name == f"kstatus-{parts.KSTATUS.go.version}"
    assert (go / "pwd").read_text().strip() == str(parts.KSTATUS.go.source)


def test_a_module_with_its_requirements_in_vendor_mod_is_built_from_a_copy(tmp_path: Path, go: Path) -> None:
    """The copy has a go.mod, and what the tool chain keeps stays as it was."""
    assert parts.DOCKER_CLI.go is not None
    module = tmp_path / "module"
    (module / "cmd").mkdir(parents=True)
    for name in ("vendor.mod", "vendor.sum", "cmd/main.go"):
        (module / name).write_text(name)
    _teach(
        go,
        f"""test "$1" = mod && echo '{{"Dir": "{module}"}}' && exit
cat go.mod cmd/main.go > "{go}/seen"; printf "#!/bin/sh\\n" > "$6"; chmod +x "$6\"""",
    )
    program = GoBuilder(tmp_path / "cache", print).build(parts.DOCKER_CLI.go)
    assert program.name == f"docker-{parts.DOCKER_CLI_VERSION}"
    assert (go / "seen").read_text() == "vendor.modcmd/main.go"
    assert sorted(path.name for path in module.iterdir()) == ["cmd", "vendor.mod", "vendor.sum"]


def test_an_edit_of_a_program_of_this_tree_is_another_version(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that no test runs what was built before the edit."""
    (tmp_path / "tool").mkdir()
    for name in ("go.mod", "go.sum", "main.go"):
        (tmp_path / "tool" / name).write_text("first")
    monkeypatch.setattr(parts, "CHECKOUT", tmp_path)
    first = parts._own("tool", minutes=1, accepts="x")
    (tmp_path / "tool" / "main.go").write_text("second")
    second = parts._own("tool", minutes=1, accepts="x")
    assert first.go is not None
    assert second.go is not None
    assert first.go.cache_name != second.go.cache_name
