"""Build paths on the API server out of segments, so that no name can lead anywhere else.

The API server does not validate every name that its objects hold: `imagePullSecrets` of a ServiceAccount takes any
text. Made part of a path as it is, `../../other/secrets/name` would be read with the operator's own rights in another
namespace. So a path is never text that somebody has put together: each segment is validated when it is added, and the
whole is sent as it is, without anything being resolved in it.
"""

import re
from dataclasses import dataclass
from typing import Self

from imageops.api.fields import DNS_SUBDOMAIN

MAX_SEGMENT_LENGTH = 253
"""Characters of a DNS subdomain (RFC 1123), the longest name of an object."""
_SEGMENT = re.compile(DNS_SUBDOMAIN.removeprefix("^").removesuffix("$"))


class InvalidNameError(ValueError):
    """A text is no name of an object; it is not repeated."""


@dataclass(frozen=True, slots=True)
class ApiPath:
    """A path on the API server; `path / segment` adds one."""

    text: str = ""
    """Made of validated segments by `of` and `/`; nobody else puts it together."""

    @classmethod
    def of(cls, *segments: str) -> Self:
        """Return the path of these segments.

        Raises:
            InvalidNameError: One of them is not the name of an object.

        """
        path = cls()
        for segment in segments:
            path /= segment
        return path

    def __truediv__(self, segment: str) -> Self:
        if not is_object_name(segment):
            raise InvalidNameError("not a lower-case RFC 1123 subdomain")
        return type(self)(f"{self.text}/{segment}")

    def __str__(self) -> str:
        return self.text


def is_object_name(text: str) -> bool:
    """Tell whether a text can be the name of an object, or another segment of a path: a DNS subdomain (RFC 1123)."""
    return len(text) <= MAX_SEGMENT_LENGTH and _SEGMENT.fullmatch(text) is not None
