"""Take, renew and give back a Lease; `core.lease` has the rules.

Whoever holds it may act until its renew deadline. `held` is asked right before each request that changes anything, so
that a process which was stopped for longer than that does nothing when it goes on.
"""

import asyncio
import logging
import math
import random
import time
from datetime import UTC, datetime
from typing import Any

from imageops.cluster.api_server import ApiError, ApiServer
from imageops.cluster.paths import ApiPath
from imageops.core.lease import LeaseClaim, ObservedLease, Timing, given_back, next_claim, observe_lease

logger = logging.getLogger("imageops.cluster")

NEVER = -math.inf
_JITTER = 0.2
"""Of the retry period, so that candidates do not ask in step."""


def clock() -> float:
    """Return seconds that go on while the process is stopped, and while the machine sleeps."""
    return time.clock_gettime(time.CLOCK_BOOTTIME)


class Lease:
    """One Lease, as one candidate sees it."""

    def __init__(self, api: ApiServer, namespace: str, name: str, *, identity: str, timing: Timing) -> None:
        """Make a candidate.

        Args:
            api: Connections of its own, so that a renewal waits for nothing else.
            namespace: Where the Lease lies.
            name: What it is called.
            identity: Who the candidate is: no other process, before or after, has the same.
            timing: How long the Lease lasts.

        """
        self.name = name
        self.identity = identity
        self._api = api
        self._collection = ApiPath.of("apis", "coordination.k8s.io", "v1", "namespaces", namespace, "leases")
        self._namespace = namespace
        self._timing = timing
        self._stored: dict[str, Any] | None = None
        self._observed: ObservedLease | None = None
        self._held_until = NEVER

    @property
    def holder(self) -> str | None:
        """Who held it at the last look; None before the first that was answered."""
        return self._observed.claim.holder if self._observed is not None else None

    def remaining(self) -> float:
        """Return the seconds until the renew deadline; not above 0 if it is not held. Callable from any thread."""
        return self._held_until - clock()

    def held(self) -> bool:
        """Tell whether it is held now. Callable from any thread."""
        return self.remaining() > 0

    async def acquire(self) -> None:
        """Return as soon as it is held."""
        try:
            while not self.held():
                self._held_until = await self._attempt() or NEVER
                if not self.held():
                    await asyncio.sleep(self._timing.retry_period * (1 + random.random() * _JITTER))  # noqa: S311
        except asyncio.CancelledError:
            await self.release()  # a claim may just have been stored
            raise
        logger.info("%s leads: it took the Lease %s/%s", self.identity, self._namespace, self.name)

    async def keep(self) -> None:
        """Renew it until it is lost: somebody else took it, or it was not renewed by the deadline. That is for good."""
        while self.held():
            await asyncio.sleep(min(self._timing.retry_period, max(0.0, self.remaining())))
            until = await self._attempt() if self.held() else None
            if until is not None and self.held():
                self._held_until = until
        self._held_until = NEVER

    async def release(self) -> None:
        """Give it back, so that another takes it at once. One that is not ours, or no answer, is left at that."""
        self._held_until = NEVER
        try:
            async with asyncio.timeout(self._timing.renew_deadline / 2):
                stored = await self._api.get(self._collection / self.name)
                claim = LeaseClaim.read(stored.get("spec") or {})
                if claim.holder == self.identity:
                    await self._replace(stored, given_back(claim, written_at=datetime.now(UTC)))
                    logger.info("gave the Lease %s/%s back", self._namespace, self.name)
        except (ApiError, TimeoutError) as error:
            logger.warning("the Lease %s/%s was not given back: %s", self._namespace, self.name, error or "no answer")

    async def _attempt(self) -> float | None:
        """Try once to take or renew it.

        Returns:
            Until when it is held by that, on our clock: NEVER if another holds it, None if that is not known.

        """
        began = clock()
        try:
            async with asyncio.timeout(self._timing.renew_deadline / 2):
                return began + self._timing.renew_deadline if await self._claim(began) else NEVER
        except (ApiError, TimeoutError) as error:
            # Somebody may have been quicker, or the claim was stored and its answer lost: look before the next one.
            self._stored = None
            logger.warning("the Lease %s/%s was not taken: %s", self._namespace, self.name, error or "no answer")
            return None

    async def _claim(self, began: float) -> bool:
        """Write a claim; False if another holds the Lease."""
        if self._stored is None or self.holder != self.identity:
            await self._look()
        claim = next_claim(
            self._observed if self._stored is not None else None,
            self.identity,
            self._timing,
            now=began,
            written_at=datetime.now(UTC),
        )
        if claim is None:
            return False
        if self._stored is None:
            self._see(await self._api.create(self._collection, self._body(claim)))
        else:
            self._see(await self._replace(self._stored, claim))
        return True

    async def _look(self) -> None:
        try:
            self._see(await self._api.get(self._collection / self.name))
        except ApiError as error:
            if not error.not_found:
                raise
            self._stored = None

    def _see(self, stored: dict[str, Any]) -> None:
        before = self.holder
        self._stored = stored
        self._observed = observe_lease(self._observed, LeaseClaim.read(stored.get("spec") or {}), clock())
        if self.holder not in {before, self.identity}:
            logger.info("%s holds the Lease %s/%s", self.holder or "nobody", self._namespace, self.name)

    async def _replace(self, stored: dict[str, Any], claim: LeaseClaim) -> dict[str, Any]:
        """Replace exactly the version that was read; what others keep in the Lease stays."""
        spec = {**(stored.get("spec") or {}), **claim.spec()}
        return await self._api.replace(self._collection / self.name, {**stored, "spec": spec})

    def _body(self, claim: LeaseClaim) -> dict[str, Any]:
        return {
            "apiVersion": "coordination.k8s.io/v1",
            "kind": "Lease",
            "metadata": {"name": self.name, "namespace": self._namespace},
            "spec": claim.spec(),
        }
