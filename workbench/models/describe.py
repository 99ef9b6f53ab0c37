"""The table of families as the Markdown of docs/models.md, so that the page says what the code does."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from workbench.models.families import FAMILIES
from workbench.models.family import Checkpoint, Family


def tables() -> str:
    """Both tables of the page: published models, and what each family does."""
    models = _table(
        ("model", "family", "parameters", "memory, bfloat16", "steps", "guidance", "licence", "base or distilled form"),
        (
            (
                _link(name, checkpoint.repository),
                f"`{family.name}`",
                f"{checkpoint.parameters:g} B"
                if checkpoint.parameters >= 0.1
                else f"{checkpoint.parameters * 1000:g} M",
                f"{checkpoint.memory_gb:g} GB",
                family.default_steps(distilled=checkpoint.distilled),
                _guidance(family, checkpoint),
                checkpoint.licence + (", gated" if checkpoint.gated else ""),
                checkpoint.partner or ("distilled" if checkpoint.distilled else "base"),
            )
            for family in FAMILIES.values()
            for name, checkpoint in family.checkpoints.items()
        ),
    )
    families = _table(
        ("family", "tasks", "text tokens", "sides, px", "area, MP", "guidance", "references"),
        (
            (
                f"`{family.name}`",
                ", ".join(family.tasks),
                family.max_sequence_length,
                f"{family.min_side} to {family.max_side}, by {family.size_multiple}",
                f"{family.max_pixels / 1e6:.2g}",
                guidance(family),
                family.max_references or "none",
            )
            for family in FAMILIES.values()
        ),
    )
    return f"### Models\n\n{models}\n\n### Families\n\n{families}\n"


def guidance(family: Family) -> str:
    """How a family is guided, in a few words."""
    if family.embeds_guidance:
        return "an input" + ("; second pass by `true_cfg_scale`" if family.true_cfg else "")
    if family.true_cfg:
        return "none; second pass by `true_cfg_scale`"
    return "second pass"


def _guidance(family: Family, checkpoint: Checkpoint) -> str:
    if checkpoint.advised_guidance is not None:
        return f"{checkpoint.advised_guidance:g}, to be set"
    return "none" if checkpoint.distilled else f"{family.guidance_scale:g}"


def _link(name: str, repository: str) -> str:
    return f"[{name}](https://huggingface.co/{repository})" if repository else f"{name}, in this package"


def _table(head: Sequence[str], rows: Iterable[Sequence[object]]) -> str:
    lines = [head, ["---"] * len(head), *rows]
    return "\n".join("| " + " | ".join(str(cell) for cell in line) + " |" for line in lines)
