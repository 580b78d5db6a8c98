"""Turn the words of a daemon or a registry into a reason.

The words are the best signal there is. The daemon's HTTP statuses are not: a missing manifest is 500 on Engine 20.10, a
denied one 403, 404 or 500, Engine 29 wraps a registry's 401 and 429 into a 500, and every error after the first byte of
a stream comes under a 200. The table of words is in `words`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from imageops.api.reasons import Reason
from imageops.api.registry_hints import CREATE_REPOSITORY_HINT
from imageops.engine.names import without_names
from imageops.engine.words import A_401, CLEARLY_A_RIGHT, REMOTE, RULES, STATUS, THE_REGISTRYS, Call, Rule

if TYPE_CHECKING:
    from imageops.api.references import Reference

MAX_TEXT = 8 * 1024
"""Characters of a text that are looked at. What matters stands before the body that an engine repeats, and whoever
chooses that body shall not choose how long the interpreter is busy with it."""
MIN_RETRY_AFTER_SECONDS = 1.0
"""A shorter wait is about one burst of requests, and tells nothing of when an operation should come back."""
MAX_RETRY_AFTER_SECONDS = 900.0
"""No registry can make the operator wait longer than this."""


@dataclass(frozen=True, slots=True)
class Finding:
    """What words mean."""

    reason: Reason
    hint: str | None = None
    """What to do, where that is not what the reason says."""
    doubtful: bool = False
    """Whether a refusal could as well be that of a fault that passes: the status is hidden, or a 401 may be one."""


_REFUSED = 403
_BY_DAEMONS_STATUS = {401: Reason.AUTH_FAILED, _REFUSED: Reason.AUTH_FAILED, 429: Reason.RATE_LIMITED}
"""The daemon's own statuses that it takes over from a registry's error code."""
_UNREADABLE = re.compile(
    r"missing or empty Content-(?:Length|Type) header"
    r"|invalid checksum digest"
    r"|looking for beginning of (?:value|object key string)"
    r"|unexpected end of JSON input",
    re.IGNORECASE,
)
_TELLS_A_STATUS = re.compile(rf"error parsing HTTP [45]\d\d\b|{STATUS}[45]\d\d\b|token response", re.IGNORECASE)
"""By this an engine tells that it was refused, or that it was not the registry who answered."""
_AN_ERRORS_CODE = re.compile(r"(?:\w+ \"(?:URL|STORAGE)\": |error from registry: |errors:\s{1,4}|unknown: ){0,4}")
"""What an engine puts before the code with which an error begins."""
_RETRY_AFTER = re.compile(
    r"\b(?:retry[- ]after|(?:try|retry) again (?:in|after))[\"':=\s]{1,4}"
    r"((?:\d{1,6}(?:\.\d{1,6})? ?[^\W\d_]{0,12}){1,4})",
    re.IGNORECASE,
)
_PART = re.compile(r"(\d{1,6}(?:\.\d{1,6})?) ?([^\W\d_]{0,12})")
_SECONDS = {
    "": 1.0,
    "ms": 0.001,
    **dict.fromkeys(("s", "sec", "secs", "second", "seconds"), 1.0),
    **dict.fromkeys(("m", "min", "mins", "minute", "minutes"), 60.0),
    **dict.fromkeys(("h", "hour", "hours"), 3600.0),
}


def classify(call: Call, status: int | None, text: str, *, reference: Reference | None = None) -> Finding:
    """Name the reason for an error.

    Args:
        call: What the daemon was asked to do.
        status: The HTTP status that came with the text; None for an error inside a stream.
        text: The error's words, in full.
        reference: What the call was about. Users choose it, so its words are taken out of the text first.

    Returns:
        A reason of the retryable or the final class; REGISTRY_ERROR for words of a registry that nobody has seen,
        DAEMON_ERROR for any other.
    """
    words = without_names(text[:MAX_TEXT], reference)
    for rule in RULES:
        if call in rule.calls and _speaks(rule, words, reference):
            return _found(call, status, words, rule.reason, rule.hint)
    if call not in REMOTE:
        return Finding(Reason.DAEMON_ERROR)
    if status in _BY_DAEMONS_STATUS and (call is not Call.PUSH or status not in {401, _REFUSED}):
        return _found(call, status, words, _BY_DAEMONS_STATUS[status], None)
    return Finding(Reason.REGISTRY_ERROR if THE_REGISTRYS.search(words) else Reason.DAEMON_ERROR)


def unreadable(call: Call, text: str) -> bool:
    """Tell whether a registry answered a question without refusing anything, and the engine cannot make it out."""
    words = without_names(text[:MAX_TEXT], None)
    refused = _TELLS_A_STATUS.search(words) or THE_REGISTRYS.search(words)
    return call is Call.DISTRIBUTION and not refused and _UNREADABLE.search(words) is not None


def retry_after(text: str, *, reference: Reference | None = None) -> float | None:
    """Return the seconds after which a text says to come back, 15 min at most; None where it says nothing of use.

    An image called `retry-after:900` says nothing: its name is taken out first.
    """
    match = _RETRY_AFTER.search(without_names(text[:MAX_TEXT], reference))
    if match is None:
        return None
    parts = _PART.findall(match[1])
    if any(unit.lower() not in _SECONDS for _, unit in parts):
        return None
    seconds = sum(float(value) * _SECONDS[unit.lower()] for value, unit in parts)
    return min(seconds, MAX_RETRY_AFTER_SECONDS) if seconds >= MIN_RETRY_AFTER_SECONDS else None


def _speaks(rule: Rule, words: str, reference: Reference | None) -> bool:
    """Tell whether a text has one of a rule's phrases.

    A rate limit pauses a registry for others too, so there a phrase that is also part of the image's own name counts
    only as the code with which the error begins: a name that was not taken out stands behind some other words.
    """
    if reference is None or rule.reason is not Reason.RATE_LIMITED:
        return rule.phrases.search(words) is not None
    name = str(reference).lower()
    return any(match[0].lower() not in name or _begins_it(words, match) for match in rule.phrases.finditer(words))


def _begins_it(words: str, match: re.Match[str]) -> bool:
    return words[match.end() :][:1] in {"", ":", "\n"} and _AN_ERRORS_CODE.fullmatch(words[: match.start()]) is not None


def _found(call: Call, status: int | None, words: str, reason: Reason, hint: str | None) -> Finding:
    if reason is Reason.IMAGE_NOT_FOUND and call is Call.PUSH:
        return Finding(reason, CREATE_REPOSITORY_HINT)
    return Finding(reason, hint, doubtful=reason is Reason.AUTH_FAILED and _doubtful(status, words))


def _doubtful(status: int | None, words: str) -> bool:
    if status == _REFUSED or CLEARLY_A_RIGHT.search(words):
        return False
    # Engine 29 passes on the words of a 503 in the same way as those of a 403.
    return words.startswith("error from registry") or (A_401.search(words) is not None and "denied" not in words)
