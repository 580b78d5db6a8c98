"""Take out of a text what somebody has chosen: addresses, and the name of the image, however a registry spells it.

Users choose the names of images. One that is called `too-many-requests` shall not look like a rate limit, which would
pause a registry for all who use it.
"""

from __future__ import annotations

import re
from functools import partial
from typing import TYPE_CHECKING
from urllib.parse import urlsplit

if TYPE_CHECKING:
    from collections.abc import Iterable

    from imageops.api.references import Reference

_URL = re.compile(r"\b[a-z][a-z0-9+.-]{0,20}://[^\s\"'<>]*[^\s\"'<>:;,.]", re.IGNORECASE)
_SIGNATURE = re.compile(r"\b(?:x-amz-|x-goog-|sig(?:nature)?=|expires=)", re.IGNORECASE)
_BEFORE_A_NAME = r"(?:(?<![A-Za-z0-9_./-])|(?<=:repository/)|(?<=/v2/))"
"""Where a name begins: not within a longer one, but within the name that AWS gives to a repository, or a path."""
_QUOTED = re.compile(r"(\\?[\"'`])([\w./:@-]{1,400})(?=\\?[\"'`])", re.ASCII)
_INTRODUCED = re.compile(
    r"((?:\b(?:projects?|repository|repositories|repo|name|named|namespace|by|tag|tagged|revision|reference|artifact"
    r"|package|group|organi[sz]ation|for|of)[ =:/\"'`\[(<]{1,3}){1,3})([\w./-]{1,400})",
    re.ASCII | re.IGNORECASE,
)
"""Words after which a bare name stands."""
_KEPT = frozenset({"", "unknown", "invalid", "url", "storage", "image", "name", "not"})
"""What stays though an image is called so: `name unknown`, `tag invalid` and `name not known` are codes, the others are
what addresses and names have become."""
_PUNCTUATION = "./:@-"
"""What may stand at the end of a name, or after it."""


def without_names(text: str, reference: Reference | None) -> str:
    """Put URL and STORAGE for addresses, and IMAGE and NAME for the image's own name and the parts of it."""
    text = _URL.sub(lambda url: _kind_of(url[0]), text)
    if reference is None:
        return text
    for spelling in sorted(_spellings(reference), key=len, reverse=True):
        text = re.sub(rf"{_BEFORE_A_NAME}{re.escape(spelling)}(?![A-Za-z0-9_/-])", "IMAGE", text)
    parts = _parts(reference)
    for pattern in (_QUOTED, _INTRODUCED):
        text = pattern.sub(partial(_named, parts), text)
    return text


def _named(parts: frozenset[str], match: re.Match[str]) -> str:
    words = {word.strip(_PUNCTUATION) for word in re.split(r"[/:@]", match[2].lower())}
    return f"{match[1]}NAME" if words <= parts and not words <= _KEPT else match[0]


def _parts(reference: Reference) -> frozenset[str]:
    """Return the words that a user has chosen, in lower case, and nothing, which stands beside a stroke."""
    chosen = [*reference.repository.split("/"), reference.tag or "", *(reference.digest or "").split(":")]
    return frozenset({"", *(word.lower().strip(_PUNCTUATION) for word in chosen)})


def _kind_of(url: str) -> str:
    """Name an address by what it is for: one outside of a registry's interface, with parameters, is of its storage."""
    try:
        parts = urlsplit(url)
    except ValueError:
        return "URL"
    signed = "sha256" in parts.path or _SIGNATURE.search(parts.query) is not None
    return "STORAGE" if signed and not parts.path.startswith("/v2/") and "scope=" not in parts.query else "URL"


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
                yield f"{name}/{selector}/manifest.json"  # Artifactory's path
                yield f"{name}/manifests/{selector}"
        if reference.tag is not None and reference.digest is not None:
            yield f"{name}:{reference.tag}@{reference.digest}"
        if "/" in name:
            # A bare word alone could be any word of the message.
            yield name
