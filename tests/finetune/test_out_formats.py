"""Adapter files: what is written in any format is the same change, in diffusers and here."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from finetune.formats import FormatError, load_adapter, save_adapter, save_changes
from finetune.formats.save import FORMATS, SaveFormat, to_tensors
from tests.conftest import TinyKlein
from workbench.errors import ModelError
from workbench.models.dialects.changes import Change, Dense, Kronecker, LowRank
from workbench.models.dialects.layout import FLUX1, FLUX2, FLUX3, Architecture
from workbench.models.dialects.read import read_changes, to_changes

TARGETS = (
    r"transformer_blocks\.\d+\.(attn\.(to_[qkv]|to_out\.0|add_[qkv]_proj|to_add_out)|ff(_context)?\.linear_(in|out))"
    r"|single_transformer_blocks\.\d+\.attn\.(to_qkv_mlp_proj|to_out)"
)
WIDTH = 8


def shapes(architecture: Architecture) -> dict[str, tuple[int, int]]:
    """(out, in) of every block layer of block 0 at width 8: only consistency matters, not the real factors."""
    found = {}
    for layer in architecture.layers:
        for part, share in zip(layer.parts, layer.shares, strict=True):
            found[part.replace("#", "0")] = (share * WIDTH * (2 if layer.swapped else 1), WIDTH)
    return found


def change(shape: tuple[int, int], rank: int, seed: int, scale: float = 1.0) -> LowRank:
    generator = torch.Generator().manual_seed(seed)
    down = torch.randn(rank, shape[1], generator=generator)
    return LowRank(down, torch.randn(shape[0], rank, generator=generator), scale)


def deltas(changes: Mapping[str, Change]) -> dict[str, Tensor]:
    return {name: each.delta(torch.zeros(each.shape)) for name, each in changes.items()}


def assert_same(got: Mapping[str, Tensor], want: Mapping[str, Tensor]) -> None:
    """Equal, with modules that `want` lacks being zero."""
    assert got.keys() >= want.keys()
    for name, value in got.items():
        torch.testing.assert_close(value, want.get(name, torch.zeros_like(value)), rtol=1e-6, atol=1e-6)


@given(st.data())
def test_round_trips_keep_every_change(data: st.DataObject) -> None:
    """Any subset of layers, any ranks and scales, in any format and back."""
    architecture = data.draw(st.sampled_from([FLUX1, FLUX2, FLUX3]))
    every = shapes(architecture)
    chosen = data.draw(st.lists(st.sampled_from(sorted(every)), min_size=1, max_size=8, unique=True))
    changes = {
        name: change(
            every[name], data.draw(st.integers(1, 5)), seed, data.draw(st.sampled_from([0.25, 1.0, 3.0]))
        )
        for seed, name in enumerate(chosen)
    }  # fmt: skip
    naming = data.draw(st.sampled_from(FORMATS))
    tensors = to_tensors(changes, architecture, naming)
    back, used = to_changes(tensors, "test", architecture)
    assert used == set(tensors)
    assert_same(deltas(back), deltas(changes))


@pytest.mark.parametrize("naming", ["bfl", "kohya"])
def test_fused_layers_come_back_bit_equal(naming: SaveFormat) -> None:
    """Queries, keys and values over one A stay at its rank; over three, each comes back with its own."""
    down = torch.randn(4, WIDTH)
    names = [f"transformer_blocks.0.attn.to_{each}" for each in "qkv"]
    shared = {name: LowRank(down, torch.randn(WIDTH, 4)) for name in names}
    tensors = to_tensors(shared, FLUX2, naming)
    assert {tuple(value.shape) for value in tensors.values() if value.ndim} == {(4, WIDTH), (3 * WIDTH, 4)}
    back, _ = to_changes(tensors, "test", FLUX2)
    own = {name: change((WIDTH, WIDTH), rank, rank) for rank, name in enumerate(names, 2)}
    again, _ = to_changes(to_tensors(own, FLUX2, naming), "test", FLUX2)
    for before, after in ((shared, back), (own, again)):
        for name in names:
            got = after[name]
            assert isinstance(got, LowRank)
            assert torch.equal(got.down, before[name].down)
            assert torch.equal(got.up * got.scale, before[name].up)


def test_shift_and_scale_change_places() -> None:
    """The original keeps (shift, scale) of the last modulation, diffusers (scale, shift)."""
    one = change((2 * WIDTH, WIDTH), 2, 0)
    tensors = to_tensors({"norm_out.linear": one}, FLUX2, "bfl")
    up = tensors["diffusion_model.final_layer.adaLN_modulation.1.lora_B.weight"]
    assert torch.equal(up, torch.cat([one.up[WIDTH:], one.up[:WIDTH]]))


@pytest.mark.parametrize("naming", FORMATS)
@pytest.mark.parametrize("trained_with", [(4, 4.0, False), (4, 10.0, False), (6, 1.0, True)])
def test_diffusers_applies_what_was_trained(
    tiny_klein: TinyKlein,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
    naming: SaveFormat,
    trained_with: tuple[int, float, bool],
) -> None:
    """A file of each format, in a fresh diffusers pipeline: no missing key, no unexpected one, the trained output."""
    rank, alpha, rslora = trained_with
    pipeline, state, inputs, trained = train(tiny_klein, r=rank, lora_alpha=alpha, use_rslora=rslora)
    path = save_adapter(
        tmp_path / "style.safetensors", state, family="flux2-klein", rank=rank, alpha=alpha, rslora=rslora,
        targets=TARGETS, metadata={"ss_learning_rate": 1e-4}, format=naming, dtype="float32",
    )  # fmt: skip
    pipeline.transformer.delete_adapters("default")
    caplog.clear()
    pipeline.load_lora_weights(str(path), adapter_name="style")
    assert [record for record in caplog.records if "expected" in record.message or "missing" in record.message] == []
    loaded = sum("lora_A" in name for name, _ in pipeline.transformer.named_parameters())
    assert loaded == len(state) // 2
    with torch.no_grad():
        got = pipeline.transformer(**inputs)[0]
    torch.testing.assert_close(got, trained, rtol=1e-5, atol=1e-5)


def test_diffusers_applies_a_dora(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    pipeline, state, inputs, trained = train(tiny_klein, r=2, lora_alpha=6, use_dora=True)
    path = save_adapter(tmp_path / "d.safetensors", state, family="flux2-klein", rank=2, alpha=6, dtype="float32")
    assert load_adapter(path).identity.kind == "DoRA"
    pipeline.transformer.delete_adapters("default")
    pipeline.load_lora_weights(str(path), adapter_name="style")
    with torch.no_grad():
        got = pipeline.transformer(**inputs)[0]
    torch.testing.assert_close(got, trained, rtol=1e-5, atol=1e-5)


def train(tiny_klein: TinyKlein, **config: Any) -> tuple[Any, dict[str, Tensor], dict[str, Any], Tensor]:
    """A pipeline with a random adapter of peft's own, its state, inputs and output."""
    from diffusers import Flux2KleinPipeline
    from peft import LoraConfig, get_peft_model_state_dict

    torch.manual_seed(0)
    pipeline = Flux2KleinPipeline.from_pretrained(tiny_klein.base)
    pipeline.transformer.add_adapter(LoraConfig(target_modules=TARGETS, **config))
    with torch.no_grad():
        for name, parameter in pipeline.transformer.named_parameters():
            if "magnitude" in name:
                parameter.mul_(1.2)
            elif "lora_" in name:
                parameter.normal_(std=0.1)
    inputs = {
        "hidden_states": torch.randn(1, 16, 16),
        "encoder_hidden_states": torch.randn(1, 5, 96),
        "timestep": torch.tensor([0.5]),
        "img_ids": torch.zeros(1, 16, 4),
        "txt_ids": torch.zeros(1, 5, 4),
        "guidance": None,
        "return_dict": False,
    }
    with torch.no_grad():
        trained = pipeline.transformer(**inputs)[0]
    return pipeline, get_peft_model_state_dict(pipeline.transformer), inputs, trained


# Modules that other programs know, written by hand from their sources and not from our table.
COMFYUI_FLUX2 = {
    *(f"transformer_blocks.#.attn.{each}" for each in ("to_q", "to_k", "to_v", "to_out.0", "to_add_out")),
    *(f"transformer_blocks.#.attn.add_{each}_proj" for each in "qkv"),
    *(f"transformer_blocks.#.{ff}.linear_{end}" for ff in ("ff", "ff_context") for end in ("in", "out")),
    "single_transformer_blocks.#.attn.to_qkv_mlp_proj",
    "single_transformer_blocks.#.attn.to_out",
}
INVOKEAI_BFL = {
    *(f"double_blocks.#.{each}_attn.{layer}" for each in ("img", "txt") for layer in ("qkv", "proj")),
    *(f"double_blocks.#.{each}_mlp.{layer}" for each in ("img", "txt") for layer in ("0", "2")),
    "single_blocks.#.linear1",
    "single_blocks.#.linear2",
}
KOHYA = {name.replace(".", "_") for name in INVOKEAI_BFL}


@pytest.mark.parametrize(
    ("naming", "accepted"),
    [
        ("diffusers", ("transformer.", COMFYUI_FLUX2, {"lora_A.weight", "lora_B.weight"})),
        ("bfl", ("diffusion_model.", INVOKEAI_BFL, {"lora_A.weight", "lora_B.weight"})),
        ("kohya", ("lora_unet_", KOHYA, {"lora_down.weight", "lora_up.weight", "alpha"})),
    ],
)
def test_keys_are_those_that_other_programs_read(
    tiny_klein: TinyKlein, tmp_path: Path, naming: SaveFormat, accepted: tuple[str, set[str], set[str]]
) -> None:
    """ComfyUI and InvokeAI refuse, or pass over, a file with any other key."""
    prefix, known, ends = accepted
    _, state, _, _ = train(tiny_klein, r=2)
    path = save_adapter(tmp_path / "a.safetensors", state, family="flux2-klein", rank=2, format=naming)
    found = set()
    for key in load_file(path):
        assert key.startswith(prefix)
        module, end = next((key.removesuffix(f".{end}"), end) for end in ends if key.endswith(f".{end}"))
        name = module.removeprefix(prefix)
        for block in "01":
            name = name.replace(f"blocks.{block}.", "blocks.#.").replace(f"blocks_{block}_", "blocks_#_")
        found.add(name)
        assert end in ends
    assert found == known  # every layer of the blocks was trained


def test_metadata_is_what_managers_show(tmp_path: Path) -> None:
    state = {"transformer_blocks.0.attn.to_q.lora_A.weight": torch.ones(2, 8)}
    state["transformer_blocks.0.attn.to_q.lora_B.weight"] = torch.ones(8, 2)
    path = save_adapter(
        tmp_path / "look.safetensors", state, family="flux2-klein", rank=2, alpha=6, targets="attention",
        metadata={"modelspec.trigger_phrase": "TOK", "ss_learning_rate": 1e-4},
    )  # fmt: skip
    with safe_open(path, framework="pt") as stream:
        facts = stream.metadata()
        assert stream.get_tensor("transformer.transformer_blocks.0.attn.to_q.lora_B.weight").dtype == torch.bfloat16
        assert stream.get_tensor("transformer.transformer_blocks.0.attn.to_q.lora_B.weight")[0, 0] == 3  # alpha / rank
    assert facts["modelspec.sai_model_spec"] == "1.0.1"
    assert facts["modelspec.architecture"] == "FLUX.2/lora"
    assert facts["modelspec.title"] == facts["ss_output_name"] == "look"
    assert facts["modelspec.trigger_phrase"] == "TOK"
    assert facts["ss_learning_rate"] == "0.0001"
    assert (facts["ss_network_dim"], facts["ss_network_alpha"], facts["ss_training_alpha"]) == ("2", "2", "6")
    settings = json.loads(facts["lora_adapter_metadata"])
    assert settings["transformer.lora_alpha"] == settings["transformer.r"] == 2
    other = save_adapter(path.with_name("b.safetensors"), state, family="flux2-klein", rank=2, alpha=6)
    with safe_open(other, framework="pt") as stream:
        assert stream.metadata()["sshs_model_hash"] == facts["sshs_model_hash"]  # of the tensors alone


def test_mixed_ranks_load_in_diffusers(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    from diffusers import Flux2KleinPipeline

    changes = {
        "transformer_blocks.0.attn.to_q": change((64, 64), 3, 0),
        "transformer_blocks.0.attn.to_k": change((64, 64), 5, 1),
    }
    path = save_changes(tmp_path / "m.safetensors", changes, FLUX2, dtype="float32")
    pipeline = Flux2KleinPipeline.from_pretrained(tiny_klein.base)
    pipeline.load_lora_weights(str(path), adapter_name="a")
    attention = pipeline.transformer.transformer_blocks[0].attn
    for layer, name in ((attention.to_q, "to_q"), (attention.to_k, "to_k")):
        want = changes[f"transformer_blocks.0.attn.{name}"].delta(torch.zeros(64, 64))
        torch.testing.assert_close(layer.get_delta_weight("a"), want)


def test_lokr_is_read_split_and_written_out(tmp_path: Path) -> None:
    """alpha counts only where a factor is low rank; a fused Kronecker product is cut into rows."""
    w1, a, b = torch.randn(6, 2), torch.randn(4, 2), torch.randn(2, 4)
    stem = "diffusion_model.double_blocks.0.img_attn.qkv"
    save_file(
        {
            f"{stem}.lokr_w1": w1, f"{stem}.lokr_w2_a": a, f"{stem}.lokr_w2_b": b, f"{stem}.alpha": torch.tensor(6.0),
            "diffusion_model.single_blocks.0.linear2.lokr_w1": w1.clone(),
            "diffusion_model.single_blocks.0.linear2.lokr_w2": a.clone(),
            "diffusion_model.single_blocks.0.linear2.alpha": torch.tensor(1e9),
        },
        tmp_path / "lokr.safetensors",
    )  # fmt: skip
    changes = read_changes(tmp_path / "lokr.safetensors", FLUX2).changes
    whole = 3 * torch.kron(w1, a @ b)  # alpha 6 over rank 2
    for index, name in enumerate("qkv"):
        got = deltas(changes)[f"transformer_blocks.0.attn.to_{name}"]
        torch.testing.assert_close(got, whole[8 * index : 8 * (index + 1)])
    single = changes["single_transformer_blocks.0.attn.to_out"]
    assert isinstance(single, Kronecker)
    torch.testing.assert_close(deltas({"x": single})["x"], torch.kron(w1, a))
    torch.testing.assert_close(deltas({"x": single.low_rank()})["x"], torch.kron(w1, a))


def test_peft_lokr_keeps_its_strength(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    """Peft scales every LoKr by alpha / rank; the file has to say the same without alpha."""
    from diffusers import Flux2KleinPipeline
    from peft import LoKrConfig, get_peft_model_state_dict, inject_adapter_in_model

    pipeline = Flux2KleinPipeline.from_pretrained(tiny_klein.base)
    config = LoKrConfig(r=4, alpha=10, target_modules=["attn.to_q", "attn.to_add_out"])
    model = inject_adapter_in_model(config, pipeline.transformer, "default")
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            if "lokr" in name:
                parameter.normal_()
    layer = model.transformer_blocks[0].attn.to_q
    state = get_peft_model_state_dict(model)
    path = save_adapter(tmp_path / "k.safetensors", state, family="flux2-klein", rank=4, alpha=10, dtype="float32")
    got = deltas(load_adapter(path).changes)["transformer_blocks.0.attn.to_q"]
    torch.testing.assert_close(got, layer.get_delta_weight("default").detach())
    fresh = Flux2KleinPipeline.from_pretrained(tiny_klein.base)
    fresh.load_lora_weights(str(path), adapter_name="default")
    again = fresh.transformer.transformer_blocks[0].attn.to_q.get_delta_weight("default").detach()
    torch.testing.assert_close(again, got)


def test_loha_is_read(tmp_path: Path) -> None:
    parts = {f"w{n}_{end}": torch.randn(*shape) for n in (1, 2) for end, shape in (("a", (8, 2)), ("b", (2, 8)))}
    stem = "lycoris_transformer_blocks_0_attn_to_q"
    tensors = {f"{stem}.hada_{name}": value for name, value in parts.items()} | {f"{stem}.alpha": torch.tensor(1.0)}
    save_file(tensors, tmp_path / "a.safetensors")
    adapter = load_adapter(tmp_path / "a.safetensors")
    want = 0.5 * (parts["w1_a"] @ parts["w1_b"]) * (parts["w2_a"] @ parts["w2_b"])
    torch.testing.assert_close(deltas(adapter.changes)["transformer_blocks.0.attn.to_q"], want)
    with pytest.raises(ModelError, match="LoHa"):
        adapter.low_rank()


def test_xlabs_single_blocks_have_no_feed_forward_rows() -> None:
    stem = "single_blocks.3.processor.qkv_lora"
    down, up = torch.randn(2, WIDTH), torch.randn(3 * WIDTH, 2)
    changes, _ = to_changes({f"{stem}.down.weight": down, f"{stem}.up.weight": up}, "test", FLUX1)
    assert sorted(changes) == [f"single_transformer_blocks.3.attn.to_{each}" for each in "kqv"]
    torch.testing.assert_close(deltas(changes)["single_transformer_blocks.3.attn.to_v"], up[2 * WIDTH :] @ down)


def test_onetrainer_splits_fused_layers() -> None:
    stem = "transformer.single_blocks.0.linear1"
    tensors: dict[str, Tensor] = {}
    for part, rows in enumerate((WIDTH, WIDTH, WIDTH, 4 * WIDTH)):
        tensors |= {f"{stem}.{part}.lora_down.weight": torch.randn(2, WIDTH), f"{stem}.{part}.alpha": torch.tensor(1.0)}
        tensors[f"{stem}.{part}.lora_up.weight"] = torch.randn(rows, 2)
    changes, used = to_changes(tensors, "test", FLUX1)
    assert used == set(tensors)
    want = 0.5 * tensors[f"{stem}.3.lora_up.weight"] @ tensors[f"{stem}.3.lora_down.weight"]
    torch.testing.assert_close(deltas(changes)["single_transformer_blocks.0.proj_mlp"], want)


Q = "transformer_blocks.0.attn.to_q"


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        ({"alpha": 0}, "alpha of 0"),
        ({"family": "wan"}, "'wan'"),
        ({"format": "pickle"}, "'pickle'"),
        ({"path": "a.bin"}, ".bin"),
        ({"state": {f"{Q}.lora_A.weight": torch.ones(2, 8), f"{Q}.lora_B.weight": torch.full((8, 2), torch.nan)}}, Q),
        ({"state": {f"{Q}.weight": torch.ones(2, 8)}}, f"{Q}.weight"),
        (
            {
                "state": {f"{Q}.lora_A.weight": torch.ones(2, 8), f"{Q}.lora_B.weight": torch.full((8, 2), 1e9)},
                "dtype": "float16",
            },
            "overflows float16",
        ),
        (
            {
                "state": {"pos.lora_A.weight": torch.ones(2, 8), "pos.lora_B.weight": torch.ones(8, 2)},
                "format": "kohya",
            },
            "pos",
        ),
    ],
)
def test_what_cannot_be_written_is_refused(tmp_path: Path, arguments: dict[str, Any], words: str) -> None:
    state = {f"{Q}.lora_A.weight": torch.ones(2, 8), f"{Q}.lora_B.weight": torch.ones(8, 2)}
    given: dict[str, Any] = {"path": "a.safetensors", "state": state, "family": "flux2-klein", "rank": 2} | arguments
    path = tmp_path / given.pop("path")
    with pytest.raises(FormatError, match=words):
        save_adapter(path, given.pop("state"), **given)
    assert list(tmp_path.iterdir()) == []


def test_dense_changes_have_no_lora_format(tmp_path: Path) -> None:
    with pytest.raises(FormatError, match="dense"):
        save_changes(tmp_path / "a.safetensors", {Q: Dense(torch.ones(8, 8))}, FLUX2)


@pytest.mark.parametrize(
    "tensors", [{"x.weight": torch.ones(2)}, {"transformer.thing.lora_A.weight": torch.ones(2, 2)}]
)
def test_files_without_an_adapter_are_refused(tmp_path: Path, tensors: dict[str, Tensor]) -> None:
    save_file(tensors, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="no adapter"):
        load_adapter(tmp_path / "a.safetensors")


def tiny(name: str) -> Any:
    """A transformer of FLUX.1 or FLUX.3 with one block of each kind and a width of 16."""
    import diffusers

    common: dict[str, Any] = {
        "num_layers": 1, "num_single_layers": 1, "attention_head_dim": 8, "num_attention_heads": 2,
        "joint_attention_dim": 12, "in_channels": 4,
    }  # fmt: skip
    if name == "flux1":
        return diffusers.FluxTransformer2DModel(**common, pooled_projection_dim=12, axes_dims_rope=(2, 2, 4))
    return diffusers.Flux3Transformer2DModel(**common, cond_in_channels=4, axes_dims_rope=(2, 2, 2, 2))


@pytest.mark.parametrize(("name", "architecture"), [("flux1", FLUX1), ("flux3", FLUX3)])
def test_other_architectures_load_in_diffusers(name: str, architecture: Architecture, tmp_path: Path) -> None:
    """Every linear layer of the blocks; FLUX.3 also in the original's names, through diffusers' own conversion."""
    from diffusers import Flux3ModularPipeline

    model = tiny(name)
    layers = {
        module: (part.out_features, part.in_features)
        for module, part in model.named_modules()
        if isinstance(part, torch.nn.Linear) and "blocks." in module
    }
    changes = {module: change(shape, 2, seed) for seed, (module, shape) in enumerate(layers.items())}
    path = save_changes(tmp_path / "a.safetensors", changes, architecture, dtype="float32")
    model.load_lora_adapter(str(path), adapter_name="a")
    for module, want in deltas(changes).items():
        got = model.get_submodule(module).get_delta_weight("a").detach()
        torch.testing.assert_close(got, want, rtol=1e-5, atol=1e-5)
    if name == "flux3":
        bfl = save_changes(tmp_path / "b.safetensors", changes, architecture, format="bfl", dtype="float32")
        converted = Flux3ModularPipeline.lora_state_dict(str(bfl))
        plain = load_file(path)
        assert converted.keys() == plain.keys()
        assert all(torch.equal(converted[key], plain[key]) for key in plain)
