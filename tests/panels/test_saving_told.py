"""What memory is short for is told before the work: on the command line, in the panel, on the queue's bus."""

from __future__ import annotations

from typing import Any

import pytest

from workbench.cli._common import progress
from workbench.engine.events import Planned, Saving
from workbench.panels.generation import GenerationPanel
from workbench.queue import QueueEvent
from workbench.queue.queue import Queue
from workbench.recipe import Recipe
from workbench.session import Session

WORDS = "tiny-base: text encoder dropped once the prompts were encoded ("


def test_the_command_line_says_it_without_a_terminal_too(capsys: pytest.CaptureFixture[str]) -> None:
    with progress("Generating") as listen:
        assert listen is not None
        listen(Planned(1, 1, 1))
        listen(Saving("big", "text encoder on the CPU", "40 GB are needed, 19.2 of 24 GB are planned with"))
    told = capsys.readouterr()
    assert told.out == ""
    assert told.err == (
        "Memory is short. big: text encoder on the CPU (40 GB are needed, 19.2 of 24 GB are planned with).\n"
    )


def test_panel_and_queue_say_it_and_the_file_keeps_it(
    session: Session, small: Recipe, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(session.engine, "_memory_limit", 10**6)
    panel = GenerationPanel(session, small.replace(seed=77))
    panel.generate_button.click()
    assert panel.wait(120.0)
    assert panel.banner.text.startswith(f"Memory is short. {WORDS}")
    stored = session.store.get(panel.history.current)
    assert stored is not None
    assert stored.fallbacks == ("text encoder dropped once the prompts were encoded",)
    queue = Queue(session)
    told: list[QueueEvent] = []
    leave = queue.bus.subscribe(told.append)
    queue.submit(small.replace(seed=78))
    queue.work()
    leave()
    names: list[Any] = [event.name for event in told]
    assert names.index("saving") < names.index("step")
    assert told[names.index("saving")].reason.startswith(WORDS)
