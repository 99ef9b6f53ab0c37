"""The wheel holds all that a user needs, and the console scripts start."""

from __future__ import annotations

import subprocess
import sys
import tomllib
import zipfile
from importlib import import_module
from pathlib import Path

import pytest

import workbench

ROOT = Path(__file__).parents[2]
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
PACKAGES = ("workbench", "finetune", "evals")
DATA = (".safetensors", ".json", ".jinja", ".txt", ".html", ".css", ".js", ".yaml", ".md")


@pytest.fixture(scope="session")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    command = [sys.executable, "-m", "pip", "wheel", "--no-deps", "--no-build-isolation", "-qq", "-w", str(folder), "."]
    subprocess.run(command, cwd=ROOT, check=True, capture_output=True)
    (path,) = folder.glob("flux_workbench-*.whl")
    return path


def test_wheel_holds_every_module_and_data_file(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        packed = {name: archive.getinfo(name).file_size for name in archive.namelist()}
    wanted = {
        str(path.relative_to(ROOT)): path.stat().st_size
        for package in PACKAGES
        for path in (ROOT / package).rglob("*")
        if path.is_file() and path.suffix in (".py", *DATA) and not path.name.startswith(".")
    }
    assert wanted.items() <= packed.items()
    assert {Path(name).suffix for name in wanted} >= {".py", ".safetensors", ".json", ".js", ".css"}


def test_wheel_holds_nothing_else(wheel: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.split("/")[0] for name in archive.namelist()}
        licences = [name for name in archive.namelist() if name.endswith("/LICENSE")]
    assert tops == {*PACKAGES, f"flux_workbench-{PROJECT['version']}.dist-info"}
    assert len(licences) == 1


def test_embedded_weights_stay_below_40_megabytes() -> None:
    weights = ROOT / "workbench" / "nano" / "weights"
    assert 0 < sum(path.stat().st_size for path in weights.rglob("*") if path.is_file()) < 40_000_000


def test_version_is_said_once() -> None:
    assert workbench.__version__ == PROJECT["version"]


@pytest.mark.parametrize("name", sorted(PROJECT["scripts"]))
def test_console_script_names_a_function_that_answers(name: str) -> None:
    module, function = PROJECT["scripts"][name].split(":")
    assert callable(getattr(import_module(module), function))
    code = f"from {module} import {function}; {function}()"
    done = subprocess.run([sys.executable, "-c", code, "--help"], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "Usage:" in done.stdout


@pytest.mark.parametrize("package", PACKAGES)
def test_importing_a_package_brings_in_nothing_heavy(package: str) -> None:
    code = f"import sys, {package}; print(*{{'torch', 'diffusers', 'pandas', 'matplotlib'}} & sys.modules.keys())"
    done = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True)
    assert done.stdout.split() == []
