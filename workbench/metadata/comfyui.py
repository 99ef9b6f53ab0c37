"""ComfyUI's graphs: from the node that saved the picture back to the sampler, and from there to what it was fed.

Source: ComfyUI's nodes.py, comfy_extras/nodes_custom_sampler.py, nodes_flux.py, nodes_model_advanced.py. Nodes of packs
that are not known are walked through by the name of their input and listed as left out.
"""

from __future__ import annotations

import math
from typing import Any

from workbench.metadata.a1111 import guidance, int_of, is_one, note_weights, sampling
from workbench.metadata.comfy_graph import Graph, Node, graph_of_prompt, graph_of_workflow
from workbench.metadata.draft import Draft
from workbench.metadata.jsons import Unreadable, parse_object
from workbench.metadata.result import Recalled

SAMPLERS = ("KSampler", "KSamplerAdvanced", "SamplerCustom", "SamplerCustomAdvanced", "KSampler (Efficient)")
_SAVERS = ("SaveImage", "SaveImageWebsocket", "SaveAnimatedWEBP", "SaveAnimatedPNG", "Image Save", "PreviewImage")
_LOADERS = {
    "UNETLoader": "unet_name",
    "UnetLoaderGGUF": "unet_name",
    "UnetLoaderGGUFAdvanced": "unet_name",
    "CheckpointLoaderSimple": "ckpt_name",
    "CheckpointLoader": "ckpt_name",
    "NunchakuFluxDiTLoader": "model_path",
    "DiffusersLoader": "model_path",
}
_PICTURE = "the picture is not in the file; give it as the recipe's image or among its references"


def read_prompt(text: str, draft: Draft) -> Recalled:
    """A recipe from the `prompt` chunk.

    Raises:
        Unreadable: it is no graph, or has no sampler.
    """
    return _read(graph_of_prompt(parse_object(text)), draft)


def read_workflow(text: str, draft: Draft) -> Recalled:
    """A recipe from the `workflow` chunk.

    Raises:
        Unreadable: it is no graph, or has no sampler that is known.
    """
    draft.note("Only the editor's drawing was kept with the picture: what was run may differ from it.")
    return _read(graph_of_workflow(parse_object(text)), draft)


def _read(graph: Graph, draft: Draft) -> Recalled:
    samplers = _samplers(graph, draft)
    if not samplers:
        raise Unreadable("it has no sampler that is known")
    first, *later = reversed(samplers)  # the nearest to the saved picture is the last to run
    for node in later:
        draft.leave_out(f"{node.kind} {node.key}", "", "a recipe draws once; only the first pass is read")
    _Reader(graph, draft).sampler(first)
    draft.note("The same seed may give other noise here than in ComfyUI.")
    return draft.finish()


def _samplers(graph: Graph, draft: Draft) -> list[Node]:
    """The samplers behind the saved picture, the last to run first."""
    savers = [node for kind in _SAVERS for node in graph.nodes.values() if node.kind == kind]
    chains = [[node for node in graph.upstream(saver) if node.kind in SAMPLERS] for saver in savers]
    chains = [chain for chain in chains if chain]
    if chains:
        ends = {chain[0].key for chain in chains}
        if len(ends) > 1:
            draft.note(f"The graph saves pictures of {len(ends)} samplers; the first is read.")
        return chains[0]
    return [node for node in graph.nodes.values() if node.kind in SAMPLERS][:1]


class _Reader:
    """Fills a draft from the nodes around one sampler."""

    def __init__(self, graph: Graph, draft: Draft) -> None:
        self.graph, self.draft = graph, draft
        self.embedded: tuple[str, Any] = ("", None)  # guidance as an input of the model
        self.real: tuple[str, Any] = ("", None)  # guidance with a second pass

    def sampler(self, node: Node) -> None:
        """Everything that one sampler node was given."""
        value = self.graph.value
        noise = self.graph.source(node, "noise") or node
        for port in ("seed", "noise_seed"):
            if port in noise.inputs:
                self._set("seed", noise, port)
        if noise.kind == "DisableNoise" or value(node, "add_noise") in (False, "disable"):
            self.draft.leave_out("add_noise", "off", "a recipe always starts from noise")
        schedule = self.graph.source(node, "sigmas") or node
        denoise = self._schedule(schedule)
        chooser = self.graph.source(node, "sampler") or node
        sampling(
            self.draft,
            ("sampler_name", value(chooser, "sampler_name")),
            ("scheduler", value(schedule, "scheduler")),
        )
        guider = self.graph.source(node, "guider") or node
        if "cfg" in guider.inputs:
            self.real = ("cfg", value(guider, "cfg"))
            if self.real[1] is None:
                self.draft.leave_out(f"{guider.kind} cfg", guider.inputs["cfg"], "it is computed by other nodes")
        positive = "conditioning" if guider.kind == "BasicGuider" else "positive"
        self._prompt("prompt", guider, positive)
        if positive == "positive" and not is_one(self.real[1]):
            self._prompt("negative_prompt", guider, "negative")
        guidance(self.draft, self.real, self.embedded)
        self._model(guider if "model" in guider.inputs else node)
        self._latent(node, denoise)
        for port in ("start_at_step", "end_at_step"):
            if value(node, port) not in (None, 0, 10000):
                self.draft.leave_out(port, value(node, port), "a recipe runs all steps")

    def _set(self, field: str, node: Node, port: str) -> None:
        found = self.graph.value(node, port)
        if found is None:
            self.draft.leave_out(f"{node.kind} {port}", node.inputs.get(port), "it is computed by other nodes")
        else:
            self.draft.set(field, found, name=port)

    def _schedule(self, node: Node) -> Any:
        """Steps and noise levels; returns the share of denoising, where it is not all."""
        if "steps" in node.inputs:
            self._set("steps", node, "steps")
        elif node.kind == "ManualSigmas":
            levels = [part.strip() for part in str(self.graph.value(node, "sigmas")).split(",")]
            self.draft.leave_out(
                "sigmas", ", ".join(levels), "they are shifted already; a recipe's are before the shift"
            )
        elif node.kind not in SAMPLERS:
            self.draft.leave_out(node.kind, "", "its noise levels are computed by a node that is not known")
        denoise = self.graph.value(node, "denoise")
        return None if denoise is None or is_one(denoise) else denoise

    def _prompt(self, field: str, node: Node, port: str) -> None:
        """Walk the conditioning from an input to its text."""
        found = self.graph.source(node, port)
        seen: set[str] = set()
        while found is not None and found.key not in seen:
            seen.add(found.key)
            if found.kind == "ConditioningZeroOut":
                return
            if any(name in found.inputs for name in ("text", "t5xxl", "text_g")):
                self._text(field, found)
                return
            self._conditioning(found)
            ports = [
                name for name in (port, "conditioning", "conditioning_1", "conditioning_to") if name in found.inputs
            ]
            found = self.graph.source(found, ports[0]) if ports else None
        if field == "prompt":
            self.draft.leave_out("prompt", node.kind, "no node with a text is behind it")

    def _text(self, field: str, node: Node) -> None:
        port = next(name for name in ("t5xxl", "text", "text_g") if name in node.inputs)
        self._set(field, node, port)
        text = self.graph.value(node, port)
        if isinstance(text, str):
            note_weights(self.draft, text)
        for other in ("clip_l", "text_l"):
            words = self.graph.value(node, other)
            if words not in (None, "", text):
                self.draft.leave_out(other, words, "a recipe has one prompt for all text encoders")
        if field == "prompt" and "guidance" in node.inputs and self.embedded[1] is None:
            self.embedded = ("guidance", self.graph.value(node, "guidance"))

    def _conditioning(self, node: Node) -> None:
        match node.kind:
            case "FluxGuidance":
                if self.embedded[1] is None:  # the nearest to the sampler acts
                    self.embedded = ("guidance", self.graph.value(node, "guidance"))
            case "ReferenceLatent":
                self._pictures(node, "latent", "reference")
            case _:
                self.draft.leave_out(node.kind, "", "a recipe has no such conditioning")
                self._pictures(node, "", node.kind)

    def _model(self, node: Node) -> None:
        """Walk the model from the sampler to its loader; adapters apply in the order of loading."""
        found = self.graph.source(node, "model")
        seen: set[str] = set()
        adapters: list[tuple[Any, Any, Any]] = []
        while found is not None and found.key not in seen:
            seen.add(found.key)
            if found.kind in _LOADERS:
                self._loader(found)
                break
            if found.kind in ("LoraLoader", "LoraLoaderModelOnly"):
                value = self.graph.value
                weight = value(found, "strength_model")
                adapters.insert(0, (value(found, "lora_name"), weight, value(found, "strength_clip")))
            elif found.kind == "Power Lora Loader (rgthree)":
                adapters[:0] = _power_loras(found)
            else:
                self._patch(found)
            found = self.graph.source(found, "model")
        else:
            self.draft.leave_out("model", "", "no node that loads a model is behind the sampler")
        for name, weight, text_weight in adapters:
            if name == "None":
                continue
            self.draft.adapter(name, weight, name="lora_name")
            if text_weight not in (None, weight):
                self.draft.leave_out(f"{name} strength_clip", text_weight, "an adapter has one weight")

    def _loader(self, node: Node) -> None:
        port = _LOADERS[node.kind]
        self.draft.model(self.graph.value(node, port), name=port)
        if (dtype := self.graph.value(node, "weight_dtype")) not in (None, "default"):
            self.draft.leave_out(
                "weight_dtype", dtype, "weights are kept as their file has them; set precision or quantisation"
            )

    def _patch(self, node: Node) -> None:
        """A node between loader and sampler that changes how the model is sampled."""
        value = self.graph.value
        if node.kind in ("ModelSamplingSD3", "ModelSamplingAuraFlow") and value(node, "shift") is not None:
            self.draft.set("shift", value(node, "shift"))
        elif node.kind == "ModelSamplingFlux" and (shift := _flux_shift(value, node)) is not None:
            self.draft.set("shift", shift, name="ModelSamplingFlux")
        else:
            self.draft.leave_out(node.kind, "", "a recipe has no such change of the model")

    def _latent(self, node: Node, denoise: Any) -> None:
        """Walk the latents from the sampler to where they start: an empty picture, or one that was read."""
        found = self.graph.source(node, "latent_image") or self.graph.source(node, "latent")
        seen: set[str] = set()
        while found is not None and found.key not in seen:
            seen.add(found.key)
            if "Empty" in found.kind or ("width" in found.inputs and "batch_size" in found.inputs):
                for field in ("width", "height"):
                    self._set(field, found, field)
                if int_of(self.graph.value(found, "batch_size")) > 1:
                    self.draft.leave_out(
                        "batch_size",
                        self.graph.value(found, "batch_size"),
                        "noise depends on the place in a batch there",
                    )
                break
            if any(port in found.inputs for port in ("pixels", "image")):
                self._pictures(found, "pixels", "image")
                break
            self.draft.leave_out(found.kind, "", "a recipe has no such step")
            ports = [name for name in ("samples", "latent", "latent_image") if name in found.inputs]
            found = self.graph.source(found, ports[0]) if ports else None
        if denoise is not None:
            self.draft.leave_out("denoise", denoise, "a recipe has a strength only with an image; set both")

    def _pictures(self, node: Node, port: str, name: str) -> None:
        """Write down the pictures that stand behind an input, by their file names."""
        start = (self.graph.source(node, port) if port else None) or node
        for each in (start, *self.graph.upstream(start)):
            if each.kind in ("LoadImage", "LoadImageMask", "LoadImageOutput"):
                self.draft.leave_out(f"{name} ({each.kind})", self.graph.value(each, "image"), _PICTURE)


def _flux_shift(value: Any, node: Node) -> float | None:
    """The time shift of `ModelSamplingFlux`: its mu grows linearly with the tokens, and exp(mu) is the shift."""
    numbers = [value(node, port) for port in ("max_shift", "base_shift", "width", "height")]
    if not all(isinstance(number, int | float) and not isinstance(number, bool) for number in numbers):
        return None
    most, base, width, height = numbers
    slope = (most - base) / (4096 - 256)
    try:
        return math.exp(width * height / 256 * slope + base - slope * 256)
    except OverflowError:
        return None


def _power_loras(node: Node) -> list[tuple[Any, Any, Any]]:
    """The entries of rgthree's loader that are switched on."""
    entries = [value for name, value in sorted(node.inputs.items()) if name.lower().startswith("lora_")]
    return [
        (entry.get("lora"), entry.get("strength"), entry.get("strengthTwo"))
        for entry in entries
        if isinstance(entry, dict) and entry.get("on")
    ]
