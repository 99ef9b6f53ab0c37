"""Kills workers at random moments while they draw a grid with a real engine, until it is done; then counts.

    python benchmarks/queue_kills.py [--kills 200] [--jobs 500] [--model NAME] [--json FILE]

A worker is killed when it has completed none to four jobs and a random moment has passed. They are forked after the model
was loaded, so that a killed one is replaced at once and kills hit the drawing, not the loading. At the end every job must
be completed and every picture be there, drawn once; some are compared with ones that were drawn without any kill.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import sys
import tempfile
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")
os.environ.setdefault("MKL_NUM_THREADS", "1")

import numpy as np
from PIL import Image

import workbench.engine.engine  # noqa: F401 - torch, once, before any fork
from workbench.grid import Grid
from workbench.queue.queue import Queue
from workbench.recipe import Recipe
from workbench.session import Session
from workbench.settings import settings


def open_queue(home: Path) -> Queue:
    """A queue on its own connections: none may cross a fork."""
    return Queue(Session(settings(home=home, device="cpu")))


def fork_worker(home: Path, log: Path, engine: object) -> int:
    """Start a worker. Returns its process."""
    number = os.fork()
    if number:
        return number
    try:
        queue = open_queue(home)
        queue.session._engine = engine  # type: ignore[assignment]  # its model is loaded: kills shall hit the drawing
        keep = queue.session.store.add

        def add(result: object) -> object:  # counts what is drawn, beside keeping it
            stored = keep(result)  # type: ignore[arg-type]
            handle = os.open(log, os.O_WRONLY | os.O_APPEND | os.O_CREAT)
            os.write(handle, f"{stored.digest}\n".encode())
            os.close(handle)
            return stored

        queue.session.store.add = add  # type: ignore[method-assign,assignment]
        queue.work(most=8, beat=0.1)
    except BaseException as error:  # noqa: BLE001 - a forked process ends here, whatever it met
        print(f"worker: {type(error).__name__}: {error}", file=sys.stderr)
        os._exit(1)
    os._exit(0)


def grid(jobs: int, model: str) -> Grid:
    """`jobs` small pictures along two axes."""
    base = {"model": model, "prompt": "a red circle", "width": 64, "height": 64, "steps": 2}
    return Grid(
        base,
        [{"replace": "red", "values": "red, green"}, {"replace": "circle", "values": "circle, square"}],
        seeds=jobs // 4,
    )


def _difference(queue: Queue, digest: str, picture: Image.Image) -> int:
    """Largest difference of a stored picture from another one, in levels of 255."""
    stored = queue.session.store.get(digest)
    if stored is None:
        return 255
    return int(np.abs(np.asarray(stored.open(), np.int16) - np.asarray(picture, np.int16)).max())


def main() -> None:
    """Kill, finish, count."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=200)
    parser.add_argument("--jobs", type=int, default=500)
    parser.add_argument("--model", default="klein-nano-base")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--longest", type=float, default=0.5, help="Seconds from a completed job to the kill, at most.")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    draw = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        home, log = Path(folder) / "home", Path(folder) / "drawn.txt"
        home.mkdir()
        warm = Session(settings(home=Path(folder) / "clean", device="cpu"))
        first = next(iter(grid(4, options.model).expand().cells)).recipes[0]
        warm.generate(first)
        queue = open_queue(home)
        queue.submit(grid(options.jobs, options.model))
        pictures = {job.digest for job in queue.jobs()}
        started, kills, hit = time.monotonic(), 0, 0
        while kills < options.kills and sum(queue.counts()[state] for state in ("pending", "running")):
            worker = fork_worker(home, log, warm.engine)
            enough = queue.counts()["completed"] + draw.choice((0, 1, 2, 4))
            while (now := queue.counts())["completed"] < enough and now["pending"] + now["running"]:
                time.sleep(0.01)
            time.sleep(draw.uniform(0, options.longest))
            os.kill(worker, signal.SIGKILL)
            os.waitpid(worker, 0)
            kills += 1
            hit += bool(queue.counts()["running"])
            print(f"\r{kills} kills, {queue.counts()['completed']} of {len(pictures)} done", end="", file=sys.stderr)
        worker = fork_worker(home, log, warm.engine)
        code = os.waitstatus_to_exitcode(os.waitpid(worker, 0)[1])
        drawn = log.read_text().split()
        files = {path.stem for path in queue.session.store.pictures.glob("*/[!.]*.png")}
        sample = draw.sample(queue.jobs(), min(20, len(pictures)))
        recipes = [Recipe.parse(json.loads(queue.payload(job.id))) for job in sample]
        differences = [
            _difference(queue, result.digest, result.picture)
            for result in warm.run(recipes)
            if result.picture is not None
        ]
        found = {
            "kills": kills,
            "kills_that_hit_running_jobs": hit,
            "jobs": len(pictures),
            "states": queue.counts(),
            "last_worker_exit_code": code,
            "pictures_drawn_twice": len(drawn) - len(set(drawn)),
            "pictures_missing": len(pictures - files),
            "pictures_too_many": len(files - pictures),
            "most_deaths_of_one_job": max(job.deaths for job in queue.jobs()),
            "compared_with_undisturbed": len(recipes),
            "largest_difference_in_levels": max(differences, default=None),  # of 255; batches of other sizes round
            "temporary_files_left": len(list(queue.session.store.pictures.glob("*/.*"))),
            "seconds": round(time.monotonic() - started, 1),
        }
    text = json.dumps(found, indent=2)
    print(f"\n{text}")
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
