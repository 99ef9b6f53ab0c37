"""Which approximate caches run with which family's transformer, found by trying them on a few random values."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from workbench.models.families import FAMILIES
from workbench.models.features import Cell
from workbench.recipe.approximate import METHODS

if TYPE_CHECKING:
    from torch import Tensor, nn

_TRIALS = {
    "taylorseer": "taylorseer:warmup=2:interval=4",
    "magcache": "magcache:threshold=10:retention=0.3:ratios=1/1",
    "first_block": "first_block:threshold=10",
}
_STEPS = 6
_KEPT = "what its references are is kept already, exactly, and its first pass has another shape than the rest"


def cache_matrix() -> list[Cell]:
    """Every mode with every family, tried now; `form` is the mode and `use` the family."""
    tried: dict[tuple[str, str], tuple[bool, str]] = {}
    cells = []
    for family in FAMILIES.values():
        cls = family.components.get("transformer", "")
        for name in METHODS:
            if family.kind == "stock":
                found = (False, "baselines are drawn by their stock pipelines, exactly")
            elif family.kind == "flux2-klein-kv":
                found = (False, _KEPT)
            else:
                found = tried.get((name, cls)) or _try(name, cls)
                tried[name, cls] = found
            cells.append(Cell(name, family.name, *found))
    return cells


def _try(name: str, cls: str) -> tuple[bool, str]:
    """Whether steps run with the cache, all of them finite and some of them not the exact ones; and why not."""
    import diffusers
    import torch

    if not hasattr(getattr(diffusers, cls), "enable_cache"):
        return False, f"{cls} of diffusers takes no caches"
    module, call = _MODULES[cls]()
    exact = _run(module, call, None)
    try:
        cached = _run(module, call, name)
    except Exception as error:  # noqa: BLE001 - whatever it is, it does not work
        return False, f"{cls}: {type(error).__name__}: {' '.join(str(error).split())[:100]}"
    if not all(bool(torch.isfinite(one).all()) for one in cached):
        return False, f"{cls}: values that are not finite"
    changed = any(not torch.equal(one, other) for one, other in zip(exact, cached, strict=True))
    return changed, "" if changed else f"{cls}: every step was computed"


def _run(module: nn.Module, call: Callable[[nn.Module, Tensor, int], Tensor], name: str | None) -> list[Tensor]:
    """The answers of a few steps that differ a little."""
    import torch

    from workbench.engine.step_cache import StepCache, wear

    torch.manual_seed(1)
    latents = torch.randn(1, 4, 16)
    cache = StepCache(_TRIALS[name], _STEPS, torch.float32) if name else None
    answers = []
    with torch.no_grad():
        for step in range(_STEPS):
            wear(module, cache)
            if cache is None:
                answers.append(call(module, latents, step))
            else:
                with cache.during(module, "first"):
                    answers.append(call(module, latents, step))
            latents = latents + 0.05 * torch.randn(1, 4, 16)
    return answers


def _flux1() -> tuple[nn.Module, Callable[[nn.Module, Tensor, int], Tensor]]:
    import torch
    from diffusers import FluxTransformer2DModel

    torch.manual_seed(0)
    module: nn.Module = FluxTransformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=16, num_attention_heads=2,
        joint_attention_dim=24, pooled_projection_dim=20, guidance_embeds=True, axes_dims_rope=(4, 6, 6),
    )  # fmt: skip
    text, pooled = torch.randn(1, 3, 24), torch.randn(1, 20)

    def call(module: nn.Module, latents: Tensor, step: int) -> Tensor:
        answer: Tensor = module(
            hidden_states=latents, encoder_hidden_states=text, pooled_projections=pooled, timestep=_time(step),
            guidance=torch.ones(1), img_ids=torch.zeros(4, 3), txt_ids=torch.zeros(3, 3), return_dict=False,
        )[0]  # fmt: skip
        return answer

    return module, call


def _flux2() -> tuple[nn.Module, Callable[[nn.Module, Tensor, int], Tensor]]:
    import torch
    from diffusers import Flux2Transformer2DModel

    torch.manual_seed(0)
    module: nn.Module = Flux2Transformer2DModel(
        in_channels=16, num_layers=1, num_single_layers=1, attention_head_dim=32, num_attention_heads=2,
        joint_attention_dim=32, timestep_guidance_channels=32, axes_dims_rope=(8, 8, 8, 8), guidance_embeds=False,
    )  # fmt: skip
    text = torch.randn(1, 3, 32)

    def call(module: nn.Module, latents: Tensor, step: int) -> Tensor:
        answer: Tensor = module(
            hidden_states=latents, encoder_hidden_states=text, timestep=_time(step), img_ids=torch.zeros(1, 4, 4),
            txt_ids=torch.zeros(1, 3, 4), return_dict=False,
        )[0]  # fmt: skip
        return answer

    return module, call


def _time(step: int) -> Tensor:
    import torch

    return torch.full((1,), 1 - step / _STEPS)


_MODULES: dict[str, Callable[[], tuple[Any, Callable[[Any, Any, int], Any]]]] = {
    "FluxTransformer2DModel": _flux1,
    "Flux2Transformer2DModel": _flux2,
}
