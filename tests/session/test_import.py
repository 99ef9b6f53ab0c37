from __future__ import annotations

import os
import subprocess
import sys

import pytest

import workbench

HEAVY = {"torch", "pandas", "matplotlib", "diffusers", "transformers", "numpy", "sqlalchemy", "ipywidgets", "IPython"}


def _modules_after(statement: str) -> set[str]:
    code = f"import sys\n{statement}\nprint(*sys.modules)"
    done = subprocess.run(
        [sys.executable, "-c", code],
        check=True,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    return {name.partition(".")[0] for name in done.stdout.splitlines()[-1].split()}


def test_importing_the_package_brings_in_nothing_heavy() -> None:
    assert not _modules_after("import workbench") & HEAVY


def test_help_brings_in_nothing_heavy() -> None:
    run = "from workbench.cli import app\ntry:\n    app(['generate', '--help'])\nexcept SystemExit:\n    pass"
    assert not _modules_after(run) & HEAVY


def test_a_session_starts_without_torch() -> None:
    run = "import tempfile, workbench\nworkbench.Session(home=tempfile.mkdtemp(), device='cpu').estimate([])"
    assert not _modules_after(run) & {"torch", "pandas", "matplotlib", "diffusers", "transformers"}


@pytest.mark.parametrize("name", [name for name in workbench.__all__ if name != "__version__"])
def test_every_promised_name_is_there(name: str) -> None:
    value = getattr(workbench, name)
    assert value.__name__ == name
    assert name in dir(workbench)


def test_other_names_are_not() -> None:
    with pytest.raises(AttributeError, match="no attribute 'Gird'"):
        workbench.Gird  # noqa: B018


def test_the_version_is_the_distribution_s() -> None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        installed = version("flux-workbench")
    except PackageNotFoundError:
        pytest.skip("the package is not installed")
    assert workbench.__version__ == installed
