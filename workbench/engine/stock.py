"""Stable Diffusion 1.5 and XL, drawn by their stock diffusers pipelines: plain baselines to compare FLUX with.

One picture at a time, with the scheduler of the model's folder and nothing of ours between: what is reported for these
models is what diffusers gives. There are no adapters, previews or fallbacks here.
"""

from __future__ import annotations

import gc
import logging
import time
from collections.abc import Callable, Iterator
from typing import Any

import torch

from workbench.engine.canvas import canvas
from workbench.engine.events import CancelToken, Step
from workbench.engine.memory import Economy
from workbench.engine.outcome import Outcome
from workbench.engine.plan import Group, Job
from workbench.errors import GenerationError, RecipeError, WorkbenchError
from workbench.models.catalog import ModelCatalog
from workbench.models.loading import DTYPES, reading
from workbench.models.model import Model
from workbench.recipe import Precision

log = logging.getLogger(__name__)

_IMAGE_TO_IMAGE = {
    "StableDiffusionPipeline": "StableDiffusionImg2ImgPipeline",
    "StableDiffusionXLPipeline": "StableDiffusionXLImg2ImgPipeline",
}


class StockPipelines:
    """Holds the pipeline of at most one model."""

    def __init__(self) -> None:
        self._key: tuple[object, ...] = ()
        self._pipe: Any = None

    def get(self, model: Model, precision: Precision, device: torch.device) -> Any:
        """The text-to-image pipeline of `model`, loaded now if it is not in memory.

        Raises:
            ModelError: the folder cannot be loaded.
        """
        key = (model.fingerprint, precision, str(device))
        if key == self._key:
            return self._pipe
        self.unload()
        import diffusers

        options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True, "dtype": DTYPES[precision]}
        if model.family.pipeline == "StableDiffusionPipeline":
            options |= {"safety_checker": None, "requires_safety_checker": False}  # it would blacken pictures
        with reading(model.path):
            pipe = getattr(diffusers, model.family.pipeline).from_pretrained(model.path, **options)
        pipe.set_progress_bar_config(disable=True)
        self._pipe, self._key = pipe.to(device), key
        return self._pipe

    def unload(self) -> None:
        """Drop the weights in memory."""
        if self._pipe is None:
            return
        self._pipe, self._key = None, ()
        gc.collect()
        if torch.cuda.is_available():
            torch.cuda.empty_cache()


class StockRunner:
    """Runs the jobs of one group; the same face as `GroupRunner`.

    Args:
        group: the jobs.
        catalog: finds the model and its inputs.
        pipelines: owns the weights.
        device: where to compute.
        tell: called with a `Step` after each step.
        cancel: looked at after every step.
    """

    def __init__(
        self,
        group: Group,
        *,
        catalog: ModelCatalog,
        pipelines: StockPipelines,
        device: torch.device,
        tell: Callable[[Step], None],
        cancel: CancelToken,
    ) -> None:
        self._group, self._catalog, self._pipelines = group, catalog, pipelines
        self._device, self._tell, self._cancel = device, tell, cancel
        self.economy = Economy(1)

    def run(self) -> Iterator[Outcome]:
        """Outcomes one by one; stops early when cancelled."""
        for job in self._group.jobs:
            if self._cancel.cancelled:
                return
            if self._cancel.dropped(job.digest):
                continue
            try:
                outcome = self._draw(job)
            except WorkbenchError as error:
                outcome = Outcome(job, error=error)
            except Exception as error:  # a fault in one picture must not take the others with it
                log.exception("picture failed")
                reason = " ".join(str(error).split())[:300]
                wrapped = GenerationError(f"The picture could not be made: {type(error).__name__}: {reason}.")
                outcome = Outcome(job, error=wrapped)
            if outcome.picture is not None or outcome.error is not None:  # neither: stopped on the way
                yield outcome

    def _draw(self, job: Job) -> Outcome:
        model, recipe = self._catalog.model(self._group.model), job.recipe
        for name in ("adapters", "shift", "sigmas", "quantisation"):
            if getattr(recipe, name, None):
                raise RecipeError(
                    f"{model.name} is drawn by its stock pipeline, which takes no {name} here.",
                    "Leave it out, or use a FLUX model.",
                )
        start = time.perf_counter()
        pipe = self._pipelines.get(model, self._group.precision, self._device)
        loaded = time.perf_counter()
        given: dict[str, Any] = {
            "prompt": recipe.prompt,
            "negative_prompt": recipe.negative_prompt or None,
            "num_inference_steps": recipe.steps,
            "guidance_scale": recipe.guidance_scale,
            "generator": torch.Generator().manual_seed(recipe.seed),
            "callback_on_step_end": lambda _pipe, step, _time, values: self._step(_pipe, job, step, values),
        }
        if recipe.image is None:
            given |= {"width": recipe.width, "height": recipe.height}
        else:
            import diffusers

            pipe = getattr(diffusers, _IMAGE_TO_IMAGE[model.family.pipeline]).from_pipe(pipe)
            pipe.set_progress_bar_config(disable=True)
            given |= {"image": canvas(recipe, self._catalog.inputs), "strength": recipe.strength}
        picture = pipe(**given).images[0]
        seconds = {"load": loaded - start, "denoise": time.perf_counter() - loaded}
        warnings = _truncation(pipe, recipe.prompt)
        return Outcome(job, None if self._stopped(job) else picture, seconds=seconds, warnings=warnings)

    def _step(self, pipe: Any, job: Job, step: int, values: dict[str, Any]) -> dict[str, Any]:
        self._tell(Step(job.digest, step + 1, job.steps, None))
        if self._stopped(job):
            pipe._interrupt = True  # the pipelines' own way to stop within a step
        return values

    def _stopped(self, job: Job) -> bool:
        return self._cancel.cancelled or self._cancel.dropped(job.digest)


def _truncation(pipe: Any, prompt: str) -> tuple[str, ...]:
    """A sentence about text that CLIP does not read."""
    length, limit = len(pipe.tokenizer(prompt, verbose=False)["input_ids"]), pipe.tokenizer.model_max_length
    if length <= limit:
        return ()
    return (f"The prompt is too long: the last {length - limit} of its {length} tokens were not read. Shorten it.",)
