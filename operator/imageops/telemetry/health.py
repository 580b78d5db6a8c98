"""Serve /healthz, /readyz and /metrics, from the first second of the process."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass

from aiohttp import web

METRICS_CONTENT_TYPE = "text/plain; version=0.0.4"


@dataclass(frozen=True, slots=True)
class Verdict:
    """What a probe is told."""

    good: bool
    text: str


class HealthServer:
    """A small HTTP server for probes and scrapes."""

    def __init__(
        self,
        *,
        alive: Callable[[], Verdict],
        ready: Callable[[], Verdict],
        metrics: Callable[[], bytes],
    ) -> None:
        """Keep what answers; `start` listens."""
        application = web.Application()
        application.router.add_get("/healthz", _probe(alive))
        application.router.add_get("/readyz", _probe(ready))

        async def scrape(_request: web.Request) -> web.Response:
            return _last(web.Response(body=metrics(), headers={"Content-Type": METRICS_CONTENT_TYPE}))

        application.router.add_get("/metrics", scrape)
        self._runner = web.AppRunner(application, access_log=None)

    async def start(self, host: str, port: int) -> int:
        """Listen, and return the port."""
        await self._runner.setup()
        site = web.TCPSite(self._runner, host, port)
        await site.start()
        address = self._runner.addresses[0]
        return int(address[1])

    async def stop(self) -> None:
        """Listen no more."""
        await self._runner.cleanup()


def _probe(verdict: Callable[[], Verdict]) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
    async def answer(_request: web.Request) -> web.StreamResponse:
        result = verdict()
        return _last(web.Response(status=200 if result.good else 503, text=result.text + "\n"))

    return answer


def _last(response: web.Response) -> web.Response:
    """Close the connection after a response: one that is kept open would delay the end of the process."""
    response.force_close()
    return response
