"""Contests from what is at hand: an evaluation run, a grid, or folders of pictures.

Pictures of equal prompt and seed meet; what a contender lacks is counted in the contest, never dropped silently.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image

from evals.arena.contest import ArenaError, Contest, Entry, make_contest
from workbench.errors import nearest
from workbench.store.png import read_picture

if TYPE_CHECKING:
    from evals.running.types import Cell, EvalRun
    from workbench.grid.result import GridResult

SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}


def from_run(run: EvalRun, folder: str | Path, **options: Any) -> Contest:
    """A contest of an evaluation run's contenders; the references of an edit are shown beside the pictures.

    Args:
        run: of `run_suite`, with at least two contenders. Pictures that could not be made are missing in the contest.
        folder: of the contest, made when absent.
        options: `title`, `question`, `seed`, `limit`, `repeats`, as in `make_contest`.

    Raises:
        ArenaError: as `make_contest`.
    """
    from evals.running.references import open_references

    prompts = {each.id: each for each in run.suite.prompts}

    def entries() -> Iterator[Entry]:
        for cell in run.cells:
            prompt = prompts[cell.prompt_id]
            if not cell.error:
                yield Entry(
                    cell.contender, prompt.id, prompt.prompt, cell.seed if run.paired else cell.index,
                    partial(_picture, run, cell),
                    partial(open_references, run.suite, prompt) if prompt.references else None,
                )  # fmt: skip

    return make_contest(folder, entries(), **({"title": run.suite.name} | options))


def from_grid(result: GridResult, axis: str, folder: str | Path, **options: Any) -> Contest:
    """A contest between the values of one axis of a grid; the other axes and the seeds are the items.

    Args:
        result: of `Grid.run`.
        axis: title of the axis whose values compete; it must leave the prompt as it is.
        folder: of the contest, made when absent.
        options: `title`, `question`, `seed`, `limit`, `repeats`, as in `make_contest`.

    Raises:
        ArenaError: there is no such axis, the axis changes the prompt, or as `make_contest`.
    """
    titles = [dimension.title for dimension in result.plan.dimensions]
    if axis not in titles:
        raise ArenaError(f"The grid has no axis {axis!r}.", nearest(axis, titles))
    place = titles.index(axis)
    labels = result.plan.dimensions[place].labels

    def entries() -> Iterator[Entry]:
        for (cell, seed), shot in sorted(result.shots.items()):
            at = result.plan.cells[cell].at
            others = [
                f"{dimension.title} {dimension.labels[at[number]]}"
                for number, dimension in enumerate(result.plan.dimensions)
                if number != place
            ]
            if shot.status == "done":
                yield Entry(
                    labels[at[place]], ", ".join(others) or "all", shot.recipe.prompt, seed,
                    partial(result.picture, shot),
                )  # fmt: skip

    return make_contest(folder, entries(), **({"title": f"{result.plan.title}: {axis}".lstrip(": ")} | options))


def from_folders(contenders: Mapping[str, str | Path], folder: str | Path, **options: Any) -> Contest:
    """A contest between folders of pictures from any tool; files of the same name (without suffix) meet.

    The prompt is the one kept in a workbench picture, or the content of a text file beside it, or the file's name.

    Args:
        contenders: name and folder of each.
        folder: of the contest, made when absent.
        options: `title`, `question`, `seed`, `limit`, `repeats`, as in `make_contest`.

    Raises:
        ArenaError: a folder is missing or holds no picture, two files differ by suffix only, or as `make_contest`.
        StoreError: a picture cannot be read.
    """

    def entries() -> Iterator[Entry]:
        prompts: dict[str, str] = {}
        for name, where in contenders.items():
            if not Path(where).is_dir():
                raise ArenaError(f"There is no folder {str(where)!r} for {name!r}.")
            files = [path for path in sorted(Path(where).iterdir()) if path.suffix.lower() in SUFFIXES]
            if not files:
                raise ArenaError(f"The folder {str(where)!r} of {name!r} holds no picture.")
            for path in files:
                if path.stem not in prompts:
                    prompts[path.stem] = _prompt(path)
                yield Entry(name, path.stem, prompts[path.stem], 0, partial(_read, path))

    return make_contest(folder, entries(), **options)


def _picture(run: EvalRun, cell: Cell) -> Image.Image:
    picture = run.picture(cell)
    if picture is None:
        raise ArenaError(
            f"The picture of {cell.contender!r} for {cell.prompt_id!r} is gone from the store.", "Run the suite again."
        )
    return picture


def _read(path: Path) -> Image.Image:
    return read_picture(path)[0]


def _prompt(path: Path) -> str:
    """What a picture should show, as far as anything says so."""
    text = path.with_suffix(".txt")
    if text.is_file():
        return text.read_bytes()[:10_000].decode("utf-8", "replace").strip()
    recipe = read_picture(path)[1].get("recipe")
    prompt = recipe.get("prompt") if isinstance(recipe, dict) else None
    return prompt if isinstance(prompt, str) and prompt else path.stem
