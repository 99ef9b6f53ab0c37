"""From claimed jobs to outcomes: pictures in the engine's batches, everything else one by one."""

from __future__ import annotations

import json
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

from workbench.engine.events import CancelToken, Event, Saving, Step
from workbench.errors import Cancelled, WorkbenchError
from workbench.queue.claims import Claim
from workbench.queue.errors import JobError
from workbench.queue.kinds import Context, find
from workbench.recipe import Recipe, resolve

if TYPE_CHECKING:
    from PIL.Image import Image

    from workbench.session import Session


@dataclass(frozen=True, slots=True)
class Outcome:
    """What became of one job: an error, or done."""

    claim: Claim
    error: WorkbenchError | None = None
    digest: str = ""  # of the picture, where there is one
    seconds: float = 0.0
    stored: bool = False  # the store had it already


class ClaimToken(CancelToken):
    """Cancels what was claimed together, or single jobs of it: a picture is dropped when no job wants it any more."""

    def __init__(self) -> None:
        super().__init__()
        self._jobs: dict[str, set[int]] = {}  # digest of a picture -> jobs that want it
        self.gone: set[int] = set()  # jobs that were canceled or given to somebody else

    def wants(self, job: int, digest: str) -> None:
        """`job` is about the picture of `digest`."""
        self._jobs.setdefault(digest, set()).add(job)

    def dropped(self, digest: str) -> bool:
        """Whether no job of the claim wants the picture any more."""
        return digest in self._jobs and self._jobs[digest] <= self.gone


class OnStep(Protocol):
    """Told after every step of a job."""

    def __call__(self, claim: Claim, done: int, total: int, preview: Image | None = None) -> None:
        """`done` of `total` steps."""
        ...


def run_pictures(
    taken: Sequence[Claim],
    session: Session,
    token: ClaimToken,
    step: OnStep,
    saving: Callable[[str], None],
    *,
    previews: bool,
) -> Iterator[Outcome]:
    """Draw what the store does not hold; yield every job's outcome as soon as its picture is stored.

    A job that is gone by `token` leaves its batch within one step and has no outcome; the others go on.

    Raises:
        Cancelled: at the end, when `token` was used.
    """
    recipes: list[Recipe] = []
    drawn: list[Claim] = []
    by_digest: dict[str, list[Claim]] = {}
    for each in taken:
        try:
            recipe = _recipe(each)
            digest = resolve(recipe, session.catalog).digest
        except WorkbenchError as error:
            yield Outcome(each, error)
            continue
        recipes.append(recipe)
        drawn.append(each)
        by_digest.setdefault(digest, []).append(each)
        token.wants(each.job, digest)

    def listen(event: Event) -> None:
        if isinstance(event, Step):
            for claim in by_digest.get(event.digest, ()):
                step(claim, event.step, event.steps, event.preview)
        elif isinstance(event, Saving):
            saving(str(event))

    for result in session.run(recipes, listen=listen, cancel=token, previews=previews):
        claim = drawn[result.index]
        spent = 0.0 if result.reused else sum(result.seconds.values())
        if claim.job not in token.gone:
            yield Outcome(claim, result.error, result.digest, spent, stored=result.reused)


def run_one(claim: Claim, session: Session, token: CancelToken, step: OnStep) -> Outcome:
    """Run one job of a registered kind.

    Raises:
        Cancelled: `token` was used.
    """
    started = time.monotonic()
    try:
        kind = find(claim.kind)
        payload = _mapping(claim)
        kind.check(payload)
        kind.run(payload, Context(claim.job, session, token, claim.attempts, lambda done, of: step(claim, done, of)))
    except Cancelled:
        raise
    except WorkbenchError as error:
        return Outcome(claim, error, seconds=time.monotonic() - started)
    return Outcome(claim, seconds=time.monotonic() - started)


def _recipe(claim: Claim) -> Recipe:
    try:
        return Recipe.parse(_mapping(claim))
    except TypeError as error:
        raise JobError(f"The recipe of job {claim.job} cannot be read: {error}.", "Submit it again.") from None


def _mapping(claim: Claim) -> dict[str, Any]:
    try:
        values = json.loads(claim.payload)
    except (ValueError, RecursionError) as error:
        raise JobError(f"Job {claim.job} is damaged and cannot be read: {error}.", "Submit it again.") from None
    if not isinstance(values, dict):
        raise JobError(f"Job {claim.job} is damaged: it is no mapping.", "Submit it again.")
    return values
