"""Read image references by the grammar of the distribution project, as both supported Docker Engines do.

Source of the rules: the grammar and the normalisation of `distribution/reference`. Two things are stricter here, so
that a reference means the same to every engine: the limit of 255 characters holds for host and path together (older
engines count so), and a first part that looks like a host must be one (else the engine is given a name with no host).
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from imageops.api.errors import OperationError
from imageops.api.reasons import Reason

DEFAULT_HOST = "docker.io"
"""The host of a reference that names none."""
LEGACY_DEFAULT_HOST = "index.docker.io"
OFFICIAL_PREFIX = "library/"
DEFAULT_TAG = "latest"
NAME_MAX_LENGTH = 255
"""Characters of host, slash and path together, after normalisation."""
TEXT_MAX_LENGTH = 544
"""Characters of a whole reference: a name of 255, a tag of 128, a digest of 135, their separators, and some room."""

# RE2 and Python read these alike: no \w (Unicode in Python), no look-around, no possessive parts.
_HOST_LABEL = "[a-zA-Z0-9](?:[a-zA-Z0-9-]*[a-zA-Z0-9])?"
_HOST = rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[a-fA-F0-9:]+\])(?::[0-9]+)?"
_PATH_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = f"{_PATH_PART}(?:/{_PATH_PART})*"
_TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = "(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})"
_IMAGE_ID = "sha256:[0-9a-f]{64}"

REFERENCE_PATTERN = f"^(?:{_HOST}/)?{_PATH}(?::{_TAG})?(?:@{_DIGEST})?$"
"""What the API server lets pass as a reference; `Reference.parse` is the second gate."""
TAGGED_PATTERN = f"^(?:{_HOST}/)?{_PATH}(?::{_TAG})?$"
"""As REFERENCE_PATTERN, without a digest: what a push or a tag can have as its target."""
IMAGE_ID_PATTERN = f"^{_IMAGE_ID}$"
SOURCE_PATTERN = f"^(?:{_IMAGE_ID}|(?:{_HOST}/)?{_PATH}(?::{_TAG})?(?:@{_DIGEST})?)$"
"""A reference or an image id."""

_HOST_ONLY = re.compile(_HOST)
_PATH_ONLY = re.compile(_PATH)
_TAG_ONLY = re.compile(_TAG)
_DIGEST_ONLY = re.compile(_DIGEST)
_IMAGE_ID_ONLY = re.compile(_IMAGE_ID)
_IDENTIFIER_ONLY = re.compile("[a-f0-9]{64}")


@dataclass(frozen=True, slots=True)
class Reference:
    """Name an image in a registry, normalised: the host is explicit, and there is a tag or a digest or both."""

    host: str
    """Registry host with its port, `docker.io` where the text named none; letters as written."""
    repository: str
    """Path within the registry, such as `library/nginx`."""
    tag: str | None
    """`latest` where the text had neither tag nor digest; None where it had a digest only."""
    digest: str | None
    """`algorithm:hex`, None where the text had none."""

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read and normalise a reference.

        Raises:
            OperationError: InvalidReference, with the part that is wrong; the text itself is not repeated.
        """
        named, at, digest = text.partition("@")
        host, remainder = _split_host(named)
        repository, colon, tag = remainder.partition(":")
        faults = _faults(text, host, repository, tag=tag if colon else None, digest=digest if at else None)
        fault = next(faults, None)
        if fault is not None:
            raise OperationError(Reason.INVALID_REFERENCE, f"The image reference is not valid: {fault}.")
        return cls(host, repository, tag or (None if digest else DEFAULT_TAG), digest or None)

    @property
    def name(self) -> str:
        """The reference without tag and digest, such as `docker.io/library/nginx`."""
        return f"{self.host}/{self.repository}"

    @property
    def selector(self) -> str:
        """What picks the image in its repository: the digest where there is one, else the tag."""
        return self.digest or self.tag or DEFAULT_TAG

    def __str__(self) -> str:
        """Return the canonical text, such as `docker.io/library/nginx:1.27`."""
        tag = f":{self.tag}" if self.tag else ""
        digest = f"@{self.digest}" if self.digest else ""
        return f"{self.name}{tag}{digest}"


def parse_image_id(text: str) -> str | None:
    """Return the text if it is an image id, `sha256:` and 64 hexadecimal characters in lower case; else None."""
    return text if _IMAGE_ID_ONLY.fullmatch(text) else None


def _split_host(named: str) -> tuple[str, str]:
    """Split into host and the rest as the Engine does: only a first part that looks like a host is one."""
    first, slash, rest = named.partition("/")
    if not slash:
        return DEFAULT_HOST, OFFICIAL_PREFIX + named
    if first == LEGACY_DEFAULT_HOST:
        first = DEFAULT_HOST
    elif not ("." in first or ":" in first or first == "localhost" or first != first.lower()):
        return DEFAULT_HOST, named
    if first == DEFAULT_HOST and "/" not in rest:
        rest = OFFICIAL_PREFIX + rest
    return first, rest


def _faults(text: str, host: str, repository: str, *, tag: str | None, digest: str | None) -> Iterator[str]:
    """Yield what is wrong with the parts of a reference, the nearest cause first."""
    if len(text) > TEXT_MAX_LENGTH:
        yield f"it is longer than {TEXT_MAX_LENGTH} characters"
    if _IDENTIFIER_ONLY.fullmatch(text):
        yield "64 hexadecimal characters are an image id, not a name"
    if digest is not None and not _DIGEST_ONLY.fullmatch(digest):
        yield "the digest must be sha256, sha384 or sha512 with its full length in lower case"
    if tag is not None and not _TAG_ONLY.fullmatch(tag):
        yield "a tag has 1 to 128 letters, digits, '_', '.' or '-', and starts with none of the last two"
    if not _HOST_ONLY.fullmatch(host):
        yield "the part before the first '/' is not a host name with an optional port"
    if repository != repository.lower():
        yield "the repository must be in lower case"
    if not _PATH_ONLY.fullmatch(repository):
        yield "the repository is not lower-case words joined by single separators and '/'"
    if len(host) + 1 + len(repository) > NAME_MAX_LENGTH:
        yield f"host and repository together are longer than {NAME_MAX_LENGTH} characters"
