"""Models that others need beside them: Redux for FLUX.1, a depth estimator for control pictures, FLUX.3's upsampler.

They are folders in the workbench's `models`, found by the name of their repository.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from types import MappingProxyType
from typing import Any

from workbench.errors import ModelError
from workbench.models.checkpoint import DECIDING, component_weights, read_json
from workbench.recipe.controls import DEPTH, REDUX

UPSAMPLER = "flux-3-image-klein-pup"
COMPANIONS: Mapping[str, str] = MappingProxyType(
    {
        REDUX: f"black-forest-labs/{REDUX}",
        DEPTH: f"depth-anything/{DEPTH}",
        UPSAMPLER: f"black-forest-labs/{UPSAMPLER}",
    }
)
"""Repository of every companion, by name."""

_REDUX_PARTS = ("image_encoder", "image_embedder", "feature_extractor")


def companion_files(folder: Path) -> list[Path]:
    """All files of a companion that decide pixels: of one folder with weights, or of its component folders.

    Raises:
        ModelError: weights are missing, pickled or cut short.
    """
    parts = [folder / name for name in _REDUX_PARTS] if (folder / "model_index.json").is_file() else [folder]
    files = []
    for part in parts:
        if not part.is_dir():
            raise ModelError(
                f"The model {folder} lacks its {part.name!r} folder.", "Copy the whole model folder again."
            )
        if part.name != "feature_extractor":
            files += component_weights(part)
        files += [part / known for known in DECIDING if (part / known).is_file()]
    return files


def load_companion(name: str, folder: Path, dtype: Any, device: Any) -> dict[str, Any]:
    """The parts of a companion by its name.

    Raises:
        ModelError: the folder does not fit.
    """
    from workbench.models.loading import reading  # imports torch, which naming a companion does not need

    with reading(folder):
        return load_redux(folder, dtype, device) if name == REDUX else load_depth(folder, device)


def load_redux(folder: Path, dtype: Any, device: Any) -> dict[str, Any]:
    """Redux's parts by folder: SigLIP, its picture processor, the embedder."""
    from diffusers.pipelines.flux.modeling_flux import ReduxImageEncoder
    from transformers import SiglipVisionModel

    options: dict[str, Any] = {"local_files_only": True, "use_safetensors": True}
    encoder = SiglipVisionModel.from_pretrained(folder / "image_encoder", dtype=dtype, **options)
    embedder = ReduxImageEncoder.from_pretrained(folder / "image_embedder", torch_dtype=dtype, **options)
    processor = picture_processor("SiglipImageProcessor", folder / "feature_extractor")
    return {
        "image_encoder": encoder.requires_grad_(requires_grad=False).eval().to(device),
        "image_embedder": embedder.requires_grad_(requires_grad=False).eval().to(device),
        "feature_extractor": processor,
    }


def load_depth(folder: Path, device: Any) -> dict[str, Any]:
    """A depth estimator of transformers with its picture processor, in float32."""
    from transformers import AutoModelForDepthEstimation

    name = str(read_json(folder / "preprocessor_config.json").get("image_processor_type", "DPTImageProcessor"))
    model = AutoModelForDepthEstimation.from_pretrained(folder, local_files_only=True, use_safetensors=True)
    processor = picture_processor(name, folder)
    return {"depth": model.requires_grad_(requires_grad=False).eval().to(device), "processor": processor}


def picture_processor(name: str, folder: Path) -> Any:
    """A picture processor of transformers that works on PIL pictures: the other kind needs torchvision."""
    import transformers

    stem = name.removesuffix("Fast").removesuffix("Pil")
    cls = getattr(transformers, f"{stem}Pil", None) or getattr(transformers, stem)
    return cls.from_pretrained(folder, local_files_only=True)
