"""Jobs that are processes of their own: stopped like by a person, never twice at once, gone when their worker is."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest

from workbench.errors import WorkbenchError
from workbench.queue import QueueEvent
from workbench.queue.commands import COMMANDS, Command
from workbench.queue.kinds import register
from workbench.queue.queue import Queue

SCRIPT = """
import os, pathlib, sys, time
folder = pathlib.Path(sys.argv[2])
try:  # whoever reads that it begins may interrupt it at once
    with (folder / "log.txt").open("a") as log:
        log.write(f"{sys.argv[1]} begins\\n")
    if sys.argv[1] == "fail":
        sys.exit("Error: the data are missing.")
    for step in range(1, 4):
        (folder / "step.txt.tmp").write_text(str(step))
        (folder / "step.txt.tmp").replace(folder / "step.txt")
        while sys.argv[1] == "wait" and not (folder / "go.txt").exists():
            time.sleep(0.01)
except KeyboardInterrupt:
    time.sleep(0.3)
    with (folder / "log.txt").open("a") as log:
        log.write("saved\\n")
    sys.exit(130)
with (folder / "log.txt").open("a") as log:
    log.write(f"{os.environ['WORKBENCH_DEVICE']} ends in {pathlib.Path.cwd().name}\\n")
"""


@pytest.fixture
def program(tmp_path: Path, home: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A module that is run as a job; its payload says what it does. Returns the folder it writes to."""
    (tmp_path / "modules" / "slowly").mkdir(parents=True)
    (tmp_path / "modules" / "slowly" / "__init__.py").touch()
    (tmp_path / "modules" / "slowly" / "__main__.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(str(tmp_path / "modules"))
    before = [each for each in [os.environ.get("PYTHONPATH")] if each]
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(tmp_path / "modules"), *before]))

    def progress(_payload: dict[str, Any], _home: Path) -> tuple[int, int] | None:
        path = tmp_path / "step.txt"
        return (int(path.read_text()), 3) if path.is_file() else None

    register(
        "test.slowly", Command("test.slowly", "slowly", lambda p, _home, _n: [*p["arguments"], str(tmp_path)], progress)
    )
    return tmp_path


def log(folder: Path) -> list[str]:
    path = folder / "log.txt"
    return path.read_text().splitlines() if path.is_file() else []


def payload(word: str, folder: Path) -> dict[str, Any]:
    return {"arguments": [word], "folder": str(folder / "modules")}


def test_a_command_runs_where_it_was_submitted_with_the_sessions_settings(queue: Queue, program: Path) -> None:
    queue.submit_job("test.slowly", payload("run", program))
    queue.work()
    assert queue.job(1).state == "completed", queue.job(1).reason
    assert log(program) == ["run begins", "cpu ends in modules"]


def test_a_command_that_fails_gives_its_last_sentence(queue: Queue, program: Path) -> None:
    queue.submit_job("test.slowly", payload("fail", program))
    queue.submit_job("test.slowly", payload("run", program))
    queue.work()
    assert [job.state for job in queue.jobs()] == ["failed", "completed"]
    assert "Error: the data are missing." in queue.job(1).reason


def test_a_cancelled_command_is_interrupted_and_may_save(queue: Queue, program: Path) -> None:
    queue.submit_job("test.slowly", payload("wait", program))
    steps: list[tuple[int, int]] = []

    def stop(event: QueueEvent) -> None:
        if event.name == "step":
            steps.append((event.step, event.steps))
            queue.cancel(1)

    queue.bus.subscribe(stop)
    queue.work(beat=0.02)
    assert queue.job(1).state == "canceled"
    assert steps == [(1, 3)]
    assert log(program) == ["wait begins", "saved"]


def test_a_command_ends_with_whoever_started_it_and_the_next_waits_for_it(program: Path) -> None:
    lock = program / "lock"
    words = [sys.executable, "-m", "workbench.queue.leash", str(lock), sys.executable, "-m", "slowly"]
    with subprocess.Popen([*words, "wait", str(program)], stdin=subprocess.PIPE) as first:
        while log(program) != ["wait begins"]:
            time.sleep(0.01)
        with subprocess.Popen(
            [*words, "run", str(program)], stdin=subprocess.PIPE, env=os.environ | {"WORKBENCH_DEVICE": "x"}
        ) as second:
            assert first.stdin is not None
            first.stdin.close()  # as the system does when the starter is killed
            assert first.wait(60) == 130
            assert second.wait(60) == 0
    assert log(program)[:3] == ["wait begins", "saved", "run begins"]


def test_a_command_may_save_though_its_starter_ignores_the_interrupt(program: Path) -> None:
    words = [sys.executable, "-m", "workbench.queue.leash", str(program / "lock"), sys.executable, "-m", "slowly"]
    with subprocess.Popen(
        [*words, "wait", str(program)],
        stdin=subprocess.PIPE,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),  # noqa: PLW1509 - as in a shell's background
    ) as process:
        while log(program) != ["wait begins"]:
            time.sleep(0.01)
        assert process.stdin is not None
        process.stdin.close()
        assert process.wait() == 130  # not killed when the patience of the leash ends
    assert log(program) == ["wait begins", "saved"]


def test_a_leash_that_is_dropped_while_it_waits_starts_nothing(program: Path) -> None:
    import fcntl

    lock = program / "lock"
    with lock.open("w") as held:
        fcntl.flock(held, fcntl.LOCK_EX)
        words = [sys.executable, "-m", "workbench.queue.leash", str(lock), sys.executable, "-m", "slowly", "run"]
        with subprocess.Popen([*words, str(program)], stdin=subprocess.PIPE) as process:
            assert process.stdin is not None
            process.stdin.close()
            assert process.wait(60) == 130
    assert log(program) == []


def test_what_evaluations_and_training_are_called(home: Path) -> None:
    evals, finetune = COMMANDS
    assert evals.check({"arguments": ["nano-1", "--out", "run"]}) == "evals run nano-1 --out run"
    training = {"arguments": ["--data", "photos"], "name": "style"}
    assert finetune.check(training) == "finetune train --data photos --name style"
    assert finetune.arguments(training, home, 2)[0] == "train"  # nothing to go on from
    (home / "runs" / "style").mkdir(parents=True)
    (home / "runs" / "style" / "config.yaml").touch()
    (home / "runs" / "style" / "status.json").write_text('{"step": 3, "steps": 10}')
    assert finetune.arguments(training, home, 2) == ["resume", "style"]
    assert finetune.arguments(training, home, 1)[0] == "train"
    assert finetune.progress(training, home) == (3, 10)
    wrongs: tuple[dict[str, Any], ...] = (
        {},
        {"arguments": "nano-1"},
        {"arguments": [1]},
        {"arguments": []},
        {"arguments": [], "name": ".."},
    )
    for wrong in wrongs:
        with pytest.raises(WorkbenchError):
            finetune.check(wrong)


def test_an_evaluation_is_started_by_its_command_line(queue: Queue, program: Path) -> None:
    queue.submit_evals(["no-such-suite", "--models", "klein-nano", "--out", str(program / "run")])
    queue.work()
    job = queue.job(1)
    assert job.state == "failed"
    assert "no-such-suite" in job.reason
