"""Name objects of our kinds by their paths on the API server."""

from dataclasses import dataclass

from imageops.api.kinds import GROUP, VERSION, Kind


@dataclass(frozen=True, slots=True)
class ObjectKey:
    """One object: its kind, its name, and the uid that tells it from a former object of that name."""

    kind: Kind
    namespace: str
    name: str
    uid: str

    @property
    def path(self) -> str:
        """The object's path."""
        return f"{collection(self.kind, self.namespace)}/{self.name}"

    @property
    def api_version(self) -> str:
        """The group and version."""
        return f"{GROUP}/{VERSION}"

    def __str__(self) -> str:
        return f"{self.kind.kind} {self.namespace}/{self.name}"


def collection(kind: Kind, namespace: str | None = None) -> str:
    """Return the path of a kind's objects, in one namespace or in all."""
    place = f"namespaces/{namespace}/" if namespace is not None else ""
    return f"/apis/{GROUP}/{VERSION}/{place}{kind.plural}"
