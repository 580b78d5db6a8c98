"""Judge why the API server did not take what it was given: for good, or only for now.

That is an operation of a Session, or the status of an object. The same content will be refused again by what looks at
it: the rules of the definition, an admission policy or a webhook. A quota, a missing right, a namespace on its way out,
a conflict or a server in trouble say nothing about it: the request is made again.
"""

import re
from dataclasses import dataclass
from datetime import datetime, timedelta

from imageops.api.reasons import Reason
from imageops.api.session_status import SessionError
from imageops.api.status import ObjectReference
from imageops.core.backoff import WAIT

_FOR_NOW = frozenset({401, 404, 408, 409, 429})
"""Codes that say nothing about the operation; so do all from 500."""
_FORBIDDEN = 403
_OBJECT = r'^\S+(?: "[^"]*")? is (?:forbidden|invalid): '
"""How the API server begins: with the object, which the reader knows. A webhook's answer never begins so."""
_FORBIDDEN_FOR_NOW = re.compile(
    _OBJECT
    + r"(?:(?:exceeded|failed|insufficient|status unknown for) quota"
    + r"|User .* cannot (?:create|delete|patch) resource"
    + r"|unable to create new content in namespace)"
)
"""A 403 has the same code and reason whoever said it: admission, ResourceQuota, RBAC or the end of the namespace."""
_TEXT_MAX_LENGTH = 300
"""Characters of the API server's message that are shown: the rest of a condition is for what to do about it."""


@dataclass(frozen=True, slots=True, kw_only=True)
class ApiRefusal:
    """The answer of the API server to the creation or deletion of one operation, or to one status."""

    code: int
    """HTTP status code, from 400."""
    message: str
    """What the API server said to people, without credentials; empty if the answer was not its own."""
    at: datetime
    """When it said so last."""
    deletion: bool = False
    """Whether it was the deletion."""
    times: int = 1
    """How often in a row it refused this operation."""
    retry_after: float = 0.0
    """Least seconds before the next try, where it said so."""

    @property
    def for_good(self) -> bool:
        """Whether the same will be refused again."""
        return self.reason is Reason.ADMISSION_DENIED

    @property
    def reason(self) -> Reason:
        """AdmissionDenied if it is refused for good, FailedCreate if only for now."""
        if self.code in _FOR_NOW or self.code >= 500 or not self.message:
            return Reason.FAILED_CREATE
        if self.code == _FORBIDDEN and _FORBIDDEN_FOR_NOW.match(self.message):
            return Reason.FAILED_CREATE
        return Reason.ADMISSION_DENIED

    @property
    def text(self) -> str:
        """What was said, without the name of the object it was said of."""
        said = re.sub(_OBJECT, "", self.message) or f"The API server answered {self.code}."
        return said if len(said) <= _TEXT_MAX_LENGTH else said[: _TEXT_MAX_LENGTH - 1] + "…"

    @property
    def due(self) -> datetime:
        """When it is to be tried again: after 5 s doubling to 60 s; in whole seconds, as status counts."""
        delay = max(WAIT.after_failures(self.times), self.retry_after)
        return self.at.replace(microsecond=0) + timedelta(seconds=delay)

    def told_of(self, step: str) -> str:
        """Say to people what became of the creation, and what to do about it."""
        return f"Step {step}: {self.text.rstrip('.')}. {self.reason.hint}"

    def error_of(self, operation: ObjectReference) -> SessionError:
        """Put a refusal for good on record."""
        return SessionError(
            operation_ref=operation,
            reason=self.reason.value,
            reason_class=self.reason.reason_class.value,
            message=self.text,
            first_time=self.at,
            last_time=self.at,
        )
