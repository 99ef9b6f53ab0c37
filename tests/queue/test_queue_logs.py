from __future__ import annotations

import json
from collections.abc import Iterator

import pytest
import structlog

from tests.queue.cheap import submit
from workbench import logs
from workbench.queue.queue import Queue


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs, "_chosen", False)
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def test_every_line_of_a_job_says_which_job_and_worker(queue: Queue, capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", style="json")
    submit(queue, 2)
    queue.worker(most=1).run(until_done=True)
    lines = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    over = [line for line in lines if line["event"] == "job over"]
    assert [line["jobs"] for line in over] == [[line["job"]] for line in over]
    assert len({line["job"] for line in over}) == 2
    assert len({line["worker"] for line in over}) == 1
