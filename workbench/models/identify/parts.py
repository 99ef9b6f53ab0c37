"""The parts of a pipeline that a file may hold, told apart by the prefixes and first names of its tensors."""

from __future__ import annotations

import re
from collections.abc import Mapping

from workbench.models.identify.header import TensorEntry

Tensors = Mapping[str, TensorEntry]

# Prefixes under which single-file checkpoints keep their parts; longest first where one begins with another.
DIFFUSION = ("model.diffusion_model.", "diffusion_model.", "transformer.", "unet.", "net.")
VAE = ("first_stage_model.", "vae.")
_BLOCKS = re.compile(r"(?:^|\.)(?:\w*blocks|layers|block|blk)\.")
TEXT = (
    "text_encoders.",
    "conditioner.embedders.",
    "cond_stage_model.",
    "text_encoder.",
    "text_encoder_2.",
)


def in_blocks(name: str) -> bool:
    """Whether a tensor or layer belongs to one of the blocks that repeat in a transformer or a text encoder."""
    return _BLOCKS.search(name) is not None


def split(tensors: Tensors) -> tuple[dict[str, Tensors], str]:
    """Parts by name ('diffusion', 'vae', 'text'), without their prefixes, and the prefix of the first.

    A file of one part may have no prefix; all its tensors are then 'diffusion', whatever they turn out to be.
    """
    parts: dict[str, dict[str, TensorEntry]] = {}
    prefix = ""
    for name, entry in tensors.items():
        for part, prefixes in (("vae", VAE), ("text", TEXT), ("diffusion", DIFFUSION)):
            found = next((each for each in prefixes if name.startswith(each)), None)
            if found is None:
                continue
            if part == "diffusion":
                prefix = prefix or found
            parts.setdefault(part, {})[name.removeprefix(found)] = entry
            break
        else:
            parts.setdefault("diffusion", {})[name] = entry
    return dict(parts), prefix


def blocks(tensors: Tensors, stack: str) -> int:
    """How many blocks `stack` ('double_blocks.') has: its highest number plus one."""
    numbers = {
        name.removeprefix(stack).partition(".")[0] for name in tensors if name.startswith(stack)
    }  # fmt: skip
    return max((int(number) for number in numbers if number.isdigit()), default=-1) + 1


def shape(tensors: Tensors, *names: str) -> tuple[int, ...]:
    """Shape of the first of `names` that is there, or ()."""
    return next((tensors[name].shape for name in names if name in tensors), ())


def columns(tensors: Tensors, name: str, rows: int) -> int:
    """Input features of the matrix `name` with `rows` output features; a packed one has two values a byte."""
    entry = tensors.get(name)
    if entry is None:
        return 0
    if len(entry.shape) == 2 and entry.shape[1] == 1 and rows and entry.dtype == "U8":
        return entry.elements * 2 // rows
    return entry.shape[1] if len(entry.shape) > 1 else 0
