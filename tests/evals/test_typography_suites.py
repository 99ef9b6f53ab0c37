from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from evals.loaders import loaders
from evals.scenes.prompt import parse
from evals.shipped import SHIPPED, encoded
from evals.suite import Suite, SuiteError, load_suite
from evals.typography import make_suites
from evals.typography.ask import quoted
from workbench.nano.scenes import is_held_out

SUITES = {
    suite.name: suite for suite in (make_suites.short(), make_suites.long(), make_suites.regions(), make_suites.nano())
}


@pytest.mark.parametrize("name", list(SUITES))
def test_the_files_are_what_the_generator_makes(name: str) -> None:
    assert load_suite(name).prompts == SUITES[name].prompts
    assert (SHIPPED / f"{name}.json").read_bytes() == encoded(SUITES[name])


@pytest.mark.parametrize("suite", SUITES.values(), ids=list(SUITES))
def test_rows_ask_for_what_they_quote(suite: Suite) -> None:
    for row in suite.prompts:
        assert list(quoted(row.prompt)) == row.ask["text"], row.id
    assert len({row.prompt for row in suite.prompts}) == len(suite.prompts)
    assert suite.licence == "CC0-1.0"


def test_several_hundred_prompts_of_every_kind() -> None:
    kinds = {name: set(suite.kinds) for name, suite in SUITES.items()}
    assert sum(len(suite.prompts) for suite in SUITES.values()) > 700
    assert {"no text", "misspelt on purpose", "accents", "chinese"} <= kinds["typography-short-1"]
    assert kinds["typography-regions-1"] == {f"{count} texts" for count in (2, 3, 4, 5)}
    lengths = [len(row.ask["text"][0].split()) for row in SUITES["typography-long-1"].prompts]
    assert min(lengths) >= 4
    assert max(lengths) >= 35


def test_the_embedded_models_prompts_are_held_out_and_of_its_grammar() -> None:
    for row in SUITES["typography-nano-1"].prompts:
        assert is_held_out(row.prompt)
        expected = parse(row.prompt)
        assert [thing.text for thing in expected.words] == row.ask["text"]
        assert expected.background == row.ask["background"]


def write(path: Path, content: object) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content if isinstance(content, str) else json.dumps(content), encoding="utf-8")
    return path


def longtext_row(**changes: Any) -> dict[str, Any]:
    row = {"category": "sign", "length": "short", "prompt": 'a sign "Pick Figs"', "text": ["Pick Figs"], "prompt_id": 7}
    return row | changes


def test_longtext(tmp_path: Path) -> None:
    rows = [longtext_row(), longtext_row(prompt_id=8, category="poster", text=["One", "Two"])]
    suite = load_suite(f"longtext:{write(tmp_path / 'text_prompts.jsonl', chr(10).join(map(json.dumps, rows)))}")
    assert [row.id for row in suite.prompts] == ["longtext-0007", "longtext-0008"]
    assert suite.prompts[1].ask == {"text": ["One", "Two"]}
    assert suite.kinds == ("sign", "poster")
    notes = " ".join(suite.notes)
    assert "sign 1 instead of 20" in notes
    assert "none of the published" in notes
    assert loaders()["longtext"].licence == "Apache-2.0"


@pytest.mark.parametrize(
    "row",
    [{"text": "one"}, {"text": []}, {"text": [" "]}, {"prompt_id": "x"}, {"category": ""}, {"prompt": 3}],
    ids=str,
)
def test_wrong_longtext_names_its_line(tmp_path: Path, row: dict[str, Any]) -> None:
    lines = [json.dumps(longtext_row()), "", json.dumps(longtext_row(prompt_id=9) | row)]
    path = write(tmp_path / "text_prompts.jsonl", "\n".join(lines))
    with pytest.raises(SuiteError, match="line 3"):
        load_suite(f"longtext:{path}")


def test_longtext_with_an_id_twice_or_nothing(tmp_path: Path) -> None:
    twice = write(tmp_path / "twice.jsonl", json.dumps(longtext_row()) + "\n" + json.dumps(longtext_row()))
    with pytest.raises(SuiteError, match="twice"):
        load_suite(f"longtext:{twice}")
    with pytest.raises(SuiteError, match="no prompt"):
        load_suite(f"longtext:{write(tmp_path / 'empty.jsonl', '')}")


def cvtg_folder(folder: Path, prompt: str = "a shop with 'Slow Down' and 'Exit'") -> Path:
    for part in ("CVTG", "CVTG-Style"):
        for area in (2, 3, 4, 5):
            write(folder / part / f"{area}.json", {"data_list": [{"index": 0, "prompt": prompt}]})
    return folder


def test_cvtg(tmp_path: Path) -> None:
    suite = load_suite(f"cvtg-2k:{cvtg_folder(tmp_path)}")
    assert len(suite.prompts) == 8
    assert suite.prompts[0].id == "CVTG-2-0"
    assert suite.prompts[0].ask == {"text": ["Slow Down", "Exit"], "text_case": "any"}
    assert any("2 texts 2 instead of 500" in note for note in suite.notes)
    assert any("no licence" in note for note in suite.notes)


def test_wrong_cvtg_names_its_file(tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"CVTG/2\.json"):
        load_suite(f"cvtg-2k:{cvtg_folder(tmp_path / 'quoteless', 'no quotation')}")
    folder = cvtg_folder(tmp_path / "missing")
    (folder / "CVTG-Style" / "4.json").unlink()
    with pytest.raises(SuiteError, match=r"4\.json"):
        load_suite(f"cvtg-2k:{folder}")
    with pytest.raises(SuiteError, match="no folder"):
        load_suite(f"cvtg-2k:{tmp_path / 'nowhere'}")


def anytext_row(name: str, caption: str, *texts: str, valid: bool = True) -> dict[str, Any]:
    marks = [{"text": text, "polygon": [[0, 0], [1, 0], [1, 1]], "valid": valid, "pos": 0} for text in texts]
    return {"img_name": name, "caption": caption, "annotations": marks}


def test_anytext(tmp_path: Path) -> None:
    rows = [
        anytext_row("a.jpg", "a cup with * on it", "Exit"),
        anytext_row("b.jpg", "a page", "one", "two"),
        anytext_row("c.jpg", "a cat"),
        anytext_row("d.jpg", "a dog *", "hidden", valid=False),
    ]
    suite = load_suite(f"anytext:{write(tmp_path / 'test1k.json', {'data_list': rows})}")
    assert [row.prompt for row in suite.prompts] == ['a cup with "Exit" on it', 'a page, with the text "one", "two"']
    assert [row.kind for row in suite.prompts] == ["1 line", "2 lines"]
    assert any(note.startswith("2 rows ask for no text") for note in suite.notes)
    assert any("4 rows" in note for note in suite.notes)
    with pytest.raises(SuiteError, match="data_list"):
        load_suite(f"anytext:{write(tmp_path / 'other.json', [])}")
    with pytest.raises(SuiteError, match="Entry 1"):
        load_suite(f"anytext:{write(tmp_path / 'wrong.json', {'data_list': [{'annotations': [{}]}]})}")


def test_oneig(tmp_path: Path) -> None:
    write(tmp_path / "OneIG-Bench.csv", 'category,id,prompt_en\nPortrait,000,a man\nText_Rendering,001,"a sign, red"\n')
    texts = write(tmp_path / "scripts" / "text" / "text_content.csv", "id,text_content\n001,Slow Down\n")
    suite = load_suite(f"oneig-text:{tmp_path}")
    assert [(row.id, row.prompt, row.ask) for row in suite.prompts] == [
        ("text-001", "a sign, red", {"text": ["Slow Down"]})
    ]
    assert any("text 1 instead of 200" in note for note in suite.notes)
    texts.write_text("id,text_content\n002,Slow Down\n")
    with pytest.raises(SuiteError, match="has no text for '001'"):
        load_suite(f"oneig-text:{tmp_path}")
    texts.write_text("id,other\n")
    with pytest.raises(SuiteError, match="text_content"):
        load_suite(f"oneig-text:{tmp_path}")
