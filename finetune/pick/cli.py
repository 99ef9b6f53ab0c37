"""`finetune pick` and `finetune export`."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from finetune.surgery.options import DtypeOption, FormatOption, written
from workbench.cli._common import (
    BatchOption,
    DeviceOption,
    HomeOption,
    JsonOption,
    example,
    guard,
    open_session,
    print_json,
    print_table,
    progress,
)

if TYPE_CHECKING:
    from finetune.pick.config import PickConfig
    from finetune.pick.result import Picked

RunArgument = Annotated[str, typer.Argument(metavar="RUN", help="Name or folder of a training run.")]


def register(app: typer.Typer) -> None:
    """Add the commands about the checkpoints of a run to `app`."""
    app.command(
        epilog=example(
            "finetune pick style --suite example:style",
            "finetune pick logo --suite prompts.yaml --scorer typography --weight 0.7 --weight 1",
        )
    )(pick)
    app.command(
        epilog=example("finetune export style style.safetensors", "finetune export style k.safetensors --step 200")
    )(export)
    app.command(epilog=example("finetune card style"))(card)


@guard
def pick(
    run: RunArgument,
    *,
    config: Annotated[
        Path | None, typer.Option("--config", metavar="FILE", help="A pick.yaml, or YAML with the fields of a pick.")
    ] = None,
    suite: Annotated[
        str | None, typer.Option("--suite", help="Prompts with the trigger: a suite, a YAML list, or example:KIND.")
    ] = None,
    control: Annotated[str | None, typer.Option("--control", help="Unrelated prompts, in the same forms.")] = None,
    scorer: Annotated[
        list[str] | None, typer.Option("--scorer", help="Scorer; the first one decides; may be repeated.")
    ] = None,
    step: Annotated[list[int] | None, typer.Option("--step", help="Checkpoint; may be repeated.")] = None,
    weight: Annotated[list[float] | None, typer.Option("--weight", help="Weight; may be repeated.")] = None,
    seeds: Annotated[int | None, typer.Option("--seeds", help="Pictures of each prompt.")] = None,
    limit: Annotated[int | None, typer.Option("--limit", metavar="N", help="Most prompts of each kind.")] = None,
    model: Annotated[str | None, typer.Option("--model", help="Draw with this model, e.g. the distilled one.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", help="Denoising steps; default: the model's.")] = None,
    confirm: Annotated[
        bool | None, typer.Option("--confirm/--no-confirm", help="Measure the choice again with fresh seeds.")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", metavar="DIR", help="Default: pick in the run's folder.")] = None,
    home: HomeOption = None,
    device: DeviceOption = None,
    batch_size: BatchOption = None,
    json: JsonOption = False,
) -> None:
    """Say which checkpoint to keep, and at which weight.

    Draws checkpoints x weights on prompts that ask for what was learned and on unrelated ones, scores them, and compares
    them with the base. Pictures and scores that are there already are not made again.
    """
    from finetune.card import write_card
    from finetune.pick.run import pick as pick_checkpoint
    from finetune.runfolder import find_run
    from workbench.store.files import check_writable, make_folder

    given = {
        "suite": suite, "control": control, "scorers": scorer, "steps": step, "weights": weight, "seeds": seeds,
        "limit": limit, "control_limit": limit, "model": model, "confirm": confirm,
    }  # fmt: skip
    folder = find_run(run, home)
    chosen = _config(config, {name: value for name, value in given.items() if value is not None}, steps)
    target = out or folder.path / "pick"
    make_folder(target)
    check_writable(target / "pick.html")
    session = open_session(home, device, batch_size)
    with progress("pick") as listen:
        picked = pick_checkpoint(session, folder, chosen, listen=listen)
    files = picked.save(target)
    if out is None:
        files += write_card(folder)  # which tells what was found
    if json:
        print_json(picked.facts() | {"files": [str(path) for path in files]})
        return
    _print(picked, target)


@guard
def export(
    run: RunArgument,
    out: Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The file to write.")],
    *,
    step: Annotated[int | None, typer.Option("--step", help="Checkpoint; default: the last.")] = None,
    naming: FormatOption = "diffusers",
    dtype: DtypeOption = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Write the adapter of a checkpoint for other programs, with the scale folded in."""
    from finetune.export import export_checkpoint
    from finetune.run import catalog_of
    from finetune.runfolder import find_run

    folder = find_run(run, home)
    export_checkpoint(folder, step, out, catalog_of(folder, home), format=naming, dtype=dtype)
    written(out, {"run": folder.name, "format": naming}, json=json)


@guard
def card(run: RunArgument, home: HomeOption = None, json: JsonOption = False) -> None:
    """Write the model card of a run: data, settings, curves, previews, licence, and how to make it again."""
    from finetune.card import write_card
    from finetune.runfolder import find_run

    files = write_card(find_run(run, home))
    if json:
        print_json([str(path) for path in files])
    else:
        typer.echo("\n".join(map(str, files)))


def _config(path: Path | None, given: dict[str, Any], steps: int | None) -> PickConfig:
    import yaml

    from finetune.pick.config import PickConfig, PickError

    values: dict[str, Any] = {}
    if path is not None:
        try:
            read = yaml.safe_load(path.read_bytes()[:1_000_000])
        except (OSError, yaml.YAMLError) as error:
            raise PickError(f"The file {path} cannot be read: {' '.join(str(error).split())}.", "Check it.") from None
        if not isinstance(read, dict):
            raise PickError(f"The file {path} holds no pick.", "Write 'suite: NAME'.")
        values = read.get("config", read)
    values = values | given
    if steps is not None:
        values["fields"] = {**values.get("fields", {}), "steps": steps}
    return PickConfig.parse(values)


def _print(picked: Picked, target: Path) -> None:
    share = 100 if picked.target.share else 1
    rows = [
        (
            each.candidate.step,
            f"{each.candidate.weight:g}",
            f"{share * each.target.value:.1f}",
            f"{share * each.gain.value:+.1f} ({share * each.gain.low:+.1f} to {share * each.gain.high:+.1f})",
            f"{each.drift.value:.3f}",
            "" if each.loss is None else f"{share * each.loss.value:+.1f}",
            row["verdict"],
        )
        for each, row in zip(picked.choice.judged, picked.frame().to_dict("records"), strict=True)
    ]
    print_table(("step", "weight", picked.target.title, "gain, 95 % interval", "drift", "control", "verdict"), rows)
    for sentence in picked.sentences:
        typer.echo(sentence)
    typer.echo(target / "pick.html")
