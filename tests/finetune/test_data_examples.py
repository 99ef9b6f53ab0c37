"""The small data sets: always the same, spelled as the model can read, and telling apart what they teach."""

from __future__ import annotations

import statistics
from pathlib import Path
from random import Random

import numpy as np
import pytest
from PIL import Image
from typer.testing import CliRunner

from finetune.cli import app
from finetune.data import DataConfigError, DataError, read_dataset
from finetune.data.concepts import measure
from finetune.data.examples import KINDS, TRIGGER, draw, samples, write_example
from workbench.nano.render import render
from workbench.nano.scenes import Item, Scene, sample_scene
from workbench.nano.tokenizer import build_tokenizer


@pytest.mark.parametrize("kind", KINDS)
def test_a_seed_gives_the_same_data(kind: str) -> None:
    first, again, other = (list(samples(kind, 4, seed=seed)) for seed in (0, 0, 1))
    assert [each.caption for each in first] == [each.caption for each in again]
    assert all(np.array_equal(np.asarray(a.picture), np.asarray(b.picture)) for a, b in zip(first, again, strict=True))
    assert [each.caption for each in first] != [each.caption for each in other]


@pytest.mark.parametrize("kind", KINDS)
def test_written_data_are_sound_and_keep_test_captions_out(kind: str, tmp_path: Path) -> None:
    written = write_example(kind, tmp_path / kind, count=12, regularisation=3)
    data = read_dataset(str(tmp_path / kind), "flux2-klein-nano")
    assert len(data.examples) == 15
    assert sum(each.regularisation for each in data.examples) == 3
    assert {path.suffix for path in written} == {".png", ".txt"}
    own = [each for each in data.examples if not each.regularisation]
    assert all(len(each.references) == (kind == "edit") for each in own)
    tests = {each.caption for each in samples(kind, 12, held_out=True, alone=True)}
    assert tests.isdisjoint(each.caption for each in own)
    if kind != "edit":
        assert all(TRIGGER in each.caption for each in own)
        assert not any(TRIGGER in each.caption for each in data.examples if each.regularisation)
    with pytest.raises(DataError, match="not empty"):
        write_example(kind, tmp_path / kind)


@pytest.mark.parametrize("kind", KINDS)
def test_captions_are_read_whole_and_back_by_the_embedded_tokenizer(kind: str) -> None:
    tokenizer = build_tokenizer()
    for each in samples(kind, 10):
        text = tokenizer.apply_chat_template([{"role": "user", "content": each.caption}], tokenize=False)
        ids = tokenizer(text)["input_ids"]
        assert len(ids) <= 48
        assert each.caption in tokenizer.decode(ids)


def plain(kind: str, number: int) -> Image.Image:
    """What a model shows that has not learned the concept: the same things, drawn as ever."""
    rng = Random(number)
    if kind == "letter":
        return Image.fromarray(render(Scene("word", "white", (Item("word", "red", 0.5, 0.5, 0.0, "A"),), "")))
    scene = sample_scene(rng, kind="single")
    while scene.background == "blue":
        scene = sample_scene(rng, kind="single")
    return Image.fromarray(render(scene))


@pytest.mark.parametrize(("kind", "margin"), [("style", 0.5), ("shape", 0.25), ("letter", 0.3), ("edit", 0.8)])
def test_a_concept_is_told_from_what_the_model_did_before(kind: str, margin: float) -> None:
    asked = list(samples(kind, 8, held_out=True, alone=True))
    learned = [measure(kind, each.picture, each) for each in asked]
    if kind == "edit":
        before = [measure(kind, each.references[0], each) for each in asked]
    else:
        before = [measure(kind, plain(kind, number), asked[0]) for number in range(20)]
    assert all(0 <= value <= 1 for value in (*learned, *before))
    assert min(learned) > max(before)
    assert statistics.mean(learned) - statistics.mean(before) > margin


def test_an_empty_picture_shows_nothing() -> None:
    for kind in ("style", "shape", "letter"):
        asked = next(samples(kind, 1, alone=True))
        assert measure(kind, Image.new("RGB", (128, 128), "white"), asked) < 0.15  # chalk is nearly white


def test_the_command_writes_them(tmp_path: Path) -> None:
    out = tmp_path / "data" / "style"
    done = CliRunner().invoke(app, ["example", "style", "--out", str(out), "--count", "3"])
    assert done.exit_code == 0, done.output
    assert sorted(path.name for path in out.iterdir()) == [f"00{n}.{end}" for n in range(3) for end in ("png", "txt")]
    wrong = CliRunner().invoke(app, ["example", "stile", "--out", str(tmp_path / "x")])
    assert wrong.exit_code == 2
    assert "Did you mean 'style'" in wrong.output
    with pytest.raises(DataConfigError):
        draw("stile", Random(0))
