"""At most ten updates a second to the browser, and never without the last one.

A Jupyter server drops messages above a rate, and what it drops first is the newest: a progress bar fed from a tight
loop stays wrong for ever. A `Coalescer` keeps the newest value of every key and hands all of them over together, at once
when the line was quiet, otherwise when the interval is over. What was posted last is always delivered.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from typing import Any, Protocol

INTERVAL = 0.1  # seconds between two deliveries: 10 Hz


class Timer(Protocol):
    """Something that calls a function later; `thread_timer` is the real one."""

    def __call__(self, seconds: float, action: Callable[[], None]) -> object:
        """Call `action` once after `seconds`, on any thread."""
        ...


def thread_timer(seconds: float, action: Callable[[], None]) -> threading.Timer:
    """Start a daemon timer thread that calls `action` after `seconds`."""
    timer = threading.Timer(seconds, action)
    timer.daemon = True
    timer.start()
    return timer


class Coalescer:
    """Newest value by key, delivered at most once per interval.

    Args:
        deliver: receives one dict of everything that is new, in the order of the last posts. It is never called by two
            threads at a time, and never from within `post` of another thread's delivery.
        interval: seconds between two deliveries.
        clock: monotonic seconds.
        timer: calls a function after some seconds.
    """

    def __init__(
        self,
        deliver: Callable[[dict[str, Any]], None],
        *,
        interval: float = INTERVAL,
        clock: Callable[[], float] = time.monotonic,
        timer: Timer = thread_timer,
    ) -> None:
        self._deliver, self._interval, self._clock, self._timer = deliver, interval, clock, timer
        self._news: dict[str, Any] = {}
        self._state = threading.Lock()  # guards _news, _last, _armed; held for moments only
        self._sending = threading.RLock()  # keeps deliveries in order; a delivery may post again
        self._last = -float("inf")
        self._armed = False

    def post(self, key: str, value: Any) -> None:
        """Replace the undelivered value of `key`; deliver now when the interval is over, else when it ends."""
        with self._state:
            self._news.pop(key, None)  # the newest post goes last, so that deliveries read in order of time
            self._news[key] = value
            if self._armed:
                return
            wait = self._last + self._interval - self._clock()
            self._armed = True
        if wait <= 0:
            self.flush()
        else:
            self._timer(wait, self.flush)

    def flush(self) -> None:
        """Deliver what is waiting, now, whatever the interval says."""
        with self._sending:
            with self._state:
                news, self._news = self._news, {}
                self._last, self._armed = self._clock(), False
            if news:
                self._deliver(news)
