"""Files made to break a reader: the answer is a recipe with a list, or a refusal, and never anything else."""

from __future__ import annotations

import json
import zlib
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.metadata import recall_samples as samples
from workbench.metadata import Recalled, RecallError, recall
from workbench.metadata.container import MAX_TEXT, read_texts

KEYS = ["workbench", "parameters", "prompt", "workflow", "invokeai_metadata", "invokeai_graph", "sd-metadata"]
SCALARS = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
VALUES = st.recursive(
    SCALARS, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=10), inner, max_size=4)
)
PORTS = [
    "model", "positive", "negative", "conditioning", "latent_image", "samples", "noise", "guider", "sigmas", "sampler",
    "seed", "noise_seed", "steps", "cfg", "text", "t5xxl", "guidance", "width", "height", "images", "pixels",
    "batch_size", "lora_name", "strength_model", "unet_name", "denoise", "max_shift", "base_shift", "lora_1", "value",
]  # fmt: skip
KINDS = [
    "KSampler", "SamplerCustomAdvanced", "BasicGuider", "CFGGuider", "RandomNoise", "BasicScheduler", "UNETLoader",
    "LoraLoader", "Power Lora Loader (rgthree)", "ModelSamplingFlux", "FluxGuidance", "CLIPTextEncode",
    "ReferenceLatent", "Reroute", "PrimitiveInt", "EmptyLatentImage", "LoadImage", "VAEDecode", "SaveImage", "Pack",
]  # fmt: skip
LINKS = st.tuples(st.integers(0, 9).map(str), st.just(0)).map(list)  # ten nodes: cycles are the rule
GRAPHS = st.dictionaries(
    st.integers(0, 9).map(str),
    st.fixed_dictionaries(
        {
            "class_type": st.sampled_from(KINDS),
            "inputs": st.dictionaries(st.sampled_from(PORTS), LINKS | SCALARS | VALUES, max_size=8),
        }
    ),
    max_size=10,
)


def attempt(data: bytes) -> Recalled | None:
    try:
        found = recall(data)
    except RecallError:
        return None
    json.dumps(found.as_json())
    found.to_yaml()
    found._repr_html_()
    return found


@settings(max_examples=300)
@given(st.sampled_from(KEYS), VALUES)
def test_any_json_under_any_name(key: str, value: Any) -> None:
    attempt(samples.png({key: json.dumps(value)}))


@settings(max_examples=300)
@given(st.sampled_from(KEYS), st.text(st.characters(exclude_categories=["Cs"]), max_size=200))
def test_any_text_under_any_name(key: str, text: str) -> None:
    attempt(samples.png({key: text}))


@settings(max_examples=300, suppress_health_check=[HealthCheck.too_slow])
@given(GRAPHS, st.booleans())
def test_graphs_with_cycles_and_wrong_types(graph: dict[str, Any], drawn: bool) -> None:
    if drawn:
        attempt(samples.png({"workflow": json.dumps(samples.drawing(graph))}))
    else:
        attempt(samples.png({"prompt": json.dumps(graph)}))


WRONG = ["positive_prompt", "width", "seed", "model", "loras", "guidance", "cfg_scale", "scheduler"]


@settings(max_examples=200)
@given(st.fixed_dictionaries({}, optional=dict.fromkeys(WRONG, VALUES)))
def test_invokeai_metadata_of_wrong_types(values: dict[str, Any]) -> None:
    assert attempt(samples.png({"invokeai_metadata": json.dumps(values)})) is not None


@settings(max_examples=400)
@given(st.data())
def test_damaged_files(data: st.DataObject) -> None:
    whole = data.draw(
        st.sampled_from(
            [
                samples.png({"parameters": samples.FORGE}),
                samples.jpeg(samples.exif({}, samples.user_comment(samples.FORGE))),
                samples.webp(samples.exif({0x0110: b"prompt:{}\0"}, samples.user_comment(samples.FORGE))),
            ]
        )
    )
    broken = bytearray(whole[: data.draw(st.integers(0, len(whole)))])
    for place in data.draw(st.lists(st.integers(0, max(len(broken) - 1, 0)), max_size=5)):
        if place < len(broken):
            broken[place] = data.draw(st.integers(0, 255))
    attempt(bytes(broken))


@settings(max_examples=300)
@given(st.binary(max_size=200), st.sampled_from([b"\x89PNG\r\n\x1a\n", b"\xff\xd8\xff\xe1", b"RIFF1234WEBPEXIF"]))
def test_any_bytes(tail: bytes, head: bytes) -> None:
    attempt(head + tail)


@pytest.mark.parametrize("key", KEYS)
@pytest.mark.parametrize(
    "text", ["[" * 100_000, '{"a":' * 100_000, '{"image":' * 5000 + "1" + "}" * 5000, "9" * 10_000]
)
def test_deep_and_endless_json_is_refused(key: str, text: str) -> None:
    assert attempt(samples.png({key: text})) is None


def test_a_number_of_thousands_of_digits_is_refused() -> None:
    with pytest.raises(RecallError, match="invokeai_metadata"):
        recall(samples.png({"invokeai_metadata": '{"seed": ' + "9" * 10_000 + "}"}))


def test_a_bomb_is_not_unpacked() -> None:
    bomb = samples.chunk(b"zTXt", b"parameters\0\0" + zlib.compress(b"a" * (MAX_TEXT + 1)))
    with pytest.raises(RecallError, match="unpacks to more than"):
        recall(samples.raw_png(bomb))


def test_a_huge_chunk_is_not_read_and_the_next_one_is() -> None:
    huge = samples.chunk(b"tEXt", b"prompt\0" + b" " * MAX_TEXT)
    found = recall(samples.raw_png(huge, samples.chunk(b"tEXt", b"parameters\0" + samples.A1111.encode())))
    assert found.recipe.prompt == "a cat"
    assert "is not read" in found.notes[0]


def test_compressed_and_international_texts_are_read_and_damaged_ones_told() -> None:
    packed = samples.chunk(b"zTXt", b"parameters\0\0" + zlib.compress(samples.A1111.encode()))
    assert recall(samples.raw_png(packed)).recipe.prompt == "a cat"
    body = "Kätzchen" + samples.A1111[5:]
    for flag, data in ((0, body.encode()), (1, zlib.compress(body.encode()))):
        text = samples.chunk(b"iTXt", b"parameters\0" + bytes([flag, 0]) + b"de\0Angaben\0" + data)
        assert recall(samples.raw_png(text)).recipe.prompt == "Kätzchen"
    bad = bytearray(packed)
    bad[-1] ^= 1
    with pytest.raises(RecallError, match="zTXt chunk is damaged"):
        recall(samples.raw_png(bytes(bad)))


def test_the_first_of_two_texts_of_one_name_counts_and_the_other_is_told() -> None:
    first, second = samples.A1111, samples.A1111.replace("a cat", "a dog")
    chunks = [samples.chunk(b"tEXt", b"parameters\0" + text.encode()) for text in (first, second)]
    found = recall(samples.raw_png(*chunks))
    assert found.recipe.prompt == "a cat"
    assert "several texts" in found.notes[0]


def test_metadata_behind_the_pixels_is_found() -> None:
    text = samples.chunk(b"tEXt", b"parameters\0" + samples.A1111.encode())
    assert recall(samples.raw_png(samples.chunk(b"IDAT", b"no pixels"), text)).recipe.prompt == "a cat"


def test_many_chunks_and_texts_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.metadata.container.MAX_CHUNKS", 100)
    found = read_texts(samples.raw_png(*[samples.chunk(b"tEXt", b"k%d\0v" % i) for i in range(200)]))
    assert len(found.texts) == 64
    assert "more than 100 chunks" in found.problems[-1]


def test_a_graph_of_too_many_nodes_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.metadata.comfy_graph.MAX_NODES", 5)
    with pytest.raises(RecallError, match="more than 5 nodes"):
        recall(samples.png({"prompt": json.dumps(samples.comfy_klein())}))


def test_a_broken_text_does_not_hide_a_good_one() -> None:
    found = recall(samples.png({"workbench": "{", "parameters": samples.A1111}))
    assert found.recipe.prompt == "a cat"
    assert "'workbench' cannot be read" in found.notes[0]


def test_terminal_and_markup_characters_in_names_do_no_harm() -> None:
    values = {"positive_prompt": "x", "\x1b[31m<b>": "<script>\x1b]0;", "model": {"name": "<img src=x>"}}
    found = recall(samples.png({"invokeai_metadata": json.dumps(values)}))
    assert "<script>" not in found._repr_html_()
    assert "<img" not in found._repr_html_()
    assert not any("\x1b" in str(part) for part in found.left_out)
