"""ComfyUI's two forms of a graph as one: nodes with inputs that are values or links.

The `prompt` chunk is what was run (API form); the `workflow` chunk is the editor's drawing, whose widget values carry
no names, so that only the widgets of the nodes listed here can be read.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from workbench.metadata.jsons import Unreadable

MAX_NODES = 20_000

# Widgets in the editor's order; '*' is the entry "control after generate" behind a seed. Source: ComfyUI's nodes.py and
# comfy_extras, release 0.3.
WIDGETS: dict[str, str] = {
    "KSampler": "seed * steps cfg sampler_name scheduler denoise",
    "KSamplerAdvanced": "add_noise noise_seed * steps cfg sampler_name scheduler start_at_step end_at_step"
    " return_with_leftover_noise",
    "SamplerCustom": "add_noise noise_seed * cfg",
    "RandomNoise": "noise_seed *",
    "KSamplerSelect": "sampler_name",
    "BasicScheduler": "scheduler steps denoise",
    "Flux2Scheduler": "steps width height",
    "CFGGuider": "cfg",
    "FluxGuidance": "guidance",
    "CLIPTextEncode": "text",
    "CLIPTextEncodeFlux": "clip_l t5xxl guidance",
    "UNETLoader": "unet_name weight_dtype",
    "UnetLoaderGGUF": "unet_name",
    "CheckpointLoaderSimple": "ckpt_name",
    "LoraLoader": "lora_name strength_model strength_clip",
    "LoraLoaderModelOnly": "lora_name strength_model",
    "ModelSamplingFlux": "max_shift base_shift width height",
    "ModelSamplingSD3": "shift",
    "ModelSamplingAuraFlow": "shift",
    "EmptyLatentImage": "width height batch_size",
    "EmptySD3LatentImage": "width height batch_size",
    "EmptyFlux2LatentImage": "width height batch_size",
    "LoadImage": "image",
    "PrimitiveInt": "value *",
    "PrimitiveFloat": "value",
    "PrimitiveString": "value",
    "PrimitiveStringMultiline": "value",
}

# Nodes that stand for one value, and the input that holds it; of ComfyUI and of the most common packs.
_VALUES = {
    "PrimitiveInt": "value",
    "PrimitiveFloat": "value",
    "PrimitiveString": "value",
    "PrimitiveStringMultiline": "value",
    "INTConstant": "value",
    "FloatConstant": "value",
    "StringConstant": "string",
    "StringConstantMultiline": "string",
    "Seed (rgthree)": "seed",
    "Text Multiline": "text",
    "CR Text": "text",
    "ShowText|pysssss": "text",
    "Reroute": "",
}


@dataclass(frozen=True, slots=True)
class Node:
    """One node of a graph."""

    key: str
    kind: str  # ComfyUI's class_type
    inputs: dict[str, Any]  # a value, or [node, slot] for a link


class Graph:
    """Nodes by key, with the walks that reading needs; none of them follows a cycle.

    Args:
        nodes: by key.
    """

    def __init__(self, nodes: dict[str, Node]) -> None:
        self.nodes = nodes

    def source(self, node: Node, port: str) -> Node | None:
        """The node that is linked to an input, past reroutes."""
        seen: set[str] = set()
        found = self._linked(node.inputs.get(port))
        while found is not None and found.kind == "Reroute" and found.key not in seen:
            seen.add(found.key)
            found = next(filter(None, map(self._linked, found.inputs.values())), None)
        return found

    def value(self, node: Node, port: str) -> Any:
        """The value of an input: given at the node, or by a node that stands for one value; None where it is computed."""
        given = node.inputs.get(port)
        seen: set[str] = set()
        while (source := self._linked(given)) is not None:
            if source.key in seen or source.kind not in _VALUES:
                return None
            seen.add(source.key)
            name = _VALUES[source.kind]
            given = source.inputs.get(name) if name else next(iter(source.inputs.values()), None)
        return None if isinstance(given, list | dict) else given

    def upstream(self, node: Node) -> list[Node]:
        """All nodes that a node depends on, nearest first, without itself."""
        found: dict[str, Node] = {}
        waiting = [node]
        for each in waiting:  # grows while it is read
            for value in each.inputs.values():
                source = self._linked(value)
                if source is not None and source.key not in found and source.key != node.key:
                    found[source.key] = source
                    waiting.append(source)
        return list(found.values())

    def _linked(self, value: Any) -> Node | None:
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
            return self.nodes.get(str(value[0]))
        return None


def graph_of_prompt(values: dict[str, Any]) -> Graph:
    """The graph in a `prompt` chunk.

    Raises:
        Unreadable: it holds no nodes, or too many.
    """
    _check_count(len(values))
    nodes = {
        str(name): Node(str(name), node["class_type"], _texts(node["inputs"]))
        for name, node in values.items()
        if isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
    }
    if not nodes:
        raise Unreadable("it holds no nodes")
    return Graph(nodes)


def graph_of_workflow(values: dict[str, Any]) -> Graph:
    """The graph in a `workflow` chunk, without nodes that were muted or bypassed.

    Raises:
        Unreadable: it holds no nodes, or too many.
    """
    listed, links = values.get("nodes"), values.get("links")
    if not isinstance(listed, list) or not isinstance(links, list):
        raise Unreadable("it holds no nodes")
    _check_count(len(listed))
    _check_count(len(links) // 10)
    sources = {
        str(link[0]): [str(link[1]), link[2]]
        for link in links
        if isinstance(link, list) and len(link) >= 5 and all(isinstance(part, str | int) for part in link[:5])
    }
    nodes: dict[str, Node] = {}
    for entry in listed:
        if not isinstance(entry, dict) or not isinstance(entry.get("type"), str) or entry.get("mode") in (2, 4):
            continue
        inputs = _widgets(entry["type"], entry.get("widgets_values"))
        for port in entry.get("inputs") or [] if isinstance(entry.get("inputs"), list) else []:
            if isinstance(port, dict) and (link := sources.get(str(port.get("link")))) is not None:
                inputs[str(port.get("name"))] = link
        key = str(entry.get("id"))
        nodes[key] = Node(key, entry["type"], inputs)
    if not nodes:
        raise Unreadable("it holds no nodes")
    return Graph(nodes)


def _widgets(kind: str, values: Any) -> dict[str, Any]:
    if isinstance(values, dict):
        return _texts(values)
    names = WIDGETS.get(kind, "").split()
    if not isinstance(values, list):
        return {}
    return {name: value for name, value in zip(names, values, strict=False) if name != "*"}


def _texts(values: dict[Any, Any]) -> dict[str, Any]:
    return {str(name): value for name, value in values.items()}


def _check_count(count: int) -> None:
    if count > MAX_NODES:
        raise Unreadable(f"it has more than {MAX_NODES} nodes")
