"""Read image references by the grammar of the distribution project, as both supported Docker Engines do.

Source of the rules: the grammar and the normalisation of `distribution/reference`. Three things are stricter here, so
that a reference means the same to every engine and can be reached at all: the limit of 255 characters holds for host
and path together (older engines count so), a first part that looks like a host must be one (else the engine is given a
name with no host), and a port is a number from 1 to 65535.
"""

import re
from collections.abc import Iterator
from dataclasses import dataclass

from imageops.api import mistakes
from imageops.api.errors import OperationError
from imageops.api.mistakes import Form, Mistake
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
PORT = "0*(?:[1-9][0-9]{0,3}|[1-5][0-9]{4}|6[0-4][0-9]{3}|65[0-4][0-9]{2}|655[0-2][0-9]|6553[0-5])"
"""The number of a port, 1 to 65535."""
_HOST = rf"(?:{_HOST_LABEL}(?:\.{_HOST_LABEL})*|\[[a-fA-F0-9:]+\])(?::{PORT})?"
_PATH_PART = "[a-z0-9]+(?:(?:[._]|__|-+)[a-z0-9]+)*"
_PATH = f"{_PATH_PART}(?:/{_PATH_PART})*"
_TAG = "[A-Za-z0-9_][A-Za-z0-9_.-]{0,127}"
_DIGEST = "(?:sha256:[0-9a-f]{64}|sha384:[0-9a-f]{96}|sha512:[0-9a-f]{128})"
_IMAGE_ID = "sha256:[0-9a-f]{64}"

REFERENCE_PATTERN = f"^(?:{_HOST}/)?{_PATH}(?::{_TAG})?(?:@{_DIGEST})?$"
TAGGED_PATTERN = f"^(?:{_HOST}/)?{_PATH}(?::{_TAG})?$"
IMAGE_ID_PATTERN = f"^{_IMAGE_ID}$"
SOURCE_PATTERN = f"^(?:{_IMAGE_ID}|(?:{_HOST}/)?{_PATH}(?::{_TAG})?(?:@{_DIGEST})?)$"

_BEGINNING = (
    Mistake("^$", "is empty; write host/repository:tag, such as ghcr.io/org/app:1.2"),
    mistakes.BLANK,
    mistakes.PLACEHOLDER,
    Mistake("^[A-Za-z][A-Za-z0-9+.-]*://", "begins with a scheme; leave out everything up to '//'"),
    Mistake("^[^/@]+@[^/]*/", "has a user in it; leave out what stands before '@', and name a Secret in secretRef"),
    Mistake(
        "[^A-Za-z0-9._:/@\\[\\]-]",
        "has a character that no reference has; write letters, digits and . _ - / : @ only",
    ),
    Mistake("^[^/\\[]*:[^/]*:[^/]*/", "has an IPv6 address without brackets before the '/'; write [address]:port"),
    Mistake("^[:@]", "has a tag or digest and no name before it; write the repository first"),
    Mistake("^/|//", "begins with '/' or has '//'; write host/repository"),
    Mistake("/(?:[:@]|$)", "ends with '/' and no name behind it; write the repository, or remove the '/'"),
    Mistake("^[^/]*:/", "has ':' and no port before the '/'; write the port, or remove the ':'"),
    Mistake("^(?:[^/:]*|\\[[^/]*\\]):[0-9]+/", "has a port that is none; ports are 1 to 65535", f"^[^/]*:{PORT}/"),
    Mistake("^[^/\\[]*:[^/]*[^/0-9][^/]*/", "has a port that is no number before the '/'; write 1 to 65535"),
)
_NO_DIGEST = Mistake("@", "has a digest, which follows from what is pushed or tagged; remove '@' and what follows")
_END = (
    Mistake("@", f"has a digest that is none; a digest is {mistakes.DIGESTS}", f"^[^@]*@{_DIGEST}$"),
    Mistake(":(?:@|$)", "has ':' and no tag behind it; write the tag, or remove the ':'"),
    Mistake(":[^/@]*:[^/@]*(?:@|$)", "has two tags; write one"),
    Mistake(
        ":[^/@]*(?:@|$)",
        "has a tag that is none; a tag is 1 to 128 letters, digits, '_', '.' or '-', the last two not first",
        f":{_TAG}(?:@|$)",
    ),
    Mistake(
        "^(?:[^/]*/[^:@]*[A-Z]|[^/:@]*[A-Z][^/:@]*(?:[:@]|$))",
        "has upper-case letters in the repository; write it in lower case, such as org/app for Org/App",
    ),
    Mistake(
        "^[^/]*[.:\\[][^/]*/", "has no host before the first '/'; write the name or address of a registry", f"^{_HOST}/"
    ),
    Mistake("", "has no repository that is one; write words of a-z and 0-9, joined by one '.', '_', '-' or '/'"),
)
REFERENCE_FORM = Form(REFERENCE_PATTERN, "is no image reference", (*_BEGINNING, *_END))
"""What the API server lets pass as a reference; `Reference.parse` is the second gate."""
TAGGED_FORM = Form(TAGGED_PATTERN, "is no image reference", (*_BEGINNING, _NO_DIGEST, *_END[1:]))
"""As REFERENCE_FORM, without a digest: what a push or a tag can have as its target."""
SOURCE_FORM = Form(SOURCE_PATTERN, "is no image reference and no image id", (*_BEGINNING, *_END))
"""A reference or an image id."""

_HOST_ONLY = re.compile(_HOST)
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
        named, _, digest = text.partition("@")
        host, remainder = _split_host(named)
        repository, _, tag = remainder.partition(":")
        fault = next(_faults(text, host, repository), None)
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


def _faults(text: str, host: str, repository: str) -> Iterator[str]:
    """Yield what is wrong with the parts of a reference, the nearest cause first."""
    if len(text) > TEXT_MAX_LENGTH:
        yield f"it is longer than {TEXT_MAX_LENGTH} characters"
    if _IDENTIFIER_ONLY.fullmatch(text):
        yield "64 hexadecimal characters are an image id, not a name"
    complaint = REFERENCE_FORM.complaint(text)
    if complaint is not None:
        yield f"it {complaint}"
    if not _HOST_ONLY.fullmatch(host):
        yield "the part before the first '/' is not a host name with an optional port"
    if len(host) + 1 + len(repository) > NAME_MAX_LENGTH:
        yield f"host and repository together are longer than {NAME_MAX_LENGTH} characters"
