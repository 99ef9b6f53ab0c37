"""Prompt upsampling for FLUX.3: the caption is that of diffusers' block, written once, recorded, and enough by itself."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from tests.engine.pictures import draw
from tests.engine.tiny_families import _tokenizer, write_flux3
from workbench.errors import CompanionError, RecipeError
from workbench.recipe import Recipe, resolve
from workbench.recipe.layout import Box
from workbench.session import Session
from workbench.settings import Settings
from workbench.store import read_picture

PUP = "tiny-pup"
MARKS = ["<|image_pad|>", "<|vision_start|>", "<|vision_end|>", "<|video_pad|>"]
TEMPLATE = (
    "{%- for message in messages %}{{ '<|im_start|>' + message.role + '\n' }}{%- for part in message.content %}"
    "{%- if part.type == 'image' %}{{ '<|vision_start|><|image_pad|><|vision_end|>' }}{%- else %}{{ part.text }}"
    "{%- endif %}{%- endfor %}{{ '<|im_end|>' + '\n' }}{%- endfor %}"
    "{%- if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{%- endif %}"
)


def write_upsampler(folder: Path) -> Path:
    """A Qwen3.5 of four layers with random weights, its tokenizer and picture processor."""
    from transformers import Qwen2VLImageProcessorPil, Qwen3_5Config, Qwen3_5ForConditionalGeneration

    tokenizer = _tokenizer()
    tokenizer.add_tokens(MARKS, special_tokens=True)
    tokenizer.chat_template = TEMPLATE
    image, start, end, video = tokenizer.convert_tokens_to_ids(MARKS)
    rope = {"rope_type": "default", "mrope_section": [2, 1, 1], "rope_theta": 1e4, "partial_rotary_factor": 0.5}
    config = Qwen3_5Config(
        text_config={
            "vocab_size": len(tokenizer), "hidden_size": 32, "intermediate_size": 32, "num_hidden_layers": 4,
            "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 16, "max_position_embeddings": 32768,
            "linear_key_head_dim": 8, "linear_value_head_dim": 8, "linear_num_key_heads": 2,
            "linear_num_value_heads": 2, "rope_parameters": rope | {"mrope_interleaved": True},
            "eos_token_id": tokenizer.convert_tokens_to_ids("<|im_end|>"),
        },
        vision_config={
            "depth": 1, "hidden_size": 16, "intermediate_size": 32, "num_heads": 2, "out_hidden_size": 32,
            "patch_size": 16, "num_position_embeddings": 16,
        },
        image_token_id=image, vision_start_token_id=start, vision_end_token_id=end, video_token_id=video,
    )  # fmt: skip
    torch.manual_seed(0)
    model: Any = Qwen3_5ForConditionalGeneration(config).eval()
    with torch.no_grad():
        for parameter in model.parameters():
            if parameter.ndim > 1:
                parameter.normal_(0, parameter[0].numel() ** -0.5)
    model.save_pretrained(folder)
    tokenizer.save_pretrained(folder)
    Qwen2VLImageProcessorPil(patch_size=16, size={"shortest_edge": 1024, "longest_edge": 65536}).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("flux3")
    write_flux3(root / "tiny-3", seed=2, flow_map=True)
    write_upsampler(root / PUP)
    return root


@pytest.fixture(autouse=True)
def _short(monkeypatch: pytest.MonkeyPatch) -> None:
    """Twelve tokens of a model that never stops by itself."""
    from diffusers.modular_pipelines.flux3 import prompt_upsampler as block

    monkeypatch.setattr(block.upsample_prompt, "__defaults__", (None, None, 12))


@pytest.fixture
def session(models: Path, tmp_path: Path) -> Session:
    return Session(Settings(home=tmp_path / "home", models=models, device="cpu"))


def recipe(**fields: Any) -> Recipe:
    own = {"model": "tiny-3", "prompt": "a red circle", "width": 64, "height": 64, "steps": 2, "seed": 5}
    return Recipe(**own | {"max_sequence_length": 160, "prompt_upsampler": PUP, "precision": "float32"} | fields)


def block_of_diffusers(folder: Path, request: str, **more: Any) -> str:
    from diffusers.modular_pipelines.flux3.prompt_upsampler import upsample_prompt
    from transformers import AutoTokenizer, Qwen3_5ForConditionalGeneration

    model = Qwen3_5ForConditionalGeneration.from_pretrained(folder, dtype=torch.float32)
    caption: str = upsample_prompt(model, AutoTokenizer.from_pretrained(folder), request, **more)
    return caption


def test_the_caption_is_written_once_and_is_enough_by_itself(session: Session, models: Path) -> None:
    expected = block_of_diffusers(models / PUP, "a red circle")
    results = list(session.run([recipe(), recipe(seed=6)]))
    assert [result.error for result in results] == [None, None]
    assert [result.caption for result in results] == [expected, expected]
    assert session.engine.captions.written == 1
    plain = session.generate(recipe(prompt=expected, prompt_upsampler=None))
    assert np.array_equal(np.asarray(plain.picture), np.asarray(results[0].picture))
    assert session.generate(recipe()).reused
    other = session.generate(recipe(steps=3))  # the caption is kept on disk
    assert other.caption == expected
    assert session.engine.captions.written == 1

    path = session.store.path(results[0].digest)
    _, metadata = read_picture(path)
    assert metadata["caption"] == expected
    assert metadata["recipe"]["prompt"] == "a red circle"
    assert list(metadata["companions"]) == [PUP]


def test_a_picture_is_verified_without_its_upsampler(session: Session, models: Path, tmp_path: Path) -> None:
    digest = session.generate(recipe()).digest
    few = tmp_path / "few"
    few.mkdir()
    (few / "tiny-3").symlink_to(models / "tiny-3")
    without = Session(Settings(home=tmp_path / "other", models=few, device="cpu"))
    assert without.verify(session.store.path(digest)).ok
    with pytest.raises(CompanionError, match=PUP):
        without.generate(recipe())


def test_boxes_are_given_to_the_upsampler_and_kept(session: Session, models: Path) -> None:
    box = Box(id="cat_1", desc="a black cat", box=(0, 0, 0.5, 1))
    row = {"id": "cat_1", "desc": "a black cat", "bbox": [0, 0, 1, 0.5]}
    expected = block_of_diffusers(models / PUP, "a cat <cat_1>", boxes=[row])
    result = session.generate(recipe(prompt="a cat <cat_1>", boxes=(box,)))
    assert result.caption == expected
    assert json.loads(expected[expected.index("[{") :])[0]["bbox"] == [0, 0, 1000, 500]


def test_an_edit_is_written_from_its_references(
    session: Session, models: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Twelve tokens of a random model say little about pictures, so what it is given is looked at."""
    from diffusers.modular_pipelines.flux3.prompt_upsampler import prepare_references
    from transformers import Qwen2VLImageProcessorPil, Qwen3_5ForConditionalGeneration

    given: list[dict[str, Any]] = []
    generate = Qwen3_5ForConditionalGeneration.generate

    def watched(self: Any, **inputs: Any) -> Any:
        given.append(inputs)
        return generate(self, **inputs)

    monkeypatch.setattr(Qwen3_5ForConditionalGeneration, "generate", watched)
    pictures = [draw(number, 96, 64) for number in range(2)]
    for number, picture in enumerate(pictures):
        picture.save(tmp_path / f"{number}.png")
    paths = [str(tmp_path / f"{number}.png") for number in range(2)]
    first = session.generate(recipe(references=paths[:1]))
    assert first.caption
    session.generate(recipe(references=paths))
    session.generate(recipe(references=paths, seed=8))
    assert [int(inputs["image_grid_thw"].shape[0]) for inputs in given] == [1, 2]  # the third was kept
    prepare = Qwen2VLImageProcessorPil.from_pretrained(models / PUP)
    for inputs, shown in zip(given, (pictures[:1], pictures), strict=True):
        expected = prepare(images=prepare_references(shown), return_tensors="pt")
        assert torch.equal(inputs["pixel_values"], expected["pixel_values"])
        places = int((inputs["input_ids"] == image_token(models)).sum())
        assert places == int(expected["image_grid_thw"].prod(dim=1).sum()) // 4


def image_token(models: Path) -> int:
    config = json.loads((models / PUP / "config.json").read_text(encoding="utf-8"))
    return int(config["image_token_id"])


def test_a_damaged_kept_caption_is_written_again(session: Session) -> None:
    first = session.generate(recipe()).caption
    (kept,) = (session.settings.home / "cache" / "captions").rglob("*.json")
    kept.write_bytes(b"{")
    assert session.generate(recipe(seed=9)).caption == first
    assert session.engine.captions.written == 2


def test_an_empty_caption_fails_that_picture_only(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    from transformers import Qwen3_5ForConditionalGeneration

    monkeypatch.setattr(
        Qwen3_5ForConditionalGeneration, "generate", lambda self, input_ids, **_: input_ids, raising=True
    )
    failed, fine = session.run([recipe(), recipe(prompt_upsampler=None)])
    failed, fine = sorted((failed, fine), key=lambda result: result.index)
    assert "wrote no caption" in str(failed.error)
    assert fine.error is None


def test_other_families_refuse(tiny_catalog: Any) -> None:
    with pytest.raises(RecipeError, match="tiny-base has no prompt upsampler") as caught:
        resolve(Recipe(model="tiny-base", prompt="a", prompt_upsampler=PUP), tiny_catalog)
    assert "flux3-klein" in caught.value.remedy
