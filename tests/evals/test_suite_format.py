"""Suites: what is refused, what is reported, and public files through loaders."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from evals import loaders
from evals.suite import Prompt, Suite, SuiteError, load_suite, parse_suite, suite_names


def suite(*rows: dict[str, Any]) -> Suite:
    return parse_suite({"name": "s", "version": 1, "about": "", "prompts": list(rows)}, "s")


ROW: dict[str, Any] = {"id": "a", "kind": "word", "prompt": 'a sign that says "Hi"'}


def test_plain_suites_keep_their_fingerprint() -> None:
    """Figures that were published name this hash."""
    assert load_suite("nano-1").fingerprint == "5f1640434dce1e3b99b37faddd92b0b5b4c2d579bb971c9555e0ad4bdc8379b9"


def test_every_shipped_suite_loads() -> None:
    for name in suite_names():
        loaded = load_suite(name)
        assert loaded.name == name
        assert parse_suite(loaded.model_dump(mode="json"), name).fingerprint == loaded.fingerprint


def test_the_fingerprint_holds_all_that_is_asked() -> None:
    plain = suite(ROW)
    assert suite(ROW | {"ask": {}}).fingerprint == plain.fingerprint
    others: list[dict[str, Any]] = [
        {"ask": {"text": ["Hi"]}},
        {"width": 64},
        {"references": ["a.png"]},
        {"cluster": "c"},
        {"kind": "x"},
    ]
    assert len({suite(ROW | other).fingerprint for other in others} | {plain.fingerprint}) == len(others) + 1


@pytest.mark.parametrize(
    ("rows", "says"),
    [
        ([ROW, ROW], "uses an id twice: 'a'"),
        ([ROW | {"prompt": "  \n"}], "prompts.0.prompt: it is blank"),
        ([ROW | {"kind": ""}], "prompts.0.kind"),
        ([ROW | {"width": 3}], "prompts.0.width"),
        ([ROW | {"text": "Hi"}], "prompts.0.text"),
        ([ROW | {"ask": {"x": float("nan")}}], "no plain JSON"),
        ([], "prompts"),
    ],
)
def test_bad_suites_are_refused_in_one_sentence(rows: list[dict[str, Any]], says: str) -> None:
    with pytest.raises(SuiteError, match=says) as caught:
        suite(*rows)
    assert "\n" not in caught.value.message


def test_oddities_are_reported_not_refused() -> None:
    found = suite(
        ROW,
        ROW | {"id": "b"},
        {"id": "c", "kind": "word", "prompt": "一只猫"},
        {"id": "d", "kind": "word", "prompt": "a sign", "ask": {"text": ["שלום"]}},
        {"id": "e", "kind": "word", "prompt": "café naïve Ωmega Привет"},
    ).remarks()
    assert len(found) == 3
    assert "1 of 5 prompts repeat another one word for word" in found[0]
    assert "1 of 5 prompts hold Chinese, Japanese or Korean letters (first: 'c')" in found[1]
    assert "1 of 5 prompts hold a right-to-left script (first: 'd')" in found[2]
    assert suite(ROW).remarks() == []


def test_groups_are_clusters_or_ids() -> None:
    assert Prompt(**ROW).group == "a"
    assert Prompt(**ROW, cluster="variants").group == "variants"


@pytest.fixture
def loader() -> Iterator[str]:
    """A format whose one published file is known."""
    published = b'{"prompt": "a cat"}\n'

    @loaders.register_loader(
        "test-format", about="for tests", licence="CC-BY-NC-4.0", known={hashlib.sha256(published).hexdigest(): "v1"}
    )
    def load(path: Path, content: bytes) -> Suite:
        rows = [json.loads(line) for line in content.splitlines()]
        prompts = tuple(Prompt(id=str(at), kind="all", prompt=row["prompt"]) for at, row in enumerate(rows))
        return Suite(name=path.stem, version=1, about="for tests", prompts=prompts)

    yield "test-format"
    del loaders._LOADERS["test-format"]


def test_public_files_are_loaded_and_changed_ones_named(loader: str, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_bytes(b'{"prompt": "a cat"}\n')
    found = load_suite(f"{loader}:{path}")
    assert found.prompts[0].prompt == "a cat"
    assert "v1" in found.source
    assert found.licence == "CC-BY-NC-4.0"
    assert found.folder == str(tmp_path)
    assert found.remarks() == ["The prompts of test-format are for non-commercial use only (CC-BY-NC-4.0)."]
    path.write_bytes(b'{"prompt": "a dog"}\n')
    changed = load_suite(f"{loader}:{path}").remarks()
    assert "'rows.jsonl'" in changed[0]
    assert "none of the published test-format files" in changed[0]


def test_unknown_formats_and_missing_files_are_named(loader: str, tmp_path: Path) -> None:
    with pytest.raises(SuiteError, match=r"no suite format 'test-fromat'.*Did you mean 'test-format'"):
        load_suite(f"test-fromat:{tmp_path}")
    with pytest.raises(SuiteError, match="no file"):
        load_suite(f"{loader}:{tmp_path / 'none.jsonl'}")
    with pytest.raises(ValueError, match="two loaders"):
        loaders.register_loader(loader, about="")(lambda path, _: suite({**ROW, "id": path.name}))
