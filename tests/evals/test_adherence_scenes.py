from __future__ import annotations

from collections import Counter
from dataclasses import replace
from random import Random

import numpy as np
import pytest
from PIL import Image

from evals.adherence.asks import Asked
from evals.adherence.batch import score_each
from evals.adherence.colours import GENEVAL_COLOURS, PixelColours, cut_out
from evals.adherence.detections import Box, Detection, Detector, ReplayDetector
from evals.adherence.geneval import ObjectScorer, SceneAdherence
from evals.adherence.nano_suites import ask_of
from evals.adherence.rules import Rules
from evals.adherence.scene_detector import SceneDetector, background_of, look
from evals.scoring import Sample, Score, Scorer, picture_digest
from tests.evals.judging import damaged, scenes
from workbench.nano.render import render
from workbench.nano.scenes import SHAPES, Kind, Scene, sample_scene

KINDS: tuple[Kind, ...] = ("single", "count", "relation")


def picture_of(scene: Scene, side: int = 128) -> Image.Image:
    return Image.fromarray(render(scene, side))


def sample(picture: Image.Image, **ask: object) -> Sample:
    return Sample(picture, "", picture_digest(picture), ask)


@pytest.mark.parametrize("harm", [False, True], ids=["clean", "damaged"])
def test_the_scene_detector_sees_what_was_rendered(harm: bool) -> None:
    total = found = extra = grounds = 0
    drawn = scenes(60, seed=301)
    for index, scene in enumerate(drawn):
        pixels = render(scene)
        picture = Image.fromarray(damaged(pixels, index) if harm else pixels)
        wanted = Counter((item.shape, item.colour) for item in scene.items)
        seen = Counter((each.label, each.colour) for each in look(picture))
        total += wanted.total()
        found += (wanted & seen).total()
        extra += (seen - wanted).total()
        grounds += background_of(picture) == scene.background
    assert found >= 0.99 * total
    assert extra <= 0.01 * total
    assert grounds >= 0.99 * len(drawn)


def test_boxes_and_masks_lie_on_the_object() -> None:
    for side in (128, 320):
        for scene in scenes(6, seed=5, kinds=("single",)):
            (item,) = scene.items
            (seen,) = look(picture_of(scene, side))
            left, top, right, bottom = seen.box
            assert abs((left + right) / 2 - item.x * side) < 0.04 * side
            assert abs((top + bottom) / 2 - item.y * side) < 0.08 * side  # a triangle's middle is not its centre
            assert seen.mask is not None
            assert seen.mask.shape == (side, side)
            rows, columns = np.nonzero(seen.mask)
            assert left - 3 <= columns.min() <= columns.max() <= right + 3
            assert top - 3 <= rows.min() <= rows.max() <= bottom + 3


def test_a_shape_that_is_none_counts_for_nothing() -> None:
    picture = Image.new("RGB", (128, 128), "white")
    picture.paste((200, 20, 20), (15, 55, 110, 65))  # a bar
    (seen,) = look(picture)
    assert seen.label == "unknown"
    assert seen.score <= 0.5
    score = SceneAdherence().score([sample(picture, objects=[{"class": "square"}])])[0]
    assert score.values["correct"] == 0


def test_rendered_scenes_are_right_and_other_scenes_wrong() -> None:
    rng = Random(3)
    scorer = SceneAdherence()
    right, wrong = [], []
    for kind in KINDS:
        for _ in range(6):
            scene = sample_scene(rng, kind=kind)
            if len({item.shape for item in scene.items}) < len(scene.items) and kind == "relation":
                continue  # GenEval's rule cannot tell two objects of one class apart
            other = next(name for name in SHAPES if name not in {item.shape for item in scene.items})
            items = (replace(scene.items[0], shape=other), *scene.items[1:])
            right.append(sample(picture_of(scene), **ask_of(scene)))
            wrong.append(sample(picture_of(replace(scene, items=items)), **ask_of(scene)))
    assert [score.values["all_right"] for score in scorer.score(right)] == [1.0] * len(right)
    assert [score.values["correct"] for score in scorer.score(wrong)] == [0.0] * len(wrong)


def test_the_background_counts_beside_geneval() -> None:
    (scene,) = scenes(1, seed=1, kinds=("single",))
    ask = ask_of(scene)
    wrong = "white" if scene.background != "white" else "black"
    score = SceneAdherence().score([sample(picture_of(scene), **(ask | {"background": wrong}))])[0]
    assert (score.values["correct"], score.values["background"], score.values["all_right"]) == (1, 0, 0)
    assert score.seen["why"] == [f"the background is {scene.background}, not {wrong}"]


def test_the_scorer_keeps_the_signature_and_isolates_bad_samples() -> None:
    scorer: Scorer = SceneAdherence()
    assert isinstance(scorer, Scorer)
    (scene,) = scenes(1, seed=1, kinds=("single",))
    picture = picture_of(scene)
    scores = scorer.score(
        [
            sample(picture, **ask_of(scene)),
            sample(picture, text=["CAT"]),
            sample(picture, objects=[{"class": "dog"}]),
            sample(picture, objects=[{"klass": "circle"}]),
            sample(picture, **ask_of(scene)),
        ]
    )
    assert scores[0].values["correct"] == scores[4].values["correct"] == 1
    assert set(scores[0].values) == {metric.name for metric in scorer.metrics}
    assert set(scores[1].values.values()) == {None}
    assert "cannot find 'dog'" in scores[2].error
    assert "cannot be read" in scores[3].error
    assert scorer.score([]) == []


def test_any_detector_will_do() -> None:
    picture = Image.new("RGB", (100, 100), "white")
    picture.paste("red", (10, 10, 50, 50))
    boxes: list[Box] = [(10, 10, 50, 50), (60, 60, 90, 90)]
    detector: Detector = ReplayDetector({picture_digest(picture): [Detection("dog", box, 0.5) for box in boxes]})
    scorer = ObjectScorer("mine", detector, rules=Rules())
    scores = scorer.score(
        [
            sample(picture, objects=[{"class": "dog", "count": 2}]),
            sample(picture, objects=[{"class": "dog", "colour": "red"}]),
            sample(picture, objects=[{"class": "dog", "colour": "blue"}]),
            sample(Image.new("RGB", (9, 9)), objects=[{"class": "dog"}]),  # nobody looked at this one
        ]
    )
    assert [score.values.get("correct") for score in scores] == [1, 1, 0, None]
    assert scores[3].error.startswith("KeyError")
    assert ObjectScorer("mine", detector, rules=Rules(threshold=0.2)).version != scorer.version


def test_a_batch_that_fails_is_scored_one_by_one() -> None:
    picture = Image.new("RGB", (8, 8))
    samples = [Sample(picture, str(index), str(index)) for index in range(7)]

    def score(part: object) -> list[Score]:
        assert isinstance(part, list)
        if any(each.prompt == "4" for each in part):
            raise RuntimeError("out of memory")
        return [Score({"value": float(each.prompt)}) for each in part]

    scores = score_each(samples, score, batch=3)
    assert [each.values.get("value") for each in scores] == [0, 1, 2, 3, None, 5, 6]
    assert scores[4].error == "RuntimeError: out of memory"


@pytest.mark.parametrize(
    ("colour", "name"),
    [("#dc2626", "red"), ("#fa8c14", "orange"), ("#25a04a", "green"), ("#2550dc", "blue"), ("#7d32aa", "purple"),
     ("#fa82be", "pink"), ("#784620", "brown"), ("#0f0f0f", "black"), ("#fafafa", "white"), ("#fad21e", "yellow")],
)  # fmt: skip
def test_colours_by_the_pixels(colour: str, name: str) -> None:
    picture = Image.new("RGB", (60, 60), "#808080")
    picture.paste(colour, (10, 10, 50, 50))
    picture.paste("#00c8d7", (10, 10, 50, 22))  # a stripe of another colour takes no vote
    found = Detection("cup", (10, 10, 50, 50), 1.0)
    assert PixelColours(GENEVAL_COLOURS).name(picture, [found], "cup") == [name]


def test_colours_are_read_inside_the_mask() -> None:
    picture = Image.new("RGB", (60, 60), "blue")
    picture.paste("red", (20, 20, 30, 30))
    mask = np.zeros((60, 60), dtype=bool)
    mask[20:30, 20:30] = True
    found = Detection("cup", (0, 0, 60, 60), 1.0, mask)
    assert PixelColours().name(picture, [found], "cup") == ["red"]
    cut = cut_out(picture, found)
    assert cut.getpixel((25, 25)) == (255, 0, 0)
    assert cut.getpixel((5, 5)) == (0x99, 0x99, 0x99)
    with pytest.raises(ValueError, match="mask"):
        cut_out(picture.resize((30, 30)), found)


def test_a_box_outside_the_picture_is_an_error() -> None:
    with pytest.raises(ValueError, match="no pixel"):
        PixelColours().name(Image.new("RGB", (20, 20)), [Detection("cup", (30, 30, 40, 40), 1.0)], "cup")


def test_closed_detectors_say_what_they_know() -> None:
    assert SceneDetector().classes == frozenset(SHAPES)
    assert Asked((), ()).classes == ()
