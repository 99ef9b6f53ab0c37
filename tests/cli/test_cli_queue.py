from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from typer.testing import Result

Cli = Callable[..., Result]

GRID = """
grid: 1
base: {model: tiny-base, prompt: a red circle, width: 64, height: 64}
axes: [{field: steps, values: '1-2'}]
"""
SWEEP = """
sweep: 1
title: four
base: {model: tiny-base, prompt: a dot, width: 64, height: 64, steps: 1}
axes: [{zip: [{field: prompt, values: [x, y]}, {field: seed, values: [1, 2]}]}]
runs: 2
"""


@pytest.fixture
def files(home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "grid.yaml").write_text(GRID)
    (tmp_path / "sweep.yaml").write_text(SWEEP)
    (tmp_path / "wrong.yaml").write_text("model: tiny-base\nsteps: 2.5\n")
    (tmp_path / "absent.yaml").write_text("model: absent\n")
    return tmp_path


def test_submit_steer_work_and_watch(cli: Cli, files: Path) -> None:
    submitted = json.loads(cli("queue", "submit", "grid.yaml", "sweep.yaml", "--priority", "2", "--json").stdout)
    assert [(batch["total"], batch["title"]) for batch in submitted] == [(2, "2 pictures"), (4, "four")]
    jobs = json.loads(cli("queue", "list", "--json").stdout)
    assert [job["priority"] for job in jobs] == [2] * 6
    assert cli("queue", "cancel", "3", "4").stdout == "canceled: 2\n"
    assert cli("queue", "retry", "--all").stdout == "queued again: 2\n"
    assert cli("queue", "priority", "9", "6").stdout == "changed: 1\n"
    assert json.loads(cli("queue", "list", "--json").stdout)[0]["id"] == 6
    assert cli("queue", "pause", "--reason", "lunch").stdout == "paused\n"
    assert "paused: lunch" in cli("queue", "list").stdout
    assert cli("queue", "resume").stdout == "resumed\n"
    assert cli("queue", "cancel", "--batch", "2").stdout == "canceled: 4\n"
    worked = cli("queue", "work", "--until-done")
    assert worked.exit_code == 0, worked.output
    assert worked.stdout == "finished 2 (0 stored already), failed 0\n"
    watched = cli("queue", "watch", "--json")
    assert json.loads(watched.stdout.splitlines()[-1])["completed"] == 2
    shown = json.loads(cli("queue", "show", "1", "--json").stdout)
    assert Path(shown["path"]).is_file()
    assert json.loads(shown["payload"])["steps"] == 1
    assert "completed" in cli("queue", "show", "1").stdout
    assert json.loads(cli("queue", "clear", "--json").stdout) == {"jobs": 6}


def test_failures_have_exit_codes_and_sentences(cli: Cli, files: Path) -> None:
    wrong = cli("queue", "submit", "grid.yaml", "wrong.yaml")
    assert wrong.exit_code == 2
    assert "'steps' cannot be 2.5" in wrong.stderr
    assert cli("queue", "submit", "grid.yaml", "absent.yaml").exit_code == 2
    assert json.loads(cli("queue", "list", "--batches", "--json").stdout) == []  # not even the file that was right
    assert cli("queue", "show", "1").exit_code == 2
    assert cli("queue", "cancel").exit_code == 2
    assert cli("queue", "cancel", "1", "--all").exit_code == 2
    assert cli("queue", "retry", "1", "--batch", "1").exit_code == 2
    assert cli("queue", "list", "--state", "pendin").exit_code == 2
    failing = cli("queue", "submit", "--kind", "evals.run", "--", "no-such-suite", "--models", "x", "--out", "run")
    assert failing.exit_code == 0, failing.output
    worked = cli("queue", "work", "--until-done")
    assert worked.exit_code == 1
    assert "no-such-suite" in worked.stderr
    assert cli("queue", "watch").exit_code == 1
    assert "failed" in cli("queue", "list", "--state", "failed").stdout
