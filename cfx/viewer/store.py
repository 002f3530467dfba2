"""What visitors look at, in memory alone: a few progressions, each for a short while, and gone when they leave."""

import secrets
import threading
import time
from collections import OrderedDict
from collections.abc import Callable

from cfx.viewer.progression import Shown

MOST = 8
"""Progressions kept at once; about ten megabytes each."""
LIFETIME = 900.0
"""Seconds that one is kept after it was last asked for."""


class Visits:
    """Progressions by an identifier that cannot be guessed.

    Args:
        most: how many are kept; the one unused for longest goes first.
        lifetime: seconds after which one that nobody asked for goes.
        clock: seconds from anywhere, rising.

    """

    def __init__(
        self, most: int = MOST, lifetime: float = LIFETIME, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._most, self._lifetime, self._clock = most, lifetime, clock
        self._kept: OrderedDict[str, tuple[float, Shown]] = OrderedDict()
        self._lock = threading.Lock()

    def __len__(self) -> int:
        with self._lock:
            self._sweep()
            return len(self._kept)

    def add(self, shown: Shown) -> str:
        """Keeps a progression and returns its identifier, 128 random bits."""
        name = secrets.token_urlsafe(16)
        with self._lock:
            self._sweep()
            while len(self._kept) >= self._most:
                self._kept.popitem(last=False)
            self._kept[name] = (self._clock() + self._lifetime, shown)
        return name

    def get(self, name: str) -> Shown | None:
        """The progression, None where it has gone; it is kept for another while."""
        with self._lock:
            self._sweep()
            found = self._kept.pop(name, None)
            if found is None:
                return None
            self._kept[name] = (self._clock() + self._lifetime, found[1])
            return found[1]

    def forget(self, name: str) -> None:
        """Drops a progression, whether it is there or not."""
        with self._lock:
            self._kept.pop(name, None)

    def sweep(self) -> None:
        """Drops what has expired; called by the clock, so that nothing lies around until the next visit."""
        with self._lock:
            self._sweep()

    def _sweep(self) -> None:
        now = self._clock()
        for name in [name for name, (end, _) in self._kept.items() if end <= now]:
            del self._kept[name]
