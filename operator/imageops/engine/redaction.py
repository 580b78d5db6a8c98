"""Make foreign text fit for a log: no secret, no address, nothing that could move a terminal's cursor.

A registry chooses the words in a daemon's errors. Seen in them: whole presigned URLs, bodies of token services, one
megabyte of anything, ANSI codes and bidirectional marks. Users never see this text (they get a reason's own sentence);
an administrator who turns DEBUG on sees what `redact` leaves of it.
"""

from __future__ import annotations

import base64
import json
import re
import unicodedata
from typing import TYPE_CHECKING
from urllib.parse import quote, quote_plus

if TYPE_CHECKING:
    from collections.abc import Iterable

MAX_OUTPUT = 2048
"""Characters that are left at most."""
_MAX_INPUT = 8 * 1024
"""Characters that are looked at; the rest is dropped unseen, so a long text costs no more than this."""
_MIN_KNOWN_SECRET = 3
"""A known secret shorter than this would blank ordinary letters all over the text and so give itself away."""

_ANSI = re.compile(r"\x1b\][^\x07\x1b]*(?:\x07|\x1b\\)?|(?:\x1b\[|\x9b)(?:[0-9;:?<=>]+[@-~]?)?")
"""Control sequences (ECMA-48). The character that ends one is taken only behind a parameter, and no blank before it: a
stray introducer would take the first letter of the next word with it, and so hide it from the rules."""
_INVISIBLE = frozenset({"Cc", "Cf", "Cs", "Co", "Cn", "Zl", "Zp"})

_SENSITIVE_KEY = (
    r"(?:[a-z0-9_.-]{0,40}(?:token|secret|passw(?:or)?d|passwd|pwd|signature|credentials?|api[_-]?key|private[_-]?key"
    r"|access[_-]?key(?:[_-]?id)?|authorization|cookie|session)|auth|sig|jwt|x-amz-[a-z-]{1,40}|x-goog-[a-z-]{1,40}|awsaccesskeyid|googleaccessid"
    r"|keyid|user(?:name)?)"
)
_CREDENTIALS: tuple[tuple[re.Pattern[str], str], ...] = (
    (re.compile(r"\bey[A-Za-z0-9_-]{4,}\.[A-Za-z0-9_-]+(?:\.[A-Za-z0-9_-]*)*"), "[token]"),
    (
        re.compile(
            rf"(?i)(?<![a-z0-9])({_SENSITIVE_KEY})(\\?[\"']?\s*[=:]\s*)(?:\\?\"(?:[^\"\\]|\\.)*\\?\"?|'[^']*'?|[^\s,;&}}\"']+)"
        ),
        r"\1\2[removed]",
    ),
    (re.compile(r"\?[^\s\"'=]{0,200}=[^\s\"']*"), "?[removed]"),
    # Tokens that well-known services mark as such.
    (re.compile(r"\b(?:A[KS]IA|gh[opsu]_|github_pat_|glpat-|dckr_[po]at_|xox[a-z]-)[A-Za-z0-9_-]{8,}"), "[token]"),
)
"""What has the shape of a credential, whoever wrote the text."""
_IN_A_NOTICE = (
    (re.compile(r"(?<=://)[^\s/@\"']{1,1024}@"), "[removed]@"),
    # Shorter ones are words: a policy asks for basic authentication.
    (re.compile(r"(?i)\b(bearer|basic)\s+[a-z0-9._~+/-]{16,}=*"), r"\1 [removed]"),
    *_CREDENTIALS,
)
_RULES: tuple[tuple[re.Pattern[str], str], ...] = (
    # What follows these words is a body that a server chose, and it may hold anything to its end.
    (re.compile(r"(?is)\b(response body|server message|body)\b(\s*[:=]).*"), r"\1\2 [removed]"),
    (
        re.compile(
            r"(?is)(looking for beginning of (?:value|object key string)|invalid character '[^']{1,12}' [a-z ]+)\s*:.*"
        ),
        r"\1: [removed]",
    ),
    (re.compile(r"(?i)\b[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>]*"), "[url]"),
    (
        re.compile(r"(?i)\b(bearer|basic|negotiate|digest|token)\s+(?!\[)(?!sha256:)[a-z0-9._~+/=-]{6,}"),
        r"\1 [removed]",
    ),
    *_CREDENTIALS,
    (re.compile(r"[^\s/@:\"']{1,256}:[^\s/@\"']{1,1024}@"), "[removed]@"),
    (re.compile(r"(?i)\b(dial|read|write) (tcp|udp)[46]? [^\s\"]*[^\s\":]"), r"\1 \2 [address]"),
    (re.compile(r"(?i)\blookup \S+?(?=:? )(?: on \S+?(?=: | |$))?"), "lookup [name]"),
    (re.compile(r"(?<![\d.])(?:\d{1,3}\.){3}\d{1,3}(?::\d+)?(?![\d.])"), "[address]"),
    # Whatever else looks made by a machine: long, letters and digits mixed, no digest.
    (
        re.compile(
            r"(?<![A-Za-z0-9:])(?=[A-Za-z_+=-]{0,99}\d)(?=[0-9_+=-]{0,99}[A-Za-z])(?!(?:sha256|sha512)\b)[A-Za-z0-9_+=-]{20,}"
        ),
        "[token]",
    ),
)


def redact(text: str, secrets: Iterable[str] = ()) -> str:
    """Return `text` on one line without what must not be logged.

    Args:
        text: Anything a daemon or a registry wrote.
        secrets: Values known to be secret here (of the credential in use). They go in every usual spelling: as they
            are, without the line end that many a Secret has, quoted for a URL or in JSON, and in base64.

    Returns:
        At most `MAX_OUTPUT` printable characters.
    """
    spellings = sorted(_spellings(secrets), key=len, reverse=True)
    # Before and after: what is not printable may stand within a secret, or hide one.
    text = _without(spellings, _printable(_without(spellings, _beginning(text, spellings))))
    for pattern, replacement in _RULES:
        text = pattern.sub(replacement, text)
    return text if len(text) <= MAX_OUTPUT else text[: MAX_OUTPUT - 1] + "…"


def without_credentials(text: str) -> str:
    """Return what the API server, or an admission policy, wrote for its user, on one line and without credentials.

    Unlike a registry's words these are meant to be read: the names of objects and addresses in them stay.
    """
    text = " ".join(_printable(text[:_MAX_INPUT]).split())
    for pattern, replacement in _IN_A_NOTICE:
        text = pattern.sub(replacement, text)
    return text


def _beginning(text: str, spellings: list[str]) -> str:
    """Cut to what is looked at, and drop what may be the beginning of a secret that the cut went through."""
    if len(text) <= _MAX_INPUT:
        return text
    longest = len(spellings[0]) if spellings else 0
    return _without(spellings, text[: _MAX_INPUT + longest])[: _MAX_INPUT - longest]


def _without(spellings: list[str], text: str) -> str:
    for spelling in spellings:
        text = text.replace(spelling, "[removed]")
    return text


def _printable(text: str) -> str:
    text = _ANSI.sub("", text)
    return "".join(
        " " if char in "\r\n\t" else char
        for char in text
        if char in "\r\n\t" or unicodedata.category(char) not in _INVISIBLE
    )


def _spellings(secrets: Iterable[str]) -> set[str]:
    found: set[str] = set()
    for secret in secrets:
        for form in {secret, secret.strip()}:
            raw = form.encode(errors="surrogatepass")
            found |= {
                form,
                _printable(form),
                _printable(form).strip(),
                quote(raw, safe=""),
                quote_plus(raw),
                json.dumps(form)[1:-1],
                json.dumps(form, ensure_ascii=False)[1:-1],
                base64.b64encode(raw).decode(),
                base64.b64encode(raw).decode().rstrip("="),
                base64.urlsafe_b64encode(raw).decode(),
            }
    return {spelling for spelling in found if len(spelling) >= _MIN_KNOWN_SECRET}
