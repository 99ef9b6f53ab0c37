"""A person paints a mask on a picture, takes a stroke back, and Python has the mask."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SETUP = """
from IPython.display import display
from PIL import Image
import numpy as np
from workbench.panels.mask import MaskBrush
brush = MaskBrush(Image.linear_gradient('L').resize((128, 96)).convert('RGB'), size=20)
"""
SHARES = "m = np.asarray(brush.mask) > 127; print(m.shape, [round(float(h.mean()), 2) for h in np.hsplit(m, 2)])"


PANEL = """
from pathlib import Path
from PIL import Image
from workbench import GenerationPanel, Recipe, Session
Image.linear_gradient('L').resize((96, 64)).convert('RGB').save('photo.png')
panel = GenerationPanel(Session(), Recipe(prompt='a red circle', steps=2))
print(Path('photo.png').absolute())
"""


def show(lab: Any, name: str) -> None:
    """Run a cell that shows the widget `name` of the kernel."""
    lab.page.evaluate(
        """name => { const notebook = window.jupyterapp.shell.currentWidget.content; notebook.activeCellIndex = 1;
        notebook.activeCell.model.sharedModel.setSource(name); }""",
        name,
    )
    lab.command("notebook:run-cell")


def shares(lab: Any, wanted: Any) -> tuple[float, float]:
    """The painted share of the left and the right half, once `wanted` holds for it; the mask travels in its own time."""
    for _ in range(100):
        shape, _, rest = lab.kernel(SHARES).partition(") ")
        left, right = (float(part) for part in rest.strip("[]").split(","))
        assert shape == "(96, 128"
        if wanted(left, right):
            return left, right
        lab.page.wait_for_timeout(100)
    raise AssertionError((left, right))


def drag(lab: Any, box: dict[str, float], *points: tuple[float, float]) -> None:
    """Draw a line through places given as shares of the canvas."""
    mouse = lab.page.mouse
    for number, (across, down) in enumerate(points):
        mouse.move(box["x"] + across * box["width"], box["y"] + down * box["height"], steps=4)
        if number == 0:
            mouse.down()
    mouse.up()


def test_paint_erase_undo_invert_clear(lab: Any) -> None:
    lab.open("01_generate.ipynb")
    lab.kernel(SETUP)
    page = lab.page
    show(lab, "brush")
    widget = page.locator(".jp-OutputArea .wb-mask").first
    canvas = widget.locator("canvas")
    canvas.wait_for()
    widget.scroll_into_view_if_needed()
    page.wait_for_function("mask => mask.querySelector('img').naturalWidth === 128", arg=widget.element_handle())
    box = canvas.bounding_box()
    assert abs(box["width"] / box["height"] - 128 / 96) < 0.02

    drag(lab, box, (0.1, 0.2), (0.1, 0.8), (0.4, 0.8))
    left, right = shares(lab, lambda left, right: left > 0)
    assert 0.15 < left < 0.6
    assert right == 0
    drag(lab, box, (0.8, 0.1), (0.8, 0.9))
    shares(lab, lambda left, right: right > 0.15)
    lab.shot("mask-painted")
    widget.locator(".wb-mask-undo").click()
    assert shares(lab, lambda left, right: right == 0)[0] == left

    widget.locator(".wb-mask-erase").click()
    drag(lab, box, (0.1, 0.2), (0.1, 0.8), (0.4, 0.8))
    shares(lab, lambda left, right: left == 0)
    canvas.press("z")
    shares(lab, lambda now, right: now == left)
    widget.locator(".wb-mask-invert").click()
    shares(lab, lambda now, right: right == 1 and abs(now - (1 - left)) < 0.02)
    widget.locator(".wb-mask-clear").click()
    shares(lab, lambda now, right: now == right == 0)

    # What Python paints is seen, and painted on.
    lab.kernel("m = np.zeros((96, 128), np.uint8); m[:, 96:] = 255; brush.mask = Image.fromarray(m)")
    page.wait_for_function(
        """mask => { const c = mask.querySelector('canvas');
        return c.getContext('2d').getImageData(120, 50, 1, 1).data[3] > 200; }""",
        arg=widget.element_handle(),
    )
    widget.locator(".wb-mask-paint").click()
    drag(lab, box, (0.2, 0.5), (0.21, 0.5))
    shares(lab, lambda left, right: left > 0.02 and right == 0.5)
    lab.shot("mask-both")
    lab.assert_clean()


def test_upload_paint_and_generate_in_the_panel(lab: Any) -> None:
    lab.open("01_generate.ipynb")
    photo = lab.kernel(PANEL)
    show(lab, "panel")
    page = lab.page
    panel = page.locator(".jp-OutputArea .wb-generation").first
    panel.locator(".wb-more").get_by_text("Pictures").click()
    with page.expect_file_chooser() as chooser:
        panel.locator(".wb-field-image .widget-upload").click()
    chooser.value.set_files(photo)
    panel.locator(".wb-field-image img[src]").wait_for()
    panel.locator(".wb-paint-mask").click()
    canvas = panel.locator(".wb-mask canvas")
    canvas.wait_for()
    canvas.scroll_into_view_if_needed()
    drag(lab, canvas.bounding_box(), (0.2, 0.2), (0.2, 0.8))
    page.wait_for_function(
        "panel => panel.querySelector('.wb-field-mask input[type=text]').value.length === 64",
        arg=panel.element_handle(),
    )
    lab.shot("panel-pictures")
    panel.locator(".wb-generate").click()
    panel.locator(".wb-status", has_text="96 × 64, 2 steps").wait_for()
    panel.locator("button.wb-reference").click()
    panel.locator(".wb-references input[type=text]").first.wait_for()
    lab.shot("panel-reference")
    lab.kernel("import numpy as np; made = Image.open(panel.session.store.path(panel.history.current))")
    lab.kernel("kept = [np.asarray(picture)[:, 60:] for picture in (made, Image.open('photo.png'))]")
    assert lab.kernel("print((kept[0] == kept[1]).all(), panel.form.recipe.task)") == "True None"
    lab.assert_clean()
