from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
from typer.testing import CliRunner, Result

from evals.cli import app
from workbench.nano.render import render
from workbench.nano.scenes import Item, Scene
from workbench.store.png import write_picture

Evals = Callable[..., Result]


@pytest.fixture
def evals(tmp_path: Path, tiny_klein: Any, monkeypatch: pytest.MonkeyPatch) -> Evals:
    """Call with the command's words; a traceback fails the test."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.setenv("WORKBENCH_MODELS", str(tiny_klein.root))
    monkeypatch.setenv("WORKBENCH_DEVICE", "cpu")

    def run(*words: str) -> Result:
        result = CliRunner().invoke(app, list(words))
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        return result

    return run


@pytest.fixture
def circle(tmp_path: Path) -> Path:
    from PIL import Image

    prompt = "a red circle on a white background"
    scene = Scene("single", "white", (Item("circle", "red", 0.5, 0.5, 0.2),), prompt)
    path = tmp_path / "circle.png"
    write_picture(path, Image.fromarray(render(scene)), {"recipe": {"prompt": prompt}})
    return path


def test_judges_a_picture_by_the_prompt_that_it_keeps(evals: Evals, circle: Path) -> None:
    result = evals("judge", str(circle))
    assert result.exit_code == 0, result.output
    assert "a red circle on a white background" in result.output
    verdict = json.loads(evals("judge", str(circle), "--json").output)
    assert verdict["right"] is True
    assert verdict["objects"] == ["red circle"]


def test_judges_a_picture_by_another_prompt(evals: Evals, circle: Path) -> None:
    result = evals("judge", str(circle), "--prompt", "a blue circle on a white background")
    assert result.exit_code == 1
    assert "the blue circle has the colour red" in result.output


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (("judge", "absent.png"), "There is no file"),
        (("nano", "--out", "{tmp}", "--suite", "nano-9"), "There is no suite"),
        (("nano", "--out", "{tmp}", "--limit", "0"), "leaves no prompt"),
        (("nano", "--out", "{tmp}", "--model", "nobody", "--no-words"), "nobody"),
        (("nano", "--out", "{tmp}", "--model", "tiny-base", "--steps", "0", "--no-words"), "steps"),
        (("nano", "--out", "{file}", "--no-words"), "Cannot"),
    ],
)
def test_bad_input_is_one_line(evals: Evals, circle: Path, tmp_path: Path, words: tuple[str, ...], says: str) -> None:
    result = evals(*(word.format(tmp=tmp_path / "report", file=circle) for word in words))
    assert result.exit_code == 2
    assert says in result.stderr
    assert len(result.stderr.strip().splitlines()) == 1


def test_a_picture_without_a_prompt_asks_for_one(evals: Evals, tmp_path: Path) -> None:
    from PIL import Image

    Image.new("RGB", (64, 64), "white").save(tmp_path / "plain.png")
    result = evals("judge", str(tmp_path / "plain.png"))
    assert result.exit_code == 2
    assert "Give --prompt" in result.stderr
    result = evals("judge", str(tmp_path / "plain.png"), "--prompt", "a poem on a white background")
    assert result.exit_code == 2
    assert "does not understand" in result.stderr


def test_evaluates_a_model_and_makes_nothing_twice(evals: Evals, tmp_path: Path) -> None:
    words = ("nano", "--model", "tiny-base", "--steps", "2", "--limit", "6", "--no-words", "--json")
    result = evals(*words, "--out", str(tmp_path / "one"))
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["pictures"] == 6
    assert figures["failed"] == []
    assert figures["model"] == "tiny-base"
    assert figures["settings"]["steps"] == 2
    assert len(figures["weights"]) == 64
    assert {skill["name"]: skill["n"] for skill in figures["skills"]}["background"] == 6
    first = pd.read_parquet(tmp_path / "one" / "verdicts.parquet")
    pictures = len(list((tmp_path / "home").rglob("*.png")))
    assert evals(*words, "--out", str(tmp_path / "two")).exit_code == 0
    pd.testing.assert_frame_equal(first, pd.read_parquet(tmp_path / "two" / "verdicts.parquet"))
    assert len(list((tmp_path / "home").rglob("*.png"))) == pictures == 6


def test_evaluates_the_embedded_model_with_words(evals: Evals, tmp_path: Path) -> None:
    pytest.importorskip("rapidocr", reason="the extra 'evals' is not installed")
    result = evals("nano", "--steps", "2", "--limit", "7", "--json", "--out", str(tmp_path / "report"))
    assert result.exit_code == 0, result.output
    figures = json.loads(result.stdout)
    assert figures["model"] == "klein-nano-base"
    assert figures["judge"]["reader"].startswith("rapidocr ")
    assert {skill["name"]: skill["n"] for skill in figures["skills"]}["word"] == 1
    assert (tmp_path / "report" / "sheet.png").stat().st_size > 10_000


def test_prints_a_table_for_people(evals: Evals, tmp_path: Path) -> None:
    result = evals(
        "nano", "--model", "tiny-base", "--steps", "1", "--limit", "3", "--no-words", "--out", str(tmp_path / "r")
    )
    assert result.exit_code == 0, result.output
    assert "95 % Wilson" in result.output
    assert "higher is better" in result.output
    assert str(tmp_path / "r" / "sheet.png") in result.output


def test_lists_the_suites(evals: Evals) -> None:
    assert {"nano-1": 300}.items() <= {
        each["name"]: each["prompts"] for each in json.loads(evals("suites", "--json").output)["suites"]
    }.items()
