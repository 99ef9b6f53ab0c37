"""The `parameters` text of AUTOMATIC1111's web UI and its forks (Forge, SD.Next, reForge), also inside Exif.

Layout: the prompt, a line `Negative prompt: ...`, and `Name: value` pairs separated by commas, where a value with a
comma, colon or line break is a JSON string. Source: `modules/infotext_utils.py` and `modules/processing.py` there.
"""

from __future__ import annotations

import re
from typing import Any

from workbench.metadata.draft import Draft
from workbench.metadata.jsons import Unreadable, parse_object, parse_prefix
from workbench.metadata.result import Recalled

_KEY = re.compile(r"\s*(\w[\w \-/]*):\s*")
_BEHIND = re.compile(r"[^\S\n]*(?:,|\n|$)")
_END = re.compile(r"[,\n]|$")
_SIZE = re.compile(r"(\d+)x(\d+)")
_LORA = re.compile(r"<lora:([^<>:]+)((?::[^<>:]*)*)>")
_WEIGHTED = re.compile(r"\([^()]*:\s*[\d.]+\s*\)")
_MAX_PAIRS = 500
_NEGATIVE = "Negative prompt:"
_PICTURE = "the picture that it worked on is not in the file"
_REASONS = {
    "Denoising strength": _PICTURE,
    "Model hash": "the first digits of a hash cannot name a model here",
    "Clip skip": "text is read through the layers of the model's family",
    "ENSD": "noise is drawn by the recipe's seed alone",
    "RNG": "noise is drawn on the CPU",
    "VAE": "a model is drawn with its own VAE",
    "VAE hash": "a model is drawn with its own VAE",
    "Lora hashes": "the first digits of a hash cannot name an adapter here",
    "Mask blur": _PICTURE,
    "Variation seed": "noise is drawn by the recipe's seed alone",
    "Styles": "the styles are in the prompt already",
}
_SILENT = {"Version", "App", "User", "Batch pos", "Batch size"}  # about the run, not about the picture
_HANDLED = {
    "Steps",
    "Seed",
    "Size",
    "Model",
    "CFG scale",
    "Distilled CFG Scale",
    "Sampler",
    "Schedule type",
    "Adapters",
}
EULER = {"euler", "k_euler", "flow match euler discrete", "euler simple", "flowmatch euler"}
HEUN = {"heun", "k heun", "flow match heun discrete"}
EVEN = {"automatic", "simple", "normal", "sgm uniform", "undefined"}


def read_parameters(text: str, draft: Draft) -> Recalled:
    """A recipe from the `parameters` text.

    Raises:
        Unreadable: the text is not of this layout.
    """
    if text.lstrip().startswith("{"):
        return _read_swarm(text, draft)
    prompt, negative, pairs = split_parameters(text)
    if not pairs:
        raise Unreadable("it has no line of 'Name: value' pairs")
    _prompts(prompt, negative, draft)
    _numbers(pairs, draft)
    if "Model" in pairs:
        draft.model(pairs["Model"], name="Model")
    for part in str(pairs.get("Adapters", "")).split(" + "):  # as our own words for people have it
        name, times, weight = part.rpartition(" x ")
        if times:
            draft.adapter(name, weight, name="Adapters")
    for name, value in pairs.items():
        if name not in _HANDLED | _SILENT and str(value).strip():
            draft.leave_out(name, value, _reason(name, pairs))
    if int_of(pairs.get("Batch size")) > 1:
        draft.note("The picture was one of a batch; the tool counts the seed up within a batch.")
    draft.note("The same seed gives other noise here than in the tool that made the picture.")
    return draft.finish(details={"version": str(pairs.get("Version", ""))})


def _reason(name: str, pairs: dict[str, Any]) -> str:
    second = any(key.startswith("Hires") for key in pairs)
    if name.startswith("Hires") or (second and name == "Denoising strength"):
        return "it belongs to a second pass, and a recipe draws once"
    return _REASONS.get(name, "a recipe has no such field")


def split_parameters(text: str) -> tuple[str, str, dict[str, Any]]:
    """Prompt, negative prompt and the pairs, in order; the first of a name counts."""
    lines = text.strip().split("\n")
    start = next((i for i in range(len(lines) - 1, -1, -1) if lines[i].lstrip().startswith("Steps: ")), None)
    if start is None and len(_pairs(lines[-1])) >= 3:  # as the web UI decides
        start = len(lines) - 1
    pairs = _pairs("\n".join(lines[start:])) if start is not None else {}
    words = [line.strip() for line in (lines if start is None else lines[:start])]
    place = next((i for i, line in enumerate(words) if line.startswith(_NEGATIVE)), len(words))
    negative = words[place:]
    if negative:
        negative[0] = negative[0].removeprefix(_NEGATIVE).strip()
    return "\n".join(words[:place]), "\n".join(negative), pairs


def _pairs(text: str) -> dict[str, Any]:
    found: dict[str, Any] = {}
    place = 0
    while len(found) < _MAX_PAIRS and (match := _KEY.match(text, place)):
        name, place = match[1], match.end()
        value, place = _value(text, place)
        found.setdefault(name, value)
    return found


def _value(text: str, place: int) -> tuple[Any, int]:
    """One value, and the place behind its comma."""
    if text[place : place + 1] in ('"', "[", "{"):
        try:
            value, end = parse_prefix(text, place)
        except Unreadable:
            pass  # it only looks like JSON
        else:
            if behind := _BEHIND.match(text, end):
                return value, behind.end()
    ending = _END.search(text, place)
    assert ending is not None  # the end of the text matches
    return text[place : ending.start()].strip(), ending.end()


def _prompts(prompt: str, negative: str, draft: Draft) -> None:
    for match in _LORA.finditer(prompt):
        weights = [part for part in match[2].split(":")[1:] if part]
        draft.adapter(match[1], weights[0] if weights else 1.0, name="lora")
        if len(weights) > 1:
            draft.leave_out(f"lora {match[1]}", ":".join(weights), "an adapter has one weight; the first is kept")
    bare = prompt
    if _LORA.search(prompt):  # the gap that a tag leaves is closed
        lines = re.sub(r" {2,}", " ", _LORA.sub("", prompt)).split("\n")
        bare = "\n".join(line.strip() for line in lines).strip()
    draft.set("prompt", bare, name="Prompt")
    if negative:
        draft.set("negative_prompt", negative, name="Negative prompt")
    note_weights(draft, prompt, negative)


def note_weights(draft: Draft, *prompts: str) -> None:
    """Say that weights in brackets are plain text here, where a prompt has some."""
    if any(_WEIGHTED.search(prompt[:20_000]) for prompt in prompts):
        draft.note("Weights such as (word:1.2) in the prompt are read as plain text here.")


def _numbers(pairs: dict[str, Any], draft: Draft) -> None:
    for field, name in (("steps", "Steps"), ("seed", "Seed")):
        if name in pairs:
            draft.set(field, pairs[name], name=name)
    if "Size" in pairs:
        match = _SIZE.fullmatch(str(pairs["Size"]))
        if match:
            draft.set("width", match[1], name="Size")
            draft.set("height", match[2], name="Size")
        else:
            draft.leave_out("Size", pairs["Size"], "it is no WIDTHxHEIGHT")
    guidance(draft, ("CFG scale", pairs.get("CFG scale")), ("Distilled CFG Scale", pairs.get("Distilled CFG Scale")))
    sampling(draft, ("Sampler", pairs.get("Sampler")), ("Schedule type", pairs.get("Schedule type")))


def guidance(draft: Draft, real: tuple[str, Any], embedded: tuple[str, Any]) -> None:
    """Guidance from a tool that has two: with a second pass, and as an input of a guidance-distilled model.

    The embedded one is the recipe's `guidance_scale` where it is told, as diffusers names it for these models.
    """
    if embedded[1] is None:
        if real[1] is not None:
            draft.set("guidance_scale", real[1], name=real[0])
        return
    draft.set("guidance_scale", embedded[1], name=embedded[0])
    if real[1] is not None and not is_one(real[1]):
        draft.set("true_cfg_scale", real[1], name=real[0])


def sampling(draft: Draft, sampler: tuple[str, Any], schedule: tuple[str, Any]) -> None:
    """Sampler and schedule, by name: what is neither Euler's nor Heun's steps, or not even noise, is written down.

    DPM++ and the spacings of these tools work on other scales of noise than a recipe's, so they are no equals of its own.
    """
    for (name, value), known in ((sampler, EULER), (schedule, EVEN)):
        said = "" if value is None else str(value).strip().lower().replace("_", " ")
        if not said or said in {each.replace("_", " ") for each in known}:
            continue
        if known is EULER and said in HEUN:
            draft.set("sampler", "heun", name=name)
        else:
            draft.leave_out(name, value, "a recipe has none that is equal: the model's own is used")


def is_one(value: Any) -> bool:
    """Whether a guidance is off: 1, as number or text."""
    try:
        return float(value) == 1.0
    except (TypeError, ValueError, OverflowError):
        return False


def int_of(value: Any) -> int:
    """A small whole number, or 0."""
    text = str(value)
    return int(text) if re.fullmatch(r"\d{1,9}", text) else 0


def _read_swarm(text: str, draft: Draft) -> Recalled:
    """SwarmUI keeps JSON under the same name. Source: its `docs/Image Metadata Format.md`."""
    values = parse_object(text).get("sui_image_params")
    if not isinstance(values, dict):
        raise Unreadable("it is JSON of an unknown kind")
    direct = {"prompt": "prompt", "negativeprompt": "negative_prompt", "seed": "seed", "steps": "steps"}
    direct |= {"width": "width", "height": "height"}
    for name, field in direct.items():
        if values.get(name) not in (None, ""):
            draft.set(field, values[name], name=name)
    if "model" in values:
        draft.model(values["model"])
    guidance(draft, ("cfgscale", values.get("cfgscale")), ("fluxguidancescale", values.get("fluxguidancescale")))
    sampling(draft, ("sampler", values.get("sampler")), ("scheduler", values.get("scheduler")))
    names, weights = _list(values.get("loras")), _list(values.get("loraweights"))
    for index, name in enumerate(names):
        draft.adapter(name, weights[index] if index < len(weights) else 1.0)
    done = {*direct, "model", "cfgscale", "fluxguidancescale", "sampler", "scheduler", "loras", "loraweights"}
    for name, value in values.items():
        if name not in done | {"swarm_version", "aspectratio"}:
            draft.leave_out(str(name), value, "a recipe has no such field")
    draft.note("The same seed gives other noise here than in the tool that made the picture.")
    return draft.finish(details={"version": str(values.get("swarm_version", ""))})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
