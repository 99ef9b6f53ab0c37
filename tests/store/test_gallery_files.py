"""Trash, export and lineage, also when the disk is full, the database is locked, or a crash comes in between."""

from __future__ import annotations

import hashlib
import json
import os
import resource
import signal
import sqlite3
import subprocess
import sys
import zipfile
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from safetensors.numpy import save_file

from workbench.errors import StoreError
from workbench.models.inputs import Inputs
from workbench.recipe import Adapter, Recipe
from workbench.recipe.conditions import Reference
from workbench.store import Store, Stored, read_picture
from workbench.store.errors import GalleryError
from workbench.store.export import export_zip
from workbench.store.gallery import Gallery

HERE = Path(__file__).parent


@pytest.fixture
def gallery(tmp_path: Path, make_result: Any) -> Gallery:
    store = Store(tmp_path / "home")
    for seed in range(3):
        store.add(make_result(seed, f"Prompt № {seed}: a red circle / square"))
    return Gallery(store)


def test_deleted_pictures_wait_in_the_trash(gallery: Gallery, make_result: Any) -> None:
    kept, gone = gallery.digests()[:1], gallery.digests()[1:]
    gallery.tag(gone, "good")
    assert gallery.delete(gone) == 2
    assert gallery.delete(gone) == 0
    assert gallery.digests() == kept
    assert gallery.digests("is:trash") == gone
    assert gallery.digests("-is:trash") == kept
    assert gallery.store.known([*kept, *gone]) == set(kept)
    assert [stored.digest for stored in gallery.store.recent(10)] == kept
    assert gallery.tags() == {}
    assert gallery.show(gone[0]).path.is_file()
    assert gallery.thumbnail(gone[0])
    assert gallery.picture(gone[0]).size == (64, 64)
    assert gallery.restore(gone[:1]) == 1
    assert gallery.restore(gone[:1]) == 0
    assert gallery.digests() == [*kept, gone[0]]
    assert gallery.show(gone[0]).tags == ("good",)
    assert gallery.store.get(gone[0]) is not None
    assert gallery.empty_trash() == 1
    assert gallery.empty_trash() == 0
    with pytest.raises(GalleryError):
        gallery.show(gone[1])
    assert [path.stem for path in gallery.store.home.rglob("*.png")].count(gone[1]) == 0
    assert not list(gallery.store.home.rglob(f"{gone[1]}*"))
    assert gallery.search().total == 2


def test_a_picture_of_the_trash_that_is_made_again_is_out_of_it(gallery: Gallery, make_result: Any) -> None:
    result = make_result(1, "Prompt № 1: a red circle / square")
    gallery.star([result.digest])
    gallery.delete([result.digest])
    gallery.store.add(result)
    assert result.digest in gallery.digests("star")
    gallery.empty_trash()
    assert gallery.show(result.digest).path.is_file()


def test_a_crash_between_row_and_file_is_mended_by_either_way_out(
    gallery: Gallery, monkeypatch: pytest.MonkeyPatch
) -> None:
    first, second = gallery.digests()[:2]
    with monkeypatch.context() as patch:
        patch.setattr("workbench.store.trash._move", lambda *_: None)
        gallery.delete([first, second])
    assert gallery.store.path(first).is_file()
    assert gallery.search().total == 1
    assert gallery.show(first).path.is_file()
    gallery.restore([first])
    assert gallery.show(first).path.is_file()
    assert gallery.empty_trash() == 1
    assert not gallery.store.path(second).exists()


def test_a_zip_file_holds_pictures_and_what_is_known_of_them(gallery: Gallery, tmp_path: Path) -> None:
    digests = gallery.digests(sort="created")
    gallery.tag(digests[:1], "good")
    told: list[tuple[int, int]] = []
    path = export_zip(gallery, digests, tmp_path / "out.zip", lambda done, of: told.append((done, of)))
    assert told == [(1, 3), (2, 3), (3, 3)]
    with zipfile.ZipFile(path) as file:
        assert file.testzip() is None
        names = file.namelist()
        index = json.loads(file.read("index.json"))
        assert [each["digest"] for each in index] == digests
        assert names[0] == f"1-prompt-0-a-red-circle-square-{digests[0][:12]}.png"
        facts = json.loads(file.read(names[1]))
        file.extract(names[0], tmp_path)
    assert Recipe.parse(facts["recipe"]) == gallery.show(digests[0]).recipe
    assert (facts["tags"], facts["file"]) == (["good"], names[0])
    assert str(tmp_path) not in json.dumps(facts)
    assert read_picture(tmp_path / names[0])[1]["digest"] == digests[0]


def test_an_export_that_fails_leaves_nothing(gallery: Gallery, tmp_path: Path) -> None:
    target = tmp_path / "there" / "out.zip"
    with pytest.raises(StoreError, match="Make the folder first"):
        gallery.export(gallery.digests(), target)
    target.parent.mkdir()
    target.write_bytes(b"old")
    gallery.show(gallery.digests()[1]).path.unlink()
    with pytest.raises(StoreError, match="is gone"):
        gallery.export(gallery.digests(), target)
    assert [path.name for path in target.parent.iterdir()] == ["out.zip"]
    assert target.read_bytes() == b"old"


FILL = """
import resource, signal, sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import make_result
from workbench.errors import StoreError
from workbench.store import Store, read_picture
from workbench.store.gallery import Gallery
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)  # a write beyond the limit is then an error, as on a full disk
gallery = Gallery(Store(Path(sys.argv[1])))
first = gallery.store.add(make_result(1)).digest
gallery.store._engine.dispose()
before = resource.getrlimit(resource.RLIMIT_FSIZE)
what = sys.argv[3]
size = (Path(sys.argv[1]) / "workbench.sqlite").stat().st_size
resource.setrlimit(resource.RLIMIT_FSIZE, ({"picture": 4096, "export": 4096, "database": size + 20_000}[what], before[1]))
try:
    if what == "picture":
        gallery.store.add(make_result(2))
    elif what == "export":
        gallery.export([first], Path(sys.argv[1]) / "out.zip")
    else:
        for number in range(400):
            gallery.note([first], f"{number} " * 1500)
except StoreError as error:
    print(error)
else:
    raise SystemExit("nothing was full")
resource.setrlimit(resource.RLIMIT_FSIZE, before)
files = sorted(path.name for path in Path(sys.argv[1]).rglob("*") if path.is_file() and "sqlite" not in path.name)
assert [name for name in files if name.endswith(".png")] == [f"{first}.png"], files
assert not [name for name in files if name.endswith((".tmp", ".zip"))], files
gallery = Gallery(Store(Path(sys.argv[1])))
assert gallery.digests() == [first]
gallery.note([first], "there is room again")
assert gallery.digests("room") == [first]
assert gallery.store.add(make_result(2)).open().size == (64, 64)
"""


@pytest.mark.skipif(not hasattr(signal, "SIGXFSZ"), reason="this system has no limit on the size of files")
@pytest.mark.parametrize("what", ["picture", "export", "database"])
def test_a_disk_that_fills_in_the_middle_of_a_write(tmp_path: Path, what: str) -> None:
    assert resource.RLIMIT_FSIZE is not None
    done = subprocess.run(
        [sys.executable, "-c", FILL, str(tmp_path / "home"), str(HERE), what],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    assert done.returncode == 0, done.stderr
    assert "Cannot write" in done.stdout or "cannot be used" in done.stdout


def test_a_locked_database_loses_no_picture(gallery: Gallery, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("workbench.store.database.BUSY_SECONDS", 0.05)
    impatient = Gallery(Store(gallery.store.home))
    holder = sqlite3.connect(gallery.store.home / "workbench.sqlite", isolation_level=None)
    holder.execute("BEGIN IMMEDIATE")
    first = impatient.digests()[0]
    for act in (impatient.delete, impatient.star, lambda digests: impatient.tag(digests, "x")):
        with pytest.raises(StoreError, match="locked"):
            act([first])
    assert impatient.store.path(first).is_file()
    assert impatient.search().total == 3  # reading goes on
    holder.execute("ROLLBACK")
    holder.close()
    assert impatient.delete([first]) == 1


def _adapter(home: Path, name: str, metadata: dict[str, str]) -> str:
    import numpy as np

    path = home / "adapters" / f"{name}.safetensors"
    path.parent.mkdir(exist_ok=True)
    save_file({"x": np.zeros(2, np.float32)}, path, metadata)
    return hashlib.sha256(path.read_bytes()).hexdigest()


def _add(store: Store, result: Any, fingerprints: tuple[str, ...] = (), **fields: Any) -> Stored:
    recipe = result.resolved.recipe.replace(**fields)
    resolved = result.resolved.model_copy(update={"recipe": recipe, "adapter_weights": fingerprints})
    return store.add(replace(result, recipe=recipe, resolved=resolved))


def test_lineage_goes_to_the_data_and_the_sources(gallery: Gallery, make_result: Any) -> None:
    home, store = gallery.store.home, gallery.store
    known = _adapter(home, "ink", {
        "workbench.run": "ink-run", "workbench.base_model": "klein", "ss_steps": "500",
        "workbench.data": '["shapes"]', "workbench.data_examples": "24", "workbench.data_fingerprint": "ab12",
    })  # fmt: skip
    parent = _add(store, make_result(10), (known,), adapters=(Adapter(name="ink", weight=0.5),))
    content = Inputs(home).add(parent.open()).digest
    child = _add(store, make_result(11), references=(Reference(picture=content),), image="77" * 32, strength=0.5)
    grandchild = _add(store, make_result(12), image=Inputs(home).add(child.open()).digest, strength=0.5)

    found = gallery.lineage(grandchild.digest)
    assert list(found.parents) == [child.digest]
    above = found.parents[child.digest]
    assert [(each.role, each.made_here) for each in above.sources] == [("reference", (parent.digest,)), ("image", ())]
    assert above.sources[0].path is not None
    assert above.sources[1].path is None
    assert above.children == (grandchild.digest,)
    (adapter,) = above.parents[parent.digest].adapters
    assert adapter.path == home / "adapters" / "ink.safetensors"
    assert adapter.facts["data"] == ["shapes"]
    assert adapter.sentence() == "adapter ink x 0.5: run ink-run, data shapes (24 pictures), 500 steps, on klein"
    text = found.to_text()
    assert [line for line in text.splitlines() if "data shapes" in line]
    assert json.dumps(found.to_dict())
    assert gallery.lineage(parent.digest).children == (child.digest,)

    _adapter(home, "ink", {"workbench.run": "another"})  # replaced under its name: no longer the one that acted
    (adapter,) = gallery.lineage(parent.digest).adapters
    assert (adapter.path, dict(adapter.facts)) == (None, {})
    assert "not here any more" in adapter.sentence()


def test_lineage_asks_the_run_where_the_file_says_less(gallery: Gallery, make_result: Any) -> None:
    home = gallery.store.home
    known = _adapter(home, "old", {"workbench.run": "toy"})
    (home / "runs" / "toy").mkdir(parents=True)
    (home / "runs" / "toy" / "data.json").write_text('{"examples": {"a": {}, "b": {}}}')
    stored = _add(gallery.store, make_result(10), (known,), adapters=(Adapter(name="old", weight=1.0),))
    (adapter,) = gallery.lineage(stored.digest).adapters
    assert adapter.facts == {"run": "toy", "data_examples": 2}


def test_pictures_that_are_their_own_ancestors_end(gallery: Gallery, make_result: Any) -> None:
    """Not possible by drawing, but a database may say anything."""
    store = gallery.store
    one = _add(store, make_result(20))
    content = Inputs(store.home).add(one.open()).digest
    same = make_result(20)
    two = _add(store, same, image=content, strength=1.0)  # the same pixels again
    found = gallery.lineage(two.digest)
    assert one.digest in found.parents
    assert two.digest not in found.parents
