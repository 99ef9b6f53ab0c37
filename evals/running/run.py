"""Run a suite: make every picture that is not stored, then score them, prompt by prompt.

Pictures are read back from the store as they are scored, so a run of any size fits in memory. A run that was stopped
resumes by running again: finished pictures and scores are kept by content.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from itertools import groupby
from typing import TYPE_CHECKING

from PIL import Image

from evals.running.cache import ScoreCache
from evals.running.ceilings import measure_ceilings
from evals.running.plan import Planned, inputs_folder, plan_run
from evals.running.references import open_references
from evals.running.scores import Told, score_pictures
from evals.running.types import Cell, Contender, EvalRun, OpenPicture, RunError, ScorerFacts
from evals.scorers import make_scorers
from evals.scoring import Sample, Scorer, picture_digest
from evals.suite import Prompt, Suite
from workbench.errors import StoreError, WorkbenchError
from workbench.recipe import resolve

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken, Listener
    from workbench.session import Session

CHUNK = 64  # pictures in memory at once, rounded up to whole prompts


def run_suite(
    session: Session | None,
    suite: Suite,
    contenders: Sequence[Contender],
    *,
    seeds: int = 4,
    scorers: Sequence[str | Scorer],
    base_seed: int = 0,
    paired: bool = True,
    cache: ScoreCache | None = None,
    listen: Listener | None = None,
    told: Told | None = None,
    cancel: CancelToken | None = None,
) -> EvalRun:
    """Draw and score a suite.

    Args:
        session: makes the pictures; None where every contender draws by a function.
        suite: the prompts.
        contenders: who draws.
        seeds: pictures of each prompt.
        scorers: registered names, or scorers.
        base_seed: added to every seed; another one gives other pictures.
        paired: give all contenders the same seeds, which makes comparisons sharper.
        cache: of scores; default: the one in the session's home.
        listen: told the session's events while pictures are made.
        told: told how many scores are done, of how many.
        cancel: stops the work within one step; what was finished is kept.

    Raises:
        WorkbenchError: a wrong field, an unknown model or scorer; a single failed picture is a cell with an error.
        Cancelled: `cancel` was used.
    """
    made = make_scorers(scorers)
    if not made:
        raise RunError("There is nothing to measure with.", "Name at least one scorer; `evals scorers` lists them.")
    plan = plan_run(
        suite, contenders, seeds=seeds, base_seed=base_seed, paired=paired,
        inputs=inputs_folder(session) if session else None,
    )  # fmt: skip
    if session is None and any(each.recipe for each in plan):
        raise RunError("There is no session to draw with.", "Open one: workbench.Session().")
    if session is not None and cache is None:
        cache = ScoreCache(session.settings.home)
    drawn = _Drawn(session, plan)
    drawn.make(listen, cancel)
    cells: list[Cell] = []
    counter = _Counter(told, len(plan) * len(made))
    score = _Scoring(suite, made, cache, drawn, counter, cancel)
    for part in _parts(plan, seeds):
        cells += score.part(part)
    if session is not None:
        _tell_gallery(session, made, cells)
    home = session.settings.home if session else cache.path.parent if cache else None
    return EvalRun(
        suite=suite,
        contenders=tuple(contenders),
        cells=tuple(cells),
        scorers=tuple(ScorerFacts.of(each) for each in made),
        seeds=seeds,
        base_seed=base_seed,
        paired=paired,
        weights=drawn.weights,
        environment=drawn.environment,
        created=datetime.now(UTC).isoformat(timespec="seconds"),
        ceilings=measure_ceilings(made, drawn.side, home, cancel=cancel),
        open_picture=drawn.opener(),
    )


def _tell_gallery(session: Session, scorers: Sequence[Scorer], cells: Sequence[Cell]) -> None:
    """Give the scores to the pictures in the store, so that the gallery can search for them."""
    from workbench.store.scores import keep_scores

    for scorer in scorers:
        main = [metric.name for metric in scorer.metrics]  # the main one first
        scores = {
            cell.digest: {name: cell.scores[scorer.name].values.get(name) for name in main}
            for cell in cells
            if cell.digest and scorer.name in cell.scores and not cell.scores[scorer.name].error
        }
        keep_scores(session.store, scorer.name, scorer.version, scores)


def _parts(plan: list[Planned], seeds: int) -> Iterator[list[Planned]]:
    """The plan in pieces that hold all seeds of their prompts."""
    size = max(1, CHUNK // seeds) * seeds
    for start in range(0, len(plan), size):
        yield plan[start : start + size]


class _Counter:
    """One progress count over all parts."""

    def __init__(self, told: Told | None, total: int) -> None:
        self._told, self._total, self._before = told, total, 0

    def part(self, done: int, _total: int) -> None:
        if self._told:
            self._told(self._before + done, self._total)

    def finish(self, count: int) -> None:
        self._before += count
        self.part(0, 0)


class _Drawn:
    """The pictures of a plan: made by the session, read back from its store, or drawn by a function."""

    def __init__(self, session: Session | None, plan: list[Planned]) -> None:
        self._session, self._plan = session, plan
        self._errors: dict[int, str] = {}
        self._digests: dict[int, str] = {}
        self.weights: dict[str, str] = {}
        self.environment: dict[str, str] = {}
        self.side = 0  # longest side of a picture so far, pixels

    def make(self, listen: Listener | None, cancel: CancelToken | None) -> None:
        """Make what the store does not hold."""
        if self._session is None:
            return
        models = {str(each.recipe.model) for each in self._plan if each.recipe}
        for model in sorted(models):
            self._session.catalog.model(model)  # an unknown model is one error, not one for every picture
        for each in self._plan:
            if each.recipe is None:
                continue
            try:
                resolved = resolve(each.recipe, self._session.catalog)
            except WorkbenchError as error:
                self._errors[each.place] = str(error)
                continue
            self._digests[each.place] = resolved.digest
            self.weights[each.contender.name] = resolved.weights
        known = self._session.store.known(self._digests.values())
        todo = [place for place, digest in self._digests.items() if digest not in known]
        recipes = [recipe for place in todo if (recipe := self._plan[place].recipe)]
        if recipes:
            for result in self._session.run(recipes, listen=listen, cancel=cancel):
                if result.error is not None:
                    self._errors[todo[result.index]] = str(result.error)

    def cell(self, planned: Planned) -> tuple[Cell, Image.Image | None]:
        """The cell with what is known of its picture, and the picture."""
        place = planned.place
        cell = replace(planned.cell, digest=self._digests.get(place, ""))
        if place in self._errors:
            return replace(cell, error=self._errors[place]), None
        if planned.contender.draw is not None:
            return self._draw(planned, cell)
        try:
            picture, seconds, peak = self._read(planned, cell)
        except WorkbenchError as error:
            return replace(cell, error=str(error)), None
        self.side = max(self.side, *picture.size)
        gigabytes = peak / 1e9 if peak else None
        return replace(cell, picture_digest=picture_digest(picture), seconds=seconds, gigabytes=gigabytes), picture

    def _read(self, planned: Planned, cell: Cell) -> tuple[Image.Image, float, int]:
        assert self._session is not None  # by construction: a recipe needs a session
        stored = self._session.store.get(cell.digest)
        if stored is not None:
            try:
                picture = stored.open()
            except StoreError:  # damaged since: the session makes it again
                pass
            else:
                self.environment = self.environment or dict(stored.environment)
                return picture, sum(stored.seconds.values()), stored.peak_bytes
        result = self._session.generate(planned.recipe)
        assert result.picture is not None  # `generate` raises otherwise
        return result.picture, sum(result.seconds.values()), result.peak_bytes

    def _draw(self, planned: Planned, cell: Cell) -> tuple[Cell, Image.Image | None]:
        assert planned.contender.draw is not None  # asked by the caller
        try:
            picture = planned.contender.draw(planned.prompt, cell.seed).convert("RGB")
        except Exception as error:  # noqa: BLE001  # a function of the caller may fail in any way; the run goes on
            reason = error.message if isinstance(error, WorkbenchError) else f"{type(error).__name__}: {error}"
            return replace(cell, error=reason), None
        self.side = max(self.side, *picture.size)
        return replace(cell, picture_digest=picture_digest(picture)), picture

    def opener(self) -> OpenPicture:
        """Opens a cell's picture again, for reports."""
        places = {(each.cell.contender, each.cell.prompt_id, each.cell.index): each for each in self._plan}

        def open_picture(cell: Cell) -> Image.Image | None:
            return self.cell(places[cell.contender, cell.prompt_id, cell.index])[1]

        return open_picture


@dataclass(frozen=True, slots=True)
class _Scoring:
    """All that is needed to score one part of a plan after the other."""

    suite: Suite
    scorers: list[Scorer]
    cache: ScoreCache | None
    drawn: _Drawn
    counter: _Counter
    cancel: CancelToken | None

    def part(self, part: list[Planned]) -> list[Cell]:
        """The cells of one part, which holds all seeds of its prompts, with their scores."""
        cells: list[Cell] = []
        samples: dict[int, Sample] = {}
        for _, same in groupby(part, key=lambda each: (each.cell.contender, each.prompt.id)):
            group = [self.drawn.cell(each) for each in same]
            prompt = part[len(cells)].prompt
            for place, (cell, picture) in enumerate(group):
                if picture is not None:
                    peers = tuple(other for at, (_, other) in enumerate(group) if at != place and other is not None)
                    samples[len(cells) + place] = self._sample(prompt, cell, picture, peers)
            cells += [cell for cell, _ in group]
        scores = score_pictures(
            list(samples.values()), self.scorers, self.cache, told=self.counter.part, cancel=self.cancel
        )
        for place, score in zip(samples, scores, strict=True):
            cells[place] = replace(cells[place], scores=score)
        self.counter.finish(len(part) * len(self.scorers))
        return cells

    def _sample(self, prompt: Prompt, cell: Cell, picture: Image.Image, peers: tuple[Image.Image, ...]) -> Sample:
        references = open_references(self.suite, prompt) if prompt.references else ()
        cost = {"seconds": cell.seconds, "gigabytes": cell.gigabytes}
        known = {name: value for name, value in cost.items() if value is not None}
        return Sample(picture, prompt.prompt, cell.picture_digest, prompt.ask, references, peers, known)
