"""`finetune train`, `finetune resume` and `finetune runs`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Collection, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli._common import INTERRUPTED, HomeOption, JsonOption, example, guard, print_json, print_table

if TYPE_CHECKING:
    from finetune.config import TrainConfig
    from finetune.runfolder import RunFolder, Status

Listener = Callable[[dict[str, Any]], None]

SetOption = Annotated[
    list[str] | None,
    typer.Option("--set", metavar="FIELD=VALUE", help="Any field, for example adapter.rank=8; may be repeated."),
]
DetachOption = Annotated[
    bool, typer.Option("--detach", help="Train in a process of its own and return at once; see finetune runs.")
]


def register(app: typer.Typer) -> None:
    """Add the commands about training to `app`."""
    examples = (
        "finetune train --model klein-nano-base --data data/style --steps 300",
        "finetune train run.yaml --set adapter.rank=8 --detach",
    )
    app.command(epilog=example(*examples))(train)
    app.command(epilog=example("finetune resume style", "finetune resume style --steps 600"))(resume)
    app.command(epilog=example("finetune runs", "finetune runs --json"))(runs)


@guard
def train(
    config: Annotated[Path | None, typer.Argument(metavar="CONFIG", help="A YAML file of a training run.")] = None,
    *,
    model: Annotated[str | None, typer.Option("--model", help="Base model in the catalog, or a folder.")] = None,
    data: Annotated[str | None, typer.Option("--data", help="Folder, file or hub data set to learn from.")] = None,
    preset: Annotated[str, typer.Option("--preset", help="style, character, product, edit or nano.")] = "",
    name: Annotated[str | None, typer.Option("--name", help="Name of the run and of its adapter.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Optimiser steps; default 1000.")] = None,
    trigger: Annotated[str | None, typer.Option("--trigger", help="Word that stands for what is learned.")] = None,
    settings: SetOption = None,
    detach: DetachOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Train an adapter. Interrupting saves a checkpoint; `finetune resume` goes on from it, to the same bits.

    With several processes: accelerate launch -m finetune train ...
    """
    from finetune.run import create_run

    chosen = _config(
        config, preset, {"model": model, "data": data, "name": name, "steps": steps}, trigger, settings or []
    )
    if not _leads():
        _follow(chosen, home)
        return
    _go(create_run(chosen, home), home=home, detach=detach, json=json)


@guard
def resume(
    run: Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a run.")],
    *,
    steps: Annotated[int | None, typer.Option("--steps", help="Train up to this step instead.")] = None,
    allow: Annotated[
        list[str] | None,
        typer.Option("--allow", metavar="FIELD", help="A field that may have changed, or data; may be repeated."),
    ] = None,
    detach: DetachOption = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Go on with a run from its last checkpoint; refused, with the differences, when settings or data have changed."""
    from finetune.run import check_idle
    from finetune.runfolder import find_run
    from workbench.store.files import write_atomically

    folder = find_run(run, home)
    check_idle(folder)
    if steps is not None:
        changed = folder.config.replace(steps=steps)
        write_atomically(folder.path / "config.yaml", changed.to_yaml().encode())
    _go(folder, home=home, detach=detach, json=json, allow=allow or ())


@guard
def runs(home: HomeOption = None, json: JsonOption = False) -> None:
    """List training runs, the latest first."""
    from finetune.runfolder import list_runs

    rows = [(run.name, run.status(), run.path) for run in list_runs(home)]
    if json:
        print_json([{"name": name, "path": str(path), **asdict(status)} for name, status, path in rows])
        return
    print_table(
        ("run", "state", "step", "of", "message"),
        [(name, status.state, status.step, status.steps, status.message) for name, status, _ in rows],
    )


def _config(
    path: Path | None, preset: str, given: dict[str, Any], trigger: str | None, settings: list[str]
) -> TrainConfig:
    """The configuration from a preset, a file, the options, then `--set`."""
    import yaml

    from finetune.config import TrainConfigError
    from finetune.presets import build_config

    fields = {name: value for name, value in given.items() if value is not None}
    if trigger is not None:
        fields["data.trigger"] = trigger
    for setting in settings:
        field, equals, text = setting.partition("=")
        if not equals:
            raise TrainConfigError(f"The option --set {setting!r} has no value.", "Write --set adapter.rank=8.")
        fields[field] = yaml.safe_load(text)
    return build_config(preset=preset, file=path, fields=fields)


def _leads() -> bool:
    """Whether this is the first of the processes that `accelerate launch` started, or the only one."""
    import os

    return int(os.environ.get("RANK", "0")) == 0


def _follow(config: TrainConfig, home: Path | None) -> None:
    """Train as one of several processes, in the folder that the first one makes."""
    import time

    from finetune.execute import execute
    from finetune.run import catalog_of
    from finetune.runfolder import RunFolder, runs_folder

    folder = RunFolder(runs_folder(home).absolute() / config.run_name)
    while not (folder.path / "config.yaml").exists():
        time.sleep(0.05)
    execute(folder, catalog_of(folder, home))


def _go(folder: RunFolder, *, home: Path | None, detach: bool, json: bool, allow: Collection[str] = ()) -> None:
    from finetune.execute import execute
    from finetune.run import catalog_of, launch
    from workbench.engine.events import CancelToken

    if detach:
        handle = launch(folder, home=home, allow=allow)
        _report(folder, handle.status(), json=json)
        return
    token = CancelToken()
    with _interrupts(token), _bar(folder) as listen:
        status = execute(folder, catalog_of(folder, home), listen=listen, token=token, allow=allow)
    _report(folder, status, json=json)
    if status.state == "stopped":
        raise typer.Exit(INTERRUPTED)


def _report(folder: RunFolder, status: Status, *, json: bool) -> None:
    if json:
        records = [record for record in folder.records() if record["event"] in ("step", "held_out")]
        print_json({"name": folder.name, "path": str(folder.path), **asdict(status), "log": records})
    else:
        typer.echo(f"{folder.name}: {status.state}, step {status.step} of {status.steps}. {folder.path}")


@contextmanager
def _interrupts(token: Any) -> Iterator[None]:
    """Let Ctrl-C stop the run after its step, with a checkpoint; a second one ends it at once."""
    import signal

    def stop(*_: object) -> None:
        if token.cancelled:
            raise KeyboardInterrupt
        token.cancel()

    before = signal.signal(signal.SIGINT, stop)
    try:
        yield
    finally:
        signal.signal(signal.SIGINT, before)


@contextmanager
def _bar(folder: RunFolder) -> Iterator[Listener | None]:
    """A progress bar on stderr with loss, held-out loss, speed and memory; none when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.completed}/{task.total}"))
    figures = TextColumn("{task.fields[figures]}")
    with Progress(*columns, figures, TimeRemainingColumn(), console=Console(stderr=True)) as bar:
        task = bar.add_task(folder.name, total=None, figures="")
        shown: dict[str, str] = {}

        def listen(record: dict[str, Any]) -> None:
            if record["event"] == "preparing":
                bar.update(task, total=record["total"], completed=record["done"], figures=record["what"])
                return
            if record["event"] == "step":
                shown["loss"] = f"loss {record['loss']:.4f}"
                shown["speed"] = f"{record['per_second']:.2f} it/s, {record['memory'] / 1e9:.1f} GB"
            elif record["event"] == "held_out":
                shown["held"] = f"held-out {record['loss']:.4f}"
            figures = ", ".join(shown[key] for key in ("loss", "held", "speed") if key in shown)
            bar.update(task, total=folder_steps, completed=record["step"], figures=figures)

        folder_steps = folder.config.steps
        yield listen
