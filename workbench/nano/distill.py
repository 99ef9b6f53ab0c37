"""Distil klein-nano from klein-nano-base: four steps without guidance in place of 28 with it.

For each of the student's steps, from `sigma` to the next, the teacher walks the same stretch in several smaller Euler
steps with classifier-free guidance; the student learns the mean velocity of that walk, so that one step of its own ends
where the teacher's ended (progressive distillation, Salimans and Ho 2022, of a guided model, Meng et al. 2023). Walks
begin at pictures of the training pools with fresh noise. Run the command again to resume.
"""

from __future__ import annotations

import argparse
import copy
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


class Distillation:
    """The student's loss.

    Args:
        teacher: the base model.
        empty: ids and mask (length,) of the empty prompt.
        steps: of the student.
        substeps: of the teacher within one of them.
        guidance_scale: of the teacher.
        shift: of the sampling schedule.
    """

    def __init__(
        self,
        teacher: Denoiser,
        empty: tuple[Tensor, Tensor],
        *,
        steps: int,
        substeps: int,
        guidance_scale: float,
        shift: float,
    ) -> None:
        self.teacher, self.empty = teacher, empty
        self.substeps, self.guidance_scale = substeps, guidance_scale
        self.sigmas = student_sigmas(steps, shift)

    def loss(self, student: Denoiser, bucket: Bucket, batch: dict[str, Tensor]) -> Tensor:
        """Mean squared error of the student's velocity at the start of one of its steps, drawn for each row."""
        begin, end = self._stretch(batch["uniform"])
        noisy = (1 - begin) * batch["clean"] + begin * batch["noise"]
        reached = self._walk(noisy, begin, end, bucket, batch)
        positions = (batch["text"], batch["pictures"])
        velocity: Tensor = student(
            torch.cat((noisy, batch["references"]), dim=1),
            begin.flatten(),
            text=(batch["ids"], batch["mask"]),
            positions=positions,
        )
        return (velocity[:, : bucket.tokens] - (noisy - reached) / (begin - end)).square().mean()

    def _stretch(self, uniform: Tensor) -> tuple[Tensor, Tensor]:
        """Start and end (b, 1, 1) of one student step for each row of random numbers (b,), 0 to 1."""
        place = (uniform * (len(self.sigmas) - 1)).long()
        sigmas = self.sigmas.to(uniform.device)
        return sigmas[place][:, None, None], sigmas[place + 1][:, None, None]

    @torch.no_grad()
    def _walk(self, latents: Tensor, begin: Tensor, end: Tensor, bucket: Bucket, batch: dict[str, Tensor]) -> Tensor:
        """Where the guided teacher ends, (b, tokens, channels)."""
        rows = len(latents)
        ids = torch.cat((batch["ids"], self.empty[0].to(latents.device).expand(rows, -1)))
        mask = torch.cat((batch["mask"], self.empty[1].to(latents.device).expand(rows, -1)))
        references = batch["references"].repeat(2, 1, 1)
        for number in range(self.substeps):
            sigma = begin + (end - begin) * number / self.substeps  # (b, 1, 1)
            both = torch.cat((latents.repeat(2, 1, 1), references), dim=1)
            velocity = self.teacher(
                both, sigma.flatten().repeat(2), text=(ids, mask), positions=(batch["text"], batch["pictures"])
            )[:, : bucket.tokens]
            asked, free = velocity.chunk(2)
            latents = latents + (free + self.guidance_scale * (asked - free)) * (end - begin) / self.substeps
        return latents


def student_sigmas(steps: int, shift: float) -> Tensor:
    """The noise levels of `steps` steps and the final zero, as the scheduler of the pipeline sets them."""
    plain = torch.linspace(1, 1 / steps, steps)
    return torch.cat((shift * plain / (1 + (shift - 1) * plain), torch.zeros(1)))


def distill(
    worker: Worker, config: dict[str, Any], out: Path, *, base: Path, device: str, stop_after: float | None = None
) -> None:
    """Run the recipe, resuming from its checkpoint in `out` when there is one.

    Args:
        worker: which of the training processes this is.
        config: the recipe: that of the base with its own `training` and a section `distillation`.
        out: receives checkpoints, `log.jsonl` and `pipeline/`.
        base: the run folder of the base model, with `vae/`, `pools/` and its checkpoint.
        device: "cpu" or "cuda".
        stop_after: seconds after which to save and leave; run again to go on.
    """
    torch.manual_seed(config["seed"])
    vae = AutoencoderKLFlux2.from_pretrained(base / "vae").to(device).eval()
    student = Denoiser(config, vae.config.latent_channels).to(device)
    load_average(min(base.glob("checkpoint-0-of-*")), student)
    teacher = copy.deepcopy(student).requires_grad_(False).eval()
    student.text_encoder.requires_grad_(False)  # the line shares one text encoder
    batches = Batches(base, vae, config, device=device, worker=worker)
    task = Distillation(teacher, batches.empty, shift=config["training"]["shift"], **config["distillation"])
    run_loop(
        worker,
        student,
        config,
        out,
        vae=vae,
        batches=batches,
        loss_of=task.loss,
        is_distilled=True,
        stop_after=stop_after,
    )


def whole_recipe(base: dict[str, Any], own: dict[str, Any]) -> dict[str, Any]:
    """The base's recipe with what the student's says otherwise."""
    return base | own | {"training": base["training"] | own["training"]}


def main() -> None:
    """Command line of the distillation script."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--config", type=Path, required=True)
    parser.add_argument("--base", type=Path, required=True, help="the run folder of the base model")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu")
    parser.add_argument("--workers", type=int, default=1, help="processes of one thread each, for busy CPUs")
    parser.add_argument("--stop-after", type=float, help="seconds; save and leave, run again to go on")
    args = parser.parse_args()
    config = whole_recipe(
        yaml.safe_load((args.base / "recipe.yaml").read_text()), yaml.safe_load(args.config.read_text())
    )
    args.out.mkdir(parents=True, exist_ok=True)
    (args.out / "recipe.yaml").write_text(yaml.safe_dump(config, sort_keys=False))
    task = partial(distill, base=args.base, device=args.device, stop_after=args.stop_after)
    run_workers(args.workers, task, config, args.out)


if __name__ == "__main__":
    main()
