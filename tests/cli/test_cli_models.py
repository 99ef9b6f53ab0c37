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


def test_a_file_is_added_on_top_of_a_model_and_removed(cli: Any, home: Path) -> None:
    vae = NANO / "vae" / "diffusion_pytorch_model.safetensors"
    transformer = NANO / "transformer" / "diffusion_pytorch_model.safetensors"
    done = cli("models", "add", str(transformer), "--base", "klein-nano-base", "--name", "mixed", "--json")
    assert done.exit_code == 0, done.stderr
    assert json.loads(done.stdout)["path"] == str(home / "models" / "mixed")
    assert "mixed" in {row["name"] for row in json.loads(cli("models", "--json").stdout)}
    again = cli("models", "add", str(vae), "--base", "klein-nano", "--name", "mixed")
    assert (again.exit_code, "already" in again.stderr) == (2, True)
    assert cli("models", "remove", "mixed").stdout.startswith("Removed mixed, 0.0")
    assert cli("models", "remove", "klein-nano").exit_code == 2


def test_pull_says_what_is_wrong_in_one_line(cli: Any, monkeypatch: Any) -> None:
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    done = cli("models", "pull", "black-forest-labs/FLUX.2-klein-4B")
    assert done.exit_code == 2
    assert done.stderr.startswith(
        "Error: black-forest-labs/FLUX.2-klein-4B cannot be downloaded: HF_HUB_OFFLINE is set. "
        "Unset it to use the network."
    )
    assert len(done.stderr.splitlines()) == 1
