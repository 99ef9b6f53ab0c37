"""How the passes of a run are computed: recomputed blocks, compiled blocks, deterministic kernels.

None of them is part of what is learned: recomputed blocks give the same bits, the others the same numbers up to rounding.
"""

from __future__ import annotations

import math
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import torch

from finetune.config import TrainConfig
from finetune.data import Dataset
from finetune.data.estimate import ADAPTER_COPIES, WORKSPACE, architecture_of, saved_bytes, tokens
from finetune.recompute import Recomputed

if TYPE_CHECKING:
    from finetune.base import Base, BaseFacts

SPARE = 0.85  # share of the free memory that a run may be planned for: estimates are that close
COMPILER = "inductor"  # torch's own


def training_memory(
    facts: BaseFacts, base: Base, config: TrainConfig, dataset: Dataset
) -> dict[Recomputed, float] | None:
    """Bytes beside the base's weights that a step of the largest bucket takes, by which blocks are recomputed.

    Returns:
        None for a transformer that no formula fits.
    """
    found = architecture_of(facts.path, text_tokens=facts.model.max_sequence_length, parameters=facts.model.parameters)
    if found is None:
        return None
    most = max(tokens(row.bucket, found, base.row.size_multiple) for row in dataset.buckets())
    batch = min(config.batch_size, max(row.draws for row in dataset.buckets()))
    saved = saved_bytes(most, found, base.precision) * batch
    inputs = most * found.width * found.blocks * base.dtype.itemsize * batch
    fixed = found.adapter_parameters(config.adapter.rank) * 4.0 * ADAPTER_COPIES
    fixed += WORKSPACE if base.device.type == "cuda" else 0.0
    return {
        "none": fixed + saved,
        "half": fixed + (saved + inputs) / 2 + saved / found.blocks,
        "all": fixed + inputs + saved / found.blocks,
    }


def choose_recomputed(config: TrainConfig, needs: dict[Recomputed, float] | None, free: float) -> Recomputed:
    """Which blocks to recompute: what the configuration says, or as few as fit into `free` bytes."""
    if config.gradient_checkpointing != "auto":
        return config.gradient_checkpointing
    if needs is None:
        return "none"
    return next((which for which, need in needs.items() if need <= SPARE * free), "all")


def free_memory(device: torch.device) -> float:
    """Bytes that this process could still use on `device`; all there are where a system does not say how many are free."""
    if device.type == "cuda":
        unused = torch.cuda.memory_reserved(device) - torch.cuda.memory_allocated(device)
        return float(torch.cuda.mem_get_info(device)[0] + unused)
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
        return 1024.0 * next(int(line.split()[1]) for line in lines if line.startswith("MemAvailable"))
    except (OSError, StopIteration):
        pass
    if hasattr(os, "sysconf") and "SC_PHYS_PAGES" in os.sysconf_names:
        return float(os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE"))
    return math.inf  # not known: the run says so itself when memory is used up


def compile_blocks(transformer: Any, *, wanted: bool) -> None:
    """Have torch compile the blocks, each kind once, when they are first called."""
    if wanted:
        transformer.compile_repeated_blocks(backend=COMPILER)


@contextmanager
def deterministic(*, wanted: bool) -> Iterator[None]:
    """Use kernels that give the same bits every time, for as long as the context lasts; the CPU's always do.

    Raises:
        RuntimeError: at an operation that has none.
    """
    if not wanted:
        yield
        return
    os.environ.setdefault("CUBLAS_WORKSPACE_CONFIG", ":4096:8")  # read when CUDA's first product is made
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(mode=True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)
