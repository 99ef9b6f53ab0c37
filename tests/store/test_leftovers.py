"""What a killed program leaves is taken away: only ours, only when it is old."""

from __future__ import annotations

import os
import re
import subprocess
import sys
import time
from pathlib import Path

import pytest
from PIL import Image

import workbench
from workbench.errors import StoreError
from workbench.store import Store
from workbench.store.gallery import Gallery
from workbench.store.leftovers import OLD, find, sweep
from workbench.store.refresh import refresh

KILLED = """
import os, sys
from pathlib import Path
from workbench.store import files

files.os.fsync = lambda _: os._exit(9)  # the program ends here, in the middle of a write
files.write_atomically(Path(sys.argv[1]), b"x" * 1000)
"""


def aged(path: Path, seconds: float = OLD + 60) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    if not path.exists():
        path.write_bytes(b"x")
    moment = time.time() - seconds
    os.utime(path, (moment, moment))
    return path


def test_a_write_that_was_killed_leaves_a_file_that_is_swept_when_it_is_old(tmp_path: Path) -> None:
    folder = tmp_path / "pictures" / "ab"
    folder.mkdir(parents=True)
    done = subprocess.run([sys.executable, "-c", KILLED, str(folder / "abcd.png")], check=False)
    assert done.returncode == 9
    (left,) = list(folder.iterdir())
    assert left.name.startswith(".abcd.png.")
    assert find(tmp_path) == []  # another program may still be at it
    aged(left)
    (found,) = sweep(tmp_path)
    assert (found.path, found.bytes) == (left, 1000)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    "name",
    ["pictures/ab/.x.png.{0}.tmp", "cache/texts/ab/.tensor-abcd_012", "inputs/ab/.input-abcd0123", "trash/ab/.x.{0}.tmp",
     "cache/.file-hashes-abcdefgh", ".workbench.yaml.{0}.tmp", "runs/one/.run.json.{0}.tmp"],
)  # fmt: skip
def test_names_that_are_ours(tmp_path: Path, name: str) -> None:
    path = aged(tmp_path / name.format("0123456789abcdef" * 2))
    assert [each.path for each in sweep(tmp_path)] == [path]
    assert not path.exists()


def test_every_temporary_file_of_the_code_is_known(tmp_path: Path) -> None:
    """A module that writes under another hidden name has to add it to what is swept."""
    sources = (Path(workbench.__file__).parent).rglob("*.py")
    prefixes = {name for source in sources for name in re.findall(r'mkstemp\(.*prefix="([^"]+)"', source.read_text())}
    assert {".tensor-", ".caption-", ".input-", ".file-hashes-"} <= prefixes
    written = {aged(tmp_path / "cache" / f"{prefix}abcd_012") for prefix in prefixes}
    assert {each.path for each in sweep(tmp_path)} == written


def test_what_is_not_ours_or_not_old_stays(tmp_path: Path) -> None:
    unique = "0123456789abcdef" * 2
    stays = [
        aged(tmp_path / "pictures" / "ab" / "abcd.png"),
        aged(tmp_path / "pictures" / f"x.{unique}.tmp"),  # not hidden
        aged(tmp_path / "pictures" / ".x.0123.tmp"),
        aged(tmp_path / "pictures" / ".gitignore"),
        aged(tmp_path / "elsewhere" / f".x.{unique}.tmp"),
        aged(tmp_path / "models" / "mine" / f".x.{unique}.tmp"),
        aged(tmp_path / "models" / ".pulling" / "a--b@0123" / "model_index.json"),  # the next pull goes on with it
        aged(tmp_path / "cache" / f".young.{unique}.tmp", seconds=OLD - 60),
    ]
    target = aged(tmp_path / "kept.txt")
    link = tmp_path / "pictures" / f".link.{unique}.tmp"
    link.symlink_to(target)
    (tmp_path / "pictures" / "linked").symlink_to(tmp_path / "elsewhere", target_is_directory=True)
    assert sweep(tmp_path) == []
    assert all(path.exists() for path in (*stays, target, link))
    assert sweep(tmp_path / "nowhere") == []


def test_models_that_were_being_installed_go_as_folders(tmp_path: Path) -> None:
    for name, seconds in (
        (".incoming-abcd0123", OLD + 60),
        (".removed-abcd0123", OLD + 60),
        (".incoming-young_01", 10),
    ):
        aged(tmp_path / "models" / name / "model" / "config.json", seconds)
        aged(tmp_path / "models" / name / "model", seconds)
        aged(tmp_path / "models" / name, seconds)
    assert [each.path.name for each in sweep(tmp_path)] == [".incoming-abcd0123", ".removed-abcd0123"]
    assert [path.name for path in (tmp_path / "models").iterdir()] == [".incoming-young_01"]


def test_refreshing_the_gallery_sweeps(tmp_path: Path) -> None:
    store = Store(tmp_path)
    aged(tmp_path / "pictures" / "ab" / f".x.png.{'0123456789abcdef' * 2}.tmp")
    assert refresh(Gallery(store)).swept == 1
    assert refresh(Gallery(store)).swept == 0


def test_a_picture_that_is_kept_needs_its_facts(tmp_path: Path) -> None:
    store = Store(tmp_path)
    with pytest.raises(KeyError):
        store.keep(Image.new("RGB", (16, 16)), {"digest": "0" * 64})
    assert not list(tmp_path.glob("pictures/*/*"))
    with pytest.raises(StoreError):
        Gallery(store).thumbnail("0" * 64)
