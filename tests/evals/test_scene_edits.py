"""The judge on results of edits: the drawn result is right, and the untouched first picture is not."""

from __future__ import annotations

from dataclasses import asdict
from random import Random

import numpy as np
import pytest

from evals.scenes.judge import judge
from evals.scenes.prompt import expected_of
from evals.scenes.read import RapidReader
from tests.evals.judging import damaged
from workbench.nano.edits import BUILDERS, sample_edit
from workbench.nano.render import render

EACH = 12


@pytest.mark.parametrize("kind", BUILDERS)
def test_results_are_right_and_untouched_pictures_are_not(kind: str) -> None:
    rng = Random(kind)
    reader = RapidReader() if kind == "write" else None
    wrong, missed = [], []
    for number in range(EACH):
        edit = sample_edit(rng, kind=kind)
        expected = expected_of(asdict(edit.target))
        target, source = render(edit.target), render(edit.references[0])
        seen = target if reader else damaged(target, number)  # damaged letters are test_read.py's matter
        if judge(seen, expected, reader=reader).right is not True:
            wrong.append(edit.prompt)
        if not np.array_equal(target, source) and judge(source, expected, reader=reader).right is not False:
            missed.append(edit.prompt)
    assert len(wrong) <= EACH // 12
    assert missed == []
