"""Name objects of our kinds by their paths on the API server."""

from dataclasses import dataclass, field

from imageops.api.kinds import GROUP, VERSION, Kind
from imageops.cluster.paths import ApiPath

SERVED_GROUP = ApiPath.of("apis", GROUP, VERSION)
"""Where the API server tells which of our kinds it serves."""


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """One object: its kind, its name, and the uid that tells it from a former object of that name."""

    kind: Kind
    namespace: str
    name: str
    uid: str
    path: ApiPath = field(init=False, compare=False, repr=False)
    """The object's path."""
    status_path: ApiPath = field(init=False, compare=False, repr=False)
    """The path of its status."""

    def __post_init__(self) -> None:
        """Build the paths once: each write needs one."""
        object.__setattr__(self, "path", collection(self.kind, self.namespace) / self.name)
        object.__setattr__(self, "status_path", self.path / "status")

    @property
    def api_version(self) -> str:
        """The group and version."""
        return f"{GROUP}/{VERSION}"

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}"


def collection(kind: Kind, namespace: str | None = None) -> ApiPath:
    """Return the path of a kind's objects, in one namespace or in all."""
    place = SERVED_GROUP / "namespaces" / namespace if namespace is not None else SERVED_GROUP
    return place / kind.plural


def core_collection(namespace: str, plural: str) -> ApiPath:
    """Return the path of objects of Kubernetes' own core group in a namespace."""
    return ApiPath.of("api", "v1", "namespaces", namespace, plural)
