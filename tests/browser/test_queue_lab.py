"""The queue panel in JupyterLab: jobs appear, are canceled and retried in their rows, drawn here, and shown."""

from __future__ import annotations

from typing import Any

import pytest

pytestmark = [pytest.mark.browser, pytest.mark.slow]

SOURCE = """import workbench as wb

panel = wb.QueuePanel()
shapes = [wb.Recipe(model="klein-nano", prompt=f"a red {shape}", width=64, height=64, steps=1)
          for shape in ("circle", "square", "star")]
panel.queue.submit(shapes, title="shapes")
panel.queue.submit_evals(["no-such-suite", "--models", "klein-nano", "--out", "run"], priority=-1)
panel"""


def test_jobs_are_steered_and_drawn_in_the_panel(lab: Any) -> None:
    lab.open_cell("queue.ipynb", SOURCE)
    panel = lab.page.locator(".jp-OutputArea .wb-queue").first
    rows = panel.locator("tbody tr")
    rows.nth(3).wait_for()
    star = panel.locator("tr", has_text="a red star")
    star.get_by_role("button", name="Cancel").click()
    star.locator(".wb-queue-state", has_text="canceled").wait_for()
    star.get_by_role("button", name="Retry").click()
    star.locator(".wb-queue-state", has_text="pending").wait_for()
    square = panel.locator("tr", has_text="a red square")
    square.get_by_role("button", name="Cancel").click()
    square.locator(".wb-queue-state", has_text="canceled").wait_for()
    lab.shot("queue-waiting")
    panel.locator("button.wb-work").click()
    star.locator(".wb-queue-state", has_text="completed").wait_for()
    star.locator("img[src^='blob:']").wait_for()
    failed = panel.locator("tr.wb-queue-failed")
    failed.get_by_text("no-such-suite").first.wait_for()
    assert square.locator(".wb-queue-state").inner_text() == "canceled"
    panel.locator("button.wb-pause").click()
    panel.get_by_text("paused").first.wait_for()
    lab.shot("queue-done")
    panel.locator("button.wb-clear").click()
    panel.get_by_text("The queue is empty").wait_for()
