"""The training loop against a loop written from the formulas of diffusers' klein script: same work, side by side.

Both loops train the same adapter (float32, same layers, same rank, same initial weights) on copies of the same model, the
same cached latents and text features, with AdamW, and take turns step by step, so that a busy machine slows both alike.
The reference adds its adapter with `add_adapter`, draws its timesteps from the scheduler's table, indexes it per example,
packs and unpacks tokens with ids as the pipeline's helpers do, and reads the loss every step, as the script does.

Run: `python benchmarks/finetune_speed.py [--model NAME] [--steps N] [--json FILE]`, on a GPU with `--shape klein-4b` for
random weights of the published sizes (1024 px, rank 16, bfloat16 base).
"""

from __future__ import annotations

import argparse
import json
import math
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from finetune.adapters import attach
from finetune.batch import Batch, Text
from finetune.config import AdapterConfig, TimestepConfig
from finetune.families import TRAIN_FAMILIES
from finetune.objective import flow_losses
from finetune.optim import clip_gradients
from finetune.sampling import draw_sigma, generator

FAMILY = TRAIN_FAMILIES["flux2-klein"]


@dataclass(frozen=True)
class Shape:
    """Sizes of a run: transformer arguments, tokens, and precision of the base."""

    transformer: dict[str, Any]
    side: int  # rows and columns of picture tokens
    text: int  # text tokens
    rank: int
    dtype: torch.dtype


KLEIN = {"in_channels": 128, "attention_head_dim": 128, "guidance_embeds": False}
SHAPES = {
    "nano": Shape(
        {"in_channels": 64, "num_layers": 2, "num_single_layers": 4, "attention_head_dim": 32, "num_attention_heads": 6,
         "joint_attention_dim": 576, "axes_dims_rope": (4, 10, 10, 8), "guidance_embeds": False},
        4, 24, 16, torch.float32,
    ),
    "klein-4b": Shape(
        KLEIN | {"num_layers": 5, "num_single_layers": 20, "num_attention_heads": 24, "joint_attention_dim": 7680},
        64, 512, 16, torch.bfloat16,
    ),
    "klein-9b": Shape(
        KLEIN | {"num_layers": 8, "num_single_layers": 24, "num_attention_heads": 32, "joint_attention_dim": 12288},
        64, 512, 16, torch.bfloat16,
    ),
}  # fmt: skip


def build(
    shape: Shape, device: torch.device, *, checkpointing: bool, ours: bool = True
) -> tuple[Any, list[nn.Parameter]]:
    """A transformer of random weights with a fresh adapter, ours or the script's, and the adapter's parameters."""
    from diffusers import Flux2Transformer2DModel
    from peft import LoraConfig

    torch.manual_seed(0)
    with torch.device(device):
        default = torch.get_default_dtype()
        torch.set_default_dtype(shape.dtype)
        try:
            model = Flux2Transformer2DModel(**shape.transformer)
        finally:
            torch.set_default_dtype(default)
    model.train()
    if checkpointing:
        model.enable_gradient_checkpointing()
    if ours:
        return model, attach(model, AdapterConfig(rank=shape.rank), FAMILY.blocks, 0)
    model.requires_grad_(requires_grad=False)
    model.add_adapter(LoraConfig(r=shape.rank, lora_alpha=shape.rank, target_modules=FAMILY.blocks))
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    for parameter in trained:
        parameter.data = parameter.data.float()  # the script leaves them in bfloat16, in which most would never move
    return model, trained


def features(shape: Shape, device: torch.device) -> tuple[Tensor, Tensor]:
    """One cached picture (1, C, H, W), float32, and one cached text (1, L, D)."""
    channels, width = shape.transformer["in_channels"], shape.transformer["joint_attention_dim"]
    latents = torch.randn(1, channels, shape.side, shape.side, device=device)
    return latents, torch.randn(1, shape.text, width, device=device, dtype=shape.dtype)


class Ours:
    """A step as `finetune.loop` makes it."""

    def __init__(self, shape: Shape, model: Any, parameters: list[nn.Parameter], cached: tuple[Tensor, Tensor]) -> None:
        self.shape, self.model, self.parameters = shape, model, parameters
        self.device = cached[0].device
        self.clean, self.text = cached[0].flatten(2).transpose(1, 2).cpu(), cached[1]
        self.optimiser = torch.optim.AdamW(parameters, lr=1e-4, fused=True)
        self.call: Any = model
        self.number = 0

    def step(self) -> None:
        """One optimiser step, noise drawn on the host as in a run."""
        self.number += 1
        random = generator(0, "noise", self.number, 0)
        sigma = draw_sigma(TimestepConfig(), self.shape.side**2, random).view(1)
        noise = torch.randn(self.clean.shape, generator=random)
        batch = Batch(
            ("x",), self.clean, noise, sigma, Text(self.text), (self.shape.side, self.shape.side), torch.ones(1)
        )
        batch = batch.to(self.device, self.shape.dtype)
        loss = flow_losses(FAMILY, self.model, batch, dtype=self.shape.dtype, call=self.call).sum()
        loss.backward()
        norm = clip_gradients(self.parameters, 1.0)
        if not math.isfinite(float(norm) + float(loss.detach())):
            raise ArithmeticError("not finite")
        self.optimiser.step()
        self.optimiser.zero_grad(set_to_none=True)


class Reference:
    """A step from the formulas of diffusers' script for klein, with its host work."""

    def __init__(self, shape: Shape, model: Any, parameters: list[nn.Parameter], cached: tuple[Tensor, Tensor]) -> None:
        from diffusers import FlowMatchEulerDiscreteScheduler

        self.shape, self.model, self.parameters = shape, model, parameters
        self.latents, self.text = cached
        self.device = self.latents.device
        self.optimiser = torch.optim.AdamW(parameters, lr=1e-4)
        self.scheduler = FlowMatchEulerDiscreteScheduler()

    def step(self) -> None:
        """One optimiser step."""
        from diffusers import Flux2KleinPipeline
        from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3

        dtype = self.shape.dtype
        latents = self.latents.to(dtype)
        ids = Flux2KleinPipeline._prepare_latent_ids(latents).to(self.device)
        noise = torch.randn_like(latents)
        u = compute_density_for_timestep_sampling("none", batch_size=len(latents), logit_mean=0.0, logit_std=1.0,
                                                  mode_scale=1.29)  # fmt: skip
        timesteps = self.scheduler.timesteps[(u * 1000).long()].to(self.device)
        sigmas = self._sigmas(timesteps, latents.ndim, dtype)
        noisy = (1.0 - sigmas) * latents + sigmas * noise
        tokens = Flux2KleinPipeline._pack_latents(noisy)
        text_ids = Flux2KleinPipeline._prepare_text_ids(self.text).to(self.device)
        with torch.autocast(self.device.type, dtype=dtype, enabled=dtype != torch.float32):
            prediction = self.model(
                hidden_states=tokens, timestep=timesteps / 1000, guidance=None, encoder_hidden_states=self.text,
                txt_ids=text_ids, img_ids=ids, return_dict=False,
            )[0]  # fmt: skip
        prediction = Flux2KleinPipeline._unpack_latents_with_ids(prediction[:, : tokens.shape[1]], ids)
        weighting = compute_loss_weighting_for_sd3("none", sigmas=sigmas)
        error = weighting.float() * (prediction.float() - (noise - latents).float()) ** 2
        loss = torch.mean(error.reshape(len(latents), -1), 1).mean()
        loss.backward()
        nn.utils.clip_grad_norm_(self.parameters, 1.0)
        self.optimiser.step()
        self.optimiser.zero_grad()
        loss.detach().item()

    def _sigmas(self, timesteps: Tensor, dimensions: int, dtype: torch.dtype) -> Tensor:
        sigmas = self.scheduler.sigmas.to(device=self.device, dtype=dtype)
        table = self.scheduler.timesteps.to(self.device)
        sigma = sigmas[[(table == each).nonzero().item() for each in timesteps]]
        shaped: Tensor = sigma.view(-1, *[1] * (dimensions - 1))
        return shaped


def clock(device: torch.device, work: Callable[[], None]) -> float:
    """Seconds: of the wall on a GPU, of this process's processor time elsewhere, where others share the machine."""
    if device.type == "cuda":
        torch.cuda.synchronize()
        began = time.perf_counter()
        work()
        torch.cuda.synchronize()
        return time.perf_counter() - began
    began = time.process_time()
    work()
    return time.process_time() - began


SIDES = ("reference", "ours")


def alone(side: str, shape: Shape, steps: int) -> dict[str, float]:
    """What a process takes that trains with one loop only, on the CPU: called in a process of its own.

    Returns:
        start_s: processor seconds from the interpreter's start to the end of the first step; peak_bytes: of memory.
    """
    import resource

    device = torch.device("cpu")
    model, parameters = build(shape, device, checkpointing=False, ours=side == "ours")
    loop = Ours if side == "ours" else Reference
    made = loop(shape, model, parameters, features(shape, device))
    made.step()
    start = time.process_time()
    for _ in range(steps - 1):
        made.step()
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return {"start_s": start, "peak_bytes": float(peak if sys.platform == "darwin" else peak * 1024)}


def apart(shape: str, steps: int) -> dict[str, dict[str, float]]:
    """`alone` for both loops, in processes of their own."""
    found = {}
    for side in SIDES:
        command = [sys.executable, __file__, "--shape", shape, "--steps", str(steps), "--alone", side]
        done = subprocess.run(command, capture_output=True, text=True, check=True)
        found[side] = json.loads(done.stdout)
    return found


def overhead(ours: Ours, steps: int) -> float:
    """Share of a step that is not forward, backward or optimiser: drawing, packing, moving, checking."""
    device, batch = ours.device, None
    random = generator(0, "noise", 1, 0)
    noise = torch.randn(ours.clean.shape, generator=random)
    fixed = Batch(
        ("x",), ours.clean, noise, torch.tensor([0.5]), Text(ours.text), (ours.shape.side,) * 2, torch.ones(1)
    )
    batch = fixed.to(device, ours.shape.dtype)

    def bare() -> None:
        flow_losses(FAMILY, ours.model, batch, dtype=ours.shape.dtype, call=ours.call).sum().backward()
        ours.optimiser.step()
        ours.optimiser.zero_grad(set_to_none=True)

    pairs = [(clock(device, bare), clock(device, ours.step)) for _ in range(steps)]
    return 1 - statistics.median(bare_s / whole for bare_s, whole in pairs)


def profile(ours: Ours, steps: int) -> dict[str, float]:
    """Median share of each part of a step: where time goes that could still be saved."""
    parts: dict[str, list[float]] = {name: [] for name in ("draw", "forward", "backward", "clip", "optimiser")}
    side, kept = ours.shape.side, dict[str, Any]()

    def draw() -> None:
        random = generator(0, "noise", ours.number, 0)
        sigma = draw_sigma(TimestepConfig(), side**2, random).view(1)
        noise = torch.randn(ours.clean.shape, generator=random)
        batch = Batch(("x",), ours.clean, noise, sigma, Text(ours.text), (side, side), torch.ones(1))
        kept["batch"] = batch.to(ours.device, ours.shape.dtype)

    def forward() -> None:
        kept["loss"] = flow_losses(FAMILY, ours.model, kept["batch"], dtype=ours.shape.dtype, call=ours.call).sum()

    def optimise() -> None:
        ours.optimiser.step()
        ours.optimiser.zero_grad(set_to_none=True)

    work: dict[str, Callable[[], Any]] = {
        "draw": draw,
        "forward": forward,
        "backward": lambda: kept["loss"].backward(),  # noqa: PLW0108 - the loss is another one every time
        "clip": lambda: clip_gradients(ours.parameters, 1.0),
        "optimiser": optimise,
    }
    for _ in range(steps):
        for name, part in work.items():
            parts[name].append(clock(ours.device, part))
    medians = {name: statistics.median(values) for name, values in parts.items()}
    return {name: round(value / sum(medians.values()), 3) for name, value in medians.items()}


def main() -> None:
    """Measure, print, and write the figures as JSON when asked to."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shape", choices=sorted(SHAPES), default="nano")
    parser.add_argument("--steps", type=int, default=20)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--checkpointing", action="store_true")
    parser.add_argument("--compile", action="store_true", help="ours only")
    parser.add_argument("--json", type=Path)
    parser.add_argument("--alone", choices=SIDES, help="only this loop, for memory and start; prints JSON")
    options = parser.parse_args()
    if options.alone:
        print(json.dumps(alone(options.alone, SHAPES[options.shape], options.steps)))
        return
    device, shape = torch.device(options.device), SHAPES[options.shape]
    model, parameters = build(shape, device, checkpointing=options.checkpointing)
    other, others = build(shape, device, checkpointing=options.checkpointing, ours=False)
    with torch.no_grad():
        for parameter, value in zip(others, parameters, strict=True):
            parameter.copy_(value)
    cached = features(shape, device)
    ours, theirs = Ours(shape, model, parameters, cached), Reference(shape, other, others, cached)
    if options.compile:
        ours.call = torch.compile(model)
    peaks = {}
    for name, side in (("reference", theirs), ("ours", ours)):  # warm up, and the memory of each on its own
        if device.type == "cuda":
            torch.cuda.reset_peak_memory_stats()
        for _ in range(3):
            side.step()
        peaks[name] = torch.cuda.max_memory_allocated() if device.type == "cuda" else 0
    pairs = [(clock(device, theirs.step), clock(device, ours.step)) for _ in range(options.steps)]
    figures = {
        "shape": options.shape, "device": str(device), "dtype": str(shape.dtype), "torch": torch.__version__,
        "threads": torch.get_num_threads(), "checkpointing": options.checkpointing, "compile": options.compile,
        "adapter_parameters": sum(each.numel() for each in parameters),
        "reference_s": statistics.median(pair[0] for pair in pairs),
        "ours_s": statistics.median(pair[1] for pair in pairs),
        "ratio": statistics.median(pair[0] / pair[1] for pair in pairs),
        "overhead": overhead(ours, options.steps),
        "profile": profile(ours, options.steps),
        "peak_bytes": peaks,
        "alone": apart(options.shape, options.steps) if device.type == "cpu" else {},
    }  # fmt: skip
    for name, value in figures.items():
        print(f"{name:20} {value:.4f}" if isinstance(value, float) else f"{name:20} {value}")
    if options.json:
        options.json.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
