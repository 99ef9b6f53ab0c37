"""Train klein-nano-base: a FLUX.2 klein transformer and its text encoder together, by flow matching.

The target is the velocity `noise - latents` on the straight path `(1 - t) * latents + t * noise` (Lipman et al. 2023;
Liu et al. 2023), with logit-normal times (Esser et al. 2024). References are clean tokens beside the noisy ones, as in
FLUX.2; the loss is of the picture alone. Run the command again to resume.
"""

from __future__ import annotations

import argparse
from functools import partial
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers.models import AutoencoderKLFlux2
from torch import Tensor

from workbench.nano.batches import Batches
from workbench.nano.checkpoint import load_average
from workbench.nano.loop import run_loop
from workbench.nano.model import Denoiser
from workbench.nano.parallel import Worker, run_workers
from workbench.nano.pool import Bucket


def train(
    worker: Worker,
    config: dict[str, Any],
    out: Path,
    *,
    device: str,
    start: Path | None = None,
    stop_after: float | None = None,
) -> None:
    """Run the recipe, resuming from its checkpoint in `out` when there is one.

    Args:
        worker: which of the training processes this is.
        config: the recipe.
        out: holds `vae/` from `train_vae`, and receives pools, checkpoints, `log.jsonl` and `pipeline/`.
        device: "cpu" or "cuda".
        start: a checkpoint folder whose averaged weights a new run begins with.
        stop_after: seconds after which to save and leave; run again to go on.
    """
    torch.manual_seed(config["seed"])
    vae = AutoencoderKLFlux2.from_pretrained(out / "vae").to(device).eval()
    model = Denoiser(config, vae.config.latent_channels).to(device)
    if start:
        load_average(start, model)
    batches = Batches(out, vae, config, device=device, worker=worker)
    run_loop(
        worker,
        model,
        config,
        out,
        vae=vae,
        batches=batches,
        loss_of=flow_matching_loss,
        is_distilled=False,
        stop_after=stop_after,
    )


def flow_matching_loss(model: Denoiser, bucket: Bucket, batch: dict[str, Tensor]) -> Tensor:
    """Mean squared error of the velocity over the picture's tokens."""
    t = batch["time"][:, None, None]  # (b, 1, 1)
    noisy = (1 - t) * batch["clean"] + t * batch["noise"]
    velocity: Tensor = model(
        torch.cat((noisy, batch["references"]), dim=1),
        batch["time"],
        text=(batch["ids"], batch["mask"]),
        positions=(batch["text"], batch["pictures"]),
    )
    return (velocity[:, : bucket.tokens] - (batch["noise"] - batch["clean"])).square().mean()


def main() -> None:
    """Command line of the training script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each, for busy CPUs")
    parser.add_argument("--from", dest="start", type=Path, help="checkpoint whose weights a new run begins with")
    parser.add_argument("--stop-after", type=float, help="seconds; save and leave, run again to go on")
    args = parser.parse_args()
    config = yaml.safe_load(args.config.read_text())
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "recipe.yaml").write_text(args.config.read_text())
    task = partial(train, device=args.device, start=args.start, stop_after=args.stop_after)
    run_workers(args.workers, task, config, args.out)


if __name__ == "__main__":
    main()
