"""Recall and dynamic prompts in the generation panel."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any

import pytest

from tests.metadata import recall_samples as samples
from workbench.panels.generation import GenerationPanel
from workbench.recipe import Recipe, resolve
from workbench.session import Session

WAIT = 120.0  # seconds; only a hang reaches it


@pytest.fixture
def panel(session: Session, small: Recipe) -> GenerationPanel:
    return GenerationPanel(session, small)


def upload(panel: GenerationPanel, data: bytes) -> None:
    now = datetime.now(UTC)
    file = {"name": "x.png", "type": "", "size": len(data), "content": memoryview(data), "last_modified": now}
    panel.recall.set_trait("value", (file,))


def test_a_picture_of_ours_fills_the_form(panel: GenerationPanel, session: Session, small: Recipe) -> None:
    result = session.generate(small.replace(prompt="a blue dot", seed=5))
    upload(panel, session.store.path(result.digest).read_bytes())
    assert resolve(panel.form.recipe, session.catalog).digest == result.digest
    assert panel.banner.text == ""
    assert panel.recall.value == ()


def test_what_another_tool_said_and_a_recipe_does_not_is_told(panel: GenerationPanel) -> None:
    upload(panel, samples.png({"parameters": samples.A1111}))
    assert panel.form.recipe.prompt == "a cat"
    assert "Read from AUTOMATIC1111" in panel.banner.text
    assert "and 2 more" in panel.banner.text
    upload(panel, b"no picture")
    assert "no PNG, JPEG or WebP" in panel.banner.text
    assert panel.form.recipe.prompt == "a cat"


def test_a_dynamic_prompt_makes_a_picture_of_each(panel: GenerationPanel, session: Session, small: Recipe) -> None:
    panel.restore(small.replace(prompt="a {red|green} dot", seed=77))
    panel.dynamic.tick.value = True
    seen: list[Any] = []
    show = panel.show
    panel.show = lambda key, value: (seen.append(key), show(key, value))  # type: ignore[method-assign,assignment]
    panel.generate_button.click()
    assert panel.wait(WAIT)
    assert panel.banner.text == ""
    assert len([key for key in seen if key.startswith("result")]) == 2
    for prompt in ("a red dot", "a green dot"):
        assert session.generate(small.replace(prompt=prompt, seed=77)).reused
    names: dict[str, Any] = {"Session": lambda: session}
    code = panel.dynamic.python_code(panel.form.recipe).replace(", Session", "")
    exec(code, names)
    assert [result.reused for result in names["results"]] == [True, True]
    panel.dynamic.number.value = 1
    assert 'mode="random", number=1' in panel.dynamic.python_code(panel.form.recipe)
    assert len(panel.dynamic.recipes(panel.form.recipe)) == 1
    panel.restore(small.replace(prompt="a {red dot"))
    panel.generate_button.click()
    assert "without its '}'" in panel.banner.text
    panel.dynamic.tick.value = False
    assert panel.dynamic.recipes(panel.form.recipe) == [panel.form.recipe]
