"""Name the Engines that integration tests use, and count what the operator asks of them."""

from __future__ import annotations

from dataclasses import dataclass
from urllib.parse import unquote

from devcluster.gate import RegistryGate
from tests.support.local_daemon import LocalDaemon


@dataclass(frozen=True, slots=True)
class EngineUnderTest:
    """One of the two Engines."""

    name: str
    """What `daemonName` calls it."""
    address: str
    """Its own socket."""
    keeps_digests: bool
    """Whether its image store keeps the digest of what it pulls, and whole indexes: the containerd store does."""

    @property
    def daemon(self) -> LocalDaemon:
        """The Engine as it is, without the operator."""
        return LocalDaemon(self.address)


@dataclass(frozen=True, slots=True)
class WatchedEngine(EngineUnderTest):
    """An Engine with a gate between it and the operator."""

    gate: RegistryGate

    def calls(self, about: str) -> list[str]:
        """Return the operator's calls that name this image, as method and path with query, in order."""
        seen = ((one.method, unquote(one.path)) for one in self.gate.requests)
        return [f"{method} {path}" for method, path in seen if about in path]

    def pulls(self, about: str) -> list[str]:
        """Return the calls that pull this image."""
        return [call for call in self.calls(about) if "/images/create" in call]

    def pushes(self, about: str) -> list[str]:
        """Return the calls that push this image."""
        return [call for call in self.calls(about) if call.startswith("POST") and "/push?" in call]

    def tags(self, about: str) -> list[str]:
        """Return the calls that tag from or to this image."""
        return [call for call in self.calls(about) if call.startswith("POST") and "/tag?" in call]

    def lookups(self, about: str) -> list[str]:
        """Return the calls that ask a registry about this image."""
        return [call for call in self.calls(about) if "/distribution/" in call]
