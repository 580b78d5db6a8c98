"""Log in: find credentials, and open one session for as long as they stay the same."""

import os
from collections.abc import Callable
from typing import Any, Generic, TypeVar

CredentialsT = TypeVar("CredentialsT")
SessionT = TypeVar("SessionT")


def service_address() -> str | None:
    """Return the API server's address that Kubernetes tells every container; None outside of one.

    Source: https://kubernetes.io/docs/tasks/run-application/access-api-from-pod/
    """
    host, port = (os.environ.get(f"KUBERNETES_SERVICE_{part}") for part in ("HOST", "PORT"))
    if not host or not port:
        return None
    return f"https://[{host}]:{port}" if ":" in host else f"https://{host}:{port}"


class Login(Generic[CredentialsT, SessionT]):
    """Gives the same session for the same credentials, so that whoever uses it knows those that were refused."""

    def __init__(
        self, find: Callable[..., CredentialsT | None], open_session: Callable[[CredentialsT], SessionT]
    ) -> None:
        """Find credentials, and open sessions with them, by these."""
        self._find = find
        self._open = open_session
        self._known: tuple[CredentialsT, SessionT] | None = None

    async def log_in(self, **given: Any) -> SessionT | None:
        """Return the session; None if there are no credentials."""
        found = self._find(**given)
        if found is None:
            return None
        if self._known is None or self._known[0] != found:
            self._known = found, self._open(found)
        return self._known[1]
