"""Prompt upsampling: a language model writes the caption that FLUX.3 was trained on from a short request, once.

The upsampler decodes greedily, so a caption depends on nothing but the request, its references and boxes, and the
weights; captions are kept on disk by these, and written into the metadata of the picture. System prompts, template,
limits and the repair of boxes are those of diffusers (`modular_pipelines.flux3.prompt_upsampler`), which is called.
"""

from __future__ import annotations

import gc
import hashlib
import json
import os
import tempfile
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch

from workbench.engine.events import CancelToken
from workbench.engine.plan import Job
from workbench.errors import GenerationError, WorkbenchError
from workbench.models.catalog import ModelCatalog
from workbench.models.companions import picture_processor
from workbench.models.loading import DTYPES, reading
from workbench.recipe import Precision
from workbench.recipe.layout import Box

MAX_BYTES = 2**20  # of a kept caption: one that is larger is none of ours


class Captions:
    """Writes captions and keeps them.

    Args:
        catalog: finds upsamplers and references; its home holds the captions.
        device: where to write.
    """

    def __init__(self, catalog: ModelCatalog, device: torch.device) -> None:
        self._catalog, self._device = catalog, device
        self._folder = catalog.home / "cache" / "captions"
        self.written = 0  # captions that a model had to write

    def of(self, jobs: Iterable[Job], cancel: CancelToken) -> dict[str, str | WorkbenchError]:
        """Caption, or why there is none, of every job that asks for one, by its digest.

        An upsampler is in memory while it writes and not longer; none is loaded where all captions are kept already.
        """
        found: dict[str, str | WorkbenchError] = {}
        missing: dict[tuple[str, Precision], list[Job]] = {}
        for job in jobs:
            name, precision = job.recipe.prompt_upsampler, job.recipe.precision
            if name is None or precision is None:
                continue
            kept = self._read(self._key(job))
            if kept is None:
                missing.setdefault((name, precision), []).append(job)
            else:
                found[job.digest] = kept
        for (upsampler, form), group in missing.items():
            found |= self._write(upsampler, DTYPES[form], group, cancel)
        return found

    def _write(
        self, name: str, dtype: torch.dtype, jobs: list[Job], cancel: CancelToken
    ) -> dict[str, str | WorkbenchError]:
        """Captions of jobs that share an upsampler; equal requests are written once."""
        found: dict[str, str | WorkbenchError] = {}
        try:
            model = self._load(name, dtype)
        except WorkbenchError as error:
            return {job.digest: error for job in jobs}
        for job in jobs:
            if cancel.cancelled:
                break
            key = self._key(job)
            if (kept := self._read(key)) is not None:
                found[job.digest] = kept
                continue
            try:
                found[job.digest] = caption = self._caption(model, name, job)
            except (RuntimeError, ValueError, ImportError) as error:
                reason = " ".join(str(error).split())[:300]
                found[job.digest] = GenerationError(
                    f"The prompt upsampler {name} wrote no caption: {reason}.",
                    "Leave prompt_upsampler out, or write the request in other words.",
                )
                continue
            self.written += 1
            self._keep(key, job, caption)
        del model
        gc.collect()
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        return found

    def _load(self, name: str, dtype: torch.dtype) -> Any:
        from transformers import Qwen3_5ForConditionalGeneration

        folder = self._catalog.companion(name)
        with reading(folder):
            model = Qwen3_5ForConditionalGeneration.from_pretrained(
                folder, dtype=dtype, local_files_only=True, use_safetensors=True
            )
        return model.requires_grad_(requires_grad=False).eval().to(self._device)

    @torch.no_grad()
    def _caption(self, model: Any, name: str, job: Job) -> str:
        """What the block of diffusers writes."""
        from diffusers.modular_pipelines.flux3.prompt_upsampler import prepare_references, upsample_prompt

        folder, recipe = self._catalog.companion(name), job.recipe
        pictures = [self._catalog.inputs.open(reference.picture) for reference in recipe.references]
        caption: str = upsample_prompt(
            model,
            _processor(folder, pictures=bool(pictures)),
            recipe.prompt,
            images=prepare_references(pictures) if pictures else None,
            boxes=[_placed(box) for box in recipe.boxes] or None,
        )
        return caption

    def _key(self, job: Job) -> str:
        """Of all that decides a caption; the precision and device may change a word."""
        recipe = job.recipe
        name = recipe.prompt_upsampler or ""
        facts = (
            recipe.prompt, [reference.picture for reference in recipe.references],
            [box.model_dump(mode="json") for box in recipe.boxes],
            job.resolved.companions[name], recipe.precision, self._device.type,
        )  # fmt: skip
        return hashlib.sha256(json.dumps(facts).encode()).hexdigest()

    def _file(self, key: str) -> Path:
        return self._folder / key[:2] / f"{key}.json"

    def _read(self, key: str) -> str | None:
        """The caption that is kept; None when there is none or its file is damaged."""
        try:
            if self._file(key).stat().st_size > MAX_BYTES:
                return None
            values = json.loads(self._file(key).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return None
        caption = values.get("caption") if isinstance(values, dict) else None
        return caption if isinstance(caption, str) and caption else None

    def _keep(self, key: str, job: Job, caption: str) -> None:
        """A folder that cannot be written only costs time."""
        recipe = job.recipe
        values = {"request": recipe.prompt, "upsampler": recipe.prompt_upsampler, "caption": caption}
        path = self._file(key)
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor, temporary = tempfile.mkstemp(dir=path.parent, prefix=".caption-")
            try:
                with os.fdopen(descriptor, "w", encoding="utf-8") as stream:
                    json.dump(values, stream, ensure_ascii=False, indent=1)
                    stream.flush()
                    os.fsync(stream.fileno())
                Path(temporary).replace(path)
            finally:
                Path(temporary).unlink(missing_ok=True)  # only when it did not become the file
        except OSError:
            return


def _placed(box: Box) -> dict[str, Any]:
    """A box as the block takes it: corners from the top, 0 to 1."""
    words = {"id": box.id, "desc": box.desc}
    if box.source is None:
        return words | {"bbox": _from_top(box.box)}
    moved = {"from": box.source, "tgt_bbox": _from_top(box.box)}
    return words | moved | ({"src_bbox": _from_top(box.source_box)} if box.source_box else {})


def _from_top(frame: tuple[float, float, float, float]) -> list[float]:
    left, top, right, bottom = frame
    return [top, left, bottom, right]


def _processor(folder: Path, *, pictures: bool) -> Any:
    """The tokenizer; with pictures the processor of both, made of its parts, as its own loader needs torchvision."""
    from transformers import AutoTokenizer

    tokenizer: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    if not pictures:
        return tokenizer
    from transformers import Qwen3VLProcessor

    class WithoutVideo(Qwen3VLProcessor):
        def check_argument_for_proper_class(self, argument_name: str, argument: object) -> None:
            """Passes: the check of the absent video processor imports torchvision."""

    return WithoutVideo(
        image_processor=picture_processor("Qwen2VLImageProcessor", folder),
        tokenizer=tokenizer,
        video_processor=None,
        chat_template=tokenizer.chat_template,
    )
