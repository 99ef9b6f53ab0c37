"""What works with what, found by trying it: every form of weights with everything that is done to weights.

The trials run on a block of the real class with a few thousand random values, in a second.
"""

from __future__ import annotations

import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from workbench.errors import WorkbenchError

if TYPE_CHECKING:
    from torch import nn

FORMS = ("float32", "bfloat16", "int8", "fp8", "nf4", "gguf")
"""Forms of weights; int8, fp8 and nf4 as a recipe's `quantisation` or in a file, gguf in a file."""

USES = ("draw", "adapters", "block weights", "swap back", "split rows", "half the memory")
"""What is done to them."""


@dataclass(frozen=True, slots=True)
class Cell:
    """One trial."""

    form: str
    use: str
    works: bool
    reason: str = ""  # why not


def matrix() -> list[Cell]:
    """Every form with every use, tried now."""
    return [_try(form, use) for form in FORMS for use in USES]


def _try(form: str, use: str) -> Cell:
    trials: dict[str, Callable[[str], bool]] = {
        "draw": _draw,
        "adapters": lambda form: _adapt(form, ()),
        "block weights": lambda form: _adapt(form, (("double.0", 0.5),)),
        "swap back": _swap_back,
        "split rows": _split,
        "half the memory": _small,
    }
    try:
        works = trials[use](form)
    except WorkbenchError as error:
        return Cell(form, use, False, error.message)
    except ImportError as error:
        return Cell(form, use, False, f"the package {error.name} is not installed")
    return Cell(form, use, works, "" if works else "as it is")


def _module(form: str) -> nn.Module:
    import torch
    from diffusers import Flux2Transformer2DModel

    from workbench.models.quantise import Packed, PackedLinear, put, quantise

    torch.manual_seed(0)
    dtype = torch.bfloat16 if form == "bfloat16" else torch.float32
    module: nn.Module = Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=32, timestep_guidance_channels=32, axes_dims_rope=(8, 8, 8, 8), guidance_embeds=False,
    )  # fmt: skip
    for parameter in module.parameters():
        parameter.data = parameter.data.to(dtype)
    if form in ("int8", "fp8", "nf4"):
        quantise(module, form, dtype)  # type: ignore[arg-type]
    if form == "gguf":
        import gguf

        kind = gguf.GGMLQuantizationType.Q8_0
        for name, part in list(module.named_modules()):
            if isinstance(part, torch.nn.Linear) and "blocks." in name:
                data = torch.from_numpy(gguf.quants.quantize(part.weight.detach().numpy(), kind))
                packed = Packed("gguf", (part.out_features, part.in_features), data, kind=int(kind))
                put(module, name, PackedLinear(packed, None, dtype))
    return module.requires_grad_(requires_grad=False)


def _run(module: nn.Module) -> object:
    import torch

    dtype = next(module.parameters()).dtype
    torch.manual_seed(1)
    return module(
        hidden_states=torch.randn(1, 4, 16).to(dtype),
        encoder_hidden_states=torch.randn(1, 3, 32).to(dtype),
        timestep=torch.ones(1).to(dtype),
        img_ids=torch.zeros(1, 4, 4),
        txt_ids=torch.zeros(1, 3, 4),
        return_dict=False,
    )[0]


def _draw(form: str) -> bool:
    import torch

    out = _run(_module(form))
    assert isinstance(out, torch.Tensor)
    return bool(torch.isfinite(out).all())


def _adapt(form: str, blocks: tuple[tuple[str, float], ...]) -> bool:
    import torch

    module = _module(form)
    before = _run(module)
    with tempfile.TemporaryDirectory() as folder:
        _merger(module, Path(folder), blocks)
        after = _run(module)
    assert isinstance(before, torch.Tensor)
    assert isinstance(after, torch.Tensor)
    return not torch.equal(before, after)


def _swap_back(form: str) -> bool:
    import torch

    module = _module(form)
    before = {name: value.clone() for name, value in module.state_dict().items()}
    with tempfile.TemporaryDirectory() as folder:
        merger = _merger(module, Path(folder), ())
        merger.apply([])  # type: ignore[attr-defined]
    return all(torch.equal(value, before[name]) for name, value in module.state_dict().items())


def _merger(module: nn.Module, folder: Path, blocks: tuple[tuple[str, float], ...]) -> object:
    import torch
    from safetensors.torch import save_file

    from workbench.models.adapters import AdapterFile, AdapterMerger

    stem = "transformer.transformer_blocks.0.attn.to_q"
    path = folder / "adapter.safetensors"
    save_file({f"{stem}.lora_A.weight": torch.randn(2, 64), f"{stem}.lora_B.weight": torch.randn(64, 2)}, path)
    merger = AdapterMerger(module)
    merger.apply([AdapterFile(path, "trial", 1.0, blocks)])
    return merger


def _split(form: str) -> bool:
    from workbench.models.quantise import PackedLinear

    part = _module(form).get_submodule("transformer_blocks.0.attn.to_q")
    if not isinstance(part, PackedLinear):
        return True
    return bool(part.packed.rows(16, 32).dense().equal(part.packed.dense()[16:32]))


def _small(form: str) -> bool:
    """Whether the blocks take half of what they take in float32, or less."""
    module = _module(form)
    values = [each for name, each in module.state_dict().items() if "blocks." in name]
    whole = sum(each.numel() * 4 for name, each in _module("float32").state_dict().items() if "blocks." in name)
    return bool(sum(each.nbytes for each in values) <= 0.5 * whole)
