"""The card of a run: what was learned from what, how, how it looks, and how to make it again.

`write_card` puts README.md and curves.png into the run's folder; the text is what the hub shows for an adapter. Whatever
the run does not have (previews, a pick, a finished adapter) is left out.
"""

from __future__ import annotations

import io
import json
from collections import Counter
from pathlib import Path
from typing import TYPE_CHECKING, Any

import yaml

from finetune.config import TrainConfig
from finetune.runfolder import RunFolder
from workbench.models.families import FAMILIES
from workbench.store.files import write_atomically

if TYPE_CHECKING:
    from matplotlib.figure import Figure

CARD, CURVES = "README.md", "curves.png"
SHOWN = 6  # previews of a step


def write_card(run: RunFolder) -> list[Path]:
    """Write the card of `run` into its folder.

    Returns:
        The files written.

    Raises:
        TrainConfigError: the run's configuration cannot be read.
        StoreError: the folder cannot be written.
    """
    files = []
    figure = curves(run)
    if figure is not None:
        buffer = io.BytesIO()
        figure.savefig(buffer, format="png", dpi=130)
        write_atomically(run.path / CURVES, buffer.getvalue())
        files.append(run.path / CURVES)
    write_atomically(run.path / CARD, render(run, has_curves=figure is not None).encode())
    return [run.path / CARD, *files]


def render(run: RunFolder, *, has_curves: bool) -> str:
    """The card as Markdown with the hub's front matter."""
    config = run.config
    header = _header(run)
    parts = [
        _front(run, config, header),
        f"# {escape(run.name)}\n",
        _lead(config, header),
        _pick(run),
        _use(run, config, header),
        _previews(run),
        _data(run, config),
        _training(run, config, header, has_curves=has_curves),
        _licence(config),
        _again(config),
    ]
    return "\n".join(part for part in parts if part)


def curves(run: RunFolder) -> Figure | None:
    """Training and held-out loss over the steps; None before the first line of the log."""
    records = list(run.records())
    steps = [(each["step"], each["loss"]) for each in records if each.get("event") == "step"]
    held_out = [(each["step"], each["loss"]) for each in records if each.get("event") == "held_out"]
    if not steps and not held_out:
        return None
    from matplotlib.figure import Figure

    figure = Figure(figsize=(8, 3.2), layout="constrained")
    axes = figure.subplots()
    if steps:
        axes.plot(*zip(*steps, strict=True), color="#9aa4b2", linewidth=1, label="training loss")
    if held_out:
        axes.plot(*zip(*held_out, strict=True), color="#0969da", marker="o", markersize=4, label="held-out loss")
        best = min(held_out, key=lambda point: point[1])
        axes.plot(*best, "o", markersize=10, markerfacecolor="none", color="#0969da")
    axes.set_xlabel("step")
    axes.set_ylabel("loss")
    axes.grid(visible=True, alpha=0.25)
    axes.legend(frameon=False, fontsize=9)
    return figure


def escape(text: str) -> str:
    """Text that Markdown and HTML show as it is: captions and names come from others."""
    for character in "\\`*_[]|":
        text = text.replace(character, f"\\{character}")
    return " ".join(text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;").split())


def _header(run: RunFolder) -> dict[str, str]:
    """Metadata of the finished adapter."""
    if not run.adapter.is_file():
        return {}
    from finetune.adapter_info import read_info

    return dict(read_info(run.adapter).metadata)


def _front(run: RunFolder, config: TrainConfig, header: dict[str, str]) -> str:
    base, licence = _base(config)
    facts: dict[str, Any] = {
        "base_model": base,
        "base_model_relation": "adapter",
        "library_name": "diffusers",
        "pipeline_tag": "image-to-image" if _has_references(run) else "text-to-image",
        "tags": ["lora", "flux", "text-to-image", header.get("ss_base_model_version", "flux2")],
    }
    if licence:
        facts["license"] = licence.lower() if licence == "Apache-2.0" else "other"
        if facts["license"] == "other":
            facts["license_name"] = licence
    if config.data.trigger:
        facts["instance_prompt"] = config.data.trigger
    return f"---\n{yaml.safe_dump(facts, sort_keys=False, allow_unicode=True)}---\n"


def _lead(config: TrainConfig, header: dict[str, str]) -> str:
    adapter = config.adapter
    kind = {"lora": "LoRA", "rslora": "rank-stabilised LoRA", "dora": "DoRA", "lokr": "LoKr"}[adapter.kind]
    trigger = f" Its trigger is `{config.data.trigger}`." if config.data.trigger else ""
    steps = f" after {header['ss_steps']} steps" if "ss_steps" in header else ""
    return f"A {kind} of rank {adapter.rank} for {escape(_base(config)[0])}{steps}.{trigger}\n"


def _pick(run: RunFolder) -> str:
    """What `finetune pick` found."""
    path = run.path / "pick" / "pick.yaml"
    try:
        findings = yaml.safe_load(path.read_text(encoding="utf-8"))["findings"]
    except (OSError, yaml.YAMLError, KeyError, TypeError):
        return ""
    lines = "\n".join(f"- {escape(str(each))}" for each in findings)
    return f"## Which checkpoint\n\n{lines}\n"


def _use(run: RunFolder, config: TrainConfig, header: dict[str, str]) -> str:
    if not header:
        return ""
    prompt = f"{config.data.trigger}, ..." if config.data.trigger else "..."
    return f"""## How to use it

The scale is folded into the file: weight 1.0 is the trained strength in every program.

- Here: `workbench generate "{escape(prompt)}" --set adapters='[{{name: {run.name}}}]'`, or as an axis of a grid.
- diffusers: `pipeline.load_lora_weights("adapter.safetensors")`.
- ComfyUI and InvokeAI read the file as it is; `finetune convert` writes other namings.
"""


def _previews(run: RunFolder) -> str:
    from finetune.preview import preview_steps

    steps = preview_steps(run)
    if not steps:
        return ""
    chosen = [steps[0], steps[-1]] if len(steps) > 1 else steps
    lines = ["## Pictures", "", "| step | pictures |", "|---|---|"]
    for step in chosen:
        folder = run.previews / f"step-{step:06d}"
        names = sorted(path.name for path in folder.glob("*.png"))[:SHOWN]
        pictures = " ".join(f"![step {step}](previews/{folder.name}/{name})" for name in names)
        lines.append(f"| {step} | {pictures} |")
    return "\n".join([*lines, ""])


def _data(run: RunFolder, config: TrainConfig) -> str:
    try:
        manifest = json.loads(run.data.read_text(encoding="utf-8"))
        examples: dict[str, Any] = manifest["examples"]
        held_out = len(manifest["held_out"])
    except (OSError, ValueError, KeyError, TypeError):
        return ""
    own = [each for each in examples.values() if not each.get("regularisation")]
    buckets = Counter(_bucket(each) for each in own)
    captions = list(dict.fromkeys(caption for each in own for caption in each.get("captions", [])[:1]))
    lines = [
        "## Data",
        "",
        f"- {len(own)} pictures, {held_out} of them held out to measure on"
        + (f"; {len(examples) - len(own)} regularisation pictures" if len(examples) > len(own) else ""),
        f"- with references: {sum(bool(each.get('references')) for each in own)}",
        f"- sizes: {', '.join(f'{size} ({count})' for size, count in buckets.most_common(6) if size)}",
        f"- caption dropout {config.data.caption_dropout:g}",
        "",
        "Captions, for example:",
        "",
        *(f"- {escape(caption)}" for caption in captions[:4]),
        "",
    ]
    return "\n".join(line for line in lines if line != "- sizes: ")


def _bucket(example: dict[str, Any]) -> str:
    buckets = example.get("buckets") or []
    return " and ".join("x".join(map(str, each)) if isinstance(each, list) else str(each) for each in buckets)


def _training(run: RunFolder, config: TrainConfig, header: dict[str, str], *, has_curves: bool) -> str:
    rows = {
        "steps": header.get("ss_steps", str(run.status().step)),
        "batch": f"{config.batch_size} x {config.accumulation}",
        "rank, alpha": f"{config.adapter.rank}, {config.adapter.scale_alpha:g}",
        "targets": config.adapter.targets,
        "optimiser": f"{config.optimiser.kind}, learning rate {config.optimiser.learning_rate:g}, "
        f"{config.schedule.kind} after {config.warmup} steps of warm-up",
        "noise levels": f"{config.timesteps.kind}, weighting {config.timesteps.weighting}",
        "precision": f"adapter float32, base {config.precision}",
        "seed": str(config.seed),
    }
    table = "\n".join(f"| {name} | {escape(value)} |" for name, value in rows.items())
    picture = f"\n![Training and held-out loss]({CURVES})\n" if has_curves else ""
    return f"## Training\n\n| | |\n|---|---|\n{table}\n{picture}"


def _licence(config: TrainConfig) -> str:
    base, licence = _base(config)
    if not licence:
        return f"## Licence\n\nThe licence of {escape(base)} applies to adapters of it; see its own card.\n"
    return (
        f"## Licence\n\nThe base model {escape(base)} is under {escape(licence)}, which its adapters have to keep to.\n"
    )


def _again(config: TrainConfig) -> str:
    decided = yaml.safe_dump(json.loads(config.model_dump_json(exclude_defaults=True)), sort_keys=False)
    return f"""## How to make it again

    finetune train config.yaml

On the same data, versions and processor type the CPU gives the same bytes. `config.yaml` holds every field; these
differ from the defaults:

```yaml
{decided}```
"""


def _base(config: TrainConfig) -> tuple[str, str]:
    """Repository or name of the base, and its licence where the family table knows it."""
    name = Path(config.model).name
    for family in FAMILIES.values():
        if name in family.checkpoints:
            checkpoint = family.checkpoints[name]
            return checkpoint.repository or name, checkpoint.licence
    return name, ""


def _has_references(run: RunFolder) -> bool:
    try:
        examples = json.loads(run.data.read_text(encoding="utf-8"))["examples"].values()
    except (OSError, ValueError, KeyError, TypeError):
        return False
    return any(each.get("references") for each in examples)
