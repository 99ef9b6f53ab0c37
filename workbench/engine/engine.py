"""Recipes to pictures: plans the whole list, runs it group by group, hands over one result per recipe."""

from __future__ import annotations

import logging
import math
import platform
from collections.abc import Iterator, Sequence
from dataclasses import replace
from importlib.metadata import PackageNotFoundError, version
from threading import Lock

import torch

from workbench.engine.cache import TensorFolder
from workbench.engine.conditions import PictureCache
from workbench.engine.events import CancelToken, Event, Finished, Listener, Planned, Result, Saving
from workbench.engine.memory import Economy, batch_size, first_economy, peak, reset_peak
from workbench.engine.outcome import Outcome
from workbench.engine.plan import Group, Plan, make_plan
from workbench.engine.preview import preview_map
from workbench.engine.runner import GroupRunner
from workbench.engine.stock import StockPipelines, StockRunner
from workbench.engine.text import TextCache
from workbench.engine.upsample import Captions
from workbench.errors import Cancelled, SettingsError, WorkbenchError
from workbench.models.catalog import ModelCatalog
from workbench.models.device import choose_device
from workbench.models.registry import Registry
from workbench.recipe import Precision, Recipe
from workbench.recipe.approximate import parse

log = logging.getLogger(__name__)


class Engine:
    """Runs recipes on one device, in the thread that calls it.

    Weights stay in memory between runs until another model is needed. Runs from several threads take turns step by
    step; no result depends on that.

    Args:
        catalog: finds models and adapters.
        device: 'auto', 'cpu', 'cuda', 'cuda:1', 'mps'.
        batch_size: rows of a batch; None: from a memory estimate.
        memory_limit: bytes that may be used; None: what is free.
        keep_texts: also keep embeddings on disk, in the catalog's `home/cache`.
        keep_models: bytes of weights that stay in memory, least recently used dropped first; None: one model's.

    Raises:
        SettingsError: a device or batch size that cannot be used.
    """

    def __init__(
        self,
        catalog: ModelCatalog,
        *,
        device: str = "auto",
        batch_size: int | None = None,
        memory_limit: int | None = None,
        keep_texts: bool = False,
        keep_models: int | None = None,
    ) -> None:
        if batch_size is not None and batch_size < 1:
            raise SettingsError(f"The batch size {batch_size} is too small.", "Use 1 or more, or leave it out.")
        self._catalog = catalog
        self.device = torch.device(choose_device(device))
        if self.device.type == "cuda" and not torch.cuda.is_available():
            raise SettingsError("There is no CUDA device here.", "Use device 'auto' or 'cpu'.")
        self._batch_size, self._memory_limit = batch_size, memory_limit
        self._registry = Registry(keep_models)
        self._stock = StockPipelines()
        cache = catalog.home / "cache"
        self.texts = TextCache(folder=cache / "texts" if keep_texts else None)
        self.pictures = PictureCache(catalog.inputs)
        self.captions = Captions(catalog, self.device)
        self._previews = TensorFolder(cache / "previews")
        self._lock = Lock()

    def run(
        self,
        recipes: Sequence[Recipe],
        *,
        listen: Listener | None = None,
        cancel: CancelToken | None = None,
        previews: bool = False,
    ) -> Iterator[Result]:
        """Make the pictures of `recipes`, each distinct one once.

        A recipe that cannot be resolved or drawn gives a result with an error, and the others go on. Pictures come in
        the order of the plan; `Result.index` says which recipe a result answers.

        Args:
            recipes: what is wanted.
            listen: called with `Planned`, `Saving`, `Step` and `Finished` in this thread. When it raises, it is not called
                again, the fault is logged, and every later result carries a warning: a broken display must not lose
                pictures.
            cancel: stops the run, or single pictures of it, within one denoising step.
            previews: put small pictures into the `Step` events, at most ten a second.

        Yields:
            One result per recipe; after a cancel only the finished ones, and none for a picture that was dropped.

        Raises:
            Cancelled: at the end, when the run was cancelled before all pictures that it wants were made.
        """
        cancel = cancel or CancelToken()
        tell = _Teller(listen)
        plan = make_plan(recipes, self._catalog)
        unique, wanted = plan.unique, {job.digest for group in plan.groups for job in group.jobs}
        sizes = [self._rows(group) for group in plan.groups]
        batches = sum(math.ceil(len(group.jobs) / size) for group, size in zip(plan.groups, sizes, strict=True))
        tell(Planned(len(plan.recipes), plan.unique, batches))
        for failure in plan.failures:
            tell(Finished("", 0, plan.unique, failure.error))
            yield Result(failure.index, plan.recipes[failure.index], None, error=failure.error)
        made: set[str] = set()
        plan, without = self._write_captions(plan, cancel)
        for group, outcome in without:
            made.add(outcome.job.digest)
            tell(Finished(outcome.job.digest, len(made), unique, outcome.error))
            yield from self._results(plan, group, outcome, Economy(1), tell.warnings)
        for group in plan.groups:
            reset_peak(self.device)
            runner = self._runner(group, self._rows(group), tell, cancel, previews=previews)
            for given_up in runner.economy.taken:
                tell(Saving(group.model, given_up, runner.economy.why))
            for outcome in runner.run():
                made.add(outcome.job.digest)
                tell(Finished(outcome.job.digest, len(made), unique, outcome.error))
                yield from self._results(plan, group, outcome, runner.economy, tell.warnings)
        missing = wanted - made
        if any(not cancel.dropped(digest) for digest in missing):
            raise Cancelled(
                f"Stopped after {len(made)} of {unique} pictures.",
                "The finished ones are kept; run again to go on.",
            )

    def _write_captions(self, plan: Plan, cancel: CancelToken) -> tuple[Plan, list[tuple[Group, Outcome]]]:
        """The plan with the captions that its recipes ask for, and what failed for want of one."""
        if all(job.recipe.prompt_upsampler is None for group in plan.groups for job in group.jobs):
            return plan, []
        with self._lock:
            if self.device.type != "cpu":
                self._registry.unload()  # an upsampler is as large as a model that draws
            captions = self.captions.of((job for group in plan.groups for job in group.jobs), cancel)
        without, groups = [], []
        for group in plan.groups:
            jobs = []
            for job in group.jobs:
                caption = captions.get(job.digest, "")
                if isinstance(caption, WorkbenchError):
                    without.append((group, Outcome(job, error=caption)))
                elif caption or job.recipe.prompt_upsampler is None:
                    jobs.append(replace(job, caption=caption))
            if jobs:  # the work was stopped where a caption is missing and nothing failed
                groups.append(replace(group, jobs=tuple(jobs)))
        return replace(plan, groups=tuple(groups)), without

    def _runner(
        self, group: Group, size: int, tell: _Teller, cancel: CancelToken, *, previews: bool
    ) -> GroupRunner | StockRunner:
        """What draws a group; weights of the other sort are let go of."""
        if group.jobs[0].stock:
            with self._lock:
                self._registry.unload()
            return StockRunner(
                group, catalog=self._catalog, pipelines=self._stock, device=self.device, tell=tell, cancel=cancel
            )
        self._stock.unload()
        return GroupRunner(
            group,
            catalog=self._catalog,
            registry=self._registry,
            texts=self.texts,
            pictures=self.pictures,
            lock=self._lock,
            device=self.device,
            economy=self._economy(group, size),
            tell=tell,
            cancel=cancel,
            preview_map=(lambda parts: preview_map(parts, self._previews)) if previews else None,
        )

    def unload(self) -> None:
        """Drop the weights and embeddings in memory."""
        with self._lock:
            self._stock.unload()
            self._registry.unload()
            self.texts.clear()
            self.pictures.clear()

    def _rows(self, group: Group) -> int:
        """Rows of a batch: forced, or by estimate; 1 when the estimate fails, as loading then tells why.

        Always 1 with a cache that decides by the values of a whole batch, so that neighbours cannot change a picture.
        """
        if group.shape.cache and parse(group.shape.cache).method.alone:
            return 1
        if self._batch_size is not None:
            return self._batch_size
        try:
            model = self._catalog.model(group.model)
            loaded = self._registry.holds(model, group.precision, group.quantisation)
            return batch_size(group, model, self.device, self._memory_limit, loaded=loaded)
        except WorkbenchError:
            return 1

    def _economy(self, group: Group, rows: int) -> Economy:
        """What the group gives up from the start; nothing when the estimate fails, as loading then tells why."""
        try:
            model = self._catalog.model(group.model)
            held = self._registry.bytes if self._registry.holds(model, group.precision, group.quantisation) else 0
            return first_economy(group, model, self.device, self._memory_limit, rows, held=held)
        except WorkbenchError:
            return Economy(rows)

    def _results(
        self, plan: Plan, group: Group, outcome: Outcome, economy: Economy, warnings: tuple[str, ...]
    ) -> Iterator[Result]:
        """One result for every recipe that asked for the picture; all but the first count as reused."""
        for place, index in enumerate(outcome.job.indices):
            yield Result(
                index=index,
                recipe=plan.recipes[index],
                resolved=outcome.job.resolved,
                picture=outcome.picture,
                error=outcome.error,
                seconds={} if place else dict(outcome.seconds),
                peak_bytes=peak(self.device),
                environment=environment(self.device, group.precision, economy.rows),
                fallbacks=economy.taken,
                warnings=(*outcome.warnings, *warnings),
                caption=outcome.job.caption,
                reused=place > 0 and outcome.error is None,
            )


class _Teller:
    """Passes events on until the listener fails."""

    def __init__(self, listen: Listener | None) -> None:
        self._listen = listen
        self.warnings: tuple[str, ...] = ()

    def __call__(self, event: Event) -> None:
        if self._listen is None:
            return
        try:
            self._listen(event)
        except Exception as error:
            log.exception("progress listener failed")
            self._listen = None
            self.warnings = (f"The progress display failed and was switched off: {type(error).__name__}: {error}.",)


def environment(device: torch.device, precision: Precision, rows: int) -> dict[str, str]:
    """What, besides the recipe, could matter to the last bit: device, precision, batch layout, library versions."""
    name = torch.cuda.get_device_name(device) if device.type == "cuda" else platform.machine()
    facts = {
        "device": str(device),
        "device_name": name,
        "precision": precision,
        "batch_size": str(rows),
        "python": platform.python_version(),
        "torch": torch.__version__,
    }
    for package in ("diffusers", "transformers", "flux-workbench"):
        try:
            facts[package] = version(package)
        except PackageNotFoundError:  # run from a source tree that is not installed
            facts[package] = "unknown"
    return facts
