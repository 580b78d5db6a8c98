"""Own the one error that ends an attempt or refuses a spec: a reason with our own words."""

from imageops.api.reasons import Reason

MESSAGE_MAX_LENGTH = 512
"""Characters of an outcome's text at most: what a condition's message is cut to everywhere."""


class OperationError(Exception):
    """Carry why an operation did not succeed.

    The message is written into status and Events, so it must be our own words: never daemon, registry or Secret
    text. Chain the foreign error with `raise ... from` instead; it is not shown to users.
    """

    def __init__(
        self,
        reason: Reason,
        message: str | None = None,
        *,
        hint: str | None = None,
        retry_after: float | None = None,
        doubtful: bool = False,
        repeated: bool = True,
    ) -> None:
        """Make the error.

        Args:
            reason: Why; its class decides whether the operation is tried again.
            message: A sentence of our own; the reason's sentence unless given, cut to 512 characters.
            hint: What to do next; the reason's hint unless given, cut to 512 characters.
            retry_after: Least delay in seconds before the next attempt, where the other side stated one.
            doubtful: Whether a refusal could as well be that of a fault that passes.
            repeated: False for a retryable reason that in this case is final for its run.
        """
        self.reason = reason
        self.message = (message or reason.sentence)[:MESSAGE_MAX_LENGTH]
        self.hint = (hint or reason.hint)[:MESSAGE_MAX_LENGTH]
        self.retry_after = retry_after
        self.doubtful = doubtful
        self.repeated = repeated
        super().__init__(f"{reason.value}: {self.message}")
