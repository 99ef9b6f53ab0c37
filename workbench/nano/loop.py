"""The loop that both trainings share: step, average, log, checkpoint, resume."""

from __future__ import annotations

import copy
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from diffusers.models import AutoencoderKLFlux2
from torch import Tensor, nn

from workbench.nano.batches import Batches
from workbench.nano.checkpoint import load_checkpoint, save_checkpoint
from workbench.nano.model import Denoiser, save_pipeline
from workbench.nano.optimizers import Parameters, optimizers_for, schedule
from workbench.nano.parallel import Worker
from workbench.nano.pool import Bucket

Loss = Callable[[Denoiser, Bucket, dict[str, Tensor]], Tensor]


def run_loop(
    worker: Worker,
    model: Denoiser,
    config: dict[str, Any],
    out: Path,
    *,
    vae: AutoencoderKLFlux2,
    batches: Batches,
    loss_of: Loss,
    is_distilled: bool,
    stop_after: float | None,
) -> None:
    """Train `model`, resuming from its checkpoint in `out` when there is one, and save its average as a pipeline.

    Args:
        worker: which of the training processes this is.
        model: fresh weights, or those to begin with.
        config: the recipe.
        out: receives checkpoints, `log.jsonl` and `pipeline/`.
        vae: part of the pipeline.
        batches: what every step sees.
        loss_of: the mean loss of one worker's batch.
        is_distilled: written into the pipeline.
        stop_after: seconds after which to save and leave; run again to go on.

    Raises:
        RuntimeError: the gradient is not finite; the last checkpoint is kept.
    """
    settings = config["training"]
    average = copy.deepcopy(model).requires_grad_(False).eval()
    parameters = Parameters.of(model, worker.count)
    optimizers = optimizers_for(parameters.matrices[worker.number], parameters.rest, settings)
    modules = {"model": model, "average": average}
    checkpoint = out / f"checkpoint-{worker.number}-of-{worker.count}"
    step, total = load_checkpoint(checkpoint, modules, optimizers), settings["steps"]
    started = time.perf_counter()
    while step < total:
        step += 1
        began = time.perf_counter()
        for optimizer, name in zip(optimizers, ("muon", "adamw"), strict=True):
            optimizer.param_groups[0]["lr"] = settings[name] * schedule(step, settings)
        bucket, batch = batches.at(step)
        loss = loss_of(model, bucket, batch)
        loss.backward()
        worker.average_gradients(parameters.all)
        norm = nn.utils.clip_grad_norm_(parameters.all, 1.0)
        if not torch.isfinite(norm):
            raise RuntimeError(f"the gradient is not finite at step {step}; the last checkpoint is kept in {out}")
        for optimizer in optimizers:
            optimizer.step()
        worker.share_parameters(parameters.matrices)
        model.zero_grad()
        follow(average, model, min(settings["ema_decay"], (step + 1) / (step + 10)))
        if worker.leads and step % 10 == 0:
            rate = bucket.batch_size / (time.perf_counter() - began)
            record = {"step": step, "loss": loss.item(), "norm": float(norm), "scenes_per_second": rate}
            _log(out, total, bucket.name, record)
        timed_out = worker.agree(stop_after is not None and time.perf_counter() - started > stop_after)
        if step % settings["checkpoint_every"] == 0 or step == total or timed_out:
            save_checkpoint(checkpoint, modules, optimizers, step)
            if worker.leads:
                export(config, average, vae, out / "pipeline", is_distilled=is_distilled)
        if timed_out:
            return


@torch.no_grad()
def follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    """Move the exponential moving average of all parameters towards `model`."""
    for slow, fast in zip(average.parameters(), model.parameters(), strict=True):
        slow.lerp_(fast, 1 - decay)


def _log(out: Path, total: int, bucket: str, record: dict[str, float]) -> None:
    rounded = {key: round(value, 5) for key, value in record.items()}
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps({"bucket": bucket} | rounded) + "\n")
    print(f"of {total} {bucket}: " + "  ".join(f"{key} {value:g}" for key, value in rounded.items()), flush=True)


def export(
    config: dict[str, Any], model: Denoiser, vae: AutoencoderKLFlux2, folder: Path, *, is_distilled: bool
) -> None:
    """Write `model` as a diffusers pipeline folder, without touching the weights in training."""
    parts = copy.deepcopy(model)
    shift = config["training"]["shift"]
    save_pipeline(folder, parts.transformer, parts.text_encoder, vae, shift=shift, is_distilled=is_distilled)
