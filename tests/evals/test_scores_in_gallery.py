"""What `evals run` measures can be searched for in the gallery."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from evals.running import Contender, run_suite
from evals.scoring import Metric, Score
from evals.suite import Prompt, Suite
from workbench.session import Session
from workbench.settings import settings

SMALL = {"model": "tiny-base", "width": 64, "height": 64, "steps": 1}


class Length:
    """Half the length of the prompt, and nothing else; fails where the prompt says so."""

    name, version = "length", "1"
    metrics = (Metric("letters", high=None), Metric("unasked"))

    def score(self, samples: Any) -> list[Score]:
        found = [Score({"letters": len(each.prompt) / 2, "unasked": None}) for each in samples]
        return [
            Score({}, error="no") if "bad" in each.prompt else one for each, one in zip(samples, found, strict=True)
        ]


@pytest.fixture
def session(tiny_klein: Any, tmp_path: Path) -> Session:
    return Session(settings(home=tmp_path / "home", models=tiny_klein.root, device="cpu"))


def test_scores_of_a_run_are_found(session: Session) -> None:
    prompts = tuple(Prompt(id=text, kind="x", prompt=text, ask={}) for text in ("ab", "abcdef", "bad"))
    suite = Suite(name="lengths", version=1, about="Lengths.", prompts=prompts)
    run = run_suite(session, suite, [Contender("tiny", SMALL)], seeds=1, scorers=[Length()])
    gallery = session.gallery
    assert [entry.recipe.prompt for entry in gallery.search("score.length>2").entries] == ["abcdef"]
    assert gallery.search("score.length.letters:1..1").total == 1
    assert gallery.search("is:score").total == 2
    for cell in run.cells:
        if not cell.scores["length"].error:
            want = {
                f"length.{name}": value for name, value in cell.scores["length"].values.items() if value is not None
            }
            assert gallery.show(cell.digest).scores == want
    assert list(
        gallery.frame(
            "is:score",
        )["score.length.letters"].sort_values()
    ) == [1.0, 3.0]
