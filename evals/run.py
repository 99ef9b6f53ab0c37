"""Make a suite's pictures in a session and judge them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from PIL import Image

from evals.running.plan import seed_of
from evals.scenes.judge import judge
from evals.scenes.read import Reader
from evals.scenes.verdict import VERSION, Verdict
from evals.suite import Prompt, Suite
from workbench.errors import WorkbenchError
from workbench.recipe import Recipe

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken, Listener, Result
    from workbench.session import Session


@dataclass(frozen=True, slots=True)
class Judged:
    """One prompt of a suite with its picture and verdict; both are None where the picture could not be made."""

    prompt: Prompt
    seed: int
    picture: Image.Image | None
    verdict: Verdict | None
    digest: str = ""  # of the resolved recipe; empty for pictures from elsewhere
    error: str = ""


@dataclass(frozen=True, slots=True)
class Evaluation:
    """All verdicts of one run over a suite, in the suite's order, with all that decides them."""

    suite: Suite
    rows: tuple[Judged, ...]
    model: str
    weights: str = ""  # SHA-256 over the model's files
    settings: dict[str, Any] = field(default_factory=dict)  # the recipe's fields but prompt and seed
    seed: int = 0
    reader: str = ""  # name and version of the OCR engine; empty when words were not read
    environment: dict[str, str] = field(default_factory=dict)
    judge: str = VERSION


def recipes_for(suite: Suite, *, seed: int = 0, **fields: Any) -> list[Recipe]:
    """One recipe for each prompt. A prompt's seed follows from its id, so a shorter run repeats the longer one's pictures.

    Args:
        suite: the prompts.
        seed: added to every prompt's own seed; another one gives other pictures of the same prompts.
        fields: further recipe fields, for example `model`, `steps`, `guidance_scale`.

    Raises:
        RecipeError: a field that is unknown or out of range.
    """
    return [Recipe.parse({"prompt": each.prompt, "seed": seed_of(each, base=seed)} | fields) for each in suite.prompts]


def evaluate(
    session: Session,
    suite: Suite,
    *,
    seed: int = 0,
    reader: Reader | None = None,
    listen: Listener | None = None,
    cancel: CancelToken | None = None,
    **fields: Any,
) -> Evaluation:
    """Make every picture of a suite (or read it from the store) and judge it.

    Args:
        session: makes the pictures.
        suite: the prompts.
        seed: added to every prompt's own seed.
        reader: reads words; without one they are not judged.
        listen: told the session's events.
        cancel: stops the work within one step.
        fields: recipe fields for all pictures, for example `model`, `steps`, `guidance_scale`.

    Raises:
        WorkbenchError: a wrong field or an unknown model; a single failed picture is a row with an error instead.
        Cancelled: `cancel` was used.
    """
    recipes = recipes_for(suite, seed=seed, **fields)
    session.catalog.model(recipes[0].model)  # an unknown model is one error, not one for every picture
    rows: dict[int, Judged] = {}
    results: list[Result] = []
    for result in session.run(recipes, listen=listen, cancel=cancel):
        results.append(result)
        each, recipe = suite.prompts[result.index], recipes[result.index]
        if result.picture is None:
            rows[result.index] = Judged(each, recipe.seed, None, None, result.digest, str(result.error))
        else:
            verdict = judge(result.picture, each.prompt, reader=reader)
            rows[result.index] = Judged(each, recipe.seed, result.picture, verdict, result.digest)
    made = [result for result in results if result.resolved and result.picture]
    if not made:
        raise results[0].error or WorkbenchError("No picture was made.")
    first = made[0]
    assert first.resolved is not None  # `made` holds only such
    settings = first.resolved.recipe.model_dump(mode="json", exclude={"model", "prompt", "seed", "task"})
    return Evaluation(
        suite,
        tuple(rows[index] for index in sorted(rows)),
        model=first.resolved.recipe.model,
        weights=first.resolved.weights,
        settings=settings,
        seed=seed,
        reader=reader_name(reader),
        environment=first.environment,
    )


def evaluate_pictures(
    draw: Callable[[list[str], list[int]], list[Image.Image]],
    suite: Suite,
    *,
    name: str,
    seed: int = 0,
    reader: Reader | None = None,
    settings: dict[str, Any] | None = None,
) -> Evaluation:
    """Judge the pictures of any sampler, for example of a model that is still being trained.

    Args:
        draw: makes one RGB picture for each of the prompts with these seeds.
        suite: the prompts.
        name: what the report calls the model.
        seed: added to every prompt's own seed.
        reader: reads words; without one they are not judged.
        settings: what else the report should say, for example steps and guidance.
    """
    seeds = [seed_of(each, base=seed) for each in suite.prompts]
    pictures = draw([each.prompt for each in suite.prompts], seeds)
    rows = tuple(
        Judged(each, number, picture, judge(picture, each.prompt, reader=reader))
        for each, number, picture in zip(suite.prompts, seeds, pictures, strict=True)
    )
    return Evaluation(suite, rows, model=name, settings=settings or {}, seed=seed, reader=reader_name(reader))


def reader_name(reader: Reader | None) -> str:
    """Name and version of an OCR engine for a report; empty for none."""
    return f"{reader.name} {reader.version}" if reader else ""
