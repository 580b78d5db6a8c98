"""Own the sentences about texts of a wrong form: what is wrong with one, and what to write instead.

The API server says them at admission, by CEL; the operator says the same where an older definition let a text pass. A
sentence never repeats the text. RE2 and Python read these patterns alike: no look-around, and ASCII only.
"""

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from imageops.api.base import CelRule


@dataclass(frozen=True, slots=True)
class Mistake:
    """One thing that people write wrong."""

    pattern: str
    """Found anywhere in such a text."""
    sentence: str
    """Follows the name of the field."""
    unless: str | None = None
    """Not found in such a text."""

    def made_in(self, text: str) -> bool:
        """Tell whether a text that has not its form has it for this reason."""
        return _found(self.pattern, text) and (self.unless is None or not _found(self.unless, text))

    @property
    def cel(self) -> str:
        """The same as an expression of CEL."""
        found = f"self.matches({_literal(self.pattern)})"
        return found if self.unless is None else f"{found} && !self.matches({_literal(self.unless)})"


@dataclass(frozen=True, slots=True)
class Form:
    """The form of a text, and what to say of one that has another."""

    pattern: str
    """Of the whole text: from ^ to $."""
    sentence: str
    """Said where no mistake is known."""
    mistakes: Sequence[Mistake] = ()
    """Looked for in this order."""

    def complaint(self, text: str) -> str | None:
        """Return what is wrong with a text; None if it has the form."""
        if _found(self.pattern, text):
            return None
        return next((each.sentence for each in self.mistakes if each.made_in(text)), self.sentence)

    def rule(self) -> CelRule:
        """Return the rule by which the API server says the same."""
        choices = "".join(f"{each.cel} ? {_literal(each.sentence)} : " for each in self.mistakes)
        return CelRule(
            rule=f"self.matches({_literal(self.pattern)})",
            message=self.sentence,
            message_expression=choices + _literal(self.sentence) if choices else None,
        )

    def describe(self, schema: dict[str, Any]) -> None:
        """Put the rule into a field's JSON schema, in the place of a pattern, which users would be shown as it is."""
        for shown in ("pattern", "minLength"):
            schema.pop(shown, None)
        schema["x-kubernetes-validations"] = [self.rule().as_wire()]


def _found(pattern: str, text: str) -> bool:
    # RE2's $ is the end of the text, Python's may be before a last line end.
    return re.search(pattern.replace("$", r"\Z"), text) is not None


def _literal(text: str) -> str:
    """Return a text as a literal of CEL, which reads escapes as JSON does."""
    return json.dumps(text)


EMPTY = Mistake("^$", "is empty; write it, or leave the field out")
BLANK = Mistake("[ \\t\\r\\n\\f\\v]", "has a blank or a line end in it, perhaps as its last character; remove it")
PLACEHOLDER = Mistake("[{}]|\\x24", "has a placeholder such as ${TAG} that nothing filled in; write the text")
UPPER_CASE = Mistake("[A-Z]", "has upper-case letters; write it in lower case")
BEFORE_ALL = (EMPTY, BLANK, PLACEHOLDER)
"""What is looked for in every text first."""

_NAME = "lower-case letters, digits and '-', with a letter or digit first and last"
_SLASH = Mistake("/", "has '/'; write the name alone, as the object lies in the same namespace")
_UNDERSCORE = Mistake("_", "has '_', which no name has; write '-'")
_HEX_LETTERS = Mistake("[A-F]", "has upper-case letters; write the digest in lower case")
_BARE_HEX = Mistake("^[0-9a-f]{64}$", "lacks its algorithm; write sha256: before it")
_WITH_NAME = Mistake("@", "is a whole reference; write what follows the '@'")

DIGESTS = "sha256: and 64 characters 0-9 a-f, sha384: and 96, or sha512: and 128"


def daemon_name(pattern: str) -> Form:
    """Return the form of the name of a daemon."""
    address = Mistake("[/:]", "is an address; write the name under which the administrator configured the daemon")
    return Form(pattern, f"is no name of a daemon; write {_NAME}", (*BEFORE_ALL, address, UPPER_CASE, _UNDERSCORE))


def object_name(pattern: str) -> Form:
    """Return the form of the name of an object."""
    sentence = f"is no name of an object; write {_NAME}, or several such parts with '.' between them"
    return Form(pattern, sentence, (*BEFORE_ALL, _SLASH, UPPER_CASE, _UNDERSCORE))


def step_name(pattern: str) -> Form:
    """Return the form of the name of a step."""
    dot = Mistake("[.]", "has '.', which no name of a step has; write '-'")
    return Form(pattern, f"is no name of a step; write {_NAME}", (*BEFORE_ALL, UPPER_CASE, _UNDERSCORE, dot))


def digest(pattern: str) -> Form:
    """Return the form of a digest."""
    mistakes = (*BEFORE_ALL, _WITH_NAME, _BARE_HEX, _HEX_LETTERS)
    return Form(pattern, f"is no digest; a digest is {DIGESTS}", mistakes)


def image_id(pattern: str) -> Form:
    """Return the form of an image id."""
    mistakes = (*BEFORE_ALL, _WITH_NAME, _BARE_HEX, _HEX_LETTERS)
    return Form(pattern, "is no image id; an image id is sha256: and 64 characters 0-9 a-f", mistakes)


def platform(pattern: str) -> Form:
    """Return the form of a platform."""
    mistakes = (
        *BEFORE_ALL,
        Mistake("^[aA][lL][lL]$", "means all platforms; write All"),
        Mistake(",", "names several platforms; an entry is one"),
        UPPER_CASE,
        Mistake("^[^/]*$", "lacks the operating system or the architecture; write both, such as linux/arm64"),
        Mistake("^/|/$|//", "has a '/' too many; write os/architecture, such as linux/arm64"),
    )
    return Form(pattern, "is no platform; write os/architecture or os/architecture/variant, or All", mistakes)


def quantity(pattern: str) -> Form:
    """Return the form of a size."""
    mistakes = (
        *BEFORE_ALL,
        Mistake("[0-9][kKMGTP]?i?[bB]$", "ends with the unit of bytes, which is meant anyway; write 10Gi, not 10GiB"),
        Mistake(
            "[0-9](K|m|g|t|p|ki|mi|gi|ti|pi)$", "has its unit in the wrong case; write k M G T P or Ki Mi Gi Ti Pi"
        ),
        Mistake("^[0-]", "is zero or less, or begins with a zero; write a number of 1 or more"),
        Mistake(",", "has a comma; write '.' for fractions and nothing between thousands"),
    )
    return Form(pattern, "is no size; write a number and k M G T P or Ki Mi Gi Ti Pi, such as 10Gi", mistakes)
