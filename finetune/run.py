"""Training runs in processes of their own, which outlive the notebook or terminal that started them.

    handle = start_run(TrainConfig.parse({"model": "klein-nano-base", "data": "photos"}))
    handle.status(), handle.records()
    handle.stop()

A handle holds nothing but the run's folder, so `attach` finds a run again after the kernel was restarted.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from finetune.config import TrainConfig
from finetune.runfolder import ACTIVE, RunError, RunFolder, Status, find_run, runs_folder
from workbench.errors import WorkbenchError
from workbench.settings import settings

if TYPE_CHECKING:
    from workbench.models.catalog import ModelCatalog

ALLOW = "--allow="
OUTPUT = "output.txt"  # what the process prints, in the run's folder


@dataclass(frozen=True, slots=True)
class RunHandle:
    """A run, wherever its process is."""

    folder: RunFolder

    @property
    def name(self) -> str:
        """Name of the run and of its adapter."""
        return self.folder.name

    def status(self) -> Status:
        """State, step, and why it failed if it did."""
        return self.folder.status()

    def records(self) -> list[dict[str, Any]]:
        """The log so far."""
        return list(self.folder.records())

    def stop(self) -> None:
        """Stop after the current step, with a checkpoint."""
        self.folder.command("stop")

    def pause(self) -> None:
        """Wait after the current step; memory stays in use."""
        self.folder.command("pause")

    def go_on(self) -> None:
        """End a pause."""
        self.folder.clear("pause")

    def save(self) -> None:
        """Write a checkpoint after the current step."""
        self.folder.command("save")

    def sample(self) -> None:
        """Draw previews after the current step."""
        self.folder.command("sample")

    def wait(self, timeout: float | None = None) -> Status:
        """Block until the run has ended, or for `timeout` seconds."""
        end = None if timeout is None else time.monotonic() + timeout
        while (status := self.status()).state in ACTIVE and (end is None or time.monotonic() < end):
            time.sleep(0.1)
        return status

    def output(self) -> str:
        """What its process printed: of use when it failed in a way that was not foreseen."""
        try:
            return (self.folder.path / OUTPUT).read_text(encoding="utf-8", errors="replace")
        except OSError:
            return ""


def create_run(config: TrainConfig, home: Path | None = None) -> RunFolder:
    """Make the folder of a new run.

    Args:
        config: what to train.
        home: the workbench's home; None: from the settings.

    Raises:
        RunError: a run or an adapter of this name is there already.
        StoreError: the folder cannot be written.
    """
    place = runs_folder(home)
    folder = RunFolder(place.absolute() / config.run_name)
    adapter = place.parent / "adapters" / f"{folder.name}.safetensors"
    if adapter.exists():
        raise RunError(f"There is an adapter {folder.name!r} already.", f"Give another name, or delete {adapter}.")
    folder.create(config)
    return folder


def start_run(config: TrainConfig, *, home: Path | None = None, models: Path | None = None) -> RunHandle:
    """Start training in a process of its own, and return at once.

    Args:
        config: what to train.
        home: the workbench's home; None: from the settings.
        models: a further folder of models; None: from the settings.

    Raises:
        RunError: as `create_run`.
    """
    return launch(create_run(config, home), home=home, models=models)


def resume_run(
    name: str | Path, *, home: Path | None = None, models: Path | None = None, allow: Collection[str] = ()
) -> RunHandle:
    """Go on with a run that was stopped, in a process of its own.

    Args:
        name: of the run, or its folder.
        home: the workbench's home; None: from the settings.
        models: a further folder of models; None: from the settings.
        allow: fields that may have changed since the checkpoint.

    Raises:
        RunError: there is no such run, or it is under way.
    """
    folder = find_run(name, home)
    check_idle(folder)
    return launch(folder, home=home, models=models, allow=allow)


def attach(name: str | Path, *, home: Path | None = None) -> RunHandle:
    """The handle of a run, under way or not.

    Raises:
        RunError: there is no such run.
    """
    return RunHandle(find_run(name, home))


def check_idle(folder: RunFolder) -> None:
    """Refuse to start a run twice.

    Raises:
        RunError: its process lives.
    """
    status = folder.status()
    if status.state in ACTIVE:
        raise RunError(
            f"The run {folder.name!r} is under way (process {status.pid}).", "Stop it first, or watch it in its panel."
        )


def launch(
    folder: RunFolder, *, home: Path | None = None, models: Path | None = None, allow: Collection[str] = ()
) -> RunHandle:
    """Start the process that trains `folder`; it belongs to no terminal and no kernel."""
    chosen = settings(home=home, models=models)
    command = [sys.executable, "-m", "finetune.run", str(folder.path), str(chosen.home)]
    command += [str(chosen.models)] if chosen.models else []
    command += [f"{ALLOW}{name}" for name in allow]
    apart: dict[str, Any] = (
        {"creationflags": 0x00000200}  # CREATE_NEW_PROCESS_GROUP
        if os.name == "nt"
        else {"start_new_session": True}
    )
    with (folder.path / OUTPUT).open("ab") as output:
        process = subprocess.Popen(  # noqa: S603 - our own interpreter and module
            command, stdin=subprocess.DEVNULL, stdout=output, stderr=output, **apart
        )
    folder.set_status(Status("preparing", pid=process.pid, message="Starting."))
    _children.append(process)
    return RunHandle(folder)


_children: list[subprocess.Popen[bytes]] = []  # a process object that is collected while its process runs is a warning


def catalog_of(folder: RunFolder, home: Path | None = None, models: Path | None = None) -> ModelCatalog:
    """The catalog that a run finds its model in, and puts its adapter into."""
    from workbench.models.catalog import ModelCatalog

    chosen = settings(home=home, models=models)
    return ModelCatalog(chosen.home, chosen.models, device=folder.config.device)


def main(arguments: list[str]) -> int:
    """The process of a run: `python -m finetune.run FOLDER HOME [MODELS] [--allow=FIELD ...]`."""
    from finetune.execute import execute
    from workbench.engine.events import CancelToken

    allow = [each.removeprefix(ALLOW) for each in arguments if each.startswith(ALLOW)]
    arguments = [each for each in arguments if not each.startswith(ALLOW)]
    folder, home = RunFolder(Path(arguments[0])), Path(arguments[1])
    token = CancelToken()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: token.cancel())
    models = Path(arguments[2]) if len(arguments) > 2 else None
    try:
        execute(folder, catalog_of(folder, home, models), token=token, allow=allow)
    except WorkbenchError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
