from __future__ import annotations

import errno
import os
import shutil
import subprocess
import sys
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest

from workbench.engine.events import Result
from workbench.errors import SettingsError, StoreError
from workbench.recipe import Adapter, Recipe
from workbench.settings import settings
from workbench.store import Store, read_picture, work_units

HERE = Path(__file__).parent


def test_what_is_added_comes_back_whole(tmp_path: Path, make_result: Any) -> None:
    result = make_result(7, "ein „Wort“ → 红", adapters=(Adapter(name="ink", weight=0.5),))
    before = datetime.now(UTC)
    added = Store(tmp_path).add(result)
    stored = Store(tmp_path).get(result.digest)  # as another process would see it
    assert stored == added
    assert stored is not None
    assert stored.open().tobytes() == result.picture.tobytes()
    assert stored.recipe == result.resolved.recipe
    assert before <= stored.created <= datetime.now(UTC)
    assert (stored.seconds, stored.warnings, stored.fallbacks) == (result.seconds, result.warnings, result.fallbacks)
    assert (stored.environment, stored.peak_bytes) == (result.environment, 123)
    assert (stored.weights, stored.adapter_weights) == ("ab" * 32, ("cd" * 32,))
    assert stored.path == tmp_path / "pictures" / result.digest[:2] / f"{result.digest}.png"
    assert stored.file_bytes == stored.path.stat().st_size


def test_the_file_alone_says_how_it_was_made(tmp_path: Path, make_result: Any) -> None:
    stored = Store(tmp_path).add(make_result(3))
    metadata = read_picture(stored.path)[1]
    assert Recipe.parse(metadata["recipe"]) == stored.recipe
    for name in ("digest", "weights", "adapter_weights", "pixels", "environment", "seconds", "warnings", "version"):
        assert name in metadata


def test_a_row_whose_file_is_gone_counts_as_not_stored(tmp_path: Path, make_result: Any) -> None:
    store = Store(tmp_path)
    kept, gone = store.add(make_result(1)), store.add(make_result(2))
    gone.path.unlink()
    assert store.get(gone.digest) is None
    assert store.known([kept.digest, gone.digest, "0" * 64]) == {kept.digest}
    assert store.recent(10) == [kept]
    with pytest.raises(StoreError, match="There is no file"):
        gone.open()
    assert store.add(make_result(2)).open().size == (64, 64)
    assert len(store.recent(10)) == 2


def test_a_file_without_a_row_is_indexed_again(tmp_path: Path, make_result: Any) -> None:
    stored = Store(tmp_path).add(make_result(1))
    for file in tmp_path.glob("workbench.sqlite*"):
        file.unlink()
    store = Store(tmp_path)
    assert store.recent(10) == []
    assert store.known([stored.digest]) == {stored.digest}
    assert store.get(stored.digest) == stored
    assert store.recent(10) == [stored]


def test_a_file_under_a_false_name_is_not_believed(tmp_path: Path, make_result: Any) -> None:
    store = Store(tmp_path)
    stored = store.add(make_result(1))
    false = store.path("f" * 64)
    false.parent.mkdir()
    false.write_bytes(stored.path.read_bytes())
    assert store.get("f" * 64) is None
    false.write_bytes(b"not a picture")
    assert store.get("f" * 64) is None


def test_recent_pictures_come_newest_first(tmp_path: Path, make_result: Any) -> None:
    store = Store(tmp_path)
    digests = [store.add(make_result(seed)).digest for seed in range(5)]
    assert [stored.digest for stored in store.recent(3)] == digests[:1:-1]


def test_the_frame_holds_a_row_per_picture(tmp_path: Path, make_result: Any) -> None:
    store = Store(tmp_path)
    empty = store.frame()
    assert len(empty) == 0
    for seed in range(3):
        store.add(make_result(seed))
    frame = store.frame()
    assert list(frame.columns) == list(empty.columns)
    assert sorted(frame["seed"]) == [0, 1, 2]
    assert set(frame["seconds"]) == {11.0}
    assert all(Path(path).is_file() for path in frame["path"])


def test_history_gives_speed_and_size(tmp_path: Path, make_result: Any) -> None:
    store = Store(tmp_path)
    assert store.seconds_per_unit("tiny") is None
    assert store.bytes_per_pixel("tiny") is None
    for seed, size in enumerate((64, 64, 128)):
        stored = store.add(make_result(seed, size=size))
    units = 4 * 2 * 64 * 64 / 1e6  # steps, passes with guidance, megapixels
    assert work_units(make_result().resolved.recipe) == pytest.approx(units)
    for name in ("tiny", stored.weights):
        assert store.seconds_per_unit(name) == pytest.approx(2.0 / units)  # the median of two equal and one lower rate
        assert store.bytes_per_pixel(name) == pytest.approx(3.3, rel=0.15)  # noise cannot be compressed below 3


def test_only_pictures_can_be_stored(tmp_path: Path, make_result: Any) -> None:
    with pytest.raises(ValueError, match="only a result with a picture"):
        Store(tmp_path).add(Result(0, Recipe(), None, error=StoreError("no")))


def test_threads_share_a_store(tmp_path: Path, make_result: Any) -> None:
    store = Store(tmp_path)
    with ThreadPoolExecutor(8) as pool:
        list(pool.map(store.add, [make_result(seed % 20) for seed in range(80)]))
        found = list(pool.map(store.get, [make_result(seed).digest for seed in range(20)]))
    assert all(found)
    assert len(store.recent(1000)) == 20


WRITER = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import make_result
from workbench.store import Store
results = [make_result(seed) for seed in range(int(sys.argv[3]), int(sys.argv[4]))]
print("ready", flush=True)
sys.stdin.readline()
for round in range(int(sys.argv[5])):
    store = Store(Path(sys.argv[1]))
    for result in results:
        store.add(result)
        print(result.digest, flush=True)
"""


def _writer(home: Path, first: int, last: int, rounds: int = 1) -> subprocess.Popen[str]:
    arguments = [str(home), str(HERE), str(first), str(last), str(rounds)]
    return subprocess.Popen(
        [sys.executable, "-c", WRITER, *arguments],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )


def test_processes_that_add_the_same_pictures_all_succeed(tmp_path: Path, make_result: Any) -> None:
    """They open a home that does not exist yet, at the same moment, and write the same digests."""
    home = tmp_path / "new" / "home"
    writers = [_writer(home, 0, 12, rounds=2) for _ in range(3)]
    for writer in writers:
        assert writer.stdout is not None
        assert writer.stdout.readline() == "ready\n"
    for writer in writers:
        assert writer.stdin is not None
        writer.stdin.write("go\n")
        writer.stdin.flush()
    for writer in writers:
        _, errors = writer.communicate()
        assert writer.returncode == 0, errors
    store = Store(home)
    assert len(store.recent(1000)) == 12
    for seed in range(12):
        result = make_result(seed)
        stored = store.get(result.digest)
        assert stored is not None
        assert stored.open().tobytes() == result.picture.tobytes()


@pytest.mark.parametrize("written", [1, 4, 9])
def test_a_killed_writer_leaves_whole_pictures(tmp_path: Path, written: int) -> None:
    writer = _writer(tmp_path, 0, 200)
    assert writer.stdin is not None
    assert writer.stdout is not None
    writer.stdin.write("go\n")
    writer.stdin.flush()
    digests = [line.strip() for line, _ in zip(writer.stdout, range(written + 1), strict=False)][1:]
    writer.kill()
    writer.communicate()
    store = Store(tmp_path)
    assert store.known(digests) == set(digests)
    files = list(tmp_path.glob("pictures/*/*.png"))
    assert len(files) >= written
    for file in files:
        assert read_picture(file)[1]["digest"] == file.stem
        assert store.get(file.stem) is not None


def test_a_full_disk_is_a_sentence_and_leaves_nothing(
    tmp_path: Path, make_result: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    store = Store(tmp_path)

    def full(_: int) -> None:
        raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))

    with monkeypatch.context() as patch:
        patch.setattr(os, "fsync", full)
        with pytest.raises(StoreError, match="Free some disk space"):
            store.add(make_result(1))
    assert [path for path in store.pictures.rglob("*") if path.is_file()] == []
    assert store.recent(10) == []
    store.add(make_result(1))


FULL = """
set -e
mount -t tmpfs -o size=600k none "$1"
exec "$2" -c "$3" "$1" "$4"
"""
FILL = """
import sys
from pathlib import Path
sys.path.insert(0, sys.argv[2])
from conftest import make_result
from workbench.errors import StoreError
from workbench.settings import settings
from workbench.store import Store, read_picture
store = Store(Path(sys.argv[1]))
try:
    for seed in range(100):
        store.add(make_result(seed, size=128))
except StoreError as error:
    assert "disk" in str(error), error
else:
    raise SystemExit("the disk never filled")
files = [path for path in store.pictures.rglob("*") if path.is_file()]
assert files
for path in files:
    assert read_picture(path)[1]["digest"] == path.stem, path
print(len(files))
"""


def test_a_disk_that_really_fills_up_keeps_what_was_written(tmp_path: Path) -> None:
    enter = ["unshare", "--map-root-user", "--mount"]
    if not shutil.which("unshare") or subprocess.run([*enter, "true"], check=False, capture_output=True).returncode:
        pytest.skip("a small file system cannot be mounted here")
    command = [*enter, "sh", "-c", FULL, "sh", str(tmp_path), sys.executable, FILL]
    done = subprocess.run(
        [*command, str(HERE)],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)},
    )
    if "mount" in done.stderr and "permission" in done.stderr.lower():
        pytest.skip("a small file system cannot be mounted here")
    assert done.returncode == 0, done.stderr
    assert int(done.stdout) > 0


def test_a_home_that_cannot_be_written_is_refused_at_once(read_only_folder: Path) -> None:
    with pytest.raises(StoreError, match=r"permission denied.* may write to"):
        Store(read_only_folder / "home")


def test_a_home_that_became_read_only_is_refused_when_writing(tmp_path: Path, make_result: Any) -> None:
    (tmp_path / "pictures").write_text("in the way")
    with pytest.raises(StoreError, match=r"Cannot write .*pictures"):
        Store(tmp_path)


def test_a_damaged_database_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "workbench.sqlite").write_bytes(b"no database at all" * 100)
    with pytest.raises(StoreError, match=r"not a database.* Move the file away"):
        Store(tmp_path)


@pytest.mark.parametrize(
    "url",
    ["nonsense", "nosuch://a:hunter2@x", "postgresql+absent://a:hunter2@x/y", "http//a:hunter2@x", "sqlite://:hunter2"],
)
def test_a_database_url_that_cannot_be_used_is_a_sentence_without_its_password(tmp_path: Path, url: str) -> None:
    with pytest.raises(SettingsError, match="database setting cannot be used") as caught:
        Store(tmp_path, url)
    assert "hunter2" not in str(caught.value)
    assert "hunter2" not in repr(settings(home=tmp_path, database=url))


def test_the_database_may_lie_elsewhere(tmp_path: Path, make_result: Any) -> None:
    url = f"sqlite:///{tmp_path}/elsewhere.sqlite"
    stored = Store(tmp_path / "home", url).add(make_result(1))
    assert (tmp_path / "elsewhere.sqlite").is_file()
    assert not (tmp_path / "home" / "workbench.sqlite").exists()
    assert Store(tmp_path / "home", url).recent(1) == [stored]


def test_sqlite_runs_in_wal_mode(tmp_path: Path) -> None:
    import sqlite3

    Store(tmp_path)
    connection = sqlite3.connect(tmp_path / "workbench.sqlite")
    assert connection.execute("PRAGMA journal_mode").fetchone() == ("wal",)
    connection.close()
