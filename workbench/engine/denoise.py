"""One denoising step for rows that may differ in prompt, seed, number of steps, guidance, references and image.

The transformer takes a timestep per row, so one batch can hold a whole grid of such recipes. A row that has done its
steps leaves the batch. What the transformer is given is the architecture's own (`workbench.engine.kinds`); arithmetic
and rounding follow the diffusers pipelines and the Euler step of `FlowMatchEulerDiscreteScheduler`, in bfloat16 too.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from workbench.engine.kinds import Call, Conditions, Layout, Text, kind_of
from workbench.engine.plan import Job
from workbench.engine.schedule import noise_levels
from workbench.engine.solvers import TWO_STEP, two_step, two_step_weights
from workbench.engine.step_cache import StepCache, wear
from workbench.models.loading import Components


@dataclass
class Rows:
    """The pictures under way, one per row; all rows are at the same step number.

    B rows of N picture tokens with C channels, R reference tokens, L text tokens of width D, S steps at most.
    """

    names: list[int]  # position of each row's job in its batch
    latents: Tensor  # (B, N, C) at the model's precision
    text: Text
    negative: Text  # rows without a second pass hold their own text, unused
    guidance: Tensor  # scale of the second pass, float32 (B,); 1 is off
    embedded: Tensor  # guidance scale as the transformer's own input, float32 (B,); unused by most
    steps: list[int]  # steps of each row
    timesteps: Tensor  # float32 (B, S), padded with 0
    sigmas: Tensor  # float32 (B, S + 1), padded with 0
    failed_at: Tensor  # int64 (B,), the first step whose latents were not finite, or 0
    guided: list[int]  # rows that need a second pass
    references: Tensor | None = None  # (B, R, C)
    extra: Tensor | None = None  # further channels of the picture's tokens, (B, N, E)
    kept: Kept | None = None  # what of the image stays, where there is a mask
    weights: Tensor | None = None  # of a solver that looks back by a step, float32 (B, S, 3), padded with 0
    before: Tensor | None = None  # for it: the picture as predicted by the step before, float32 (B, N, C)
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
        for name in ("latents", "guidance", "embedded", "timesteps", "sigmas", "failed_at"):
            setattr(self, name, getattr(self, name)[chosen])
        self.text, self.negative = self.text.choose(chosen), self.negative.choose(chosen)
        self.references = None if self.references is None else self.references[chosen]
        for name in ("extra", "weights", "before"):
            value = getattr(self, name)
            setattr(self, name, None if value is None else value[chosen])
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
    texts: Sequence[tuple[Text, Text]],
    rows: int,
    columns: int,
    *,
    conditions: Sequence[Conditions] | None = None,
) -> Rows:
    """The rows of `jobs` before their first step.

    Args:
        parts: the model.
        jobs: one per row.
        texts: text and negative text of each, all of equal length.
        rows: picture height in tokens.
        columns: picture width in tokens.
        conditions: references, image and mask of each; all or none have a mask, and references are of equal shapes.
            All jobs have one sampler.
    """
    device = parts.device
    kind, layout = kind_of(parts), Layout(rows, columns)
    begun = [
        kind.start(parts, job, own, layout)
        for job, own in zip(jobs, conditions or [Conditions()] * len(jobs), strict=True)
    ]
    noise, given = [start for start, _ in begun], [own for _, own in begun]
    levels = [_levels(parts, rows * columns, job) for job in jobs]
    starts = [
        start if own.image is None else add_noise(own.image, start, sigmas[0])
        for start, own, (_, sigmas) in zip(noise, given, levels, strict=True)
    ]
    references = [own.references for own in given if own.references is not None]
    masks = [own.mask for own in given if own.mask is not None]
    images = [own.image for own in given if own.image is not None]
    extra = [own.extra for own in given if own.extra is not None]
    return Rows(
        names=list(range(len(jobs))),
        latents=torch.cat(starts),
        text=Text.join([text for text, _ in texts]),
        negative=Text.join([negative for _, negative in texts]),
        guidance=torch.tensor([job.guidance for job in jobs], dtype=torch.float32, device=device),
        embedded=torch.tensor([job.recipe.guidance_scale for job in jobs], dtype=torch.float32, device=device),
        steps=[job.steps for job in jobs],
        timesteps=pad_sequence([timesteps for timesteps, _ in levels], batch_first=True).to(device),
        sigmas=pad_sequence([sigmas for _, sigmas in levels], batch_first=True).to(device),
        failed_at=torch.zeros(len(jobs), dtype=torch.long, device=device),
        guided=[row for row, job in enumerate(jobs) if job.guided],
        references=torch.cat(references) if references else None,
        extra=torch.cat(extra) if extra else None,
        kept=Kept(torch.cat(masks), torch.cat(images), torch.cat(noise)) if masks else None,
        weights=_weights(jobs, [sigmas for _, sigmas in levels]).to(device)
        if jobs[0].recipe.sampler == TWO_STEP
        else None,
    )


def _weights(jobs: Sequence[Job], sigmas: Sequence[Tensor]) -> Tensor:
    """Of rows that look back by a step, float32 (B, S, 3), padded with 0; nothing is done in a row without steps."""
    return pad_sequence(
        [two_step_weights(own) if job.steps else torch.zeros(0, 3) for job, own in zip(jobs, sigmas, strict=True)],
        batch_first=True,
    )


def _levels(parts: Components, tokens: int, job: Job) -> tuple[Tensor, Tensor]:
    """Timesteps (steps,) and sigmas (steps + 1,) of one row, from where its image lets it start."""
    recipe = job.recipe
    steps = job.start + job.steps
    mu = kind_of(parts).mu(parts.scheduler_config, tokens, steps)
    timesteps, sigmas = noise_levels(
        parts.scheduler_config, tokens, steps, shift=recipe.shift, sigmas=recipe.sigmas, mu=mu, spacing=recipe.schedule
    )
    return timesteps[job.start :], sigmas[job.start :]


class Denoiser:
    """Runs steps of one model for pictures of one shape.

    Args:
        parts: the model.
        rows: picture height in tokens.
        columns: picture width in tokens.
        references: rows and columns of each reference, in tokens.
        cache: leaves out a part of the work of one batch's steps; None: exact.
        sampler: solver of the steps, as the recipes' `sampler`; empty: Euler's.
    """

    def __init__(
        self,
        parts: Components,
        rows: int,
        columns: int,
        references: Sequence[tuple[int, int]] = (),
        *,
        cache: StepCache | None = None,
        sampler: str = "",
    ) -> None:
        self._parts, self._kind, self._cache, self._sampler = parts, kind_of(parts), cache, sampler
        self._layout = Layout(rows, columns, tuple(references))

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
        wear(self._parts.transformer, self._cache)
        velocity = self._guided_velocity(rows, together=together)
        sigma = rows.sigmas[:, index].view(-1, 1, 1)
        change = rows.sigmas[:, index + 1].view(-1, 1, 1) - sigma
        estimate = latents.float() - sigma * velocity.float()
        if self._sampler == "heun":
            velocity = self._mean_velocity(rows, velocity, change, together=together)
        if rows.weights is not None:
            following = two_step(rows.weights[:, index], latents.float(), estimate, rows.before)
            rows.latents, rows.before = following.to(velocity.dtype), estimate
        else:
            # The scheduler's step size and product are rounded to the model's precision before the sum in float32.
            rows.latents = (latents.float() + change.to(velocity.dtype) * velocity).to(velocity.dtype)
        if rows.kept is not None:
            level = rows.sigmas[:, index + 1].view(-1, 1, 1)
            rows.latents = rows.kept.restore(rows.latents, level)
        finite = torch.isfinite(rows.latents).flatten(1).all(dim=1)
        rows.step += 1
        # Noted on the device and read at the end: asking every step would make the host wait.
        rows.failed_at = torch.where(finite | (rows.failed_at > 0), rows.failed_at, rows.step)
        return estimate

    def _mean_velocity(self, rows: Rows, velocity: Tensor, change: Tensor, *, together: bool) -> Tensor:
        """Half that of the step's start and half that of where it leads; a row's last step has its start's alone.

        Source: Karras et al. 2022, algorithm 1, as in `FlowMatchHeunDiscreteScheduler`.
        """
        last = rows.sigmas[:, rows.step + 1].view(-1, 1, 1) == 0
        if rows.step + 1 == rows.timesteps.shape[1]:
            return velocity
        ahead = (rows.latents.float() + change * velocity.float()).to(velocity.dtype)
        second = self._guided_velocity(replace(rows, latents=ahead, step=rows.step + 1), together=together)
        return torch.where(last, velocity, (0.5 * (velocity.float() + second.float())).to(velocity.dtype))

    def _guided_velocity(self, rows: Rows, *, together: bool) -> Tensor:
        """The velocity (B, N, C) after guidance by a second pass, where a row has it."""
        first = self._call(rows, list(range(len(rows.names))), rows.text)
        if not rows.guided:
            return self._velocity(first)
        second = self._call(rows, rows.guided, rows.negative.choose(rows.guided))
        together = together and not (self._cache and self._cache.alone)
        if together and first.text.lengths == second.text.lengths:
            out = self._velocity(_both(first, second))
            velocity, negative = out[: len(rows.names)].clone(), out[len(rows.names) :]
        else:
            velocity, negative = self._velocity(first), self._velocity(second, "second")
        scale = rows.guidance[rows.guided].view(-1, 1, 1)
        away = (scale * (velocity[rows.guided] - negative).float()).to(velocity.dtype)
        velocity[rows.guided] = negative + away
        return velocity

    def _velocity(self, call: Call, name: str = "first") -> Tensor:
        """One pass of the transformer; a cache remembers those with the negative prompt apart, where they are apart."""
        if self._cache is None:
            return self._kind.velocity(self._parts, call)
        with self._cache.during(self._parts.transformer, name):
            return self._kind.velocity(self._parts, call)

    def _call(self, rows: Rows, chosen: list[int], text: Text) -> Call:
        """The inputs of a pass for some rows, with the text given."""
        whole, last = len(chosen) == len(rows.names), rows.step + 1 == rows.timesteps.shape[1]
        following = torch.zeros_like(rows.timesteps[:, 0]) if last else rows.timesteps[:, rows.step + 1]

        def pick(values: Tensor) -> Tensor:
            return values if whole else values[chosen]

        return Call(
            latents=pick(rows.latents),
            text=text,
            time=pick(rows.timesteps[:, rows.step]),
            next_time=pick(following),
            guidance=pick(rows.embedded),
            layout=self._layout,
            references=None if rows.references is None else pick(rows.references),
            extra=None if rows.extra is None else pick(rows.extra),
        )


def _both(one: Call, two: Call) -> Call:
    """The rows of both calls as one."""

    def join(first: Tensor | None, second: Tensor | None) -> Tensor | None:
        return None if first is None or second is None else torch.cat([first, second])

    return Call(
        latents=torch.cat([one.latents, two.latents]),
        text=Text.join([one.text, two.text]),
        time=torch.cat([one.time, two.time]),
        next_time=torch.cat([one.next_time, two.next_time]),
        guidance=torch.cat([one.guidance, two.guidance]),
        layout=one.layout,
        references=join(one.references, two.references),
        extra=join(one.extra, two.extra),
    )
