"""pyproject.toml, constraints.txt and environment.yml say the same; nothing forbidden comes in."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from importlib.metadata import distributions, packages_distributions
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import pytest
import yaml
from packaging.requirements import Requirement
from packaging.utils import NormalizedName, canonicalize_name
from packaging.version import Version

ROOT = Path(__file__).parents[2]
PROJECT: dict[str, Any] = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
FORBIDDEN = ("torchvision", "torchaudio")


def requirements(*extras: str) -> list[Requirement]:
    """The project's requirements, with those of `extras`, extras of extras included."""
    found = [Requirement(text) for text in PROJECT["dependencies"]]
    for extra in extras:
        for text in PROJECT["optional-dependencies"][extra]:
            requirement = Requirement(text)
            if requirement.name == PROJECT["name"]:
                found += requirements(*requirement.extras)
            else:
                found.append(requirement)
    return found


def pins() -> dict[NormalizedName, Version]:
    lines = (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
    parsed = [Requirement(line) for line in lines if line and not line.startswith("#")]
    assert all(len(each.specifier) == 1 and str(each.specifier).startswith("==") for each in parsed)
    return {canonicalize_name(each.name): Version(str(each.specifier)[2:]) for each in parsed}


def test_every_requirement_is_pinned_within_its_bounds() -> None:
    pinned = pins()
    for requirement in requirements("dev"):
        assert requirement.specifier, f"{requirement.name} has no bound"
        assert requirement.specifier.contains(pinned[canonicalize_name(requirement.name)]), requirement


def test_constraints_are_universal() -> None:
    local = [name for name, version in pins().items() if version.local]
    assert not local, f"{local} would be installable on some machines only"


def test_constraints_pin_all_that_the_requirements_bring_in() -> None:
    installed = {canonicalize_name(each.name): each for each in distributions()}
    pinned = pins()
    todo = [canonicalize_name(each.name) for each in requirements("dev")]
    seen: set[NormalizedName] = set()
    while todo:
        name = todo.pop()
        if name in seen:
            continue
        seen.add(name)
        assert name in pinned, f"{name} is not in constraints.txt"
        needs = [Requirement(text) for text in installed[name].requires or ()]
        todo += [
            canonicalize_name(each.name) for each in needs if each.marker is None or each.marker.evaluate({"extra": ""})
        ]
    assert len(seen) > 100  # the walk has seen the whole tree


def test_installed_versions_are_the_pinned_ones() -> None:
    installed = {canonicalize_name(each.name): Version(each.version) for each in distributions()}
    different = {
        name: (str(installed[name]), str(version))
        for name, version in pins().items()
        if name in installed and Version(installed[name].public) != version
    }
    assert not different, f"installed, pinned: {different}; run 'make setup'"


@pytest.mark.parametrize("name", FORBIDDEN)
def test_no_torchvision_and_no_torchaudio(name: str) -> None:
    assert find_spec(name) is None
    assert name not in pins()
    assert name not in {each.name for each in requirements("dev")}


def test_torch_is_pinned_exactly() -> None:
    (torch,) = [each for each in requirements() if each.name == "torch"]
    assert str(torch.specifier) == "==2.13.0"


def test_conda_environment_installs_this_project_with_its_constraints() -> None:
    environment = yaml.safe_load((ROOT / "environment.yml").read_text(encoding="utf-8"))
    assert environment["name"] == PROJECT["name"]
    python, pip, by_pip = environment["dependencies"]
    assert Requirement(python).specifier == Requirement(f"python {PROJECT['requires-python']}").specifier
    assert pip == "pip"
    constraint, editable = by_pip["pip"]
    assert constraint == "--constraint constraints.txt"
    extras = re.fullmatch(r"--editable \.\[([a-z,]+)\]", editable)
    assert extras is not None
    assert set(extras[1].split(",")) == set(PROJECT["optional-dependencies"]) - {"dev"}


def test_every_import_is_a_declared_dependency() -> None:
    """What the packages import, at the top or inside functions, is in the dependencies or in their own extra."""
    owners = packages_distributions()
    extras = {"workbench": ("control", "postgres"), "finetune": ("train",), "evals": ("evals",)}
    undeclared = {}
    for path in sorted(path for package in extras for path in (ROOT / package).rglob("*.py")):
        declared = {canonicalize_name(each.name) for each in requirements(*extras[path.relative_to(ROOT).parts[0]])}
        for module in _imports(path):
            if module in sys.stdlib_module_names or module in extras:
                continue
            names = {canonicalize_name(name) for name in owners.get(module, ())}
            if not names & declared:
                undeclared[module] = str(path.relative_to(ROOT))
    assert not undeclared


def _imports(path: Path) -> set[str]:
    found = set()
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found
