"""How many rows a batch may have, and what to give up, in order, when memory runs out all the same."""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass, field, replace
from pathlib import Path

import torch

from workbench.engine.plan import Group, Shape
from workbench.models.catalog import Model
from workbench.models.checkpoint import read_json
from workbench.models.footprint import model_bytes
from workbench.models.loading import DTYPES
from workbench.recipe.approximate import kept_features

# Tokens in one pass beyond which a larger batch gains nothing: the matrix products fill the device. Measured for the
# CPU by benchmarks/engine.py; for CUDA from the arithmetic of an H200 (compute-bound from about 4000 tokens).
_FULL = {"cpu": 1024, "cuda": 16384}
ACTIVATIONS = 32  # values alive per token and unit of width in a block: projections, their rotations, residuals
DECODER = 8  # feature maps of the second-finest level alive in the VAE's decoder
MARGIN = 0.8  # part of the free memory that is planned with

DROPPED = "text encoder dropped once the prompts were encoded"
ON_HOST = "text encoder on the CPU"


def row_bytes(model: Model, shape: Shape, itemsize: int, *, guided: bool) -> int:
    """Estimated activations of one row in one pass of the transformer, in bytes."""
    config = read_json(model.path / "transformer" / "config.json")
    width = int(config["num_attention_heads"]) * int(config["attention_head_dim"])
    kept = 0
    if shape.cache:
        blocks = int(config.get("num_layers", 0)) + int(config.get("num_single_layers", 0))
        kept = kept_features(shape.cache, blocks)
    return _tokens(model, shape) * width * (ACTIVATIONS + kept) * itemsize * (2 if guided else 1)


def decode_bytes(model: Model, shape: Shape, itemsize: int) -> int:
    """Estimated activations of the VAE's decoder for one picture, in bytes."""
    config = read_json(model.path / "vae" / "config.json")
    channels = config.get("decoder_block_out_channels") or config["block_out_channels"]
    sides = (min(side, shape.tile or side) for side in (shape.width, shape.height))
    return math.prod(sides) * int(channels[1]) * DECODER * itemsize


def batch_size(group: Group, model: Model, device: torch.device, limit: int | None, *, loaded: bool) -> int:
    """Rows of one batch: as many as fit, but no more than speed the work up.

    Args:
        group: what is to be drawn.
        model: its model.
        device: where.
        limit: bytes that may be used; None: what is free.
        loaded: whether the weights are in memory already.
    """
    itemsize = DTYPES[group.precision].itemsize
    free = available(device) if limit is None else limit
    weights = 0 if loaded else sum(model_bytes(model, group.precision, group.quantisation).values())
    room = free * MARGIN - weights - decode_bytes(model, group.shape, itemsize)
    fitting = int(room // row_bytes(model, group.shape, itemsize, guided=group.guided))
    passes = _tokens(model, group.shape) * (2 if group.guided else 1)
    useful = _FULL.get(device.type, _FULL["cpu"]) // passes
    return max(1, min(fitting, useful, len(group.jobs)))


def first_economy(
    group: Group, model: Model, device: torch.device, limit: int | None, rows: int, *, held: int = 0
) -> Economy:
    """What is given up from the start, as the weights leave too little room: the text encoders, once they are done.

    Only where they can be dropped for good: what a text encoder on an accelerator takes is what the steps lack. Where it
    does not even fit beside the transformer while it reads, it works on the CPU.

    Args:
        group: what is to be drawn.
        model: its model.
        device: where.
        limit: bytes that may be used; None: what is free.
        rows: of a batch.
        held: bytes of the model's weights that are in memory already.
    """
    if device.type == "cpu" and limit is None:
        return Economy(rows)
    itemsize = DTYPES[group.precision].itemsize
    work = max(
        rows * row_bytes(model, group.shape, itemsize, guided=group.guided), decode_bytes(model, group.shape, itemsize)
    )
    sizes = model_bytes(model, group.precision, group.quantisation)
    weights, text = sum(sizes.values()), sum(size for name, size in sizes.items() if name.startswith("text_encoder"))
    free = available(device) + held if limit is None else limit
    room = free * MARGIN
    if weights + work <= room:
        return Economy(rows)
    why = f"{(weights + work) / 1e9:.4g} GB are needed, {room / 1e9:.4g} of {free / 1e9:.4g} GB are planned with"
    if device.type != "cpu" and weights - text + max(text, work) > room:
        return Economy(rows, text_on_host=True, text_dropped=True, taken=(ON_HOST, DROPPED), why=why)
    return Economy(rows, text_dropped=True, taken=(DROPPED,), why=why)


def available(device: torch.device) -> int:
    """Free memory of the device, in bytes; on the CPU also within a container's limit."""
    if device.type == "cuda":
        free, _ = torch.cuda.mem_get_info(device)
        return int(free + torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device))
    bounds = [_free_ram(), _free_cgroup()]
    return min(bound for bound in bounds if bound is not None)


def peak(device: torch.device) -> int:
    """Peak memory in bytes: of the device since `reset_peak`, on the CPU of the process since it began."""
    if device.type == "cuda":
        return int(torch.cuda.max_memory_allocated(device))
    try:
        import resource
    except ImportError:  # Windows
        return 0
    used = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return int(used if sys.platform == "darwin" else used * 1024)


def reset_peak(device: torch.device) -> None:
    """Start a new measurement of the device's peak."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether the device or the host ran out of memory."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


@dataclass(frozen=True, slots=True)
class Economy:
    """What has been given up so far. Everything but tiles keeps the pixels (in float32 to 1/255)."""

    rows: int  # of a batch
    together: bool = True  # both passes of guidance at once
    text_on_host: bool = False
    text_dropped: bool = False  # text encoders are in memory only while prompts are encoded
    tiled: bool = False
    taken: tuple[str, ...] = field(default=())  # in words, in order
    why: str = ""  # of what was taken from the start

    def next(self, stage: str, *, guided: bool, on_device: bool) -> Economy | None:
        """The next rung after running out of memory in `stage`, or None when there is none left.

        Args:
            stage: 'load', 'text', 'denoise' or 'decode'.
            guided: whether a row needs two passes.
            on_device: whether the work is on an accelerator, so that the host is another place.
        """
        if stage == "denoise" and self.together and guided:
            return self._take("guidance in two passes", together=False)
        if stage == "denoise" and self.rows > 1:
            return self._take(f"batch of {self.rows // 2}", rows=self.rows // 2)
        if on_device and stage in ("encode", "denoise", "decode") and not self.text_dropped:
            return self._take(DROPPED, text_dropped=True)
        if on_device and not self.text_on_host:
            return self._take(ON_HOST, text_on_host=True)
        if stage == "decode" and not self.tiled:
            return self._take("tiled VAE", tiled=True)
        return None

    def _take(self, words: str, **changes: int | bool) -> Economy:
        return replace(self, taken=(*self.taken, words), **changes)  # type: ignore[arg-type]


def _tokens(model: Model, shape: Shape) -> int:
    pixels = shape.width * shape.height + sum(width * height for width, height in shape.references)
    return pixels // model.size_multiple**2 + shape.text_tokens * shape.texts


def _free_ram() -> int:
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return next(int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable:"))
    except (OSError, StopIteration):
        return 4 * 2**30  # not told by this system: plan with little


def _free_cgroup() -> int | None:
    folder = Path("/sys/fs/cgroup")
    try:
        return int((folder / "memory.max").read_text()) - int((folder / "memory.current").read_text())
    except (OSError, ValueError):  # no container, or one without a limit
        return None
