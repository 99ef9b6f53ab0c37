from __future__ import annotations

import base64
import io
from dataclasses import replace
from random import Random
from typing import Any

import numpy as np
import pytest
from PIL import Image

from evals.adherence.asks import AskError
from evals.adherence.geneval import SceneAdherence
from evals.adherence.nano_suites import ask_of_edit
from evals.fidelity.edit_ask import read_edit, region_of
from evals.fidelity.edits import EditScorer, judge_scene, pixel_distances
from evals.scoring import Sample, Score
from tests.evals.judging import damaged
from workbench.nano.edits import COMPOSITIONS, EDITS, Edit, describe, sample_edit
from workbench.nano.render import render
from workbench.nano.scenes import Item, Scene


def drawn(scene: Scene, side: int = 128) -> Image.Image:
    return Image.fromarray(render(scene, side))


def judged(edit: Edit, picture: Image.Image) -> Score:
    references = tuple(map(drawn, edit.references))
    return EditScorer().score([Sample(picture, edit.prompt, "", ask_of_edit(edit), references)])[0]


def edits(kind: str, count: int = 5) -> list[Edit]:
    rng = Random(sum(map(ord, kind)))
    return [sample_edit(rng, kind=kind) for _ in range(count)]


@pytest.mark.parametrize("kind", EDITS)
def test_a_faithful_edit_is_right_and_no_edit_wrong(kind: str) -> None:
    for index, edit in enumerate(edits(kind)):
        target = render(edit.target)
        for pixels in (target, damaged(target, index)):
            score = judged(edit, Image.fromarray(pixels))
            assert score.values["faithful"] == 1, (edit.prompt, score)
        nothing = judged(edit, drawn(edit.references[0]))
        assert nothing.values["changed"] == 0, (edit.prompt, nothing)
        assert nothing.values["faithful"] == 0


@pytest.mark.parametrize("kind", EDITS)
def test_whatever_else_changes_is_unfaithful(kind: str) -> None:
    for edit in edits(kind, 3):
        target = edit.target
        if kind != "background":
            other = next(
                name
                for name in ("white", "yellow", "cyan", "green")
                if name not in {target.background, *(item.colour for item in target.items)}
            )
            score = judged(edit, drawn(replace(target, background=other)))
            assert score.values["faithful"] == 0, edit.prompt
            assert (score.values["kept"] or 0) < 1
        kept = [item for item in target.items if item in edit.references[0].items and not item.text]
        if kept:
            without = tuple(item for item in target.items if item is not kept[0])
            assert judged(edit, drawn(replace(target, items=without))).values["faithful"] == 0, edit.prompt
            moved = replace(kept[0], x=kept[0].x + (0.2 if kept[0].x < 0.5 else -0.2))
            items = tuple(moved if item is kept[0] else item for item in target.items)
            assert judged(edit, drawn(replace(target, items=items))).values["faithful"] == 0, edit.prompt


@pytest.mark.parametrize("size", [(192, 96), (96, 160)])
def test_pictures_that_are_not_square(size: tuple[int, int]) -> None:
    for kind in ("recolour", "remove", "add", "resize", "background"):
        for edit in edits(kind, 2):
            before = Image.fromarray(render(edit.references[0], *size))
            after = Image.fromarray(render(edit.target, *size))
            ask = ask_of_edit(edit)
            right, nothing = EditScorer().score([Sample(each, "", "", ask, (before,)) for each in (after, before)])
            assert (right.values["faithful"], nothing.values["faithful"]) == (1, 0), (edit.prompt, right, nothing)


def test_an_object_that_nobody_asked_for_is_unfaithful() -> None:
    before = describe("white", Item("circle", "red", 0.3, 0.3, 0.15))
    after = describe("white", Item("circle", "blue", 0.3, 0.3, 0.15), Item("star", "green", 0.75, 0.75, 0.15))
    edit = Edit(
        "recolour", "make the circle blue", (before,), describe("white", Item("circle", "blue", 0.3, 0.3, 0.15))
    )
    score = judged(edit, drawn(after))
    assert (score.values["changed"], score.values["faithful"]) == (1, 0)
    assert score.values["kept"] == pytest.approx(1 / 2)
    assert score.seen["why"] == ["1 objects that nobody asked for"]


def test_the_wrong_colour_is_no_change_and_leaves_the_rest_kept() -> None:
    scene = describe("white", Item("circle", "red", 0.25, 0.5, 0.15), Item("star", "blue", 0.75, 0.5, 0.15))
    edit = Edit("recolour", "make the circle green", (scene,), scene)
    ask: dict[str, Any] = {"edit": {"kind": "recolour", "changed": {"class": "circle"}, "to": {"colour": "green"}}}
    wrong = describe("white", Item("circle", "purple", 0.25, 0.5, 0.15), scene.items[1])
    score = EditScorer().score([Sample(drawn(wrong), edit.prompt, "", ask, (drawn(scene),))])[0]
    assert (score.values["changed"], score.values["kept"]) == (0, 1)


def test_pixels_outside_the_edit() -> None:
    scene = describe("white", Item("circle", "red", 0.25, 0.5, 0.12), Item("star", "blue", 0.75, 0.5, 0.12))
    blue = describe("white", replace(scene.items[0], colour="green"), scene.items[1])
    edit = Edit("recolour", "make the circle green", (scene,), blue)
    clean = judged(edit, drawn(blue))
    assert clean.values["outside_delta_e"] == pytest.approx(0, abs=1e-6)
    noisy = np.clip(render(blue).astype(int) + np.random.default_rng(0).integers(-20, 21, (128, 128, 3)), 0, 255)
    assert (judged(edit, Image.fromarray(noisy.astype(np.uint8))).values["outside_delta_e"] or 0) > 2
    # Another size is judged by its objects; its pixels cannot be compared.
    large = judged(edit, drawn(blue, 256))
    assert (large.values["faithful"], large.values["outside_delta_e"]) == (1, None)


@pytest.mark.parametrize("kind", COMPOSITIONS)
def test_compositions_are_judged_by_what_they_show(kind: str) -> None:
    for edit in edits(kind, 3):
        if len({item.shape for item in edit.target.items}) < len(edit.target.items):
            continue
        ask = ask_of_edit(edit)
        sample = Sample(drawn(edit.target), edit.prompt, "", ask)
        assert SceneAdherence().score([sample])[0].values["all_right"] == 1, edit.prompt


def photo(seed: int) -> Image.Image:
    """A soft random picture."""
    pixels = np.random.default_rng(seed).integers(0, 256, (8, 8, 3), dtype=np.uint8)
    return Image.fromarray(pixels).resize((96, 64), Image.Resampling.BICUBIC)


def mask_of(region: np.ndarray) -> str:
    file = io.BytesIO()
    Image.fromarray(region).save(file, "PNG")
    return base64.b64encode(file.getvalue()).decode()


@pytest.mark.parametrize("by_mask", [False, True])
def test_marked_regions_of_any_picture(by_mask: bool) -> None:
    before, patch = photo(1), photo(2).crop((0, 0, 48, 32))
    region = np.zeros((64, 96), dtype=bool)
    region[16:48, 24:72] = True
    edit: dict[str, Any] = {"kind": "region"}
    edit |= {"mask": mask_of(region)} if by_mask else {"box": [0.25, 0.25, 0.75, 0.75]}
    inside, everywhere = before.copy(), photo(2)
    inside.paste(patch, (24, 16))
    scores = EditScorer().score(
        [Sample(picture, "", "", {"edit": edit}, (before,)) for picture in (inside, before, everywhere)]
    )
    assert [score.values["faithful"] for score in scores] == [1, 0, 0]
    assert [score.values["changed"] for score in scores] == [1, 0, 1]
    assert scores[0].values["kept"] == scores[1].values["kept"] == 1
    assert (scores[2].values["kept"] or 0) < 0.5
    assert scores[0].values["outside_delta_e"] == 0


@pytest.mark.parametrize(
    ("edit", "match"),
    [
        ({"kind": "recolor"}, "cannot be read"),
        ({"kind": "region"}, "needs a box or a mask"),
        ({"kind": "region", "box": [0.5, 0.5, 0.5, 0.9]}, "empty"),
        ({"kind": "region", "box": [0, 0, 1, 1]}, "whole picture"),
        ({"kind": "region", "mask": "no base64!"}, "no PNG"),
        ({"kind": "region", "mask": mask_of(np.ones((5, 5), dtype=bool))}, "The mask is 5x5"),
        ({"kind": "remove", "changed": {"class": "heart"}}, "0 objects that fit 'heart'"),
    ],
)
def test_edits_that_cannot_be_judged_are_errors(edit: dict[str, Any], match: str) -> None:
    scene = drawn(describe("white", Item("circle", "red", 0.5, 0.5, 0.2)))
    score = EditScorer().score([Sample(scene, "", "", {"edit": edit}, (scene,))])[0]
    assert match in score.error


def test_rows_without_an_edit_or_a_reference() -> None:
    picture = Image.new("RGB", (32, 32))
    scores = EditScorer().score([Sample(picture, "", ""), Sample(picture, "", "", {"edit": {"kind": "remove"}})])
    assert set(scores[0].values.values()) == {None}
    assert "no reference" in scores[1].error


def test_which_of_two_equal_shapes_is_meant() -> None:
    scene = drawn(describe("white", Item("circle", "red", 0.25, 0.5, 0.15), Item("circle", "blue", 0.75, 0.5, 0.15)))
    edit = read_edit({"edit": {"kind": "remove", "changed": {"class": "circle", "colour": "blue"}}})
    assert edit is not None
    left = drawn(describe("white", Item("circle", "red", 0.25, 0.5, 0.15)))
    assert judge_scene(scene, left, edit).changed
    vague = read_edit({"edit": {"kind": "remove", "changed": {"class": "circle"}}})
    assert vague is not None
    with pytest.raises(AskError, match="2 objects"):
        judge_scene(scene, left, vague)


def test_regions_and_distances_are_in_pixels() -> None:
    edit = read_edit({"edit": {"kind": "region", "box": [0.0, 0.5, 0.5, 1.0]}})
    assert edit is not None
    region = region_of(edit, 40, 20)
    assert region.shape == (20, 40)
    assert region.sum() == 10 * 20
    assert region[15, 5]
    distances = pixel_distances(Image.new("RGB", (4, 3), "black"), Image.new("RGB", (4, 3), "white"))
    assert distances.shape == (3, 4)
    assert distances == pytest.approx(100, abs=1e-3)
