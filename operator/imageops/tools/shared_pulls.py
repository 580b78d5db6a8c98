"""Let equal pulls share one stream: the daemon pulls once, all show the progress, the last to leave stops it."""

import asyncio
from collections.abc import Callable, Coroutine, Hashable
from dataclasses import dataclass, field
from typing import Any

from imageops.tools.tool import ProgressSink, ToolContext


@dataclass(slots=True)
class _Stream:
    progress: ProgressSink
    task: asyncio.Task[str]
    users: int = 0


@dataclass(slots=True)
class SharedPulls:
    """The pulls under way on one daemon."""

    _streams: dict[Hashable, _Stream] = field(default_factory=dict)

    def is_running(self, key: Hashable) -> bool:
        """Tell whether a pull of this key can be joined."""
        return key in self._streams

    async def join(
        self,
        key: Hashable,
        context: ToolContext,
        begin: Callable[[ProgressSink], Coroutine[Any, Any, str]],
        ended: Callable[[], None],
    ) -> str:
        """Return the result of the pull of this key, which is begun unless it runs.

        Cancelling the last who waits for it cancels the pull; a failure is the failure of all who share it. `ended` is
        called when a pull that was begun here is over, however it ended, and whoever shared it.
        """
        stream = self._streams.get(key)
        if stream is None:
            task = asyncio.create_task(begin(context.progress), name="shared pull")
            stream = self._streams[key] = _Stream(context.progress, task)
            task.add_done_callback(lambda _: self._forget(key, task))
            task.add_done_callback(lambda _: ended())
        else:
            context.follow(stream.progress)
        stream.users += 1
        try:
            return await asyncio.shield(stream.task)
        finally:
            stream.users -= 1
            if not stream.users and not stream.task.done():
                self._forget(key, stream.task)
                stream.task.cancel()
                await asyncio.wait([stream.task])

    def _forget(self, key: Hashable, task: asyncio.Task[str]) -> None:
        stream = self._streams.get(key)
        if stream is not None and stream.task is task:
            del self._streams[key]
