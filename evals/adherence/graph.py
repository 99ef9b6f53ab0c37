"""Questions about a picture that depend on each other, and how their answers become one number.

DSG (Cho et al. 2024) asks first whether there is a dog and then whether it is brown: where there is no dog the second
answer counts as no. DPG-Bench (Hu et al. 2024) uses the same questions with another rule for chains.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from evals.adherence.asks import AskError

Dependency = Literal["raw", "cascade", "off"]


class Question(BaseModel):
    """One question of a row."""

    model_config = ConfigDict(frozen=True, extra="forbid", coerce_numbers_to_str=True)

    id: Annotated[str, Field(min_length=1)]
    question: Annotated[str, Field(min_length=1)]
    depends_on: tuple[str, ...] = ()
    answer: str = "yes"  # the right one
    choices: tuple[str, ...] = ()  # all answers to choose from; empty: yes and no, or just the right one
    skill: str = ""

    @property
    def answers(self) -> tuple[str, ...]:
        """The right answer first, then the others."""
        others = self.choices or (("no",) if self.answer.lower() == "yes" else ())
        if self.answer.lower() == "no" and not self.choices:
            others = ("yes",)
        return (self.answer, *(each for each in others if each.casefold() != self.answer.casefold()))


def read_questions(ask: Mapping[str, Any]) -> tuple[Question, ...]:
    """The questions of a row; none where it has none.

    Raises:
        AskError: one is malformed, an id repeats, or a dependency is unknown or goes in a circle.
    """
    try:
        questions = tuple(Question.model_validate(each) for each in ask.get("questions", ()))
    except ValidationError as error:
        first = error.errors()[0]
        raise AskError(
            f"The row's questions cannot be read: {'.'.join(map(str, first['loc']))}: {first['msg']}.",
            'Write {"id": "1", "question": "Is there a dog?", "depends_on": []}.',
        ) from None
    parents = {each.id: each.depends_on for each in questions}
    if len(parents) < len(questions):
        raise AskError("Two questions of the row have the same id.")
    for each in questions:
        if strange := [parent for parent in each.depends_on if parent not in parents]:
            raise AskError(f"The question {each.id!r} depends on {strange[0]!r}, which is not there.")
    settled: set[str] = set()
    while ready := [name for name, above in parents.items() if name not in settled and settled.issuperset(above)]:
        settled.update(ready)
    if len(settled) < len(parents):
        raise AskError(f"The questions {sorted(set(parents) - settled)} depend on each other in a circle.")
    return questions


def graph_score(right: Mapping[str, float], questions: Sequence[Question], dependency: Dependency = "raw") -> float:
    """Mean over questions, those with a wrong parent counted as wrong.

    Args:
        right: for each question's id how right its answer is, 0 to 1; DSG and DPG-Bench have 0 or 1.
        questions: in the order of their file, at least one.
        dependency: "raw" as in DSG: a question falls with a parent whose own answer is wrong. "cascade" as in DPG-Bench:
            in the order of the file, also with a parent that fell itself. "off": no dependencies, as in TIFA.
    """
    counted = dict(right)
    for each in questions:
        seen = counted if dependency == "cascade" else right
        if dependency != "off" and any(seen[parent] == 0 for parent in each.depends_on):
            counted[each.id] = 0.0
    return math.fsum(counted[each.id] for each in questions) / len(questions)


def arithmetic_mean(values: Sequence[float]) -> float:
    """Soft-TIFA AM of GenEval 2: the mean of the right answers' probabilities."""
    return math.fsum(values) / len(values)


def geometric_mean(values: Sequence[float]) -> float:
    """Soft-TIFA GM of GenEval 2, its headline: one atom that is surely missing makes the picture wrong."""
    if min(values) <= 0:
        return 0.0
    return math.exp(math.fsum(map(math.log, values)) / len(values))
