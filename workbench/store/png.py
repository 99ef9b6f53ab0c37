"""PNG files that say how they were made, in two text chunks.

`workbench` holds JSON: the full recipe, the weights' fingerprints, the digest, the pixels' SHA-256, the environment.
`parameters` holds the same for people, in the layout that most picture tools show (prompt, negative prompt, one line of
`Name: value` pairs).
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from PIL import Image, PngImagePlugin

from workbench.errors import StoreError
from workbench.store.files import write_atomically

CHUNK = "workbench"
COMPRESSION = 1  # level 6 takes a quarter longer for 1024 x 1024 and saves little on pictures


def pixel_sha256(picture: Image.Image) -> str:
    """SHA-256 of the picture's RGB bytes, rows from top to bottom: 64 hexadecimal digits."""
    return hashlib.sha256(picture.convert("RGB").tobytes()).hexdigest()


def encode_picture(picture: Image.Image, metadata: Mapping[str, Any]) -> bytes:
    """The bytes of a PNG file that carries `metadata`.

    Args:
        picture: 8 bits a channel; alpha is not kept.
        metadata: JSON values; `pixels` (the pixels' SHA-256) is added. A `recipe` in it is also told in words.
    """
    picture = picture.convert("RGB")
    chunks = PngImagePlugin.PngInfo()
    # ASCII with \u escapes: a plain tEXt chunk that every reader understands, and lone surrogates survive.
    chunks.add_text(CHUNK, json.dumps(dict(metadata) | {"pixels": pixel_sha256(picture)}, ensure_ascii=True))
    recipe = metadata.get("recipe")
    if isinstance(recipe, Mapping) and "operation" not in metadata:  # what was enlarged is not drawn from a recipe
        words = in_words(recipe).encode("utf-8", "replace").decode()
        chunks.add_text("parameters", words)  # Pillow picks iTXt where Latin-1 does not reach
    buffer = io.BytesIO()
    picture.save(buffer, "PNG", pnginfo=chunks, compress_level=COMPRESSION)
    return buffer.getvalue()


def write_picture(path: Path, picture: Image.Image, metadata: Mapping[str, Any]) -> None:
    """Write a PNG with its metadata, whole or not at all.

    Raises:
        StoreError: the file cannot be written; nothing is left behind.
    """
    write_atomically(path, encode_picture(picture, metadata))


def read_picture(path: Path) -> tuple[Image.Image, dict[str, Any]]:
    """Read a picture and what it says of itself.

    Returns:
        The RGB picture and its metadata; the metadata is empty when the file is not one of ours.

    Raises:
        StoreError: there is no such file, or it is no picture that can be read whole.
    """
    try:
        with Image.open(path) as file:
            file.load()
            text = getattr(file, "text", {}).get(CHUNK)
            picture = file.convert("RGB")
    except FileNotFoundError:
        raise StoreError(f"There is no file {str(path)!r}.", "Check the path.") from None
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = " ".join(str(error).split()).rstrip(".")
        raise StoreError(f"Cannot read {str(path)!r} as a picture: {reason}.", "The file may be damaged.") from error
    if text is None:
        return picture, {}
    try:
        metadata = json.loads(text)
    except ValueError:
        metadata = None
    if not isinstance(metadata, dict):
        raise StoreError(f"The metadata of {str(path)!r} is damaged.", "Use another copy of the file.")
    return picture, metadata


def in_words(recipe: Mapping[str, Any]) -> str:
    """A recipe for people: the prompt, the negative prompt, and one line of pairs."""
    lines = [str(recipe.get("prompt", ""))]
    if recipe.get("negative_prompt"):
        lines.append(f"Negative prompt: {recipe['negative_prompt']}")
    pairs = {
        "Steps": recipe.get("steps"),
        "CFG scale": recipe.get("guidance_scale"),
        "Seed": recipe.get("seed"),
        "Size": f"{recipe.get('width')}x{recipe.get('height')}",
        "Model": recipe.get("model"),
        "Adapters": " + ".join(f"{adapter['name']} x {adapter['weight']}" for adapter in recipe.get("adapters") or ()),
    }
    references = [f"{part['picture'][:12]} at {part['size']}" for part in recipe.get("references") or ()]
    pairs |= {
        "References": " + ".join(references),
        "Image": (recipe.get("image") or "")[:12],
        "Denoising strength": recipe.get("strength"),
        "Mask": (recipe.get("mask") or "")[:12],
        "Margins": " ".join(str(pixels) for pixels in recipe.get("margins") or ()),
        "Control": " ".join(part[:12] for part in (recipe.get("control_type"), recipe.get("control")) if part),
        "Redux": " + ".join(f"{part['picture'][:12]} x {part['weight']}" for part in recipe.get("redux") or ()),
    }
    lines.append(", ".join(f"{name}: {value}" for name, value in pairs.items() if value not in (None, "")))
    return "\n".join(lines)
