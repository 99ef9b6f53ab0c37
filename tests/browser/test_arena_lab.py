"""A rater judges a contest with the keyboard in JupyterLab, zooms, takes a vote back, and sees who was who."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from PIL import Image, ImageDraw

from evals.arena import Contest, Entry, make_contest, read_votes

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PROMPTS = ["a red circle on a white background", "a blue square <b>left</b> of a star", "the word OPEN on a sign"]
LOADED = """(box) => { const images = [...box.querySelectorAll('.wb-arena-frame img')];
  return images.length === 2 && images.every((image) => image.naturalWidth > 0)
    && !box.querySelector('.wb-arena-waiting'); }"""


def drawing(contender: int, prompt: int) -> Image.Image:
    """A picture that tells its contender by its size: the first draws large things, the second small ones."""
    picture = Image.new("RGB", (128, 128), "white")
    side = 50 - 30 * contender
    colour = ("crimson", "royalblue", "seagreen")[prompt % 3]
    ImageDraw.Draw(picture).ellipse((64 - side, 64 - side, 64 + side, 64 + side), fill=colour, outline="black")
    return picture


@pytest.fixture(scope="module")
def contest(tmp_path_factory: pytest.TempPathFactory) -> Contest:
    entries = [
        Entry(name, f"p{prompt}", text, 0, lambda c=contender, p=prompt: drawing(c, p))  # type: ignore[misc]
        for contender, name in enumerate(("secret-large", "secret-small"))
        for prompt, text in enumerate(PROMPTS)
    ]
    return make_contest(tmp_path_factory.mktemp("arena") / "contest", entries, title="Large against small")


def judged(page: Any, box: Any, count: int) -> None:
    """Wait until `count` pairs are judged and the pictures of the next one are there."""
    box.locator(".wb-arena-count", has_text=f"{count} of ").wait_for()
    if count < len(PROMPTS):
        page.wait_for_function(LOADED, arg=box.element_handle())


def test_arena(lab: Any, contest: Contest) -> None:
    source = f"from evals.panels import ArenaPanel\npanel = ArenaPanel({str(contest.folder)!r}, 'ada')\npanel"
    lab.open_cell("arena.ipynb", source)
    page = lab.page
    box = page.locator(".jp-OutputArea .wb-arena")
    box.wait_for()
    judged(page, box, 0)
    lab.shot("arena-pair")
    assert not any(name in page.content() for name in contest.contenders)
    sides = [[pair.left, pair.right] for pair in _pairs(contest)]

    box.focus()
    box.press("ArrowLeft" if sides[0][0] == 0 else "ArrowRight")  # the large one
    judged(page, box, 1)
    box.press("Space")
    judged(page, box, 2)
    box.press("u")
    judged(page, box, 1)
    assert "<b>left</b>" in "".join(PROMPTS)
    assert box.locator(".wb-arena-prompt b").count() == 0  # a prompt is text, never markup

    frames = box.locator(".wb-arena-frame")
    frames.nth(0).dblclick(position={"x": 20, "y": 20})
    transforms = box.evaluate("box => [...box.querySelectorAll('.wb-arena-frame img')].map((i) => i.style.transform)")
    assert transforms[0] == transforms[1]
    assert "scale(3)" in transforms[0]
    bounds = frames.nth(1).bounding_box()
    page.mouse.move(bounds["x"] + 100, bounds["y"] + 100)
    page.mouse.down()
    page.mouse.move(bounds["x"] + 60, bounds["y"] + 100, steps=4)
    page.mouse.up()
    moved = box.evaluate("box => [...box.querySelectorAll('.wb-arena-frame img')].map((i) => i.style.transform)")
    assert moved[0] == moved[1] != transforms[0]
    lab.shot("arena-zoom")
    box.press("0")
    box.locator(".wb-arena-button.wb-tie").click()
    judged(page, box, 2)
    box.press("ArrowLeft" if sides[2][0] == 0 else "ArrowRight")
    box.get_by_text("All pairs are judged").wait_for()
    assert [vote.choice for vote in read_votes(contest)][1] == "tie"
    assert all(vote.seconds is not None and vote.seconds > 0 for vote in read_votes(contest))
    assert not any(name in page.content() for name in contest.contenders)

    box.locator(".wb-end").click()
    box.locator(".wb-reveal").click()
    table = box.locator(".wb-arena-table")
    table.wait_for()
    assert table.locator("tbody th").all_inner_texts() == ["secret-large", "secret-small"]
    assert table.locator("svg circle").count() == 2
    box.get_by_text("cannot be told from").wait_for()  # three votes show nothing, and the panel says so
    box.locator(".wb-export").click()
    box.locator(".wb-arena-saved", has_text="votes.parquet").wait_for()
    assert (Path(contest.folder) / "results" / "result.json").is_file()
    lab.shot("arena-results")
    lab.assert_clean()


def _pairs(contest: Contest) -> Any:
    from evals.arena import Ballot

    return Ballot(contest, "ada").pairs
