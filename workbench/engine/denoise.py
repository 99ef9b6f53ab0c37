"""One denoising step for rows that may differ in prompt, seed, number of steps, guidance, references and image.

The transformer takes a timestep per row, so one batch can hold a whole grid of such recipes. A row that has done its
steps leaves the batch. Arithmetic and rounding follow `Flux2KleinPipeline` and the Euler step of
`FlowMatchEulerDiscreteScheduler`, in bfloat16 too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from workbench.engine.conditions import Conditions
from workbench.engine.latents import draw_noise, picture_ids, reference_ids, text_ids
from workbench.engine.plan import Job
from workbench.engine.schedule import noise_levels
from workbench.models.loading import Components


@dataclass
class Rows:
    """The pictures under way, one per row; all rows are at the same step number.

    B rows of N picture tokens with C channels, R reference tokens, L text tokens of width D, S steps at most.
    """

    names: list[int]  # position of each row's job in its batch
    latents: Tensor  # (B, N, C) at the model's precision
    text: Tensor  # (B, L, D)
    negative: Tensor  # (B, L, D); rows without guidance hold their own text, unused
    guidance: Tensor  # float32 (B,); 1 is off
    steps: list[int]  # steps of each row
    timesteps: Tensor  # float32 (B, S), padded with 0
    sigmas: Tensor  # float32 (B, S + 1), padded with 0
    failed_at: Tensor  # int64 (B,), the first step whose latents were not finite, or 0
    guided: list[int]  # rows that need a second pass
    references: Tensor | None = None  # (B, R, C)
    kept: Kept | None = None  # what of the image stays, where there is a mask
    step: int = 0  # steps done

    def leave(self) -> list[tuple[int, Tensor, Tensor]]:
        """Take out the rows that have done their steps: name, latents (1, N, C), first bad step (1,) of each."""
        done = [row for row, steps in enumerate(self.steps) if steps <= self.step]
        out = [(self.names[row], self.latents[row : row + 1], self.failed_at[row : row + 1]) for row in done]
        if done:
            self.keep([row for row, steps in enumerate(self.steps) if steps > self.step])
        return out

    def split(self, size: int) -> list[Rows]:
        """The same rows as several batches of at most `size`, all at the step that this one is at."""
        parts = []
        for start in range(0, len(self.names), size):
            part = replace(self)
            part.keep(list(range(start, min(start + size, len(self.names)))))
            parts.append(part)
        return parts

    def keep(self, rows: list[int]) -> None:
        """Keep only these rows."""
        chosen = torch.tensor(rows, dtype=torch.long, device=self.latents.device)
        for name in ("latents", "text", "negative", "guidance", "timesteps", "sigmas", "failed_at"):
            setattr(self, name, getattr(self, name)[chosen])
        self.references = None if self.references is None else self.references[chosen]
        self.kept = None if self.kept is None else self.kept.choose(chosen)
        guided = set(self.guided)
        self.names, self.steps = [self.names[row] for row in rows], [self.steps[row] for row in rows]
        self.guided = [new for new, row in enumerate(rows) if row in guided]


@dataclass(frozen=True)
class Kept:
    """The image where it stays: at every step these places get the image with noise of that step's level."""

    mask: Tensor  # (B, N, 1), 1 where the picture is drawn anew, 0 where the image stays
    image: Tensor  # (B, N, C)
    noise: Tensor  # (B, N, C)

    def choose(self, rows: Tensor) -> Kept:
        """Only these rows."""
        return Kept(self.mask[rows], self.image[rows], self.noise[rows])

    def restore(self, latents: Tensor, level: Tensor) -> Tensor:
        """`latents` (B, N, C) with the image put back at the noise level (B, 1, 1)."""
        return (1 - self.mask) * add_noise(self.image, self.noise, level) + self.mask * latents


def add_noise(image: Tensor, noise: Tensor, level: Tensor) -> Tensor:
    """The image at a noise level, 0 to 1: a straight line from one to the other (Lipman et al. 2023), rounded as
    `FlowMatchEulerDiscreteScheduler.scale_noise` rounds.
    """
    level = level.to(image.dtype)
    return level * noise + (1.0 - level) * image


def make_rows(
    parts: Components,
    jobs: Sequence[Job],
    texts: Sequence[tuple[Tensor, Tensor]],
    rows: int,
    columns: int,
    *,
    conditions: Sequence[Conditions] | None = None,
) -> Rows:
    """The rows of `jobs` before their first step.

    Args:
        parts: the model.
        jobs: one per row.
        texts: text and negative text (1, L, D) of each.
        rows: picture height in tokens.
        columns: picture width in tokens.
        conditions: references, image and mask of each; all or none have a mask, and references are of equal shapes.
    """
    device = parts.device
    given = conditions or [Conditions()] * len(jobs)
    noise = [draw_noise(job.recipe.seed, parts.latent_channels, rows, columns).to(device, parts.dtype) for job in jobs]
    levels = [_levels(parts, rows * columns, job) for job in jobs]
    starts = [
        start if own.image is None else add_noise(own.image, start, sigmas[0])
        for start, own, (_, sigmas) in zip(noise, given, levels, strict=True)
    ]
    references = [own.references for own in given if own.references is not None]
    masks = [own.mask for own in given if own.mask is not None]
    images = [own.image for own in given if own.image is not None]
    return Rows(
        names=list(range(len(jobs))),
        latents=torch.cat(starts),
        text=torch.cat([text for text, _ in texts]),
        negative=torch.cat([negative for _, negative in texts]),
        guidance=torch.tensor([job.guidance for job in jobs], dtype=torch.float32, device=device),
        steps=[job.steps for job in jobs],
        timesteps=pad_sequence([timesteps for timesteps, _ in levels], batch_first=True).to(device),
        sigmas=pad_sequence([sigmas for _, sigmas in levels], batch_first=True).to(device),
        failed_at=torch.zeros(len(jobs), dtype=torch.long, device=device),
        guided=[row for row, job in enumerate(jobs) if job.guided],
        references=torch.cat(references) if references else None,
        kept=Kept(torch.cat(masks), torch.cat(images), torch.cat(noise)) if masks else None,
    )


def _levels(parts: Components, tokens: int, job: Job) -> tuple[Tensor, Tensor]:
    """Timesteps (steps,) and sigmas (steps + 1,) of one row, from where its image lets it start."""
    recipe = job.recipe
    timesteps, sigmas = noise_levels(
        parts.scheduler_config, tokens, job.start + job.steps, shift=recipe.shift, sigmas=recipe.sigmas
    )
    return timesteps[job.start :], sigmas[job.start :]


class Denoiser:
    """Runs steps of one model for pictures of one shape.

    Args:
        parts: the model.
        rows: picture height in tokens.
        columns: picture width in tokens.
        text_tokens: length of the text.
        references: rows and columns of each reference, in tokens.
    """

    def __init__(
        self,
        parts: Components,
        rows: int,
        columns: int,
        text_tokens: int,
        references: Sequence[tuple[int, int]] = (),
    ) -> None:
        self._parts = parts
        ids = torch.cat([picture_ids(rows, columns), reference_ids(references)])
        self._picture_ids = ids.to(parts.device)  # (N + R, 4)
        self._text_ids = text_ids(text_tokens).to(parts.device)  # (L, 4)

    @torch.no_grad()
    def step(self, rows: Rows, *, together: bool = True) -> Tensor:
        """Do one step for all rows, in place; when it fails the rows are as before.

        Args:
            rows: the pictures under way.
            together: run the passes with and without the negative prompt as one batch; else one after the other,
                which needs less memory.

        Returns:
            The finished picture as predicted from this step, x - sigma * velocity, float32 (B, N, C): for previews.
        """
        latents, index = rows.latents, rows.step
        timestep = rows.timesteps[:, index].to(latents.dtype) / 1000  # (B,)
        velocity = self._guided_velocity(rows, timestep, together=together)
        sigma = rows.sigmas[:, index].view(-1, 1, 1)
        change = rows.sigmas[:, index + 1].view(-1, 1, 1) - sigma
        # The scheduler's step size and product are rounded to the model's precision before the sum in float32.
        estimate = latents.float() - sigma * velocity.float()
        rows.latents = (latents.float() + change.to(velocity.dtype) * velocity).to(velocity.dtype)
        if rows.kept is not None:
            level = rows.sigmas[:, index + 1].view(-1, 1, 1)
            rows.latents = rows.kept.restore(rows.latents, level)
        finite = torch.isfinite(rows.latents).flatten(1).all(dim=1)
        rows.step += 1
        # Noted on the device and read at the end: asking every step would make the host wait.
        rows.failed_at = torch.where(finite | (rows.failed_at > 0), rows.failed_at, rows.step)
        return estimate

    def _guided_velocity(self, rows: Rows, timestep: Tensor, *, together: bool) -> Tensor:
        guided = rows.guided
        count = rows.latents.shape[1]
        seen = rows.latents if rows.references is None else torch.cat([rows.latents, rows.references], dim=1)
        first = (seen, rows.text, timestep)
        if not guided:
            return self._velocity(*first)[:, :count]
        second = (seen[guided], rows.negative[guided], timestep[guided])
        if together:
            both = [torch.cat(pair) for pair in zip(first, second, strict=True)]
            out = self._velocity(*both)
            velocity, negative = out[: len(rows.names), :count].clone(), out[len(rows.names) :, :count]
        else:
            velocity, negative = self._velocity(*first)[:, :count], self._velocity(*second)[:, :count]
        scale = rows.guidance[guided].view(-1, 1, 1)
        away = (scale * (velocity[guided] - negative).float()).to(velocity.dtype)
        velocity[guided] = negative + away
        return velocity

    def _velocity(self, latents: Tensor, text: Tensor, timestep: Tensor) -> Tensor:
        """The transformer's answer (B, N + R, C) at the model's precision."""
        out: Tensor = self._parts.transformer(
            hidden_states=latents,
            timestep=timestep,
            guidance=None,
            encoder_hidden_states=text,
            txt_ids=self._text_ids,
            img_ids=self._picture_ids,
            return_dict=False,
        )[0]
        return out
