"""The grid page in a real browser: views, keys, viewer, URL hash, and markup that stays text."""

from __future__ import annotations

import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from workbench.engine.events import CancelToken
from workbench.grid import Grid
from workbench.session import Session
from workbench.settings import settings

pytestmark = pytest.mark.browser
CHROMIUM = shutil.which("chromium") or shutil.which("chromium-browser") or shutil.which("google-chrome")
EVIL = "<img src=x onerror='window.broken=1'><script>window.broken=1</script>"


@pytest.fixture(scope="module")
def page_file(tiny_klein: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("grid")
    session = Session(settings(home=folder / "home", models=tiny_klein.root, device="cpu"))
    grid = Grid(
        {"model": "tiny-base", "prompt": f"a red circle {EVIL}", "width": 64, "height": 64},
        [
            {"field": "steps", "values": [1, 2, 3]},
            {"replace": "red", "title": "Colour", "values": ["red", "blue", EVIL]},
            {"field": "guidance_scale", "values": [1, 3]},
        ],
        seeds=[7, 9],
        title=f"Page {EVIL}",
        skip=[{"Steps": 3, "Colour": "blue"}],
    )
    return grid.run(session, cancel=CancelToken()).save_html(folder / "grid.html")


@pytest.fixture
def page(page_file: Path) -> Iterator[Any]:
    if CHROMIUM is None:
        pytest.skip("Chromium is not installed")
    from playwright.sync_api import sync_playwright

    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-dev-shm-usage"])
        tab = browser.new_page(viewport={"width": 1200, "height": 900})
        problems: list[str] = []
        tab.on("pageerror", lambda error: problems.append(str(error)))
        tab.on("console", lambda message: problems.append(message.text) if message.type == "error" else None)
        tab.on("request", lambda request: problems.append(request.url) if request.url.startswith("http") else None)
        tab.goto(page_file.as_uri())
        yield tab
        assert not problems
        assert tab.evaluate("window.broken") is None
        browser.close()


def at(page: Any, part: str) -> None:
    """Wait until the address says `part`."""
    page.wait_for_function("part => location.hash.includes(part)", arg=part)


def test_all_axes_are_shown_and_roles_can_be_changed(page: Any) -> None:
    assert page.locator(".shot").count() == 2 * (9 - 1) * 2
    assert page.locator(".hole").count() == 4
    assert EVIL in page.locator("tbody th").all_inner_texts()
    page.get_by_label("Group columns").select_option(label="—")
    assert page.locator(".shot").count() == (9 - 1) * 2
    page.get_by_role("tab", name="3").click()
    at(page, "t2=1")
    assert "Guidance scale 3" in page.locator(".shot").first.get_attribute("aria-label")
    page.get_by_label("Inside cells").select_option(label="—")
    assert page.locator(".shot").count() == 8
    headers = page.locator("thead th").all_inner_texts()
    page.get_by_role("button", name="Transpose").click()
    assert page.locator("thead th").all_inner_texts() != headers
    page.reload()  # the hash holds the view
    assert page.locator(".shot").count() == 8
    assert page.get_by_label("Columns", exact=True).locator("option:checked").inner_text() == "Colour"


def test_values_can_be_hidden_but_never_all(page: Any) -> None:
    page.locator(".values summary").click()
    boxes = page.locator(".values fieldset").first.get_by_role("checkbox")
    boxes.nth(0).uncheck()
    assert page.locator(".shot").count() == 2 * 5 * 2
    boxes.nth(1).uncheck()
    boxes.nth(2).click()
    assert boxes.nth(2).is_checked()
    assert page.locator(".values summary").inner_text().startswith("Values (2 hidden)")


def test_the_viewer_shows_the_recipe_and_walks_with_the_arrow_keys(page: Any) -> None:
    page.locator(".shot").first.click()
    viewer = page.locator("dialog.viewer")
    assert viewer.is_visible()
    assert "prompt: a red circle" in viewer.locator(".recipe").inner_text()
    assert "Digest" in viewer.locator(".facts").inner_text()
    at(page, "open=0.0")
    page.keyboard.press("ArrowRight")
    at(page, "open=0.1")
    page.keyboard.press("ArrowDown")
    at(page, "open=2.1")
    page.keyboard.press("ArrowUp")
    page.keyboard.press("Escape")
    assert not viewer.is_visible()
    page.wait_for_function("() => !location.hash.includes('open=')")  # a dialog tells of its closing later
    assert page.evaluate("document.activeElement.dataset.cell + '.' + document.activeElement.dataset.seed") == "0.1"
    page.keyboard.press("ArrowLeft")
    page.keyboard.press("Enter")
    at(page, "open=0.0")
    page.reload()  # a link to one picture
    assert viewer.is_visible()


def test_arrow_keys_pass_over_holes(page: Any) -> None:
    page.locator('.shot[data-cell="12"][data-seed="0"]').focus()  # steps 3, red; below it is the hole
    page.keyboard.press("ArrowDown")
    assert page.evaluate("document.activeElement.dataset.cell") == "16"


def test_pictures_zoom_and_keep_their_shape(page: Any) -> None:
    slider = page.get_by_label("Picture size in pixels")
    slider.fill("200")
    box = page.locator(".shot.done").first.bounding_box()
    assert box["width"] == pytest.approx(200, abs=0.5)
    assert box["height"] == pytest.approx(200, abs=0.5)
    page.get_by_role("button", name="1:1").click()
    assert page.locator(".shot.done").first.bounding_box()["width"] == pytest.approx(64, abs=0.5)
    at(page, "size=64")


def test_headers_stay_in_sight(page: Any) -> None:
    page.get_by_label("Picture size in pixels").fill("500")
    stage = page.locator(".stage")
    stage.evaluate("element => element.scrollTo(900, 900)")
    edge = stage.bounding_box()
    header, row = page.locator("thead th.corner").first, page.locator("tbody th.row").nth(2)
    assert header.bounding_box()["y"] == pytest.approx(edge["y"], abs=2)
    assert row.bounding_box()["x"] == pytest.approx(edge["x"], abs=26)


@pytest.mark.parametrize("hash_", ["#r0=x&r1=x&r2=nonsense", "#t0=99&h0=0.1.2&size=-5&page=9&open=99.9", "#%ff=%00"])
def test_a_strange_hash_gives_a_usable_page(page: Any, page_file: Path, hash_: str) -> None:
    page.goto("about:blank")
    page.goto(page_file.as_uri() + hash_)
    assert page.locator(".shot").count() > 0
