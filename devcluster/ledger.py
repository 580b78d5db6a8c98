"""Keep what a gate has seen, and the rules of what it is to do; shared by its thread and the test's."""

from __future__ import annotations

import re
import threading
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any


@dataclass(frozen=True, slots=True)
class GateRequest:
    """Describe one request that came to a gate.

    `path` includes the query. `authorized` says that an Authorization header was there, never what it held. `status` is
    None until an answer began, and stays so if the exchange was cut before. Byte counts are of bodies, so far.
    """

    method: str
    path: str
    authorized: bool
    status: int | None = None
    request_bytes: int = 0
    response_bytes: int = 0
    finished: bool = False


@dataclass(frozen=True, slots=True)
class Answer:
    """Answer the request without asking the registry."""

    status: int
    headers: Mapping[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Cut:
    """Drop the connection after so many body bytes in both directions; 0 = before the registry is asked."""

    after_bytes: int


@dataclass(frozen=True, slots=True)
class Stall:
    """Pass nothing on after so many body bytes in both directions, until the gate is released."""

    after_bytes: int


Action = Answer | Cut | Stall


@dataclass(slots=True)
class Rule:
    """Say what to do with requests of this method (None = any) and path, and how often it is still to happen.

    `passing` requests that fit are let through before the first that is taken.
    """

    method: str | None
    path: re.Pattern[str]
    action: Action
    left: int | None
    passing: int = 0

    def fits(self, method: str, path: str) -> bool:
        """Say whether the rule is for this request and not used up."""
        return self.left != 0 and self.method in {None, method} and self.path.fullmatch(path) is not None


@dataclass(slots=True)
class Ledger:
    """Hold requests in their order of arrival, and rules in their order of making."""

    _requests: list[GateRequest] = field(default_factory=list)
    _rules: list[Rule] = field(default_factory=list)
    _changed: threading.Condition = field(default_factory=threading.Condition)

    @property
    def requests(self) -> tuple[GateRequest, ...]:
        """Return what is known of every request now."""
        with self._changed:
            return tuple(self._requests)

    def opened(self, request: GateRequest) -> int:
        """Write down a new request and return its number."""
        with self._changed:
            self._requests.append(request)
            self._changed.notify_all()
            return len(self._requests) - 1

    def changed(self, number: int, **values: Any) -> None:
        """Write down what is new of a request."""
        with self._changed:
            self._requests[number] = replace(self._requests[number], **values)
            self._changed.notify_all()

    def wait(self, holds: Callable[[Sequence[GateRequest]], bool], seconds: float) -> tuple[GateRequest, ...]:
        """Wait until the requests fulfil the condition, and return them.

        Raises `TimeoutError` with the list of requests if they do not in time.
        """
        with self._changed:
            if not self._changed.wait_for(lambda: holds(self._requests), seconds):
                seen = "; ".join(f"{it.method} {it.path} {it.status}" for it in self._requests)
                msg = f"not seen at the gate within {seconds:g} s; what came: {seen or 'nothing'}"
                raise TimeoutError(msg)
            return tuple(self._requests)

    def add_rule(self, rule: Rule) -> None:
        """Add a rule."""
        with self._changed:
            self._rules.append(rule)

    def clear_rules(self) -> None:
        """Drop all rules."""
        with self._changed:
            self._rules = []

    def rule_for(self, method: str, path: str) -> Rule | None:
        """Find the first rule that fits the request, and count the request in the rules that let it pass."""
        bare = path.partition("?")[0]
        with self._changed:
            for rule in self._rules:
                if rule.fits(method, bare):
                    if not rule.passing:
                        return rule
                    rule.passing -= 1
        return None

    def take(self, rule: Rule) -> bool:
        """Count that the rule takes effect; answer False if it has been used up meanwhile."""
        with self._changed:
            if rule.left == 0:
                return False
            if rule.left is not None:
                rule.left -= 1
            return True
