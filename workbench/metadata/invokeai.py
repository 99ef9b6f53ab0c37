"""InvokeAI's metadata: `invokeai_metadata` (3.x and later), `invokeai_graph`, and the older `sd-metadata`.

Sources: `invokeai/app/invocations/metadata.py` (CoreMetadataInvocation) and the graph builders of its front end;
`sd-metadata` as InvokeAI 2.x wrote it.
"""

from __future__ import annotations

from typing import Any

from workbench.metadata.a1111 import guidance, note_weights, sampling
from workbench.metadata.draft import Draft
from workbench.metadata.jsons import Unreadable, parse_object
from workbench.metadata.result import Recalled

_PICTURE = "the picture is not in the file"
_REASONS = {
    "init_image": _PICTURE,
    "strength": "the picture that it worked on is not in the file",
    "ref_images": _PICTURE,
    "canvas_v2_metadata": "the layers' pictures are not in the file",
    "vae": "a model is drawn with its own VAE",
    "t5_encoder": "a model is drawn with its own text encoders",
    "clip_embed_model": "a model is drawn with its own text encoders",
    "qwen3_encoder": "a model is drawn with its own text encoder",
    "clip_skip": "text is read through the layers of the model's family",
    "rand_device": "noise is drawn on the CPU",
}
_DIRECT = {
    "positive_prompt": "prompt",
    "negative_prompt": "negative_prompt",
    "width": "width",
    "height": "height",
    "seed": "seed",
    "steps": "steps",
}
_HANDLED = {*_DIRECT, "model", "loras", "guidance", "cfg_scale", "scheduler"}
_SILENT = {"app_version", "generation_mode", "seed_behaviour"}
_NOISE = "The same seed gives other noise here than in InvokeAI, which draws it in float16."


def read_metadata(text: str, draft: Draft) -> Recalled:
    """A recipe from `invokeai_metadata`.

    Raises:
        Unreadable: it is no JSON object.
    """
    values = parse_object(text)
    for name, field in _DIRECT.items():
        if values.get(name) is not None:
            draft.set(field, values[name], name=name)
    note_weights(draft, *(str(values.get(name) or "") for name in ("positive_prompt", "negative_prompt")))
    if values.get("model") is not None:
        draft.model(_name(values["model"]))
    _loras(values.get("loras"), draft)
    guidance(draft, ("cfg_scale", values.get("cfg_scale")), ("guidance", values.get("guidance")))
    sampling(draft, ("scheduler", values.get("scheduler")), ("", None))
    for name, value in values.items():
        if name in _HANDLED | _SILENT or _empty(value) or (name == "rand_device" and value == "cpu"):
            continue
        draft.leave_out(str(name), _name(value), _REASONS.get(name, "a recipe has no such field"))
    draft.note(_NOISE)
    return draft.finish(details={"version": str(values.get("app_version", ""))})


def read_legacy(text: str, draft: Draft) -> Recalled:
    """A recipe from `sd-metadata`.

    Raises:
        Unreadable: it is no JSON object with an `image`.
    """
    values = parse_object(text)
    image = values.get("image")
    if not isinstance(image, dict):
        raise Unreadable("it describes no image")
    prompt = image.get("prompt")
    if isinstance(prompt, list):
        parts = [part for part in prompt if isinstance(part, dict) and isinstance(part.get("prompt"), str)]
        for part in parts[1:]:
            draft.leave_out("prompt", part["prompt"], "a recipe has one prompt")
        prompt = parts[0]["prompt"] if parts else None
    if prompt is not None:
        draft.set("prompt", prompt)
        if isinstance(prompt, str) and "[" in prompt:
            draft.note("InvokeAI 2 read words in [brackets] as a negative prompt; they are plain text here.")
    for name in ("width", "height", "seed", "steps"):
        if image.get(name) is not None:
            draft.set(name, image[name])
    if image.get("cfg_scale") is not None:
        draft.set("guidance_scale", image["cfg_scale"], name="cfg_scale")
    draft.model(values.get("model_weights") or values.get("model"), name="model_weights")
    sampling(draft, ("sampler", image.get("sampler")), ("", None))
    done = {"prompt", "width", "height", "seed", "steps", "cfg_scale", "sampler", "type"}
    for name, value in image.items():
        if name not in done and not _empty(value):
            draft.leave_out(str(name), value, "a recipe has no such field")
    draft.note(_NOISE)
    return draft.finish(details={"version": str(values.get("app_version", ""))})


def read_graph(text: str, draft: Draft) -> Recalled:
    """A recipe from `invokeai_graph`, which pictures made through the API carry alone.

    Raises:
        Unreadable: it has no node that denoises.
    """
    graph = parse_object(text)
    nodes = graph.get("nodes")
    edges = graph.get("edges")
    if not isinstance(nodes, dict) or not isinstance(edges, list):
        raise Unreadable("it is no graph")
    nodes = {str(name): node for name, node in nodes.items() if isinstance(node, dict)}
    sources = dict(filter(None, map(_edge, edges)))
    samplers = [name for name in sorted(nodes) if "denoise" in str(nodes[name].get("type"))]
    if not samplers:
        raise Unreadable("it has no node that denoises")
    reader = _Graph(nodes, sources)
    first = samplers[0]
    for name in samplers[1:]:
        draft.leave_out(name, nodes[name].get("type"), "a recipe draws once; only the first pass is read")
    texts = (("positive_text_conditioning", "prompt"), ("negative_text_conditioning", "negative_prompt"))
    for ending, field in texts:
        for port in (ending, ending.replace("text_", "")):
            value = reader.upstream(first, port, "prompt")
            if value is not None:
                draft.set(field, value)
                break
    for name, fields in {
        "seed": ["seed"],
        "steps": ["num_steps", "steps"],
        "width": ["width"],
        "height": ["height"],
    }.items():
        value = next((found for port in fields if (found := reader.value(first, port)) is not None), None)
        value = value if value is not None else reader.upstream(first, "noise", name)
        if value is not None:
            draft.set(name, value)
    guidance(draft, ("cfg_scale", reader.value(first, "cfg_scale")), ("guidance", reader.value(first, "guidance")))
    sampling(draft, ("scheduler", reader.value(first, "scheduler")), ("", None))
    for name in sorted(nodes):
        kind = str(nodes[name].get("type"))
        if kind.endswith("model_loader"):
            draft.model(_name(nodes[name].get("model")))
        elif "lora" in kind and nodes[name].get("lora") is not None:
            draft.adapter(_name(nodes[name]["lora"]), nodes[name].get("weight", 0.75))
    draft.note("Only the graph was kept with the picture; what other nodes did to it is not carried over.")
    draft.note(_NOISE)
    return draft.finish()


class _Graph:
    """Values of InvokeAI's nodes: given at the node, or at the end of an edge."""

    def __init__(self, nodes: dict[str, dict[str, Any]], sources: dict[tuple[str, str], str]) -> None:
        self.nodes, self.sources = nodes, sources

    def value(self, node: str, port: str) -> Any:
        source = self.nodes.get(self.sources.get((node, port), ""))
        if source is not None:
            return source.get("value", source.get(port))
        found = self.nodes[node].get(port)
        return found if isinstance(found, str | int | float) else None

    def upstream(self, node: str, port: str, field: str) -> Any:
        """The value `field` of the node at the other end of `port`, or of the nodes behind it."""
        waiting, seen = [self.sources.get((node, port), "")], set()
        while waiting:
            name = waiting.pop(0)
            if name in seen or name not in self.nodes:
                continue
            seen.add(name)
            found = self.value(name, field)
            if found is not None:
                return found
            waiting += [source for (target, _), source in self.sources.items() if target == name]
        return None


def _edge(edge: Any) -> tuple[tuple[str, str], str] | None:
    """(target node, port) -> source node, of one edge."""
    try:
        source, target = edge["source"], edge["destination"]
        return (str(target["node_id"]), str(target["field"])), str(source["node_id"])
    except (KeyError, TypeError, IndexError):
        return None


def _loras(loras: Any, draft: Draft) -> None:
    if _empty(loras):
        return
    if not isinstance(loras, list):
        draft.leave_out("loras", loras, "it is no list")
        return
    for each in loras:
        if isinstance(each, dict):
            draft.adapter(_name(each.get("model", each.get("lora"))), each.get("weight", 0.75))
        else:
            draft.leave_out("loras", each, "it is no adapter")


def _name(value: Any) -> Any:
    """The name in a model field of any version; another value as it is."""
    if isinstance(value, dict):
        return value.get("name") or value.get("model_name") or value.get("image_name") or value
    return value


def _empty(value: Any) -> bool:
    return value in (None, "", False, 0) or value in ([], {})
