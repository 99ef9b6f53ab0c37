"""The examples of `finetune.data.examples` as a suite and its scorer: does a picture show what was to be learned?"""

from __future__ import annotations

import io
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.scoring import Metric, Sample, Score
from evals.suite import Suite, parse_suite
from workbench.errors import WorkbenchError
from workbench.store.files import make_folder, write_atomically

if TYPE_CHECKING:
    from finetune.data.examples import Drawn

SEED = 20261122  # of the test captions; data sets that are written use others, and other captions


def concept_suite(kind: str, *, count: int = 24, seed: int = SEED, folder: Path | None = None) -> Suite:
    """Prompts with the trigger that no written data set holds.

    Args:
        kind: style, shape, letter or edit.
        count: prompts.
        seed: of the captions.
        folder: where the pictures that edits start from are written; needed for them only.

    Raises:
        DataConfigError: there is no such kind.
        StoreError: the folder cannot be written.
    """
    prompts = []
    for place, drawn in enumerate(_drawn(kind, count, seed)):
        references = [_reference(drawn, kind, place, number, folder) for number in range(len(drawn.references))]
        ask = {"concept": {"kind": kind, "seed": seed, "count": count, "place": place}}
        prompts.append(
            {"id": f"{kind}-{place:03d}", "kind": kind, "prompt": drawn.caption, "ask": ask, "references": references}
        )
    about = f"Held-out prompts of the example {kind!r}, seed {seed}."
    suite = parse_suite({"name": f"example-{kind}", "version": 1, "about": about, "prompts": prompts}, kind)
    return suite.model_copy(update={"folder": str(folder) if folder else ""})


class ConceptScorer:
    """How much of an example's concept is in a picture, 0 to 1; see `finetune.data.concepts`."""

    name = "concept"
    version = "1"
    metrics: tuple[Metric, ...] = (Metric("concept", source="finetune.data.concepts"),)

    def __init__(self) -> None:
        self._known: dict[tuple[str, int, int], list[Drawn]] = {}

    def score(self, samples: Sequence[Sample]) -> list[Score]:
        """One score for each sample; a sample that asks for no concept has no value."""
        return [self._one(sample) for sample in samples]

    def _one(self, sample: Sample) -> Score:
        from finetune.data.concepts import measure

        asked: dict[str, Any] | None = sample.ask.get("concept")
        if asked is None:
            return Score({"concept": None})
        try:
            key = (str(asked["kind"]), int(asked["count"]), int(asked["seed"]))
            if key not in self._known:
                self._known[key] = _drawn(*key)
            return Score({"concept": measure(key[0], sample.picture, self._known[key][int(asked["place"])])})
        except WorkbenchError as error:
            return Score({}, error=error.message)


def _drawn(kind: str, count: int, seed: int) -> list[Drawn]:
    from finetune.data.examples import samples

    return list(samples(kind, count, seed=seed, held_out=True, alone=True))


def _reference(drawn: Drawn, kind: str, place: int, number: int, folder: Path | None) -> str:
    if folder is None:
        raise ValueError(f"the example {kind!r} starts from pictures: name a folder for them")
    name = f"references/{kind}-{place:03d}-{number}.png"
    make_folder((folder / name).parent)
    file = io.BytesIO()
    drawn.references[number].save(file, "PNG")
    write_atomically(folder / name, file.getvalue())
    return name
