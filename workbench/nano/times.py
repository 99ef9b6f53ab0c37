"""At which times a prompt decides: the loss of a run's model with its prompts and without, from little noise to all.

    python -m workbench.nano.times --run runs/nano

Where the two are equal the noisy picture already says what it will be, and training there teaches finish, not obedience.
The recipe's `timestep_mean` follows from this table (docs/decisions/005).
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
import yaml
from diffusers.models import AutoencoderKLFlux2
from torch import Tensor

from workbench.nano.batches import Batches
from workbench.nano.checkpoint import load_average
from workbench.nano.model import Denoiser
from workbench.nano.parallel import Worker
from workbench.nano.train import flow_matching_loss

TIMES = (0.1, 0.3, 0.5, 0.6, 0.7, 0.8, 0.9, 0.97)


@dataclass(frozen=True)
class Gap:
    """Mean losses of one bucket at one time.

    Attributes:
        bucket: name in the recipe's mixture.
        time: 0 is the picture, 1 is noise.
        asked: loss with the examples' prompts.
        free: loss with the empty prompt.
    """

    bucket: str
    time: float
    asked: float
    free: float


@torch.inference_mode()
def gaps(model: Denoiser, batches: Batches, *, steps: range, times: tuple[float, ...] = TIMES) -> Iterator[Gap]:
    """The losses of every bucket that some step of `steps` draws, over all batches of those steps.

    Args:
        model: in the place of the one in training.
        batches: of a recipe without prompt dropout.
        steps: whose batches are looked at; those after the run's last were not trained on with this noise.
        times: to set instead of the ones drawn.
    """
    drawn: dict[str, list[tuple[Any, dict[str, Tensor]]]] = {}
    for bucket, batch in map(batches.at, steps):
        drawn.setdefault(bucket.name, []).append((bucket, batch))
    ids, mask = batches.empty
    for name, pairs in sorted(drawn.items()):
        for time in times:
            losses = []  # of (with prompts, without)
            for bucket, batch in pairs:
                at = batch | {"time": torch.full_like(batch["time"], time)}
                bare = at | {"ids": ids.expand_as(batch["ids"]), "mask": mask.expand_as(batch["mask"])}
                losses.append([flow_matching_loss(model, bucket, each).item() for each in (at, bare)])
            asked, free = torch.tensor(losses).mean(dim=0).tolist()
            yield Gap(name, time, asked, free)


def main() -> None:
    """Command line: a Markdown table, line by line as it is measured."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--run", type=Path, required=True, help="a run folder of `train`, with its pools")
    parser.add_argument("--batches", type=int, default=40, help="how many of the run's next steps to look at")
    args = parser.parse_args()
    config = yaml.safe_load((args.run / "recipe.yaml").read_text())
    config["training"]["prompt_dropout"] = 0.0
    vae = AutoencoderKLFlux2.from_pretrained(args.run / "vae").eval()
    model = Denoiser(config, vae.config.latent_channels).eval()
    step = load_average(min(args.run.glob("checkpoint-0-of-*")), model)
    batches = Batches(args.run, vae, config, device="cpu", worker=Worker())
    print("| bucket | time | with prompt | without | difference |\n|---|---|---|---|---|")
    for gap in gaps(model, batches, steps=range(step + 1, step + 1 + args.batches)):
        print(
            f"| {gap.bucket} | {gap.time} | {gap.asked:.4f} | {gap.free:.4f} | {gap.free - gap.asked:.4f} |", flush=True
        )


if __name__ == "__main__":
    main()
