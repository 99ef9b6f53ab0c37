"""Models from the Hugging Face hub: `org/name` or `org/name@revision`, into `home/models`.

Only what a model folder needs is downloaded: the configuration and the safetensors files of its components. Files
arrive in a folder aside, which survives an interruption, so that the next try goes on where this one stopped; the model
appears under its name when all is there and its headers are sound.
"""

from __future__ import annotations

import json
import os
import re
import shutil
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from workbench.errors import Cancelled, ModelError
from workbench.models.catalog import ModelCatalog
from workbench.models.checkpoint import INDEXES, PICKLES, read_json
from workbench.models.companions import COMPANIONS, companion_files
from workbench.models.families import FAMILIES
from workbench.models.folders import SOURCE, identify, named_components
from workbench.models.identify import read
from workbench.models.sources.files import InstallError

Listener = Callable[[str, int, int], None]
"""Called with the file's name, bytes done of all files, and bytes of all files."""

_REPOSITORY = re.compile(r"[A-Za-z0-9][\w.-]{0,95}/[A-Za-z0-9][\w.-]{0,95}")
_REVISION = re.compile(r"[\w.-]{1,100}")
_CONFIGS = (".json", ".txt", ".model", ".jinja")
_VARIANT = re.compile(r"\.(fp16|bf16|fp32|non_ema|ema|int8|8bit)\b")


class HubError(ModelError):
    """The hub cannot be reached, does not have the model, or does not let it be downloaded."""

    code = "WB205"


@dataclass(frozen=True, slots=True)
class _Watch:
    """Who is told, and who may stop it."""

    listen: Listener | None
    cancelled: Callable[[], bool]


@dataclass(frozen=True, slots=True)
class Wanted:
    """A model on the hub."""

    repository: str
    revision: str | None = None

    @property
    def name(self) -> str:
        """Its name in the catalog."""
        return f"{self.repository}@{self.revision}" if self.revision else self.repository

    @property
    def page(self) -> str:
        """Where its licence is."""
        return f"https://huggingface.co/{self.repository}"


def parse(text: str) -> Wanted:
    """`org/name` or `org/name@revision`.

    Raises:
        HubError: neither.
    """
    repository, _, revision = text.removeprefix("https://huggingface.co/").strip("/").partition("@")
    if not _REPOSITORY.fullmatch(repository) or (revision and not _REVISION.fullmatch(revision)) or ".." in text:
        raise HubError(f"{text!r} names no model of the hub.", "Write org/name or org/name@revision.")
    return Wanted(repository, revision or None)


def pull(
    catalog: ModelCatalog,
    name: str,
    *,
    file: str | None = None,
    listen: Listener | None = None,
    cancelled: Callable[[], bool] = lambda: False,
) -> Path:
    """Download a model, or one file of a repository.

    Args:
        catalog: the model goes into its `home/models`, a single file into `home/files`.
        name: `org/name` or `org/name@revision`.
        file: only this file, for `add`.
        listen: told how far it is, from the downloading thread.
        cancelled: asked between pieces of data.

    Returns:
        The model's folder, or the file.

    Raises:
        HubError: offline, unknown, gated, no model folder, or only pickles.
        InstallError: the model is there already, or the disk is too full.
        ModelError: what was downloaded is damaged or of no supported family.
        Cancelled: `cancelled` said so; what has arrived is kept for the next try.
    """
    wanted = parse(name)
    beside = next((own for own, place in COMPANIONS.items() if place.lower() == wanted.repository.lower()), None)
    target = catalog.home / "models" / (beside or wanted.name)
    if file is None and target.exists():
        raise InstallError(
            f"There is a model {beside or wanted.name!r} already.", "Remove it first, to download it again."
        )
    watch = _Watch(listen, cancelled)
    with _explained(wanted):
        sha, sizes = _listing(wanted)
        if file is not None:
            return _one_file(catalog.home, wanted, (sha, sizes), file, watch)
        stage = catalog.home / "models" / ".pulling" / f"{wanted.repository.replace('/', '--')}@{sha[:12]}"
        index = next((each for each in INDEXES if each in sizes), None)
        if index is not None:
            _fetch(wanted, sha, stage, {index: sizes[index]}, _Watch(None, cancelled))
            chosen = choose(sizes, read_json(stage / index), wanted)
        elif beside is not None:
            chosen = _files_of(sizes, ".", wanted)
        else:
            single = [each for each in sizes if each.endswith((".safetensors", ".gguf"))]
            raise HubError(
                f"The repository {wanted.repository} is no model folder: it has no {INDEXES[0]}.",
                f"Name one of its files with --file: {', '.join(sorted(single)[:5])}." if single else "Name another.",
            )
        _check_space(stage, sum(chosen.values()))
        _fetch(wanted, sha, stage, chosen, watch)
    note = {"repository": wanted.repository, "asked": wanted.revision or "main", "revision": sha}
    (stage / SOURCE).write_text(json.dumps(note, indent=2), encoding="utf-8")
    shutil.rmtree(stage / ".cache", ignore_errors=True)  # the hub client's notes on partial files
    if beside is None:
        identify(wanted.name, stage, "float32", catalog._hashes)
    else:
        companion_files(stage)
    target.parent.mkdir(parents=True, exist_ok=True)
    stage.rename(target)
    return target


def choose(sizes: dict[str, int], index: dict[str, Any], wanted: Wanted) -> dict[str, int]:
    """The files that a model folder needs, with their sizes.

    Args:
        sizes: every file of the repository.
        index: its model_index.json or modular_model_index.json.
        wanted: for messages.

    Raises:
        HubError: a component's weights are there as pickles only, or in another repository.
    """
    named = named_components(index)
    pipeline = index.get("_class_name")
    rows = [row for row in FAMILIES.values() if row.pipeline == pipeline]
    # of a known family only what is loaded: no safety checker, no prompt upsampler
    components = [name for name in named if not rows or name in rows[0].stored]
    chosen = {name: sizes[name] for name in INDEXES if name in sizes}
    for component in components:
        found = _files_of(sizes, component, wanted)
        if not found and named[component] not in ("", wanted.repository):
            raise HubError(
                f"The {component} of {wanted.repository} is kept in another repository, {named[component]}.",
                "Pull a repository that has all its components.",
            )
        chosen |= found
    return chosen


def _files_of(sizes: dict[str, int], component: str, wanted: Wanted) -> dict[str, int]:
    """The configuration and safetensors files of one folder of a repository; '.' is the repository itself.

    Raises:
        HubError: the weights are there as pickles only.
    """
    here = {name: size for name, size in sizes.items() if PurePosixPath(name).parent.as_posix() == component}
    weights = [name for name in here if name.endswith(".safetensors") and not _VARIANT.search(name)]
    pickles = [name for name in here if name.endswith(PICKLES)]
    if pickles and not weights and not any(name.endswith(".safetensors") for name in here):
        raise HubError(
            f"The {component} of {wanted.repository} is there as a pickle only, which can run code when opened.",
            "Use a repository with safetensors files.",
        )
    configs = [name for name in here if name.endswith(_CONFIGS) and not _VARIANT.search(name)]
    configs = [name for name in configs if not name.endswith(".bin.index.json")]
    return {name: here[name] for name in (*weights, *configs)}


def _listing(wanted: Wanted) -> tuple[str, dict[str, int]]:
    """Commit, and every file's size."""
    from huggingface_hub import HfApi

    info = HfApi(endpoint=_endpoint()).model_info(wanted.repository, revision=wanted.revision, files_metadata=True)
    return str(info.sha), {each.rfilename: int(each.size or 0) for each in info.siblings or []}


def _fetch(wanted: Wanted, sha: str, stage: Path, files: dict[str, int], watch: _Watch) -> None:
    from huggingface_hub import hf_hub_download

    stage.mkdir(parents=True, exist_ok=True)
    total, before = sum(files.values()), 0
    for name, size in sorted(files.items()):
        path = stage / name
        if not (path.is_file() and path.stat().st_size == size):
            hf_hub_download(
                wanted.repository, name, revision=sha, local_dir=stage, endpoint=_endpoint(),
                tqdm_class=_bar(name, before, total, watch),
            )  # fmt: skip
        if path.stat().st_size != size:
            raise HubError(f"The file {name} of {wanted.repository} arrived with another size.", "Pull it again.")
        before += size
        if watch.listen:
            watch.listen(name, before, total)


def _one_file(home: Path, wanted: Wanted, listing: tuple[str, dict[str, int]], file: str, watch: _Watch) -> Path:
    sha, sizes = listing
    if file not in sizes:
        similar = [each for each in sizes if each.endswith((".safetensors", ".gguf"))]
        raise HubError(f"{wanted.repository} has no file {file!r}.", f"It has {', '.join(sorted(similar)[:8])}.")
    if not file.endswith((".safetensors", ".gguf")):
        raise HubError(f"{file} is no safetensors or GGUF file.", "Only these are downloaded.")
    stage = home / "files" / wanted.repository.replace("/", "--")
    _check_space(stage, sizes[file])
    _fetch(wanted, sha, stage, {file: sizes[file]}, watch)
    shutil.rmtree(stage / ".cache", ignore_errors=True)
    try:
        read(stage / file)
    except ModelError:
        (stage / file).unlink()  # what is damaged would be taken for done the next time
        raise
    return stage / file


def _bar(name: str, before: int, total: int, watch: _Watch) -> type[Any]:
    """A progress bar for the hub's client that draws nothing and tells the listener."""
    from tqdm import tqdm

    class Bar(tqdm):  # type: ignore[type-arg]
        def __init__(self, *arguments: Any, **options: Any) -> None:
            self.so_far = int(options.get("initial") or 0)  # bytes of an earlier try
            super().__init__(
                *arguments, **{key: value for key, value in options.items() if key != "name"} | {"disable": True}
            )

        def update(self, n: float | None = 1) -> bool | None:
            if watch.cancelled():
                raise Cancelled("The download was stopped.", "Pull it again: it goes on where it stopped.")
            self.so_far += int(n or 0)
            if watch.listen:
                watch.listen(name, min(before + self.so_far, total), total)
            return None

    return Bar


def _check_space(folder: Path, needed: int) -> None:
    existing = next(each for each in (folder, *folder.parents) if each.exists())
    free = shutil.disk_usage(existing).free
    if needed > free:
        raise InstallError(
            f"The download needs {needed / 1e9:.1f} GB, and {existing} has {free / 1e9:.1f} GB free.",
            "Free some space, or set WORKBENCH_HOME to another disk.",
        )


def _endpoint() -> str | None:
    return os.environ.get("HF_ENDPOINT") or None


@contextmanager
def _explained(wanted: Wanted) -> Iterator[None]:
    """The hub client's errors as one sentence each."""
    try:
        from huggingface_hub import errors
    except ModuleNotFoundError:
        raise HubError(
            "Downloading needs the package huggingface_hub.", "Install it: pip install huggingface_hub."
        ) from None
    if os.environ.get("HF_HUB_OFFLINE", "").upper() in ("1", "TRUE", "YES", "ON"):
        raise HubError(f"{wanted.name} cannot be downloaded: HF_HUB_OFFLINE is set.", "Unset it to use the network.")
    try:
        yield
    except errors.GatedRepoError:
        raise HubError(
            f"The model {wanted.repository} is gated: its authors let it be downloaded with an account only.",
            f"Accept its licence at {wanted.page}, then run `hf auth login` or set HF_TOKEN.",
        ) from None
    except errors.RepositoryNotFoundError:
        raise HubError(
            f"There is no model {wanted.repository} on the hub, or it is private.",
            "Check the name; for a private one run `hf auth login`.",
        ) from None
    except errors.RevisionNotFoundError:
        raise HubError(
            f"{wanted.repository} has no revision {wanted.revision!r}.", f"See {wanted.page}/commits/main."
        ) from None
    except errors.OfflineModeIsEnabled:
        raise HubError(
            f"{wanted.name} cannot be downloaded: the hub client is offline.", "Unset HF_HUB_OFFLINE."
        ) from None
    except errors.HfHubHTTPError as error:
        status = getattr(error.response, "status_code", "an error")
        raise HubError(f"The hub answered {status} for {wanted.name}.", "Try again later.") from None
    except OSError as error:
        if isinstance(error, ConnectionError | TimeoutError) or "onnect" in type(error).__name__:
            raise HubError(*_unreachable(wanted)) from None
        raise InstallError(
            f"The download of {wanted.name} cannot be written: {error.strerror or error}.",
            "Free space or permissions there; what has arrived is kept.",
        ) from None
    except Exception as error:
        if type(error).__module__.startswith(("httpx", "httpcore", "requests", "urllib3")):
            raise HubError(*_unreachable(wanted)) from None
        raise


def _unreachable(wanted: Wanted) -> Sequence[str]:
    return (
        f"The hub cannot be reached, so {wanted.name} was not downloaded.",
        "Check the connection and run it again: it goes on where it stopped.",
    )
