"""Makes the typography suites from the phrases in this package, with a fixed seed.

Run `python -m evals.typography.make_suites` to write `evals/suites/typography-*.json` again; a test holds that nothing
changes.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from random import Random
from typing import Any

from evals.scenes.read import SAME_FORM
from evals.shipped import ship
from evals.suite import Prompt, Suite
from evals.typography import phrases
from workbench.nano.scenes import WORDS, Kind, Scene, sample_scene

SEED = 20261122
PER_LAYOUT = 10  # prompts of one layout of texts
LICENCE = "CC0-1.0"
NANO_MIX: tuple[tuple[str, Kind, int], ...] = (
    ("known word", "word", 80),
    ("free spelling", "word", 120),
    ("word and shape", "word+shape", 80),
)
CASES: tuple[Callable[[str], str], ...] = (str, str.upper, str, str.lower)  # half as written


def short() -> Suite:
    """One to three words on one surface; spellings that a model may mend; other letters; no text at all."""
    rng = Random(SEED)  # noqa: S311  # a draw of prompts is no cryptography
    rows = _single("one word", phrases.WORDS, phrases.SURFACES, rng, cased=True)
    rows += _single("two or three words", phrases.PHRASES, phrases.SURFACES, rng, cased=True)
    rows += _single("misspelt on purpose", phrases.MISSPELT, phrases.SURFACES, rng)
    rows += _single("invented word", phrases.GIBBERISH, phrases.SURFACES, rng)
    rows += _single("code", phrases.CODES, phrases.SURFACES, rng)
    rows += _single("accents", phrases.ACCENTS, phrases.SURFACES, rng)
    rows += _single("chinese", phrases.CHINESE, phrases.SURFACES, rng)
    rows += [_row("no text", number, text, []) for number, text in enumerate(phrases.TEXTLESS, 1)]
    return _suite("typography-short-1", "Words and short phrases, hard spellings, and pictures without text", rows)


def long() -> Suite:
    """Sentences of four to eight words, and texts of fifteen to forty."""
    rng = Random(SEED + 1)  # noqa: S311
    rows = _single("sentence", phrases.SENTENCES, phrases.SURFACES, rng, cased=True)
    rows += _single("long sentence", phrases.LONG, phrases.SHEETS, rng)
    pairs = [f"{first} {second}" for first, second in zip(phrases.LONG, phrases.LONG[7:] + phrases.LONG[:7])]
    rows += _single("paragraph", pairs, phrases.SHEETS, rng)
    return _suite("typography-long-1", "Sentences, long sentences and paragraphs", rows)


def regions() -> Suite:
    """Two to five texts in one picture, each at a named place."""
    rng = Random(SEED + 2)  # noqa: S311
    rows: list[Prompt] = []
    for layout, slots in phrases.LAYOUTS:
        kind = f"{len(slots)} texts"
        chosen: dict[tuple[str, ...], None] = {}
        while len(chosen) < PER_LAYOUT:
            chosen.setdefault(tuple(rng.choice(slot) for slot in slots))
        for texts in chosen:
            rows.append(_row(kind, 1 + sum(row.kind == kind for row in rows), layout.format(*texts), list(texts)))
    rows.sort(key=lambda row: row.kind)
    return _suite("typography-regions-1", "Two to five texts in one picture", rows)


def nano() -> Suite:
    """Words for the embedded model: prompts of its grammar that training never sees, known words and free spellings."""
    rng = Random(SEED + 3)  # noqa: S311
    rows: dict[str, Prompt] = {}
    for kind, scene_kind, wanted in NANO_MIX:
        number = 0
        while number < wanted:
            scene = sample_scene(rng, kind=scene_kind, held_out=True)
            word = next(item.text for item in scene.items if item.text)
            fits = scene_kind != "word" or (word.upper() in WORDS) == (kind == "known word")
            if fits and scene.prompt not in rows:
                number += 1
                case = "any" if set(word.lower()) <= set(SAME_FORM) else "exact"
                rows[scene.prompt] = _row(kind, number, scene.prompt, [word], text_case=case, **_scene_ask(scene))
    suite = _suite("typography-nano-1", "Held-out words of the embedded model's grammar", list(rows.values()))
    note = f"Case is not asked of words made of the letters {SAME_FORM} alone: they look the same in both."
    return suite.model_copy(update={"notes": (note,)})


def make_suites() -> list[Suite]:
    """All four."""
    return [short(), long(), regions(), nano()]


def _single(
    kind: str, texts: Sequence[str], frames: Sequence[str], rng: Random, *, cased: bool = False
) -> list[Prompt]:
    """One prompt for each text, frames dealt out evenly, the case of letters varied where `cased`."""
    deck: list[str] = []
    rows = []
    for number, text in enumerate(texts, 1):
        deck = deck or rng.sample(frames, len(frames))
        written = CASES[(number - 1) % len(CASES)](text) if cased else text
        rows.append(_row(kind, number, deck.pop().format(written), [written]))
    return rows


def _row(kind: str, number: int, prompt: str, texts: list[str], **ask: Any) -> Prompt:
    name = kind.replace(" ", "-")
    return Prompt(id=f"{name}-{number:03}", kind=kind, prompt=prompt, ask={"text": texts} | ask)


def _scene_ask(scene: Scene) -> dict[str, Any]:
    shapes = [{"class": item.shape, "colour": item.colour} for item in scene.items if not item.text]
    return {"background": scene.background} | ({"objects": shapes} if shapes else {})


def _suite(name: str, about: str, rows: list[Prompt]) -> Suite:
    return Suite(
        name=name,
        version=1,
        about=f"{about}: {len(rows)} prompts; seed {SEED}.",
        licence=LICENCE,
        source="written by this project: evals/typography/phrases.py and make_suites.py",
        prompts=tuple(rows),
    )


if __name__ == "__main__":
    ship(*make_suites())
