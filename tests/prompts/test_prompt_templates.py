from __future__ import annotations

import csv
import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from workbench.prompts import DynamicPromptError, PromptTemplate, TemplateError, Templates, read_prompts
from workbench.recipe import Recipe

TEXT = st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\0\r"), max_size=30)
TEMPLATES = st.lists(
    st.builds(PromptTemplate, name=TEXT.filter(bool), prompt=TEXT, negative_prompt=TEXT), max_size=4
).map(Templates)


def test_a_template_surrounds_or_follows_the_prompt() -> None:
    oil = PromptTemplate(name="oil", prompt="oil painting of {prompt}, varnished", negative_prompt="photo")
    assert oil.apply("a fox", "dog") == ("oil painting of a fox, varnished", "dog, photo")
    assert PromptTemplate(name="n", prompt="neon").apply("a fox") == ("a fox, neon", "")
    assert PromptTemplate(name="n", prompt="neon").apply("") == ("neon", "")
    assert oil.recipe(Recipe(prompt="a {b}", seed=3)).prompt == "oil painting of a {b}, varnished"


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(TEMPLATES)
@pytest.mark.parametrize("ending", [".yaml", ".json", ".csv"])
def test_what_is_written_is_read_back(tmp_path: Path, ending: str, templates: Templates) -> None:
    path = tmp_path / f"t{ending}"
    templates.write(path)
    assert dict(Templates.read(path)) == dict(templates)


def test_styles_of_automatic1111_and_presets_of_invokeai(tmp_path: Path) -> None:
    path = tmp_path / "styles.csv"
    path.write_bytes(
        '\ufeffname,prompt,negative_prompt\n"Oil, thick","{prompt}, impasto",photo\n,,\nBare,"a, b",\n'.encode()
    )
    found = Templates.read(path)
    assert found["Oil, thick"].apply("a fox") == ("a fox, impasto", "photo")
    assert list(found) == ["Oil, thick", "Bare"]
    path.write_text("name,text\nOld,words\n")
    assert Templates.read(path)["Old"].prompt == "words"
    path = tmp_path / "presets.json"
    path.write_text(json.dumps([{"name": "Sketch", "positive_prompt": "{prompt}, pencil", "negative_prompt": ""}]))
    assert Templates.read(path)["Sketch"].apply("a fox")[0] == "a fox, pencil"


def test_exported_csv_has_the_columns_of_automatic1111(tmp_path: Path) -> None:
    Templates([PromptTemplate(name="a", prompt="b\nc")]).write(tmp_path / "styles.csv")
    with (tmp_path / "styles.csv").open(newline="", encoding="utf-8") as file:
        rows = list(csv.DictReader(file))
    assert rows == [{"name": "a", "prompt": "b\nc", "negative_prompt": ""}]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("t.csv", "title,prompt\na,b\n", "no column 'name'"),
        ("t.csv", "name,prompt\na,b,c\n", "more cells"),
        ("t.csv", 'name,prompt\n"a\n', "Cannot read"),
        ("t.json", "{}", "no list"),
        ("t.json", '[{"name": ""}]', "wrong name"),
        ("t.json", '[{"name": "a", "colour": 1}]', "wrong colour"),
        ("t.json", "[1]", "is no template"),
        ("t.json", "[" * 100_000, "Cannot read"),
        ("t.yaml", "a: [", "Cannot read"),
        ("t.txt", "a", "no file of templates"),
        (".", "", "Cannot read"),
    ],
)
def test_files_that_are_no_templates(tmp_path: Path, name: str, text: str, why: str) -> None:
    if text:
        (tmp_path / name).write_text(text)
    with pytest.raises(TemplateError, match=why):
        Templates.read(tmp_path / name)


def test_unknown_templates_get_the_nearest_name() -> None:
    with pytest.raises(TemplateError, match="Did you mean 'oil'"):
        Templates([PromptTemplate(name="oil")])["oils"]
    with pytest.raises(TemplateError, match="Import"):
        Templates()["x"]


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("p.txt", "# two\na star\n\n  a {red|blue} circle \n\\#1 of them\n"),
        ("p.csv", 'id,prompt\n1,a star\n2,"a {red|blue} circle"\n3,#1 of them\n'),
        ("p.json", '["a star", {"prompt": "a {red|blue} circle", "id": 2}, "#1 of them"]'),
        ("p.jsonl", '"a star"\n{"prompt": "a {red|blue} circle"}\n"#1 of them"\n'),
        ("p.yaml", '- a star\n- prompt: a {red|blue} circle\n- "#1 of them"\n'),
    ],
)
def test_lists_of_every_kind(tmp_path: Path, name: str, text: str) -> None:
    (tmp_path / name).write_text(text)
    assert read_prompts(tmp_path / name) == ["a star", "a {red|blue} circle", "#1 of them"]


@pytest.mark.parametrize(
    ("name", "text", "why"),
    [
        ("p.txt", "# only\n", "holds 0 prompts"),
        ("p.csv", "a\nb\n", "no column 'prompt'"),
        ("p.json", "3", "it is no list"),
        ("p.json", "[3]", "entry 1 is no prompt"),
        ("p.png", "x", "is no list of prompts"),
        ("p.yaml", "- [", "Cannot read"),
    ],
)
def test_lists_that_cannot_be_used(tmp_path: Path, name: str, text: str, why: str) -> None:
    (tmp_path / name).write_text(text)
    with pytest.raises(DynamicPromptError, match=why):
        read_prompts(tmp_path / name)
    with pytest.raises(DynamicPromptError, match="Cannot read"):
        read_prompts(tmp_path / "none.txt")
