"""Train klein-nano-base: a FLUX.2 klein transformer and its text encoder together, by flow matching.

The target is the velocity `noise - latents` on the straight path `(1 - t) * latents + t * noise` (Lipman et al. 2023;
Liu et al. 2023), with logit-normal times (Esser et al. 2024). Every draw of a step comes from a generator seeded with
(seed, step), so a resumed run continues as if it had not stopped. Run the command again to resume.
"""

from __future__ import annotations

import argparse
import copy
import json
import time
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers.models import AutoencoderKLFlux2
from torch import Tensor, nn

from workbench.nano.checkpoint import load_checkpoint, save_checkpoint
from workbench.nano.model import (
    build_text_encoder,
    build_transformer,
    encode_text,
    position_ids,
    save_pipeline,
    tokenize,
)
from workbench.nano.parallel import Worker, run_workers
from workbench.nano.pool import Pool, open_pool
from workbench.nano.tokenizer import build_tokenizer

FULL_SIDE = 8  # token rows of the full-size picture; smaller stages spread their positions over the same range

Optimizers = tuple[torch.optim.Optimizer, ...]


class Denoiser(nn.Module):
    """Text encoder and transformer as one module, so that they share optimiser, average and checkpoint."""

    def __init__(self, config: dict[str, Any], latent_channels: int) -> None:
        super().__init__()
        self.text_encoder = build_text_encoder(config["text_encoder"], build_tokenizer())
        self.transformer = build_transformer(config["transformer"], latent_channels, config["text_encoder"]["width"])

    def forward(
        self, latents: Tensor, time: Tensor, *, text: tuple[Tensor, Tensor], positions: tuple[Tensor, Tensor]
    ) -> Tensor:
        """Velocity (b, tokens, channels) of noisy `latents` at `time` (b,), 0 to 1.

        Args:
            latents: (b, tokens, channels).
            time: (b,), 0 is the picture and 1 is noise.
            text: token ids and attention mask, (b, length) each.
            positions: of text (length, 4) and picture tokens (tokens, 4).
        """
        velocity: Tensor = self.transformer(
            hidden_states=latents,
            encoder_hidden_states=encode_text(self.text_encoder, *text),
            timestep=time,
            img_ids=positions[1],
            txt_ids=positions[0],
            return_dict=False,
        )[0]
        return velocity


def batch_of(
    pool: Pool, size: int, *, empty: tuple[Tensor, Tensor], config: dict[str, Any], seed: int, step: int
) -> dict[str, Tensor]:
    """The batch of `size` scenes at `step`: a function of (seed, step) alone."""
    generator = torch.Generator().manual_seed(seed * 1_000_003 + step)
    rows = torch.randint(len(pool.latents), (size,), generator=generator).numpy()
    clean = torch.from_numpy(pool.latents[rows]).float()
    ids, mask = torch.from_numpy(pool.ids[rows]).long(), torch.from_numpy(pool.mask[rows]).long()
    dropped = torch.rand(size, generator=generator) < config["prompt_dropout"]
    ids[dropped], mask[dropped] = empty
    noise = torch.randn(clean.shape, generator=generator)
    time = torch.sigmoid(torch.randn(size, generator=generator) + config["timestep_mean"])
    return {"clean": clean, "noise": noise, "time": time, "ids": ids, "mask": mask}


@dataclass(frozen=True)
class Parameters:
    """The matrices inside blocks, split evenly between workers for Muon, and everything else for AdamW."""

    matrices: list[list[nn.Parameter]]  # one list a worker
    rest: list[nn.Parameter]

    @classmethod
    def of(cls, model: nn.Module, workers: int) -> Parameters:
        """Split `model`'s parameters; the largest matrices are dealt out first."""
        inside: list[nn.Parameter] = []
        rest: list[nn.Parameter] = []
        for name, parameter in model.named_parameters():
            (inside if parameter.ndim == 2 and ("blocks." in name or ".layers." in name) else rest).append(parameter)
        inside.sort(key=lambda parameter: parameter.numel(), reverse=True)
        return cls([inside[number::workers] for number in range(workers)], rest)

    @property
    def all(self) -> list[nn.Parameter]:
        """Every parameter, in a fixed order."""
        return [parameter for part in self.matrices for parameter in part] + self.rest


def optimizers_for(matrices: list[nn.Parameter], rest: list[nn.Parameter], config: dict[str, Any]) -> Optimizers:
    """Muon (Jordan et al. 2024) for matrices, AdamW for embeddings, modulation, norms and the outer projections."""
    decay = config["weight_decay"]
    return (
        torch.optim.Muon(matrices, weight_decay=decay, adjust_lr_fn="match_rms_adamw"),
        torch.optim.AdamW(rest, betas=(0.9, 0.98), weight_decay=decay),
    )


def train(worker: Worker, config: dict[str, Any], out: Path, device: str, stop_after: float | None = None) -> None:
    """Run all stages, resuming from `out / "checkpoint"` when it is there, and save the averaged model as a pipeline.

    Args:
        worker: which of the training processes this is.
        config: the recipe.
        out: holds `vae/` from `train_vae`, and receives pools, checkpoints, `log.jsonl` and `pipeline/`.
        device: "cpu" or "cuda".
        stop_after: seconds after which to save and leave; run again to go on.
    """
    settings, seed = config["training"], config["seed"]
    torch.manual_seed(seed)
    vae = AutoencoderKLFlux2.from_pretrained(out / "vae").to(device).eval()
    model = Denoiser(config, vae.config.latent_channels).to(device)
    average = copy.deepcopy(model).requires_grad_(False).eval()
    parameters = Parameters.of(model, worker.count)
    optimizers = optimizers_for(parameters.matrices[worker.number], parameters.rest, settings)
    checkpoint = out / f"checkpoint-{worker.number}-of-{worker.count}"
    step = load_checkpoint(checkpoint, model, average, optimizers)
    total = sum(stage["steps"] for stage in settings["stages"])
    length = config["text_encoder"]["max_sequence_length"]
    empty_ids, empty_mask = tokenize(build_tokenizer(), [""], length)
    started, begins = time.perf_counter(), 0
    for stage in settings["stages"]:
        ends = begins + stage["steps"]
        begins, size = ends, stage["size"]
        if step >= ends:
            continue
        made = partial(
            open_pool,
            out / f"pool-{size}",
            vae,
            size=size,
            scenes=stage["scenes"],
            length=length,
            seed=seed,
            device=device,
        )
        pool = worker.leader_first(made)
        positions = spread_positions(length, size // 16)
        while step < ends:
            step += 1
            began = time.perf_counter()
            rate = min(1.0, step / settings["warmup_steps"], (total - step + 1) / settings["decay_steps"])
            for optimizer, name in zip(optimizers, ("muon", "adamw"), strict=True):
                optimizer.param_groups[0]["lr"] = rate * stage[name]
            batch = batch_of(
                pool, stage["batch_size"], empty=(empty_ids[0], empty_mask[0]), config=settings, seed=seed, step=step
            )
            mine = {key: value[worker.share_of(stage["batch_size"])].to(device) for key, value in batch.items()}
            t = mine["time"][:, None, None]  # (b, 1, 1)
            noisy = (1 - t) * mine["clean"] + t * mine["noise"]
            velocity = model(noisy, mine["time"], text=(mine["ids"], mine["mask"]), positions=positions)
            loss = (velocity - (mine["noise"] - mine["clean"])).square().mean()
            loss.backward()
            worker.average_gradients(parameters.all)
            norm = nn.utils.clip_grad_norm_(parameters.all, 1.0)
            if not torch.isfinite(norm):
                raise RuntimeError(f"the gradient is not finite at step {step}; the last checkpoint is kept in {out}")
            for optimizer in optimizers:
                optimizer.step()
            worker.share_parameters(parameters.matrices)
            model.zero_grad()
            _follow(average, model, min(settings["ema_decay"], (step + 1) / (step + 10)))
            if worker.leads and step % 25 == 0:
                _log(
                    out,
                    total,
                    step=step,
                    size=size,
                    loss=loss.item(),
                    norm=float(norm),
                    scenes_per_second=stage["batch_size"] / (time.perf_counter() - began),
                )
            timed_out = worker.agree(stop_after is not None and time.perf_counter() - started > stop_after)
            if step % settings["checkpoint_every"] == 0 or step == total or timed_out:
                save_checkpoint(checkpoint, model, average, optimizers, step)
                if worker.leads:
                    export(config, average, vae, out / "pipeline")
            if timed_out:
                return


def spread_positions(length: int, side: int) -> tuple[Tensor, Tensor]:
    """Text and picture positions, with small pictures spread over the range of a full-size one.

    A word such as "left" then points to the same coordinates in both stages.
    """
    text_pos, pos = position_ids(length, side, side)
    spread = FULL_SIDE / side
    pos[:, 1:3] = pos[:, 1:3] * spread + (spread - 1) / 2
    return text_pos, pos


@torch.no_grad()
def _follow(average: nn.Module, model: nn.Module, decay: float) -> None:
    parameters = zip(average.parameters(), model.parameters(), strict=True)
    for slow, fast in parameters:
        slow.lerp_(fast, 1 - decay)


def _log(out: Path, total: int, **record: float) -> None:
    with (out / "log.jsonl").open("a") as file:
        file.write(json.dumps({key: round(value, 5) for key, value in record.items()}) + "\n")
    print(f"of {total}: " + "  ".join(f"{key} {value:.5g}" for key, value in record.items()), flush=True)


def export(config: dict[str, Any], model: Denoiser, vae: AutoencoderKLFlux2, folder: Path) -> None:
    """Write `model` as a diffusers pipeline folder, without touching the weights in training."""
    parts = copy.deepcopy(model)
    shift = config["training"]["shift"]
    save_pipeline(folder, parts.transformer, parts.text_encoder, vae, shift=shift, is_distilled=False)


def main() -> None:
    """Command line of the training script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each, for busy CPUs")
    parser.add_argument("--stop-after", type=float, help="seconds; save and leave, run again to go on")
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text())
    (args.out / "recipe.yaml").write_text(args.config.read_text())
    run_workers(args.workers, train, config, args.out, args.device, args.stop_after)


if __name__ == "__main__":
    main()
