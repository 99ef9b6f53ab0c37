from __future__ import annotations

import math

import pytest
from PIL import Image

from tests.metadata import recall_samples as samples
from workbench.metadata import Recalled, recall
from workbench.metadata.names import Names
from workbench.recipe import Adapter, Recipe


def reasons(found: Recalled) -> dict[str, str]:
    return {part.name: part.reason for part in found.left_out}


def test_forge_with_flux() -> None:
    found = recall(samples.png({"parameters": samples.FORGE}), models=["flux1-dev-q8"], adapters=["Oils"])
    assert found.recipe == Recipe(
        prompt="a lighthouse at dusk, oil on canvas\nsecond line",
        negative_prompt="blurry", steps=20, guidance_scale=3.5, seed=4242, width=1024, height=768,
        adapters=(Adapter(name="Oils", weight=0.8),), model=found.recipe.model,
    )  # fmt: skip
    assert found.source == "AUTOMATIC1111"
    assert reasons(found).keys() >= {"Model hash", "Lora hashes", "Module 1", "Module 2"}
    assert not reasons(found).keys() & {"Sampler", "Schedule type", "CFG scale", "Version"}
    assert any("noise" in note for note in found.notes)


def test_automatic1111_lists_what_a_recipe_cannot_hold() -> None:
    found = recall(samples.png({"parameters": samples.A1111}))
    assert found.recipe == Recipe(
        prompt="a cat", negative_prompt="(worst quality:1.4), text", steps=28, guidance_scale=7, seed=965400086,
        width=512, height=768,
    )  # fmt: skip
    left = reasons(found)
    assert left.keys() == {
        "Sampler", "Schedule type", "Model", "Model hash", "Denoising strength", "Clip skip", "Hires upscale",
        "Civitai resources",
    }  # fmt: skip
    assert "no known name of a supported model" in left["Model"]
    assert any("plain text" in note for note in found.notes)


@pytest.mark.parametrize("coding", ["utf-16-be", "utf-16-le"])
@pytest.mark.parametrize("order", ["<", ">"])
@pytest.mark.parametrize("write", [samples.jpeg, samples.webp])
def test_exif_user_comments_hold_the_same(coding: str, order: str, write: object) -> None:
    text = samples.FORGE.replace("lighthouse", "灯台 lighthouse")
    data = write(samples.exif({}, samples.user_comment(text, coding), order))  # type: ignore[operator]
    found = recall(data)
    assert found.recipe.prompt.startswith("a 灯台 lighthouse at dusk")
    assert (found.recipe.seed, found.recipe.width) == (4242, 1024)


def test_our_exif_samples_are_what_pillow_reads() -> None:
    from io import BytesIO

    block = samples.exif({0x0110: b"prompt:{}\0"}, samples.user_comment("hello"))
    read = Image.open(BytesIO(samples.webp(block))).getexif()
    assert read[0x0110] == "prompt:{}"
    assert read.get_ifd(0x8769)[0x9286] == b"UNICODE\0" + "hello".encode("utf-16-be")


def test_swarm() -> None:
    text = samples.dumps(
        {
            "sui_image_params": {
                "prompt": "an owl", "negativeprompt": "day", "model": "flux1-schnell", "seed": 9, "steps": 4,
                "cfgscale": 1, "width": 768, "height": 512, "sampler": "euler", "scheduler": "simple",
                "loras": ["feathers"], "loraweights": ["0.7"], "upscale": 2, "swarm_version": "0.9",
            }
        }
    )  # fmt: skip
    found = recall(samples.png({"parameters": text}))
    assert found.recipe.adapters == (Adapter(name="feathers", weight=0.7),)
    assert (found.recipe.prompt, found.recipe.negative_prompt, found.recipe.seed) == ("an owl", "day", 9)
    assert "upscale" in reasons(found)


def test_invokeai() -> None:
    found = recall(samples.png({"invokeai_metadata": samples.dumps(samples.INVOKE_FLUX), "invokeai_graph": "{}"}))
    assert found.source == "InvokeAI"
    assert found.recipe == Recipe(
        model="FLUX.2-klein-4B", prompt="a red fox", width=1024, height=1024, seed=123, steps=4,
        adapters=(Adapter(name="fox_style", weight=0.75),),
    )  # fmt: skip
    assert reasons(found).keys() == {"ref_images", "vae"}
    assert any("stored as Diffusers" in note for note in found.notes)


def test_invokeai_2() -> None:
    found = recall(samples.png({"sd-metadata": samples.dumps(samples.INVOKE_LEGACY)}))
    assert found.recipe == Recipe(
        model="stable-diffusion-v1-5",
        prompt="Underwater city",
        width=512,
        height=512,
        seed=916798825,
        steps=50,
        guidance_scale=7.5,
    )
    assert reasons(found).keys() == {"sampler", "perlin"}


def test_an_invokeai_graph_alone() -> None:
    found = recall(samples.png({"invokeai_graph": samples.dumps(samples.INVOKE_GRAPH)}))
    recipe = found.recipe
    assert (recipe.prompt, recipe.seed, recipe.steps, recipe.width, recipe.height) == ("a paper boat", 77, 12, 768, 512)
    assert (recipe.guidance_scale, recipe.adapters) == (3.0, (Adapter(name="inked", weight=0.5),))
    assert "scheduler" not in reasons(found)
    assert found.recipe.sampler == "heun"


def test_comfyui_with_custom_sampling() -> None:
    found = recall(
        samples.png({"prompt": samples.dumps(samples.comfy_flux1()), "workflow": "{}"}), models=["flux1-dev"]
    )
    assert found.source == "ComfyUI"
    mu = 4096 * (1.15 - 0.5) / (4096 - 256) + 0.5 - 256 * (1.15 - 0.5) / (4096 - 256)  # 1024 x 1024 has 4096 tokens
    assert found.recipe.shift == pytest.approx(math.exp(mu))
    assert found.recipe.replace(shift=None) == Recipe(
        model="flux1-dev", prompt="a glass dragon", seed=219670278747233, width=1024, height=1024, steps=20,
        guidance_scale=3.5, adapters=(Adapter(name="first", weight=0.6), Adapter(name="second", weight=1.0)),
    )  # fmt: skip
    assert reasons(found).keys() == {"weight_dtype", "sub/second.safetensors strength_clip"}


def test_comfyui_with_klein_a_negative_prompt_and_a_reference() -> None:
    found = recall(samples.png({"prompt": samples.dumps(samples.comfy_klein())}))
    assert found.recipe == Recipe(
        model="FLUX.2-klein-base-4B", prompt="put the fox on a boat", negative_prompt="blurry", seed=5, width=1024,
        height=768, steps=30, guidance_scale=5.0,
    )  # fmt: skip
    left = {part.name: part.value for part in found.left_out}
    assert left == {"sampler_name": "dpmpp_2m", "reference (LoadImage)": "fox.png"}


def test_comfyui_reads_the_first_of_two_passes() -> None:
    found = recall(samples.png({"prompt": samples.dumps(samples.comfy_two_passes())}))
    recipe = found.recipe
    assert (recipe.prompt, recipe.seed, recipe.width, recipe.steps) == ("a long dragon", 11, 512, 4)
    assert recipe.guidance_scale == 2.5
    assert recipe.negative_prompt == ""
    assert reasons(found).keys() >= {"KSampler 6", "clip_l", "batch_size"}


def test_comfyui_s_webp_keeps_the_graph_in_exif() -> None:
    text = b"prompt:" + samples.dumps(samples.comfy_klein()).encode() + b"\0"
    found = recall(samples.webp(samples.exif({0x010F: b"workflow:{}\0", 0x0110: text})))
    assert found.recipe.prompt == "put the fox on a boat"


@pytest.mark.parametrize("graph", [samples.comfy_flux1(), samples.comfy_klein(), samples.comfy_two_passes()])
def test_the_editor_s_drawing_tells_the_same(graph: dict[str, object]) -> None:
    run = recall(samples.png({"prompt": samples.dumps(graph)}))
    drawn = recall(samples.png({"workflow": samples.dumps(samples.drawing(graph))}))
    assert drawn.recipe == run.recipe
    assert [part.name for part in drawn.left_out] == [part.name for part in run.left_out]
    assert "drawing" in drawn.notes[0]


def test_what_other_nodes_compute_is_left_out_and_the_file_tells_the_size() -> None:
    graph = samples.comfy_klein()
    graph["9"]["inputs"] |= {"width": ["20", 0], "height": ["20", 1]}
    graph["11"]["inputs"]["noise_seed"] = ["21", 0]
    graph |= {"20": samples.node("GetImageSize", image=["4", 0]), "21": samples.node("SeedOfAPack", seed=3)}
    graph["12"]["inputs"]["latent_image"] = ["9", 0]
    found = recall(samples.png({"prompt": samples.dumps(graph)}, size=(32, 48)))
    assert reasons(found)["RandomNoise noise_seed"] == "it is computed by other nodes"
    assert (found.recipe.width, found.recipe.height, found.recipe.seed) == (32, 48, 0)
    assert any("size is that of the file" in note for note in found.notes)


def test_image_to_image_names_the_picture_and_the_share() -> None:
    graph = samples.comfy_two_passes()
    graph["4"]["inputs"] |= {"latent_image": ["10", 0], "denoise": 0.6}
    graph |= {"9": samples.node("LoadImage", image="sketch.png"), "10": samples.node("VAEEncode", pixels=["9", 0])}
    found = recall(samples.png({"prompt": samples.dumps(graph)}))
    left = {part.name: part.value for part in found.left_out}
    assert left["image (LoadImage)"] == "sketch.png"
    assert left["denoise"] == "0.6"
    assert found.recipe.strength is None


@pytest.mark.parametrize(
    ("name", "expected"),
    [
        ("flux-2-klein-4b.safetensors", "FLUX.2-klein-4B"),
        ("unet\\flux-2-klein-base-4b-fp8.safetensors", "FLUX.2-klein-base-4B"),
        ("flux2_klein_9b_Q4_K_S.gguf", "FLUX.2-klein-9B"),
        ("FLUX.2-klein-9B (Diffusers)", "FLUX.2-klein-9B"),
        ("sd_xl_base_1.0.safetensors", "stable-diffusion-xl-base-1.0"),
        ("flux1-dev-kontext_fp8_scaled.safetensors", "FLUX.1-Kontext-dev"),
        ("klein", None),
        ("flux", None),
        ("my-flux-2-klein-4b-merge", None),
        ("fp8", None),
        ("", None),
        ("/", None),
        ("sdxl_finetune_1.0", None),
    ],
)
def test_names_are_mapped_where_it_is_certain(name: str, expected: str | None) -> None:
    found = Names().model(name)
    assert (found.name if found else None) == expected


def test_a_model_that_is_here_is_spelled_as_it_is_here() -> None:
    found = Names(models=["My_Flux-2-Klein-4B-Merge"]).model("my-flux-2-klein-4b-merge.safetensors")
    assert found is not None
    assert found.name == "My_Flux-2-Klein-4B-Merge"
    assert Names(adapters=["Ink"]).adapter("styles/ink.safetensors") == "Ink"
    assert Names().adapter("styles/ink.v2.safetensors") == "ink.v2"
