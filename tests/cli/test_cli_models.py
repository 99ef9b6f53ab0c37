from __future__ import annotations

import json
from pathlib import Path
from typing import Any

from workbench.models.identify.stripped import expand

NANO = Path(__file__).parents[2] / "workbench" / "nano" / "weights" / "klein-nano"


def test_a_file_is_described(cli: Any, tmp_path: Path) -> None:
    vae = NANO / "vae" / "diffusion_pytorch_model.safetensors"
    done = cli("models", "inspect", str(vae))
    assert done.exit_code == 0
    assert "vae" in done.stdout
    (row,) = json.loads(cli("models", "inspect", str(vae), "--json").stdout)
    assert (row["kind"], row["layout"], row["precision"]) == ("vae", "diffusers", "float32")
    out = tmp_path / "stripped.json"
    assert cli("models", "inspect", str(vae), "--strip", str(out)).exit_code == 0
    assert len(expand(json.loads(out.read_text())).tensors) == row["tensors"]


def test_several_files_are_a_table_and_an_unknown_one_is_a_no(cli: Any, tmp_path: Path) -> None:
    unknown = tmp_path / "unknown.safetensors"
    unknown.write_bytes((2).to_bytes(8, "little") + b"{}")
    transformer = NANO / "transformer" / "diffusion_pytorch_model.safetensors"
    done = cli("models", "inspect", str(unknown), str(transformer))
    assert done.exit_code == 1
    assert "Not recognised" in done.stdout
    assert "FLUX.2 transformer" in done.stdout
    assert cli("models", "inspect", str(unknown), str(transformer), "--strip", "x.json").exit_code == 2


def test_a_damaged_file_is_one_line(cli: Any, tmp_path: Path) -> None:
    (tmp_path / "empty.safetensors").touch()
    done = cli("models", "inspect", str(tmp_path / "empty.safetensors"))
    assert done.exit_code == 2
    assert done.stderr.startswith("Error: ")
    assert "is empty" in done.stderr
    assert len(done.stderr.splitlines()) == 1


def test_list_is_the_same_as_no_command(cli: Any) -> None:
    assert cli("models", "list", "--json").stdout == cli("models", "--json").stdout
