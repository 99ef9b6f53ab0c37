"""`finetune check` and `finetune example`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from workbench.cli._common import CHECK_FAILED, HomeOption, JsonOption, example, guard, print_json, print_table

if TYPE_CHECKING:
    from finetune.data.check import Plan
    from finetune.data.config import DataConfig
    from finetune.data.report import Report
    from workbench.models.catalog import Model

SHOWN = 4  # ids in a line of the table

DataArgument = Annotated[
    str, typer.Argument(metavar="DATA", help="A folder, a .jsonl or .parquet file, a hub data set, or a .yaml file.")
]


def register(app: typer.Typer) -> None:
    """Add the commands about data to `app`."""
    app.command(epilog=example("finetune check photos --trigger zog", "finetune check run.yaml --json"))(check)
    app.command(name="example", epilog=example("finetune example style --out data/style"))(make_example)


@guard
def check(
    data: DataArgument,
    *,
    model: Annotated[
        str | None, typer.Option("--model", help="The model to be trained: in the catalog, or a published name.")
    ] = None,
    family: Annotated[str | None, typer.Option("--family", help="Its family, when the model is not here.")] = None,
    resolution: Annotated[
        list[int] | None, typer.Option("--resolution", metavar="PIXELS", help="Side of a square; may be repeated.")
    ] = None,
    trigger: Annotated[str, typer.Option("--trigger", help="Trigger word.")] = "",
    rank: Annotated[int | None, typer.Option("--rank", min=1, help="Rank, for the estimate; default 16.")] = None,
    batch_size: Annotated[
        int | None, typer.Option("--batch-size", min=1, help="Pictures in a step; default 1.")
    ] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Steps, for the estimate; default 1000.")] = None,
    quant: Annotated[str | None, typer.Option("--quant", help="Base packed as int8, fp8 or nf4; default none.")] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="FILE.html", help="Also write a page here.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Look at all pictures and captions before a run. Exits with 1 when something must be repaired.

    Counts; unreadable, small and turned pictures; equal and nearly equal ones; captions; pairs and masks; buckets; and
    estimates of time, memory and disk. The YAML file of a run also says what to estimate.
    """
    from finetune.data.check import check as check_data
    from workbench.store.files import check_writable, write_atomically

    if out is not None:
        check_writable(out)
    config = _config(data, resolution, trigger)
    given = {"rank": rank, "batch_size": batch_size, "steps": steps, "quant": quant}
    named, plan = _plan(data, {name: value for name, value in given.items() if value is not None})
    chosen = _model(model or (named if family is None else None), family, home)
    with _bar("pictures") as progress:
        report = check_data(config, model=chosen, family=family, plan=plan, progress=progress)
    if out is not None:
        write_atomically(out, report.to_html().encode())
    if json:
        print_json(report.to_dict())
    else:
        _print(report)
    if not report.ok:
        raise typer.Exit(CHECK_FAILED)


@guard
def make_example(
    kind: Annotated[str, typer.Argument(metavar="KIND", help="style, shape, letter or edit.")],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="DIR", help="Folder to write; must be new or empty.")],
    count: Annotated[int, typer.Option("--count", min=1, max=1000, help="Pictures.")] = 24,
    seed: Annotated[int, typer.Option("--seed", help="Seed of the drawing.")] = 0,
    regularisation: Annotated[
        int, typer.Option("--regularisation", min=0, max=1000, metavar="N", help="Plain scenes to add in reg/.")
    ] = 0,
    json: JsonOption = False,
) -> None:
    """Draw a small data set that the embedded model can learn: pictures and captions, the trigger word in them."""
    from finetune.data.examples import write_example

    written = write_example(kind, out, count=count, seed=seed, regularisation=regularisation)
    if json:
        print_json({"folder": str(out), "files": [str(path) for path in written]})
    else:
        typer.echo(f"{count} examples in {out}; look at them with: finetune check {out}")


def _config(data: str, resolution: list[int] | None, trigger: str) -> DataConfig:
    from finetune.data.config import DataConfig, load_config

    path = Path(data).expanduser()
    values: dict[str, Any] = load_config(path) if path.suffix in (".yaml", ".yml") else {"path": data}
    if resolution:
        values["resolutions"] = resolution
    if trigger:
        values["trigger"] = trigger
    return DataConfig.parse(values)


def _plan(data: str, given: dict[str, Any]) -> tuple[str | None, Plan]:
    """The model and the plan of a run's YAML file, where `data` is one; what is given wins."""
    from finetune.config import TrainConfig
    from finetune.data.check import Plan
    from finetune.data.errors import DataConfigError
    from finetune.data.estimate import PACKED
    from workbench.errors import nearest

    if given.get("quant", "none") not in ("none", *PACKED):
        raise DataConfigError(f"There is no packing {given['quant']!r}.", nearest(str(given["quant"]), PACKED))
    path = Path(data).expanduser()
    if path.suffix not in (".yaml", ".yml") or "model" not in (_yaml(path) or {}):
        return None, Plan(**given)
    run = TrainConfig.load(path)
    facts: dict[str, Any] = {"rank": run.adapter.rank, "batch_size": run.batch_size, "steps": run.steps}
    facts |= {"quant": run.quant, "precision": "" if run.precision == "auto" else run.precision}
    return run.model, Plan(**facts | given)


def _yaml(path: Path) -> Any:
    import yaml

    return yaml.safe_load(path.read_text(encoding="utf-8"))  # read and found to be small by `_config`


def _model(name: str | None, family: str | None, home: Path | None) -> Model | str | None:
    """The model of that name, or any of the family that is here; a name when the weights are not."""
    from finetune.data.estimate import KNOWN
    from workbench.models.catalog import ModelCatalog
    from workbench.settings import settings

    chosen = settings(home=home)
    catalog = ModelCatalog(chosen.home, chosen.models, device=chosen.device)
    if name is None:
        return next((model for model in catalog.models() if model.family.name == family), None)
    if name in KNOWN and name not in {model.name for model in catalog.models()}:
        return name
    return catalog.model(name)


@contextmanager
def _bar(what: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr; None when stderr is no terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(what, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def _print(report: Report) -> None:
    print_table(["", ""], report.facts())
    typer.echo()
    if report.findings.problems:
        rows = [
            (each.level, each.kind, f"{each.message}. {each.remedy}".strip(), _names(each.pictures))
            for each in report.findings.problems
        ]
        print_table(["", "what", "", "pictures"], rows)
        typer.echo()
    if report.findings.buckets:
        print_table(["bucket", "pictures", "an epoch", "batches", "kept"], report.bucket_rows())
        typer.echo()
    print_table(["", ""], report.estimate_rows())
    typer.echo()
    typer.echo(report.verdict)


def _names(ids: tuple[str, ...]) -> str:
    more = f" and {len(ids) - SHOWN} more" if len(ids) > SHOWN else ""
    return ", ".join(ids[:SHOWN]) + more
