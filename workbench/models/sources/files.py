"""Model folders made of a file and of another model, and taken away again.

`add` puts a single file (a transformer, a VAE) in the place of a model's own component. What is taken from the other
model is linked, not copied, where the file system can; the result is an ordinary folder that depends on nothing else.
"""

from __future__ import annotations

import json
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import torch

from workbench.errors import ModelError
from workbench.models.catalog import ModelCatalog
from workbench.models.checkpoint import index_of, read_json
from workbench.models.companions import COMPANIONS
from workbench.models.dialects.layout import ARCHITECTURES
from workbench.models.folders import SOURCE, identify
from workbench.models.identify import Header, Identity, read
from workbench.models.identify import identify as identify_file
from workbench.models.identify.what import TITLES
from workbench.models.model import Model

_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._@-]{0,95}(?:/[A-Za-z0-9][A-Za-z0-9._@-]{0,95})?")
_ENCODERS = {
    "T5EncoderModel": "t5",
    "CLIPTextModel": "clip",
    "Qwen3ForCausalLM": "qwen3",
    "Mistral3ForConditionalGeneration": "mistral",
    "Qwen3VLForConditionalGeneration": "qwen3-vl",
}
_VAES = {"AutoencoderKL": "flux1-vae", "AutoencoderKLFlux2": "flux2-vae"}


class InstallError(ModelError):
    """A model cannot be installed or removed: its name is taken, it does not fit, the disk is full."""

    code = "WB204"


def add(catalog: ModelCatalog, file: Path, base: str, name: str) -> Path:
    """Make the model `name`: `base` with `file` in place of its transformer or VAE.

    Args:
        catalog: finds `base`; the result goes into its `home/models`.
        file: safetensors or GGUF.
        base: a model of the same architecture and size.
        name: of the result.

    Returns:
        The new folder.

    Raises:
        ModelError: the file is damaged, unknown, or made for another model.
        InstallError: the name is taken or cannot be used, the disk is full.
    """
    model = catalog.model(base)
    header = read(file)
    what = identify_file(header)
    component = _component(what, file, model)
    _check_fit(what, header, file, model, component)
    with installing(catalog.home, name) as folder:
        index = index_of(model.path)
        assert index is not None  # the catalog found it
        shutil.copy2(index, folder)
        for part in sorted(each for each in model.path.iterdir() if each.is_dir() and not each.name.startswith(".")):
            _link_tree(part, folder / part.name, weights=part.name != component)
        stem = "model" if component.startswith("text_encoder") else "diffusion_pytorch_model"
        link(file, folder / component / f"{stem}{file.suffix}")
        note = {"base": model.name, "file": file.name, "component": component, "what": what.sentence}
        (folder / SOURCE).write_text(json.dumps(note, indent=2), encoding="utf-8")
        identify(name, folder, model.precision, catalog._hashes)
    return catalog.home / "models" / name


def remove(catalog: ModelCatalog, name: str) -> int:
    """Take the model `name` out of `home/models`; returns the bytes of its files, links included.

    Raises:
        InstallError: it is not in `home/models`.
    """
    root = (catalog.home / "models").resolve()
    folder = root / name
    companion = name in COMPANIONS and folder.is_dir()
    if not _NAME.fullmatch(name) or not (index_of(folder) or companion):
        raise InstallError(f"There is no model {name!r} in {root}.", "`workbench models` lists where each one is.")
    total = sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
    trash = Path(tempfile.mkdtemp(prefix=".removed-", dir=root))
    folder.rename(trash / "model")  # at once, so that nobody sees half of it
    shutil.rmtree(trash)
    if folder.parent != root and not any(folder.parent.iterdir()):
        folder.parent.rmdir()
    return total


@contextmanager
def installing(home: Path, name: str) -> Iterator[Path]:
    """A folder to fill, which becomes `home/models/name` when the block ends well and vanishes when it does not.

    Raises:
        InstallError: the name is taken or cannot be used, the disk is full.
    """
    root = home / "models"
    target = root / name
    if not _NAME.fullmatch(name) or ".." in name:
        raise InstallError(
            f"A model cannot be called {name!r}.", "Use letters, digits, '.', '-', '_' and at most one '/'."
        )
    if target.exists():
        raise InstallError(f"There is a model {name!r} already.", "Choose another name, or remove it first.")
    try:
        root.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(prefix=".incoming-", dir=root) as work:
            folder = Path(work) / "model"
            folder.mkdir()
            yield folder
            target.parent.mkdir(parents=True, exist_ok=True)
            folder.rename(target)
    except OSError as error:
        raise InstallError(
            f"The model {name!r} cannot be installed in {root}: {error.strerror or error}.",
            "Free space or permissions there; nothing was left behind.",
        ) from None


def link(source: Path, target: Path) -> None:
    """`target` with the content of `source`: a hard link where the file system can, else a copy."""
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without links
        shutil.copy2(source, target)


def _link_tree(source: Path, target: Path, *, weights: bool) -> None:
    target.mkdir()
    for path in sorted(source.iterdir()):
        heavy = path.suffix in (".safetensors", ".gguf") or path.name.endswith(".safetensors.index.json")
        if path.is_file() and (weights or not heavy):
            link(path, target / path.name)


def _component(what: Identity, file: Path, model: Model) -> str:
    """The component of `model` that the file takes the place of."""
    found = {"transformer": "transformer", "checkpoint": "transformer", "vae": "vae"}.get(what.kind)
    if what.kind == "text-encoder":
        found = next((name for name, cls in model.family.components.items() if _ENCODERS.get(cls) == what.family), None)
        if found is None:
            raise InstallError(
                f"{file.name} is a {TITLES.get(what.family, what.family)} text encoder, which {model.name} has none of.",
                "Name a model that reads its text with one as the base.",
            )
    if found is None or not what.known:
        remedy = {
            "adapter": "Put it into the folder `adapters` of the workbench's home; it is used by a recipe's `adapters`.",
            "unknown": "`workbench models inspect --strip` writes its header for a report.",
        }.get(what.kind, "Transformers, VAEs and text encoders of FLUX can be added.")
        raise InstallError(f"{file.name} cannot be added: {what.sentence}", remedy)
    return found


def _check_fit(what: Identity, header: Header, file: Path, model: Model, component: str) -> None:
    """Hold family and shapes of the file against the model's own configuration, reading no weights."""
    cls = model.family.components.get(component, "")
    if component.startswith("text_encoder"):
        _check_encoder(what, file, model, component)
        return
    if component == "vae":
        expected = _VAES.get(cls, "")
    else:
        expected = next((each.name for each in ARCHITECTURES.values() if each.transformer == cls), "")
    if what.family != expected:
        raise InstallError(
            f"{file.name} is a {TITLES.get(what.family, what.family)} {component}, and {model.name} needs one for "
            f"{TITLES.get(expected, model.family.title)}.",
            "Name a model of the same architecture as the base.",
        )
    if component == "vae" or what.numbers.precision == "nf4":
        return  # told when it is loaded: shapes of packed weights are inside the data
    import diffusers

    from workbench.models.identify.parts import split
    from workbench.models.identify.precision import is_helper
    from workbench.models.single import check_names

    entries = {name: entry for name, entry in header.tensors.items() if not is_helper(name)}
    tensors = split(entries)[0]["diffusion"]
    with torch.device("meta"):
        state = {name: torch.empty(entry.shape) for name, entry in tensors.items()}
    check_names(getattr(diffusers, cls), model.path / component, state, file)


def _check_encoder(what: Identity, file: Path, model: Model, component: str) -> None:
    """Hold width and depth of a text encoder against the configuration; the rest is told when it is loaded."""
    config = read_json(model.path / component / "config.json")
    config = config.get("text_config", config)
    wanted = {
        "width": config.get("hidden_size", config.get("d_model")),
        "layers": max(model.family.text_layers, default=config.get("num_hidden_layers", config.get("num_layers"))),
    }
    facts = what.facts or {}
    if facts.get("width") != wanted["width"] or ("layers" in facts and facts["layers"] < wanted["layers"]):
        raise InstallError(
            f"{file.name} has {facts.get('layers', 'some')} layers of width {facts.get('width')}, and the {component} of "
            f"{model.name} needs {wanted['layers']} of width {wanted['width']}.",
            "Name a model whose text encoder has that size as the base.",
        )
