"""Put a proxy in front of a registry that writes down, slows, cuts, stalls and lies, for tests of what happens then."""

from __future__ import annotations

import asyncio
import re
import threading
from typing import TYPE_CHECKING, Self

from devcluster.ledger import Answer, Cut, Ledger, Rule, Stall
from devcluster.ports import ADDRESS
from devcluster.relay import Pace, Relay

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from devcluster.ledger import GateRequest

_WAIT_SECONDS = 60.0


class RegistryGate:
    """Serve a registry under another address while the block runs, in a thread of its own.

    `upstream` is the registry's host:port, or unix:///path of a daemon's socket. `bytes_per_second` is a limit on the
    bodies in both directions and over all connections together, None = none; it may be set anew at any time. It listens
    at `host`. Clients use `address`. The registry's own links lead back to the gate, as it sees the name
    the client called.

        with RegistryGate(upstream="127.0.0.1:5001", bytes_per_second=1_000_000) as gate:
            gate.script(method="PUT", path=r".*/manifests/.*", status=503)
            push(f"{gate.address}/app:1")
            assert [it.status for it in gate.requests] == ...

    Of several rules for a request the first that was made and is not used up is taken. A rule's `path` is a regular
    expression for the whole path without the query, `method` None is any. `passing` says how many requests that fit are
    let through first, and `times` how often the rule is to take effect after that, None = for ever.
    """

    def __init__(self, upstream: str, *, bytes_per_second: int | None = None, host: str = ADDRESS) -> None:
        self._host = host
        self._ledger = Ledger()
        self._pace = Pace(bytes_per_second)
        self._upstream = upstream
        self._loop = asyncio.new_event_loop()
        self._thread = threading.Thread(target=self._loop.run_forever, name="registry-gate", daemon=True)
        self._relay: Relay
        self._server: asyncio.Server

    def __enter__(self) -> Self:
        self._thread.start()
        asyncio.run_coroutine_threadsafe(self._open(), self._loop).result()
        return self

    def __exit__(self, *_: object) -> None:
        asyncio.run_coroutine_threadsafe(self._close(), self._loop).result()
        self._loop.call_soon_threadsafe(self._loop.stop)
        self._thread.join()
        self._loop.close()

    @property
    def address(self) -> str:
        """Return host:port of the gate."""
        return f"{self._host}:{self._server.sockets[0].getsockname()[1]}"

    @property
    def requests(self) -> tuple[GateRequest, ...]:
        """Return every request so far, in the order of arrival."""
        return self._ledger.requests

    @property
    def bytes_per_second(self) -> int | None:
        """Return the present limit."""
        return self._pace.bytes_per_second

    @bytes_per_second.setter
    def bytes_per_second(self, limit: int | None) -> None:
        self._pace.bytes_per_second = limit

    def wait(
        self, holds: Callable[[Sequence[GateRequest]], bool], seconds: float = _WAIT_SECONDS
    ) -> tuple[GateRequest, ...]:
        """Wait until the requests so far fulfil the condition, and return them.

        Raises `TimeoutError` if they do not in time.
        """
        return self._ledger.wait(holds, seconds)

    def script(  # noqa: PLR0913 - all but two have a default
        self,
        *,
        path: str,
        status: int,
        method: str | None = None,
        headers: Mapping[str, str] | None = None,
        body: bytes = b"",
        passing: int = 0,
        times: int | None = None,
    ) -> None:
        """Answer these requests without asking the registry.

        Content-Length is added unless it is given; a field whose value is empty is left out.
        """
        answer = Answer(status, dict(headers or {}), body)
        self._ledger.add_rule(Rule(method, re.compile(path), answer, times, passing))

    def cut(
        self,
        *,
        path: str,
        method: str | None = None,
        after_bytes: int = 0,
        passing: int = 0,
        times: int | None = None,
    ) -> None:
        """Drop the connection of these requests after so many body bytes; 0 = before the registry is asked."""
        self._ledger.add_rule(Rule(method, re.compile(path), Cut(after_bytes), times, passing))

    def stall(self, *, path: str, method: str | None = None, after_bytes: int = 0, times: int | None = None) -> None:
        """Pass nothing more on for these requests after so many body bytes, until `release`."""
        self._loop.call_soon_threadsafe(self._relay.released.clear)
        self._ledger.add_rule(Rule(method, re.compile(path), Stall(after_bytes), times))

    def release(self) -> None:
        """Drop all rules, and let what was stalled go on."""
        self._ledger.clear_rules()
        self._loop.call_soon_threadsafe(self._relay.released.set)

    async def _open(self) -> None:
        self._relay = Relay(self._upstream, self._ledger, self._pace)
        self._server = await asyncio.start_server(self._relay.serve, self._host, 0)

    async def _close(self) -> None:
        self._server.close()
        others = asyncio.all_tasks() - {asyncio.current_task()}
        for task in others:
            task.cancel()
        await asyncio.gather(*others, return_exceptions=True)
