"""What published weight files are, told from their stripped headers: names, types and shapes without data."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from workbench.models.identify import Header, Identity, TensorEntry, expand, identify, strip
from workbench.models.identify.stripped import to_json

LAYOUTS = Path(__file__).parent / "layouts"
DEV = ("dev", "Krea-dev", "Kontext-dev")
K4, K9 = ("klein-4B", "klein-base-4B"), ("klein-9B", "klein-base-9B", "klein-9b-kv")
MISTRAL = ("Mistral-Small-3.2-24B", "Mistral-Small-3.1-24B")
SOME = "scaled, some layers"

# name -> kind, family, variants, layout, precision, method, billions of parameters
EXPECTED: dict[str, tuple[str, str, tuple[str, ...], str, str, str, float]] = {
    "flux1-dev-bfl": ("transformer", "flux1", DEV, "bfl", "bfloat16", "", 11.90),
    "flux1-krea-dev-bfl": ("transformer", "flux1", ("Krea-dev",), "bfl", "bfloat16", "", 11.90),
    "flux1-kontext-dev-bfl": ("transformer", "flux1", ("Kontext-dev",), "bfl", "bfloat16", "", 11.90),
    "flux1-schnell-bfl": ("transformer", "flux1", ("schnell",), "bfl", "bfloat16", "", 11.89),
    "flux1-fill-dev-bfl": ("transformer", "flux1", ("Fill-dev",), "bfl", "bfloat16", "", 11.90),
    "flux1-canny-dev-bfl": ("transformer", "flux1", ("Canny-dev", "Depth-dev"), "bfl", "bfloat16", "", 11.90),
    "flux1-depth-dev-bfl": ("transformer", "flux1", ("Depth-dev",), "bfl", "bfloat16", "", 11.90),
    "flux1-lite-8b-bfl": ("transformer", "flux1", ("Lite-8B",), "bfl", "bfloat16", "", 8.16),
    "flux1-dev-diffusers": ("transformer", "flux1", DEV, "diffusers", "bfloat16", "", 11.90),
    "flux1-schnell-diffusers": ("transformer", "flux1", ("schnell",), "diffusers", "bfloat16", "", 11.89),
    "flux1-fill-dev-diffusers": ("transformer", "flux1", ("Fill-dev",), "diffusers", "bfloat16", "", 11.90),
    "flux1-canny-dev-diffusers": ("transformer", "flux1", ("Canny-dev", "Depth-dev"), "diffusers", "bfloat16", "", 11.90),
    "flux1-dev-comfy": ("transformer", "flux1", DEV, "bfl", "bfloat16", "", 11.90),
    "flux1-dev-fp8-e4m3": ("transformer", "flux1", DEV, "bfl", "float8_e4m3fn", "", 11.90),
    "flux1-dev-fp8-e5m2": ("transformer", "flux1", DEV, "bfl", "float8_e5m2", "", 11.90),
    "flux1-dev-fp8-scaled-comfy": ("transformer", "flux1", DEV, "bfl", "float8_e4m3fn", "scaled", 11.90),
    "flux1-dev-nf4-diffusers": ("transformer", "flux1", DEV, "diffusers", "nf4", "bitsandbytes", 11.90),
    "flux1-dev-int8-diffusers": ("transformer", "flux1", DEV, "diffusers", "int8", "bitsandbytes", 11.90),
    "flux1-dev-q4_0-gguf": ("transformer", "flux1", DEV, "bfl", "Q4_0", "gguf", 11.90),
    "flux1-schnell-q8_0-gguf": ("transformer", "flux1", ("schnell",), "bfl", "Q8_0", "gguf", 11.89),
    "flux1-fill-dev-q5_k-gguf": ("transformer", "flux1", ("Fill-dev",), "bfl", "Q5_K", "gguf", 11.90),
    "flux1-kontext-dev-q4_k-gguf": ("transformer", "flux1", ("Kontext-dev",), "bfl", "Q4_K", "gguf", 11.90),
    "flux2-dev-bfl": ("transformer", "flux2", ("dev",), "bfl", "bfloat16", "", 32.22),
    "flux2-klein-4b-bfl": ("transformer", "flux2", K4, "bfl", "bfloat16", "", 3.88),
    "flux2-klein-base-4b-bfl": ("transformer", "flux2", ("klein-base-4B",), "bfl", "bfloat16", "", 3.88),
    "flux2-klein-9b-bfl": ("transformer", "flux2", K9, "bfl", "bfloat16", "", 9.08),
    "flux2-dev-diffusers": ("transformer", "flux2", ("dev",), "diffusers", "bfloat16", "", 32.22),
    "flux2-klein-4b-diffusers": ("transformer", "flux2", K4, "diffusers", "bfloat16", "", 3.88),
    "flux2-klein-9b-diffusers": ("transformer", "flux2", K9, "diffusers", "bfloat16", "", 9.08),
    "flux2-klein-4b-fp8-bfl": ("transformer", "flux2", K4, "bfl", "float8_e4m3fn", SOME, 3.88),
    "flux2-dev-fp8mixed-comfy": ("transformer", "flux2", ("dev",), "bfl", "float8_e4m3fn", SOME, 32.22),
    "flux2-klein-4b-nf4-diffusers": ("transformer", "flux2", K4, "diffusers", "nf4", "bitsandbytes", 3.88),
    "flux2-klein-4b-q4_0-gguf": ("transformer", "flux2", K4, "bfl", "Q4_0", "gguf", 3.88),
    "flux2-klein-9b-q5_k-gguf": ("transformer", "flux2", K9, "bfl", "Q5_K", "gguf", 9.08),
    "flux2-dev-q8_0-gguf": ("transformer", "flux2", ("dev",), "bfl", "Q8_0", "gguf", 32.22),
    "flux3-klein-base-diffusers": ("transformer", "flux3", ("klein-base",), "diffusers", "bfloat16", "", 5.54),
    "flux3-klein-bfl": ("transformer", "flux3", ("klein",), "bfl", "bfloat16", "", 5.55),
    "flux3-klein-diffusers": ("transformer", "flux3", ("klein",), "diffusers", "bfloat16", "", 5.55),
    "flux1-dev-checkpoint-fp8-comfy": ("checkpoint", "flux1", DEV, "bfl", "float8_e4m3fn", "", 17.0),
    "flux1-dev-checkpoint-nf4-forge": ("checkpoint", "flux1", DEV, "bfl", "nf4", "bitsandbytes", 17.0),
    "flux1-schnell-checkpoint-fp8-comfy": ("checkpoint", "flux1", ("schnell",), "bfl", "float8_e4m3fn", "", 16.99),
    "sdxl-base-checkpoint": ("checkpoint", "sdxl", ("base",), "ldm", "float16", "", 2.77),
    "sd15-checkpoint": ("checkpoint", "sd15", ("base",), "ldm", "float16", "", 1.07),
    "sdxl-unet-diffusers": ("unet", "sdxl", ("base",), "diffusers", "float16", "", 2.57),
    "sd15-unet-diffusers": ("unet", "sd15", ("base",), "diffusers", "float16", "", 0.86),
    "t5-xxl-fp16": ("text-encoder", "t5", ("T5-XXL",), "transformers", "float16", "", 4.89),
    "t5-xxl-fp8": ("text-encoder", "t5", ("T5-XXL",), "transformers", "float8_e4m3fn", "", 4.89),
    "t5-xxl-fp8-scaled-comfy": ("text-encoder", "t5", ("T5-XXL",), "transformers", "float8_e4m3fn", SOME, 4.89),
    "t5-xxl-q8_0-gguf": ("text-encoder", "t5", ("T5-XXL",), "llama.cpp", "Q8_0", "gguf", 4.76),
    "t5-xxl-nf4-diffusers": ("text-encoder", "t5", ("T5-XXL",), "transformers", "nf4", "bitsandbytes", 4.89),
    "clip-l": ("text-encoder", "clip", ("CLIP-L",), "transformers", "float16", "", 0.12),
    "mistral-small-bf16": ("text-encoder", "mistral", MISTRAL, "transformers", "bfloat16", "", 22.90),
    "mistral-small-diffusers": ("text-encoder", "mistral", MISTRAL, "transformers", "bfloat16", "", 22.90),
    "mistral-small-fp8-comfy": ("text-encoder", "mistral", MISTRAL, "transformers", "float8_e4m3fn", "scaled", 22.90),
    "qwen3-4b-bf16": ("text-encoder", "qwen3", ("Qwen3-4B",), "transformers", "bfloat16", "", 4.02),
    "qwen3-8b-bf16": ("text-encoder", "qwen3", ("Qwen3-8B",), "transformers", "bfloat16", "", 8.19),
    "qwen3-4b-q4_k-gguf": ("text-encoder", "qwen3", ("Qwen3-4B",), "llama.cpp", "Q4_K", "gguf", 4.02),
    "siglip-so400m": ("image-encoder", "siglip", (), "transformers", "bfloat16", "", 0.43),
    "flux1-ae-bfl": ("vae", "flux1-vae", ("FLUX.1", "SD 3", "Z-Image"), "ldm", "float32", "", 0.08),
    "flux1-vae-diffusers": ("vae", "flux1-vae", ("FLUX.1", "SD 3", "Z-Image"), "diffusers", "bfloat16", "", 0.08),
    "flux2-ae-bfl": ("vae", "flux2-vae", ("FLUX.2", "FLUX.3"), "ldm", "float32", "", 0.08),
    "flux2-vae-diffusers": ("vae", "flux2-vae", ("FLUX.2", "FLUX.3"), "diffusers", "float32", "", 0.08),
    "sd-vae-ldm": ("vae", "sd-vae", ("SD 1.5", "SD-XL"), "ldm", "float32", "", 0.08),
    "sdxl-vae-diffusers": ("vae", "sd-vae", ("SD 1.5", "SD-XL"), "diffusers", "float32", "", 0.08),
    "flux1-redux-dev": ("redux", "flux1", ("Redux-dev",), "diffusers", "bfloat16", "", 0.06),
    "flux1-ip-adapter-xlabs": ("ip-adapter", "flux1", ("XLabs",), "xlabs", "bfloat16", "", 0.49),
    "flux1-controlnet-diffusers": ("control", "flux1", ("ControlNet",), "diffusers", "bfloat16", "", 2.14),
    "flux1-controlnet-union-diffusers": ("control", "flux1", ("union ControlNet",), "diffusers", "bfloat16", "", 3.30),
    "lora-flux1-diffusers": ("adapter", "flux1", ("FLUX.1",), "diffusers", "bfloat16", "", 0.03),
    "lora-flux1-peft": ("adapter", "flux1", ("FLUX.1",), "peft", "float32", "", 0.03),
    "lora-flux1-bfl": ("adapter", "flux1", ("FLUX.1",), "bfl", "bfloat16", "", 0.08),
    "lora-flux1-kohya": ("adapter", "flux1", ("FLUX.1",), "kohya", "float16", "", 0.08),
    "lora-flux1-onetrainer": ("adapter", "flux1", ("FLUX.1",), "onetrainer", "bfloat16", "", 0.09),
    "lora-flux1-xlabs": ("adapter", "flux1", ("FLUX.1",), "xlabs", "bfloat16", "", 0.01),
    "lora-flux1-depth-dev": ("adapter", "flux1", ("Canny-dev-lora", "Depth-dev-lora"), "bfl", "bfloat16", "", 0.62),
    "lora-klein-4b-bfl": ("adapter", "flux2", ("FLUX.2 [klein] 4B",), "bfl", "bfloat16", "", 0.02),
    "lora-klein-4b-onetrainer-bfl": ("adapter", "flux2", ("FLUX.2 [klein] 4B",), "onetrainer-bfl", "bfloat16", "", 0.02),
    "lokr-klein-4b-lycoris": ("adapter", "flux2", ("FLUX.2",), "lycoris", "bfloat16", "", 0.0),
    "lora-sdxl-kohya": ("adapter", "sdxl", (), "kohya", "float16", "", 0.0),
}  # fmt: skip


def layout(name: str) -> Header:
    return expand(json.loads((LAYOUTS / f"{name}.json").read_text(encoding="utf-8")))


def named(name: str) -> Identity:
    return identify(layout(name))


def test_every_layout_is_expected_and_every_expectation_has_a_layout() -> None:
    assert {path.stem for path in LAYOUTS.glob("*.json")} == EXPECTED.keys()
    assert len(EXPECTED) >= 30


@pytest.mark.parametrize("name", EXPECTED)
def test_published_files_are_recognised(name: str) -> None:
    what = named(name)
    numbers = what.numbers
    told = (what.kind, what.family, what.variants, what.layout, numbers.precision, numbers.method)
    assert told == EXPECTED[name][:-1]
    assert numbers.parameters / 1e9 == pytest.approx(EXPECTED[name][-1], abs=0.0051)
    assert what.known
    assert what.sentence.endswith("names.")


def test_contents_and_prefix_of_a_checkpoint() -> None:
    assert named("flux1-dev-checkpoint-fp8-comfy").contents == ("VAE", "text encoders")
    assert named("flux1-dev-comfy").prefix == "model.diffusion_model."
    assert named("flux1-dev-comfy").contents == ()


@pytest.mark.parametrize(
    ("name", "channels", "guidance"),
    [
        ("flux1-dev-bfl", 64, True), ("flux1-schnell-bfl", 64, False), ("flux1-fill-dev-diffusers", 384, True),
        ("flux1-canny-dev-bfl", 128, True), ("flux1-dev-nf4-diffusers", 64, True),
        ("flux1-dev-checkpoint-nf4-forge", 64, True), ("flux1-fill-dev-q5_k-gguf", 384, True),
    ],
)  # fmt: skip
def test_variants_are_told_by_input_channels_and_guidance(name: str, channels: int, guidance: bool) -> None:
    facts = named(name).facts or {}
    assert (facts["in_channels"], facts["guidance"]) == (channels, guidance)


def test_one_changed_shape_changes_the_answer() -> None:
    header = layout("flux1-dev-bfl")
    tensors = dict(header.tensors)
    tensors["img_in.weight"] = TensorEntry("BF16", (3072, 384))
    assert identify(Header("safetensors", tensors)).variants == ("Fill-dev",)
    tensors["img_in.weight"] = TensorEntry("BF16", (3072, 72))
    assert identify(Header("safetensors", tensors)).variants == ()


def test_what_a_file_says_of_itself_only_chooses_among_what_fits() -> None:
    schnell = layout("flux1-schnell-bfl")
    lying = Header("safetensors", schnell.tensors, {"modelspec.title": "FLUX.1 Kontext dev"})
    assert identify(lying).variants == ("schnell",)
    assert named("flux1-krea-dev-bfl").stated
    assert not named("flux1-dev-bfl").stated


def test_other_models_are_named_and_nonsense_is_not() -> None:
    chroma = Header("safetensors", {"distilled_guidance_layer.in_proj.bias": TensorEntry("BF16", (5120,))})
    assert identify(chroma).foreign == "Chroma"
    assert "not supported" in identify(chroma).sentence
    nonsense = identify(Header("safetensors", {"a": TensorEntry("F32", (2, 2))}))
    assert (nonsense.kind, nonsense.known) == ("unknown", False)
    assert identify(Header("safetensors", {})).kind == "unknown"


@pytest.mark.parametrize("name", ["flux1-dev-bfl", "sdxl-base-checkpoint", "qwen3-4b-q4_k-gguf", "lora-flux1-kohya"])
def test_stripping_loses_nothing(name: str) -> None:
    header = layout(name)
    again = expand(json.loads(to_json(header)))
    assert again.tensors == header.tensors
    assert (again.format, again.metadata) == (header.format, header.metadata)
    assert len(strip(header)["tensors"]) < 0.6 * len(header.tensors)


NAMES = st.sampled_from(
    ["img_in.weight", "img_in.bias", "double_blocks.0.img_mod.lin.weight", "vector_in.in_layer.weight",
     "decoder.conv_in.weight", "vae.decoder.conv_in.weight", "text_model.embeddings.position_embedding.weight",
     "input_blocks.0.0.weight", "single_stream_modulation.lin.weight", "model.layers.0.input_layernorm.weight",
     "a.lora_A.weight", "controlnet_x_embedder.weight", "redux_up.weight", "redux_down.weight", "x.{0}.y", "1.01.2",
     "encoder.block.0.layer.0.SelfAttention.q.weight", "early_stream_modulations.image.lin.weight"]
)  # fmt: skip


@given(st.dictionaries(NAMES | st.text(max_size=30), st.lists(st.integers(0, 2**40), max_size=5)))
def test_no_shape_makes_it_stumble(shapes: dict[str, list[int]]) -> None:
    header = Header("safetensors", {name: TensorEntry("U8", tuple(shape)) for name, shape in shapes.items()})
    assert identify(header).sentence
    assert expand(strip(header)).tensors == header.tensors
