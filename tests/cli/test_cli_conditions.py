"""References, images, masks and margins on the command line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from tests.engine.pictures import draw
from workbench.store import read_picture

PLAIN = ["--model", "tiny-base", "--steps", "2", "--device", "cpu"]


@pytest.fixture
def files(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    draw(1, 64, 64).save("a.png")
    draw(2, 80, 64).save("b.png")
    Image.new("L", (64, 64), 255).save("mask.png")
    return tmp_path


def test_references_in_order(cli: Any, files: Path, home: Path) -> None:
    words = ["--reference", "a.png", "--reference", "b.png", "--width", "64", "--height", "64"]
    told = json.loads(cli("generate", *PLAIN, *words, "--json").stdout)
    assert told["recipe"]["task"] == "edit"
    assert [part["size"] for part in told["recipe"]["references"]] == ["64x64", "80x64"]
    for part in told["recipe"]["references"]:
        assert (home / "inputs" / part["picture"][:2] / f"{part['picture']}.png").is_file()
    words = ["--set", "references=[{picture: a.png}, {picture: b.png, size: exact}]", *words[4:]]
    assert json.loads(cli("generate", *PLAIN, *words, "--json").stdout)["reused"]


def test_image_mask_strength_margins_and_verify(cli: Any, files: Path) -> None:
    words = ["--image", "a.png", "--mask", "mask.png", "--strength", "0.6", "--margins", "0,0,64,0", "--out", "c.png"]
    done = cli("generate", *PLAIN, *words)
    assert (done.exit_code, done.stderr) == (0, "")
    picture, metadata = read_picture(files / "c.png")
    assert picture.size == (128, 64)
    assert (metadata["recipe"]["task"], metadata["recipe"]["margins"]) == ("outpaint", [0, 0, 64, 0])
    (files / "a.png").unlink()  # its pixels are kept
    assert cli("verify", "c.png").exit_code == 0


def test_an_empty_margin_and_a_kept_picture(cli: Any, files: Path) -> None:
    Image.fromarray(np.zeros((64, 64), np.uint8)).save("nothing.png")
    assert cli("generate", *PLAIN, "--image", "a.png", "--mask", "nothing.png", "--out", "c.png").exit_code == 0
    assert read_picture(files / "c.png")[0].tobytes() == Image.open("a.png").tobytes()


@pytest.mark.parametrize(
    ("words", "said"),
    [
        (["--mask", "mask.png"], "no image"),
        (["--image", "a.png", "--mask", "b.png"], "80 x 64"),
        (["--reference", "nowhere.png"], "does not exist"),
        (["--image", "a.png", "--margins", "1,2"], "four numbers"),
        (["--image", "a.png", "--strength", "2"], "strength"),
        (["--set", "references=[{picture: a.png, siz: fit}]"], "Did you mean 'size'?"),
    ],
)
def test_bad_input_is_one_line(cli: Any, files: Path, words: list[str], said: str) -> None:
    done = cli("generate", *PLAIN, *words)
    assert done.exit_code == 2
    assert said in done.stderr
    assert len(done.stderr.splitlines()) == 1
