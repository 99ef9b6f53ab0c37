"""Laws of the coalescer, on a clock that the test turns by hand."""

from __future__ import annotations

import threading
from collections.abc import Callable
from itertools import pairwise
from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from workbench.panels.coalesce import Coalescer


class Hand:
    """A clock and a timer that stand still until told."""

    def __init__(self) -> None:
        self.now = 100.0
        self.due: list[tuple[float, Callable[[], None]]] = []

    def clock(self) -> float:
        return self.now

    def timer(self, seconds: float, action: Callable[[], None]) -> None:
        self.due.append((self.now + seconds, action))

    def turn(self, seconds: float) -> None:
        end = self.now + seconds
        while self.due and min(self.due, key=lambda item: item[0])[0] <= end:
            first = min(self.due, key=lambda item: item[0])
            self.due.remove(first)
            self.now = max(self.now, first[0])
            first[1]()
        self.now = end


def make(interval: float = 0.1) -> tuple[Hand, list[tuple[float, dict[str, Any]]], Coalescer]:
    hand, sent = Hand(), []
    coalescer = Coalescer(
        lambda news: sent.append((hand.now, news)), interval=interval, clock=hand.clock, timer=hand.timer
    )
    return hand, sent, coalescer


def test_the_first_post_goes_out_at_once() -> None:
    hand, sent, coalescer = make()
    coalescer.post("step", 1)
    assert sent == [(100.0, {"step": 1})]
    assert hand.due == []


def test_a_tight_loop_sends_the_first_and_the_last() -> None:
    hand, sent, coalescer = make()
    for step in range(20_000):
        coalescer.post("step", step)
    assert len(hand.due) == 1  # one timer, not one for every post
    hand.turn(1)
    assert [news for _, news in sent] == [{"step": 0}, {"step": 19_999}]


def test_a_delivery_reads_in_order_of_the_last_posts() -> None:
    hand, sent, coalescer = make()
    coalescer.post("quiet", 0)
    coalescer.post("a", 1)
    coalescer.post("b", 2)
    coalescer.post("a", 3)
    hand.turn(1)
    assert list(sent[-1][1].items()) == [("b", 2), ("a", 3)]


def test_flush_does_not_wait() -> None:
    hand, sent, coalescer = make()
    coalescer.post("step", 1)
    coalescer.post("step", 2)
    coalescer.flush()
    assert [news["step"] for _, news in sent] == [1, 2]
    hand.turn(1)  # the timer finds nothing to do
    assert len(sent) == 2


def test_a_delivery_may_post() -> None:
    hand = Hand()
    seen: list[dict[str, Any]] = []

    def deliver(news: dict[str, Any]) -> None:
        seen.append(news)
        if "first" in news:
            coalescer.post("echo", news["first"])

    coalescer = Coalescer(deliver, clock=hand.clock, timer=hand.timer)
    coalescer.post("first", 1)
    hand.turn(1)
    assert seen == [{"first": 1}, {"echo": 1}]


@given(
    posts=st.lists(st.tuples(st.floats(0, 0.3), st.sampled_from("abc"), st.integers()), min_size=1, max_size=60),
    interval=st.floats(0.01, 0.5),
)
def test_laws(posts: list[tuple[float, str, int]], interval: float) -> None:
    hand, sent, coalescer = make(interval)
    for wait, key, value in posts:
        hand.turn(wait)
        coalescer.post(key, value)
    hand.turn(10)
    latest = {key: value for _, key, value in posts}
    seen: dict[str, Any] = {}
    for _, news in sent:
        seen |= news
    assert seen == latest  # nothing posted last is lost
    times = [time for time, _ in sent]
    assert all(later - earlier >= interval * (1 - 1e-9) for earlier, later in pairwise(times))
    assert all(news for _, news in sent)


def test_the_real_timer_delivers_the_last_post_from_many_threads() -> None:
    last, seen, end = threading.Event(), [], 4 * 500

    def deliver(news: dict[str, Any]) -> None:
        seen.append(news)
        if news.get("end") == end:
            last.set()

    coalescer = Coalescer(deliver, interval=0.02)
    threads = [threading.Thread(target=lambda: [coalescer.post("n", n) for n in range(500)]) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    coalescer.post("end", end)
    assert last.wait(30)
    assert len(seen) < 2001
