"""`workbench doctor`: what a person who helps needs to know, without secrets and without the user's name in paths.

Nothing is changed: the database is opened for reading and not brought up to date.
"""

from __future__ import annotations

import importlib
import os
import platform
import shutil
import sys
from collections.abc import Iterator
from importlib import metadata
from pathlib import Path
from typing import Any
from urllib.parse import quote

from workbench.checks import SECTIONS, Check, section
from workbench.errors import WorkbenchError
from workbench.redaction import redact, redact_all
from workbench.settings import Settings, files, origins, shown
from workbench.store.leftovers import find

PARTS = ("workbench.models.doctor", "workbench.engine.doctor")
"""Modules that add sections of their own."""

PACKAGES = (
    "flux-workbench", "torch", "diffusers", "transformers", "accelerate", "peft", "safetensors", "tokenizers", "numpy",
    "pillow", "pydantic", "sqlalchemy", "alembic", "ipywidgets", "anywidget", "jupyterlab",
)  # fmt: skip
LOW_DISK = 5 * 10**9  # bytes: a few thousand pictures
MAX_ENTRIES = 300_000  # files counted in a folder
_GB = 1e9


def examine(settings: Settings) -> dict[str, list[Check]]:
    """Every section with its checks, redacted.

    A section that fails is one line that says so, and the others go on.
    """
    for name in PARTS:
        importlib.import_module(name)
    report: dict[str, list[Check]] = {}
    for title, look in SECTIONS.items():
        try:
            found = list(look(settings))
        except WorkbenchError as error:
            found = [Check(error.code, error.message, "error", error.remedy)]
        except Exception as error:  # noqa: BLE001 - a doctor who faints helps nobody
            found = [Check(type(error).__name__, str(error), "error", "Please report this.")]
        report[title] = [Check(redact(one.name), redact(one.value), one.state, redact(one.remedy)) for one in found]
    return report


def as_json(report: dict[str, list[Check]]) -> dict[str, Any]:
    """JSON values of a report."""
    sections = {
        title: [{"name": one.name, "value": one.value, "state": one.state, "remedy": one.remedy} for one in checks]
        for title, checks in report.items()
    }
    return {"state": worst(report), "sections": redact_all(sections)}


def worst(report: dict[str, list[Check]]) -> str:
    """`ok`, `warning` or `error`: the worst state of all checks."""
    states = {one.state for checks in report.values() for one in checks}
    return next((state for state in ("error", "warning") if state in states), "ok")


@section("versions")
def _versions(_settings: Settings) -> Iterator[Check]:
    yield Check("python", platform.python_version())
    yield Check("system", platform.platform())
    for name in PACKAGES:
        try:
            yield Check(name, metadata.version(name))
        except metadata.PackageNotFoundError:
            wanted = name in ("flux-workbench", "torch", "diffusers", "transformers")
            remedy = "Install flux-workbench again." if wanted else ""
            yield Check(name, "not installed", "error" if wanted else "ok", remedy)


@section("device")
def _device(settings: Settings) -> Iterator[Check]:
    import torch

    yield Check("setting", settings.device)
    yield Check("CPU", f"{os.cpu_count()} cores, {torch.get_num_threads()} threads used by torch")
    if torch.cuda.is_available():
        for number in range(torch.cuda.device_count()):
            free, total = torch.cuda.mem_get_info(number)
            value = f"{torch.cuda.get_device_name(number)}, {free / _GB:.1f} of {total / _GB:.1f} GB free"
            yield Check(f"cuda:{number}", value)
        yield Check("CUDA", str(torch.version.cuda))
    else:
        asked = settings.device.startswith("cuda")
        remedy = "Install the CUDA build of torch, or set the device to auto." if asked else ""
        yield Check("CUDA", "not available", "error" if asked else "ok", remedy)
    if sys.platform == "darwin":
        yield Check("MPS", "available" if torch.backends.mps.is_available() else "not available")


@section("memory")
def _memory(_settings: Settings) -> Iterator[Check]:
    sizes = {}
    source = Path("/proc/meminfo")
    if source.is_file():
        lines = (line.partition(":") for line in source.read_text(encoding="ascii", errors="replace").splitlines())
        sizes = {name: int(rest.split()[0]) * 1024 for name, _, rest in lines if rest.strip()[:1].isdigit()}
    elif hasattr(os, "sysconf"):
        sizes["MemTotal"] = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for name, label in (("MemTotal", "in all"), ("MemAvailable", "available")):
        if name in sizes:
            yield Check(label, f"{sizes[name] / _GB:.1f} GB")
    if not sizes:
        yield Check("in all", "not known on this system")


@section("disk")
def _disk(settings: Settings) -> Iterator[Check]:
    home = settings.home
    yield Check("home", str(home) if home.is_dir() else f"{home} (not made yet)")
    there = next(folder for folder in (home, *home.parents) if folder.is_dir())
    free = shutil.disk_usage(there).free
    low = free < LOW_DISK
    yield Check("free", f"{free / _GB:.1f} GB", "warning" if low else "ok", "Free some disk space." if low else "")
    writable = os.access(there, os.W_OK)
    remedy = "" if writable else "Allow writing to it, or set WORKBENCH_HOME to another folder."
    yield Check("writable", "yes" if writable else "no", "ok" if writable else "error", remedy)
    for name in ("pictures", "models", "adapters", "cache", "runs"):
        if (home / name).is_dir():
            count, size = _count(home / name)
            more = "at least " if count >= MAX_ENTRIES else ""
            yield Check(name, f"{more}{count} files, {size / _GB:.2f} GB")
    if left := find(home):
        value = f"{len(left)} files, {sum(each.bytes for each in left) / _GB:.2f} GB"
        yield Check("left by killed programs", value, "warning", "`workbench gallery refresh` removes them.")


@section("database")
def _database(settings: Settings) -> Iterator[Check]:
    from sqlalchemy import create_engine, func, inspect, make_url, select, table
    from sqlalchemy.exc import ArgumentError, NoSuchModuleError

    from workbench.store import migrations
    from workbench.store.database import explained

    path = settings.home / "workbench.sqlite"
    if settings.database is None and not path.is_file():
        yield Check("file", "none yet; it is made with the first picture")
        return
    url = settings.database or f"sqlite:///file:{quote(str(path))}?mode=ro&uri=true"
    try:
        engine = create_engine(url)
    except (ArgumentError, NoSuchModuleError, ModuleNotFoundError) as error:
        yield Check("address", redact(str(error)), "error", "Correct the setting 'database', or install its driver.")
        return
    try:
        yield Check("kind", make_url(url).get_backend_name())
        with explained(engine), engine.connect() as connection:
            revision = migrations.revision_of(connection)
            current = revision == migrations.head()
            remedy = "" if current else "Nothing to do: it is brought up to date when the workbench opens it."
            yield Check("schema", f"{revision} of {migrations.head()}", "ok" if current else "warning", remedy)
            if engine.dialect.name == "sqlite":
                yield Check("size", f"{path.stat().st_size / 1e6:.1f} MB" if settings.database is None else "")
                yield Check("journal", str(connection.exec_driver_sql("PRAGMA journal_mode").scalar()))
                sound = str(connection.exec_driver_sql("PRAGMA quick_check(1)").scalar())
                remedy = "" if sound == "ok" else "Restore a copy, or delete it: pictures' files restore their rows."
                yield Check("integrity", sound, "ok" if sound == "ok" else "error", remedy)
            for name in sorted(inspect(connection).get_table_names()):
                rows = connection.scalar(select(func.count()).select_from(table(name)))
                yield Check(f"rows in {name}", str(rows))
    finally:
        engine.dispose()


@section("models")
def _models(settings: Settings) -> Iterator[Check]:
    from workbench.models.catalog import ModelCatalog

    catalog = ModelCatalog(settings.home, settings.models, device="cpu")
    for model in catalog.models():
        yield Check(model.name, f"{model.family.name}, {model.parameters / 1e6:.1f} M parameters")
    for name, error in catalog.broken().items():
        yield Check(name, error.message, "warning", error.remedy)
    yield Check("adapters", str(len(catalog.adapters())))


@section("extras")
def _extras(_settings: Settings) -> Iterator[Check]:
    from workbench._capabilities import features

    for name, feature in features().items():
        yield Check(name, "installed" if feature["available"] else f"lacks {', '.join(feature['missing'])}")


@section("settings")
def _settings_section(settings: Settings) -> Iterator[Check]:
    for one in origins():
        used = getattr(settings, one.name)
        value = None if used is None else shown(used)
        place = " ".join(filter(None, (one.source, one.place))) if value == one.value else "argument"
        yield Check(one.name, f"{'not set' if value is None else value} ({place})")
    for path in files():
        yield Check("file", f"{path}{'' if path.is_file() else ' (not there)'}")


def _count(folder: Path) -> tuple[int, int]:
    """Files below a folder and their bytes, links not followed."""
    count = size = 0
    for place, _, names in os.walk(folder):
        for name in names:
            count += 1
            try:
                size += os.lstat(os.path.join(place, name)).st_size  # noqa: PTH118 - ten times as fast on large folders
            except OSError:
                continue  # gone since
            if count >= MAX_ENTRIES:
                return count, size
    return count, size
