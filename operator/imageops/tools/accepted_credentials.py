"""Remember which credentials registries have taken in the present run of each operation.

A credential that was good a moment ago is tried again; one that nothing ever took is not. It lasts from attempt to
attempt; after a restart a credential counts as unproven until it is taken again, which repeats no refused one.
"""

from collections import OrderedDict
from dataclasses import dataclass, field

from imageops.engine.protocol import RegistryAuth
from imageops.tools.limits import Requester

MAX_OPERATIONS = 10_000
"""Operations that are remembered; the one that was heard of longest ago is forgotten first."""


@dataclass(slots=True)
class AcceptedCredentials:
    """What was taken, by operation. Of a credential only its hash is kept."""

    _taken: "OrderedDict[str, tuple[int, set[int]]]" = field(default_factory=OrderedDict)

    def note(self, requester: Requester, host: str, auth: RegistryAuth | None) -> None:
        """Take note that a registry answered a question under a credential."""
        run, taken = self._taken.pop(requester.uid, (requester.run, set()))
        if run != requester.run:
            taken = set()
        taken.add(hash((host, auth)))
        self._taken[requester.uid] = (requester.run, taken)
        while len(self._taken) > MAX_OPERATIONS:
            self._taken.popitem(last=False)

    def has(self, requester: Requester, host: str, auth: RegistryAuth | None) -> bool:
        """Tell whether it did so before in the same run."""
        run, taken = self._taken.get(requester.uid, (requester.run, set()))
        return run == requester.run and hash((host, auth)) in taken
