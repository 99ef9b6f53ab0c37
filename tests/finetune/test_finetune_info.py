"""`finetune info`: what a LoRA file holds, from its header."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest
from safetensors.numpy import save_file
from typer.testing import CliRunner

from finetune import read_info
from finetune.adapter_info import MAX_HEADER
from finetune.cli import app
from finetune.fit import find_fit
from workbench.errors import ModelError
from workbench.models.catalog import ModelCatalog

if TYPE_CHECKING:
    from tests.conftest import TinyKlein

Tensors = dict[str, np.ndarray]
MODULE = "transformer_blocks.0.attn.to_q"


def pair(module: str, rank: int = 4, width: int = 64, out: int | None = None) -> Tensors:
    return {
        f"{module}.lora_A.weight": np.zeros((rank, width), np.float32),
        f"{module}.lora_B.weight": np.zeros((out or width, rank), np.float32),
    }


def save(path: Path, tensors: Tensors, metadata: dict[str, str] | None = None) -> Path:
    save_file(tensors, path, metadata)
    return path


@pytest.fixture
def catalog(tiny_klein: TinyKlein, tmp_path: Path) -> ModelCatalog:
    return ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")


def test_header_of_a_file_written_by_diffusers_and_peft(
    tiny_klein: TinyKlein, catalog: ModelCatalog, tmp_path: Path
) -> None:
    import torch
    from diffusers import Flux2KleinPipeline, Flux2Transformer2DModel
    from peft import LoraConfig
    from peft.utils import get_peft_model_state_dict

    transformer = Flux2Transformer2DModel.from_pretrained(tiny_klein.base / "transformer", torch_dtype=torch.float32)
    targets = ["attn.to_q", "attn.to_qkv_mlp_proj"]
    transformer.add_adapter(LoraConfig(r=3, lora_alpha=6, target_modules=targets))
    Flux2KleinPipeline.save_lora_weights(
        tmp_path,
        transformer_lora_layers=get_peft_model_state_dict(transformer),
        transformer_lora_adapter_metadata=transformer.peft_config["default"].to_dict(),
    )
    info = read_info(tmp_path / "pytorch_lora_weights.safetensors")
    assert (info.dialect, info.kind) == ("diffusers", "LoRA")
    assert info.ranks == {3: 4}  # two double blocks, two single blocks
    assert info.alpha == "metadata"
    assert info.dtypes == ("F32",)
    trained = sum(p.numel() for name, p in transformer.named_parameters() if "lora_" in name)
    assert info.parameters == trained
    fit = find_fit(info, catalog.models())
    assert {"tiny-base", "tiny-distilled", "tiny-static"} <= set(fit.models)


def test_kohya_naming_with_alpha_tensors_and_mixed_ranks(tmp_path: Path) -> None:
    tensors: Tensors = {}
    for module, rank in (("lora_unet_double_blocks_0_img_attn_qkv", 8), ("lora_unet_single_blocks_1_linear1", 2)):
        tensors |= {
            f"{module}.lora_down.weight": np.zeros((rank, 64), np.float16),
            f"{module}.lora_up.weight": np.zeros((192, rank), np.float16),
            f"{module}.alpha": np.array(1, np.float16),
        }
    info = read_info(save(tmp_path / "k.safetensors", tensors, {"ss_network_dim": "8"}))
    assert (info.dialect, info.alpha, info.keys, info.dtypes) == ("kohya", "tensor", 6, ("F16",))
    assert info.ranks == {2: 1, 8: 1}
    assert info.modules["double_blocks_0_img_attn_qkv"].out_features == 192
    assert info.metadata == {"ss_network_dim": "8"}


def test_family_of_another_width_stays_possible_but_fits_nothing(catalog: ModelCatalog, tmp_path: Path) -> None:
    info = read_info(save(tmp_path / "wide.safetensors", pair(f"transformer.{MODULE}", width=3072)))
    fit = find_fit(info, catalog.models())
    assert fit.models == ()
    assert "flux2-klein" in fit.families


def test_layers_of_another_architecture_fit_no_model_here(catalog: ModelCatalog, tmp_path: Path) -> None:
    info = read_info(save(tmp_path / "flux1.safetensors", pair("transformer.single_transformer_blocks.0.proj_mlp")))
    assert info.identity.title == "FLUX.1 of width 64"
    fit = find_fit(info, catalog.models())
    assert fit.models == ()
    assert not any(family.startswith("flux2") for family in fit.families)


def test_fused_layers_fit_the_models_that_keep_them_in_parts(catalog: ModelCatalog, tmp_path: Path) -> None:
    tensors = pair("diffusion_model.double_blocks.1.txt_attn.qkv", out=192)
    tensors |= pair("diffusion_model.single_blocks.0.linear1", out=576)
    info = read_info(save(tmp_path / "bfl.safetensors", tensors))
    assert info.dialect == "bfl"
    assert "tiny-base" in find_fit(info, catalog.models()).models
    wider = read_info(save(tmp_path / "wider.safetensors", pair("diffusion_model.single_blocks.0.linear1", out=640)))
    assert find_fit(wider, catalog.models()).models == ()


def test_keys_of_other_parts_are_named(tmp_path: Path) -> None:
    tensors = pair(f"transformer.{MODULE}") | {f"transformer.{MODULE}.lora_magnitude_vector": np.ones(64, np.float32)}
    info = read_info(save(tmp_path / "dora.safetensors", tensors | pair("text_encoder.x")))
    assert (info.kind, info.other_keys) == ("DoRA", ("text_encoder.x.lora_A.weight", "text_encoder.x.lora_B.weight"))


def test_a_lokr_is_described(tmp_path: Path) -> None:
    stem = "lycoris_transformer_blocks_0_attn_to_q"
    shapes = {"w1": (8, 8), "w2_a": (8, 2), "w2_b": (2, 8)}
    tensors = {f"{stem}.lokr_{name}": np.zeros(shape, np.float32) for name, shape in shapes.items()}
    info = read_info(save(tmp_path / "lokr.safetensors", tensors))
    assert (info.dialect, info.kind, info.parameters, info.ranks) == ("lycoris", "LoKr", 96, {})
    (module,) = info.modules.values()
    assert (module.out_features, module.in_features) == (64, 64)


@pytest.mark.parametrize(
    ("tensors", "says"),
    [
        ({"weight": np.zeros((2, 2), np.float32)}, "holds no adapter"),
        ({f"transformer.{MODULE}.lora_A.weight": np.zeros((2, 8), np.float32)}, "only half"),
        (
            pair(f"transformer.{MODULE}", rank=2)
            | {f"transformer.{MODULE}.lora_B.weight": np.zeros((64, 3), np.float32)},
            "ranks 2 and 3",
        ),
        ({"transformer.conv.lora_A.weight": np.zeros((2, 8, 3, 3), np.float32)}, "no matrix"),
    ],
)
def test_files_that_are_no_whole_lora_are_refused(tmp_path: Path, tensors: Tensors, says: str) -> None:
    with pytest.raises(ModelError, match=says):
        read_info(save(tmp_path / "bad.safetensors", tensors))


def test_broken_files_are_refused_in_one_sentence(tmp_path: Path) -> None:
    good = save(tmp_path / "good.safetensors", pair(f"transformer.{MODULE}")).read_bytes()
    cases = {
        "cut.safetensors": good[:-10],
        "empty.safetensors": b"",
        "short.safetensors": b"\x01\x02",
        "text.safetensors": b"this is no weight file at all",
        "lora.pt": good,
        "huge.safetensors": (MAX_HEADER + 1).to_bytes(8, "little") + b"{" * (MAX_HEADER + 1),
    }
    for name, content in cases.items():
        (tmp_path / name).write_bytes(content)
        with pytest.raises(ModelError) as caught:
            read_info(tmp_path / name)
        assert name in str(caught.value)
        assert "\n" not in str(caught.value)


def test_command_prints_json_and_text(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    path = save(tmp_path / "a.safetensors", pair(f"transformer.{MODULE}"), {"ss_network_alpha": "4"})
    done = CliRunner().invoke(app, ["info", str(path), "--json"])
    assert done.exit_code == 0, done.output
    told = json.loads(done.stdout)
    assert told["modules"][MODULE] == {"rank": 4, "in": 64, "out": 64}
    assert told["alpha"] == "metadata"
    text = CliRunner().invoke(app, ["info", str(path)]).stdout
    assert MODULE in text
    assert "4 (1 modules)" in text


def test_command_ends_with_two_and_one_line_for_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("WORKBENCH_HOME", str(tmp_path / "home"))
    done = CliRunner().invoke(app, ["info", str(tmp_path / "absent.safetensors")])
    assert done.exit_code == 2
    assert done.stdout == ""
    assert done.stderr.count("\n") == 1
    assert "absent.safetensors" in done.stderr
