"""One door to catalog, store and engine: pictures that exist are read, the others are made and kept.

    session = Session()
    result = session.generate(prompt="a red circle", seed=7)
    result.picture

The engine runs in one thread and the writer in another, so neither encoding a PNG nor a slow reader of the results
stalls the denoising.
"""

from __future__ import annotations

import threading
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from workbench._pipeline import Pipeline
from workbench.engine.events import CancelToken, Finished, Listener, Planned, Result
from workbench.errors import Cancelled, StoreError, WorkbenchError
from workbench.logs import follow, get_logger
from workbench.models.catalog import ModelCatalog
from workbench.recipe import Recipe, ResolvedRecipe, resolve
from workbench.settings import Settings, settings
from workbench.store import Store, work_units

if TYPE_CHECKING:
    from workbench.engine import Engine
    from workbench.store.gallery import Gallery
    from workbench.verify import Verification

BYTES_PER_PIXEL = 1.6  # of a photograph-like PNG at level 1; used until a model has a history of its own


@dataclass(frozen=True, slots=True)
class Estimate:
    """What a list of recipes will cost."""

    total: int  # recipes
    unique: int  # distinct pictures among them
    stored: int  # of these, already in the store
    seconds: float | None  # for the rest; None when a model among them has no history here
    bytes: int  # on disk, for the rest


class Session:
    """A home folder, its models and its pictures, and an engine that is started when it is first needed.

    Args:
        settings: where and on what; default: from the environment.
        home: folder of pictures and models, instead of the settings' one.
        device: instead of the settings' one, for example "cpu" or "cuda:1".
        batch_size: pictures denoised at once, instead of what memory allows.

    Raises:
        SettingsError: a setting that cannot be used.
        StoreError: the home folder cannot be written.
    """

    def __init__(
        self,
        settings: Settings | None = None,
        *,
        home: str | Path | None = None,
        device: str | None = None,
        batch_size: int | None = None,
    ) -> None:
        self.settings = _settings(settings, home=home, device=device, batch_size=batch_size)
        follow(self.settings.log_level, self.settings.log_format)
        self.catalog = ModelCatalog(self.settings.home, self.settings.models, device=self.settings.device)
        self.store = Store(self.settings.home, self.settings.database)
        self._engine: Engine | None = None
        self._lock = threading.Lock()

    @property
    def gallery(self) -> Gallery:
        """The store's pictures, found again: search, boards, stars, tags, notes, lineage, trash, export."""
        from workbench.store.gallery import Gallery

        return Gallery(self.store)

    @property
    def engine(self) -> Engine:
        """The engine; the first use imports torch."""
        with self._lock:
            if self._engine is None:
                from workbench.engine import Engine

                chosen = self.settings
                keep = None if chosen.keep_models is None else int(chosen.keep_models * 1e9)
                self._engine = Engine(
                    self.catalog, device=chosen.device, batch_size=chosen.batch_size, keep_models=keep
                )  # fmt: skip
            return self._engine

    def run(
        self,
        recipes: Sequence[Recipe],
        *,
        listen: Listener | None = None,
        cancel: CancelToken | None = None,
        previews: bool = False,
        again: bool = False,
    ) -> Iterator[Result]:
        """Yield one result per recipe: stored pictures first, the others as they are finished and saved.

        Every picture that is yielded is in the store. A recipe that cannot be resolved, drawn or saved is a result with
        an error, and the rest goes on. Stopping to read the iterator early stops the work within one step.

        Args:
            recipes: what to make; equal ones are made once.
            listen: told `Planned` (first with 0 batches, again when the engine has planned what is not stored), `Saving`
                (memory is short, and what is given up), `Step` and `Finished` events; called from other threads than the
                caller's, one at a time.
            cancel: stops the work within one step; what was finished is kept.
            previews: send a small picture with every step.
            again: make also what is stored already, and store it anew.

        Raises:
            Cancelled: at the end, when `cancel` was used.
        """
        recipes = list(recipes)
        told = _Tally(recipes, self.catalog, listen)
        yield from told.bad
        missing: list[int] = []
        for index, resolved in told.resolved.items():
            if cancel is not None and cancel.cancelled:
                raise Cancelled("The work was stopped.", "Run it again to make the rest.")
            result = None if again else self._recall(index, recipes[index], resolved)
            if result is None:
                missing.append(index)
            else:
                told.finished(result)
                yield result
        if missing:
            pipeline = Pipeline(self.engine, self.store, told.finished)
            todo = [recipes[index] for index in missing]
            for result in pipeline.run(todo, listen=told.engine_event, cancel=cancel, previews=previews):
                yield replace(result, index=missing[result.index])

    def generate(
        self,
        recipe: Recipe | None = None,
        /,
        *,
        listen: Listener | None = None,
        cancel: CancelToken | None = None,
        previews: bool = False,
        again: bool = False,
        **fields: Any,
    ) -> Result:
        """Make one picture, or read it from the store.

        Args:
            recipe: what to make; default: an empty recipe.
            listen: as in `run`.
            cancel: as in `run`.
            previews: as in `run`.
            again: as in `run`.
            fields: recipe fields that replace the recipe's.

        Raises:
            WorkbenchError: the recipe is wrong, or the picture could not be made or saved.
        """
        recipe = Recipe.parse(fields) if recipe is None else recipe.replace(**fields)
        (result,) = self.run([recipe], listen=listen, cancel=cancel, previews=previews, again=again)
        if result.error is not None:
            raise result.error
        return result

    def estimate(self, recipes: Sequence[Recipe]) -> Estimate:
        """What `run` would cost, judged by the store's latest pictures of the same models.

        Raises:
            WorkbenchError: a recipe that cannot be resolved.
        """
        unique = {each.digest: each for each in (resolve(recipe, self.catalog) for recipe in recipes)}
        stored = self.store.known(unique)
        rest = [resolved for digest, resolved in unique.items() if digest not in stored]
        speeds = {weights: self.store.seconds_per_unit(weights) for weights in {each.weights for each in rest}}
        sizes = {weights: self.store.bytes_per_pixel(weights) or BYTES_PER_PIXEL for weights in speeds}
        seconds: float | None = 0.0
        size = 0.0
        for each in rest:
            speed = speeds[each.weights]
            seconds = None if seconds is None or speed is None else seconds + speed * work_units(each.recipe)
            size += sizes[each.weights] * (each.recipe.width or 0) * (each.recipe.height or 0)
        return Estimate(len(recipes), len(unique), len(stored), seconds, round(size))

    def verify(self, path: str | Path) -> Verification:
        """Make a picture again from what its file says, and compare; see `workbench.verify.verify`."""
        from workbench.verify import verify

        return verify(Path(path), self)

    def _recall(self, index: int, recipe: Recipe, resolved: ResolvedRecipe) -> Result | None:
        stored = self.store.get(resolved.digest)
        if stored is None:
            return None
        try:
            picture = stored.open()
        except StoreError as error:  # gone or damaged since: it is made again and replaced
            get_logger("session").warning("stored picture is damaged, making it again", reason=error.message)
            return None
        return Result(
            index,
            recipe,
            resolved,
            picture=picture,
            seconds=stored.seconds,
            peak_bytes=stored.peak_bytes,
            environment=stored.environment,
            fallbacks=stored.fallbacks,
            warnings=stored.warnings,
            reused=True,
        )


class _Tally:
    """Resolves the recipes and counts distinct pictures, so that stored and made ones share one progress bar."""

    def __init__(self, recipes: Sequence[Recipe], catalog: ModelCatalog, listen: Listener | None) -> None:
        self.resolved: dict[int, ResolvedRecipe] = {}
        self.bad: list[Result] = []
        for index, recipe in enumerate(recipes):
            try:
                self.resolved[index] = resolve(recipe, catalog)
            except WorkbenchError as error:
                self.bad.append(Result(index, recipe, None, error=error))
                get_logger("session").info("picture failed", index=index, error=error)
        self._listen = listen
        self._lock = threading.Lock()
        self._done: set[str] = set()
        self._recipes = len(recipes)
        self._unique = len({each.digest for each in self.resolved.values()}) + len(self.bad)
        self._tell(Planned(self._recipes, self._unique, 0))
        for result in self.bad:
            self.finished(result)

    def finished(self, result: Result) -> None:
        """Count a result; results with a digest that was counted before change nothing."""
        with self._lock:
            name = result.digest or f"bad {result.index}"
            if name in self._done:
                return
            self._done.add(name)
            done = len(self._done)
        self._tell(Finished(result.digest, done, self._unique, result.error))

    def engine_event(self, event: Any) -> None:
        """Pass on what the engine says, in this run's numbers; a picture is finished when it is saved, not before."""
        if isinstance(event, Planned):
            self._tell(Planned(self._recipes, self._unique, event.batches))
        elif not isinstance(event, Finished):
            self._tell(event)

    def _tell(self, event: Any) -> None:
        if self._listen is not None:
            self._listen(event)


def _settings(base: Settings | None, **changes: Any) -> Settings:
    given = {name: value for name, value in changes.items() if value is not None}
    if base is None:
        return settings(**given)
    return settings(**(base.model_dump() | given))
