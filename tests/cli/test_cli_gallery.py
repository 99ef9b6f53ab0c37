"""`workbench gallery` as a person types it."""

from __future__ import annotations

import json
import zipfile
from pathlib import Path
from typing import Any

import pytest

from workbench.cli import app
from workbench.store import Store

TINY = ["--model", "tiny-base", "--width", "64", "--height", "64", "--steps", "1", "--device", "cpu"]


@pytest.fixture(scope="module")
def made(tiny_klein: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home with three pictures, to be copied by each test."""
    from typer.testing import CliRunner

    home = tmp_path_factory.mktemp("made") / "home"
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("WORKBENCH_HOME", str(home))
        patch.setenv("WORKBENCH_MODELS", str(tiny_klein.root))
        for seed, prompt in enumerate(["a red circle", "a blue circle", "a red star"]):
            words = ["generate", *TINY, "--seed", str(seed), "--prompt", prompt]
            assert CliRunner().invoke(app, words).exit_code == 0
    return home


@pytest.fixture
def filled(made: Path, home: Path) -> Path:
    import shutil

    shutil.copytree(made, home)
    return home


def found(cli: Any, query: str) -> list[str]:
    done = cli("gallery", "search", query, "--json")
    assert done.exit_code == 0, done.output
    return [each["digest"] for each in json.loads(done.stdout)["pictures"]]


def test_listing_and_searching(cli: Any, filled: Path) -> None:
    assert [each["recipe"]["seed"] for each in json.loads(cli("gallery", "list", "--json").stdout)["pictures"]] == [
        2,
        1,
        0,
    ]
    page = json.loads(cli("gallery", "search", "circle", "--limit", "1", "--offset", "1", "--json").stdout)
    assert (page["total"], page["offset"], page["pictures"][0]["recipe"]["seed"]) == (2, 1, 0)
    table = cli("gallery", "list", "--limit", "2")
    assert "a red star" in table.stdout
    assert "2 of 3" in table.stderr
    assert len(found(cli, "red -circle")) == 1


def test_a_wrong_query_has_a_caret_and_the_exit_code_of_bad_input(cli: Any, filled: Path) -> None:
    done = cli("gallery", "search", "red stesp>1")
    assert done.exit_code == 2
    lines = done.stderr.splitlines()
    assert lines[:2] == ["red stesp>1", "    ^"]
    assert "Did you mean 'steps'" in lines[2]


def test_marks_and_boards(cli: Any, filled: Path) -> None:
    first, second, third = found(cli, "")
    assert cli("gallery", "star", first[:8], second[:8]).stdout == "2 pictures starred\n"
    assert found(cli, "star") == [first, second]
    cli("gallery", "star", first[:8], "--off")
    cli("gallery", "tag", "--query", "star", "--add", "good", "-a", "later")
    cli("gallery", "tag", second[:8], "--remove", "later")
    assert json.loads(cli("gallery", "tags", "--json").stdout) == [{"tag": "good", "pictures": 1}]
    assert cli("gallery", "note", third[:8], "the star is a sun").exit_code == 0
    assert found(cli, "note:sun") == [third]
    cli("gallery", "board", "add", "empty one")
    assert cli("gallery", "board", "add", "winners", "-q", "circle").stdout == "2 pictures put on the board\n"
    cli("gallery", "board", "rename", "winners", "finalists")
    cli("gallery", "board", "take", "finalists", third[:8])
    boards = {row["board"]: row["pictures"] for row in json.loads(cli("gallery", "board", "list", "--json").stdout)}
    assert boards == {"empty one": 0, "finalists": 1}
    cli("gallery", "board", "remove", "empty one")
    assert "finalists" in cli("gallery", "board", "list").stdout
    shown = json.loads(cli("gallery", "show", second[:8], "--json").stdout)
    assert (shown["starred"], shown["tags"], shown["boards"]) == (True, ["good"], ["finalists"])
    assert "prompt: a blue circle" in cli("gallery", "show", second[:8]).stdout


def test_trash(cli: Any, filled: Path) -> None:
    first, second, third = found(cli, "")
    assert cli("gallery", "delete", first[:8], second[:8]).stdout == "2 pictures in the trash\n"
    assert found(cli, "") == [third]
    assert json.loads(cli("gallery", "trash", "list", "--json").stdout)["total"] == 2
    assert cli("gallery", "trash", "restore", "-q", "star").exit_code == 0  # none is starred
    assert cli("gallery", "trash", "restore", "-q", '"star"').stdout == "1 picture restored\n"
    assert found(cli, "") == [first, third]
    assert cli("gallery", "trash", "empty").exit_code == 1  # nobody said yes
    assert cli("gallery", "trash", "empty", "--yes").stdout == "1 picture deleted for good\n"
    assert cli("gallery", "show", second[:8]).exit_code == 2
    assert not list(filled.rglob(f"{second}*"))


def test_export_and_compare(cli: Any, filled: Path, tmp_path: Path) -> None:
    first, second, _ = found(cli, "")
    out = tmp_path / "out.zip"
    assert cli("gallery", "export", "--query", "circle", "--out", str(out)).stdout == f"2 pictures written {out}\n"
    with zipfile.ZipFile(out) as file:
        assert len([name for name in file.namelist() if name.endswith(".png")]) == 2
    page = tmp_path / "compared.html"
    done = json.loads(cli("gallery", "compare", first[:8], second[:8], "--out", str(page), "--json").stdout)
    assert done["differences"][0]["largest"] > 0
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")
    path = str(Store(filled).path(first))
    assert "equal, bit for bit" in cli("gallery", "compare", path, path).stdout
    assert cli("gallery", "compare", path, path, "--out", "x.gif").exit_code == 2


def test_refresh_indexes_what_lies_there(cli: Any, filled: Path) -> None:
    before = found(cli, "")
    for file in filled.glob("workbench.sqlite*"):
        file.unlink()
    assert found(cli, "") == []
    (filled / "pictures" / "ff").mkdir(exist_ok=True)
    (filled / "pictures" / "ff" / f"{'f' * 64}.png").write_bytes(b"no picture")
    done = cli("gallery", "refresh", "--json")
    assert json.loads(done.stdout)["indexed"] == 3
    assert "ffff" in done.stderr
    assert found(cli, "") == before
    assert json.loads(cli("gallery", "refresh", "--json").stdout)["indexed"] == 0


@pytest.mark.parametrize(
    "words",
    [
        ("star",),
        ("star", "zz"),
        ("star", "0000", "--query", "x"),
        ("tag", "0000"),
        ("delete", "0123456789"),
        ("board", "take", "none", "-q", ""),
        ("board", "rename", "none", "other"),
        ("search", "", "--sort", "colour"),
    ],
)
def test_what_cannot_be_is_one_line_and_exit_code_two(cli: Any, filled: Path, words: tuple[str, ...]) -> None:
    done = cli("gallery", *words)
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert len(done.stderr.splitlines()) == 1
