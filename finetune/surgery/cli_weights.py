"""`finetune merge`, `extract` and `resize`."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from finetune.surgery.options import (
    DtypeOption,
    EnergyOption,
    FormatOption,
    OutOption,
    RankOption,
    cut_of,
    dtype_of,
    written,
)
from workbench.cli._common import BAD_INPUT, HomeOption, JsonOption, complain, example, guard

if TYPE_CHECKING:
    from finetune.surgery.resize import Resized


def register(app: typer.Typer) -> None:
    """Add the commands that compute with weights to `app`."""
    app.command(
        epilog=example(
            "finetune merge style.safetensors:0.7 subject.safetensors --out both.safetensors",
            "finetune merge style.safetensors:0.8 --into klein-nano-base --out styled",
        )
    )(merge)
    app.command(epilog=example("finetune extract klein-nano-base tuned change.safetensors --rank 16"))(extract)
    app.command(epilog=example("finetune resize style.safetensors small.safetensors --rank 8 --energy 0.99"))(resize)


@guard
def merge(
    adapters: Annotated[
        list[str], typer.Argument(metavar="FILE[:WEIGHT]...", help="Adapter files of any dialect; weight 1 by default.")
    ],
    *,
    out: Annotated[Path, typer.Option("--out", metavar="PATH", help="The adapter file, or the new model folder.")],
    into: Annotated[
        str | None, typer.Option("--into", metavar="MODEL", help="Merge into a copy of this model's weights.")
    ] = None,
    rank: RankOption = None,
    energy: EnergyOption = None,
    naming: FormatOption = "diffusers",
    dtype: DtypeOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make one adapter of several, or write adapters into a model.

    The sum of adapters is exact: its rank is the sum of their ranks, unless --rank or --energy cuts it.
    """
    from finetune.formats import load_adapter, save_changes
    from finetune.surgery.merge import merge_adapters, merge_into

    parts = [_weighted(each) for each in adapters]
    if into is not None:
        readings = merge_into(model_folder(into, home), parts, out)
        for (path, _), reading in zip(parts, readings, strict=True):
            if reading.unmatched and not json:
                complain(f"{path.name}: {reading.applied} of {reading.keys} keys apply.")
        written(out, {"layers": [len(reading.changes) for reading in readings]}, json=json)
        return
    files = [(load_adapter(path), weight) for path, weight in parts]
    merged = merge_adapters(files, cut_of(rank, energy))
    metadata = {"merged_from": [{"file": path.name, "weight": weight} for path, weight in parts]}
    precision = dtype_of(dtype, [file for file, _ in files])
    save_changes(out, merged.changes, files[0][0].architecture, metadata=metadata, format=naming, dtype=precision)
    _report(out, merged, json=json)


@guard
def extract(
    base: Annotated[str, typer.Argument(metavar="BASE", help="Model in the catalog, or a diffusers folder.")],
    tuned: Annotated[str, typer.Argument(metavar="TUNED", help="The model that was made from it.")],
    out: OutOption,
    *,
    rank: Annotated[int, typer.Option("--rank", metavar="N", min=1, help="Highest rank of each change.")] = 32,
    energy: EnergyOption = None,
    all_layers: Annotated[
        bool, typer.Option("--all-layers", help="Also layers outside the blocks, which other programs may not read.")
    ] = False,
    naming: FormatOption = "diffusers",
    dtype: Annotated[str, typer.Option("--dtype", help="bfloat16, float16 or float32.")] = "bfloat16",
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Make an adapter of the difference of two models, and say how much of the difference it holds."""
    from finetune.formats import save_changes
    from finetune.surgery.extract import extract as extract_changes
    from finetune.surgery.lowrank import Cut

    folders = model_folder(base, home), model_folder(tuned, home)
    with _bar("Comparing weights") as tell:
        found = extract_changes(*folders, Cut(rank, energy), all_layers=all_layers, tell=tell)
    metadata = {"extracted_from": {"base": base, "tuned": tuned}, "extracted_energy": round(found.resized.energy, 6)}
    save_changes(
        out,
        found.resized.changes,
        found.architecture,
        metadata=metadata,
        format=naming,
        dtype=dtype,  # type: ignore[arg-type]
    )
    if found.left_out and not json:
        complain(f"Not in the adapter: {len(found.left_out)} other tensors differ, such as {found.left_out[0]}.")
    _report(out, found.resized, json=json, left_out=list(found.left_out))


@guard
def resize(
    file: Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="The adapter file.")],
    out: OutOption,
    *,
    rank: RankOption = None,
    energy: EnergyOption = None,
    naming: FormatOption = "diffusers",
    dtype: DtypeOption = None,
    json: JsonOption = False,
) -> None:
    """Write an adapter with lower ranks, and say how much of each change is kept."""
    from finetune.formats import load_adapter, save_changes
    from finetune.surgery.resize import resize as resize_changes

    cut = cut_of(rank, energy)
    if cut is None:
        complain("Error: Nothing to do: neither a rank nor an energy was given. Add --rank N or --energy SHARE.")
        raise typer.Exit(BAD_INPUT)
    adapter = load_adapter(file)
    resized = resize_changes(adapter, cut)
    metadata = {**adapter.kept_metadata(), "resized_from": file.name, "resized_energy": round(resized.energy, 6)}
    save_changes(
        out, resized.changes, adapter.architecture, metadata=metadata, format=naming, dtype=dtype_of(dtype, [adapter])
    )
    _report(out, resized, json=json)


@contextmanager
def _bar(label: str) -> Iterator[Callable[[int, int], None] | None]:
    """A progress bar on stderr, when that is a terminal."""
    if not sys.stderr.isatty():
        yield None
        return
    from rich.console import Console
    from rich.progress import Progress

    with Progress(console=Console(stderr=True)) as bar:
        task = bar.add_task(label, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)


def model_folder(name: str, home: Path | None) -> Path:
    """The folder of a model in the catalog, or `name` itself.

    Raises:
        ModelError: there is none.
    """
    from workbench.models.catalog import ModelCatalog
    from workbench.settings import settings

    chosen = settings(home=home)
    return ModelCatalog(chosen.home, chosen.models, device=chosen.device).model(name).path


def _weighted(text: str) -> tuple[Path, float]:
    """A path with the weight behind its last colon."""
    from finetune.surgery.lowrank import SurgeryError

    head, colon, tail = text.rpartition(":")
    if not colon or tail.endswith(".safetensors"):
        return Path(text).expanduser(), 1.0
    try:
        weight = float(tail)
    except ValueError:
        raise SurgeryError(f"The weight {tail!r} of {head} is no number.", "Write FILE.safetensors:0.8.") from None
    if not -100 <= weight <= 100:  # also refuses NaN
        raise SurgeryError(f"A weight of {tail} is senseless.", "Use a weight between -100 and 100.")
    return Path(head).expanduser(), weight


def _report(out: Path, resized: Resized, *, json: bool, left_out: list[str] | None = None) -> None:
    name, share = resized.worst
    ranks = sorted({change.rank for change in resized.changes.values()})
    facts = {"layers": len(resized.changes), "ranks": ranks, "energy": resized.energy, "worst": {name: share}}
    if left_out is not None:
        facts["left_out"] = left_out
    if not json:
        span = str(ranks[0]) if len(ranks) == 1 else f"{ranks[0]} to {ranks[-1]}"
        typer.echo(
            f"{len(resized.changes)} layers of rank {span}; {100 * resized.energy:.4g} % of the energy is kept"
            + (f", least in {name}: {100 * share:.4g} %." if share < 1 - 1e-9 else ".")
        )
    written(out, facts, json=json)
