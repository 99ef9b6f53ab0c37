"""A person opens the caption editor in JupyterLab, selects pictures, edits, undoes and saves."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune.data.examples import write_example

pytestmark = [pytest.mark.browser, pytest.mark.slow]

LOADED = "(panel) => panel.querySelectorAll('.ft-card img[src]').length === 6"


def test_captions(lab: Any, tmp_path: Path) -> None:
    folder = tmp_path / "shape"
    write_example("shape", folder, count=6)
    before = [(folder / f"00{number}.txt").read_text(encoding="utf-8") for number in range(6)]
    source = f"from finetune.panels.captions import CaptionPanel\n\npanel = CaptionPanel({str(folder)!r})\npanel"
    lab.open_cell("captions.ipynb", source)
    page = lab.page
    panel = page.locator(".jp-OutputArea .wb-panel").first
    panel.scroll_into_view_if_needed()
    page.wait_for_function(LOADED, arg=panel.element_handle())
    cards = panel.locator(".ft-card")
    lab.shot("captions-before")

    cards.nth(1).click()
    page.wait_for_function(
        "panel => panel.querySelector('.ft-text textarea').value.includes('wug')", arg=panel.element_handle()
    )
    panel.locator(".ft-text textarea").fill("an entirely new caption")
    panel.locator(".ft-text textarea").press("Tab")
    panel.locator(".wb-status", has_text="1 not saved").wait_for()
    cards.nth(1).locator(".ft-caption", has_text="an entirely new caption").wait_for()

    cards.nth(3).click()
    cards.nth(5).click(modifiers=["Shift"])
    panel.locator(".ft-card.ft-selected").nth(2).wait_for()
    assert cards.nth(4).get_attribute("aria-selected") == "true"
    cards.nth(4).click(modifiers=["Control"])
    page.wait_for_function(
        "panel => panel.querySelectorAll('.ft-card.ft-selected').length === 2", arg=panel.element_handle()
    )
    panel.locator(".ft-find input").fill("wug")
    panel.locator(".ft-replace input").fill("zog")
    panel.locator(".ft-replace input").press("Tab")
    lab.until("print(len(panel.gallery.selected), panel.find.value, panel.by.value)", "2 wug zog")
    panel.locator("button.ft-replace").click()
    panel.locator(".wb-status", has_text="2 changed. 3 not saved.").wait_for()
    lab.shot("captions-changed")

    panel.locator("button.ft-undo").click()
    panel.locator(".wb-status", has_text="2 changed. 1 not saved.").wait_for()
    panel.locator("button.ft-save").click()
    panel.locator(".wb-status", has_text="1 file written.").wait_for()
    after = [(folder / f"00{number}.txt").read_text(encoding="utf-8") for number in range(6)]
    assert after == [before[0], "an entirely new caption\n", *before[2:]]

    panel.locator(".ft-find input").fill("")
    lab.until("print(repr(panel.find.value))", "''")
    panel.locator("button.ft-replace").click()
    panel.locator(".wb-banner", has_text="nothing to find").wait_for()
    lab.assert_clean()
