"""The queue panel without a browser: press the buttons, look at the traits."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest
from PIL import Image

from workbench.panels.queue import QueuePanel
from workbench.queue import QueueEvent
from workbench.queue.queue import Queue
from workbench.recipe import Recipe
from workbench.session import Session

WAIT = 300.0  # seconds; only a hang reaches it


@pytest.fixture
def panel(session: Session) -> Iterator[QueuePanel]:
    Queue(session).cancel()
    Queue(session).clear()
    made = QueuePanel(session)
    yield made
    made.close()


def until(true: Callable[[], object]) -> None:
    end = time.monotonic() + WAIT
    while not true():
        assert time.monotonic() < end
        time.sleep(0.01)


def press(panel: QueuePanel, order: str, job: int) -> None:
    """As a row's button does."""
    panel.table._handle_custom_msg({"type": order, "job": job}, [])


def shown(panel: QueuePanel) -> dict[int, str]:
    return {row["id"]: row["state"] for row in panel.table.jobs}


def submit(panel: QueuePanel, small: Recipe, *seeds: int) -> None:
    assert panel.queue is not None
    panel.queue.submit([small.replace(seed=seed) for seed in seeds])


def test_jobs_are_drawn_here_and_their_pictures_shown(panel: QueuePanel, small: Recipe, session: Session) -> None:
    sent: list[dict[str, Any]] = []
    panel.table.send = lambda content, buffers=None: sent.append(content)
    submit(panel, small, 101, 102)
    until(lambda: list(shown(panel).values()) == ["pending", "pending"])
    assert not panel.retry_button.disabled or "failed <b>0</b>" in panel.summary.value
    panel.work_button.value = True
    until(lambda: list(shown(panel).values()) == ["completed", "completed"])
    assert panel.banner.text == ""
    assert any(content["type"] == "preview" for content in sent)
    digest = panel.table.jobs[0]["digest"]
    panel.table._on_message(None, {"type": "want", "id": digest}, [])
    assert sent[-1]["type"] == "pixels"
    assert "completed <b>2</b>" in panel.summary.value
    assert panel.cancel_button.disabled
    panel.work_button.value = False
    panel.clear_button.click()
    assert panel.table.jobs == []


def test_rows_and_buttons_cancel_and_retry(panel: QueuePanel, small: Recipe) -> None:
    submit(panel, small, 201, 202, 203)
    until(lambda: len(shown(panel)) == 3)
    first, *_ = shown(panel)
    press(panel, "cancel", first)
    until(lambda: shown(panel)[first] == "canceled")
    press(panel, "retry", first)
    until(lambda: shown(panel)[first] == "pending")
    panel.cancel_button.click()
    assert set(shown(panel).values()) == {"canceled"}
    press(panel, "cancel", 10**6)
    assert "There is no job" in panel.banner.text


def test_what_another_queue_does_shows_as_well(panel: QueuePanel, small: Recipe, session: Session) -> None:
    other = Queue(session)
    other.bus = type(other.bus)()  # nothing is heard of it, as of another process
    other.submit(small.replace(seed=301))
    other.pause("<b>full</b>")
    until(lambda: len(shown(panel)) == 1 and panel.pause_button.value)
    assert "&lt;b&gt;full&lt;/b&gt;" in panel.summary.value
    panel.pause_button.value = False
    assert other.paused is None
    panel.pause_button.value = True
    assert other.paused == ""
    other.resume()
    until(lambda: not panel.pause_button.value)


def test_steps_are_shown_as_they_come(panel: QueuePanel, small: Recipe) -> None:
    submit(panel, small, 401)
    until(lambda: len(shown(panel)) == 1)
    job = next(iter(shown(panel)))
    panel.show("step", QueueEvent("step", job=job, step=1, steps=2))
    row = panel.table.jobs[0]
    assert (row["state"], row["step"], row["steps"]) == ("running", 1, 2)
    panel.show("preview", QueueEvent("preview", job=job, preview=Image.new("RGB", (8, 8))))
    panel.look()
    assert panel.table.jobs[0]["state"] == "pending"


def test_a_closed_panel_stops_looking(session: Session, small: Recipe) -> None:
    panel = QueuePanel(session)
    panel.close()
    before = panel.table.jobs
    submit(panel, small, 501)
    assert panel.table.jobs == before
    Queue(session).cancel()
