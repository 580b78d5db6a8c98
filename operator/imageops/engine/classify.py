"""Turn the words of a daemon or a registry into a reason.

The words are the best signal there is. HTTP statuses are not: a missing manifest is 500 on Engine 20.10, a denied one
403, 404 or 500, Engine 29 wraps a registry's 401 and 429 into a 500, and every error after the first byte of a stream
comes under a 200. The table below was made from messages of real engines; tests/unit/engine/messages has them.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING

from imageops.api.reasons import Reason

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imageops.api.references import Reference

MAX_TEXT = 64 * 1024
"""Characters of a text that are looked at."""
MAX_RETRY_AFTER_SECONDS = 900.0
"""No registry can make the operator wait longer than this."""


class Call(StrEnum):
    """What the daemon was asked to do."""

    DESCRIBE = "describe"
    INSPECT = "inspect"
    MANIFESTS = "manifests"
    DISTRIBUTION = "distribution"
    PULL = "pull"
    PUSH = "push"
    TAG = "tag"
    REMOVE = "remove"


_LOCAL = frozenset({Call.INSPECT, Call.MANIFESTS, Call.PUSH, Call.TAG, Call.REMOVE})
_REMOTE = frozenset({Call.DISTRIBUTION, Call.PULL, Call.PUSH})
_ALL = _LOCAL | _REMOTE


@dataclass(frozen=True, slots=True)
class _Rule:
    """The reason for a text that has one of the phrases, in one of the calls."""

    reason: Reason
    phrases: re.Pattern[str]
    calls: frozenset[Call]


def _rule(reason: Reason, calls: frozenset[Call], *phrases: str) -> _Rule:
    return _Rule(reason, re.compile("|".join(phrases), re.IGNORECASE), calls)


# The first rule that matches decides, so a more exact cause stands before the general words that come along with it:
# "unauthorized: token expired", "denied: rate limit", "failed to fetch oauth token: connection refused".
_RULES = (
    _rule(
        Reason.INVALID_REFERENCE,
        _ALL,
        r"invalid reference format",
        r"invalid tag format",
        r"invalid repository name",
        r"repository name must (?:be lowercase|be canonical|not be longer|have at least)",
        r"refusing to create (?:a tag with a digest|an ambiguous tag)",
        r"cannot push a digest reference",
    ),
    _rule(
        Reason.RATE_LIMITED,
        _REMOTE,
        r"too ?many ?requests",
        r"\b(?:status:?|HTTP|URL:) 429\b",
        r"\brate[ -]?limit",
        r"\brate exceeded",
    ),
    _rule(
        Reason.CERTIFICATE_INVALID,
        _REMOTE,
        r"x509:",
        r"failed to verify certificate",
        r"remote error: tls:",
        r"tls: (?:first record does not look like|bad|unknown|unsupported|expired|certificate|handshake failure)",
        r"server gave HTTP response to HTTPS client",
    ),
    _rule(
        Reason.STORAGE_FULL,
        _ALL,
        r"no space left on device",
        r"disk quota exceeded",
    ),
    _rule(
        Reason.AUTH_EXPIRED,
        _REMOTE,
        r"\b(?:token|credentials?|session|jwt|authorization)\b[^.:;]{0,40}\bexpired",
        r"\bexpired ?(?:token|credentials?)",
    ),
    _rule(
        Reason.PLATFORM_NOT_FOUND,
        _ALL,
        r"no matching manifest for",
        r"no match for platform",
        r"does not (?:provide|match) (?:the )?(?:specified|requested|any) platform",
        r"multiple matching manifests found but no specific platform requested",
        r"image operating system .{1,80} cannot be used",
    ),
    _rule(
        Reason.INVALID_SPEC,
        _ALL,
        r"unknown operating system or architecture",
        r"is an invalid (?:OS |architecture |platform )?component of",
    ),
    _rule(
        Reason.TAG_CONFLICT,
        frozenset({Call.PUSH}),
        r"\bimmutable\b",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        _REMOTE,
        # A web server that is no registry.
        r"media ?type (?:and no default available: )?\"?text/html",
        r"\b5\d\d (?:Internal Server Error|Not Implemented|Bad Gateway|Service (?:Temporarily )?Unavailable)",
        r"\b5\d\d (?:Gateway Time-?out|Insufficient Storage|HTTP Version Not Supported)",
        r"\b(?:status:?|HTTP|URL:) 5\d\d\b",
    ),
    _rule(
        Reason.ENGINE_UNSUPPORTED,
        _ALL,
        r"graphdriver backed image store doesn't support",
        r"unsupported (?:manifest )?media ?type",
        r"unexpected media type",
        r"media type .{1,120} is no longer supported",
        r"encountered remote .{1,120} when fetching",
        # What Engine 20.10 says of any manifest it does not know: it takes it for one of schema 1.
        r"missing signature key",
        r"unsupported schema version",
    ),
    _rule(
        Reason.DIGEST_MISMATCH,
        _REMOTE,
        r"filesystem layer verification failed",
        r"(?:image config|manifest) verification failed for digest",
        r"layers from manifest don't match image configuration",
        r"unexpected commit digest",
        r"got digest .{1,160}, expected ",
        r"digest (?:mismatch|did not match|invalid)",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        _REMOTE,
        r"connection (?:refused|reset|timed out)",
        r"no such host",
        r"server misbehaving",
        r"failure in name resolution",
        r"\btimeout\b|timed out",
        r"deadline exceeded",
        r"(?:network is|host is) (?:unreachable|down)|no route to host",
        r"\bEOF\b",
        r"broken pipe",
        r"closed idle connection|use of closed network connection|transport connection broken",
        r"malformed HTTP",
        r"blob upload (?:unknown|invalid)",
        r"unable to decode token response",
    ),
    _rule(
        Reason.AUTH_FAILED,
        _REMOTE,
        r"no basic auth credentials",
        r"authentication required",
        r"\bunauthorized\b",
        r"incorrect username or password",
        r"denied\b",
        r"\bforbidden\b",
        r"\bnot authorized\b",
        r"insufficient_scope",
        r"authorization (?:failed|required)",
        r"\b(?:status:?|HTTP|URL:) 40[13]\b",
        r"failed to authorize",
        r"invalid_grant",
    ),
    _rule(
        Reason.IMAGE_NOT_ON_DAEMON,
        _LOCAL,
        r"no such image",
        r"image does not exist locally",
        r"(?:tag|reference) does not exist",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        frozenset({Call.PUSH}),
        # The registry has lost what it took a moment ago.
        r"\bblob unknown\b|\bunknown blob\b",
    ),
    _rule(
        Reason.IMAGE_NOT_FOUND,
        _REMOTE,
        r"\bmanifest unknown\b",
        r"\bname unknown\b",
        r"\bblob unknown\b|\bunknown blob\b",
        r"repository name not known to registry",
        r"repository with name .{1,300} does not exist",
        r"\bIMAGE(?::)? not found",
        r"from remote: not found",
    ),
    _rule(
        Reason.IMAGE_CHANGED,
        frozenset({Call.PUSH}),
        # The registry took the manifest and did not name it. Docker 28 sees that itself; Engine 29 believes that all is
        # well, and the look afterwards tells.
        r"invalid content digest in response",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        _REMOTE,
        # An answer that is none: a proxy's page, or a body cut short.
        r"looking for beginning of (?:value|object key string)",
        r"unexpected end of JSON input",
        r"invalid checksum digest",
        r"received unexpected HTTP status",
    ),
)

_TOO_MANY_REQUESTS = 429
_URL = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>]*[^\s\"'<>:;,.]", re.IGNORECASE)
_RETRY_AFTER = re.compile(
    r"\b(?:retry[- ]after|(?:try|retry) again (?:in|after))[\"':=\s]{1,4}"
    r"(\d{1,6}(?:\.\d{1,6})?) ?(ms|s|secs?|seconds?|m|min|minutes?)?\b",
    re.IGNORECASE,
)
_SECONDS = {"ms": 0.001, "m": 60.0, "min": 60.0, "minute": 60.0, "minutes": 60.0}


def classify(call: Call, status: int | None, text: str, *, reference: Reference | None = None) -> Reason:
    """Name the reason for an error.

    Args:
        call: What the daemon was asked to do.
        status: The HTTP status that came with the text; None for an error inside a stream.
        text: The error's words, in full.
        reference: What the call was about. Users choose it, so its words are taken out of the text first: an image
            called `too-many-requests` shall not look like a rate limit.

    Returns:
        A reason of the retryable or the final class; DAEMON_ERROR for words that nobody has seen.
    """
    words = _without_names(text[:MAX_TEXT], reference)
    for rule in _RULES:
        if call in rule.calls and rule.phrases.search(words):
            return rule.reason
    if status == _TOO_MANY_REQUESTS and call in _REMOTE:
        return Reason.RATE_LIMITED
    return Reason.DAEMON_ERROR


def retry_after(text: str) -> float | None:
    """Return the seconds after which a text says to come back, 15 min at most; None where it says nothing."""
    match = _RETRY_AFTER.search(text[:MAX_TEXT])
    if match is None:
        return None
    seconds = float(match[1]) * _SECONDS.get((match[2] or "").lower(), 1.0)
    return min(seconds, MAX_RETRY_AFTER_SECONDS)


def _without_names(text: str, reference: Reference | None) -> str:
    text = _URL.sub("URL", text)
    if reference is not None:
        for spelling in sorted(_spellings(reference), key=len, reverse=True):
            text = re.sub(rf"(?<![A-Za-z0-9_./-]){re.escape(spelling)}(?![A-Za-z0-9_/-])", "IMAGE", text)
        if reference.tag is not None:
            text = re.sub(rf"(?i)(tag[=: \"']{{1,3}}){re.escape(reference.tag)}(?![A-Za-z0-9_.-])", r"\1TAG", text)
    return text


def _spellings(reference: Reference) -> Iterable[str]:
    """Yield the ways in which an engine or a registry writes a reference."""
    names = {reference.name, reference.repository}
    if reference.host == "docker.io":
        names |= {reference.repository.removeprefix("library/")}
    for name in names:
        for selector in (reference.tag, reference.digest):
            if selector is not None:
                yield f"{name}:{selector}"
                yield f"{name}@{selector}"
        if reference.tag is not None and reference.digest is not None:
            yield f"{name}:{reference.tag}@{reference.digest}"
        if "/" in name:
            # A bare word alone could be any word of the message.
            yield name
