"""One self-contained HTML page of a grid: any two axes as columns and rows, the others as groups, tabs or inside cells.

The page is a template with its style and script from `assets/`, all inlined, and the data as JSON that no text in it can
leave. Nothing is fetched. Equal pictures are inlined once.
"""

from __future__ import annotations

import base64
import io
import json
from typing import TYPE_CHECKING, Any

from workbench.grid.caption import fixed_pairs
from workbench.grid.run import counted

if TYPE_CHECKING:
    from PIL.Image import Image

    from workbench.grid.result import GridResult, Shot

EXACT_PIXELS = 80_000_000
"""Up to this many pixels in all, pictures are inlined exactly, as PNG; beyond, as WebP of quality 90, and the page says so."""


def render(result: GridResult) -> str:
    """The page of a grid as HTML text.

    Args:
        result: of a run; failed, skipped and pending pictures are shown as such.
    """
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("workbench.grid", "assets"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    loader = environment.loader
    assert loader is not None  # given above
    data = page_data(result)
    return environment.get_template("page.html.j2").render(
        title=result.plan.title or "Grid",
        style=Markup(loader.get_source(environment, "page.css")[0]),  # noqa: S704 - our own file
        script=Markup(loader.get_source(environment, "page.js")[0]),  # noqa: S704 - our own file
        data=Markup(_inert_json(data)),  # noqa: S704 - no character of markup is left in it
        fixed=data["fixed"],
        counts=_counts(result),
        exact=data["exact"],
        grid_yaml=result.grid.to_yaml(),
    )


def page_data(result: GridResult) -> dict[str, Any]:
    """What the script draws: axes, cells with their shots, and each distinct picture once.

    `axes` are the grid's, then "Seed" where cells hold several; `cells[i]` belongs to the i-th combination of the grid's
    axes, the last one running fastest, and is None for a hole; a shot's `picture` is a place in `pictures`.
    """
    plan = result.plan
    pictures: list[dict[str, Any]] = []
    places: dict[str, int] = {}
    exact = _total_pixels(result) <= EXACT_PIXELS
    cells: list[list[dict[str, Any]] | None] = []
    for cell in plan.cells:
        shots = []
        for shot in result.cell_shots(cell):
            if shot.status == "done" and shot.digest not in places:
                picture = result.picture(shot).convert("RGB")
                places[shot.digest] = len(pictures)
                pictures.append({"uri": _uri(picture, exact=exact), "width": picture.width, "height": picture.height})
            shots.append(_entry(shot, places.get(shot.digest)))
        cells.append(shots or None)
    axes = [{"title": dimension.title, "labels": list(dimension.labels)} for dimension in plan.dimensions]
    return {
        "title": plan.title,
        "axes": axes,
        "seeds": [str(seed) for seed in plan.seeds] if len(plan.seeds) > 1 else [],
        "cells": cells,
        "pictures": pictures,
        "fixed": fixed_pairs(plan),
        "exact": exact,
    }


def _entry(shot: Shot, picture: int | None) -> dict[str, Any]:
    entry: dict[str, Any] = {"status": shot.status, "seed": shot.recipe.seed, "recipe": shot.recipe.to_yaml()}
    if shot.status == "failed":
        return entry | {"error": str(shot.error)}
    if shot.status == "pending":
        return entry
    seconds = {stage: round(value, 3) for stage, value in shot.seconds.items()}
    facts = {"Digest": shot.digest, "Source": "from the store" if shot.reused else "computed in this run"}
    if seconds:
        stages = ", ".join(f"{stage} {value:g}" for stage, value in seconds.items())
        facts["Seconds"] = f"{sum(seconds.values()):.2f} ({stages})"
    facts |= {name.replace("_", " ").capitalize(): str(value) for name, value in shot.environment.items()}
    return entry | {"picture": picture, "facts": facts, "warnings": list(shot.warnings)}


def _counts(result: GridResult) -> str:
    parts = [counted(len(result.plan.cells), "cell"), counted(result.plan.pictures, "picture")]
    holes = sum(cell.skipped for cell in result.plan.cells)
    parts += [f"{count:,} {what}" for count, what in ((holes, "skipped"), (result.failed, "failed")) if count]
    return " · ".join([*parts, *([f"{result.pending:,} not run"] if result.pending else [])])


def _total_pixels(result: GridResult) -> int:
    sizes = {r.digest: (r.recipe.width or 0) * (r.recipe.height or 0) for c in result.plan.cells for r in c.resolved}
    return sum(sizes.values())


def _uri(picture: Image, *, exact: bool) -> str:
    buffer = io.BytesIO()
    if exact:
        picture.save(buffer, "PNG")
    else:
        picture.save(buffer, "WEBP", quality=90)
    kind = "png" if exact else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(buffer.getvalue()).decode()}"


def _inert_json(value: Any) -> str:
    """JSON in which no character can end or open markup, so that a prompt stays text."""
    text = json.dumps(value, ensure_ascii=False, separators=(",", ":"), allow_nan=False)
    return text.translate({ord(letter): f"\\u{ord(letter):04x}" for letter in "<>&\u2028\u2029"})
