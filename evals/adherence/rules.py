"""GenEval's rules: which detections count, and whether they are what was asked for.

The definitions are those of the reference implementation (Ghosh et al. 2023, https://github.com/djghosh13/geneval,
`evaluation/evaluate_images.py`), with its constants: confidences above 0.3, above 0.9 where an exact number is asked for,
16 objects a class, no suppression of overlaps unless asked for, a position margin of a tenth of both sizes.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from evals.adherence.asks import Asked, Place, Wanted
from evals.adherence.detections import Box, Detection

ColourOf = Callable[[Sequence[Detection], str], list[str]]
"""Names the colours of detections of one class."""


@dataclass(frozen=True, slots=True)
class Rules:
    """GenEval's constants; any other value makes another metric, so they are part of a scorer's version."""

    threshold: float = 0.3  # confidence that must be exceeded
    counting_threshold: float = 0.9  # the same where an exact number is asked for
    most: int = 16  # objects kept of a class, by confidence
    overlap: float = 1.0  # IoU from which the weaker of two boxes goes; 1 keeps all, as the reference does
    margin: float = 0.1  # share of both objects' sizes by which their centres must be apart

    def __str__(self) -> str:
        return f"t{self.threshold:g}/{self.counting_threshold:g}-n{self.most}-iou{self.overlap:g}-m{self.margin:g}"


@dataclass(frozen=True, slots=True)
class Outcome:
    """Whether a picture is right, part by part; a part that is not asked for is None."""

    correct: bool
    objects: float  # share of the clauses with enough objects
    count: bool | None  # every exact number is met
    colour: float | None  # share of the clauses with a colour that have it
    position: float | None  # share of the relations that hold
    why: tuple[str, ...]  # one sentence for each failed rule


def keep(found: Sequence[Detection], rules: Rules, *, counting: bool) -> dict[str, list[Detection]]:
    """The detections that count, by class, most confident first."""
    least = rules.counting_threshold if counting else rules.threshold
    groups: dict[str, list[Detection]] = {}
    for each in found:
        if each.score > least:
            groups.setdefault(each.label, []).append(each)
    for label, group in groups.items():
        waiting = sorted(group, key=lambda each: -each.score)[: rules.most]
        kept: list[Detection] = []
        while waiting:
            best = waiting.pop(0)
            kept.append(best)
            waiting = [each for each in waiting if rules.overlap == 1 or iou(best.box, each.box) < rules.overlap]
        groups[label] = kept
    return groups


def evaluate(kept: Mapping[str, Sequence[Detection]], asked: Asked, rules: Rules, colour_of: ColourOf) -> Outcome:
    """Hold kept detections against what was asked for.

    Only the `count` most confident objects of a clause are looked at. A clause whose objects, number, colour or place are
    wrong stands for nothing: a relation to it fails as well.

    Args:
        kept: detections by class, most confident first.
        asked: the clauses; relations are judged in the order of their first object.
        rules: the constants.
        colour_of: names colours; called only for clauses that ask for one and have enough objects.
    """
    why: list[str] = []
    groups: list[Sequence[Detection] | None] = []
    colours: list[bool] = []
    enough = 0
    for clause in asked.objects:
        group = list(kept.get(clause.label, ())[: clause.count])
        if len(group) < clause.count:
            why.append(f"{len(group)} of {clause.count} {clause.label}")
            groups.append(None)
            if clause.colour:
                colours.append(False)
            continue
        enough += 1
        fits = _colour_fits(clause, group, colour_of, why)
        if clause.colour:
            colours.append(fits)
        groups.append(group if fits else None)
    places = _places(asked, groups, rules, why)
    counts = [_count_fits(clause, kept, why) for clause in asked.objects if clause.exact_count]
    return Outcome(
        correct=not why,
        objects=enough / len(asked.objects),
        count=all(counts) if counts else None,
        colour=sum(colours) / len(colours) if colours else None,
        position=sum(places) / len(places) if places else None,
        why=tuple(why),
    )


def _colour_fits(clause: Wanted, group: Sequence[Detection], colour_of: ColourOf, why: list[str]) -> bool:
    if not clause.colour:
        return True
    seen = colour_of(group, clause.label)
    if seen.count(clause.colour) >= clause.count:
        return True
    why.append(f"{clause.label} is {' and '.join(seen)}, not {clause.colour}")
    return False


def _places(asked: Asked, groups: list[Sequence[Detection] | None], rules: Rules, why: list[str]) -> list[bool]:
    """Whether each relation holds; a clause that fails one is taken out of `groups`."""
    held: list[bool] = []
    for relation in sorted(asked.relations, key=lambda each: each.first):
        first, second = groups[relation.first], groups[relation.second]
        label, target = asked.objects[relation.first].label, asked.objects[relation.second].label
        if first is None or second is None:
            if first is not None:
                why.append(f"no {target} for {label} to be {relation.relation}")
                groups[relation.first] = None
            held.append(False)
            continue
        seen = [relative_position(one.box, other.box, rules.margin) for one in first for other in second]
        wrong = next((places for places in seen if relation.relation not in places), None)
        held.append(wrong is None)
        if wrong is not None:
            why.append(f"{label} is {' and '.join(sorted(wrong)) or 'beside'}, not {relation.relation} {target}")
            groups[relation.first] = None
    return held


def _count_fits(clause: Wanted, kept: Mapping[str, Sequence[Detection]], why: list[str]) -> bool:
    seen = len(kept.get(clause.label, ()))
    if seen > clause.count:
        why.append(f"{seen} {clause.label}, not {clause.count}")
    return seen == clause.count


def iou(first: Box, second: Box) -> float:
    """Intersection over union of two boxes, with both border pixels inside as in the reference."""

    def area(left: float, top: float, right: float, bottom: float) -> float:
        return max(right - left + 1, 0) * max(bottom - top + 1, 0)

    shared = area(
        max(first[0], second[0]), max(first[1], second[1]), min(first[2], second[2]), min(first[3], second[3])
    )
    union = area(*first) + area(*second) - shared
    return shared / union if union else 0.0


def relative_position(first: Box, second: Box, margin: float = 0.1) -> set[Place]:
    """Where `first` is as seen from `second`; empty when they are too close, two sides near a diagonal.

    The distance of the centres, less `margin` of both sizes in each direction, is divided by the whole distance; a side
    holds where more than half is left.
    """
    offset = [(first[axis] + first[axis + 2] - second[axis] - second[axis + 2]) / 2 for axis in (0, 1)]
    sizes = [abs(first[axis + 2] - first[axis]) + abs(second[axis + 2] - second[axis]) for axis in (0, 1)]
    apart = [
        math.copysign(max(abs(distance) - margin * size, 0.0), distance)
        for distance, size in zip(offset, sizes, strict=True)
    ]
    if max(map(abs, apart)) < 1e-3:
        return set()
    dx, dy = (each / math.hypot(*offset) for each in apart)
    sides: list[tuple[Place, bool]] = [
        ("left of", dx < -0.5), ("right of", dx > 0.5), ("above", dy < -0.5), ("below", dy > 0.5)
    ]  # fmt: skip
    return {name for name, holds in sides if holds}


def geneval_overall(by_skill: Mapping[str, Sequence[float]]) -> float:
    """GenEval's headline: the unweighted mean over skills of the mean over pictures, 0 to 1.

    Args:
        by_skill: for each skill the value `correct` of every picture, 0 or 1.

    Raises:
        ValueError: there is no skill, or one without pictures.
    """
    if not by_skill or not all(by_skill.values()):
        raise ValueError("every skill needs at least one picture")
    return math.fsum(sum(values) / len(values) for values in by_skill.values()) / len(by_skill)
