"""Pictures as other tools write them, made here: 16 x 16 pixels and the exact metadata layouts."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import Any

from PIL import Image, PngImagePlugin

Z = "\0"


def png(texts: dict[str, str], size: tuple[int, int] = (16, 16)) -> bytes:
    """A PNG with text chunks, as Pillow writes them (tEXt, or iTXt beyond Latin-1)."""
    info = PngImagePlugin.PngInfo()
    for name, text in texts.items():
        info.add_text(name, text)
    buffer = io.BytesIO()
    Image.new("RGB", size).save(buffer, "PNG", pnginfo=info)
    return buffer.getvalue()


def chunk(kind: bytes, data: bytes) -> bytes:
    """One PNG chunk."""
    return struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))


def raw_png(*chunks: bytes) -> bytes:
    """A PNG of these chunks between header and end."""
    header = chunk(b"IHDR", struct.pack(">IIBBBBB", 16, 16, 8, 2, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + b"".join(chunks) + chunk(b"IEND", b"")


def exif(tags: dict[int, bytes], inner: dict[int, bytes] | None = None, order: str = "<") -> bytes:
    """A TIFF block with ASCII entries and, in its Exif directory, UNDEFINED ones."""
    mark = b"II" if order == "<" else b"MM"
    out = bytearray(mark + struct.pack(order + "HI", 42, 8))
    entries = [(tag, 2, value) for tag, value in tags.items()]
    count = len(entries) + (1 if inner else 0)
    data_at = 8 + 2 + 12 * count + 4
    body, data = bytearray(struct.pack(order + "H", count)), bytearray()

    def entry(tag: int, kind: int, value: bytes, target: bytearray, base: int) -> None:
        target += struct.pack(order + "HHI", tag, kind, len(value))
        if len(value) <= 4:
            target += value.ljust(4, b"\0")
        else:
            target += struct.pack(order + "I", base + len(data))
            data.extend(value)

    for tag, kind, value in entries:
        entry(tag, kind, value, body, data_at)
    if inner:
        at = data_at + len(data)
        body += struct.pack(order + "HHII", 0x8769, 4, 1, at)
        second = bytearray(struct.pack(order + "H", len(inner)))
        base = at + 2 + 12 * len(inner) + 4 - len(data)
        for tag, value in inner.items():
            entry(tag, 7, value, second, base)
        second += struct.pack(order + "I", 0)
        # the inner directory stands before the data of its own entries, behind that of the outer ones
        outer = sum(len(value) for _, _, value in entries if len(value) > 4)
        data[outer:outer] = second
    return bytes(out + body + struct.pack(order + "I", 0) + data)


def user_comment(text: str, coding: str = "utf-16-be") -> dict[int, bytes]:
    """The entry that AUTOMATIC1111 writes into JPEG and WebP files."""
    return {0x9286: b"UNICODE\0" + text.encode(coding)}


def jpeg(block: bytes) -> bytes:
    """A JPEG with an Exif block."""
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16)).save(buffer, "JPEG", exif=b"Exif\0\0" + block)
    return buffer.getvalue()


def webp(block: bytes) -> bytes:
    """A WebP with an Exif block."""
    buffer = io.BytesIO()
    Image.new("RGB", (24, 16)).save(buffer, "WEBP", exif=block, lossless=True)
    return buffer.getvalue()


FORGE = (
    "a lighthouse at dusk, oil on canvas <lora:oils:0.8>\nsecond line\n"
    "Negative prompt: blurry\n"
    "Steps: 20, Sampler: Euler, Schedule type: Simple, CFG scale: 1, Distilled CFG Scale: 3.5, Seed: 4242, "
    'Size: 1024x768, Model hash: d5d1e2a8b0, Model: flux1-dev-Q8_0, Lora hashes: "oils: 123456789abc", '
    "Version: f2.0.1v1.10.1, Module 1: ae, Module 2: clip_l"
)

A1111 = (
    "a cat\n"
    "Negative prompt: (worst quality:1.4), text\n"
    "Steps: 28, Sampler: DPM++ 2M, Schedule type: Karras, CFG scale: 7, Seed: 965400086, Size: 512x768, "
    "Model hash: 45dee52b, Model: dreamshaper_8, Denoising strength: 0.45, Clip skip: 2, Hires upscale: 2, "
    'Civitai resources: [{"type":"checkpoint","modelVersionId":691639}], Version: v1.10.1'
)

INVOKE_FLUX: dict[str, Any] = {
    "app_version": "6.14.2",
    "generation_mode": "flux2_txt2img",
    "positive_prompt": "a red fox",
    "width": 1024,
    "height": 1024,
    "seed": 123,
    "steps": 4,
    "scheduler": "euler",
    "model": {
        "key": "0b6c",
        "hash": "blake3:ab",
        "name": "FLUX.2 Klein 4B (Diffusers)",
        "base": "flux2",
        "type": "main",
    },
    "loras": [{"model": {"key": "k", "name": "fox_style", "base": "flux2", "type": "lora"}, "weight": 0.75}],
    "ref_images": [{"id": "reference_image:1", "isEnabled": True}],
    "vae": {"name": "FLUX.2 VAE"},
    "seamless_x": False,
    "controlnets": [],
}

INVOKE_LEGACY: dict[str, Any] = {
    "model": "stable diffusion",
    "model_weights": "stable-diffusion-1.5",
    "model_hash": "cc6cb271",
    "app_id": "invoke-ai/InvokeAI",
    "app_version": "2.2.5",
    "image": {
        "prompt": [{"prompt": "Underwater city", "weight": 1}],
        "steps": 50,
        "cfg_scale": 7.5,
        "threshold": 0,
        "perlin": 0.1,
        "height": 512,
        "width": 512,
        "seed": 916798825,
        "seamless": False,
        "type": "txt2img",
        "sampler": "k_lms",
        "variations": [],
    },
}

INVOKE_GRAPH: dict[str, Any] = {
    "nodes": {
        "loader": {"id": "loader", "type": "flux_model_loader", "model": {"name": "FLUX.1-dev"}},
        "lora": {"id": "lora", "type": "flux_lora_loader", "lora": {"name": "inked"}, "weight": 0.5},
        "words": {"id": "words", "type": "flux_text_encoder", "prompt": "a paper boat"},
        "seed": {"id": "seed", "type": "integer", "value": 77},
        "draw": {
            "id": "draw",
            "type": "flux_denoise",
            "num_steps": 12,
            "guidance": 3.0,
            "cfg_scale": 1.0,
            "width": 768,
            "height": 512,
            "scheduler": "heun",
        },
    },
    "edges": [
        {
            "source": {"node_id": "words", "field": "conditioning"},
            "destination": {"node_id": "draw", "field": "positive_text_conditioning"},
        },
        {"source": {"node_id": "seed", "field": "value"}, "destination": {"node_id": "draw", "field": "seed"}},
    ],
}


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    """A node of ComfyUI's API form."""
    return {"class_type": kind, "inputs": inputs, "_meta": {"title": kind}}


def comfy_flux1() -> dict[str, Any]:
    """FLUX.1 dev with custom sampling, two adapters, guidance, a shift and a seed from a primitive."""
    return {
        "6": node("CLIPTextEncode", text="a glass dragon", clip=["11", 0]),
        "8": node("VAEDecode", samples=["13", 0], vae=["10", 0]),
        "9": node("SaveImage", filename_prefix="ComfyUI", images=["8", 0]),
        "10": node("VAELoader", vae_name="ae.safetensors"),
        "11": node("DualCLIPLoader", clip_name1="t5xxl_fp16.safetensors", clip_name2="clip_l.safetensors", type="flux"),
        "12": node("UNETLoader", unet_name="flux1-dev.safetensors", weight_dtype="fp8_e4m3fn"),
        "13": node(
            "SamplerCustomAdvanced",
            noise=["25", 0],
            guider=["22", 0],
            sampler=["16", 0],
            sigmas=["17", 0],
            latent_image=["27", 0],
        ),
        "16": node("KSamplerSelect", sampler_name="euler"),
        "17": node("BasicScheduler", scheduler="simple", steps=20, denoise=1, model=["30", 0]),
        "22": node("BasicGuider", model=["30", 0], conditioning=["26", 0]),
        "25": node("RandomNoise", noise_seed=["40", 0]),
        "26": node("FluxGuidance", guidance=3.5, conditioning=["6", 0]),
        "27": node("EmptySD3LatentImage", width=1024, height=1024, batch_size=1),
        "30": node("ModelSamplingFlux", max_shift=1.15, base_shift=0.5, width=1024, height=1024, model=["32", 0]),
        "31": node("LoraLoaderModelOnly", lora_name="first.safetensors", strength_model=0.6, model=["12", 0]),
        "32": node(
            "LoraLoader", lora_name="sub/second.safetensors", strength_model=1.0, strength_clip=0.5, model=["31", 0]
        ),
        "40": node("PrimitiveInt", value=219670278747233),
    }


def comfy_klein() -> dict[str, Any]:
    """FLUX.2 klein base with real guidance, a negative prompt and one reference."""
    return {
        "1": node("UNETLoader", unet_name="flux-2-klein-base-4b.safetensors", weight_dtype="default"),
        "2": node("CLIPTextEncode", text="put the fox on a boat"),
        "3": node("CLIPTextEncode", text="blurry"),
        "4": node("LoadImage", image="fox.png"),
        "5": node("VAEEncode", pixels=["4", 0]),
        "6": node("ReferenceLatent", conditioning=["2", 0], latent=["5", 0]),
        "7": node("CFGGuider", model=["1", 0], positive=["6", 0], negative=["3", 0], cfg=5.0),
        "8": node("Flux2Scheduler", steps=30, width=1024, height=768),
        "9": node("EmptyFlux2LatentImage", width=1024, height=768, batch_size=1),
        "10": node("KSamplerSelect", sampler_name="dpmpp_2m"),
        "11": node("RandomNoise", noise_seed=5),
        "12": node(
            "SamplerCustomAdvanced",
            noise=["11", 0],
            guider=["7", 0],
            sampler=["10", 0],
            sigmas=["8", 0],
            latent_image=["9", 0],
        ),
        "13": node("VAEDecode", samples=["12", 0]),
        "14": node("SaveImage", images=["13", 0]),
    }


def comfy_two_passes() -> dict[str, Any]:
    """A KSampler, an upscale in latents, and a second KSampler."""
    passes = {"steps": 4, "cfg": 1.0, "sampler_name": "euler", "scheduler": "simple", "model": ["1", 0]}
    passes |= {"positive": ["2", 0], "negative": ["2", 0]}
    return {
        "1": node("CheckpointLoaderSimple", ckpt_name="FLUX1\\flux1-schnell-fp8.safetensors"),
        "2": node("CLIPTextEncodeFlux", clip_l="dragon", t5xxl="a long dragon", guidance=2.5),
        "3": node("EmptyLatentImage", width=512, height=512, batch_size=4),
        "4": node("KSampler", seed=11, denoise=1.0, latent_image=["3", 0], **passes),
        "5": node("LatentUpscale", samples=["4", 0], width=1024, height=1024),
        "6": node("KSampler", seed=12, denoise=0.5, latent_image=["5", 0], **passes),
        "7": node("VAEDecode", samples=["6", 0]),
        "8": node("SaveImage", images=["7", 0]),
    }


def drawing(graph: dict[str, Any]) -> dict[str, Any]:
    """The editor's form of a graph: widgets by place, links by number."""
    from workbench.metadata.comfy_graph import WIDGETS

    links: list[list[Any]] = []
    nodes: list[dict[str, Any]] = []
    for key, entry in graph.items():
        inputs: list[dict[str, Any]] = []
        for name, value in entry["inputs"].items():
            if isinstance(value, list) and len(value) == 2 and str(value[0]).isdigit():
                links.append([len(links) + 1, int(value[0]), value[1], int(key), len(inputs), "ANY"])
                inputs.append({"name": name, "type": "ANY", "link": len(links)})
        names = WIDGETS.get(entry["class_type"], "").split()
        widgets = ["fixed" if name == "*" else entry["inputs"].get(name) for name in names]
        widgets = [None if isinstance(value, list) else value for value in widgets]
        nodes.append(
            {"id": int(key), "type": entry["class_type"], "mode": 0, "inputs": inputs, "widgets_values": widgets}
        )
    return {"last_node_id": 50, "nodes": nodes, "links": links, "version": 0.4}


def dumps(value: Any) -> str:
    """JSON text."""
    return json.dumps(value)
