"""Put a proxy in front of a registry that writes down, slows, cuts, stalls and lies, for tests of what happens then."""

from __future__ import annotations

import asyncio
import re
import threading
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field, replace
from typing import TYPE_CHECKING

from devcluster.relay import Relay

if TYPE_CHECKING:
    from collections.abc import Sequence

_WAIT_SECONDS = 10.0
