"""The folder of one training run: what is where, and how two processes talk through it.

    runs/<name>/
      config.yaml                 the configuration, every field written out
      data.json                   the manifest: every example with the SHA-256 of what it holds
      status.json                 state, step, process id; replaced as a whole
      log.jsonl                   one JSON object a line
      control/                    an empty file is a command: stop, pause, save, sample
      checkpoints/step-000500/    adapter.safetensors, state.safetensors; complete or absent
      previews/step-000500/       pictures and their recipes
      adapter.safetensors         the finished adapter, portable
      README.md                   the adapter's card

Every file is replaced as a whole or appended line by line, so that any number of readers may look at any time.
"""

from __future__ import annotations

import json
import os
import re
import time
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Literal

from finetune.config import TrainConfig
from workbench.errors import WorkbenchError, nearest
from workbench.settings import settings
from workbench.store.files import make_folder, write_atomically

State = Literal["preparing", "running", "paused", "finished", "stopped", "failed"]
Command = Literal["stop", "pause", "save", "sample"]

ACTIVE: tuple[State, ...] = ("preparing", "running", "paused")
COMMANDS: tuple[Command, ...] = ("stop", "pause", "save", "sample")
_STEP = re.compile(r"step-(\d{6,})")


class RunError(WorkbenchError):
    """A training run is unknown, already there, under way, or cannot be started."""

    code = "WB511"


@dataclass(frozen=True, slots=True)
class Status:
    """What a run is doing."""

    state: State
    step: int = 0  # optimiser steps done
    steps: int = 0  # optimiser steps wanted
    pid: int = 0  # of the process that trains
    started: float = 0.0  # when that process started, as the system counts, so that a reused id is told apart
    message: str = ""  # why it failed, or what it is doing


@dataclass(frozen=True, slots=True)
class RunFolder:
    """Paths and small files of the run in `path`."""

    path: Path

    @property
    def name(self) -> str:
        """Name of the run."""
        return self.path.name

    @property
    def checkpoints(self) -> Path:
        """Folder of the checkpoints."""
        return self.path / "checkpoints"

    @property
    def previews(self) -> Path:
        """Folder of the previews."""
        return self.path / "previews"

    @property
    def adapter(self) -> Path:
        """The finished adapter."""
        return self.path / "adapter.safetensors"

    @property
    def log(self) -> Path:
        """The log."""
        return self.path / "log.jsonl"

    @property
    def data(self) -> Path:
        """The manifest of the examples."""
        return self.path / "data.json"

    @property
    def config(self) -> TrainConfig:
        """The configuration.

        Raises:
            TrainConfigError: it is unreadable or of another version.
        """
        return TrainConfig.load(self.path / "config.yaml")

    def create(self, config: TrainConfig) -> None:
        """Make the folder and write the configuration into it.

        Raises:
            RunError: a run of this name is there already.
            StoreError: the folder cannot be written.
        """
        if (self.path / "config.yaml").exists():
            raise RunError(
                f"There is a run {self.name!r} already.",
                f"Give another name, go on with 'finetune resume {self.name}', or delete {self.path}.",
            )
        make_folder(self.path / "control")
        write_atomically(self.path / "config.yaml", config.to_yaml().encode())

    def status(self) -> Status:
        """What the run is doing; a run whose process has died without a word counts as stopped."""
        try:
            status = Status(**json.loads((self.path / "status.json").read_text(encoding="utf-8")))
        except (OSError, ValueError, TypeError):
            return Status("stopped", message="It has not been started.")
        if status.state in ACTIVE and not _alive(status.pid, status.started):
            return Status("stopped", status.step, status.steps, message="Its process ended without a word.")
        return status

    def set_status(self, status: Status) -> None:
        """Write the state for other processes to read."""
        write_atomically(self.path / "status.json", (json.dumps(asdict(status)) + "\n").encode())

    def command(self, command: Command) -> None:
        """Leave a command for the process that trains; it obeys after the current step."""
        make_folder(self.path / "control")
        write_atomically(self.path / "control" / command, b"")

    def has(self, command: Command) -> bool:
        """Whether a command waits."""
        return (self.path / "control" / command).exists()

    def clear(self, *commands: Command) -> None:
        """Take commands away."""
        for command in commands:
            (self.path / "control" / command).unlink(missing_ok=True)

    def append(self, record: dict[str, Any]) -> None:
        """Add one line to the log."""
        line = json.dumps(record, allow_nan=False) + "\n"
        with self.log.open("a", encoding="utf-8") as file:
            file.write(line)

    def records(self) -> Iterator[dict[str, Any]]:
        """The log's lines; a last line that is being written is left out."""
        try:
            text = self.log.read_text(encoding="utf-8")
        except OSError:
            return
        for line in text.splitlines(keepends=True):
            if line.endswith("\n"):
                yield json.loads(line)

    def rewind(self, step: int) -> None:
        """Drop the log's lines of steps after `step`, which are trained again."""
        kept = [record for record in self.records() if record.get("step", 0) <= step]
        write_atomically(self.log, "".join(json.dumps(record) + "\n" for record in kept).encode())

    def steps_saved(self) -> list[int]:
        """Steps that have a whole checkpoint, rising."""
        return sorted(int(match[1]) for match in map(_STEP.fullmatch, _names(self.checkpoints)) if match)

    def checkpoint(self, step: int) -> Path:
        """Folder of the checkpoint of `step`."""
        return self.checkpoints / f"step-{step:06d}"


def runs_folder(home: Path | None = None) -> Path:
    """Where runs are kept: `runs` in the workbench's home."""
    return (settings(home=home).home if home is None else Path(home)) / "runs"


def find_run(name: str | Path, home: Path | None = None) -> RunFolder:
    """The run called `name`, or in the folder `name`.

    Raises:
        RunError: there is none, with the nearest name that there is.
    """
    for path in (runs_folder(home) / name, Path(name).expanduser()):
        if (path / "config.yaml").is_file():
            return RunFolder(path.absolute())
    known = [run.name for run in list_runs(home)]
    raise RunError(f"There is no run {str(name)!r}.", nearest(str(name), known) if known else "Start one.")


def list_runs(home: Path | None = None) -> list[RunFolder]:
    """All runs, the latest first."""
    folders = [path.parent for path in runs_folder(home).glob("*/config.yaml")]
    return [RunFolder(path) for path in sorted(folders, key=lambda path: -(path / "config.yaml").stat().st_mtime)]


def process_started(pid: int) -> float:
    """When the process began, in the system's own count; 0.0 where that cannot be known."""
    try:
        return float(Path(f"/proc/{pid}/stat").read_text(encoding="utf-8").rpartition(")")[2].split()[19])
    except (OSError, ValueError, IndexError):
        return 0.0


def _alive(pid: int, started: float) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    except PermissionError:
        return True
    stat = Path(f"/proc/{pid}/stat")
    if stat.exists() and stat.read_text(encoding="utf-8").rpartition(")")[2].split()[0] == "Z":
        return False  # ended, and not yet collected by its parent
    return started in (0.0, process_started(pid))


def _names(folder: Path) -> list[str]:
    return [path.name for path in folder.iterdir()] if folder.is_dir() else []


def now() -> float:
    """Seconds since 1970, for the log."""
    return round(time.time(), 3)
