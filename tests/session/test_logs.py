from __future__ import annotations

import json
import logging
from collections.abc import Iterator

import pytest
import structlog

from workbench import logs


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def test_quiet_unless_something_is_wrong(capsys: pytest.CaptureFixture[str]) -> None:
    log = logs.get_logger("store")
    log.info("picture saved", digest="ab")
    assert capsys.readouterr() == ("", "")
    log.warning("picture lost", digest="ab")
    out, err = capsys.readouterr()
    assert out == ""
    assert "picture lost" in err
    assert "part=store" in err


def test_json_lines_for_machines(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up(logging.INFO, style="json")
    with structlog.contextvars.bound_contextvars(job="7"):
        logs.get_logger("engine").info("step", step=3)
    (line,) = capsys.readouterr().err.splitlines()
    entry = json.loads(line)
    assert entry.pop("timestamp").endswith("Z")
    assert entry == {"event": "step", "level": "info", "part": "engine", "job": "7", "step": 3}


def test_a_later_set_up_takes_effect(capsys: pytest.CaptureFixture[str]) -> None:
    log = logs.get_logger("store")
    log.info("unseen")
    logs.set_up(logging.DEBUG)
    log = logs.get_logger("store")
    log.debug("seen")
    err = capsys.readouterr().err
    assert "unseen" not in err
    assert "seen" in err
