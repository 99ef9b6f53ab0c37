"""Which pictures a report shows: the best, the worst, and those that contenders or seeds disagree about most."""

from __future__ import annotations

import base64
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from evals.reports.findings import Findings, Measure
from evals.running.files import encode
from evals.running.types import Cell
from evals.suite import Prompt

T = TypeVar("T")
SIDE = 256  # pixels of a picture in a report
BEST, WORST, DISPUTED = 6, 12, 8


@dataclass(frozen=True, slots=True)
class Tile:
    """One picture as a report shows it."""

    cell: Cell
    prompt: Prompt
    value: float | None
    uri: str  # data URI; empty where there is no picture
    seen: str  # YAML of what the scorer saw


@dataclass(frozen=True, slots=True)
class Row:
    """Pictures of one prompt and seed by every contender."""

    prompt: Prompt
    tiles: tuple[Tile, ...]
    spread: float  # largest minus smallest value


@dataclass(frozen=True, slots=True)
class Gallery:
    """The pictures of one measure."""

    measure: Measure
    best: tuple[Tile, ...]
    worst: tuple[Tile, ...]
    disputed: tuple[Row, ...]


class Pictures:
    """Data URIs of a run's pictures, each encoded once."""

    def __init__(self, findings: Findings) -> None:
        self._run = findings.run
        self._prompts = {each.id: each for each in findings.run.suite.prompts}
        self._uris: dict[tuple[str, str, int], str] = {}

    def tile(self, cell: Cell, measure: Measure) -> Tile:
        """A cell with its picture, value and what was seen."""
        from workbench.recipe import dump_yaml

        key = (cell.contender, cell.prompt_id, cell.index)
        if key not in self._uris:
            picture = self._run.picture(cell)
            self._uris[key] = "" if picture is None else _uri(encode(picture, SIDE))
        score = cell.scores.get(measure.scorer.name)
        seen = dump_yaml(dict(score.seen)).strip() if score and score.seen else ""
        return Tile(cell, self._prompts[cell.prompt_id], value_of(cell, measure), self._uris[key], seen)


def galleries(findings: Findings) -> list[Gallery]:
    """One gallery for each main measure that has values."""
    pictures = Pictures(findings)
    return [_gallery(findings, each, pictures) for each in findings.measures if each.main]


def _gallery(findings: Findings, measure: Measure, pictures: Pictures) -> Gallery:
    sign = 1.0 if measure.metric.direction == "higher" else -1.0
    scored = [(sign * value, cell) for cell in findings.run.cells if (value := value_of(cell, measure)) is not None]
    scored.sort(key=lambda each: each[0])
    worst = _spread([cell for _, cell in scored], [value for value, _ in scored], WORST)
    best = _spread([cell for _, cell in reversed(scored)], [value for value, _ in reversed(scored)], BEST)
    taken = {id(cell) for cell in worst}
    return Gallery(
        measure,
        tuple(pictures.tile(cell, measure) for cell in best if id(cell) not in taken),
        tuple(pictures.tile(cell, measure) for cell in worst),
        tuple(_disputed(findings, measure, pictures)),
    )


def _spread(cells: Sequence[T], values: Sequence[float], count: int) -> list[T]:
    """The first `count` of sorted things; among those of equal value the choice is spread evenly over the suite."""
    if len(cells) <= count:
        return list(cells)
    edge = values[count - 1]
    sure = list(cells[: list(values).index(edge)])
    tied = [cell for cell, value in zip(cells, values, strict=True) if value == edge]
    wanted = count - len(sure)
    places = (place * len(tied) // wanted for place in range(wanted))
    return [*sure, *(tied[place] for place in places)]


def _disputed(findings: Findings, measure: Measure, pictures: Pictures) -> list[Row]:
    """The prompt and seed pairs on which contenders' values lie farthest apart; of a lone contender, prompts by seeds."""
    run = findings.run
    alone = len(run.names) == 1
    groups: dict[tuple[str, int], list[Cell]] = {}
    for cell in run.cells:
        groups.setdefault((cell.prompt_id, 0 if alone else cell.index), []).append(cell)
    found: list[tuple[float, list[Cell]]] = []
    for cells in groups.values():
        values = [value for cell in cells if (value := value_of(cell, measure)) is not None]
        if len(values) > 1 and np.ptp(values) > 0:
            found.append((float(np.ptp(values)), cells))
    found.sort(key=lambda each: -each[0])
    once: dict[str, tuple[float, list[Cell]]] = {}
    for each in found:  # one row a prompt, so that many prompts are seen
        once.setdefault(each[1][0].prompt_id, each)
    order = list(once.values())
    chosen = _spread(order, [spread for spread, _ in order], DISPUTED)
    rows = []
    for spread, cells in chosen:
        tiles = tuple(pictures.tile(cell, measure) for cell in cells)
        rows.append(Row(tiles[0].prompt, tiles, spread))
    return rows


def value_of(cell: Cell, measure: Measure) -> float | None:
    """The cell's value of a measure; None where there is none."""
    score = cell.scores.get(measure.scorer.name)
    return score.values.get(measure.metric.name) if score and not score.error else None


def _uri(content: bytes) -> str:
    kind = "png" if content.startswith(b"\x89PNG") else "webp"
    return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"
