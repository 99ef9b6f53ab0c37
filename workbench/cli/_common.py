"""What all commands share: errors as one line, exit codes, a progress bar, tables and JSON.

Exit codes: 0 done, 1 a check said no, 2 bad input, 130 interrupted.
"""

from __future__ import annotations

import functools
import json
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, ParamSpec, TypeVar

import typer

from workbench.errors import Cancelled, WorkbenchError

if TYPE_CHECKING:
    from workbench.engine.events import Event, Listener
    from workbench.session import Session

P = ParamSpec("P")
R = TypeVar("R")

CHECK_FAILED, BAD_INPUT, INTERRUPTED = 1, 2, 130

JsonOption = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]
HomeOption = Annotated[
    Path | None, typer.Option("--home", metavar="DIR", help="Folder of pictures and models; default: WORKBENCH_HOME.")
]
DeviceOption = Annotated[
    str | None,
    typer.Option(
        "--device", metavar="DEVICE", help="auto, cpu, cuda, cuda:N or mps; default: WORKBENCH_DEVICE, or auto."
    ),
]
BatchOption = Annotated[
    int | None,
    typer.Option("--batch-size", metavar="N", help="Pictures denoised at once; default: what memory allows."),
]


def guard(command: Callable[P, R]) -> Callable[P, R]:
    """Let a command's failures end in one line on stderr and the right exit code, never in a traceback."""

    @functools.wraps(command)
    def guarded(*args: P.args, **kwargs: P.kwargs) -> R:
        try:
            return command(*args, **kwargs)
        except (KeyboardInterrupt, Cancelled):
            complain("Interrupted; what was finished is kept.")
            raise typer.Exit(INTERRUPTED) from None
        except WorkbenchError as error:
            complain(f"Error: {error} [{error.code}]")
            raise typer.Exit(BAD_INPUT) from None

    return guarded


def example(*lines: str) -> str:
    """The epilog of a command's help; the backspace keeps the lines from being refilled."""
    return "\b\n" + "\n".join(["Example:" if len(lines) == 1 else "Examples:", *(f"  {line}" for line in lines)])


def complain(text: str) -> None:
    """One line on stderr."""
    typer.echo(" ".join(text.split()), err=True)


def print_json(value: Any) -> None:
    """One JSON document on stdout; a NaN would be no JSON and is a bug."""
    typer.echo(json.dumps(value, indent=2, ensure_ascii=False, allow_nan=False, default=str))


def print_table(columns: Sequence[str], rows: Sequence[Sequence[object]]) -> None:
    """A table on stdout; elsewhere than on a terminal it is as wide as its content, so that nothing is cut."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console = Console() if sys.stdout.isatty() else Console(width=100_000)
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*(Text("" if cell is None else str(cell)) for cell in row))
    console.print(table)


def open_session(home: Path | None = None, device: str | None = None, batch_size: int | None = None) -> Session:
    """A session with the options that were given on the command line."""
    from workbench.session import Session

    return Session(home=home, device=device, batch_size=batch_size)


@contextmanager
def progress(label: str) -> Iterator[Listener | None]:
    """A listener that draws a progress bar on stderr, none when that is no terminal, and tells what memory is short for.

    Args:
        label: what stands before the bar.
    """
    from workbench.engine.events import Finished, Planned, Saving, Step

    if not sys.stderr.isatty():
        yield lambda event: complain(f"Memory is short. {event}") if isinstance(event, Saving) else None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TextColumn("{task.percentage:>3.0f}%"))
    clock = (TimeElapsedColumn(), TextColumn("left"), TimeRemainingColumn())
    with Progress(*columns, TextColumn("{task.fields[pictures]}"), *clock, console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None, pictures="")
        under_way: dict[str, float] = {}  # digest -> share of its steps that is done
        done = total = 0

        def listen(event: Event) -> None:
            nonlocal done, total
            match event:
                case Planned():
                    total = event.unique
                case Step():
                    under_way[event.digest] = event.step / event.steps
                case Finished():
                    under_way.pop(event.digest, None)
                    done = event.done
                case Saving():
                    bar.console.print(f"Memory is short. {event}", markup=False, highlight=False)
            # 2 % of a picture's share is left for decoding and saving
            completed = done + 0.98 * sum(under_way.values())
            bar.update(task, total=total or None, completed=completed, pictures=f"{done}/{total}" if total else "")

        yield listen
