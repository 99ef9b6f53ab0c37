"""The catalog: identification from files, fingerprints by content, and sentences for what cannot be used."""

from __future__ import annotations

import json
import os
import shutil
import struct
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.conftest import TinyKlein, write_klein
from workbench.errors import ModelError, SettingsError
from workbench.models import FAMILIES, ModelCatalog
from workbench.models.catalog import EMBEDDED
from workbench.models.checkpoint import read_header
from workbench.models.device import choose_device, default_precision
from workbench.models.fingerprint import FileHashes

WEIGHTS = "transformer/diffusion_pytorch_model.safetensors"


@pytest.fixture
def copy(tiny_klein: TinyKlein, tmp_path: Path) -> Path:
    """A model folder that a test may damage."""
    return Path(shutil.copytree(tiny_klein.base, tmp_path / "models" / "broken"))


def catalog(home: Path, extra: Path | None = None) -> ModelCatalog:
    return ModelCatalog(home, extra, device="cpu", recheck=0)


def test_identifies_by_files(tiny_catalog: ModelCatalog) -> None:
    base, distilled = tiny_catalog.model("tiny-base"), tiny_catalog.model("tiny-distilled")
    assert base.family is FAMILIES["flux2-klein-nano"]
    assert (base.is_distilled, base.steps, base.guidance_scale) == (False, 28, 4.0)
    assert (distilled.is_distilled, distilled.steps, distilled.guidance_scale) == (True, 4, 1.0)
    assert base.precision == "float32"
    assert base.parameters > 100_000
    assert base.fingerprint != distilled.fingerprint
    assert {"tiny-base", "tiny-distilled", "tiny-static"} <= {model.name for model in tiny_catalog.models()}


def test_depth_of_the_text_encoder_decides_the_family(tmp_path: Path) -> None:
    write_klein(tmp_path / "klein-nano-in-name-only", seed=1, layers=28)
    model = catalog(tmp_path / "home", tmp_path).model("klein-nano-in-name-only")
    assert model.family.name == "flux2-klein"
    assert model.family.text_layers == (9, 18, 27)


def test_nested_names_and_paths(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    shutil.copytree(tiny_klein.base, tmp_path / "models" / "someone" / "tiny")
    found = catalog(tmp_path)
    assert "someone/tiny" in {model.name for model in found.models()}
    by_name, by_path = found.model("someone/tiny"), found.model(str(tiny_klein.base))
    assert by_name.fingerprint == by_path.fingerprint
    with pytest.raises(ModelError):
        found.model("../models/someone/tiny")


def test_snapshot_folder_names_the_revision(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    folder = tmp_path / "snapshots" / ("ab" * 20)
    shutil.copytree(tiny_klein.base, folder)
    assert catalog(tmp_path / "home").model(str(folder)).revision == "ab" * 20


def test_fingerprint_is_of_content_that_decides_pixels(copy: Path, tiny_klein: TinyKlein, tmp_path: Path) -> None:
    original = catalog(tmp_path).model(str(tiny_klein.base)).fingerprint
    (copy / "README.md").write_text("a note", encoding="utf-8")
    (copy / "text_encoder" / "generation_config.json").write_text("{}", encoding="utf-8")
    assert catalog(tmp_path).model("broken").fingerprint == original
    scheduler = copy / "scheduler" / "scheduler_config.json"
    scheduler.write_text(json.dumps(json.loads(scheduler.read_text()) | {"shift": 2.0}), encoding="utf-8")
    assert catalog(tmp_path).model("broken").fingerprint != original


def test_distilled_flag_is_in_the_fingerprint(copy: Path, tiny_klein: TinyKlein, tmp_path: Path) -> None:
    index = copy / "model_index.json"
    index.write_text(json.dumps(json.loads(index.read_text()) | {"is_distilled": True}), encoding="utf-8")
    found = catalog(tmp_path)
    assert found.model("broken").fingerprint != found.model(str(tiny_klein.base)).fingerprint


def test_a_changed_file_is_noticed(copy: Path, tmp_path: Path) -> None:
    found = catalog(tmp_path)
    before = found.model("broken").fingerprint
    flip_last_byte(copy / WEIGHTS)
    assert found.model("broken").fingerprint != before


def flip_last_byte(path: Path) -> None:
    content = bytearray(path.read_bytes())
    content[-1] ^= 1
    path.write_bytes(content)
    status = path.stat()
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns + 1))


def test_hashes_are_remembered_and_survive_a_damaged_memory(tmp_path: Path) -> None:
    target = tmp_path / "file"
    target.write_bytes(b"content")
    digest = FileHashes(tmp_path / "cache").of(target)
    memory = tmp_path / "cache" / "file-hashes.json"
    known = json.loads(memory.read_text())
    assert list(known.values()) == [digest]
    memory.write_text(json.dumps(dict.fromkeys(known, "remembered")), encoding="utf-8")
    assert FileHashes(tmp_path / "cache").of(target) == "remembered"
    memory.write_text("{ not json", encoding="utf-8")
    assert FileHashes(tmp_path / "cache").of(target) == digest


def drop(name: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        target = folder / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()

    return damage


def truncate(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(path.read_bytes()[:-100])


def long_header(folder: Path) -> None:
    path = folder / WEIGHTS
    path.write_bytes(struct.pack("<Q", 10**9) + path.read_bytes()[8:])


def no_safetensors(folder: Path) -> None:
    (folder / WEIGHTS).write_bytes(b"\x80\x04this is a pickle under another name")


def pickle(folder: Path) -> None:
    (folder / WEIGHTS).rename(folder / "transformer" / "diffusion_pytorch_model.bin")


def edit_index(**changes: object) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        index = folder / "model_index.json"
        index.write_text(json.dumps(json.loads(index.read_text()) | changes), encoding="utf-8")

    return damage


def shallow(folder: Path) -> None:
    config = folder / "text_encoder" / "config.json"
    config.write_text(json.dumps(json.loads(config.read_text()) | {"num_hidden_layers": 2}), encoding="utf-8")


def bad_shard(folder: Path) -> None:
    index = folder / "transformer" / "diffusion_pytorch_model.safetensors.index.json"
    index.write_text(json.dumps({"weight_map": {"x": "../../secret.safetensors"}}), encoding="utf-8")


def empty_index(folder: Path) -> None:
    (folder / "model_index.json").write_text("[]", encoding="utf-8")


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (drop("vae"), ["lacks", "vae"]),
        (drop("scheduler"), ["lacks", "scheduler"]),
        (drop("vae/config.json"), ["configuration", "vae"]),
        (drop(WEIGHTS), ["no weights", "transformer"]),
        (truncate, ["incomplete", "again"]),
        (long_header, ["incomplete", "again"]),
        (no_safetensors, ["incomplete"]),
        (pickle, ["pickle", "Convert it to safetensors"]),
        (edit_index(_class_name="PixArtAlphaPipeline"), ["PixArtAlphaPipeline", "Flux2KleinPipeline"]),
        (edit_index(_class_name=None), ["Supported"]),
        (edit_index(vae=[None, None]), ["lacks", "vae"]),
        (shallow, ["text encoder", "2 layers"]),
        (bad_shard, ["index", "secret"]),
        (empty_index, ["no JSON object"]),
    ],
)
def test_damaged_folders_are_named(
    copy: Path, tmp_path: Path, damage: Callable[[Path], None], words: list[str]
) -> None:
    damage(copy)
    found = catalog(tmp_path)
    with pytest.raises(ModelError) as caught:
        found.model("broken")
    for word in words:
        assert word in str(caught.value)
    assert str(found.broken()["broken"]) == str(caught.value)
    assert "broken" not in {model.name for model in found.models()}


def test_unknown_names(tmp_path: Path, tiny_catalog: ModelCatalog) -> None:
    with pytest.raises(ModelError, match="Did you mean 'tiny-static'"):
        tiny_catalog.model("tiny-statik")
    with pytest.raises(ModelError, match=r"model_index\.json"):
        tiny_catalog.model(str(tmp_path))


def test_adapters(tiny_catalog: ModelCatalog, tmp_path: Path) -> None:
    assert tiny_catalog.adapters() == ["plain", "scaled"]
    path = tiny_catalog.adapter_path("plain")
    assert tiny_catalog.adapter_fingerprint(str(path)) == tiny_catalog.adapter_fingerprint("plain")
    assert tiny_catalog.adapter_fingerprint("scaled") != tiny_catalog.adapter_fingerprint("plain")
    with pytest.raises(ModelError, match="pickle"):
        tiny_catalog.adapter_path(str(tmp_path / "lora.pt"))
    with pytest.raises(ModelError, match="Did you mean 'scaled'"):
        tiny_catalog.adapter_path("scald")
    cut = tmp_path / "cut.safetensors"
    cut.write_bytes(path.read_bytes()[:-1])
    with pytest.raises(ModelError, match="incomplete"):
        tiny_catalog.adapter_path(str(cut))


def test_header_of_an_empty_file(tmp_path: Path) -> None:
    empty = tmp_path / "empty.safetensors"
    empty.touch()
    with pytest.raises(ModelError, match="incomplete"):
        read_header(empty)


def test_devices() -> None:
    assert choose_device("cpu") == "cpu"
    assert choose_device("auto") in ("cpu", "cuda")
    assert default_precision("cuda:1") == "bfloat16"
    with pytest.raises(SettingsError, match="gpu"):
        choose_device("gpu")


def test_rows_are_consistent() -> None:
    for row in FAMILIES.values():
        assert row.width % row.size_multiple == row.height % row.size_multiple == 0
        assert row.min_side <= row.width <= row.max_side
        assert row.width * row.height <= row.max_pixels
        if row.distilled is None:  # the family has both
            assert row.default_steps(distilled=True) < row.default_steps(distilled=False)


@pytest.mark.skipif(not list(EMBEDDED.glob("*/model_index.json")), reason="no embedded model in this checkout")
def test_embedded_models_are_usable(tmp_path: Path) -> None:
    found = catalog(tmp_path)
    assert found.broken() == {}
    assert found.model("klein-nano-base").family.name == "flux2-klein-nano"
