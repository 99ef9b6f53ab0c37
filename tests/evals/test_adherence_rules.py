from __future__ import annotations

from typing import Any

import pytest

from evals.adherence.asks import AskError, read_ask
from evals.adherence.detections import Box, Detection
from evals.adherence.rules import Outcome, Rules, evaluate, geneval_overall, iou, keep, relative_position


def dog(score: float = 0.95, box: Box = (0, 0, 20, 20), colour: str = "brown", label: str = "dog") -> Detection:
    return Detection(label, box, score, None, colour)


def judged(found: list[Detection], rules: Rules | None = None, **ask: Any) -> Outcome:
    asked = read_ask(ask)
    assert asked is not None
    rules = rules or Rules()
    kept = keep(found, rules, counting=asked.counting)
    return evaluate(kept, asked, rules, lambda group, label: [each.colour for each in group])


LEFT: Box = (0, 40, 20, 60)
RIGHT: Box = (80, 40, 100, 60)


def test_one_object_is_enough_and_more_do_no_harm() -> None:
    assert judged([dog()], objects=[{"class": "dog"}]).correct
    assert judged([dog(), dog(), dog(label="cat")], objects=[{"class": "dog"}]).correct


def test_a_missing_object_is_told() -> None:
    outcome = judged([dog(label="cat")], objects=[{"class": "dog"}, {"class": "cat"}])
    assert not outcome.correct
    assert outcome.objects == 0.5
    assert outcome.why == ("0 of 1 dog",)
    assert (outcome.count, outcome.colour, outcome.position) == (None, None, None)


@pytest.mark.parametrize(("score", "found"), [(0.3, False), (0.300001, True)])
def test_confidence_must_exceed_the_threshold(score: float, found: bool) -> None:
    assert judged([dog(score)], objects=[{"class": "dog"}]).correct is found


@pytest.mark.parametrize(("score", "found"), [(0.9, False), (0.91, True)])
def test_an_exact_number_is_counted_above_the_higher_threshold(score: float, found: bool) -> None:
    outcome = judged([dog(score), dog()], objects=[{"class": "dog", "count": 2, "exact_count": True}])
    assert outcome.correct is found
    assert outcome.count is found


def test_an_object_too_many_is_wrong_only_for_exact_numbers() -> None:
    assert judged([dog()] * 3, objects=[{"class": "dog", "count": 2}]).correct
    outcome = judged([dog()] * 3, objects=[{"class": "dog", "count": 2, "exact_count": True}])
    assert not outcome.correct
    assert outcome.count is False
    assert outcome.why == ("3 dog, not 2",)


def test_sixteen_objects_of_a_class_count() -> None:
    objects = [{"class": "dog", "count": 17}]
    assert not judged([dog()] * 20, objects=objects).correct
    assert judged([dog()] * 20, Rules(most=17), objects=objects).correct


def test_overlaps_stay_unless_suppression_is_asked_for() -> None:
    twice = [dog(0.99), dog(0.95, (1, 1, 21, 21))]
    objects = [{"class": "dog", "count": 1, "exact_count": True}]
    assert not judged(twice, objects=objects).correct
    assert judged(twice, Rules(overlap=0.5), objects=objects).correct
    other = [dog(0.99), dog(0.95, (1, 1, 21, 21), label="cat")]  # never across classes
    assert judged(other, Rules(overlap=0.5), objects=[{"class": "dog"}, {"class": "cat"}]).correct


def test_only_the_most_confident_objects_are_looked_at_for_colours() -> None:
    pair = [dog(0.5, colour="red"), dog(0.9, colour="blue")]
    assert judged(pair, objects=[{"class": "dog", "colour": "blue"}]).correct
    outcome = judged(pair, objects=[{"class": "dog", "colour": "red"}])
    assert not outcome.correct
    assert outcome.colour == 0
    assert outcome.objects == 1
    assert outcome.why == ("dog is blue, not red",)


def test_every_asked_object_needs_the_colour() -> None:
    pair = [dog(0.8, colour="red"), dog(0.9, colour="blue")]
    assert not judged(pair, objects=[{"class": "dog", "colour": "red", "count": 2}]).correct
    assert judged([dog(colour="red")] * 2, objects=[{"class": "dog", "colour": "red", "count": 2}]).correct


def test_a_colour_of_a_missing_object_is_wrong() -> None:
    assert judged([], objects=[{"class": "dog", "colour": "red"}]).colour == 0


def ask_pair(relation: str, **first: Any) -> dict[str, Any]:
    objects = [{"class": "cat"}, {"class": "dog"} | first]
    return {"objects": objects, "relations": [{"first": 1, "relation": relation, "second": 0}]}


def test_positions() -> None:
    found = [dog(box=LEFT), dog(box=RIGHT, label="cat")]
    assert judged(found, **ask_pair("left of")).correct
    outcome = judged(found, **ask_pair("right of"))
    assert not outcome.correct
    assert outcome.position == 0
    assert outcome.why == ("dog is left of, not right of cat",)


def test_a_relation_to_what_is_missing_or_wrong_fails() -> None:
    absent = judged([dog(box=LEFT)], **ask_pair("left of"))
    assert absent.why == ("0 of 1 cat", "no cat for dog to be left of")
    # The first clause counts as not there when its colour is wrong.
    ask = ask_pair("left of")
    ask["objects"][0]["colour"] = "black"
    wrong = judged([dog(box=LEFT), dog(box=RIGHT, label="cat")], **ask)
    assert wrong.why == ("cat is brown, not black", "no cat for dog to be left of")
    # Where the object itself is wrong, only that is told.
    itself = judged([dog(box=LEFT), dog(box=RIGHT, label="cat")], **ask_pair("left of", colour="red"))
    assert itself.why == ("dog is brown, not red",)
    assert itself.position == 0


def test_every_pair_must_stand_as_asked() -> None:
    found = [dog(0.9, LEFT), dog(0.8, RIGHT), dog(box=(40, 40, 60, 60), label="cat")]
    assert judged(found, **ask_pair("left of")).correct
    assert not judged(found, **ask_pair("left of", count=2)).correct


def test_a_clause_out_of_place_is_no_target_either() -> None:
    boxes = {"a": LEFT, "b": RIGHT, "c": (150, 40, 170, 60)}
    ask: dict[str, Any] = {
        "objects": [{"class": name} for name in boxes],
        "relations": [
            {"first": 1, "relation": "left of", "second": 0},
            {"first": 2, "relation": "right of", "second": 1},
        ],
    }
    outcome = judged([dog(box=box, label=name) for name, box in boxes.items()], None, **ask)
    assert outcome.position == 0
    assert outcome.why == ("b is right of, not left of a", "no b for c to be right of")


@pytest.mark.parametrize(
    ("first", "sides"),
    [
        ((0, 40, 20, 60), {"left of"}),
        ((80, 40, 100, 60), {"right of"}),
        ((40, 0, 60, 20), {"above"}),
        ((40, 80, 60, 100), {"below"}),
        ((0, 0, 20, 20), {"left of", "above"}),  # on the diagonal both hold
        ((43, 43, 63, 63), set()),  # nearer than a tenth of both sizes
        ((40, 40, 60, 60), set()),  # the same place
        ((30, 40, 50, 60), {"left of"}),  # 10 px apart, of which 4 are margin: 0.6 is left
        ((32, 40, 52, 60), set()),  # 8 px apart: exactly half is left, which is not more than half
    ],
)
def test_relative_position(first: Box, sides: set[str]) -> None:
    assert relative_position(first, (40, 40, 60, 60)) == sides


def test_iou_counts_both_border_pixels() -> None:
    assert iou((0, 0, 9, 9), (0, 0, 9, 9)) == 1
    assert iou((0, 0, 9, 9), (10, 10, 19, 19)) == 0
    assert iou((0, 0, 9, 9), (9, 0, 18, 9)) == pytest.approx(10 / 190)
    assert iou((5, 5, 3, 3), (5, 5, 3, 3)) == 0  # a box turned inside out has no area


def test_the_headline_weighs_skills_alike() -> None:
    assert geneval_overall({"single": [1, 1, 1, 1], "counting": [0]}) == 0.5
    with pytest.raises(ValueError, match="at least one"):
        geneval_overall({"single": []})


@pytest.mark.parametrize(
    "ask",
    [
        {"objects": [{"colour": "red"}]},
        {"objects": [{"class": "dog", "count": 0}]},
        {"objects": [{"class": "dog", "color": "red"}]},
        {"objects": ["dog"]},
        {"objects": [{"class": "dog"}], "relations": [{"first": 0, "relation": "left of", "second": 1}]},
        {"objects": [{"class": "dog"}], "relations": [{"first": 0, "relation": "left of", "second": 0}]},
        {"objects": [{"class": "a"}, {"class": "b"}], "relations": [{"first": 0, "relation": "near", "second": 1}]},
    ],
)
def test_malformed_asks_are_refused(ask: dict[str, Any]) -> None:
    with pytest.raises(AskError):
        read_ask(ask)


def test_nothing_asked_is_no_ask() -> None:
    assert read_ask({"text": ["HELLO"]}) is None
    assert read_ask({"objects": []}) is None
