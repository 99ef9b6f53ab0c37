"""Jobs that are a command line of another package: evaluations and training, in processes of their own.

A process of its own gives its memory back when it ends, may crash without taking the worker along, and is stopped like
a person would stop it: interrupted first, so that it can save a checkpoint, and ended when that takes too long. It runs
under `workbench.queue.leash`, which ends it when the worker dies, so that no two of it ever run at once.
"""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import IO, Any

from workbench.errors import Cancelled
from workbench.queue.errors import JobError, QueueError
from workbench.queue.kinds import Context

LOOK = 0.2  # seconds between two looks at the process
INTERRUPTED = 130  # exit code of our command lines after Ctrl-C
TAIL = 2000  # bytes of what it printed that are read for the reason

Progress = tuple[int, int] | None


@dataclass(frozen=True, slots=True)
class Command:
    """A kind of job that runs `python -m MODULE ARGUMENTS`.

    The payload is `{"arguments": [...], "folder": where relative paths begin, "name": ...}`.
    """

    name: str
    module: str
    arguments: Callable[[dict[str, Any], Path, int], list[str]]  # from payload, home and attempt
    progress: Callable[[dict[str, Any], Path], Progress] = lambda _payload, _home: None
    named: bool = False  # whether the payload needs a name, under which a later attempt finds what there is

    def check(self, payload: dict[str, Any]) -> str:
        """See `Kind`."""
        arguments = payload.get("arguments")
        if not isinstance(arguments, list) or not all(isinstance(each, str) for each in arguments):
            raise QueueError(f"The arguments of a job {self.name!r} cannot be {arguments!r}.", "Give a list of texts.")
        if self.named and not (isinstance(payload.get("name"), str) and payload["name"].strip("./\\")):
            raise QueueError(f"A job {self.name!r} needs a name.", "Give --name, under which it is resumed.")
        if find_spec(self.module) is None:
            raise QueueError(f"The package {self.module!r} is not installed.", f"Install it to run {self.name}.")
        return " ".join([self.module, *self.arguments(payload, Path(), 1)])

    def run(self, payload: dict[str, Any], context: Context) -> None:
        """See `Kind`."""
        settings = context.session.settings
        words = self.arguments(payload, settings.home, context.attempt)
        lock = settings.home.absolute() / "cache" / "queue" / f"{context.job}.lock"
        leash = [sys.executable, "-m", "workbench.queue.leash", str(lock), sys.executable, "-m", self.module, *words]
        environment = _environment(settings)
        with tempfile.TemporaryFile() as output:
            try:
                process = subprocess.Popen(  # noqa: S603 - our own module, as a list of words, without a shell
                    leash,
                    stdin=subprocess.PIPE,  # its end is the leash: it closes when this process is gone
                    stdout=output,
                    stderr=subprocess.STDOUT,
                    cwd=payload.get("folder") or None,
                    env=environment,
                    start_new_session=True,  # a Ctrl-C in the terminal is the worker's to handle
                )
            except OSError as error:
                raise JobError(
                    f"The command of {self.name!r} cannot be started: {error}.", "Check its folder."
                ) from error
            with process:
                self._follow(process, payload, context)
            if context.token.cancelled:
                raise Cancelled("The job was stopped.", "Retry it to go on.")
            if process.returncode:
                raise JobError(
                    f"{self.module} ended with {process.returncode}: {_last_words(output)}",
                    "Submit it again, corrected, or retry it.",
                )

    def _follow(self, process: subprocess.Popen[bytes], payload: dict[str, Any], context: Context) -> None:
        assert process.stdin is not None
        shown: Progress = None
        while process.poll() is None:
            if context.token.cancelled:
                process.stdin.close()
                process.wait()
                return
            now = self.progress(payload, context.session.settings.home)
            if now is not None and now != shown:
                shown = now
                context.step(*now)
            time.sleep(LOOK)


def _last_words(output: IO[bytes]) -> str:
    """The last line that a process printed: our command lines end with the error's sentence."""
    size = output.seek(0, 2)
    output.seek(max(0, size - TAIL))
    lines = output.read().decode("utf-8", "replace").strip().splitlines()
    return lines[-1].strip() if lines else "it said nothing."


def _environment(settings: Any) -> dict[str, str]:
    """This process's environment, with the settings of the worker's session."""
    import os

    given = {f"WORKBENCH_{name.upper()}": value for name, value in settings.model_dump().items() if value is not None}
    return os.environ | {name: str(value) for name, value in given.items()}


def _evals(payload: dict[str, Any], _home: Path, _attempt: int) -> list[str]:
    return ["run", *payload["arguments"]]  # what was drawn or scored before is not computed again


def _finetune(payload: dict[str, Any], home: Path, attempt: int) -> list[str]:
    if attempt > 1 and (home / "runs" / payload["name"] / "config.yaml").is_file():
        return ["resume", payload["name"]]
    return ["train", *payload["arguments"], "--name", payload["name"]]


def _finetune_progress(payload: dict[str, Any], home: Path) -> Progress:
    try:
        status = json.loads((home / "runs" / payload["name"] / "status.json").read_text(encoding="utf-8"))
        return int(status["step"]), int(status["steps"])
    except (OSError, ValueError, KeyError, TypeError):
        return None  # not there yet


COMMANDS = (
    Command("evals.run", "evals", _evals),
    Command("finetune.train", "finetune", _finetune, _finetune_progress, named=True),
)
