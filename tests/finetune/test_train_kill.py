"""Nothing is lost: a real process is killed at random moments, and what it leaves goes on to the same bits.

Four kills in the normal suite; `FINETUNE_KILLS=50` sets another number.
"""

from __future__ import annotations

import contextlib
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from finetune.checkpoint import load_checkpoint
from finetune.run import RunHandle, attach, create_run
from finetune.runfolder import ACTIVE, RunFolder
from tests.finetune.training import run, sha256, small, write_pictures
from workbench.models import ModelCatalog

if TYPE_CHECKING:
    from tests.conftest import TinyKlein

KILLS = int(os.environ.get("FINETUNE_KILLS", "4"))
LIMIT = 600.0  # seconds after which a child is taken for hung

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="needs fork")

Start = Callable[[RunFolder, Path], int]


@pytest.fixture
def start(tiny_klein: TinyKlein) -> Iterator[Start]:
    """Starts the process of a run and returns its id; see `nursery.py`."""
    environment = os.environ | {"OMP_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
    with subprocess.Popen(
        [sys.executable, str(Path(__file__).with_name("nursery.py"))],
        stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment,
    ) as nursery:  # fmt: skip

        def begin(folder: RunFolder, home: Path) -> int:
            assert nursery.stdin is not None
            assert nursery.stdout is not None
            nursery.stdin.write(f"{folder.path}\t{home}\t{tiny_klein.root}\n")
            nursery.stdin.flush()
            return int(nursery.stdout.readline())

        yield begin
        assert nursery.stdin is not None
        nursery.stdin.close()


def lives(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    return True


def wait_for_end(pid: int) -> None:
    end = time.monotonic() + LIMIT
    while lives(pid):
        assert time.monotonic() < end, "the child hangs"
        time.sleep(0.01)


def same_checkpoints(one: RunFolder, other: RunFolder) -> bool:
    """Whether every checkpoint of `other` is, byte for byte, the one of `one`: weights, optimiser and average."""
    return all(
        sha256(one.checkpoint(step) / name) == sha256(other.checkpoint(step) / name)
        for step in other.steps_saved()
        for name in ("adapter.safetensors", "state.safetensors")
    )


def test_a_killed_run_goes_on_to_the_same_bits(tiny_klein: TinyKlein, tmp_path: Path, start: Start) -> None:
    home = tmp_path / "home"
    data = write_pictures(tmp_path / "squares")
    config = small(data, ema=0.9, checkpoint_every=1)
    whole = create_run(config.replace(name="whole"), home)
    wait_for_end(start(whole, home))
    assert whole.status().state == "finished"
    draw = random.Random(20261122)
    moments = []  # last whole checkpoint at each kill
    for number in range(KILLS):
        folder = create_run(config.replace(name=f"killed-{number}"), home)
        pid = start(folder, home)
        wanted = draw.randrange(12)  # a moment during or after a step that is drawn, whatever the run is doing then
        while lives(pid) and (folder.steps_saved() or [0])[-1] < wanted:
            time.sleep(0.001)
        time.sleep(0.1 * draw.random())
        with contextlib.suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)
        wait_for_end(pid)
        moments.append((folder.steps_saved() or [0])[-1])
        assert folder.status().state in ("stopped", "finished")
        for step in folder.steps_saved():
            assert load_checkpoint(folder.checkpoint(step)).step == step  # no half-written one has a checkpoint's name
        wait_for_end(start(folder, home))
        assert folder.status().state == "finished", folder.status()
        assert same_checkpoints(whole, folder), number
        steps = [record["step"] for record in folder.records() if record["event"] == "step"]
        assert steps == sorted(set(steps))  # the log has no step twice
    print(f"{KILLS} kills after checkpoints {moments}")
    assert len(set(moments)) > 1 or KILLS < 4  # they came at different moments


KERNEL = """
import os, signal, sys
from pathlib import Path
from finetune.config import TrainConfig
from finetune.run import start_run
start_run(TrainConfig.from_yaml(sys.stdin.read()), home=Path(sys.argv[1]), models=Path(sys.argv[2]))
os.killpg(0, signal.SIGKILL)
"""


def test_a_run_outlives_a_killed_kernel_and_is_found_again(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    """A process starts it and is killed with its whole group; the handle of another one sees it work, and stops it."""
    home = tmp_path / "home"
    config = small(write_pictures(tmp_path / "squares"), steps=100_000, log_every=1)
    kernel = subprocess.run(
        [sys.executable, "-c", KERNEL, str(home), str(tiny_klein.root)],
        input=config.to_yaml(), text=True, check=False, timeout=LIMIT, start_new_session=True,
    )  # fmt: skip
    assert kernel.returncode == -signal.SIGKILL
    other: RunHandle = attach("small", home=home)
    end = time.monotonic() + LIMIT
    while not any(record["event"] == "step" for record in other.records()):
        assert other.status().state in ACTIVE, other.output()
        assert time.monotonic() < end
        time.sleep(0.05)
    assert other.status().state == "running"
    assert other.status().pid != os.getpid()
    other.stop()
    status = other.wait(LIMIT)
    assert status.state == "stopped"
    assert other.folder.steps_saved()[-1] == status.step


def test_two_processes_give_what_one_gives(tiny_klein: TinyKlein, tmp_path: Path) -> None:
    """The same global batch over two processes of accelerate: the same adapter up to the order of sums."""
    import torch

    data = write_pictures(tmp_path / "squares", count=7)  # 5 to train on: the last batch of an epoch is smaller
    config = small(data, steps=6, checkpoint_every=6, batch_size=3, optimiser={"learning_rate": 1e-2})
    one = run(config, ModelCatalog(tmp_path / "one", tiny_klein.root, device="cpu"))
    path = tmp_path / "run.yaml"
    path.write_text(config.to_yaml(), encoding="utf-8")
    home = tmp_path / "two"
    command = [
        sys.executable, "-m", "accelerate.commands.launch", "--cpu", "--num_processes", "2", "--num_machines", "1",
        "--mixed_precision", "no", "--dynamo_backend", "no", "--num_cpu_threads_per_process", "1",
        "-m", "finetune", "train", str(path), "--home", str(home),
    ]  # fmt: skip
    environment = os.environ | {"WORKBENCH_MODELS": str(tiny_klein.root), "OMP_NUM_THREADS": "1"}
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=LIMIT, env=environment)
    assert done.returncode == 0, done.stderr[-3000:]
    two = RunFolder(home / "runs" / "small")
    first, second = (load_checkpoint(folder.checkpoint(6)) for folder in (one, two))
    moved = [key for key, value in first.adapter.items() if "lora_B" in key and float(value.abs().max()) > 1e-4]
    assert moved
    for key, value in first.adapter.items():
        torch.testing.assert_close(second.adapter[key], value, rtol=1e-3, atol=1e-5)
