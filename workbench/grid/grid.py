"""`Grid`: axes over a base recipe, as Python, as YAML, and inside the PNG that it made."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import yaml
from pydantic import BaseModel, ConfigDict, Field

from workbench.errors import GridError, nearest
from workbench.grid.axis import Axis, parse_axis
from workbench.grid.expand import MAX_PICTURES, expand, resolve_plan
from workbench.grid.plan import Plan
from workbench.recipe import Catalog, Recipe, dump_yaml

if TYPE_CHECKING:
    from workbench.engine.events import CancelToken, Listener
    from workbench.grid.result import GridResult, OnShot
    from workbench.grid.run import Summary
    from workbench.session import Session

FORMAT = 1
PNG_KEY = "workbench-grid"
"""Text chunk of a grid PNG that holds the grid's YAML."""


class GridFile(BaseModel):
    """The YAML form of a grid; its JSON schema is what editors complete from."""

    model_config = ConfigDict(frozen=True, extra="forbid", title="Grid")

    grid: Literal[1] = Field(default=1, description="Format version.")
    title: str = Field(default="", description="Stands over the figure and the page.")
    base: Recipe = Field(default_factory=Recipe, description="What all cells share.")
    axes: tuple[Axis, ...] = Field(description="One or more; the first is drawn as columns, the second as rows.")
    seeds: int | tuple[Annotated[int, Field(ge=0, lt=2**63)], ...] | None = Field(
        default=None,
        description="Seeds of every cell, or how many, counted up from the base's seed; empty: the base's.",
    )
    skip: tuple[dict[str, Any], ...] = Field(
        default=(), description="Combinations to leave out: axis titles with a value or a list of values."
    )
    max_pictures: int = Field(default=MAX_PICTURES, ge=1, description="A larger grid is refused.")


class Grid:
    """Any number of axes over one base recipe.

    Args:
        base: a recipe, or its fields as a mapping.
        axes: axes, or mappings such as `{"field": "steps", "values": "4-28 [4]"}`.
        seeds: seeds of every cell, or how many, counted up from the base's seed; None takes the base's.
        title: stands over the figure and the page.
        skip: combinations to leave out, each a mapping from axis titles to a value or a list of values.
        max_pictures: a larger grid is refused.

    Raises:
        GridError: an axis, a seed or a skip is wrong, or the grid is too large. Nothing is built before this is known.
        RecipeError: the base is wrong.

    Example:
        >>> Grid({"prompt": "a red circle"}, [{"replace": "red", "values": "red, blue"}], seeds=2).pictures
        4
    """

    def __init__(
        self,
        base: Recipe | Mapping[str, Any],
        axes: Sequence[Axis | Mapping[str, Any]],
        *,
        seeds: Sequence[int] | int | None = None,
        title: str = "",
        skip: Sequence[Mapping[str, Any]] = (),
        max_pictures: int = MAX_PICTURES,
    ) -> None:
        self.base = base if isinstance(base, Recipe) else Recipe.parse(dict(base))
        self.axes = tuple(parse_axis(axis, number) for number, axis in enumerate(axes, start=1))
        self.seeds = _seeds(seeds, self.base, max_pictures)
        self.title = title
        self.skip = tuple(skip)
        self.max_pictures = max_pictures
        self._plan = expand(
            self.base, self.axes, seeds=self.seeds, skip=self.skip, title=title, max_pictures=max_pictures
        )

    @classmethod
    def from_yaml(cls, text: str) -> Grid:
        """Read a grid from YAML (or JSON, which is YAML).

        Raises:
            GridError: the text is no grid, of a later format, or as the constructor.
        """
        try:
            values = yaml.safe_load(text)
        except (yaml.YAMLError, RecursionError) as error:
            raise GridError(f"The grid is not valid YAML: {' '.join(str(error).split())}.") from None
        if not isinstance(values, dict):
            raise GridError("A grid is a mapping.", "Begin with 'grid: 1', 'base:' and 'axes:'.")
        for key in values:
            if key not in GridFile.model_fields:
                raise GridError(f"A grid has no key {key!r}.", nearest(str(key), GridFile.model_fields))
        if (version := values.pop("grid", None)) != FORMAT:
            raise GridError(f"The grid has format {version!r}.", f"This version reads 'grid: {FORMAT}'.")
        base, axes = values.pop("base", {}) or {}, values.pop("axes", None) or ()
        for key, written, kind in (("base", base, dict), ("axes", axes, (list, tuple))):
            if not isinstance(written, kind):
                raise GridError(f"The grid's {key} cannot be {written!r}.", str(GridFile.model_fields[key].description))
        return cls(base, axes, **_checked(values))

    @classmethod
    def from_file(cls, path: str | Path) -> Grid:
        """Read a grid from a YAML file, or from a PNG that a grid made.

        Raises:
            GridError: the file is missing or holds no grid.
        """
        path = Path(path)
        if path.suffix.lower() == ".png":
            return cls.from_png(path)
        try:
            return cls.from_yaml(path.read_text(encoding="utf-8"))
        except (OSError, UnicodeDecodeError) as error:
            raise GridError(f"The grid file {path} cannot be read: {_reason(error)}.", "Check the path.") from None

    @classmethod
    def from_png(cls, path: str | Path) -> Grid:
        """Read the grid that a grid PNG carries, so that it can be run again.

        Raises:
            GridError: the file is missing, no PNG, or holds no grid.
        """
        from PIL import Image

        try:
            with Image.open(path, formats=["PNG"]) as picture:
                picture.load()
                text = getattr(picture, "text", {}).get(PNG_KEY)
        except (OSError, SyntaxError, ValueError) as error:
            raise GridError(f"The picture {path} cannot be read: {_reason(error)}.", "Give a grid.png.") from None
        if text is None:
            raise GridError(f"The picture {path} carries no grid.", "Give a grid.png that a grid wrote.")
        return cls.from_yaml(text)

    def to_yaml(self) -> str:
        """The grid as YAML, without keys that are at their default; `from_yaml` gives an equal grid."""
        values: dict[str, Any] = {"grid": FORMAT}
        if self.title:
            values["title"] = self.title
        values["base"] = {"model": self.base.model} | self.base.model_dump(mode="json", exclude_defaults=True)
        values["axes"] = [axis.model_dump(mode="json", exclude_defaults=True) for axis in self.axes]
        if self.seeds is not None:
            values["seeds"] = list(self.seeds)
        if self.skip:
            values["skip"] = [dict(combination) for combination in self.skip]
        if self.max_pictures != MAX_PICTURES:
            values["max_pictures"] = self.max_pictures
        return dump_yaml(values, width=100)

    @staticmethod
    def json_schema() -> dict[str, Any]:
        """JSON schema of the YAML form."""
        return GridFile.model_json_schema()

    @property
    def pictures(self) -> int:
        """Pictures in all cells, skipped ones not counted."""
        return self._plan.pictures

    def expand(self, catalog: Catalog | None = None) -> Plan:
        """Every cell with its recipes; resolved where a catalog is given.

        Raises:
            GridError: a recipe that the model cannot draw, with the place of its cell.
        """
        return self._plan if catalog is None else resolve_plan(self._plan, catalog)

    def summary(self, session: Session) -> Summary:
        """What a run would do: cells, pictures, how many are stored, estimated seconds and bytes.

        Raises:
            GridError: as `expand`.
        """
        from workbench.grid.run import summarise

        return summarise(self.expand(session.catalog), session)

    def run(
        self,
        session: Session | None = None,
        *,
        listen: Listener | None = None,
        cancel: CancelToken | None = None,
        on_cell: OnShot | None = None,
        previews: bool = False,
    ) -> GridResult:
        """Validate everything, then compute what the store does not hold.

        A failed picture does not stop the rest. After a cancel the result holds what was done, and running again goes
        on from there, because finished pictures are found by digest.

        Args:
            session: where to run; None makes one from the settings.
            listen: receives the engine's events.
            cancel: stops within one denoising step.
            on_cell: called with every picture of a cell as it arrives.
            previews: whether events carry small previews.

        Raises:
            GridError: as `expand`, before the first picture.
        """
        from workbench.grid.run import run

        return run(self, session, listen=listen, cancel=cancel, on_cell=on_cell, previews=previews)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Grid) and self.to_yaml() == other.to_yaml()

    def __hash__(self) -> int:
        return hash(self.to_yaml())

    def __repr__(self) -> str:
        sizes = " × ".join(f"{dimension.title} ({len(dimension)})" for dimension in self._plan.dimensions)
        return f"<Grid {self.title!r}: {sizes}, {self._plan.seeds_per_cell} per cell>"


def _seeds(seeds: Sequence[int] | int | None, base: Recipe, limit: int) -> tuple[int, ...] | None:
    if seeds is None:
        return None
    if isinstance(seeds, bool) or (isinstance(seeds, int) and seeds < 1):
        raise GridError(f"The grid cannot have {seeds!r} seeds.", "Give a count of at least 1, or a list of seeds.")
    amount = seeds if isinstance(seeds, int) else len(seeds)
    if amount > limit:
        raise GridError(f"The grid has {amount:,} seeds, more than {limit:,} pictures.", "Take fewer seeds.")
    chosen: tuple[Any, ...] = tuple(range(base.seed, base.seed + seeds)) if isinstance(seeds, int) else tuple(seeds)
    for seed in chosen:
        if isinstance(seed, bool) or not isinstance(seed, int) or not 0 <= seed < 2**63:
            raise GridError(f"{seed!r} is not a seed.", "Seeds are whole numbers from 0 to 2^63 - 1.")
    if not chosen or len(set(chosen)) < len(chosen):
        raise GridError(f"The seeds {list(chosen)} are empty or hold one twice.", "Give each seed once.")
    return chosen


def _checked(values: dict[str, Any]) -> dict[str, Any]:
    """The simple keys of a file, type by type."""
    kinds: dict[str, tuple[type, ...]] = {
        "title": (str,),
        "seeds": (int, list, tuple),
        "skip": (list, tuple),
        "max_pictures": (int,),
    }
    given = {key: value for key, value in values.items() if value is not None}
    for key, value in given.items():
        if isinstance(value, bool) or not isinstance(value, kinds[key]):
            raise GridError(f"The grid's {key} cannot be {value!r}.", str(GridFile.model_fields[key].description))
    for combination in given.get("skip", ()):
        if not isinstance(combination, dict):
            raise GridError(f"The skip {combination!r} is not a mapping.", "Write 'AXIS TITLE: VALUE'.")
    return given


def _reason(error: Exception) -> str:
    reason = error.strerror if isinstance(error, OSError) and error.strerror else str(error)
    return " ".join(reason.split()).rstrip(".")
