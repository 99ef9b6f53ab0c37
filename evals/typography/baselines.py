"""Models whose typography scores are known beforehand: they render the asked words with a font, right or wrong on purpose.

`oracle` writes what is asked, `blank` writes nothing, `misspeller` changes one letter of each word with probability p,
`shuffler` puts the words of each text in another order. With a reader that never errs their scores are exact; with an
OCR engine the oracle's score is the ceiling that a perfect model would reach.
"""

from __future__ import annotations

import string
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from random import Random

from PIL import Image

from evals.typography.ask import quoted
from evals.typography.draw import page

Change = Callable[[tuple[str, ...], Random], tuple[str, ...]]
"""Asked texts to written texts."""


@dataclass(frozen=True, slots=True)
class Baseline:
    """A model that is no model.

    Attributes:
        name: for reports.
        change: what it writes instead of what is asked.
    """

    name: str
    change: Change

    def writes(self, asked: Sequence[str], seed: int = 0) -> tuple[str, ...]:
        """The texts that `draw` puts in the picture."""
        return self.change(tuple(asked), Random(f"{self.name} {seed}"))  # noqa: S311  # no cryptography

    def draw(self, asked: Sequence[str], *, width: int = 512, height: int = 512, seed: int = 0) -> Image.Image:
        """One picture of `width` x `height` pixels; the seed decides faults, colours, font and places.

        Raises:
            AskedTextError: the texts do not fit.
        """
        return page(self.writes(asked, seed), width=width, height=height, seed=seed)

    def __call__(self, prompts: list[str], seeds: list[int]) -> list[Image.Image]:
        """A picture for each prompt, of the texts in its quotation marks, as `evals.run.evaluate_pictures` calls it."""
        return [self.draw(quoted(prompt), seed=seed) for prompt, seed in zip(prompts, seeds, strict=True)]


def oracle() -> Baseline:
    """Writes what is asked: every accuracy 1, every error rate 0."""
    return Baseline("oracle", lambda asked, _: asked)


def blank() -> Baseline:
    """Writes nothing: accuracies 0, CER and WER 1, and no false text."""
    return Baseline("blank", lambda *_: ())


def misspeller(p: float) -> Baseline:
    """Changes one letter of each word with probability `p`: expected word accuracy 1 - p in every view.

    The new letter differs from the old in every view, and the new word is none of those asked for.

    Raises:
        ValueError: `p` is no probability.
    """
    if not 0 <= p <= 1:
        raise ValueError(f"a probability is 0 to 1, not {p}")

    def change(asked: tuple[str, ...], rng: Random) -> tuple[str, ...]:
        known = {word.casefold() for text in asked for word in text.split()}
        return tuple(
            " ".join(_misspelt(word, known, rng) if rng.random() < p else word for word in text.split())
            for text in asked
        )

    return Baseline(f"misspeller-{p:g}", change)


def shuffler() -> Baseline:
    """Puts the words of each text in another order: word accuracy 1; sentences of two or more different words wrong."""

    def change(asked: tuple[str, ...], rng: Random) -> tuple[str, ...]:
        return tuple(_shuffled(text, rng) for text in asked)

    return Baseline("shuffler", change)


def _misspelt(word: str, known: set[str], rng: Random) -> str:
    places = [place for place, sign in enumerate(word) if sign.isalnum()]
    if not places:  # a sign such as "&" has no other spelling
        return word
    place = rng.choice(places)
    old = word[place]
    letters = string.digits if old.isdigit() else string.ascii_uppercase if old.isupper() else string.ascii_lowercase
    options = [
        changed
        for letter in letters
        if letter.casefold() != old.casefold()
        and (changed := word[:place] + letter + word[place + 1 :]).casefold() not in known
    ]
    return rng.choice(options)


def _shuffled(text: str, rng: Random) -> str:
    tokens = text.split()
    if len(set(tokens)) < 2:
        return text
    mixed = list(tokens)
    while mixed == tokens:
        rng.shuffle(mixed)
    return " ".join(mixed)
