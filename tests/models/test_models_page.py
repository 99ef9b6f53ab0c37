"""docs/models.md and the remedies of refusals against the family table."""

from __future__ import annotations

import json
import re
from pathlib import Path
from typing import get_args

import pytest

from workbench.models import FAMILIES
from workbench.models.describe import tables
from workbench.models.families import published
from workbench.models.identify import Header, expand
from workbench.recipe.conditions import ABLE, Task
from workbench.recipe.controls import DEPTH, REDUX

PAGE = Path(__file__).parents[2] / "docs" / "models.md"


def test_the_page_shows_the_table_of_families() -> None:
    assert tables() in PAGE.read_text(encoding="utf-8"), "run python scripts/models_page.py"


def test_the_page_names_the_companions() -> None:
    text = PAGE.read_text(encoding="utf-8")
    assert REDUX in text
    assert DEPTH in text


def test_remedies_name_families_that_can() -> None:
    for task in get_args(Task):
        assert task in FAMILIES[ABLE.get(task, "flux2-klein")].tasks


def test_partners_are_rows_that_point_back() -> None:
    """Of the same family, or of one with the same architecture."""
    known = {name: (family, own) for family in FAMILIES.values() for name, own in family.checkpoints.items()}
    for name, (family, checkpoint) in known.items():
        if checkpoint.partner:
            sibling, other = known[checkpoint.partner]
            assert (other.partner, other.distilled) == (name, not checkpoint.distilled)
            assert sibling.kind == family.kind


LAYOUTS = Path(__file__).parent / "layouts"
# What each checkpoint is made of, as layouts of published files: the language models' layers that are read.
MADE_OF = {
    "FLUX.1-dev": ("flux1-dev-diffusers", {"text_encoder": ("clip-l", 0), "text_encoder_2": ("t5-xxl-fp16", 0)}),
    "FLUX.1-Fill-dev": ("flux1-fill-dev-diffusers", {"text_encoder_2": ("t5-xxl-nf4-diffusers", 0)}),
    "FLUX.1-schnell": ("flux1-schnell-diffusers", {"text_encoder": ("clip-l", 0)}),
    "FLUX.2-dev": ("flux2-dev-diffusers", {"text_encoder": ("mistral-small-diffusers", 30)}),
    "FLUX.2-klein-4B": ("flux2-klein-4b-diffusers", {"text_encoder": ("qwen3-4b-bf16", 27)}),
    "FLUX.2-klein-9B": ("flux2-klein-9b-diffusers", {"text_encoder": ("qwen3-8b-bf16", 27)}),
    "flux-3-image-klein": ("flux3-klein-diffusers", {"text_encoder": ("qwen3-4b-bf16", 32)}),  # as Qwen3-VL's text part
    "flux-3-image-klein-base": ("flux3-klein-base-diffusers", {}),
}


def layout(name: str) -> Header:
    return expand(json.loads((LAYOUTS / f"{name}.json").read_text(encoding="utf-8")))


def counted(header: Header, layers: int) -> tuple[int, int]:
    """Parameters, and those in matrices of blocks; of language models up to the last layer that is read."""
    total = packed = 0
    for name, entry in header.tensors.items():
        number = re.search(r"(?:layers|block|blocks)\.(?:image\w*\.)?(\d+)\.", name)
        if name.startswith(("lm_head", "encoder.embed_tokens")) or (layers and number and int(number[1]) >= layers):
            continue
        if ".absmax" in name or ".quant" in name or ".nested" in name:
            continue
        elements = entry.elements * (2 if entry.dtype == "U8" else 1)
        total += elements
        packed += elements if number and len(entry.shape) == 2 and "relative" not in name else 0
    return total, packed


@pytest.mark.parametrize("name", MADE_OF)
def test_sizes_are_those_of_the_published_files(name: str) -> None:
    found = published(name)
    assert found is not None
    family, checkpoint = found
    transformer, texts = MADE_OF[name]
    for folder, (file, layers) in {family.denoiser: (transformer, 0), **texts}.items():
        total, packed = counted(layout(file), layers)
        part = checkpoint.parts[folder]
        assert part.parameters * 1e9 == pytest.approx(total, rel=0.002), folder
        assert part.blocks * 1e9 == pytest.approx(packed, rel=0.002), folder
    vae = "flux1-vae-diffusers" if family.name.startswith("flux1") else "flux2-vae-diffusers"
    assert checkpoint.parts["vae"].parameters * 1e9 == pytest.approx(counted(layout(vae), 0)[0], rel=0.005)


def test_every_checkpoint_has_a_size_for_every_component_with_weights() -> None:
    for family in FAMILIES.values():
        weighty = {name for name in family.components if not name.startswith(("tokenizer", "scheduler"))}
        for name, checkpoint in family.checkpoints.items():
            assert checkpoint.parts.keys() == weighty, name
            half, whole = checkpoint.memory("bfloat16"), checkpoint.memory("float32")
            assert all(whole[part] == pytest.approx(2 * size) for part, size in half.items())
            assert sum(half.values()) <= 1.01 * checkpoint.download_gb
            if family.denoiser == "transformer":
                eight, four = (sum(checkpoint.memory("bfloat16", way).values()) for way in ("int8", "nf4+text"))
                assert four < eight < sum(half.values())


def test_published_models_are_found_by_name_and_repository() -> None:
    for name in ("FLUX.1-Krea-dev", "black-forest-labs/flux.1-krea-dev", "black-forest-labs/FLUX.1-Krea-dev@main"):
        found = published(name)
        assert found is not None
        assert found[1].advised_guidance == 4.5
    assert published("klein-nano") is not None
    assert published("") is None
    assert published("nothing") is None
