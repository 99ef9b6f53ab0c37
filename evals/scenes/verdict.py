"""What the judge says of a picture: named checks, the objects it saw, and what stands for what was asked."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Literal

from evals.scenes.colours import Named, difference
from evals.scenes.prompt import Expected, Thing
from evals.scenes.segment import Blob
from evals.scenes.shapes import Shaped

VERSION = "2"
"""Raised whenever a verdict can change; figures of different versions are not comparable."""

CheckName = Literal["background", "count", "shape", "colour", "size", "relation", "place", "word"]
HEX = 10.0  # CIEDE2000 within which a HEX colour is obeyed


@dataclass(frozen=True, slots=True)
class Check:
    """The outcome of one check: `ok` is None where the prompt asks for nothing or nothing could judge it."""

    ok: bool | None
    seen: str
    why: str = ""


@dataclass(frozen=True, slots=True)
class Look:
    """One object as seen."""

    blob: Blob
    shape: Shaped

    @property
    def centre(self) -> tuple[float, float]:
        """Middle of the box, fractions of the picture's width and height."""
        left, top, right, bottom = self.blob.box
        return (left + right) / 2, (top + bottom) / 2

    def __str__(self) -> str:
        return f"{self.blob.colour.name} {self.shape.name}"

    def likeness(self, thing: Thing) -> int:
        """How much of `thing` this is: 2 for colour and shape, 1 for one of them."""
        return obeys(self.blob.colour, thing.colour) + (self.shape.name == thing.shape)


def obeys(seen: Named, wanted: str) -> bool:
    """Whether a colour is the one asked for: the same name, or within CIEDE2000 of 10 of a HEX colour."""
    return difference(seen.lab, wanted) < HEX if wanted.startswith("#") else seen.name == wanted


@dataclass(frozen=True, slots=True)
class Verdict:
    """All checks of one picture, and the matches that confusion matrices are made from."""

    prompt: str
    expected: Expected
    checks: dict[CheckName, Check]
    background: str  # the name seen
    objects: tuple[Look, ...]  # without letters, from largest to smallest
    matches: tuple[tuple[Thing, Look | None], ...] = ()  # every expected shape with what stands for it
    text: str | None = None  # what the reader read
    version: str = field(default=VERSION)

    @property
    def right(self) -> bool | None:
        """True when every check that applies holds, False when one fails, None when one could not be judged."""
        outcomes = [check.ok for name, check in self.checks.items() if name in asked(self.expected)]
        if False in outcomes:
            return False
        return None if None in outcomes else True

    def holds(self, *names: CheckName) -> bool | None:
        """Whether all of the named checks hold; None when none fails and one is not judged."""
        outcomes = [self.checks[name].ok for name in names]
        if False in outcomes:
            return False
        return None if None in outcomes else True

    def to_dict(self) -> dict[str, Any]:
        """Plain values for JSON and tables."""
        return {
            "prompt": self.prompt,
            "kind": self.expected.kind,
            "right": self.right,
            "checks": {name: {"ok": c.ok, "seen": c.seen, "why": c.why} for name, c in self.checks.items()},
            "background": self.background,
            "objects": [str(look) for look in self.objects],
            "text": self.text,
            "judge": self.version,
        }


def asked(expected: Expected) -> tuple[CheckName, ...]:
    """The checks that a prompt asks for."""
    names: list[CheckName] = ["background", "colour", "count"]
    if expected.shapes:
        names.append("shape")
    if any(thing.size for thing in expected.things):
        names.append("size")
    if expected.relation:
        names.append("relation")
    if any(thing.place or thing.at for thing in expected.things):
        names.append("place")
    if expected.words:
        names.append("word")
    return tuple(names)
