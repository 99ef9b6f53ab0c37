"""Where a picture comes from, and what came from it.

Adapters are followed to their files and, by what training wrote into those, to the run and the data set; input pictures
are followed to the pictures of this store that they are, by the content of their pixels.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sqlalchemy import select

from workbench.errors import ModelError
from workbench.store.entries import Entry
from workbench.store.gallery_tables import GalleryRow, SourceRow

if TYPE_CHECKING:
    from workbench.store.gallery import Gallery

HEADER = 100_000_000  # bytes; the largest header of a safetensors file
DEEPEST = 20  # generations that `Lineage.to_text` follows
_FACTS = {
    "run": ("workbench.run", "ss_output_name"),
    "base_model": ("workbench.base_model", "ss_sd_model_name", "ss_base_model_version"),
    "steps": ("ss_steps",),
    "data": ("workbench.data", "ss_dataset_dirs"),
    "data_examples": ("workbench.data_examples", "ss_num_train_images"),
    "data_fingerprint": ("workbench.data_fingerprint",),
    "trigger": ("modelspec.trigger_phrase",),
    "date": ("modelspec.date",),
}


@dataclass(frozen=True, slots=True)
class AdapterOrigin:
    """One adapter of a picture and what its file says of itself."""

    name: str
    weight: float
    fingerprint: str  # SHA-256 of the file that acted
    path: Path | None  # of that very file; None when it is not here, or not unchanged
    facts: Mapping[str, Any]  # run, base_model, steps, data, data_examples, data_fingerprint, trigger, date

    def sentence(self) -> str:
        """In words."""
        made = f"adapter {self.name} x {self.weight:g}"
        if self.path is None:
            return f"{made}: its file ({self.fingerprint[:12]}) is not here any more"
        if not self.facts:
            return f"{made}: its file says nothing of its training"
        parts = [f"run {self.facts['run']}"] if self.facts.get("run") else []
        if data := self.facts.get("data"):
            names = ", ".join(map(str, data)) if isinstance(data, list | dict) else str(data)
            count = f" ({self.facts['data_examples']} pictures)" if self.facts.get("data_examples") else ""
            parts.append(f"data {names}{count}")
        parts += [f"{self.facts['steps']} steps"] if self.facts.get("steps") else []
        parts += [f"on {self.facts['base_model']}"] if self.facts.get("base_model") else []
        return f"{made}: {', '.join(parts)}" if parts else made


@dataclass(frozen=True, slots=True)
class SourceOrigin:
    """One picture that the picture was made from."""

    role: str  # reference, image, mask, control or redux
    content: str  # digest of the input
    path: Path | None  # among the inputs; None when it is gone
    made_here: tuple[str, ...]  # digests of pictures of this store with these very pixels


@dataclass(frozen=True, slots=True)
class Lineage:
    """What `trace` found."""

    entry: Entry
    adapters: tuple[AdapterOrigin, ...]
    sources: tuple[SourceOrigin, ...]
    children: tuple[str, ...]  # digests of pictures that were made from this one, newest first
    parents: Mapping[str, Lineage]  # of the sources that were made here, by digest

    def to_dict(self) -> dict[str, Any]:
        """All of it as JSON values."""
        return {
            "digest": self.entry.digest,
            "prompt": self.entry.recipe.prompt,
            "model": self.entry.recipe.model,
            "weights": self.entry.weights,
            "adapters": [
                asdict(each) | {"path": str(each.path) if each.path else None, "facts": dict(each.facts)}
                for each in self.adapters
            ],
            "sources": [asdict(each) | {"path": str(each.path) if each.path else None} for each in self.sources],
            "parents": [parent.to_dict() for parent in self.parents.values()],
            "children": list(self.children),
        }

    def to_text(self, indent: int = 0) -> str:
        """A tree for people: the picture, what it was made with, and from what."""
        pad = "  " * indent
        lines = [f"{pad}{self.entry.digest[:12]}  {self.entry.title}"]
        lines += [f"{pad}  {each.sentence()}" for each in self.adapters]
        for source in self.sources:
            where = "made here:" if source.made_here else (source.path or "not here any more")
            lines.append(f"{pad}  {source.role} {source.content[:12]}  {where}")
            lines += [self.parents[each].to_text(indent + 2) for each in source.made_here if each in self.parents]
        if self.children and not indent:
            lines.append(f"{pad}  used by {len(self.children)}: {', '.join(each[:12] for each in self.children[:10])}")
        return "\n".join(lines)


def trace(gallery: Gallery, digest: str, _seen: frozenset[str] = frozenset()) -> Lineage:
    """Follow a picture to its adapters, their training, and the pictures it was made from, all the way up.

    Args:
        gallery: whose pictures are looked through.
        digest: of the picture.

    Raises:
        GalleryError: there is no such picture.
        StoreError: the database cannot be read.
    """
    entry = gallery.show(digest)
    seen = _seen | {entry.digest}
    with gallery.store.transaction() as session:
        mine = select(GalleryRow.id, GalleryRow.content).where(GalleryRow.digest == entry.digest)
        number, content = session.execute(mine).one()
        rows = session.scalars(select(SourceRow).where(SourceRow.picture == number).order_by(SourceRow.position)).all()
        made: dict[str, list[str]] = {row.content: [] for row in rows}
        found = select(GalleryRow.content, GalleryRow.digest).where(GalleryRow.content.in_(list(made)))
        for of, parent in session.execute(found.order_by(GalleryRow.created)):
            made[str(of)].append(parent)
        users = select(GalleryRow.digest).join(SourceRow, SourceRow.picture == GalleryRow.id)
        users = users.where(SourceRow.content == (content or "unknown")).order_by(GalleryRow.created.desc())
        children = tuple(dict.fromkeys(session.scalars(users)))
    home = gallery.store.home
    sources = tuple(
        SourceOrigin(row.role, row.content, _input(home, row.content), tuple(made[row.content])) for row in rows
    )
    parents = {
        parent: trace(gallery, parent, seen)
        for source in sources
        for parent in source.made_here
        if parent not in seen and len(seen) < DEEPEST
    }
    pairs = zip(entry.recipe.adapters, entry.adapter_weights, strict=True)
    adapters = tuple(_adapter(home, adapter.name, adapter.weight, fingerprint) for adapter, fingerprint in pairs)
    return Lineage(entry, adapters, sources, children, parents)


def _input(home: Path, content: str) -> Path | None:
    path = home / "inputs" / content[:2] / f"{content}.png"
    return path if path.is_file() else None


def _adapter(home: Path, name: str, weight: float, fingerprint: str) -> AdapterOrigin:
    path = _same_file(home, name, fingerprint)
    return AdapterOrigin(name, weight, fingerprint, path, _facts(path, home) if path else {})


def _same_file(home: Path, name: str, fingerprint: str) -> Path | None:
    """The file of that name if it is still the one that acted."""
    from workbench.models.fingerprint import FileHashes  # the models are no part of the store's start

    hashes = FileHashes(home / "cache")
    for path in (home / "adapters" / f"{name}.safetensors", Path(name).expanduser()):
        try:
            if path.is_file() and hashes.of(path) == fingerprint:
                return path
        except (ModelError, OSError, ValueError):
            continue
    return None


def _facts(path: Path, home: Path) -> dict[str, Any]:
    """What the header of an adapter says of its training; what it leaves out is asked of the run's folder."""
    try:
        with path.open("rb") as file:
            length = int.from_bytes(file.read(8), "little")
            header = json.loads(file.read(length)) if length <= HEADER else {}
    except (OSError, ValueError):
        return {}
    metadata = header.get("__metadata__") if isinstance(header, dict) else None
    if not isinstance(metadata, dict):
        return {}
    found: dict[str, Any] = {}
    for name, keys in _FACTS.items():
        value = next((metadata[key] for key in keys if metadata.get(key)), None)
        if value is not None:
            found[name] = _value(value)
    if "data_examples" not in found and isinstance(run := metadata.get("workbench.run"), str):
        found |= _from_run(home / "runs" / Path(run).name)
    return found


def _value(text: Any) -> Any:
    try:
        return json.loads(text) if isinstance(text, str) and text[:1] in "[{0123456789" else text
    except ValueError:
        return text


def _from_run(folder: Path) -> dict[str, Any]:
    """The data of a run of this home, for adapters that were written before they said so themselves."""
    try:
        manifest = json.loads((folder / "data.json").read_text(encoding="utf-8"))
        return {"data_examples": len(manifest["examples"])}
    except (OSError, ValueError, KeyError, TypeError):
        return {}
