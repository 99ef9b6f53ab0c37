"""Merging, extracting, resizing and comparing adapters: exact where mathematics allows it, and measured where not."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors.torch import load_file, save_file
from typer.testing import CliRunner

from finetune.cli import app
from finetune.formats import load_adapter, save_changes
from finetune.surgery.compare import compare
from finetune.surgery.extract import extract
from finetune.surgery.lowrank import Cut, SurgeryError, cut_matrix, cut_product, inner, squared_norm, weighted_sum
from finetune.surgery.merge import merge_adapters, merge_into
from finetune.surgery.resize import resize
from tests.conftest import TinyKlein, write_adapter
from workbench.errors import ModelError
from workbench.models.adapters import AdapterFile, AdapterMerger
from workbench.models.dialects.changes import Dense, LowRank
from workbench.models.dialects.layout import FLUX1, FLUX2

if TYPE_CHECKING:
    from diffusers import Flux2Transformer2DModel

Q, SINGLE = "transformer_blocks.0.attn.to_q", "single_transformer_blocks.1.attn.to_qkv_mlp_proj"
WEIGHTS = "diffusion_pytorch_model.safetensors"


def product(out_features: int = 24, in_features: int = 16, rank: int = 3, seed: int = 0) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, in_features, generator=generator)
    return LowRank(down, torch.randn(out_features, rank, generator=generator), 0.5)


def matrix(change: LowRank) -> torch.Tensor:
    return change.delta(torch.zeros(change.shape))


@given(st.integers(1, 6), st.integers(1, 8), st.integers(0, 1000))
def test_cutting_a_product_is_the_best_of_its_rank(rank: int, keep: int, seed: int) -> None:
    """Against the singular values of the matrix written out (Eckart and Young)."""
    change = product(rank=rank, seed=seed)
    kept = cut_product(change, Cut(rank=keep))
    values = torch.linalg.svdvals(matrix(change).double())
    lost = float((matrix(change) - matrix(kept.change)).double().square().sum())
    assert lost == pytest.approx(float(values[keep:].square().sum()), abs=1e-6 * kept.total)
    assert kept.energy == pytest.approx(kept.total - float(values[keep:].square().sum()), rel=1e-6)
    assert kept.change.rank == min(rank, keep)


def test_energy_decides_the_rank() -> None:
    left, right = (torch.linalg.qr(torch.randn(20, 4))[0] for _ in range(2))
    values = torch.tensor([3.0, 2.0, 1.0, 0.1])  # squared: 9, 4, 1, 0.01
    change = LowRank(right.T, left * values)
    assert [cut_product(change, Cut(energy=share)).change.rank for share in (0.6, 0.9, 0.99, 1.0)] == [1, 2, 3, 4]
    assert cut_product(change, Cut(rank=2, energy=1.0)).change.rank == 2


def test_large_matrices_are_cut_by_random_projections(monkeypatch: pytest.MonkeyPatch) -> None:
    known = product(96, 80, rank=5)
    noise = 1e-3 * torch.randn(96, 80, generator=torch.Generator().manual_seed(1))
    exact = cut_matrix(matrix(known) + noise, Cut(rank=5))
    monkeypatch.setattr("finetune.surgery.lowrank.EXACT_SIDE", 8)
    state = torch.get_rng_state()
    random = cut_matrix(matrix(known) + noise, Cut(rank=5))
    assert torch.equal(torch.get_rng_state(), state)  # the caller's random numbers are untouched
    torch.testing.assert_close(matrix(random.change), matrix(exact.change), rtol=1e-3, atol=1e-3)
    assert random.energy == pytest.approx(exact.energy, rel=1e-4)


@given(st.lists(st.floats(-3, 3), min_size=1, max_size=4))
def test_sums_are_exact(weights: list[float]) -> None:
    parts = [(product(rank=1 + seed, seed=seed), weight) for seed, weight in enumerate(weights)]
    total = weighted_sum(parts)
    assert total.rank == sum(part.rank for part, _ in parts)
    want = sum((weight * matrix(part) for part, weight in parts), torch.zeros(24, 16))
    torch.testing.assert_close(matrix(total), want, rtol=1e-5, atol=1e-5)


def test_inner_products_need_no_matrix() -> None:
    one, two = product(rank=2), product(rank=5, seed=1)
    want = float((matrix(one).double() * matrix(two).double()).sum())
    assert inner(one, two) == pytest.approx(want, rel=1e-6)
    assert inner(one, Dense(matrix(two))) == pytest.approx(want, rel=1e-6)
    assert squared_norm(one) == pytest.approx(float(matrix(one).double().square().sum()), rel=1e-6)


@pytest.mark.parametrize("arguments", [{"rank": 0}, {"energy": 0.0}, {"energy": 1.5}, {"energy": float("nan")}])
def test_cuts_that_keep_nothing_are_refused(arguments: dict[str, float]) -> None:
    with pytest.raises(SurgeryError):
        Cut(**arguments)  # type: ignore[arg-type]


def forward(transformer: Flux2Transformer2DModel) -> torch.Tensor:
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        result: torch.Tensor = transformer(
            hidden_states=torch.randn(1, 16, 16, generator=generator),
            encoder_hidden_states=torch.randn(1, 5, 96, generator=generator),
            timestep=torch.tensor([0.5]),
            img_ids=torch.zeros(1, 16, 4),
            txt_ids=torch.zeros(1, 5, 4),
            guidance=None,
            return_dict=False,
        )[0]
    return result


def open_transformer(model: Path) -> Flux2Transformer2DModel:
    from diffusers import Flux2Transformer2DModel

    return Flux2Transformer2DModel.from_pretrained(model / "transformer")


@pytest.fixture
def pair(tiny_klein: TinyKlein, tmp_path: Path) -> tuple[Path, Path]:
    one = write_adapter(tmp_path / "one.safetensors", tiny_klein.base, rank=4, seed=1)
    two = write_adapter(tmp_path / "two.safetensors", tiny_klein.base, rank=2, seed=2, alpha=6.0)
    return one, two


def applied(model: Path, *adapters: tuple[Path, float]) -> torch.Tensor:
    transformer = open_transformer(model)
    AdapterMerger(transformer).apply([AdapterFile(path, str(path), weight) for path, weight in adapters])
    return forward(transformer)


def test_a_merged_adapter_acts_like_its_parts(tiny_klein: TinyKlein, pair: tuple[Path, Path], tmp_path: Path) -> None:
    one, two = pair
    merged = merge_adapters([(load_adapter(one), 0.7), (load_adapter(two), -0.4)])
    assert {change.rank for change in merged.changes.values()} == {6}
    path = save_changes(tmp_path / "both.safetensors", merged.changes, FLUX2, dtype="float32")
    want = applied(tiny_klein.base, (one, 0.7), (two, -0.4))
    torch.testing.assert_close(applied(tiny_klein.base, (path, 1.0)), want, rtol=1e-4, atol=1e-5)
    cut = merge_adapters([(load_adapter(one), 0.7), (load_adapter(two), -0.4)], Cut(rank=3))
    assert {change.rank for change in cut.changes.values()} == {3}
    assert 0.3 < cut.energy < 1


def test_a_merged_model_acts_like_the_adapters(tiny_klein: TinyKlein, pair: tuple[Path, Path], tmp_path: Path) -> None:
    """Bit-equal to merging at load time, and every other file is the base's."""
    one, two = pair
    out = tmp_path / "styled"
    merge_into(tiny_klein.base, [(one, 0.7), (two, 1.0)], out)
    assert torch.equal(forward(open_transformer(out)), applied(tiny_klein.base, (one, 0.7), (two, 1.0)))
    assert json.loads((out / "merged.json").read_text())["adapters"][0] == {"file": "one.safetensors", "weight": 0.7}
    for path in tiny_klein.base.rglob("*"):
        if path.is_file() and path.parent.name != "transformer":
            assert (out / path.relative_to(tiny_klein.base)).read_bytes() == path.read_bytes()
    with pytest.raises(SurgeryError, match="already"):
        merge_into(tiny_klein.base, [(one, 1.0)], out)


def test_a_failed_merge_leaves_nothing(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    bad = save_changes(tmp_path / "bad.safetensors", {Q: product(48, 64)}, FLUX2)
    with pytest.raises(ModelError, match="48 x 64"):
        merge_into(tiny_klein.base, [(bad, 1.0)], tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["bad.safetensors"]


def test_extracting_returns_a_known_difference(tiny_klein: TinyKlein, pair: tuple[Path, Path], tmp_path: Path) -> None:
    one, _ = pair
    merge_into(tiny_klein.base, [(one, 1.0)], tmp_path / "tuned")
    found = extract(tiny_klein.base, tmp_path / "tuned", Cut(rank=4))
    assert found.resized.energy == pytest.approx(1, abs=1e-6)
    assert found.left_out == ()
    path = save_changes(tmp_path / "again.safetensors", found.resized.changes, found.architecture, dtype="float32")
    assert compare(load_adapter(one), load_adapter(path)).distance < 1e-4
    half = extract(tiny_klein.base, tmp_path / "tuned", Cut(rank=2))
    assert 0.3 < half.resized.energy < 0.95


def test_extraction_names_what_an_adapter_cannot_hold(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    import shutil

    tuned = tmp_path / "tuned"
    shutil.copytree(tiny_klein.base, tuned)
    tensors = load_file(tuned / "transformer" / WEIGHTS)
    tensors["transformer_blocks.0.attn.norm_q.weight"] += 1
    tensors["x_embedder.weight"] += 1
    save_file(tensors, tuned / "transformer" / WEIGHTS, {"format": "pt"})
    with pytest.raises(SurgeryError, match="do not differ; only"):
        extract(tiny_klein.base, tuned, Cut(rank=2))
    found = extract(tiny_klein.base, tuned, Cut(rank=2), all_layers=True)
    assert set(found.resized.changes) == {"x_embedder"}
    assert found.left_out == ("transformer_blocks.0.attn.norm_q.weight",)
    with pytest.raises(SurgeryError, match="do not differ"):
        extract(tiny_klein.base, tiny_klein.base, Cut(rank=2))


def test_resizing_to_the_full_rank_changes_nothing(pair: tuple[Path, Path]) -> None:
    adapter = load_adapter(pair[0])
    full = resize(adapter, Cut(rank=4))
    assert full.energy == pytest.approx(1, abs=1e-9)
    for module, change in full.changes.items():
        before = adapter.changes[module]
        assert isinstance(before, LowRank)
        torch.testing.assert_close(matrix(change), matrix(before), rtol=1e-5, atol=1e-5)
    small = resize(adapter, Cut(rank=1))
    assert {change.rank for change in small.changes.values()} == {1}
    assert small.worst[1] <= small.energy < 1


def test_adapters_of_different_models_are_not_merged(tmp_path: Path) -> None:
    files = [
        load_adapter(save_changes(tmp_path / f"{name}.safetensors", {layer: product()}, architecture))
        for name, layer, architecture in (
            ("one", "single_transformer_blocks.0.proj_mlp", FLUX1),
            ("two", SINGLE, FLUX2),
        )
    ]
    with pytest.raises(SurgeryError, match="different models"):
        merge_adapters([(file, 1.0) for file in files])
    with pytest.raises(SurgeryError, match="nothing"):
        merge_adapters([])


def test_comparison_sees_through_dialects_and_scale(tmp_path: Path) -> None:
    change = {SINGLE: product()}
    one = save_changes(tmp_path / "one.safetensors", change, FLUX2, dtype="float32")
    two = save_changes(tmp_path / "two.safetensors", change, FLUX2, format="kohya", dtype="float32")
    twice = save_changes(tmp_path / "twice.safetensors", {SINGLE: LowRank(*pieces(2.0))}, FLUX2, dtype="float32")
    more = save_changes(tmp_path / "more.safetensors", {**change, Q: product()}, FLUX2, dtype="float32")
    first = load_adapter(one)
    assert compare(first, load_adapter(two)).same(1e-6)
    doubled = compare(first, load_adapter(twice))
    assert doubled.distance == pytest.approx(0.5, abs=1e-6)
    assert doubled.layers[0].cosine == pytest.approx(1)
    other = compare(first, load_adapter(more))
    assert {layer.module: layer.distance for layer in other.layers} == {Q: 1.0, SINGLE: 0.0}
    assert other.metadata["modelspec.title"] == ("one", "more")


def pieces(factor: float) -> tuple[torch.Tensor, torch.Tensor, float]:
    change = product()
    return change.down, change.up * factor, change.scale


def run(*words: object) -> tuple[int, str, str]:
    done = CliRunner().invoke(app, [str(word) for word in words])
    return done.exit_code, done.stdout, done.stderr


def test_commands_from_end_to_end(
    tiny_klein: TinyKlein, pair: tuple[Path, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """convert, diff, merge, merge --into, extract, resize, info."""
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    one, two = pair
    kohya, both, small, styled = (tmp_path / name for name in ("k.safetensors", "b.safetensors", "s.safetensors", "m"))
    assert run("convert", one, kohya, "--format", "kohya")[0] == 0
    assert run("diff", one, kohya)[0] == 0
    code, text, _ = run("diff", one, two)
    assert code == 1
    assert "different changes" in text
    code, text, _ = run("merge", f"{one}:0.5", two, "--out", both, "--json")
    assert (code, json.loads(text)["ranks"]) == (0, [6])
    code, text, _ = run("resize", both, small, "--rank", 2)
    assert code == 0
    assert "of the energy is kept" in text
    assert run("merge", both, "--into", tiny_klein.base, "--out", styled)[0] == 0
    code, text, _ = run("extract", tiny_klein.base, styled, tmp_path / "e.safetensors", "--dtype", "float32", "--json")
    assert (code, json.loads(text)["left_out"]) == (0, [])
    assert run("diff", both, tmp_path / "e.safetensors", "--tolerance", 1e-3)[0] == 0
    code, text, _ = run("info", small, "--norms", "--json")
    assert (code, json.loads(text)["norms"].keys()) == (0, load_adapter(small).changes.keys())


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["resize", "{one}", "out.safetensors"], "Nothing to do"),
        (["resize", "{one}", "out.safetensors", "--energy", "2"], "no share"),
        (["convert", "{one}", "out.bin"], ".bin"),
        (["merge", "{one}:much", "--out", "x.safetensors"], "'much'"),
        (["merge", "{one}:nan", "--out", "x.safetensors"], "senseless"),
        (["extract", "absent", "{base}", "x.safetensors"], "'absent'"),
    ],
)
def test_bad_input_ends_with_two(
    tiny_klein: TinyKlein, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: list[str], says: str
) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    one = write_adapter(tmp_path / "one.safetensors", tiny_klein.base, rank=2, seed=1)
    code, _, error = run(*(word.format(one=one, base=tiny_klein.base) for word in words))
    assert code == 2
    assert says in error
    assert error.count("\n") == 1
    assert [path.name for path in tmp_path.iterdir() if path.suffix != ".lock"] == ["one.safetensors"]
