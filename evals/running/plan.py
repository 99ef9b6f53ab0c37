"""Which pictures a run needs: one recipe for each contender, prompt and seed, and what they will cost."""

from __future__ import annotations

import hashlib
import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.running.references import open_references
from evals.running.types import Cell, Contender, RunError
from evals.scoring import picture_digest
from evals.suite import Prompt, Suite
from workbench.recipe import Recipe
from workbench.store.files import make_folder, write_atomically

if TYPE_CHECKING:
    from workbench.session import Estimate, Session

_OWN = ("prompt", "seed", "references")


@dataclass(frozen=True, slots=True)
class Planned:
    """One cell to be drawn; `recipe` is None for a contender that draws by a function."""

    place: int  # in the plan
    cell: Cell
    prompt: Prompt
    contender: Contender
    recipe: Recipe | None


def seed_of(prompt: Prompt, index: int = 0, *, base: int = 0, salt: str = "") -> int:
    """The seed of a prompt's picture. It follows from the id alone, so that limits and later additions change none.

    Args:
        prompt: a row of a suite.
        index: which of the prompt's pictures, from 0.
        base: another one gives other pictures of the same prompts.
        salt: the contender's name where contenders shall not share seeds.
    """
    number = int.from_bytes(hashlib.sha256((prompt.id + salt).encode()).digest()[:4], "big")
    return number + base + index


def plan_run(
    suite: Suite,
    contenders: Sequence[Contender],
    *,
    seeds: int,
    base_seed: int = 0,
    paired: bool = True,
    inputs: Path | None = None,
) -> list[Planned]:
    """Every cell of a run, by contender, then prompt, then seed.

    Args:
        suite: the prompts.
        contenders: who draws; names are unique.
        seeds: pictures of each prompt, 1 or more.
        base_seed: added to every seed.
        paired: give all contenders the same seeds.
        inputs: folder for the references of edits that are drawn, needed where a row has any.

    Raises:
        RunError: no contenders, a name twice, no seeds, or a contender that sets the prompt or the seed.
        RecipeError: a field that is unknown or out of range.
        SuiteError: a reference is missing.
    """
    if not contenders:
        raise RunError("There is nothing to compare.", "Name at least one model.")
    if seeds < 1:
        raise RunError(f"{seeds} seeds leave no picture.", "Use 1 or more.")
    names = [each.name for each in contenders]
    if twice := {name for name in names if names.count(name) > 1}:
        raise RunError(f"Two contenders are called {min(twice)!r}.", "Give each a name of its own: name=LABEL.")
    references = {each.id: _inputs(suite, each, inputs) for each in suite.prompts if each.references}
    cells: list[Planned] = []
    for contender in contenders:
        if own := [name for name in _OWN if name in contender.fields]:
            raise RunError(f"The contender {contender.name!r} sets {own[0]!r}, which belongs to the suite.")
        for prompt in suite.prompts:
            for index in range(seeds):
                seed = seed_of(prompt, index, base=base_seed, salt="" if paired else contender.name)
                given = references.get(prompt.id)
                recipe = None if contender.draw else _recipe(prompt, seed, contender, given)
                text = recipe.to_yaml() if recipe else ""
                cell = Cell(prompt.id, contender.name, index, seed, recipe=text)
                cells.append(Planned(len(cells), cell, prompt, contender, recipe))
    return cells


def _recipe(prompt: Prompt, seed: int, contender: Contender, references: list[str] | None) -> Recipe:
    fields: dict[str, Any] = {"prompt": prompt.prompt, "seed": seed}
    fields |= {name: value for name in ("width", "height") if (value := getattr(prompt, name))}
    fields |= {"references": references} if references else {}
    return Recipe.parse(fields | dict(contender.fields))


def _inputs(suite: Suite, prompt: Prompt, folder: Path | None) -> list[str]:
    """Paths of a row's references, kept by content."""
    if folder is None:
        raise RunError(f"The prompt {prompt.id!r} edits pictures, and there is no folder to keep them in.")
    make_folder(folder)
    paths = []
    for picture in open_references(suite, prompt):
        path = folder / f"{picture_digest(picture)}.png"
        if not path.is_file():
            buffer = io.BytesIO()
            picture.save(buffer, "PNG")
            write_atomically(path, buffer.getvalue())
        paths.append(str(path))
    return paths


def inputs_folder(session: Session) -> Path:
    """Where the references of edits are kept: by content, safe to delete."""
    return session.settings.home / "cache" / "references"


def estimate_run(
    session: Session,
    suite: Suite,
    contenders: Sequence[Contender],
    *,
    seeds: int = 4,
    base_seed: int = 0,
    paired: bool = True,
) -> Estimate:
    """What drawing a run would cost: pictures, how many of them are stored, seconds for the rest; scoring comes on top.

    Raises:
        WorkbenchError: as `plan_run`, or a recipe that cannot be resolved.
    """
    cells = plan_run(suite, contenders, seeds=seeds, base_seed=base_seed, paired=paired, inputs=inputs_folder(session))
    return session.estimate([each.recipe for each in cells if each.recipe])
