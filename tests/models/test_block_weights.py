"""Multipliers of single blocks: how they are written, what they do, and that they leave the base alone."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from workbench.errors import ModelError, RecipeError
from workbench.models.adapters import AdapterFile
from workbench.models.catalog import ModelCatalog
from workbench.models.loading import load
from workbench.recipe import Recipe, resolve
from workbench.recipe.block_weights import multiplier, spread


def test_ranges_become_single_blocks() -> None:
    assert spread({"double.0-2": 0.5, "single": 0}) == {
        "double.0": 0.5,
        "double.1": 0.5,
        "double.2": 0.5,
        "single": 0.0,
    }
    assert spread({"single.10": 2, "single.9": 2}) == {"single.9": 2.0, "single.10": 2.0}


def test_multipliers_that_change_nothing_vanish_and_exceptions_stay() -> None:
    assert spread({"double.3": 1, "rest": 1.0}) == {}
    assert spread({"double": 0, "double.3": 1}) == {"double": 0.0, "double.3": 1.0}
    assert spread({"double": 0.5, "double.0-9": 0.5}) == {"double": 0.5}


@pytest.mark.parametrize(
    "key",
    [
        "",
        "double.",
        "double.-1",
        "double.3-1",
        "double.0-999",
        "triple.0",
        "double.0.1",
        "rest.0",
        "single.1,2",
        "Double",
    ],
)
def test_keys_that_name_no_blocks(key: str) -> None:
    with pytest.raises(RecipeError, match=r"adapters\.0\.blocks"):
        Recipe.parse({"adapters": [{"name": "a", "blocks": {key: 0.5}}]})


def test_a_block_with_two_multipliers_and_one_out_of_range() -> None:
    with pytest.raises(ValueError, match="two multipliers"):
        spread({"double.0-3": 0.5, "double.3": 0.5})
    with pytest.raises(ValueError, match="outside"):
        spread({"double.0": float("nan")})
    with pytest.raises(ValueError, match="outside"):
        spread({"double": 10.5})


@given(
    st.dictionaries(
        st.sampled_from(["double", "single", "double.0-3", "single.7", "single.1-2", "rest"]), st.floats(-10, 10)
    )
)
def test_spreading_twice_changes_nothing_and_keeps_every_multiplier(blocks: dict[str, float]) -> None:
    once = spread(blocks)
    assert spread(once) == once
    for number in range(9):
        for stack in ("double", "single"):
            plain = next(
                (
                    blocks[key]
                    for key in (f"{stack}.{number}", f"{stack}.0-3", f"{stack}.1-2")
                    if key in blocks and _in(key, number)
                ),
                blocks.get(stack, 1.0),
            )
            assert multiplier(once, f"{stack}_blocks.#.linear1", str(number)) == plain


def _in(key: str, number: int) -> bool:
    first, _, last = key.partition(".")[2].partition("-")
    return int(first) <= number <= int(last or first)


def file(catalog: ModelCatalog, name: str, blocks: dict[str, float], weight: float = 1.0) -> AdapterFile:
    return AdapterFile(catalog.adapter_path(name), name, weight, tuple(spread(blocks).items()))


def test_only_the_named_blocks_change_less(tiny_catalog: ModelCatalog) -> None:
    parts = load(tiny_catalog.model("tiny-base"), "float32", torch.device("cpu"))
    names = [
        "transformer_blocks.0.attn.to_q.weight", "transformer_blocks.1.attn.to_q.weight",
        "single_transformer_blocks.0.attn.to_qkv_mlp_proj.weight",
    ]  # fmt: skip
    base = {name: value.clone() for name, value in parts.transformer.state_dict().items()}
    parts.adapters.apply([file(tiny_catalog, "plain", {})])
    whole = {name: parts.transformer.state_dict()[name] - base[name] for name in names}
    parts.adapters.apply([file(tiny_catalog, "plain", {"double.0": 0.25, "single": 0})])
    state = parts.transformer.state_dict()
    torch.testing.assert_close(state[names[0]] - base[names[0]], 0.25 * whole[names[0]])
    torch.testing.assert_close(state[names[1]] - base[names[1]], whole[names[1]])
    assert torch.equal(state[names[2]], base[names[2]])


@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
def test_a_hundred_swaps_leave_the_base_bit_equal(tiny_catalog: ModelCatalog, precision: str) -> None:
    parts = load(tiny_catalog.model("tiny-base"), precision, torch.device("cpu"))  # type: ignore[arg-type]
    before = {name: value.clone() for name, value in parts.transformer.state_dict().items()}
    for number in range(100):
        blocks = {f"double.{number % 2}": number / 50 - 1, "single": 0.3}
        parts.adapters.apply([file(tiny_catalog, "plain", blocks, 0.7), file(tiny_catalog, "scaled", {}, -1.3)])
    assert any(not torch.equal(value, before[name]) for name, value in parts.transformer.state_dict().items())
    parts.adapters.apply([])
    assert all(torch.equal(value, before[name]) for name, value in parts.transformer.state_dict().items())


def test_a_block_that_the_model_lacks_is_refused(tiny_catalog: ModelCatalog) -> None:
    parts = load(tiny_catalog.model("tiny-base"), "float32", torch.device("cpu"))
    with pytest.raises(ModelError, match=r"no block double\.2.*double\.0-1, single\.0-1 and rest"):
        parts.adapters.apply([file(tiny_catalog, "plain", {"double.1-2": 0.5})])
    with pytest.raises(ModelError, match="no block image"):
        parts.adapters.apply([file(tiny_catalog, "plain", {"image": 0.5})])


def test_digests_without_blocks_stay_and_equal_blocks_share_one(tiny_catalog: ModelCatalog, tmp_path: Path) -> None:
    def digest(**fields: object) -> str:
        adapters = [{"name": "plain", **fields}]
        return resolve(Recipe.parse({"model": "tiny-base", "adapters": adapters}), tiny_catalog).digest

    assert digest() == digest(blocks={}) == digest(blocks={"double.0-1": 1})
    assert digest(blocks={"double.0-1": 0.5}) == digest(blocks={"double.1": 0.5, "double.0": 0.5}) != digest()
    recipe = Recipe.parse({"adapters": [{"name": "plain", "blocks": {"double.0-1": 0.5}}]})
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    resolved = resolve(Recipe.parse({"model": "tiny-base", "adapters": [{"name": "plain"}]}), tiny_catalog)
    assert "blocks" not in resolved.canonical_json
    assert "quantisation" not in resolved.canonical_json
