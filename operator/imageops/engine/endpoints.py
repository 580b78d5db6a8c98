"""The part of the Docker Engine API this operator may use, and the gate that holds it to that.

Whoever can talk to a daemon without limits is root on its host. A mistake in a path or in a name must therefore not be
able to reach containers, volumes, build or exec: every request is compared with this list where it leaves the client,
after all quoting and joining, and before a byte is sent.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from urllib.parse import parse_qsl, unquote, urlsplit

_VERSION = r"(?:/v[0-9]+\.[0-9]+)"
_NAME = r"/[A-Za-z0-9\[][A-Za-z0-9._:@/\[\]-]*"
"""A reference or image id. Its slashes make it span several path segments, so dot segments are refused apart."""


class EndpointRefusedError(RuntimeError):
    """A request outside the list was about to be sent. Always a defect of ours, never of the daemon."""


@dataclass(frozen=True, slots=True)
class Endpoint:
    """One kind of request: method, path below the API version, and the query parameters it may carry.

    Parameters count because they change what a request does: `images/create` with `fromSrc` imports from any URL.
    """

    method: str
    path: str
    parameters: frozenset[str] = frozenset()
    versioned: bool = True

    def allows(self, method: str, path: str, parameters: frozenset[str]) -> bool:
        """Tell whether a request, given by its unquoted path and its parameters' names, is of this kind."""
        prefix = _VERSION if self.versioned else ""
        return (
            method == self.method
            and parameters <= self.parameters
            and re.fullmatch(prefix + self.path, path) is not None
        )


ENDPOINTS = (
    Endpoint("GET", "/_ping", versioned=False),
    Endpoint("GET", "/version", versioned=False),
    Endpoint("GET", "/info", versioned=False),
    Endpoint("GET", f"/images{_NAME}/json", frozenset({"platform", "manifests"})),
    Endpoint("GET", f"/images{_NAME}/get"),
    Endpoint("GET", f"/distribution{_NAME}/json"),
    Endpoint("POST", "/images/create", frozenset({"fromImage", "tag", "platform"})),
    Endpoint("POST", f"/images{_NAME}/push", frozenset({"tag", "platform"})),
    Endpoint("POST", f"/images{_NAME}/tag", frozenset({"repo", "tag"})),
    Endpoint("DELETE", f"/images{_NAME}"),
)
"""Everything the operator ever asks of a daemon."""


def check(method: str, url: str) -> None:
    """Let a request pass, or refuse it.

    Args:
        method: The HTTP method.
        url: The whole URL in the form in which it will be sent.

    Raises:
        EndpointRefusedError: No endpoint of the list allows it.
    """
    parts = urlsplit(url)
    path = unquote(parts.path)
    segments = path.split("/")[1:]
    parameters = frozenset(name for name, _ in parse_qsl(parts.query, keep_blank_values=True))
    clean = "%" not in path and not {"", ".", ".."} & set(segments)
    if not (clean and any(endpoint.allows(method, path, parameters) for endpoint in ENDPOINTS)):
        message = f"{method} {path[:200]!r} is not an Engine API request this operator makes"
        raise EndpointRefusedError(message)
