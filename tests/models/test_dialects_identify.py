"""Adapter files told apart by their headers: layouts of real files, without data."""

from __future__ import annotations

from collections.abc import Iterable

import pytest

from workbench.models.dialects.identify import identify
from workbench.models.dialects.layout import ARCHITECTURES, FLUX1, FLUX2, FLUX3, architecture_of
from workbench.models.dialects.names import split_key

Header = dict[str, dict[str, object]]


def header(shapes: Iterable[tuple[str, tuple[int, ...]]]) -> Header:
    return {name: {"dtype": "BF16", "shape": list(shape)} for name, shape in shapes}


def pair(stem: str, out_features: int, in_features: int, rank: int = 16, *, ends: tuple[str, str]) -> Header:
    return header([(f"{stem}.{ends[0]}", (rank, in_features)), (f"{stem}.{ends[1]}", (out_features, rank))])


PEFT = ("lora_A.weight", "lora_B.weight")
DOWN = ("lora_down.weight", "lora_up.weight")


def kohya_flux1() -> Header:
    """sd-scripts, all layers: as "pokemon-trainer-sprite-pixelart" of Civitai has them."""
    found: Header = {}
    for block in range(19):
        for stream in ("img", "txt"):
            stem = f"lora_unet_double_blocks_{block}_{stream}"
            for layer, out_features, in_features in (
                ("attn_proj", 3072, 3072), ("attn_qkv", 9216, 3072), ("mlp_0", 12288, 3072),
                ("mlp_2", 3072, 12288), ("mod_lin", 18432, 3072),
            ):  # fmt: skip
                found |= pair(f"{stem}_{layer}", out_features, in_features, ends=DOWN)
                found |= header([(f"{stem}_{layer}.alpha", ())])
    for block in range(38):
        stem = f"lora_unet_single_blocks_{block}"
        for layer, out_features, in_features in (("linear1", 21504, 3072), ("linear2", 3072, 15360)):
            found |= pair(f"{stem}_{layer}", out_features, in_features, ends=DOWN)
    return found


def klein(width: int, double: int, single: int, prefix: str = "transformer.") -> Header:
    """FLUX.2 klein in diffusers' naming, every linear layer of the blocks."""
    found: Header = {}
    for block in range(double):
        stem = f"{prefix}transformer_blocks.{block}"
        for layer in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
            found |= pair(f"{stem}.attn.{layer}", width, width, ends=PEFT)
        for layer in ("ff", "ff_context"):
            found |= pair(f"{stem}.{layer}.linear_in", 6 * width, width, ends=PEFT)
            found |= pair(f"{stem}.{layer}.linear_out", width, 3 * width, ends=PEFT)
    for block in range(single):
        stem = f"{prefix}single_transformer_blocks.{block}.attn"
        found |= pair(f"{stem}.to_qkv_mlp_proj", 9 * width, width, ends=PEFT)
        found |= pair(f"{stem}.to_out", width, 4 * width, ends=PEFT)
    return found


def bfl_flux2(width: int, double: int, single: int, ends: tuple[str, str] = PEFT) -> Header:
    """ai-toolkit on FLUX.2: the original's layers."""
    found: Header = {}
    for block in range(double):
        stem = f"diffusion_model.double_blocks.{block}"
        for stream in ("img", "txt"):
            found |= pair(f"{stem}.{stream}_attn.qkv", 3 * width, width, ends=ends)
            found |= pair(f"{stem}.{stream}_attn.proj", width, width, ends=ends)
            found |= pair(f"{stem}.{stream}_mlp.0", 6 * width, width, ends=ends)
            found |= pair(f"{stem}.{stream}_mlp.2", width, 3 * width, ends=ends)
    for block in range(single):
        found |= pair(f"diffusion_model.single_blocks.{block}.linear1", 9 * width, width, ends=ends)
        found |= pair(f"diffusion_model.single_blocks.{block}.linear2", width, 4 * width, ends=ends)
    return found


def diffusers_flux1() -> Header:
    found: Header = {}
    for block in range(19):
        stem = f"transformer.transformer_blocks.{block}"
        for layer in ("to_q", "to_k", "to_v", "to_out.0", "add_q_proj", "add_k_proj", "add_v_proj", "to_add_out"):
            found |= pair(f"{stem}.attn.{layer}", 3072, 3072, ends=PEFT)
        found |= pair(f"{stem}.ff.net.0.proj", 12288, 3072, ends=PEFT)
        found |= pair(f"{stem}.norm1.linear", 18432, 3072, ends=PEFT)
    for block in range(38):
        stem = f"transformer.single_transformer_blocks.{block}"
        for layer in ("attn.to_q", "attn.to_k", "attn.to_v"):
            found |= pair(f"{stem}.{layer}", 3072, 3072, ends=PEFT)
        found |= pair(f"{stem}.proj_mlp", 12288, 3072, ends=PEFT)
        found |= pair(f"{stem}.proj_out", 3072, 15360, ends=PEFT)
    return found


def xlabs() -> Header:
    found: Header = {}
    for block in range(19):
        for which in ("1", "2"):
            stem = f"double_blocks.{block}.processor"
            found |= pair(f"{stem}.qkv_lora{which}", 9216, 3072, ends=("down.weight", "up.weight"))
            found |= pair(f"{stem}.proj_lora{which}", 3072, 3072, ends=("down.weight", "up.weight"))
    return found


def onetrainer() -> Header:
    """OneTrainer's DoRA with a text encoder, as in InvokeAI's issue 6912."""
    found: Header = {}
    for block in range(38):
        stem = f"lora_transformer_single_transformer_blocks_{block}_attn_to_k"
        found |= pair(stem, 3072, 3072, 4, ends=DOWN)
        found |= header([(f"{stem}.alpha", ()), (f"{stem}.dora_scale", (1, 3072))])
        found |= pair(f"lora_transformer_single_transformer_blocks_{block}_proj_mlp", 12288, 3072, 4, ends=DOWN)
    return found | pair("lora_te1_text_model_encoder_layers_0_mlp_fc1", 3072, 768, 4, ends=DOWN)


def onetrainer_bfl() -> Header:
    found: Header = {}
    for part in range(3):
        found |= pair(f"transformer.double_blocks.0.img_attn.qkv.{part}", 3072, 3072, ends=DOWN)
    for part, rows in enumerate((3072, 3072, 3072, 12288)):
        found |= pair(f"transformer.single_blocks.0.linear1.{part}", rows, 3072, ends=DOWN)
    return found | pair("transformer.double_blocks.0.img_mlp.0", 12288, 3072, ends=DOWN)


def lokr_bfl() -> Header:
    stem = "diffusion_model.double_blocks.0.img_attn"
    return header(
        [
            (f"{stem}.qkv.lokr_w1", (32, 96)), (f"{stem}.qkv.lokr_w2", (288, 32)), (f"{stem}.qkv.alpha", ()),
            ("diffusion_model.single_blocks.0.linear1.lokr_w1", (32, 96)),
            ("diffusion_model.single_blocks.0.linear1.lokr_w2", (672, 32)),
        ]
    )  # fmt: skip


def lycoris() -> Header:
    stem = "lycoris_transformer_blocks_0_attn_to_q"
    return header(
        [
            (f"{stem}.lokr_w1", (16, 16)), (f"{stem}.lokr_w2_a", (256, 8)), (f"{stem}.lokr_w2_b", (8, 256)),
            (f"{stem}.alpha", ()), ("lycoris_single_transformer_blocks_3_attn_to_qkv_mlp_proj.lokr_w1", (16, 16)),
        ]
    )  # fmt: skip


def flux3() -> Header:
    found: Header = {}
    for stack in (
        "mode_blocks.image.0",
        "mode_blocks.image_cond.0",
        "txt_mode_blocks.0",
        "single_transformer_blocks.27",
    ):
        for layer in ("attn.to_q", "attn.to_out.0", "ff.linear_in"):
            rows = 18432 if layer == "ff.linear_in" else 3072
            found |= pair(f"transformer.{stack}.{layer}", rows, 3072, ends=PEFT)
    return found


@pytest.mark.parametrize(
    ("keys", "dialect", "kind", "title"),
    [
        (kohya_flux1(), "kohya", "LoRA", "FLUX.1"),
        (diffusers_flux1(), "diffusers", "LoRA", "FLUX.1"),
        (klein(3072, 5, 20), "diffusers", "LoRA", "FLUX.2 [klein] 4B"),
        (klein(4096, 8, 24), "diffusers", "LoRA", "FLUX.2 [klein] 9B"),
        (klein(6144, 8, 48), "diffusers", "LoRA", "FLUX.2 [dev]"),
        (klein(3072, 5, 20, prefix=""), "diffusers", "LoRA", "FLUX.2 [klein] 4B"),
        (klein(3072, 5, 20, prefix="base_model.model."), "peft", "LoRA", "FLUX.2 [klein] 4B"),
        (klein(3072, 5, 20, prefix="diffusion_model."), "bfl", "LoRA", "FLUX.2 [klein] 4B"),
        (bfl_flux2(3072, 5, 20), "bfl", "LoRA", "FLUX.2 [klein] 4B"),
        (bfl_flux2(3072, 5, 20, ends=DOWN), "bfl", "LoRA", "FLUX.2 [klein] 4B"),
        (bfl_flux2(6144, 8, 48), "bfl", "LoRA", "FLUX.2 [dev]"),
        (xlabs(), "xlabs", "LoRA", "FLUX.1"),
        (onetrainer_bfl(), "onetrainer-bfl", "LoRA", "FLUX.1"),
        (lokr_bfl(), "bfl", "LoKr", "FLUX.1 or FLUX.2"),
        (lycoris(), "lycoris", "LoKr", "FLUX.2"),
        (flux3(), "diffusers", "LoRA", "FLUX.3 [klein]"),
    ],
)
def test_layouts_of_real_files(keys: Header, dialect: str, kind: str, title: str) -> None:
    found = identify(keys)
    assert (found.dialect, found.kind, found.title) == (dialect, kind, title)
    assert found.unknown == ()
    assert found.text_encoder == ()


def test_text_encoders_are_told_apart_from_unknown_keys() -> None:
    found = identify(onetrainer() | header([("lora_unet_first_stage.lora_down.weight", (4, 4))]))
    assert (found.dialect, found.kind, found.title) == ("onetrainer", "DoRA", "FLUX.1")
    assert len(found.text_encoder) == 2
    assert found.unknown == ("lora_unet_first_stage.lora_down.weight",)


def test_attention_alone_may_fit_two_models() -> None:
    """Fused names, FLUX.1's width and a low block number: FLUX.1 and klein-4B cannot be told apart."""
    keys = pair("diffusion_model.double_blocks.1.img_attn.qkv", 9216, 3072, ends=PEFT)
    assert identify(keys).title == "FLUX.1 or FLUX.2 [klein] 4B"
    assert identify(keys, {"ss_base_model_version": "flux2_klein_4b"}).title == "FLUX.2 [klein] 4B"
    assert identify(keys, {"modelspec.architecture": "flux-1-dev/lora"}).title == "FLUX.1"


def test_block_numbers_settle_it() -> None:
    found = identify(pair("diffusion_model.double_blocks.7.img_attn.qkv", 9216, 3072, ends=PEFT))
    assert found.title == "FLUX.1"


@pytest.mark.parametrize("keys", [{}, header([("model.layers.0.weight", (4, 4))])])
def test_nothing_is_identified_where_nothing_is_known(keys: Header) -> None:
    found = identify(keys)
    assert (found.dialect, found.kind, found.architectures) == (None, None, ())
    assert found.unknown == tuple(keys)


def test_names_of_one_architecture_never_collide() -> None:
    for each in ARCHITECTURES.values():
        parts = [part for layer in each.layers for part in layer.parts]
        assert len(set(parts)) == len(parts)
        assert len({part.replace(".", "_") for part in parts}) == len(parts)
        originals = [layer.original for layer in each.layers]
        assert len({name.replace(".", "_") for name in originals}) == len(originals)
        for layer in each.layers:
            assert len(layer.parts) == len(layer.shares)


def test_transformers_know_their_architecture() -> None:
    from accelerate import init_empty_weights
    from diffusers import Flux2Transformer2DModel, FluxTransformer2DModel
    from torch import nn

    with init_empty_weights():
        models = {
            FLUX1: FluxTransformer2DModel(num_layers=1, num_single_layers=1),
            FLUX2: Flux2Transformer2DModel(num_layers=1, num_single_layers=1),
        }
    for expected, model in models.items():
        names = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
        assert architecture_of(names) is expected
        assert [name for name in names if expected.find(name) is None] == []  # every layer has both names


def test_flux3_blocks_are_all_known() -> None:
    from accelerate import init_empty_weights
    from diffusers import Flux3Transformer2DModel
    from torch import nn

    with init_empty_weights():
        model = Flux3Transformer2DModel(num_layers=1, num_single_layers=1)
    names = [name for name, part in model.named_modules() if isinstance(part, nn.Linear)]
    assert architecture_of(names) is FLUX3
    blocks = [name for name in names if "blocks" in name]
    assert len(blocks) == 4 * 6
    assert all(FLUX3.find(name) for name in blocks)


def test_keys_are_taken_apart() -> None:
    key = split_key("base_model.model.transformer_blocks.0.attn.to_q.lora_A.default.weight")
    assert key is not None
    assert (key.dialect, key.module, key.part) == ("peft", "transformer_blocks.0.attn.to_q", "down")
    assert split_key("transformer.transformer_blocks.0.attn.to_q.bias") is None
    assert split_key("lora_te1_text_model_encoder_layers_0_mlp_fc1.alpha") is None
