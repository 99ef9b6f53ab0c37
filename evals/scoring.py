"""The one signature of a scorer, and the registry that knows all scorers by versioned names.

A scorer looks at a batch of samples and gives each a `Score`: one value per metric, what was seen, or why there is none.
Its metrics say their direction, range and unit, so that tables, plots and tests need no knowledge of any scorer.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, runtime_checkable

from PIL import Image

from workbench.errors import WorkbenchError, nearest

Direction = Literal["higher", "lower"]


class ScorerError(WorkbenchError):
    """A scorer is unknown, or cannot work: its weights or its package are missing."""

    code = "WB404"


def picture_digest(picture: Image.Image) -> str:
    """SHA-256 over mode, size and pixels of `picture`, 64 hexadecimal digits."""
    head = f"{picture.mode} {picture.width}x{picture.height}\n".encode()
    return hashlib.sha256(head + picture.tobytes()).hexdigest()


@dataclass(frozen=True, slots=True)
class Sample:
    """One picture and what was asked of it.

    Attributes:
        picture: RGB.
        prompt: the sentence given to the model.
        picture_digest: SHA-256 over mode, size and pixels; 64 hexadecimal digits.
        ask: what a correct picture holds, as the suite's row says it (words, objects, edit, colour, questions, ...);
            plain JSON values. A scorer reads only the keys it knows.
        references: the pictures an edit started from, in order.
        peers: pictures of the same prompt with other seeds, for diversity.
        cost: what making it took: `seconds`, `gigabytes`, `price`, where known.
    """

    picture: Image.Image
    prompt: str
    picture_digest: str
    ask: Mapping[str, Any] = field(default_factory=dict)
    references: tuple[Image.Image, ...] = ()
    peers: tuple[Image.Image, ...] = ()
    cost: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Metric:
    """One number of a scorer.

    Attributes:
        name: unique within the scorer, with the normaliser in it where there is one, e.g. `ned_anytext`.
        direction: whether higher or lower is better.
        low: smallest possible value.
        high: largest possible value, or None.
        unit: for axis labels; empty for a share of 0 to 1.
        source: paper or reference implementation of the definition.
    """

    name: str
    direction: Direction = "higher"
    low: float = 0.0
    high: float | None = 1.0
    unit: str = ""
    source: str = ""


@dataclass(frozen=True, slots=True)
class Score:
    """What a scorer says of one sample.

    Attributes:
        values: metric name to value; None where the sample does not ask for it (left out of means, counted in reports).
        seen: what the scorer saw, as plain JSON (words read, objects found), shown beside the picture.
        error: why there is no value at all; empty when all went well. Counted in every report.
    """

    values: Mapping[str, float | None]
    seen: Mapping[str, Any] = field(default_factory=dict)
    error: str = ""


@runtime_checkable
class Scorer(Protocol):
    """Scores pictures in batches. Same sample and version, same score: scores are cached by both."""

    @property
    def name(self) -> str:
        """Registered name, e.g. `typography`."""
        ...

    @property
    def version(self) -> str:
        """Changes with anything that can change a value: the rule, a setting, a model's weights."""
        ...

    @property
    def metrics(self) -> tuple[Metric, ...]:
        """Every number it can give, the main one first."""
        ...

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample, in order; one bad sample is a `Score` with an error and spoils no other."""
        ...


Maker = Callable[..., Scorer]
_MAKERS: dict[str, tuple[Maker, str]] = {}


def register(name: str, about: str) -> Callable[[Maker], Maker]:
    """Decorator of a class or function that makes a scorer; its module is listed in `evals/scorers.py`.

    Args:
        name: as users write it.
        about: one line for `evals scorers`.

    Raises:
        ValueError: the name is taken.
    """

    def keep(maker: Maker) -> Maker:
        if name in _MAKERS:
            raise ValueError(f"two scorers are called {name!r}")
        _MAKERS[name] = (maker, about)
        return maker

    return keep


def registered() -> dict[str, str]:
    """Names of all registered scorers with one line about each."""
    return {name: about for name, (_, about) in sorted(_MAKERS.items())}


def make_scorer(name: str, **options: Any) -> Scorer:
    """A scorer by its name.

    Raises:
        ScorerError: there is none of that name, or it cannot work here; the message says what is missing.
    """
    return maker_of(name)(**options)


def maker_of(name: str) -> Maker:
    """What makes the scorer called `name`; where it is a class, its class attributes may say version and metrics.

    Raises:
        ScorerError: there is none of that name.
    """
    if name not in _MAKERS:
        raise ScorerError(f"There is no scorer {name!r}.", nearest(name, sorted(_MAKERS)))
    return _MAKERS[name][0]
