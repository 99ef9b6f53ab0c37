"""A search space is checked before anything runs, and prompts are split fairly."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from evals.suite import Prompt, Suite
from evals.tune import Space, TuneError, load_space
from evals.tune.search import _distributions
from evals.tune.space import Prompts
from evals.tune.split import head, rungs, split
from workbench.errors import WorkbenchError

GOOD: dict[str, Any] = {
    "suite": "nano-1",
    "objective": {"scene.exact": 1},
    "search": {"steps": {"low": 2, "high": 8, "step": 2}, "guidance_scale": {"low": 1, "high": 6}},
}


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"search": {}}, "search"),
        ({"search": {"step": {"low": 1, "high": 2}}}, "no recipe field 'step'. Did you mean 'steps'"),
        ({"search": {"steps": {"low": 8, "high": 2}}}, "not below"),
        ({"search": {"steps": {"low": 0, "high": 2}}}, "steps"),
        ({"search": {"steps": {"low": 1, "high": 9, "step": 3}}}, "do not arrive"),
        ({"search": {"steps": {"low": 1, "high": 9, "log": True, "step": 2}}}, "log range"),
        ({"search": {"guidance_scale": {"low": 1, "high": 101}}}, "guidance_scale"),
        ({"search": {"seed": [1, 2]}}, "cannot be searched"),
        ({"search": {"steps": [4]}}, "two or more"),
        ({"search": {"checkpoint": {"low": 1, "high": 2}}}, "adapter names"),
        ({"search": {"checkpoint_weight": [0.5, 1]}}, "needs 'checkpoint'"),
        ({"search": {"adapters.style": {"low": 0, "high": 20}}}, "weight"),
        ({"objective": {"exact": 1}}, "SCORER.METRIC"),
        ({"objective": {"scene.exact": -1}}, "not above 0"),
        ({"objective": {}}, "objective"),
        ({"trials": 0}, "trials"),
        ({"held_out": 1}, "held_out"),
        ({"recipe": {"model": "x", "stepps": 3}}, "stepps"),
        ({"trails": 3}, "Did you mean 'trials'"),
    ],
)
def test_mistakes_are_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(WorkbenchError) as caught:
        Space.parse(GOOD | change)
    assert message in str(caught.value)


def test_a_space_reads_back_as_it_was_written(tmp_path: Path) -> None:
    space = Space.parse(GOOD | {"recipe": {"model": "tiny-base", "adapters": [{"name": "a", "weight": 0.5}]}})
    (tmp_path / "space.yaml").write_text(space.to_yaml())
    assert load_space(tmp_path / "space.yaml") == space
    for text, message in (("[1]", "no search space"), ("a: [", "not valid YAML"), ("\x00", "not valid YAML")):
        (tmp_path / "bad.yaml").write_text(text)
        with pytest.raises(TuneError, match=message):
            load_space(tmp_path / "bad.yaml")
    with pytest.raises(TuneError, match="cannot be read"):
        load_space(tmp_path / "absent.yaml")


def test_the_shipped_example_is_a_space() -> None:
    example = load_space(Path(__file__).parents[2] / "docs" / "examples" / "tune_guidance.yaml")
    assert set(example.search) == {"steps", "guidance_scale"}


def test_adapters_and_checkpoints_become_recipe_fields() -> None:
    space = Space.parse(
        GOOD
        | {
            "recipe": {"model": "m", "steps": 3, "adapters": [{"name": "kept", "weight": 0.4}, {"name": "style"}]},
            "search": {
                "adapters.style": {"low": 0, "high": 1},
                "checkpoint": ["none", "ck-1", "ck-2"],
                "checkpoint_weight": {"low": 0.5, "high": 1},
            },
        }
    )
    base = {"model": "m", "steps": 3}
    kept = {"name": "kept", "weight": 0.4}
    assert space.fields({"adapters.style": 0.25, "checkpoint": "ck-1", "checkpoint_weight": 0.5}) == base | {
        "adapters": [kept, {"name": "style", "weight": 0.25}, {"name": "ck-1", "weight": 0.5}]
    }
    assert space.fields({"adapters.style": 0.0, "checkpoint": "none"}) == base | {"adapters": [kept]}
    assert space.fields({})["adapters"] == [kept, {"name": "style"}]


def test_whole_fields_are_searched_in_whole_numbers() -> None:
    found = _distributions(Space.parse(GOOD | {"search": GOOD["search"] | {"precision": ["float32", "bfloat16"]}}))
    assert [type(each).__name__ for each in found.values()] == [
        "IntDistribution", "FloatDistribution", "CategoricalDistribution",
    ]  # fmt: skip


def suite_of(kinds: list[str], clusters: list[str]) -> Suite:
    prompts = tuple(
        Prompt(id=f"p{place}", kind=kind, prompt=f"prompt {place}", ask={}, cluster=cluster)
        for place, (kind, cluster) in enumerate(zip(kinds, clusters, strict=True))
    )
    return Suite(name="made", version=1, about="for tests", prompts=prompts)


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.sampled_from(["", "", "x", "y"])), min_size=8, max_size=60),
    st.sampled_from([0.2, 0.4, 0.5, 0.8]),
    st.integers(0, 5),
)
def test_a_split_keeps_clusters_together_and_every_prompt_once(
    rows: list[tuple[str, str]], share: float, seed: int
) -> None:
    suite = suite_of([kind for kind, _ in rows], [cluster for _, cluster in rows])
    try:
        seen, unseen = split(suite, share, seed)
    except TuneError:
        assert len({each.group for each in suite.prompts}) < 5  # one huge cluster, or none left to hold out
        return
    assert sorted(each.id for each in (*seen.prompts, *unseen.prompts)) == sorted(each.id for each in suite.prompts)
    assert not {each.group for each in seen.prompts} & {each.group for each in unseen.prompts}
    assert (seen, unseen) == split(suite, share, seed)


def test_kinds_are_split_by_the_same_share_and_come_in_turn() -> None:
    suite = suite_of(["a"] * 40 + ["b"] * 20, [""] * 60)
    seen, unseen = split(suite, 0.25, 0)
    assert Counter(each.kind for each in unseen.prompts) == {"a": 10, "b": 5}
    assert [each.kind for each in head(seen, 6).prompts] == ["a", "b"] * 3
    assert seen.prompts != split(suite, 0.25, 1)[0].prompts


def test_rungs() -> None:
    assert rungs(Prompts(first=4, factor=3), 40) == (4, 12, 36, 40)
    assert rungs(Prompts(first=8, factor=2), 8) == (8,)
    assert rungs(Prompts(first=9, factor=2), 5) == (5,)
