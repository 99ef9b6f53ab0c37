"""Text encoders from fp8, int8, nf4, fp4 and GGUF files: the same network as transformers', nearly the same numbers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from tests.flux1_models import write_flux1
from workbench.engine import Engine
from workbench.errors import ModelError
from workbench.models.catalog import ModelCatalog
from workbench.models.encoders import load_encoder, plain
from workbench.models.footprint import component_bytes
from workbench.models.identify import Header, TensorEntry, expand, identify, read
from workbench.models.loading import load
from workbench.models.quantise import FP4, Packed, PackedLinear, pack, put
from workbench.models.sources.files import InstallError, add
from workbench.recipe import Recipe

LAYERS = 3
FORMS = {"fp8": 0.04, "int8": 0.01, "nf4": 0.12, "fp4": 0.15, "Q8_0": 0.01, "Q4_0": 0.12}  # relative error of a matrix


def network(kind: str) -> tuple[nn.Module, Any, dict[str, Tensor]]:
    """A text encoder as transformers has it, the class that ours is of, and its tensors as published files name them."""
    import transformers

    torch.manual_seed(0)
    sizes: dict[str, Any] = {"vocab_size": 96, "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": LAYERS}
    heads = {"num_attention_heads": 4, "num_key_value_heads": 2, "head_dim": 16}
    module: Any
    if kind == "t5":
        config: Any = transformers.T5Config(
            vocab_size=96, d_model=64, d_kv=16, d_ff=128, num_layers=LAYERS, num_heads=4, feed_forward_proj="gated-gelu"
        )
        module = transformers.T5EncoderModel(config)
    elif kind == "clip":
        module = transformers.CLIPTextModel(transformers.CLIPTextConfig(**sizes, num_attention_heads=4))
    elif kind == "qwen3":
        module = transformers.Qwen3Model(transformers.Qwen3Config(**sizes, **heads))
    elif kind == "mistral":
        module = transformers.MistralModel(transformers.MistralConfig(**sizes, **heads))
    else:
        rope = {"rope_type": "default", "mrope_section": [4, 2, 2], "rope_theta": 10000.0}
        config = transformers.models.qwen3_vl.Qwen3VLTextConfig(**sizes, **heads, rope_parameters=rope)
        module = transformers.Qwen3VLTextModel(config)
    for parameter in module.parameters():
        if parameter.ndim == 2:
            nn.init.normal_(parameter, std=parameter.shape[1] ** -0.5)
    state = {name: value.detach().clone().contiguous() for name, value in module.state_dict().items()}
    if kind == "t5":
        del state["encoder.embed_tokens.weight"]  # one table under two names
    if kind == "clip":
        state = {name if name.startswith("text_model.") else f"text_model.{name}": one for name, one in state.items()}
    if kind in ("qwen3", "mistral"):
        state = {f"model.{name}": value for name, value in state.items()}
        state["lm_head.weight"] = torch.zeros(96, 64)
    if kind == "mistral":
        state = {f"language_model.{name}": value for name, value in state.items()}
        state["vision_tower.patch_conv.weight"] = torch.zeros(4, 4)
    if kind == "qwen3-vl":
        state = {f"model.language_model.{name}": value for name, value in state.items()}
        state["model.visual.blocks.0.attn.proj.weight"] = torch.zeros(4, 4)
    return module.eval(), type(module), state


def matrices(state: Mapping[str, Tensor]) -> list[str]:
    stacks = (".layers.", "encoder.block.")
    return [name for name, one in state.items() if one.ndim == 2 and any(each in name for each in stacks)]


def in_fewer_bits(state: Mapping[str, Tensor], form: str) -> dict[str, Tensor]:
    """What a file in that form holds; `form` is one of bitsandbytes' or ComfyUI's fp8."""
    written = {name: value.bfloat16() for name, value in state.items()}
    for name in matrices(state):
        value, stem = state[name], name.removesuffix(".weight")
        if form == "fp8":
            factor = value.abs().max() / 448
            written |= {name: (value / factor).to(torch.float8_e4m3fn), f"{stem}.scale_weight": factor}
        elif form == "int8":
            packed = pack(value, "int8")
            assert packed.scale is not None
            written |= {name: packed.data, f"{stem}.SCB": packed.scale.flatten() * 127}
        else:
            data, scale = four_bits(value, form)
            facts = {"quant_type": form, "blocksize": 64, "dtype": "bfloat16", "shape": list(value.shape)}
            remark = torch.tensor(list(json.dumps(facts).encode()), dtype=torch.uint8)
            written |= {name: data, f"{name}.absmax": scale, f"{name}.quant_state.bitsandbytes__{form}": remark}
            written[f"{name}.quant_map"] = torch.zeros(16)
    return written


def four_bits(value: Tensor, form: str) -> tuple[Tensor, Tensor]:
    blocks = value.reshape(-1, 64)
    scale = blocks.abs().amax(dim=1)
    if form == "nf4":
        packed = pack(value, "nf4")
        assert packed.scale is not None
        return packed.data.unsqueeze(1), packed.scale
    distance = (blocks / scale.unsqueeze(1)).unsqueeze(-1) - torch.tensor(FP4)
    codes = distance.abs().argmin(dim=-1).to(torch.uint8).view(-1, 2)
    return (codes[:, :1] << 4) | codes[:, 1:], scale


def write_gguf(state: Mapping[str, Tensor], path: Path, form: str, kind: str, heads: tuple[int, int] = (4, 2)) -> None:
    """As llama.cpp's converter does: its own table of names, and queries and keys of Llama-like models in turns."""
    import gguf

    architecture = {"t5": "T5ENCODER", "qwen3": "QWEN3", "mistral": "LLAMA", "qwen3-vl": "QWEN3VL"}[kind]
    names = gguf.get_tensor_name_map(getattr(gguf.MODEL_ARCH, architecture), LAYERS)
    writer = gguf.GGUFWriter(path, {"t5": "t5encoder", "mistral": "llama", "qwen3-vl": "qwen3vl"}.get(kind, kind))
    chosen = gguf.GGMLQuantizationType[form]
    for name, value in state.items():
        if name.startswith(("lm_head", "vision_tower", "language_model.lm_head", "model.visual")):
            continue
        short = name.removeprefix("language_model.").replace("model.language_model.", "model.")
        data = value.float().numpy()
        rows = {"q_proj": heads[0], "k_proj": heads[1]}.get(short.split(".")[-2], 0) if kind == "mistral" else 0
        if rows:
            data = data.reshape(rows, 2, data.shape[0] // rows // 2, -1).swapaxes(1, 2).reshape(data.shape)
        written = names.get_name(short, try_suffixes=(".weight",))
        assert written is not None, short
        if name in matrices(state) and form != "F32" and "relative" not in name:
            writer.add_tensor(written, gguf.quants.quantize(np.ascontiguousarray(data), chosen), raw_dtype=chosen)
        else:
            writer.add_tensor(written, np.ascontiguousarray(data))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


def hidden(module: nn.Module) -> Tensor:
    tokens = torch.arange(1, 25).view(1, -1)
    with torch.no_grad():
        out = module(input_ids=tokens, output_hidden_states=True)
    return torch.stack(list(out.hidden_states))


@pytest.mark.parametrize("kind", ["t5", "qwen3", "mistral", "qwen3-vl"])
def test_gguf_without_loss_is_the_same_network(kind: str, tmp_path: Path) -> None:
    module, cls, state = network(kind)
    write_gguf(state, tmp_path / "model.gguf", "F32", kind)
    assert not plain([tmp_path / "model.gguf"])
    ours = load_encoder(cls, module.config, [tmp_path / "model.gguf"], torch.float32)
    assert torch.equal(hidden(ours), hidden(module))


CASES = [
    (kind, form)
    for kind in ("t5", "clip", "qwen3", "mistral", "qwen3-vl")
    for form in FORMS
    if kind != "clip" or not form.startswith("Q")  # llama.cpp has no such text encoder
]


@pytest.mark.parametrize(("kind", "form"), CASES)
def test_fewer_bits_stay_packed_and_come_near(kind: str, form: str, tmp_path: Path) -> None:
    module, cls, state = network(kind)
    path = tmp_path / ("model.gguf" if form.startswith("Q") else "model.safetensors")
    if form.startswith("Q"):
        write_gguf(state, path, form, kind)
    else:
        save_file(in_fewer_bits(state, form), path)
    assert not plain([path])
    ours = load_encoder(cls, module.config, [path], torch.float32)
    near = hidden(ours)
    for name, part in list(ours.named_modules()):
        if isinstance(module.get_submodule(name), nn.Linear):
            assert isinstance(part, PackedLinear), name  # kept as the file has it
            exact = module.get_parameter(f"{name}.weight")
            assert (part.packed.dense() - exact).norm() < FORMS[form] * exact.norm(), name
            put(ours, name, whole(part))
    assert torch.equal(hidden(ours), near)  # the network that transformers makes of the same numbers


def whole(part: PackedLinear) -> nn.Linear:
    layer = nn.Linear(part.in_features, part.out_features, bias=part.bias is not None)
    layer.weight.data = part.packed.dense()
    if part.bias is not None:
        layer.bias.data = part.bias
    return layer


def test_layers_that_are_not_read_are_left_out(tmp_path: Path) -> None:
    module, cls, state = network("qwen3")
    save_file(in_fewer_bits(state, "fp8"), tmp_path / "model.safetensors")
    config: Any = module.config
    config.num_hidden_layers, config.layer_types = 2, config.layer_types[:2]
    ours = load_encoder(cls, config, [tmp_path / "model.safetensors"], torch.float32)
    assert len(list(ours.get_submodule("layers").children())) == 2


def test_files_that_lack_something_say_what(tmp_path: Path) -> None:
    module, cls, state = network("t5")
    del state["encoder.final_layer_norm.weight"]
    save_file(in_fewer_bits(state, "fp8"), tmp_path / "model.safetensors")
    with pytest.raises(ModelError, match=r"1 tensors are missing \(encoder\.final_layer_norm"):
        load_encoder(cls, module.config, [tmp_path / "model.safetensors"], torch.float32)


def test_fp4_is_that_of_bitsandbytes() -> None:
    """Its table is e2m1 over 12 with one subnormal, the sign in the highest bit."""
    assert FP4[:8] == pytest.approx((0, 0.0052083, 0.6666667, 1.0, 0.3333333, 0.5, 0.1666667, 0.25), abs=1e-6)
    assert FP4[9:] == tuple(-value for value in FP4[1:8])
    packed = Packed("fp4", (1, 64), torch.tensor([0x3B] + [0] * 31, dtype=torch.uint8), torch.tensor([2.0]))
    assert packed.dense()[0, :3].tolist() == [2.0, -2.0, 0.0]


# As parts of a model.


@pytest.fixture(scope="module")
def flux1(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("flux1")
    write_flux1(root / "dev", seed=3)
    return root


def test_a_gguf_text_encoder_is_added_and_draws(flux1: Path, tmp_path: Path) -> None:
    import gguf

    catalog = ModelCatalog(tmp_path / "home", flux1, device="cpu")
    state = load_file(flux1 / "dev" / "text_encoder_2" / "model.safetensors")
    state.pop("encoder.embed_tokens.weight", None)
    names = gguf.get_tensor_name_map(gguf.MODEL_ARCH.T5ENCODER, 2)
    writer = gguf.GGUFWriter(tmp_path / "t5.gguf", "t5encoder")
    for name, value in state.items():
        known = names.get_name(name, try_suffixes=(".weight",))
        assert known
        writer.add_tensor(known, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    folder = add(catalog, tmp_path / "t5.gguf", "dev", "dev-t5")
    assert (folder / "text_encoder_2" / "model.gguf").is_file()
    assert not (folder / "text_encoder_2" / "model.safetensors").exists()
    recipe = Recipe(model="dev", prompt="a circle", width=64, height=64, steps=1)
    results = list(Engine(catalog, device="cpu").run([recipe, recipe.replace(model="dev-t5")]))
    assert [result.error for result in results] == [None, None]
    assert results[0].picture is not None
    assert results[1].picture is not None
    assert results[0].picture.tobytes() == results[1].picture.tobytes()
    small = {name: value[:, :8].contiguous() if "SelfAttention.q" in name else value for name, value in state.items()}
    save_file(small | {"encoder.final_layer_norm.weight": torch.ones(8)}, tmp_path / "small.safetensors")
    with pytest.raises(InstallError, match="width 8, and the text_encoder_2 of dev needs"):
        add(catalog, tmp_path / "small.safetensors", "dev", "dev-small")


def test_a_text_encoder_of_another_family_is_refused(tiny_catalog: ModelCatalog, tmp_path: Path) -> None:
    catalog = ModelCatalog(tmp_path / "home", tiny_catalog.extra, device="cpu")
    _, _, state = network("t5")
    save_file(state, tmp_path / "t5.safetensors")
    with pytest.raises(InstallError, match="is a T5 text encoder, which tiny-base has none of"):
        add(catalog, tmp_path / "t5.safetensors", "tiny-base", "wrong")


@pytest.mark.parametrize("method", ["int8", "nf4"])
def test_quantisation_reaches_the_text_encoders_where_it_says_so(flux1: Path, tmp_path: Path, method: str) -> None:
    catalog = ModelCatalog(tmp_path / "home", flux1, device="cpu")
    model, cpu = catalog.model("dev"), torch.device("cpu")
    alone = load(model, "float32", cpu, quantisation=method)  # type: ignore[arg-type]
    both = load(model, "float32", cpu, quantisation=f"{method}+text")  # type: ignore[arg-type]
    for parts, expected in ((alone, False), (both, True)):
        modules = [part for encoder in parts.text_encoders for part in encoder.modules()]
        assert any(isinstance(part, PackedLinear) for part in modules) is expected
    if method == "int8":
        sizes = {
            name: component_bytes(model, name, "float32", "int8+text") for name in ("text_encoder", "text_encoder_2")
        }
        for size, encoder in zip(sizes.values(), both.text_encoders, strict=True):
            kept = sum(each.nbytes for each in (*encoder.parameters(), *encoder.buffers()))
            assert size == pytest.approx(kept, rel=0.15)  # scales of such small matrices count
    recipe = Recipe(model="dev", prompt="a circle", width=64, height=64, steps=1)
    recipes = [recipe.replace(quantisation=each) for each in (method, f"{method}+text")]
    results = list(Engine(catalog, device="cpu").run(recipes))
    assert [result.error for result in results] == [None, None]
    assert results[0].digest != results[1].digest
    assert results[0].picture is not None
    assert results[1].picture is not None
    assert results[0].picture.tobytes() != results[1].picture.tobytes()


# What headers say.


def test_a_gguf_of_qwen3_vl_is_told_by_its_remarks() -> None:
    layout = json.loads((Path(__file__).parent / "layouts" / "qwen3-4b-q4_k-gguf.json").read_text(encoding="utf-8"))
    layout["metadata"]["general.architecture"] = "qwen3vl"
    what = identify(expand(layout))
    assert (what.family, what.variants) == ("qwen3-vl", ("Qwen3-VL-4B",))


def test_nvfp4_is_named_and_refused(tmp_path: Path) -> None:
    from workbench.models.contents import read_state

    entries = {
        "single_stream_modulation.lin.weight": TensorEntry("BF16", (96, 32)),
        "img_in.weight": TensorEntry("BF16", (32, 16)),
        "txt_in.weight": TensorEntry("BF16", (32, 48)),
        "double_blocks.0.img_mlp.0.weight": TensorEntry("U8", (512, 128)),
        "double_blocks.0.img_mlp.0.weight_scale": TensorEntry("F8_E4M3", (512, 16)),
        "double_blocks.0.img_mlp.0.weight_scale_2": TensorEntry("F32", ()),
    }
    what = identify(Header("safetensors", entries))
    assert (what.family, what.numbers.precision) == ("flux2", "nvfp4")
    assert what.numbers.parameters == 96 * 32 + 32 * 16 + 32 * 48 + 512 * 256
    kinds = {"BF16": torch.bfloat16, "U8": torch.uint8, "F8_E4M3": torch.float8_e4m3fn, "F32": torch.float32}
    tensors = {name: torch.zeros(one.shape, dtype=kinds[one.dtype]) for name, one in entries.items()}
    save_file(tensors, tmp_path / "a.safetensors")
    assert identify(read(tmp_path / "a.safetensors")).numbers.precision == "nvfp4"
    with pytest.raises(ModelError, match="is in nvfp4, which is not read"):
        read_state(tmp_path / "a.safetensors")
