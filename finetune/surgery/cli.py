"""`finetune info`, `diff` and `convert`; `register` also adds the commands of `finetune.surgery.cli_weights`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune.surgery import cli_weights
from finetune.surgery.options import DtypeOption, FormatOption, OutOption, dtype_of, written
from workbench.cli._common import (
    CHECK_FAILED,
    HomeOption,
    JsonOption,
    complain,
    example,
    guard,
    print_json,
    print_table,
)

if TYPE_CHECKING:
    from finetune.adapter_info import AdapterInfo
    from finetune.fit import Fit

FileArgument = Annotated[Path, typer.Argument(metavar="FILE.safetensors", help="The adapter file.")]
SHOWN = 12  # layers in the table of `diff`


def register(app: typer.Typer) -> None:
    """Add the commands about adapter files to `app`."""
    app.command(epilog=example("finetune info style.safetensors", "finetune info style.safetensors --norms --json"))(
        info
    )
    app.command(
        epilog=example("finetune diff style.safetensors style_kohya.safetensors", "finetune diff style style-2")
    )(diff)
    app.command(epilog=example("finetune convert style.safetensors style_comfy.safetensors --format bfl"))(convert)
    cli_weights.register(app)


@guard
def info(
    file: FileArgument,
    *,
    norms: Annotated[bool, typer.Option("--norms", help="Also read the tensors: how strong each change is.")] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say what an adapter file holds: dialect, kind, ranks, layers, alpha, metadata, and which models it fits.

    Without --norms only the file's header is read.
    """
    from finetune.adapter_info import read_info
    from finetune.fit import find_fit
    from workbench.models.catalog import ModelCatalog
    from workbench.settings import settings

    adapter = read_info(file)
    chosen = settings(home=home)
    fit = find_fit(adapter, ModelCatalog(chosen.home, chosen.models, device=chosen.device).models())
    strengths = _norms(file) if norms else {}
    if json:
        print_json(as_dict(adapter, fit) | ({"norms": strengths} if norms else {}))
    else:
        _print(adapter, fit, strengths)


def as_dict(adapter: AdapterInfo, fit: Fit) -> dict[str, Any]:
    """Everything known of an adapter, as JSON values."""
    return {
        "path": str(adapter.path),
        "file_bytes": adapter.file_bytes,
        "dialect": adapter.dialect,
        "kind": adapter.kind,
        "made_for": adapter.identity.title,
        "keys": adapter.keys,
        "dtypes": list(adapter.dtypes),
        "alpha": adapter.alpha,
        "parameters": adapter.parameters,
        "families": list(fit.families),
        "fits": list(fit.models),
        "modules": {
            name: {"rank": each.rank, "in": each.in_features, "out": each.out_features}
            for name, each in adapter.modules.items()
        },
        "other_keys": list(adapter.other_keys),
        "metadata": dict(adapter.metadata),
    }


def _norms(file: Path) -> dict[str, float]:
    from finetune.formats import load_adapter
    from finetune.surgery.lowrank import squared_norm

    return {module: squared_norm(change) ** 0.5 for module, change in load_adapter(file).changes.items()}


def _print(adapter: AdapterInfo, fit: Fit, norms: dict[str, float]) -> None:
    ranks = ", ".join(f"{rank} ({count} modules)" for rank, count in adapter.ranks.items())
    alpha = {
        "tensor": "as tensors",
        "metadata": "in the metadata",
        "absent": "absent, so the scale is 1",
    }[adapter.alpha]
    facts = [
        ("file", f"{adapter.path} ({adapter.file_bytes / 1e6:.2f} MB)"),
        ("dialect", adapter.dialect),
        ("kind", adapter.kind),
        ("made for", adapter.identity.title),
        ("keys", adapter.keys),
        ("precision", ", ".join(adapter.dtypes)),
        ("rank", ranks or "none: no product of two matrices"),
        ("alpha", alpha),
        ("parameters", f"{adapter.parameters:,}"),
        ("likely family", " or ".join(fit.families) or "not known"),
        ("fits", ", ".join(fit.models) or "none of the models here"),
        *(("other key", key) for key in adapter.other_keys),
        *(("metadata", f"{key} = {value[:200]}") for key, value in adapter.metadata.items()),
    ]
    print_table(["", ""], facts)
    typer.echo()
    print_table(
        ["module", "rank", "in", "out"],
        [(name, each.rank, each.in_features, each.out_features) for name, each in adapter.modules.items()],
    )
    if norms:
        typer.echo()
        print_table(["layer", "norm of the change"], [(name, f"{norm:.4g}") for name, norm in norms.items()])


@guard
def diff(
    first: Annotated[str, typer.Argument(metavar="A", help="An adapter file of any dialect, or a training run.")],
    second: Annotated[str, typer.Argument(metavar="B", help="Another.")],
    *,
    tolerance: Annotated[
        float, typer.Option("--tolerance", min=0, help="Relative distance up to which they count as equal.")
    ] = 1e-6,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Say what differs between two adapter files: layers, ranks, sizes of the changes, metadata.

    Both are compared by what they do, not by how their keys are named. Of two runs also settings and data are compared.
    Exits with 1 when they do different things.
    """
    from dataclasses import asdict

    from finetune.formats import load_adapter
    from finetune.surgery.compare import compare
    from finetune.surgery.runs import adapter_of, run_differences

    (one, own), (two, other) = adapter_of(first, home), adapter_of(second, home)
    runs = run_differences(own, other) if own and other else []
    found = compare(load_adapter(one), load_adapter(two))
    same = found.same(tolerance)
    if json:
        print_json({"same": same, **asdict(found)} | ({"runs": runs} if own and other else {}))
    else:
        for line in runs:
            typer.echo(line)
        rows = sorted(found.layers, key=lambda layer: -layer.distance)
        print_table(
            ["layer", "rank", "norm", "distance", "cosine"],
            [
                (
                    each.module,
                    _both(each.ranks),
                    _both(tuple(f"{norm:.4g}" for norm in each.norms)),
                    f"{each.distance:.3g}",
                    "" if each.cosine is None else f"{each.cosine:.4f}",
                )
                for each in rows[:SHOWN]
            ],
        )
        if len(rows) > SHOWN:
            typer.echo(f"... and {len(rows) - SHOWN} layers that differ less")
        for key, (before, after) in found.metadata.items():
            typer.echo(f"metadata {key}: {_short(before)} -> {_short(after)}")
        verdict = "the same change" if same else "different changes"
        typer.echo(f"{verdict}: relative distance {found.distance:.3g} over {len(found.layers)} layers")
    if not same:
        raise typer.Exit(CHECK_FAILED)


@guard
def convert(
    file: FileArgument,
    out: OutOption,
    *,
    naming: FormatOption = "diffusers",
    dtype: DtypeOption = None,
    json: JsonOption = False,
) -> None:
    """Write an adapter in another naming, with the scale folded in: weight 1 then means the same in every program.

    Reads diffusers, peft, BFL (ai-toolkit), kohya, OneTrainer, XLabs and LyCORIS files. A LoKr that has to be written as
    a LoRA is written exactly, at the rank that takes; reduce it with `finetune resize`.
    """
    from finetune.formats import load_adapter, save_changes

    adapter = load_adapter(file)
    changes = adapter.changes if naming == "diffusers" else adapter.low_rank_or_dora()
    save_changes(
        out,
        changes,
        adapter.architecture,
        metadata=adapter.kept_metadata(),
        format=naming,
        dtype=dtype_of(dtype, [adapter]),
    )
    if adapter.unmatched and not json:
        complain(f"Left out, for no layer of the transformer: {', '.join(adapter.unmatched)}")
    written(out, {"layers": len(changes), "left_out": list(adapter.unmatched)}, json=json)


def _both(pair: tuple[object, ...]) -> str:
    one, two = ("-" if each is None else str(each) for each in pair)
    return one if one == two else f"{one} -> {two}"


def _short(text: str | None) -> str:
    return "absent" if text is None else repr(text[:60] + ("..." if len(text) > 60 else ""))
