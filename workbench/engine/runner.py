"""Draws one group of jobs: weights, text, noise, steps, pictures; and falls back when memory runs out."""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from threading import Lock
from typing import TypeVar

import torch
from PIL import Image
from torch import Tensor

from workbench.engine.canvas import canvas, mask_levels, paste_back
from workbench.engine.conditions import Conditions, PictureCache
from workbench.engine.decode import check_finite, decode
from workbench.engine.denoise import Denoiser, Rows, make_rows
from workbench.engine.events import CancelToken, Saving, Step
from workbench.engine.kinds import Layout, Text, kind_of
from workbench.engine.memory import Economy, is_out_of_memory
from workbench.engine.outcome import Outcome
from workbench.engine.plan import Group, Job
from workbench.engine.preview import preview
from workbench.engine.regions import regional
from workbench.engine.step_cache import StepCache, wear, worn
from workbench.engine.text import TextCache
from workbench.errors import GenerationError, WorkbenchError
from workbench.models.adapters import AdapterFile
from workbench.models.catalog import ModelCatalog
from workbench.models.companions import load_companion
from workbench.models.loading import Components
from workbench.models.registry import Registry
from workbench.recipe.controls import companions_of

T = TypeVar("T")

log = logging.getLogger(__name__)

_PREVIEW_SECONDS = 0.1  # between two previews of one batch: an eye sees no more, and each makes the host wait


@dataclass
class Drawing:
    """The state that a batch's jobs share while they are drawn."""

    jobs: tuple[Job, ...]
    seconds: list[dict[str, float]]  # of each job, by stage
    warnings: list[tuple[str, ...]]
    open: set[int]  # jobs without outcome

    def spend(self, stage: str, seconds: float, names: Sequence[int]) -> None:
        """Share the time of a stage among the jobs that took part."""
        for name in names:
            spent = self.seconds[name]
            spent[stage] = spent.get(stage, 0.0) + seconds / len(names)

    def finish(self, name: int, picture: Image.Image | None = None, error: WorkbenchError | None = None) -> Outcome:
        """The outcome of one job."""
        self.open.discard(name)
        return Outcome(self.jobs[name], picture, error, self.seconds[name], self.warnings[name])


class _OutOfMemory(Exception):
    """A step failed for want of memory; it may be tried again with less."""


class GroupRunner:
    """Runs the jobs of one group.

    Args:
        group: the jobs.
        catalog: finds the model and its adapters.
        registry: owns the weights.
        texts: keeps embeddings.
        pictures: keeps references and images as tokens.
        lock: held while the model computes, never while results are handed out: several runs of one engine may
            alternate, and each sees its own adapters.
        device: where to compute.
        economy: batch size, and what earlier groups had to give up.
        tell: called with a `Step` after each step of each row, and with a `Saving` when memory ran out.
        cancel: looked at before every step; single pictures may leave their batch.
        preview_map: gives the latent-to-colour map, or None for no previews.
    """

    def __init__(
        self,
        group: Group,
        *,
        catalog: ModelCatalog,
        registry: Registry,
        texts: TextCache,
        pictures: PictureCache,
        lock: Lock,
        device: torch.device,
        economy: Economy,
        tell: Callable[[Step | Saving], None],
        cancel: CancelToken,
        preview_map: Callable[[Components], Tensor] | None,
    ) -> None:
        self._group, self._catalog, self._registry, self._texts = group, catalog, registry, texts
        self._pictures = pictures
        self._lock, self._device, self._tell, self._cancel = lock, device, tell, cancel
        self._preview_map = preview_map
        self._adapters: tuple[AdapterFile, ...] = ()
        self.economy = economy

    def run(self) -> Iterator[Outcome]:
        """Outcomes as pictures finish; stops early when cancelled, and gives none of a picture that was dropped."""
        for batch in self._group.batches(self.economy.rows):
            if self._cancel.cancelled:
                return
            jobs = tuple(job for job in batch if not self._cancel.dropped(job.digest))
            if not jobs:
                continue
            drawing = Drawing(jobs, [{} for _ in jobs], [() for _ in jobs], set(range(len(jobs))))
            try:
                yield from self._draw(drawing)
            except WorkbenchError as error:
                yield from [drawing.finish(name, error=error) for name in sorted(drawing.open)]
            except Exception as error:  # a fault in one batch must not take the others with it
                log.exception("batch failed")
                wrapped = GenerationError(
                    f"The picture could not be made: {type(error).__name__}: {' '.join(str(error).split())[:300]}.",
                    "Please report this with the log.",
                )
                yield from [drawing.finish(name, error=wrapped) for name in sorted(drawing.open)]

    def _draw(self, drawing: Drawing) -> Iterator[Outcome]:
        start = time.perf_counter()
        parts = self._with_less("load", self._load)
        drawing.spend("load", time.perf_counter() - start, range(len(drawing.jobs)))
        start = time.perf_counter()
        texts = self._with_less("text", lambda: self._encode(parts, drawing))
        drawing.spend("text", time.perf_counter() - start, range(len(drawing.jobs)))
        if self.economy.text_dropped:
            with self._lock:
                self._registry.drop_text()
        start = time.perf_counter()
        conditions = self._with_less("encode", lambda: self._look(parts, drawing))
        if any(job.recipe.references or job.recipe.image or job.recipe.control for job in drawing.jobs):
            drawing.spend("encode", time.perf_counter() - start, range(len(drawing.jobs)))
        pending = self._rows(parts, drawing, texts, conditions)
        while pending and not self._cancel.cancelled:
            rows = pending.pop(0)
            if len(rows.names) > self.economy.rows:
                pending[:0] = rows.split(self.economy.rows)
                continue
            yield from self._denoise(parts, rows, drawing, pending)

    def _rows(
        self, parts: Components, drawing: Drawing, texts: list[tuple[Text, Text]], conditions: list[Conditions]
    ) -> list[Rows]:
        """The rows of all jobs, in batches of equal text lengths: some families pad no prompt to the full length."""
        lengths: dict[tuple[tuple[int, ...], ...], list[int]] = {}
        for name, (text, negative) in enumerate(texts):
            lengths.setdefault((text.lengths, negative.lengths), []).append(name)
        batches = []
        for names in lengths.values():
            jobs, own = [drawing.jobs[name] for name in names], [conditions[name] for name in names]
            rows = make_rows(parts, jobs, [texts[name] for name in names], *self._grid(parts), conditions=own)
            rows.names = names
            batches.append(rows)
        return batches

    def _denoise(self, parts: Components, rows: Rows, drawing: Drawing, pending: list[Rows]) -> Iterator[Outcome]:
        height, width = self._grid(parts)
        patch = parts.patch_pixels
        references = [(down // patch, across // patch) for across, down in self._group.shape.references]
        shape = self._group.shape
        cache = StepCache(shape.cache, shape.steps, parts.dtype) if shape.cache else None
        denoiser = Denoiser(parts, height, width, references, cache=cache, sampler=shape.sampler)
        begun = replace(rows)  # the steps put new tensors into `rows` and leave these alone
        try:
            yield from self._steps(parts, rows, drawing, denoiser)
        except _OutOfMemory:
            # Goes on at the same step, in smaller batches if need be; a cache remembers a whole batch, and begins again.
            pending.insert(0, rows if cache is None else begun)
        finally:
            self._let_go(parts, cache)

    def _let_go(self, parts: Components, cache: StepCache | None) -> None:
        """Take a batch's hooks off, unless another run has done so or is computing: then its next step does."""
        if cache is not None and self._lock.acquire(blocking=False):
            try:
                if worn(parts.transformer) is cache:
                    wear(parts.transformer, None)
            finally:
                self._lock.release()

    def _steps(self, parts: Components, rows: Rows, drawing: Drawing, denoiser: Denoiser) -> Iterator[Outcome]:
        """All steps of a batch.

        Raises:
            _OutOfMemory: a step failed, and the economy has changed.
        """
        height, width = self._grid(parts)
        matrix = self._map(parts)
        shown = 0.0
        for nothing_to_draw in rows.leave():  # of strength 0
            yield self._finish(parts, drawing, *nothing_to_draw)
        while self._wanted(rows, drawing):
            start = time.perf_counter()
            try:
                with self._lock:
                    parts.adapters.apply(self._adapters)
                    estimate = denoiser.step(rows, together=self.economy.together)
            except (RuntimeError, MemoryError) as error:
                self._give_up_something(error, "denoise")
                raise _OutOfMemory from error
            names = list(rows.names)
            done = rows.leave()
            if done and parts.device.type == "cuda":
                torch.cuda.synchronize(parts.device)
            drawing.spend("denoise", time.perf_counter() - start, names)
            now = time.monotonic()
            show = matrix is not None and (bool(done) or now - shown >= _PREVIEW_SECONDS)
            shown = now if show else shown
            for row, name in enumerate(names):
                job = drawing.jobs[name]
                picture = preview(matrix, estimate[row], height, width) if show and matrix is not None else None
                self._tell(Step(job.digest, rows.step, job.steps, picture))
            for name, latents, failed_at in done:
                if self._cancel.dropped(drawing.jobs[name].digest):
                    drawing.open.discard(name)
                    continue
                yield self._finish(parts, drawing, name, latents, failed_at)

    def _wanted(self, rows: Rows, drawing: Drawing) -> bool:
        """Whether there is a step to do; takes out the rows of pictures that were dropped."""
        stay = [row for row, name in enumerate(rows.names) if not self._cancel.dropped(drawing.jobs[name].digest)]
        fixed = self._group.shape.cache and rows.step  # a cache remembers all rows of its batch: they stay, unused
        if len(stay) < len(rows.names) and not (fixed and stay):
            drawing.open -= set(rows.names) - {rows.names[row] for row in stay}
            rows.keep(stay)
        return bool(rows.names) and not self._cancel.cancelled

    def _finish(self, parts: Components, drawing: Drawing, name: int, latents: Tensor, failed_at: Tensor) -> Outcome:
        height, width = self._grid(parts)
        start = time.perf_counter()
        try:
            job = drawing.jobs[name]
            check_finite(parts, job, failed_at)

            def pixels() -> Image.Image:
                with self._lock:
                    return decode(parts, latents, height, width, tile=self._tile(job))

            picture = self._with_less("decode", pixels)
            job = drawing.jobs[name]
            if job.masked:
                inputs = self._catalog.inputs
                picture = paste_back(picture, canvas(job.recipe, inputs), mask_levels(job.recipe, inputs))
        except WorkbenchError as error:
            return drawing.finish(name, error=error)
        drawing.spend("decode", time.perf_counter() - start, [name])
        return drawing.finish(name, picture)

    def _tile(self, job: Job) -> int | None:
        """Side of the tiles in which a job is decoded, in pixels: the recipe's, or half the picture when memory is short."""
        if job.recipe.decode_tile is not None or not self.economy.tiled:
            return job.recipe.decode_tile
        multiple = self._catalog.model(self._group.model).size_multiple
        return max(multiple, max(self._group.shape.width, self._group.shape.height) // 2 // multiple * multiple)

    def _load(self) -> Components:
        model = self._catalog.model(self._group.model)
        self._adapters = tuple(
            AdapterFile(
                self._catalog.adapter_path(adapter.name), self._catalog.adapter_fingerprint(adapter.name),
                adapter.weight, tuple(adapter.blocks.items()),
            )
            for adapter in self._group.adapters
        )  # fmt: skip
        with self._lock:
            parts = self._registry.get(
                model, self._group.precision, self._device, text_on_host=self.economy.text_on_host,
                quantisation=self._group.quantisation,
            )  # fmt: skip
            parts.adapters.apply(self._adapters)
            for name in sorted({name for job in self._group.jobs for name in companions_of(job.recipe)}):
                fingerprint = self._catalog.companion_fingerprint(name)
                if parts.companions.get(name, {}).get("fingerprint") != fingerprint:
                    loaded = load_companion(name, self._catalog.companion(name), parts.dtype, parts.device)
                    parts.companions[name] = loaded | {"fingerprint": fingerprint}
        return parts

    def _encode(self, parts: Components, drawing: Drawing) -> list[tuple[Text, Text]]:
        """Text and negative text of every job; notes what of them is not read."""
        length = self._group.shape.text_tokens
        embeddings = []
        for name, job in enumerate(drawing.jobs):
            with self._lock:
                text, warning = self._texts.get(parts, job.prompt, length)
                negative, second = text, ""
                if job.guided:
                    negative, second = self._texts.get(parts, job.recipe.negative_prompt, length, "negative prompt")
                text = kind_of(parts).enrich(parts, job, text, self._pictures)
                said = [warning, second]
                if job.recipe.regions:
                    text = self._regional(parts, job, text, said)
            said = list(filter(None, said))
            drawing.warnings[name] = (*said, *parts.adapters.warnings)
            embeddings.append((text, negative))
        return embeddings

    def _regional(self, parts: Components, job: Job, base: Text, said: list[str]) -> Text:
        """The texts of a job's regions beside its own; adds to `said` what of them is not read."""

        def get(prompt: str) -> Text:
            text, warning = self._texts.get(parts, prompt, self._group.shape.text_tokens, "prompt of a region")
            said.append(warning)
            return text

        return regional(job.recipe.regions, base, get, Layout(*self._grid(parts)), self._catalog.inputs)

    def _look(self, parts: Components, drawing: Drawing) -> list[Conditions]:
        """References, image and mask of every job; notes where an image is scaled or cropped."""
        given = []
        for name, job in enumerate(drawing.jobs):
            with self._lock:
                given.append(self._pictures.conditions(parts, job))
            recipe = job.recipe
            if recipe.image is not None and not job.masked:
                image = self._catalog.picture(recipe.image)
                if (image.width, image.height) != (recipe.width, recipe.height):
                    warning = (
                        f"The image was scaled and cropped from {image.width} x {image.height} to "
                        f"{recipe.width} x {recipe.height} pixels."
                    )
                    if warning not in drawing.warnings[name]:
                        drawing.warnings[name] = (*drawing.warnings[name], warning)
        return given

    def _map(self, parts: Components) -> Tensor | None:
        if self._preview_map is None:
            return None
        with self._lock:
            return self._preview_map(parts)

    def _grid(self, parts: Components) -> tuple[int, int]:
        """Rows and columns of picture tokens."""
        shape = self._group.shape
        return shape.height // parts.patch_pixels, shape.width // parts.patch_pixels

    def _with_less(self, stage: str, work: Callable[[], T]) -> T:
        while True:
            try:
                return work()
            except (RuntimeError, MemoryError) as error:
                self._give_up_something(error, stage)

    def _give_up_something(self, error: Exception, stage: str) -> None:
        """Take the next rung of the memory ladder, or raise: `error` itself when it is of another kind.

        Raises:
            GenerationError: out of memory on the last rung.
        """
        if not is_out_of_memory(error):
            raise error
        economy = self.economy.next(stage, guided=self._group.guided, on_device=self._device.type != "cpu")
        if economy is None:
            shape = self._group.shape
            raise GenerationError(
                f"Memory ran out while drawing {shape.width} x {shape.height} pixels with {self._group.model} "
                f"({stage}), with nothing left to save.",
                "Draw a smaller picture, close other programs, or use a smaller model.",
            ) from None
        log.warning("out of memory in %s: %s", stage, economy.taken[-1])
        self._tell(Saving(self._group.model, economy.taken[-1], f"memory ran out: {stage}"))
        error.__traceback__ = None  # its frames hold the tensors that filled the memory
        self.economy = economy
        with self._lock:
            if economy.text_dropped:
                self._registry.drop_text()
            self._registry.economise(text_on_host=economy.text_on_host)
