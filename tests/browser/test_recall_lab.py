"""A person gives a picture of another tool to the panel, and lets one prompt stand for two."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from tests.metadata import recall_samples as samples

pytestmark = [pytest.mark.browser, pytest.mark.slow]

PANEL = """
from workbench import GenerationPanel, Recipe, Session
panel = GenerationPanel(Session(home=HOME), Recipe(prompt='a red circle', steps=2))
panel
"""


def test_recall_and_dynamic_prompts_in_the_panel(lab: Any, tmp_path: Path) -> None:
    path = tmp_path / "forge.png"
    text = samples.FORGE.replace("a lighthouse at dusk", "a {red|blue} circle").replace("1024x768", "64x64")
    path.write_bytes(samples.png({"parameters": text.replace("Steps: 20", "Steps: 2").replace("<lora:oils:0.8>", "")}))
    home = repr(str(tmp_path / "home"))  # the server's home holds the pictures of the other tests
    lab.open_cell("recall.ipynb", PANEL.replace("HOME", home))
    button = lab.page.locator(".wb-recall")
    button.wait_for()
    with lab.page.expect_file_chooser() as chooser:
        button.click()
    chooser.value.set_files(str(path))
    lab.until("print(panel.form.recipe.prompt.split(',')[0])", "a {red|blue} circle")
    lab.page.locator(".wb-banner").get_by_text("Read from AUTOMATIC1111").first.wait_for()
    assert lab.kernel("print(panel.form.recipe.seed, panel.form.recipe.model)") == "4242 FLUX.1-dev"
    lab.kernel("panel.restore(panel.form.recipe.replace(model='klein-nano', guidance_scale=None))")
    lab.page.locator(".wb-dynamic input[type=checkbox]").check()
    lab.until("print(panel.dynamic.tick.value)", "True")
    lab.page.locator(".wb-generate").click()
    lab.until("print(len(panel.session.store.recent()))", "2")
    prompts = lab.kernel("print(sorted(p.recipe.prompt.split(',')[0] for p in panel.session.store.recent()))")
    assert prompts == "['a blue circle', 'a red circle']"
    assert lab.errors == []
