"""Train the embedded model's autoencoder (`AutoencoderKLFlux2`) on crops and whole pictures of rendered scenes.

The loss is L1 plus squared error, more of it at edges, and a light KL term that keeps latents near unit scale. The decoder
sees latents with a little noise, so that it forgives small errors of the transformer. The batch-norm statistics, which
normalise latents for the transformer, are measured on whole pictures. Run the command again to resume.
"""

from __future__ import annotations

import argparse
import shutil
import time
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml
from diffusers.models import AutoencoderKLFlux2
from diffusers.models.resnet import ResnetBlock2D
from torch import Tensor, nn

from workbench.nano.checkpoint import load_checkpoint, save_checkpoint
from workbench.nano.optimizers import ConvolutionMuon, schedule
from workbench.nano.parallel import Worker, run_workers
from workbench.nano.render import render
from workbench.nano.scenes import sample_scene
from workbench.nano.views import contrast, sample_views, to_model


def build_vae(config: dict[str, Any]) -> AutoencoderKLFlux2:
    """A fresh autoencoder of the sizes in `config` (the `vae` section of the recipe)."""
    return AutoencoderKLFlux2(
        latent_channels=config["latent_channels"],
        block_out_channels=tuple(config["block_out_channels"]),
        layers_per_block=config["layers_per_block"],
        norm_num_groups=config["norm_num_groups"],
        sample_size=128,
    )


def deepened(start: AutoencoderKLFlux2, config: dict[str, Any]) -> AutoencoderKLFlux2:
    """An autoencoder of the sizes in `config` that does exactly what a shallower one, `start`, does.

    Residual blocks that `start` lacks begin as the identity.

    Raises:
        ValueError: `start` has parts or sizes that the recipe's has not.
    """
    vae, old = build_vae(config), start.state_dict()
    own = vae.state_dict()
    misfits = [name for name, value in old.items() if name not in own or own[name].shape != value.shape]
    if misfits:
        raise ValueError(f"{misfits[0]} of the autoencoder to begin from does not fit the recipe; change its sizes")
    vae.load_state_dict(old, strict=False)
    for name, module in vae.named_modules():
        if isinstance(module, ResnetBlock2D) and f"{name}.conv2.weight" not in old:
            nn.init.zeros_(module.conv2.weight)
            nn.init.zeros_(module.conv2.bias)
    return vae


def patchify(latents: Tensor) -> Tensor:
    """(b, c, h, w) to (b, 4c, h/2, w/2), channel order (c, dy, dx), as FLUX.2 packs latents."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(b, 4 * c, h // 2, w // 2)


def train(
    worker: Worker,
    config: dict[str, Any],
    seed: int,
    out: Path,
    *,
    device: str,
    start: Path | None = None,
    stop_after: float | None = None,
) -> None:
    """Run the recipe, resuming from its checkpoint in `out` when there is one, and save the model to `out / "vae"`.

    Args:
        worker: which of the training processes this is; each draws views of its own.
        config: the `vae` section of the recipe.
        seed: of weights, views and noise.
        out: where to save.
        device: "cpu" or "cuda".
        start: an autoencoder to go on from, of the recipe's sizes or with fewer blocks; None for fresh weights.
        stop_after: seconds after which to save and leave; run again to go on.
    """
    torch.manual_seed(seed)
    vae = deepened(AutoencoderKLFlux2.from_pretrained(start), config) if start else build_vae(config)
    vae = vae.to(device, memory_format=torch.channels_last).train()
    optimizer = ConvolutionMuon(vae, weight_decay=0.01)
    checkpoint = out / "vae-checkpoint"  # one for all workers: each makes the same step
    step = first = load_checkpoint(checkpoint, {"vae": vae}, optimizer.optimizers)
    started, steps = time.perf_counter(), config["steps"]
    while step < steps:
        step += 1
        rng = Random(f"{seed}/{worker.number}/{step}")  # what a step sees is the same in a resumed run
        torch.manual_seed(rng.getrandbits(63))
        pictures = sample_views(rng, config, 1 / worker.count).to(device)
        loss, error = reconstruction_loss(vae, pictures, config)
        loss.backward()
        worker.average_gradients(optimizer.parameters)
        torch.nn.utils.clip_grad_norm_(optimizer.parameters, 1.0)
        optimizer.step(config["learning_rate"] * schedule(step, config))
        vae.zero_grad()
        if worker.leads and (step % 50 == 0 or step == steps):
            rate = (step - first) * config["batch_pixels"] / 1e6 / (time.perf_counter() - started)
            psnr = 10 * np.log10(4 / error.item())
            print(f"step {step}/{steps}  loss {loss.item():.4f}  psnr {psnr:.2f} dB  {rate:.2f} Mpx/s", flush=True)
        timed_out = worker.agree(stop_after is not None and time.perf_counter() - started > stop_after)
        if worker.leads and (step % config["save_every"] == 0 or step == steps or timed_out):
            measure_statistics(vae.eval(), config["statistics_scenes"], seed, device)
            export(vae.train(), out / "vae")
            save_checkpoint(checkpoint, {"vae": vae}, optimizer.optimizers, step)
        if timed_out:
            return


def export(vae: AutoencoderKLFlux2, folder: Path) -> None:
    """Write the model in diffusers' layout; what is there is replaced when the whole is written."""
    fresh = folder.with_name(f"{folder.name}.partial")
    vae.save_pretrained(fresh)
    shutil.rmtree(folder, ignore_errors=True)
    fresh.replace(folder)


def reconstruction_loss(vae: AutoencoderKLFlux2, pictures: Tensor, config: dict[str, Any]) -> tuple[Tensor, Tensor]:
    """The loss of a batch (b, 3, h, w), and the plain mean squared error in it."""
    posterior = vae.encode(pictures).latent_dist  # fp32: bf16 convolutions this small are slower on a CPU
    latents = posterior.sample()
    amount = config["noise"] * torch.rand(len(latents), 1, 1, 1, device=latents.device)
    latents = latents + amount * posterior.mean.detach().std((0, 2, 3), keepdim=True) * torch.randn_like(latents)
    difference = vae.decode(latents).sample - pictures
    weight = 1 + config["edge_weight"] * contrast(pictures)  # (b, 1, h, w): flat colours are all but right at once
    loss = (weight * (difference.abs() + difference.square())).mean()
    loss = loss + config["kl_weight"] * _kl(posterior.mean, posterior.logvar)
    return loss, difference.detach().square().mean()


def _kl(mean: Tensor, logvar: Tensor) -> Tensor:
    return 0.5 * (mean.square() + logvar.exp() - 1 - logvar).mean()


@torch.no_grad()
def measure_statistics(vae: AutoencoderKLFlux2, scenes: int, seed: int, device: str) -> None:
    """Set `vae.bn` to the mean and variance of patchified latents over `scenes` whole pictures of 128 px."""
    rng = Random(seed + 1)
    latents = []
    for _ in range(scenes // 32):
        pictures = to_model(np.stack([render(sample_scene(rng)) for _ in range(32)])).to(device)
        latents.append(patchify(vae.encode(pictures).latent_dist.mode()))
    values = torch.cat(latents)  # (scenes, 4c, 8, 8)
    vae.bn.running_mean.copy_(values.mean((0, 2, 3)))
    vae.bn.running_var.copy_(values.var((0, 2, 3)))


def main() -> None:
    """Command line of the training script."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--from", dest="start", type=Path, help="an autoencoder's folder to go on from")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each, for busy CPUs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--stop-after", type=float, help="seconds; save and leave, run again to go on")
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text())
    run_workers(
        args.workers,
        partial(train, device=args.device, start=args.start, stop_after=args.stop_after),
        config["vae"],
        config["seed"],
        args.out,
    )


if __name__ == "__main__":
    main()
