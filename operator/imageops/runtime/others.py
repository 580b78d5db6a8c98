"""Know what the other objects want of the names on a daemon."""

from collections.abc import Iterator
from dataclasses import dataclass

from imageops.api.operations import ImagePullSpec, ImageTagSpec
from imageops.api.reasons import ReasonClass
from imageops.api.status import Phase
from imageops.core.effects import Purpose
from imageops.runtime.daemons import Daemons
from imageops.runtime.objects import Entry, ObjectStore


@dataclass(frozen=True, slots=True)
class OtherEntries:
    """All objects but one, as far as they have to do with one daemon."""

    entry: Entry
    """The object that is not meant."""
    daemon_name: str | None
    store: ObjectStore
    daemons: Daemons

    def ask_for(self, name: str) -> bool:
        """Tell whether one of them is to give the daemon this name, whatever came of it so far."""
        return any(True for _ in self._asking(name))

    def have(self, name: str) -> bool:
        """Tell whether one of them has given the daemon this name, with success."""
        return any(map(_succeeded, self._asking(name)))

    def _asking(self, name: str) -> Iterator[Entry]:
        wanted = _on_daemon(name)
        for one in self.store:
            if (
                one is not self.entry
                and not one.reading.deleting
                and isinstance(one.spec, ImagePullSpec | ImageTagSpec)
                and (one.spec.daemon_name or self.daemons.default) == self.daemon_name
                and _on_daemon(one.reading.references.get("reference", "")) == wanted
            ):
                yield one


def _succeeded(one: Entry) -> bool:
    """Tell whether an operation has succeeded, be it that nobody has decided on its outcome yet."""
    attempt = one.attempt
    if attempt is not None and attempt.purpose is Purpose.RUN and attempt.outcome is not None:
        return attempt.outcome.reason.reason_class is ReasonClass.SUCCESS
    return bool(one.status.phase == Phase.SUCCEEDED)


def _on_daemon(text: str) -> str:
    """Return the name that an Engine keeps for a canonical reference: one by digest has no tag there."""
    name, at, digest = text.partition("@")
    before, colon, tag = name.rpartition(":")
    untagged = before if colon and "/" not in tag else name
    return f"{untagged}@{digest}" if at else text
