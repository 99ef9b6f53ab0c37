from __future__ import annotations

import json
import re
from collections import Counter
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from evals.adherence import nano_suites, real_suites
from evals.adherence.asks import read_ask
from evals.adherence.graph import read_questions
from evals.fidelity.edit_ask import read_edit
from evals.fidelity.hexcolour import lab_of
from evals.scenes.colours import NAMES
from evals.scorers import scorer_names
from evals.scoring import maker_of
from evals.suite import Suite, SuiteError, load_suite
from workbench.nano.scenes import SHAPES, is_held_out

MAKERS: list[Callable[[], Suite]] = [
    nano_suites.make_adherence, nano_suites.make_edits, nano_suites.make_colours,
    real_suites.make_adherence, real_suites.make_edits, real_suites.make_colours,
]  # fmt: skip


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: f"{make.__module__}.{make.__name__}")
def test_suites_are_what_their_generators_make(make: Callable[[], Suite]) -> None:
    made = make()
    shipped = load_suite(made.name)
    assert shipped.fingerprint == made.fingerprint
    assert shipped.about == made.about
    assert shipped.remarks() == []  # no prompt twice, no strange script


@pytest.mark.parametrize("make", MAKERS, ids=lambda make: f"{make.__module__}.{make.__name__}")
def test_every_row_can_be_read_by_its_scorers(make: Callable[[], Suite]) -> None:
    for row in make().prompts:
        assert row.ask
        read_ask(row.ask)
        edit = read_edit(row.ask)
        assert bool(edit) <= bool(row.references)
        if "colour" in row.ask:
            lab_of(row.ask["colour"])
            assert row.ask["colour"] in row.prompt


def test_the_embedded_models_suites_are_held_out_and_in_its_grammar() -> None:
    suite = nano_suites.make_adherence()
    assert Counter(row.kind for row in suite.prompts) == dict.fromkeys(nano_suites.SKILLS, 60)
    for row in suite.prompts:
        assert is_held_out(row.prompt)
        asked = read_ask(row.ask)
        assert asked is not None
        assert {each.label for each in asked.objects} <= set(SHAPES)
        assert {each.colour for each in asked.objects} <= set(NAMES)
        assert asked.background in NAMES
        assert len({each.label for each in asked.objects}) == len(asked.objects)
        assert bool(asked.relations) == (row.kind == "position")
        for each in asked.objects:
            assert f"{each.colour} {each.label}" in row.prompt


def test_the_six_skills_are_those_of_geneval() -> None:
    suite = real_suites.make_adherence()
    assert Counter(row.kind for row in suite.prompts) == dict.fromkeys(
        ("single_object", "two_object", "counting", "colors", "position", "color_attr"), 60
    )
    for row in suite.prompts:
        asked = read_ask(row.ask)
        assert asked is not None
        assert asked.counting == (row.kind == "counting")
        assert bool(asked.relations) == (row.kind == "position")
        assert all(bool(each.colour) == (row.kind in {"colors", "color_attr"}) for each in asked.objects)
        assert len({each.label for each in asked.objects}) == len(asked.objects)
        for each in asked.objects:
            plural = real_suites.PLURALS.get(each.label, f"{each.label}s")
            assert (plural if each.count > 1 else each.label) in row.prompt
    places = Counter(row.ask["relations"][0]["relation"] for row in suite.prompts if row.kind == "position")
    assert set(places.values()) == {15}


def test_three_sentences_about_one_colour_are_one_draw() -> None:
    suite = real_suites.make_colours()
    assert len({row.group for row in suite.prompts}) * 3 == len(suite.prompts)


GENEVAL: list[dict[str, Any]] = [
    {
        "tag": "counting",
        "include": [{"class": "clock", "count": 2}],
        "exclude": [{"class": "clock", "count": 3}],
        "prompt": "two clocks",
    },
    {
        "tag": "position",
        "include": [{"class": "cat", "count": 1}, {"class": "dog", "count": 1, "position": ["right of", 0]}],
        "prompt": "a dog",
    },
    {"tag": "color_attr", "include": [{"class": "vase", "count": 1, "color": "red"}], "prompt": "a red vase"},
]


def lines(rows: list[Any]) -> bytes:
    return "\n".join(map(json.dumps, rows)).encode()


def put(tmp_path: Path, name: str, content: bytes) -> Path:
    path = tmp_path / name
    path.write_bytes(content)
    return path


def test_geneval_files(tmp_path: Path) -> None:
    path = put(tmp_path, "evaluation_metadata.jsonl", lines(GENEVAL))
    suite = load_suite(f"geneval:{path}")
    assert [row.id for row in suite.prompts] == ["counting-001", "position-001", "color_attr-001"]
    assert suite.prompts[0].ask == {"objects": [{"class": "clock", "count": 2, "exact_count": True}]}
    assert suite.prompts[1].ask["relations"] == [{"first": 1, "relation": "right of", "second": 0}]
    assert suite.prompts[2].ask["objects"][0]["colour"] == "red"
    for row in suite.prompts:
        assert read_ask(row.ask) is not None
    assert suite.licence == "MIT"
    assert "counting 1 instead of 80" in suite.notes[0]
    assert "none of the published geneval files" in suite.notes[1]


@pytest.mark.parametrize(
    ("row", "why"),
    [
        ("a dog", "no JSON object"),
        ({"tag": "colors", "prompt": "a dog"}, "KeyError: 'include'"),
        (GENEVAL[0] | {"exclude": [{"class": "dog", "count": 3}]}, "no upper limit"),
    ],
)  # fmt: skip
def test_wrong_geneval_lines_are_named(row: Any, why: str, tmp_path: Path) -> None:
    path = put(tmp_path, "m.jsonl", lines([*GENEVAL, row]))
    with pytest.raises(SuiteError, match=r"'m\.jsonl' is wrong in line 4") as caught:
        load_suite(f"geneval:{path}")
    assert why in str(caught.value)


def test_geneval2_files(tmp_path: Path) -> None:
    row = {
        "prompt": "three red cups", "atom_count": 3, "skills": ["count", "attribute"],
        "vqa_list": [["How many cups are in the image?", "three"], ["Are the cups red?", "Yes"]],
    }  # fmt: skip
    suite = load_suite(f"geneval2:{put(tmp_path, 'g.jsonl', lines([row]))}")
    (prompt,) = suite.prompts
    assert prompt.kind == "atoms-3"
    first, second = read_questions(prompt.ask)
    assert (first.answer, first.skill) == ("three", "count")
    assert second.answers == ("Yes", "no")
    assert any("non-commercial" in note for note in suite.notes)
    with pytest.raises(SuiteError, match="2 questions and 1 skills"):
        load_suite(f"geneval2:{put(tmp_path, 'h.jsonl', lines([row | {'skills': ['count']}]))}")


DPG = (
    "item_id,text,keywords,proposition_id,dependency,category_broad,category_detailed,tuple,question_natural_language\n"
    'a,"A dog, brown",,1,0,entity,whole,entity - whole (dog),Is there a dog?\n'
    'a,"A dog, brown",,2,1,attribute,color,attribute (brown),Is the dog brown?\n'
    "b,Grass,,1,0,entity,whole,entity (grass),Is there grass?\n"
    'b,Grass,,2,"1, 3",attribute,color,attribute (green),Is the grass green?\n'
    "b,Grass,,3,0,global,,global (photo),Is it a photo?\n"
)


def test_dpg_files(tmp_path: Path) -> None:
    path = put(tmp_path, "dpg_bench.csv", DPG.encode())
    suite = load_suite(f"dpg:{path}")
    assert [row.id for row in suite.prompts] == ["a", "b"]
    assert suite.prompts[0].prompt == "A dog, brown"
    questions = read_questions(suite.prompts[1].ask)
    assert [each.depends_on for each in questions] == [(), ("1", "3"), ()]
    assert questions[1].skill == "attribute"
    assert "2 instead of 1065" in suite.notes[0]


def test_dpg_as_its_script_reads_it(tmp_path: Path) -> None:
    # The first row is dropped, so the other question of its item has no parent, and the script fails on that item.
    suite = load_suite(f"dpg-reference:{put(tmp_path, 'dpg_bench.csv', DPG.encode())}")
    assert [row.id for row in suite.prompts] == ["b"]
    assert "'a' is left out" in suite.notes[0]
    alone = DPG.replace('a,"A dog, brown",,2,1,', 'a,"A dog, brown",,2,0,')
    suite = load_suite(f"dpg-reference:{put(tmp_path, 'dpg_bench.csv', alone.encode())}")
    assert [each.id for each in read_questions(suite.prompts[0].ask)] == ["2"]


@pytest.mark.parametrize(
    ("old", "new", "match"),
    [
        ("dependency", "parents", "no column 'dependency'"),
        (",,2,1,", ",,two,1,", "wrong in line 3"),
        (",,2,1,", ",,2,7,", "depends on the proposition 7"),
        (",,2,1,", ",,1,0,", "repeats a proposition"),
        ("Is there grass?", "Is there grass?,more", "another number of cells"),
    ],
)
def test_wrong_dpg_tables_are_named(old: str, new: str, match: str, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=match):
        load_suite(f"dpg:{put(tmp_path, 'dpg_bench.csv', DPG.replace(old, new, 1).encode())}")


def test_parti_and_drawbench_files(tmp_path: Path) -> None:
    parti = 'Prompt\tCategory\tChallenge\tNote\nthe word "A"\tFood & Beverage\tBasic\tx\nbond\tAbstract\tBasic\t"\n'
    suite = load_suite(f"parti:{put(tmp_path, 'p.tsv', parti.encode())}")
    assert [(row.kind, row.prompt) for row in suite.prompts] == [
        ("food_and_beverage", 'the word "A"'),
        ("abstract", "bond"),
    ]
    assert "none of the published" in suite.notes[0]
    draw = 'Prompts,Category\n"A red, blue cup",Colors\n'
    suite = load_suite(f"drawbench:{put(tmp_path, 'd.csv', draw.encode())}")
    assert suite.prompts[0].prompt == "A red, blue cup"
    assert "1 instead of 200" in suite.notes[0]
    assert "names no licence" in suite.notes[1]
    with pytest.raises(SuiteError, match="holds no prompt"):
        load_suite(f"drawbench:{put(tmp_path, 'd.csv', b'Prompts,Category')}")
    with pytest.raises(SuiteError, match="blank prompt"):
        load_suite(f"parti:{put(tmp_path, 'p.tsv', parti.replace('bond', ' ').encode())}")


TWO = b"two boys\r\nsix airplanes"
GAP = b"a red cup\n\na blue cup"


def test_t2i_compbench_files(tmp_path: Path) -> None:
    suite = load_suite(f"t2i-compbench:{put(tmp_path, 'numeracy_val.txt', TWO)}")
    assert suite.name == "t2i-compbench-numeracy"
    assert [(row.kind, row.prompt) for row in suite.prompts] == [
        ("numeracy", "two boys"),
        ("numeracy", "six airplanes"),
    ]
    with pytest.raises(SuiteError, match="does not say which category"):
        load_suite(f"t2i-compbench:{put(tmp_path, 'val.txt', b'two boys')}")
    with pytest.raises(SuiteError, match="wrong in line 2"):
        load_suite(f"t2i-compbench:{put(tmp_path, 'color_val.txt', GAP)}")
    with pytest.raises(SuiteError, match="no UTF-8"):
        load_suite(f"t2i-compbench:{put(tmp_path, 'color_val.txt', bytes([0xE9, 0x20]))}")


def test_the_example_of_the_document_runs() -> None:
    text = (Path(__file__).parents[2] / "docs" / "adherence.md").read_text(encoding="utf-8")
    snippets = re.findall(r"^```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert len(snippets) == 1
    exec(compile(snippets[0], "adherence.md", "exec"), {})


def test_the_document_names_every_scorer_and_suite() -> None:
    text = (Path(__file__).parents[2] / "docs" / "adherence.md").read_text(encoding="utf-8")
    packages = ("evals.adherence", "evals.fidelity", "evals.cost")
    own = {name for name in scorer_names() if maker_of(name).__module__.startswith(packages)}
    assert len(own) == 18
    assert {name for name in own if f"`{name}`" not in text} == set()
    for make in MAKERS:
        suite = make()
        assert re.search(rf"^\| `{suite.name}` \| {len(suite.prompts)}\b", text, re.MULTILINE), suite.name
