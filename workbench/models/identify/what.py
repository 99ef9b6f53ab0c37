"""From a header to a sentence: kind, family, variant, precision of a weight file."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, replace

from workbench.models.dialects import identify as dialects
from workbench.models.dialects.names import split_key
from workbench.models.identify.header import Header
from workbench.models.identify.parts import Tensors, split
from workbench.models.identify.precision import Numbers, is_helper, numbers
from workbench.models.identify.rules import FOREIGN, RULES, Found, Kind

TITLES: Mapping[str, str] = {
    "flux1": "FLUX.1",
    "flux2": "FLUX.2",
    "flux3": "FLUX.3",
    "sdxl": "SD-XL",
    "sdxl-refiner": "SD-XL refiner",
    "sd15": "SD 1.5",
    "sd21": "SD 2",
    "sd": "Stable Diffusion",
    "t5": "T5",
    "clip": "CLIP",
    "qwen3": "Qwen3",
    "qwen3-vl": "Qwen3-VL",
    "mistral": "Mistral",
    "siglip": "SigLIP",
    "clip-vision": "CLIP vision",
    "sd-vae": "SD",
    "flux1-vae": "FLUX.1",
    "flux2-vae": "FLUX.2",
}
_KINDS: Mapping[str, str] = {
    "transformer": "transformer",
    "unet": "U-Net",
    "checkpoint": "checkpoint",
    "vae": "VAE",
    "text-encoder": "text encoder",
    "image-encoder": "image encoder",
    "adapter": "adapter",
    "control": "control model",
    "redux": "image embedder",
    "ip-adapter": "IP adapter",
    "unknown": "file",
}


@dataclass(frozen=True, slots=True)
class Identity:
    """What a weight file is.

    Attributes:
        kind: 'transformer', 'checkpoint' (a transformer with its VAE or text encoders), 'vae', 'adapter', ...
        family: 'flux1', 'flux2', 'sdxl', 't5', ...; empty: not known, or one that is only named in `foreign`.
        variants: published models with these very shapes, the likeliest or the stated one first.
        layout: whose names its tensors have.
        prefix: what stands before the names.
        numbers: precision, quantisation, size.
        contents: parts of a checkpoint.
        facts: what the variant was told by (width, blocks, input channels, guidance).
        stated: whether the file's own remarks chose among the variants.
        adapter: of an adapter, its dialect, kind and ranks.
        foreign: a model that is recognised but not supported.
    """

    kind: Kind
    family: str
    variants: tuple[str, ...]
    layout: str
    prefix: str
    numbers: Numbers
    contents: tuple[str, ...] = ()
    facts: Mapping[str, int | bool] | None = None
    stated: bool = False
    adapter: dialects.Identity | None = None
    foreign: str = ""

    @property
    def known(self) -> bool:
        """Whether the file was recognised as something that the workbench has a use for."""
        return bool(self.family) and not self.foreign

    @property
    def sentence(self) -> str:
        """One line for people."""
        count = self.numbers.parameters
        size = f"{count / 1e9:.2f} billion" if count >= 1e9 else f"{count / 1e6:.1f} million"
        how = f"{self.numbers.precision} ({self.numbers.method})" if self.numbers.method else self.numbers.precision
        if self.kind == "unknown":
            what = f"{self.foreign} (not supported)" if self.foreign else "Not recognised"
            return f"{what}: {size} parameters, {how or 'no numbers'}."
        words = [TITLES.get(self.family, self.family) or "unknown", _KINDS[self.kind]]
        if self.variants:
            words.append(f"({' or '.join(self.variants)})")
        if self.adapter is not None:
            words.append(f"[{self.adapter.kind}, {self.adapter.dialect} names]")
        if self.contents:
            words.append("with " + " and ".join(self.contents))
        return f"{' '.join(words)}: {size} parameters, {how}, {self.layout} names."


def identify(header: Header) -> Identity:
    """Say what the file with this header is."""
    kept = numbers(header)
    adapter = _adapter(header, kept)
    if adapter is not None:
        return adapter
    parts, prefix = split({name: entry for name, entry in header.tensors.items() if not is_helper(name)})
    found = _recognise(parts.get("diffusion", {}))
    others = {name: _recognise(part) for name, part in parts.items() if name != "diffusion"}
    if found is None and len(parts) == 1:  # a VAE alone may keep its checkpoint's prefix
        found = next((each for each in others.values() if each is not None), None)
    if found is None:
        return Identity("unknown", "", (), "", prefix, kept, foreign=_foreign(parts.get("diffusion", {})))
    if found.family == "qwen3" and header.metadata.get("general.architecture", "").startswith("qwen3vl"):
        found = replace(
            found, family="qwen3-vl", variants=tuple(each.replace("Qwen3", "Qwen3-VL") for each in found.variants)
        )
    variants, stated = _stated(found, header.metadata)
    contents = tuple({"vae": "VAE", "text": "text encoders"}[name] for name in sorted(others, reverse=True))
    whole = bool(contents) and found.kind in ("transformer", "unet")
    return Identity(
        kind="checkpoint" if whole else found.kind,
        family=found.family,
        variants=variants,
        layout=found.layout,
        prefix=prefix,
        numbers=kept,
        contents=contents if whole else (),
        facts=dict(found.facts),
        stated=stated,
    )


def _recognise(tensors: Tensors) -> Found | None:
    for rule in RULES:
        try:
            found = rule(tensors)
        except IndexError:  # a tensor of that name with fewer dimensions: not what the rule looks for
            continue
        if found is not None:
            return found
    return None


def _adapter(header: Header, kept: Numbers) -> Identity | None:
    """The identity of an adapter: at least a tenth of its tensors are named as one's matrices."""
    matrices = sum(
        key is not None and key.part != "diff" for key in map(split_key, header.tensors)
    )  # fmt: skip
    foreign = any(name.startswith("lora_te") for name in header.tensors)
    if not header.tensors or (10 * matrices < len(header.tensors) and not (foreign and matrices)):
        return None
    entries = {name: {"shape": list(entry.shape)} for name, entry in header.tensors.items()}
    what = dialects.identify(entries, header.metadata)
    family = what.architectures[0].name if what.architectures else _foreign_adapter(header)
    variants = tuple(each.published(what.width) for each in what.architectures)
    facts: dict[str, int | bool] = {"width": what.width or 0}
    expanded = next((e.shape[1] for n, e in header.tensors.items() if _IMAGE_IN.search(n) and len(e.shape) == 2), 0)
    if family == "flux1" and expanded in (128, 384):
        # the control LoRAs of Black Forest Labs widen the image's input for the control picture
        variants = ("Canny-dev-lora", "Depth-dev-lora") if expanded == 128 else ("Fill-dev-lora",)
        facts["in_channels"] = expanded
    return Identity(
        "adapter", family, variants, str(what.dialect or ""), "", kept, facts=facts, adapter=what
    )  # fmt: skip


_IMAGE_IN = re.compile(r"(?:^|\.)(?:img_in|x_embedder)\.lora_A\.weight$")


def _foreign_adapter(header: Header) -> str:
    names = list(header.tensors)
    if not any("input_blocks" in name or "down_blocks" in name or "mid_block" in name for name in names):
        return ""
    if any(name.startswith("lora_te2_") for name in names):
        return "sdxl"
    text = {
        entry.shape[1]
        for name, entry in header.tensors.items()
        if len(entry.shape) == 2 and re.search(r"attn2_to_k\.lora_down|attn2\.to_k\.lora_A", name)
    }
    return "sdxl" if 2048 in text else "sd15" if 768 in text else "sd"


def _stated(found: Found, metadata: Mapping[str, str]) -> tuple[tuple[str, ...], bool]:
    """The variants with the one that the file's remarks name, alone; several that fit stay."""
    if len(found.variants) < 2:
        return found.variants, False
    said = " ".join(
        metadata.get(key, "")
        for key in ("modelspec.architecture", "modelspec.title", "general.name", "general.basename")
    ).lower()
    plain = re.sub(r"[^a-z0-9]", "", said)
    named = [each for each in found.variants if re.sub(r"[^a-z0-9]", "", each.lower()) in plain]
    if not named:
        return found.variants, False
    longest = max(named, key=len)  # 'dev' is part of 'krea-dev'
    return (longest,), True


def _foreign(tensors: Tensors) -> str:
    return next((title for name, title in FOREIGN.items() if name in tensors), "")
