"""Match the name of an entry in a Secret to an image, as the kubelet does for a pod.

An entry names a host with its port, and may name the beginning of a path. `*` in the host stands for letters of one
label. Nothing else is the same registry: no sub-domain, no other port, no host that ends or begins alike. Only Docker
Hub's own names are one registry under several spellings.
"""

import re
from dataclasses import dataclass

HUB = "docker.io"
_HUB_NAMES = frozenset(
    {"docker.io", "index.docker.io", "registry-1.docker.io", "registry.hub.docker.com", "hub.docker.com"},
)
_SERVER = re.compile(
    r"""(?:[a-z][a-z0-9+.-]*://)?
        (?:[^/?\#@\s]*@)?
        (?P<host>[a-z0-9._*-]+|\[[0-9a-f:.]+\])(?::(?P<port>[0-9]*))?
        (?P<path>/[^?\#]*)?
        (?:[?\#].*)?""",
    re.ASCII | re.IGNORECASE | re.DOTALL | re.VERBOSE,
)
_LONGEST = 1_024
"""Letters of an entry's name. No image has a longer one, and a Secret holds a million letters."""
_API_VERSION = re.compile("/v[12](?=/|$)")
"""What `docker login` once wrote behind the host."""


@dataclass(frozen=True, slots=True)
class Scope:
    """The images that one entry is for."""

    host: str
    """In lower case, Docker Hub under its one name; may hold `*`."""
    port: str
    path: str
    """Empty, or what an image's repository begins with behind a slash."""

    @classmethod
    def of(cls, server: str) -> "Scope | None":
        """Read the name, address or URL of a registry; None for what is no such thing."""
        parts = _SERVER.fullmatch(server.strip()) if len(server) <= _LONGEST else None
        if parts is None:
            return None
        host, port, path = parts["host"].lower(), parts["port"] or "", parts["path"] or ""
        path = _API_VERSION.sub("", path, count=1) if _API_VERSION.match(path) else path
        return cls(HUB if host in _HUB_NAMES and not port else host, port, "" if path == "/" else path)

    @classmethod
    def of_image(cls, host: str, repository: str) -> "Scope | None":
        """Return the scope of one image, by the host of its registry."""
        registry = cls.of(host)
        return cls(registry.host, registry.port, f"/{repository}") if registry is not None else None

    def covers(self, image: "Scope") -> bool:
        """Tell whether an image belongs to the scope."""
        if image.port != self.port or not image.path.startswith(self.path):
            return False
        if "[" in self.host:
            return self.host == image.host
        globs, labels = self.host.split("."), image.host.split(".")
        return len(globs) == len(labels) and all(map(_fits, globs, labels))

    @property
    def rank(self) -> str:
        """What the scopes of one image are put in order by: of two, the greater is more to the point.

        A longer path is greater than its own beginning, and a letter than a `*`.
        """
        return f"{self.host}:{self.port}{self.path}" if self.port else f"{self.host}{self.path}"


def _fits(glob: str, label: str) -> bool:
    """Tell whether a label of a host is one that a glob stands for, in time linear in both."""
    first, *others = glob.split("*")
    if not others:
        return glob == label
    *middle, last = others
    if not (label.startswith(first) and label.endswith(last)):
        return False
    at, end = len(first), len(label) - len(last)
    for piece in middle:
        found = label.find(piece, at, end)
        if found < 0:
            return False
        at = found + len(piece)
    return at <= end
