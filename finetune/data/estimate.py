"""What a run will take - arithmetic, memory and disk - before anything is loaded.

With T tokens (picture, references and text), width d, n double and m single blocks, a LoRA step on a frozen base costs

    4 p d^2 (n + m) T        forward and backward of the linear layers; frozen weights need no gradient of their own
    12 T^2 d (n + m)         attention, whose backward pass costs twice the forward pass

floating-point operations, where a token meets p d^2 weights in a block, and keeps c T d (n + m) bytes for the backward
pass. p is 13 for FLUX.2 and FLUX.3 and 12 for FLUX.1, whose feed-forward layers have no gate. c is counted from the
tensors that autograd saves with an adapter on every block layer (a test counts again): 40 to 50 in bfloat16 and 70 to 90
in float32. With blocks recomputed in the backward pass, only their inputs and one block's c T d are kept.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from types import MappingProxyType
from typing import Literal

from finetune.data.buckets import Bucket
from finetune.data.dataset import BucketRow

EFFICIENCY = 0.35  # share of the speed of large matrix products that training reaches
ADAPTER_COPIES = 4  # weights, gradients and two moments of Adam, all float32
WORKSPACE = 0.6e9  # bytes of libraries, temporaries and fragmentation on a GPU
FLUX3_TOKENS = 160  # text tokens assumed for FLUX.3, which reads captions in windows of 80: about a hundred words
ITEMSIZE = {"float32": 4, "bfloat16": 2}
PACKED = {"int8": 1.0, "fp8": 1.0, "nf4": 0.5625}  # bytes a weight, scales included

Design = Literal["flux1", "flux2", "flux3"]


@dataclass(frozen=True, slots=True)
class Block:
    """What a design's blocks cost, double and single."""

    weights: int  # that a token meets in a block, in units of width squared
    adapter: tuple[int, int]  # inputs and outputs of all linear layers of a block, in units of width
    saved: Mapping[str, tuple[float, float]]  # bytes for the backward pass, by precision: a token, unit of width


DESIGNS: Mapping[Design, Block] = MappingProxyType(
    {
        "flux1": Block(12, (36, 17), {"float32": (72.7, 68.6), "bfloat16": (40.5, 38.4)}),
        "flux2": Block(13, (38, 15), {"float32": (88.7, 84.3), "bfloat16": (48.4, 50.3)}),
        "flux3": Block(13, (38, 19), {"float32": (84.6, 84.6), "bfloat16": (46.4, 46.4)}),
    }
)
"""The first blocks of FLUX.3 are counted as double ones: one stream for pictures, one for text."""

CLASSES: Mapping[str, Design] = MappingProxyType(
    {"FluxTransformer2DModel": "flux1", "Flux2Transformer2DModel": "flux2", "Flux3Transformer2DModel": "flux3"}
)


@dataclass(frozen=True, slots=True)
class Architecture:
    """The numbers of a transformer that decide what training costs."""

    width: int
    double: int  # blocks with separate picture and text streams
    single: int
    channels: int  # of a picture token
    text_width: int
    text_tokens: int  # of one prompt, padding included
    parameters: float
    design: Design = "flux2"

    @property
    def blocks(self) -> int:
        """Double and single blocks."""
        return self.double + self.single

    @property
    def block_weights(self) -> int:
        """Weights of the linear layers of all blocks; a double block has them for pictures and for text."""
        return DESIGNS[self.design].weights * self.width**2 * (2 * self.double + self.single)

    def adapter_parameters(self, rank: int) -> int:
        """Weights of a LoRA of `rank` on every linear layer of the blocks."""
        double, single = DESIGNS[self.design].adapter
        return rank * self.width * (double * self.double + single * self.single)


KNOWN: Mapping[str, Architecture] = MappingProxyType(
    {
        "FLUX.2-klein-base-4B": Architecture(3072, 5, 20, 128, 7680, 512, 3.876e9),
        "FLUX.2-klein-base-9B": Architecture(4096, 8, 24, 128, 12288, 512, 9.079e9),
        "FLUX.2-dev": Architecture(6144, 8, 48, 128, 15360, 512, 32.22e9),
        "FLUX.1-dev": Architecture(3072, 19, 38, 64, 4096, 512, 11.9e9, "flux1"),
        "FLUX.1-Krea-dev": Architecture(3072, 19, 38, 64, 4096, 512, 11.9e9, "flux1"),
        "FLUX.1-Kontext-dev": Architecture(3072, 19, 38, 64, 4096, 512, 11.9e9, "flux1"),
        "flux-3-image-klein-base": Architecture(3072, 5, 28, 128, 20480, FLUX3_TOKENS, 5.54e9, "flux3"),
    }
)
"""Checkpoints whose cost can be told before they are downloaded."""


@dataclass(frozen=True, slots=True)
class Estimate:
    """What one configuration takes. The slowest and largest bucket decides time and memory of a step."""

    model: str
    rank: int
    batch_size: int
    precision: str
    quant: str
    steps: int
    epochs: float  # how often every picture is seen
    tera_operations: float  # of a mean step
    seconds: float | None  # of all steps; None where the speed of the device is not known
    speed: float | None  # operations a second of large matrix products on the device
    memory: float  # bytes while training, blocks not recomputed
    memory_recomputed: float  # bytes while training, blocks recomputed in the backward pass
    cache: float  # bytes of latents and text features on disk
    checkpoint: float  # bytes of one checkpoint with the optimiser's state


def architecture_of(folder: Path, *, text_tokens: int, parameters: float) -> Architecture | None:
    """The numbers of the model in `folder`; None when its transformer is of no known design."""
    config = json.loads((folder / "transformer" / "config.json").read_text(encoding="utf-8"))
    design = CLASSES.get(str(config.get("_class_name")))
    if design is None:
        return None
    return Architecture(
        width=int(config["num_attention_heads"]) * int(config["attention_head_dim"]),
        double=int(config["num_layers"]),
        single=int(config["num_single_layers"]),
        channels=int(config["in_channels"]),
        text_width=int(config["joint_attention_dim"]),
        text_tokens=FLUX3_TOKENS if design == "flux3" else text_tokens,
        parameters=parameters,
        design=design,
    )


def tokens(bucket: Bucket, architecture: Architecture, multiple: int) -> int:
    """Tokens of one example: picture, references and text."""
    sizes = ((bucket.width, bucket.height), *bucket.references)
    return sum(width // multiple * (height // multiple) for width, height in sizes) + architecture.text_tokens


def operations(count: int, architecture: Architecture) -> float:
    """Floating-point operations of one example of `count` tokens, forward and backward."""
    width, blocks = architecture.width, architecture.blocks
    return 4.0 * DESIGNS[architecture.design].weights * width**2 * blocks * count + 12.0 * count**2 * width * blocks


def saved_bytes(count: int, architecture: Architecture, precision: str) -> float:
    """Bytes that one example of `count` tokens keeps for the backward pass."""
    double, single = DESIGNS[architecture.design].saved[precision]
    return (double * architecture.double + single * architecture.single) * count * architecture.width


def estimate(
    rows: tuple[BucketRow, ...],
    architecture: Architecture,
    *,
    model: str,
    multiple: int,
    texts: int,
    variants: int,
    rank: int = 16,
    batch_size: int = 1,
    precision: str = "bfloat16",
    steps: int = 1000,
    quant: str = "none",
    speed: float | None = None,
) -> Estimate:
    """What training on `rows` takes.

    Args:
        rows: the bucket table.
        architecture: of the transformer.
        model: its name, for the report.
        multiple: pixels of a token's side.
        texts: different captions.
        variants: crops and mirrors of every picture.
        rank: of the LoRA, on every linear layer of the blocks.
        batch_size: pictures in a step.
        precision: of the frozen base: float32 or bfloat16.
        steps: in all.
        quant: how the blocks of the base are packed: none, int8, fp8 or nf4.
        speed: operations a second that the device reaches in large matrix products.
    """
    counts = {row.bucket: tokens(row.bucket, architecture, multiple) for row in rows}
    draws = sum(row.draws for row in rows)
    mean = sum(row.draws * operations(counts[row.bucket], architecture) for row in rows) / draws * batch_size
    most = max(counts.values())
    itemsize = ITEMSIZE[precision]
    adapter = architecture.adapter_parameters(rank)
    saving = 0.0 if quant == "none" else architecture.block_weights * (itemsize - PACKED[quant])
    fixed = architecture.parameters * itemsize - saving + adapter * 4.0 * ADAPTER_COPIES + WORKSPACE
    saved = saved_bytes(most, architecture, precision) * batch_size
    inputs = most * architecture.width * architecture.blocks * itemsize * batch_size
    pictures = sum(row.pictures * (counts[row.bucket] - architecture.text_tokens) for row in rows)
    cache = pictures * variants * architecture.channels * 4.0
    cache += texts * architecture.text_tokens * architecture.text_width * itemsize
    return Estimate(
        model=model,
        rank=rank,
        batch_size=batch_size,
        precision=precision,
        quant=quant,
        steps=steps,
        epochs=steps * batch_size / draws,
        tera_operations=mean / 1e12,
        seconds=None if speed is None else steps * mean / (speed * EFFICIENCY),
        speed=speed,
        memory=fixed + saved,
        memory_recomputed=fixed + inputs + saved / architecture.blocks,
        cache=cache,
        checkpoint=adapter * 4.0 * (ADAPTER_COPIES - 1),
    )


def measure_speed(device: str, precision: str) -> float:
    """Operations a second of a matrix product of 1024 (CPU) or 8192 (GPU) rows, the best of a few; takes well below 1 s."""
    import time

    import torch

    side = 8192 if device.startswith("cuda") else 1024
    left = torch.randn(side, side, device=device, dtype=getattr(torch, precision))

    def once() -> float:
        began = time.perf_counter()
        product = left @ left
        product.flatten()[0].item()  # waits for the device
        return time.perf_counter() - began

    once()
    return 2.0 * side**3 / min(once() for _ in range(5))
