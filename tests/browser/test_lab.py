"""A person opens a notebook, runs it, presses the button, and sees the picture."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PIXELS = """(image) => {
  const canvas = document.createElement('canvas');
  canvas.width = image.naturalWidth; canvas.height = image.naturalHeight;
  const context = canvas.getContext('2d');
  context.drawImage(image, 0, 0);
  const data = context.getImageData(0, 0, canvas.width, canvas.height).data;
  return [canvas.width, canvas.height, new Set(data).size];
}"""
LOADED = "image => image.complete && image.naturalWidth > 0"


def until(lab: Any, locator: Any, test: str) -> None:
    """Wait until the JavaScript `test` holds for the element."""
    lab.page.wait_for_function(test, arg=locator.element_handle())


def test_generate(lab: Any) -> None:
    lab.open("01_generate.ipynb").run_all()
    page = lab.page
    panel = page.locator(".jp-OutputArea .wb-generation").first
    panel.scroll_into_view_if_needed()
    lab.shot("generate-before")
    panel.locator(".wb-field-steps input").fill("6")
    panel.locator(".wb-field-steps input").press("Tab")
    panel.locator(".wb-generate").click()
    panel.locator(".wb-status", has_text="6 steps").wait_for()
    picture = panel.locator("img.wb-picture")
    until(lab, picture, LOADED)
    width, height, shades = picture.evaluate(PIXELS)
    assert (width, height) == (128, 128)
    assert shades > 10
    page.wait_for_function(
        "panel => panel.querySelectorAll('.wb-strip img[src]').length >= 2", arg=panel.element_handle()
    )
    panel.locator("button.wb-code").click()
    panel.locator(".wb-python pre", has_text="steps=6").wait_for()
    lab.shot("generate-after")

    panel.locator(".wb-strip-item").nth(1).click()  # the star that the notebook made before
    page.wait_for_function(
        "panel => panel.querySelector('.wb-field-prompt textarea').value.includes('yellow star')",
        arg=panel.element_handle(),
    )
    panel.locator(".wb-field-width input").fill("100")
    panel.locator(".wb-field-width input").press("Tab")
    # Values and clicks travel on different comms, which ipykernel may handle in different threads; a person is slower.
    panel.locator(".wb-python pre", has_text="width=100").wait_for()
    panel.locator(".wb-generate").click()
    panel.locator(".wb-banner", has_text="not a multiple of 16").wait_for()
    lab.shot("generate-banner")
    panel.locator(".wb-dismiss").click()
    panel.locator(".wb-banner").wait_for(state="hidden")
    assert lab.kernel("print(panel.form.recipe.prompt)") == "a yellow star on a blue background"
    lab.assert_clean()


def test_grid(lab: Any) -> None:
    lab.open("02_grid.ipynb").run_all()
    page = lab.page
    panel = page.locator(".jp-OutputArea .wb-gridpanel").first
    panel.scroll_into_view_if_needed()
    panel.locator(".wb-summary", has_text="12 stored already").wait_for()
    lab.shot("grid-before")
    panel.locator(".wb-axis-values input").first.fill("1, 4")
    panel.locator(".wb-axis-values input").first.press("Tab")
    panel.locator(".wb-seeds input").fill("0, 5")
    panel.locator(".wb-seeds input").press("Tab")
    panel.locator(".wb-run").click()
    panel.locator(".wb-status", has_text="Done in").wait_for()
    cells = panel.locator(".wb-cell")
    assert cells.count() == 8  # 2 guidance scales, 2 colours, 2 seeds
    cells.last.scroll_into_view_if_needed()
    page.wait_for_function(
        "panel => [...panel.querySelectorAll('.wb-cell img')].every(image => image.naturalWidth > 0)",
        arg=panel.element_handle(),
    )
    cell = panel.get_by_role("button", name="Guidance scale 4, “red” becomes blue, seed 5: done")
    cell.click()
    detail = panel.locator(".wb-detail")
    detail.locator("pre", has_text="prompt: a blue circle on a white background").wait_for()
    until(lab, detail.locator("img.wb-full"), LOADED)
    lab.shot("grid-after")
    cell.press("ArrowLeft")
    assert "Guidance scale 1," in page.evaluate("document.activeElement.getAttribute('aria-label')")

    # A second view of the same model, as after a reload: it asks for its own pixels.
    lab.page.evaluate(
        "() => { const n = window.jupyterapp.shell.currentWidget.content; n.activeCellIndex = n.widgets.length - 1; }"
    )
    lab.command("notebook:insert-cell-above")
    page.evaluate(
        "() => window.jupyterapp.shell.currentWidget.content.activeCell.model.sharedModel.setSource('panel.view')"
    )
    lab.command("notebook:run-cell")
    page.wait_for_function("() => document.querySelectorAll('.wb-grid-view').length === 2")
    second = page.locator(".wb-grid-view").last
    second.locator(".wb-cell").last.scroll_into_view_if_needed()  # pixels come for what is in sight
    page.wait_for_function(
        "view => [...view.querySelectorAll('.wb-cell img')].every(image => image.naturalWidth > 0)",
        arg=second.element_handle(),
    )
    lab.shot("grid-two-views")
    lab.assert_clean()
