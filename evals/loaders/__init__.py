"""Public prompt files as suites: a path in, a `Suite` out. No file of others comes with the package.

A loader is one function in a module of this folder:

    @register_loader("geneval", about="GenEval, 553 prompts", licence="MIT", known={"<SHA-256>": "as published"})
    def load(path: Path, content: bytes) -> Suite: ...

Every module here is found by itself; a file is read once, hashed, and compared with the known ones.
"""

from __future__ import annotations

import hashlib
import importlib
import pkgutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path

from evals.suite import Suite, SuiteError, read_limited
from workbench.errors import nearest

Load = Callable[[Path, bytes], Suite]


@dataclass(frozen=True, slots=True)
class Loader:
    """How one public format becomes a suite.

    Attributes:
        name: what stands before the colon: `NAME:PATH`.
        load: gets the path (for folders of files: the folder, with empty content) and the file's bytes.
        about: one line for `evals suites`.
        licence: of the prompts; "" where the publisher names none.
        known: SHA-256 of published files to what each is.
        folder: the path is a folder; the loader reads its files itself, with `read_limited`.
    """

    name: str
    load: Load
    about: str
    licence: str = ""
    known: Mapping[str, str] = field(default_factory=dict)
    folder: bool = False


_LOADERS: dict[str, Loader] = {}


def register_loader(
    name: str, *, about: str, licence: str = "", known: Mapping[str, str] | None = None, folder: bool = False
) -> Callable[[Load], Load]:
    """Decorator of a function `(path, content) -> Suite`; see `Loader` for the arguments.

    Raises:
        ValueError: the name is taken.
    """

    def keep(load: Load) -> Load:
        if name in _LOADERS:
            raise ValueError(f"two loaders are called {name!r}")
        _LOADERS[name] = Loader(name, load, about, licence, dict(known or {}), folder)
        return load

    return keep


def loaders() -> dict[str, Loader]:
    """All loaders by name; the modules of this folder are imported."""
    for module in pkgutil.iter_modules(__path__):
        if not module.name.startswith("_"):
            importlib.import_module(f"{__name__}.{module.name}")
    return dict(sorted(_LOADERS.items()))


def load_public(name: str, path: Path) -> Suite:
    """Read a public file; a file that is none of the published ones is named in the suite's notes.

    Raises:
        SuiteError: there is no such format, or the file cannot be read or is not of that format.
    """
    known = loaders()
    if name not in known:
        raise SuiteError(f"There is no suite format {name!r}.", nearest(name, known))
    loader = known[name]
    if loader.folder:
        if not path.is_dir():
            raise SuiteError(f"There is no folder {str(path)!r}.", f"{name}: {loader.about}")
        suite = loader.load(path, b"")
        return suite.model_copy(update={"licence": suite.licence or loader.licence, "folder": str(path.absolute())})
    if not path.is_file():
        raise SuiteError(f"There is no file {str(path)!r}.", f"{name}: {loader.about}")
    content = read_limited(path)
    digest = hashlib.sha256(content).hexdigest()
    suite = loader.load(path, content)
    notes = list(suite.notes)
    if digest not in loader.known and loader.known:
        notes.append(
            f"The file {path.name!r} (SHA-256 {digest[:12]}...) is none of the published {name} files: it was changed or "
            "is another release, so scores are not comparable with published ones."
        )
    if not loader.licence:
        notes.append(f"The publisher of {name} names no licence; do not pass its prompts on.")
    elif "NC" in loader.licence.split("-"):
        notes.append(f"The prompts of {name} are for non-commercial use only ({loader.licence}).")
    source = suite.source or f"{path.name}, SHA-256 {digest}" + (
        f" ({loader.known[digest]})" if digest in loader.known else ""
    )
    return suite.model_copy(
        update={
            "notes": tuple(notes),
            "source": source,
            "licence": suite.licence or loader.licence,
            "folder": str(path.absolute().parent),
        }
    )
