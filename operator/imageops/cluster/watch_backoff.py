"""Say how long to wait before the API server is asked again for a list or a watch."""

from collections.abc import Iterator
from itertools import chain, repeat


class WatchBackoff:
    """Seconds between the tries, without end.

    kopf's own end after nine, with a pause of 21 s before the last: an API server that comes back after a minute and
    refuses for a moment would end the process, and its running work with it.
    """

    def __iter__(self) -> Iterator[float]:
        """Begin with 1 s and grow to 5 s."""
        return chain((1.0, 1.0, 2.0, 3.0), repeat(5.0))
