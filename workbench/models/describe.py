"""The table of families as the Markdown of docs/models.md, so that the page says what the code does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workbench.models.families import FAMILIES
from workbench.models.family import Checkpoint, Family
from workbench.recipe.known import Precision, Quantisation


def tables() -> str:
    """The tables of the page: published models, what acts beside them, what each family does."""
    models = _table(
        ("model", "family", "parameters", "memory, GB", "steps", "guidance", "licence", "base or distilled form"),
        (
            (
                _link(name, checkpoint.repository),
                f"`{family.name}`",
                f"{checkpoint.parameters:.3g} B"
                if checkpoint.parameters >= 0.1
                else f"{checkpoint.parameters * 1000:.3g} M",
                _memory(checkpoint),
                family.default_steps(distilled=checkpoint.distilled),
                _guidance(family, checkpoint),
                checkpoint.licence + (", gated" if checkpoint.gated else ""),
                checkpoint.partner or ("distilled" if checkpoint.distilled else "base"),
            )
            for family in FAMILIES.values()
            for name, checkpoint in family.checkpoints.items()
        ),
    )
    additions = _table(
        ("file or folder", "family", "what", "task", "download", "steps", "guidance", "licence"),
        (
            (
                _link(name, each.repository),
                f"`{family.name}`",
                each.kind,
                each.task,
                f"{each.download_gb:g} GB",
                each.steps,
                f"{each.guidance_scale:g}",
                each.licence + (", gated" if each.gated else ""),
            )
            for family in FAMILIES.values()
            for name, each in family.additions.items()
        ),
    )
    families = _table(
        (
            "family",
            "tasks",
            "components",
            "text layers",
            "text tokens",
            "sides, px",
            "area, MP",
            "guidance",
            "references",
        ),
        (
            (
                f"`{family.name}`",
                ", ".join(family.tasks),
                ", ".join(cls for name, cls in family.components.items() if not name.startswith("tokenizer")),
                ", ".join(map(str, family.text_layers)) or "last",
                family.max_sequence_length,
                f"{family.min_side} to {family.max_side}, by {family.size_multiple}",
                f"{family.max_pixels / 1e6:.2g}",
                guidance(family),
                family.max_references or "none",
            )
            for family in FAMILIES.values()
        ),
    )
    return (
        f"### Models\n\n{models}\n\n### Beside them\n\n{additions}\n\n### Families\n\n{families}\n\n"
        f"### Layers that a LoRA trains\n\n{_targets()}\n"
    )


def guidance(family: Family) -> str:
    """How a family is guided, in a few words."""
    if family.embeds_guidance:
        return "an input" + ("; second pass by `true_cfg_scale`" if family.true_cfg else "")
    if family.true_cfg:
        return "none; second pass by `true_cfg_scale`"
    return "second pass"


def _memory(checkpoint: Checkpoint) -> str:
    """Weights in float32, in bfloat16, with int8 or fp8, and with nf4 in the text encoders too."""
    forms: tuple[tuple[Precision, Quantisation | None], ...] = (
        ("float32", None), ("bfloat16", None), ("bfloat16", "int8"), ("bfloat16", "nf4+text"),
    )  # fmt: skip
    if "unet" in checkpoint.parts:
        forms = forms[:2]
    return " / ".join(
        f"{sum(checkpoint.memory(*form).values()):.2g}"
        if checkpoint.parameters < 0.1
        else f"{sum(checkpoint.memory(*form).values()):.1f}"
        for form in forms
    )


def _targets() -> str:
    """The ends of the layers' names, families with the same ones together."""
    rows: dict[tuple[str, ...], list[str]] = {}
    for family in FAMILIES.values():
        if family.adapter_targets:
            rows.setdefault(family.adapter_targets, []).append(f"`{family.name}`")
    return _table(
        ("families", "layers"),
        ((", ".join(names), ", ".join(f"`{target}`" for target in targets)) for targets, names in rows.items()),
    )


def _guidance(family: Family, checkpoint: Checkpoint) -> str:
    if checkpoint.advised_guidance is not None:
        return f"{checkpoint.advised_guidance:g}"
    return "none" if checkpoint.distilled else f"{family.guidance_scale:g}"


def _link(name: str, repository: str) -> str:
    return f"[{name}](https://huggingface.co/{repository})" if repository else f"{name}, in this package"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
