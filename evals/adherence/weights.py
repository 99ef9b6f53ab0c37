"""Finds a model's weights on this machine, says how to get them when they are not here, and tells versions apart."""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from evals.scoring import ScorerError

WHOLE = 2**20  # files up to this many bytes count with all their content
SAMPLES = 16  # places at which larger files are sampled, of 64 KiB each


@dataclass(frozen=True, slots=True)
class Weights:
    """A folder in the form of transformers: config, tokenizer, processor and safetensors."""

    folder: Path
    fingerprint: str  # 12 hexadecimal digits; see `fingerprint`


def find_weights(source: str | Path, what: str) -> Weights:
    """The folder that holds a model.

    Args:
        source: a folder, or a name on the Hugging Face hub whose files are in the local cache. Nothing is downloaded.
        what: the model's name for messages.

    Raises:
        ScorerError: it is not on this machine, or has no safetensors; the message says how to get it.
    """
    folder = Path(source).expanduser()
    if not folder.is_dir():
        if isinstance(source, Path) or folder.is_absolute() or len(folder.parts) != 2:  # a hub name is OWNER/NAME
            raise ScorerError(f"{what} needs weights, and there is no folder {str(source)!r}.", "Check the path.")
        folder = _cached(str(source), what)
    if not (folder / "config.json").is_file():
        raise ScorerError(
            f"The folder {str(folder)!r} holds no model for {what}: it has no config.json.",
            "Give a transformers folder.",
        )
    if not any(folder.glob("*.safetensors")):
        raise ScorerError(
            f"The folder {str(folder)!r} holds no safetensors file for {what}; other formats are not loaded.",
            "Convert it: load it once with transformers where you trust it, and call save_pretrained.",
        )
    return Weights(folder, fingerprint(folder))


def _cached(name: str, what: str) -> Path:
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HFValidationError, LocalEntryNotFoundError

    try:
        return Path(snapshot_download(name, local_files_only=True))
    except (LocalEntryNotFoundError, HFValidationError, OSError):
        raise ScorerError(
            f"{what} needs the weights {name!r}, which are not on this machine.",
            f"Run: hf download {name}; or give the folder of a copy as the option weights.",
        ) from None


def fingerprint(folder: Path) -> str:
    """What tells one set of files from another in the blink of an eye, 12 hexadecimal digits.

    Small files count whole; of large ones the size, the first 64 KiB (where safetensors keeps names and shapes) and
    15 more places.
    """
    digest = hashlib.sha256()
    for path in sorted(folder.rglob("*")):
        if path.suffix in {".json", ".safetensors", ".txt", ".model", ".jinja"} and path.is_file():
            digest.update(f"{path.relative_to(folder).as_posix()} {fingerprint_file(path)}\n".encode())
    return digest.hexdigest()[:12]


def fingerprint_file(path: Path) -> str:
    """The same for one file."""
    size = path.stat().st_size
    digest = hashlib.sha256(f"{size}\n".encode())
    with path.open("rb") as stream:
        if size <= WHOLE:
            digest.update(stream.read())
        else:
            for place in range(SAMPLES):
                stream.seek(place * (size - 2**16) // (SAMPLES - 1))
                digest.update(stream.read(2**16))
    return digest.hexdigest()[:12]


def pick_device(device: str | None) -> str:
    """`device`, or the best there is: "cuda", "mps" or "cpu"."""
    import torch

    if device:
        return device
    if torch.cuda.is_available():
        return "cuda"
    return "mps" if torch.backends.mps.is_available() else "cpu"


@contextmanager
def _loading(weights: Weights, part: str) -> Iterator[None]:
    """Keeps progress bars and warnings of the loader to itself, and turns its failures into one sentence."""
    from transformers.utils import logging

    level, bar = logging.get_verbosity(), logging.is_progress_bar_enabled()
    logging.set_verbosity_error()
    logging.disable_progress_bar()
    try:
        yield
    except (OSError, ValueError, KeyError, RuntimeError, AttributeError, TypeError) as error:
        reason = " ".join(str(error).split())[:300]
        raise ScorerError(
            f"The folder {str(weights.folder)!r} cannot be loaded as {part}: {reason}.",
            "Check that it is complete and of that kind.",
        ) from None
    finally:
        logging.set_verbosity(level)
        if bar:
            logging.enable_progress_bar()


def load_model(weights: Weights, kind: str, device: str, **options: Any) -> Any:
    """A model of the transformers class `kind`, in evaluation mode.

    Raises:
        ScorerError: the files are no such model.
    """
    import transformers

    with _loading(weights, kind):
        model = getattr(transformers, kind).from_pretrained(
            weights.folder, local_files_only=True, use_safetensors=True, **options
        )
    return model.eval().to(device)


def load_image_processor(weights: Weights) -> Any:
    """The model's own resizing and normalising, by Pillow: it works without torchvision.

    Raises:
        ScorerError: there is none.
    """
    from transformers import AutoImageProcessor

    with _loading(weights, "an image processor"):
        return AutoImageProcessor.from_pretrained(weights.folder, local_files_only=True, backend="pil")


def load_tokenizer(weights: Weights) -> Any:
    """The model's tokenizer.

    Raises:
        ScorerError: there is none.
    """
    from transformers import AutoTokenizer

    with _loading(weights, "a tokenizer"):
        return AutoTokenizer.from_pretrained(weights.folder, local_files_only=True)
