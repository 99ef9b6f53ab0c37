from __future__ import annotations

import json
from pathlib import Path
from typing import Any


def test_expand(cli: Any, home: Path, tmp_path: Path) -> None:
    (home / "wildcards").mkdir(parents=True)
    (home / "wildcards" / "shape.txt").write_text("circle\nstar\n")
    assert cli("prompts", "expand", "a {red|blue} __shape__").stdout.splitlines() == [
        "a red circle", "a red star", "a blue circle", "a blue star",
    ]  # fmt: skip
    drawn = json.loads(cli("prompts", "expand", "a {red|blue} __shape__", "--random", "3", "--json").stdout)
    assert len(drawn) == 3
    (tmp_path / "list.txt").write_text("a {x|y}\nb\n")
    assert cli("prompts", "expand", "--file", str(tmp_path / "list.txt")).stdout.split("\n") == ["a x", "a y", "b", ""]
    assert json.loads(cli("prompts", "wildcards", "--json").stdout) == [{"name": "shape", "lines": 2}]


def test_mistakes_end_in_one_line(cli: Any) -> None:
    for words in (["a {b"], ["{a|b}" * 20], [], ["a", "--file", "x.txt"], ["a", "--template", "none"]):
        done = cli("prompts", "expand", *words)
        assert done.exit_code == 2, words
        assert len(done.stderr.splitlines()) == 1


def test_templates_travel(cli: Any, tmp_path: Path) -> None:
    assert "no templates" in cli("prompts", "templates").stdout
    (tmp_path / "styles.csv").write_text('name,prompt,negative_prompt\nOil,"{prompt}, oil",photo\n')
    assert cli("prompts", "templates", "--import", str(tmp_path / "styles.csv")).exit_code == 0
    assert cli("prompts", "templates", "--export", str(tmp_path / "out.json")).exit_code == 0
    assert json.loads((tmp_path / "out.json").read_text())[0]["name"] == "Oil"
    assert cli("prompts", "expand", "a {fox|owl}", "--template", "Oil").stdout.splitlines() == [
        "a fox, oil",
        "a owl, oil",
    ]


TINY = ["--model", "tiny-base", "--width", "64", "--height", "64", "--steps", "1", "--device", "cpu", "--json"]


def test_generate_makes_a_picture_of_every_prompt(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "styles.csv").write_text('name,prompt,negative_prompt\nOil,"{prompt}, {oil|ink}",photo\n')
    cli("prompts", "templates", "--import", str(tmp_path / "styles.csv"))
    done = cli("generate", "--dynamic", "--prompt", "a {red|blue} star", "--template", "Oil", *TINY)
    rows = json.loads(done.stdout)
    assert [row["prompt"] for row in rows] == [
        "a red star, oil", "a red star, ink", "a blue star, oil", "a blue star, ink",
    ]  # fmt: skip
    assert all(Path(row["path"]).is_file() for row in rows)
    (tmp_path / "list.txt").write_text("a red star, oil\n{one|two}\n")
    rows = json.loads(cli("generate", "--prompts", str(tmp_path / "list.txt"), "--random", "1", *TINY).stdout)
    assert len(rows) == 2
    refused = cli("generate", "--dynamic", "--prompt", "{a|b}", "--out", str(tmp_path / "x.png"), *TINY)
    assert refused.exit_code == 2
    assert cli("generate", "--dynamic", "--prompt", "{a|b}" * 12, *TINY).exit_code == 2
