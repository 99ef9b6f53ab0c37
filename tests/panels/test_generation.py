"""The generation panel without a browser: press the buttons, look at the traits."""

from __future__ import annotations

import ast
import io
import threading
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from workbench.engine.events import Step
from workbench.panels.generation import GenerationPanel, python_code
from workbench.panels.worker import planner_of, worker_of
from workbench.recipe import Adapter, Recipe, resolve
from workbench.session import Session
from workbench.store.png import read_picture

WAIT = 120.0  # seconds; only a hang reaches it


@pytest.fixture
def panel(session: Session, small: Recipe) -> GenerationPanel:
    return GenerationPanel(session, small)


def shown(panel: GenerationPanel) -> Image.Image:
    return Image.open(io.BytesIO(panel.picture.value)).convert("RGB")


def press(panel: GenerationPanel) -> None:
    panel.generate_button.click()
    assert panel.wait(WAIT)


def test_the_button_makes_the_picture_of_the_form(panel: GenerationPanel, session: Session, small: Recipe) -> None:
    press(panel)
    assert panel.banner.text == ""
    expected = session.generate(small)
    assert expected.picture is not None
    assert shown(panel).tobytes() == expected.picture.tobytes()
    assert panel.picture.layout.display != "none"
    assert "64 × 64, 2 steps" in panel.status.value
    assert panel.cancel_button.disabled
    assert panel.history.current == resolve(small, session.catalog).digest
    assert panel.history.current in [item["id"] for item in panel.history.items]
    stored = session.store.get(expected.digest)
    assert stored is not None
    assert str(stored.path) in panel.path.value


def test_generate_returns_before_the_picture_is_there(panel: GenerationPanel, session: Session) -> None:
    gate = threading.Event()
    worker_of(session).submit("something long", lambda token: gate.wait(WAIT))
    panel.form.dice.click()
    panel.generate_button.click()
    assert panel.unfinished()
    assert panel.picture.value == b""
    gate.set()
    assert panel.wait(WAIT)
    assert panel.picture.value != b""


def test_previews_and_progress_arrive_before_the_picture(panel: GenerationPanel, small: Recipe) -> None:
    seen: list[tuple[str, Any]] = []
    show = panel.show
    panel.show = lambda key, value: (seen.append((key, value)), show(key, value))  # type: ignore[method-assign,assignment]
    panel.restore(small.replace(seed=91, steps=3))
    press(panel)
    steps = [value for _, value in seen if isinstance(value, Step)]
    assert steps
    assert steps[-1].step <= 3
    assert all(step.preview is not None and max(step.preview.size) <= 64 for step in steps)
    results = [number for number, (key, _) in enumerate(seen) if key.startswith("result")]
    assert max(number for number, (_, value) in enumerate(seen) if isinstance(value, Step)) < results[0]


def test_two_presses_make_two_pictures(panel: GenerationPanel, session: Session, small: Recipe) -> None:
    before = len(session.store.recent(1000))
    for seed in (51, 52):
        panel.restore(small.replace(seed=seed))
        panel.generate_button.click()
    assert panel.wait(WAIT)
    assert len(session.store.recent(1000)) == before + 2
    assert "seed 52" in panel.status.value
    assert [item["title"].split(" · ")[1] for item in panel.history.items[:2]] == ["seed 52", "seed 51"]


def test_cancel_stops_the_current_picture_and_not_the_next(panel: GenerationPanel, small: Recipe) -> None:
    begun = threading.Event()
    show = panel._listen
    panel._listen = lambda event: (begun.set() if isinstance(event, Step) else None, show(event))  # type: ignore[method-assign,assignment]
    panel.restore(small.replace(seed=61, steps=1000))
    panel.generate_button.click()
    panel.restore(small.replace(seed=62))
    panel.generate_button.click()
    assert begun.wait(WAIT)
    panel.cancel_button.click()
    assert panel.wait(WAIT)
    seeds = [item["title"] for item in panel.history.items]
    assert any("seed 62" in title for title in seeds)
    assert not any("seed 61" in title for title in seeds)
    assert "seed 62" in panel.status.value


def test_a_mistake_shows_at_once_even_while_the_worker_is_busy(panel: GenerationPanel, session: Session) -> None:
    gate = threading.Event()
    busy = worker_of(session).submit("a long grid", lambda token: gate.wait(WAIT))
    panel.form.controls["width"].widget.value = "100"
    panel.generate_button.click()
    assert panel.wait(WAIT)  # the panel's own jobs are over while the worker still waits
    assert busy.active
    assert "width 100 is not a multiple of 16" in panel.banner.text
    assert "Failed" in panel.status.value
    gate.set()
    panel.form.controls["width"].widget.value = "64"
    press(panel)
    assert panel.banner.text == ""  # a good one clears the banner


def test_typing_mistakes_never_reach_the_queue(panel: GenerationPanel) -> None:
    panel.form.controls["steps"].widget.value = "zero"
    panel.generate_button.click()
    assert panel.unfinished() == []
    assert "'zero' is not a whole number" in panel.banner.text


def test_an_unknown_adapter_is_a_banner(panel: GenerationPanel, small: Recipe) -> None:
    panel.restore(small.replace(adapters=(Adapter(name="absent"),)))
    press(panel)
    assert "no adapter 'absent'" in panel.banner.text


def test_a_prompt_that_is_too_long_is_warned_about(panel: GenerationPanel, small: Recipe) -> None:
    panel.restore(small.replace(prompt="a red dot " * 200))
    press(panel)
    assert "wb-warning" in panel.banner._dom_classes
    assert "token" in panel.banner.text
    assert panel.picture.value != b""


def test_a_click_in_the_history_brings_recipe_and_picture_back(panel: GenerationPanel, small: Recipe) -> None:
    for seed in (71, 72):
        panel.restore(small.replace(seed=seed))
        press(panel)
    pixels = {item["id"]: item for item in panel.history.items}
    old = next(name for name, item in pixels.items() if "seed 71" in item["title"])
    now = panel.picture.value
    panel.history._handle_custom_msg({"type": "open", "id": old}, [])
    assert panel.form.recipe == small.replace(seed=71)
    assert panel.picture.value != now
    assert panel.history.current == old


def test_history_survives_the_session_and_serves_pixels(panel: GenerationPanel, session: Session) -> None:
    press(panel)
    later = GenerationPanel(session)
    assert later.history.items
    digest = later.history.items[0]["id"]
    sent: list[tuple[dict[str, Any], list[bytes]]] = []
    later.history.send = lambda content, buffers=None: sent.append((content, buffers))
    later.history._handle_custom_msg({"type": "want", "id": digest}, [])
    later.history._handle_custom_msg({"type": "want", "id": "0" * 64}, [])
    (first, buffers), (second, _) = sent
    assert first == {"type": "pixels", "id": digest, "mime": "image/png"}
    assert Image.open(io.BytesIO(buffers[0])).size == (64, 64)
    assert second["type"] == "gone"


def test_pictures_made_elsewhere_join_the_strip(panel: GenerationPanel, session: Session, small: Recipe) -> None:
    made = session.generate(small.replace(seed=75))
    panel.restore(small.replace(seed=76))
    press(panel)
    assert made.digest in [item["id"] for item in panel.history.items]


def test_a_copy_is_the_stored_file(panel: GenerationPanel, session: Session, tmp_path: Path) -> None:
    panel.file.value = str(tmp_path / "early.png")
    panel.save_button.click()
    assert "no picture" in panel.banner.text
    press(panel)
    panel.file.value = str(tmp_path / "copy")
    panel.save_button.click()
    picture, metadata = read_picture(tmp_path / "copy.png")
    assert picture.tobytes() == shown(panel).tobytes()
    assert metadata
    assert str(tmp_path / "copy.png") in panel.path.value
    panel.file.value = str(tmp_path / "missing" / "copy.png")
    panel.save_button.click()
    assert "Make the folder first" in panel.banner.text
    assert not (tmp_path / "missing").exists()


def test_code_follows_the_form_and_runs(panel: GenerationPanel, small: Recipe) -> None:
    panel.code_button.value = True
    assert "seed=0" in panel.code.value
    panel.form.controls["seed"].widget.value = "5"
    assert "seed=5" in panel.code.value
    panel.form.controls["seed"].widget.value = "?"
    assert "not a whole number" in panel.code.value
    recipe = small.replace(prompt='<b>it\'s "quoted"</b>', adapters=(Adapter(name="x", weight=0.5),))
    statements = ast.parse(python_code(recipe)).body
    scope: dict[str, Any] = {"Recipe": Recipe, "Adapter": Adapter}
    exec(compile(ast.Module(statements[-2:-1], []), "code", "exec"), scope)
    assert scope["recipe"] == recipe


def test_a_folder_that_cannot_be_used_is_a_banner(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "file"))
    panel = GenerationPanel()
    assert panel.banner.text
    assert panel.children[1] is panel.banner


def test_closing_the_panel_cancels_its_jobs(session: Session, small: Recipe) -> None:
    panel = GenerationPanel(session, small.replace(seed=81, steps=1000))
    panel.generate_button.click()
    planned = planner_of(session).submit("after the check", lambda token: None)
    assert planned.wait(WAIT)
    jobs = panel.unfinished()
    panel.close()
    assert jobs
    assert all(job.wait(WAIT) and job.state == "cancelled" for job in jobs)
