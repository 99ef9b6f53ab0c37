"""Train the embedded model's autoencoder (`AutoencoderKLFlux2`) on crops of rendered scenes.

First both halves learn on crops: the loss is L1 plus squared error of the picture, and a light KL term that keeps
latents near unit scale. The batch-norm statistics, which normalise latents for the transformer, are measured on whole
pictures. Then the encoder is frozen and the decoder alone learns on whole pictures, whose group-norm statistics differ
from those of crops, with noise on the latents, so that it forgives small errors of the transformer. That second phase
leaves the latent space as it is: it may run while the transformer trains.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import replace
from functools import partial
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import yaml
from diffusers.models import AutoencoderKLFlux2
from torch import Tensor
from torch.nn import functional as F

from workbench.nano.parallel import Worker, run_workers
from workbench.nano.render import render
from workbench.nano.scenes import Scene, sample_scene


def build_vae(config: dict[str, Any]) -> AutoencoderKLFlux2:
    """A fresh autoencoder of the sizes in `config` (the `vae` section of the recipe)."""
    return AutoencoderKLFlux2(
        latent_channels=config["latent_channels"],
        block_out_channels=tuple(config["block_out_channels"]),
        layers_per_block=1,
        norm_num_groups=config["norm_num_groups"],
        sample_size=128,
    )


def crops(rng: Random, count: int, crop: int) -> Tensor:
    """`count` crops from scenes at 96 to 160 px as float32 (count, 3, crop, crop) in -1 to 1.

    Four in five are centred near an item, because a flat background teaches nothing.
    """
    batch = np.empty((count, crop, crop, 3), np.uint8)
    for row in batch:
        scene = some_scene(rng)
        size = rng.choice((96, 128, 128, 160, 256))
        picture = render(scene, size)
        item = rng.choice(scene.items)
        reach = (item.radius or 0.15) if rng.random() < 0.8 else 1.0
        x = int((item.x + rng.uniform(-reach, reach)) * size) - crop // 2
        y = int((item.y + rng.uniform(-reach, reach)) * size) - crop // 2
        x, y = min(max(x, 0), size - crop), min(max(y, 0), size - crop)
        row[:] = picture[y : y + crop, x : x + crop]
    return to_model(batch)


def some_scene(rng: Random) -> Scene:
    """A scene of the grammar, three times in five in random colours."""
    scene = sample_scene(rng)
    return recoloured(rng, scene) if rng.random() < 0.6 else scene


def recoloured(rng: Random, scene: Scene) -> Scene:
    """`scene` in random colours: the latents must hold every colour, not twelve."""
    drawn = [f"#{rng.randrange(2**24):06x}" for _ in range(len(scene.items) + 1)]
    items = tuple(replace(item, colour=colour) for item, colour in zip(scene.items, drawn[1:], strict=True))
    return replace(scene, background=drawn[0], items=items)


def to_model(pictures: np.ndarray) -> Tensor:
    """uint8 (batch, height, width, 3) to float32 (batch, 3, height, width) in -1 to 1, channels last in memory."""
    return torch.from_numpy(pictures).permute(0, 3, 1, 2).float().div_(127.5).sub_(1)


def patchify(latents: Tensor) -> Tensor:
    """(b, c, h, w) to (b, 4c, h/2, w/2), channel order (c, dy, dx), as FLUX.2 packs latents."""
    b, c, h, w = latents.shape
    return latents.view(b, c, h // 2, 2, w // 2, 2).permute(0, 1, 3, 5, 2, 4).reshape(b, 4 * c, h // 2, w // 2)


def train(
    worker: Worker, config: dict[str, Any], seed: int, out: Path, *, device: str, start: Path | None = None
) -> None:
    """Run the recipe and save the model, in diffusers' layout, to `out / "vae"`.

    Args:
        worker: which of the training processes this is; each draws crops of its own.
        config: the `vae` section of the recipe.
        seed: of weights and crops.
        out: where to save.
        device: "cpu" or "cuda".
        start: an autoencoder to go on from; None for fresh weights.
    """
    torch.manual_seed(seed)
    rng = Random(f"{seed}/{worker.number}")
    vae = AutoencoderKLFlux2.from_pretrained(start) if start else build_vae(config)
    vae = vae.to(device, memory_format=torch.channels_last).train()
    parameters = [parameter for parameter in vae.parameters() if parameter.requires_grad]
    steps = config["steps"]
    optimizer = torch.optim.AdamW(parameters, lr=config["learning_rate"], betas=(0.9, 0.99), weight_decay=0.01)
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config["learning_rate"], total_steps=steps, pct_start=0.05
    )
    started = time.perf_counter()
    for step in range(1, steps + 1):
        pictures = crops(rng, config["batch_size"] // worker.count, config["crop"]).to(device)
        posterior = vae.encode(pictures).latent_dist  # fp32: bf16 convolutions this small are slower on a CPU
        decoded = vae.decode(posterior.sample()).sample
        error = F.mse_loss(decoded, pictures)
        loss = F.l1_loss(decoded, pictures) + error + config["kl_weight"] * _kl(posterior.mean, posterior.logvar)
        optimizer.zero_grad()
        loss.backward()
        worker.average_gradients(parameters)
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if worker.leads and (step % 50 == 0 or step == steps):
            psnr = 10 * np.log10(4 / error.item())
            rate = step * config["batch_size"] / (time.perf_counter() - started)
            std = posterior.mean.std().item()
            print(
                f"step {step}/{steps}  loss {loss.item():.4f}  psnr {psnr:.2f} dB  latent std {std:.2f}  {rate:.0f} crops/s",
                flush=True,
            )
    if worker.leads:
        vae.eval()
        measure_statistics(vae, config["statistics_scenes"], seed, device)
        vae.save_pretrained(out / "vae")


def polish_decoder(config: dict[str, Any], seed: int, out: Path, device: str, *, start: Path | None = None) -> None:
    """Train the decoder alone, on whole pictures and on lines of letters; save the result to `out / "vae-polished"`.

    Latents stay what they are, so that a transformer that was trained on them goes on to fit. Letters are a hundredth of
    the grammar's pixels: without lines of their own they come out smudged, and no reader can tell them.

    Args:
        config: the `vae` section of the recipe.
        seed: of scenes and noise.
        out: holds `vae/`, and receives `vae-polished/`.
        device: "cpu" or "cuda".
        start: an autoencoder with the same latents to go on from; None for `out / "vae"`.
    """
    torch.manual_seed(seed)
    rng = Random(seed + 2)
    vae = AutoencoderKLFlux2.from_pretrained(start or out / "vae").to(device, memory_format=torch.channels_last)
    vae.eval().requires_grad_(False)
    parts = (vae.decoder, vae.post_quant_conv)
    parameters = [parameter.requires_grad_() for part in parts for parameter in part.parameters()]
    steps = config["decoder_steps"]
    optimizer = torch.optim.AdamW(parameters, lr=config["decoder_learning_rate"], betas=(0.9, 0.99))
    schedule = torch.optim.lr_scheduler.OneCycleLR(
        optimizer, config["decoder_learning_rate"], total_steps=steps, pct_start=0.05
    )
    for step in range(1, steps + 1):
        size = rng.choice((96, 128, 128, 128, 160, 192))
        count = max(1, config["decoder_pixels"] // size**2)
        whole = to_model(np.stack([render(some_scene(rng), size) for _ in range(count)]))
        batches = [_noisy(vae, whole.to(device), config["decoder_noise"])]
        if config["decoder_lines"]:
            batches.append(_lines(vae, rng, config, device))
        optimizer.zero_grad()
        for latents, pictures in batches:
            decoded = vae.decode(latents).sample
            error = F.mse_loss(decoded, pictures)
            loss = F.l1_loss(decoded, pictures) + error
            loss.backward()
        torch.nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        schedule.step()
        if step % 50 == 0 or step == steps:
            print(
                f"decoder {step}/{steps}  loss {loss.item():.4f}  psnr {10 * np.log10(4 / error.item()):.2f} dB",
                flush=True,
            )
        if step % 500 == 0 or step == steps:
            vae.save_pretrained(out / "vae-polished")


@torch.no_grad()
def _noisy(vae: AutoencoderKLFlux2, pictures: Tensor, noise: float) -> tuple[Tensor, Tensor]:
    """Latents of `pictures` with noise of up to `noise` deviations of each channel, and the pictures."""
    latents = vae.encode(pictures).latent_dist.mode()
    scale = latents.std((0, 2, 3), keepdim=True) * noise * torch.rand(len(latents), 1, 1, 1, device=latents.device)
    return latents + scale * torch.randn_like(latents), pictures


def _lines(vae: AutoencoderKLFlux2, rng: Random, config: dict[str, Any], device: str) -> tuple[Tensor, Tensor]:
    """Latents of lines of letters, (b, c, 6, 16), and the lines, (b, 3, 48, 128), cut out of pictures of words."""
    places, pictures = [], []
    for _ in range(config["decoder_lines"]):
        scene = sample_scene(rng, kind="word")
        scene = recoloured(rng, scene) if rng.random() < 0.2 else scene
        places.append({0.25: 8, 0.5: 40, 0.75: 72}[scene.items[0].y])  # upper edge of 48 pixels about the word
        pictures.append(render(scene, 128, 128))
    latents, whole = _noisy(vae, to_model(np.stack(pictures)).to(device), config["decoder_noise"])
    cut = torch.stack([each[:, y // 8 : y // 8 + 6] for each, y in zip(latents, places, strict=True)])
    lines = torch.stack([each[:, y : y + 48] for each, y in zip(whole, places, strict=True)])
    return cut.contiguous(memory_format=torch.channels_last), lines


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
    parser.add_argument("--decoder-only", action="store_true", help="run the second phase on OUT/vae")
    parser.add_argument("--from", dest="start", type=Path, help="an autoencoder's folder to go on from")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each, for busy CPUs")
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text())
    if not args.decoder_only:  # `--from` is where the first phase that is run begins
        task = partial(train, device=args.device, start=args.start)
        run_workers(args.workers, task, config["vae"], config["seed"], args.out)
    start = args.start if args.decoder_only else None
    polish_decoder(config["vae"], config["seed"], args.out, args.device, start=start)


if __name__ == "__main__":
    main()
