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


# The first rule that matches decides. An order of its own: a more exact cause stands before the general words that
# come along with it ("unauthorized: token expired", "denied: rate limit", "failed to fetch oauth token: 503").
_RULES = (
    _rule(
        Reason.INVALID_REFERENCE,
        _ALL,
        r"invalid reference format",
        r"invalid tag format",
        r"invalid repository name",
        r"repository name must (?:be lowercase|be canonical|not be longer|have at least)",
        r"refusing to create (?:a tag with a digest|an ambiguous tag)",
        r"invalid checksum digest",
        r"unsupported digest algorithm",
        r"cannot push a digest reference",
        r"cannot (?:be )?64-byte hexadecimal",
    ),
    _rule(
        Reason.RATE_LIMITED,
        _REMOTE,
        r"too ?many ?requests",
        r"\b429\b(?! bytes)",
        r"rate[- ]?limit(?:ed)? (?:exceeded|reached)|reached your (?:un|)authenticated pull rate limit|rate exceeded",
    ),
    _rule(
        Reason.CERTIFICATE_INVALID,
        _REMOTE,
        r"x509:",
        r"failed to verify certificate",
        r"certificate signed by unknown authority",
        r"remote error: tls:",
        r"tls: (?:first record does not look like|bad|unknown|unsupported|expired|certificate|handshake failure)",
        r"server gave HTTP response to HTTPS client",
    ),
    _rule(
        Reason.STORAGE_FULL,
        _ALL,
        r"no space left on device",
        r"disk quota exceeded",
        r"\bENOSPC\b",
    ),
    _rule(
        Reason.AUTH_EXPIRED,
        _REMOTE,
        r"(?:token|credentials?|session|jwt|authorization)\b[^.:;]{0,40}\bexpired",
        r"expired ?(?:token|credentials?)",
    ),
    _rule(
        Reason.PLATFORM_NOT_FOUND,
        _ALL,
        r"no matching manifest for",
        r"no match for platform",
        r"does not (?:provide|match) (?:the )?(?:specified|requested|any) platform",
        r"its platform \(.{1,80}\) does not match",
        r"image operating system .{1,80} cannot be used",
        r"no (?:suitable )?manifest .{0,40}for platform",
        r"failed to find the manifest for platform",
    ),
    _rule(
        Reason.INVALID_SPEC,
        _ALL,
        r"unknown operating system or architecture",
        r"is an invalid (?:OS|architecture|platform) component",
        r"invalid platform",
        r"failed to parse platform",
    ),
    _rule(
        Reason.ENGINE_UNSUPPORTED,
        _ALL,
        r"graphdriver backed image store doesn't support",
        r"specify(?:ing)? a? ?platform is not supported|not supported by (?:this|the) (?:daemon|image store|graph ?driver)",
        r"requires (?:a )?(?:newer )?API version",
        r"client version .{1,20} is too (?:new|old)",
        r"unsupported (?:manifest )?media ?type",
        r"unsupported schema version|schema 1 .{0,60}(?:removed|no longer supported|deprecated)",
        r"encountered remote .{1,120} when fetching",
    ),
    _rule(
        Reason.DIGEST_MISMATCH,
        _REMOTE,
        r"filesystem layer verification failed",
        r"layers from manifest don't match image configuration",
        r"(?:image config|manifest) verification failed for digest",
        r"manifest verification failed for digest",
        r"unexpected commit (?:digest|size)",
        r"unexpected (?:manifest )?digest",
        r"digest (?:mismatch|did not match|invalid)",
        r"content digest .{0,120} (?:not match|mismatch)",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        _REMOTE,
        r"\b50[0-4] (?:Internal Server Error|Not Implemented|Bad Gateway|Service (?:Temporarily )?Unavailable|Gateway Time-?out)",
        r"(?:unexpected|invalid)(?: HTTP)? (?:status|response)[^\n]{0,200}?\b5\d\d\b",
        r"error parsing HTTP 5\d\d response",
        r"\bHTTP status: 5\d\d\b",
    ),
    _rule(
        Reason.AUTH_FAILED,
        _REMOTE,
        r"no basic auth credentials",
        r"authentication required",
        r"unauthorized",
        r"incorrect username or password",
        r"access (?:to the resource is |to .{1,80} )?(?:denied|forbidden)",
        r"\bdenied\b",
        r"insufficient_scope",
        r"authorization (?:failed|required)",
        r"\b40[13] (?:Unauthorized|Forbidden)",
        r"(?:unexpected|HTTP)[^\n]{0,200}?\b40[13]\b",
        r"failed to (?:fetch (?:oauth|anonymous) token|authorize)",
        r"invalid_grant|invalid_client",
    ),
    _rule(
        Reason.IMAGE_NOT_ON_DAEMON,
        _LOCAL,
        r"no such image",
        r"image does not exist locally",
        r"(?:tag|reference) does not exist",
    ),
    _rule(
        Reason.IMAGE_NOT_FOUND,
        _REMOTE,
        r"manifest[ _]unknown",
        r"name[ _]unknown",
        r"repository name not known to registry",
        r"manifest for IMAGE not found",
        r"(?:repository|manifest) .{0,80}not found",
        r"\b404 Not Found",
        r"IMAGE: not found$",
    ),
    _rule(
        Reason.REGISTRY_UNAVAILABLE,
        _REMOTE,
        r"connection (?:refused|reset|timed out)",
        r"no such host",
        r"server misbehaving",
        r"(?:temporary failure in|failure in) name resolution",
        r"\btimeout\b|timed out",
        r"deadline exceeded",
        r"(?:network is|host is) (?:unreachable|down)|no route to host",
        r"\bEOF\b",
        r"broken pipe",
        r"server closed idle connection|use of closed network connection|transport connection broken",
        r"malformed HTTP (?:response|status)",
        r"request canceled",
        r"blob upload (?:unknown|invalid)",
        r"proxyconnect",
        r"unexpected http status|received unexpected",
    ),
)

_URL = re.compile(r"(?i)\b[a-z][a-z0-9+.-]*://[^\s\"'<>]*")
_RETRY_AFTER = re.compile(
    r"(?i)\b(?:retry[- ]after|(?:try|retry) again (?:in|after))\b[\"':=\s]{1,4}(\d{1,6})\s*(ms|milliseconds|s\b|sec|m\b|min)?"
)
_SECONDS = {"ms": 0.001, "milliseconds": 0.001, "m": 60.0, "min": 60.0}


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


_TOO_MANY_REQUESTS = 429


def retry_after(text: str) -> float | None:
    """Return the seconds after which a text says to come back, 15 min at most; None where it says nothing."""
    match = _RETRY_AFTER.search(text[:MAX_TEXT])
    if match is None:
        return None
    seconds = int(match[1]) * _SECONDS.get((match[2] or "").lower(), 1.0)
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
