"""The data configuration: short forms, refusals with the nearest name, sizes of families."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from finetune.data.config import DataConfig, load_config, source_name
from finetune.data.errors import DataConfigError
from finetune.data.sizes import check_sizes, resolutions_of, sizes_of, step_of


def test_a_path_alone_is_a_source() -> None:
    config = DataConfig.parse("a/photos")
    assert [source.path for source in config.sources] == ["a/photos"]
    assert source_name(config.sources[0]) == "photos"
    assert config == DataConfig.parse({"path": "a/photos"}) == DataConfig.parse({"sources": ["a/photos"]})


def test_fields_of_one_source_may_stand_at_the_top() -> None:
    config = DataConfig.parse({"path": "photos", "repeats": 3, "trigger": "wug"})
    assert (config.sources[0].repeats, config.trigger) == (3, "wug")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"path": "a", "triger": "x"}, "Did you mean 'trigger'"),
        ({"sources": [{"path": "a", "repeat": 2}]}, "Did you mean 'repeats'"),
        ({"path": "a", "sources": ["b"]}, "exclude each other"),
        ({}, "lacks 'sources'"),
        ({"sources": []}, "sources"),
        ({"path": "a", "repeats": 0}, "greater than or equal to 1"),
        ({"path": "a", "weight": float("nan")}, "finite"),
        ({"path": "a", "caption_dropout": 1.5}, "less than or equal to 1"),
        ({"path": "a", "resolutions": [8]}, "16 to 4096"),
        ({"path": "a", "trigger_template": "{caption}"}, "{trigger} and {caption}"),
        ({"path": "a", "trigger_template": "{caption} {trigger} {0}"}, "{trigger} and {caption}"),
        ({"path": "a", "trigger_template": "{caption} {trigger"}, "{trigger} and {caption}"),
        ({"sources": ["a/x", "b/x"]}, "two sources are named 'x'"),
        ({"path": "a", "reference_columns": list("abcde")}, "at most 4"),
    ],
)
def test_wrong_values_are_refused_in_words(values: dict[str, Any], words: str) -> None:
    with pytest.raises(DataConfigError) as caught:
        DataConfig.parse(values)
    assert words in str(caught.value)


def test_a_yaml_file_may_be_that_of_a_whole_run(tmp_path: Path) -> None:
    path = tmp_path / "run.yaml"
    path.write_text("model: m\ndata: {path: photos, trigger: wug}\n", encoding="utf-8")
    assert DataConfig.parse(load_config(path)).trigger == "wug"
    path.write_text("path: photos\n", encoding="utf-8")
    assert load_config(path) == {"path": "photos"}
    for text in ("- a\n", "a: [\n", "\x00"):
        path.write_text(text, encoding="utf-8")
        with pytest.raises(DataConfigError, match=r"run\.yaml"):
            load_config(path)


def test_sizes_come_from_the_family() -> None:
    klein, nano = sizes_of("flux2-klein"), sizes_of("flux2-klein-nano")
    config = DataConfig.parse("x")
    assert (resolutions_of(config, klein), step_of(config, klein, 1024)) == ((1024,), 64)
    assert (resolutions_of(config, nano), step_of(config, nano, 128)) == ((128,), 16)
    with pytest.raises(DataConfigError, match="Did you mean 'flux2-klein'"):
        sizes_of("flux2-klien")


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({"resolutions": [32]}, "out of range"),
        ({"resolutions": [4096]}, "out of range"),
        ({"bucket_step": 24}, "no multiple of 16"),
        ({"bucket_step": 256, "resolutions": [128]}, "larger than the resolution"),
    ],
)
def test_sizes_that_a_family_cannot_do_are_refused(values: dict[str, Any], words: str) -> None:
    with pytest.raises(DataConfigError, match=words):
        check_sizes(DataConfig.parse({"path": "x"} | values), sizes_of("flux2-klein"))


def test_families_that_only_training_knows_have_sizes() -> None:
    assert sizes_of("flux1-kontext").references == 1
