"""Single files: renamed as diffusers renames them, GGUF, fp8, nf4 and int8 read back, added on top of a model."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from workbench.engine import Engine
from workbench.errors import ModelError
from workbench.models.catalog import ModelCatalog
from workbench.models.contents import read_state
from workbench.models.dialects.layout import FLUX1, FLUX2, Architecture
from workbench.models.quantise import PackedLinear, pack
from workbench.models.single import load_transformer, plain
from workbench.models.sources.files import InstallError, add, remove
from workbench.recipe import Recipe

NORMS = {
    "attn.norm_q": "img_attn.norm.query_norm", "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm", "attn.norm_added_k": "txt_attn.norm.key_norm",
}  # fmt: skip


def original(state: dict[str, Tensor], architecture: Architecture) -> dict[str, Tensor]:
    """A transformer's tensors under the original code's names: the inverse, written apart from the reader."""
    found: dict[str, Tensor] = {}
    fused: dict[str, dict[int, Tensor]] = {}
    for name, value in state.items():
        module, _, leaf = name.rpartition(".")
        parts = module.split(".")
        if ".".join(parts[2:]) in NORMS:
            double = parts[0] == "transformer_blocks"
            norm = NORMS[".".join(parts[2:])]
            norm = norm if double else norm.removeprefix("img_attn.")
            found[f"{'double' if double else 'single'}_blocks.{parts[1]}.{norm}.scale"] = value
            continue
        place = architecture.find(module)
        assert place is not None, name
        if place.layer.fused:
            assert place.part is not None
            fused.setdefault(f"{place.original()}.{leaf}", {})[place.part] = value
        else:
            halves = value.chunk(2)
            found[f"{place.original()}.{leaf}"] = torch.cat(halves[::-1]) if place.layer.swapped else value
    return found | {name: torch.cat([parts[part] for part in sorted(parts)]) for name, parts in fused.items()}


@pytest.fixture(scope="module")
def tiny_state(tiny_catalog: ModelCatalog) -> dict[str, Tensor]:
    path = tiny_catalog.model("tiny-base").path / "transformer" / "diffusion_pytorch_model.safetensors"
    return dict(load_file(path))


@pytest.fixture(scope="module")
def bfl_file(tiny_state: dict[str, Tensor], tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("single") / "model.safetensors"
    save_file({name: value.contiguous() for name, value in original(tiny_state, FLUX2).items()}, path)
    return path


def read(path: Path, catalog: ModelCatalog, dtype: torch.dtype = torch.float32) -> Any:
    from diffusers import Flux2Transformer2DModel

    return load_transformer(Flux2Transformer2DModel, catalog.model("tiny-base").path / "transformer", [path], dtype)


def test_original_names_give_the_same_weights(
    bfl_file: Path, tiny_state: dict[str, Tensor], tiny_catalog: ModelCatalog
) -> None:
    assert not plain([bfl_file])
    state = read(bfl_file, tiny_catalog).state_dict()
    assert state.keys() == tiny_state.keys()
    assert all(torch.equal(state[name], value) for name, value in tiny_state.items())


def test_the_names_are_those_of_diffusers_own_converter(bfl_file: Path, tiny_state: dict[str, Tensor]) -> None:
    from diffusers.loaders.single_file_utils import convert_flux2_transformer_checkpoint_to_diffusers

    theirs = convert_flux2_transformer_checkpoint_to_diffusers(load_file(bfl_file))
    assert theirs.keys() == tiny_state.keys()
    assert all(torch.equal(theirs[name], value) for name, value in tiny_state.items())


def test_prefixes_and_further_parts_of_a_checkpoint_are_left_out(
    bfl_file: Path, tiny_state: dict[str, Tensor], tiny_catalog: ModelCatalog, tmp_path: Path
) -> None:
    tensors = {f"model.diffusion_model.{name}": value for name, value in load_file(bfl_file).items()}
    save_file(tensors | {"vae.decoder.conv_in.weight": torch.zeros(4, 4, 3, 3)}, tmp_path / "c.safetensors")
    state = read(tmp_path / "c.safetensors", tiny_catalog).state_dict()
    assert all(torch.equal(state[name], value) for name, value in tiny_state.items())


def test_flux1_is_renamed_and_split(tmp_path: Path) -> None:
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    module = FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=2, attention_head_dim=16, num_attention_heads=4,
        joint_attention_dim=32, pooled_projection_dim=24, axes_dims_rope=(4, 6, 6), guidance_embeds=True,
    )  # fmt: skip
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    module.save_pretrained(tmp_path / "transformer")
    tensors = original(module.state_dict(), FLUX1)
    assert "single_blocks.1.linear1.bias" in tensors
    assert tensors["double_blocks.0.img_attn.qkv.weight"].shape == (192, 64)
    save_file({name: value.contiguous() for name, value in tensors.items()}, tmp_path / "flux.safetensors")
    read = load_transformer(
        FluxTransformer2DModel, tmp_path / "transformer", [tmp_path / "flux.safetensors"], torch.float32
    )
    assert all(torch.equal(read.state_dict()[name], value) for name, value in module.state_dict().items())


def matrices(tensors: dict[str, Tensor]) -> list[str]:
    return [name for name, value in tensors.items() if "_blocks." in name and value.ndim == 2]


def fp8_file(tensors: dict[str, Tensor], path: Path, scale: str) -> None:
    written: dict[str, Tensor] = dict(tensors)
    for name in matrices(tensors):
        factor = tensors[name].abs().max() / 448
        written[name] = (tensors[name] / factor).to(torch.float8_e4m3fn)
        written[f"{name.removesuffix('weight')}{scale}"] = factor.reshape(() if scale == "scale_weight" else 1)
    save_file(written, path)


def int8_file(tensors: dict[str, Tensor], path: Path) -> None:
    written: dict[str, Tensor] = dict(tensors)
    for name in matrices(tensors):
        largest = tensors[name].abs().amax(dim=1)
        written[name] = torch.round(tensors[name] / largest.unsqueeze(1) * 127).to(torch.int8)
        written[f"{name.removesuffix('weight')}SCB"] = largest
    save_file(written, path)


def nf4_file(tensors: dict[str, Tensor], path: Path, *, nested: bool) -> None:
    """As bitsandbytes' `QuantState.as_dict(packed=True)` writes it; nested scales are 8 bits with a table."""
    written: dict[str, Tensor] = dict(tensors)
    for name in matrices(tensors):
        packed = pack(tensors[name], "nf4")
        assert packed.scale is not None
        state: dict[str, Any] = {"quant_type": "nf4", "blocksize": 64, "dtype": "float32", "shape": list(packed.shape)}
        written[name] = packed.data.unsqueeze(1)
        written[f"{name}.quant_map"] = torch.zeros(16)
        if nested:
            offset = packed.scale.mean()
            table = torch.linspace(-1, 1, 256)
            outer = (packed.scale - offset).abs().max().reshape(1)
            codes = torch.bucketize((packed.scale - offset) / outer, (table[1:] + table[:-1]) / 2)
            state |= {"nested_blocksize": 256 * 256, "nested_offset": float(offset), "nested_dtype": "float32"}
            written[f"{name}.absmax"] = codes.to(torch.uint8)
            written[f"{name}.nested_absmax"], written[f"{name}.nested_quant_map"] = outer, table
        else:
            written[f"{name}.absmax"] = packed.scale
        data = torch.tensor(list(json.dumps(state).encode()), dtype=torch.uint8)
        written[f"{name}.quant_state.bitsandbytes__nf4"] = data
    save_file({name: value.contiguous() for name, value in written.items()}, path)


def gguf_file(tensors: dict[str, Tensor], path: Path, kind: str) -> None:
    import gguf

    writer = gguf.GGUFWriter(path, "flux")
    chosen = gguf.GGMLQuantizationType[kind]
    for name, value in tensors.items():
        if name in matrices(tensors):
            writer.add_tensor(name, gguf.quants.quantize(value.numpy(), chosen), raw_dtype=chosen)
        else:
            writer.add_tensor(name, value.numpy())
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()


@pytest.mark.parametrize(
    "case",
    [
        ("fp8", "bfl", 0.03), ("fp8 inputs", "bfl", 0.03), ("fp8", "diffusers", 0.03), ("int8", "diffusers", 0.01),
        ("nf4", "diffusers", 0.1), ("nf4 nested", "diffusers", 0.1), ("nf4", "bfl", 0.1), ("Q8_0", "bfl", 0.006),
        ("Q5_0", "bfl", 0.05), ("Q4_0", "bfl", 0.1),
    ],
)  # fmt: skip
def test_fewer_bits_are_read_back_and_stay_packed(
    case: tuple[str, str, float], tiny_state: dict[str, Tensor], tiny_catalog: ModelCatalog, tmp_path: Path
) -> None:
    form, names, error = case
    tensors = {
        name: value.contiguous()
        for name, value in (tiny_state if names == "diffusers" else original(tiny_state, FLUX2)).items()
    }
    path = tmp_path / ("model.gguf" if form.startswith("Q") else "model.safetensors")
    if form.startswith("fp8"):
        fp8_file(tensors, path, "weight_scale" if form.endswith("inputs") else "scale_weight")
    elif form == "int8":
        int8_file(tensors, path)
    elif form.startswith("nf4"):
        nf4_file(tensors, path, nested=form.endswith("nested"))
    else:
        gguf_file(tensors, path, form)
    assert not plain([path])
    module = read(path, tiny_catalog)
    layer = module.get_submodule("single_transformer_blocks.1.attn.to_qkv_mlp_proj")
    assert isinstance(layer, PackedLinear)
    for name in matrices(tiny_state):
        part = module.get_submodule(name.removesuffix(".weight"))
        assert isinstance(part, PackedLinear)
        difference = (part.packed.dense() - tiny_state[name]).square().mean().sqrt() / tiny_state[
            name
        ].square().mean().sqrt()
        assert difference < error, name
    kept = sum(part.packed.nbytes for part in module.modules() if isinstance(part, PackedLinear))
    whole = sum(tiny_state[name].nbytes for name in matrices(tiny_state))
    assert kept < 0.32 * whole


def test_files_that_do_not_fit_say_what_differs(bfl_file: Path, tiny_catalog: ModelCatalog, tmp_path: Path) -> None:
    tensors = load_file(bfl_file)
    lacking = {name: value for name, value in tensors.items() if "txt_in" not in name}
    save_file(lacking, tmp_path / "lacking.safetensors")
    with pytest.raises(ModelError, match=r"1 tensors are missing \(context_embedder\.weight\)"):
        read(tmp_path / "lacking.safetensors", tiny_catalog)
    save_file(tensors | {"extra.weight": torch.zeros(1)}, tmp_path / "more.safetensors")
    with pytest.raises(ModelError, match=r"1 belong to no layer \(extra\.weight\)"):
        read(tmp_path / "more.safetensors", tiny_catalog)
    save_file(tensors | {"img_in.weight": torch.zeros(64, 20)}, tmp_path / "shape.safetensors")
    with pytest.raises(ModelError, match=r"x_embedder\.weight is \(64, 20\), but"):
        read(tmp_path / "shape.safetensors", tiny_catalog)


def test_scales_that_fit_nothing_are_refused(tmp_path: Path) -> None:
    weight = torch.zeros(4, 4).to(torch.float8_e4m3fn)
    save_file({"a.weight": weight, "a.scale_weight": torch.ones(3)}, tmp_path / "a.safetensors")
    with pytest.raises(ModelError, match="fit neither"):
        read_state(tmp_path / "a.safetensors")
    facts = {"quant_type": "fp4", "blocksize": 64, "shape": [4, 4]}
    remark = torch.tensor(list(json.dumps(facts).encode()), dtype=torch.uint8)
    four = {"a.weight": torch.zeros(8, 1, dtype=torch.uint8), "a.weight.quant_state.bitsandbytes__fp4": remark}
    save_file(four | {"a.weight.absmax": torch.ones(3)}, tmp_path / "b.safetensors")
    with pytest.raises(ModelError, match="3 blocks of 64"):
        read_state(tmp_path / "b.safetensors")


@pytest.mark.parametrize("flow_map", [False, True])
def test_flux3_is_renamed_as_diffusers_does(tmp_path: Path, flow_map: bool) -> None:
    """The names of the original code by the inverse of diffusers' converter, written here apart from our table."""
    from diffusers import Flux3Transformer2DModel
    from diffusers.loaders.single_file_utils import convert_flux3_transformer_checkpoint_to_diffusers

    torch.manual_seed(0)
    module = Flux3Transformer2DModel(
        in_channels=16, cond_in_channels=16, num_layers=2, num_single_layers=2, attention_head_dim=32,
        num_attention_heads=2, joint_attention_dim=48, timestep_channels=32, axes_dims_rope=(8, 8, 8, 8),
        flow_map=flow_map,
    )  # fmt: skip
    for parameter in module.parameters():
        torch.nn.init.normal_(parameter)
    module.save_pretrained(tmp_path / "transformer")
    tensors = {flux3_name(name): flux3_value(name, value) for name, value in module.state_dict().items()}
    tensors["repa_projectors.0.weight"] = torch.zeros(2, 2)
    converted = convert_flux3_transformer_checkpoint_to_diffusers(dict(tensors))
    assert converted.keys() == module.state_dict().keys()
    save_file(tensors, tmp_path / "flux3.safetensors")
    assert not plain([tmp_path / "flux3.safetensors"])
    ours = load_transformer(
        Flux3Transformer2DModel, tmp_path / "transformer", [tmp_path / "flux3.safetensors"], torch.float32
    ).state_dict()
    assert all(torch.equal(ours[name], value) for name, value in module.state_dict().items())
    assert all(torch.equal(converted[name], value) for name, value in ours.items())


def flux3_name(name: str) -> str:
    pairs = {
        "single_transformer_blocks.": "single_blocks.", "target_timestep_embedder.": "ref_time_in.",
        "timestep_embedder.": "time_in.", "linear_1.": "in_layer.", "linear_2.": "out_layer.",
        "x_embedders.": "emb_in.", "context_embedder.": "txt_in.", "proj_out.": "final_layer.image.linear.",
        "norm_out.linear.": "final_layer.image.adaLN_modulation.1.",
        "modulations.image.linear.": "modulations.image.lin.", "modulations.txt.linear.": "modulations.txt.lin.",
        "modulations.image_cond.linear.": "modulations.image_cond.lin.",
        "attn.to_q.": "q_proj.", "attn.to_k.": "k_proj.", "attn.to_v.": "v_proj.", "attn.to_out.0.": "attn_out.",
        "attn.norm_q.weight": "norm.query_norm.scale", "attn.norm_k.weight": "norm.key_norm.scale",
        "ff.linear_in.": "mlp_in.", "ff.linear_out.": "mlp_out.",
    }  # fmt: skip
    if name.startswith("mode_blocks."):
        name = f"content_{name}"
    for ours, theirs in pairs.items():
        name = name.replace(ours, theirs)
    return name


def flux3_value(name: str, value: Tensor) -> Tensor:
    return torch.cat(value.chunk(2)[::-1]) if name.startswith("norm_out.") else value.clone()


# Added on top of a model.


@pytest.fixture
def catalog(tiny_catalog: ModelCatalog, tmp_path: Path) -> ModelCatalog:
    return ModelCatalog(tmp_path / "home", tiny_catalog.extra, device="cpu")


def test_a_file_becomes_a_model_that_draws_the_same_picture(bfl_file: Path, catalog: ModelCatalog) -> None:
    folder = add(catalog, bfl_file, "tiny-base", "mine/copy")
    assert folder == catalog.home / "models" / "mine" / "copy"
    recipe = Recipe(model="tiny-base", prompt="a", width=64, height=64, steps=2)
    results = {
        result.index: result
        for result in Engine(catalog, device="cpu").run([recipe, recipe.replace(model="mine/copy")])
    }
    assert results[1].error is None
    assert results[0].picture is not None
    assert results[1].picture is not None
    assert results[0].digest != results[1].digest
    assert results[0].picture.tobytes() == results[1].picture.tobytes()
    assert remove(catalog, "mine/copy") > 0
    assert not (catalog.home / "models" / "mine").exists()
    assert (catalog.model("tiny-base").path / "vae" / "diffusion_pytorch_model.safetensors").is_file()


def test_a_gguf_file_draws_takes_adapters_and_is_told_in_its_source(
    tiny_state: dict[str, Tensor], catalog: ModelCatalog, tiny_home: Path, tmp_path: Path
) -> None:
    gguf_file(original(tiny_state, FLUX2), tmp_path / "tiny-Q8_0.gguf", "Q8_0")
    folder = add(catalog, tmp_path / "tiny-Q8_0.gguf", "tiny-base", "small")
    assert "Q8_0 (gguf)" in json.loads((folder / "workbench-source.json").read_text())["what"]
    assert (folder / "transformer" / "diffusion_pytorch_model.gguf").is_file()
    assert catalog.model("small").parameters == catalog.model("tiny-base").parameters
    recipe = Recipe(model="small", prompt="a", width=64, height=64, steps=1)
    adapter = str(tiny_home / "adapters" / "plain.safetensors")
    results = list(Engine(catalog, device="cpu").run([recipe, recipe.replace(adapters=[{"name": adapter}])]))
    assert [result.error for result in results] == [None, None]
    assert results[0].picture is not None
    assert results[1].picture is not None
    assert results[0].picture.tobytes() != results[1].picture.tobytes()


def test_what_cannot_be_added_leaves_nothing_behind(bfl_file: Path, catalog: ModelCatalog, tmp_path: Path) -> None:
    tensors = load_file(bfl_file)
    narrow = {name: value for name, value in tensors.items() if "double_blocks.1." not in name}
    save_file(narrow, tmp_path / "narrow.safetensors")
    adapter = {
        "transformer.transformer_blocks.0.attn.to_q.lora_A.weight": torch.zeros(2, 64),
        "x.lora_B.weight": torch.zeros(2, 2),
    }
    save_file(adapter, tmp_path / "adapter.safetensors")
    vae = {"decoder.conv_in.weight": torch.zeros(512, 16, 3, 3), "decoder.mid.block_1.conv1.weight": torch.zeros(1)}
    save_file(vae, tmp_path / "vae.safetensors")
    for name, words in (
        ("narrow", "tensors are missing"),
        ("adapter", "folder `adapters`"),
        ("vae", "is a FLUX.1 vae"),
    ):
        with pytest.raises(ModelError) as caught:
            add(catalog, tmp_path / f"{name}.safetensors", "tiny-base", "new")
        assert words in str(caught.value)
    for name in ("../up", "a/b/c", "", ".hidden", "a/../b"):
        with pytest.raises(InstallError, match="cannot be called"):
            add(catalog, bfl_file, "tiny-base", name)
    assert not [path for path in (catalog.home / "models").rglob("*") if path.is_file()]
    add(catalog, bfl_file, "tiny-base", "new")
    with pytest.raises(InstallError, match="already"):
        add(catalog, bfl_file, "tiny-base", "new")


@pytest.mark.parametrize("name", ["none", "tiny-base", "../home", ""])
def test_only_models_of_the_home_are_removed(catalog: ModelCatalog, name: str) -> None:
    with pytest.raises(InstallError, match="There is no model"):
        remove(catalog, name)
