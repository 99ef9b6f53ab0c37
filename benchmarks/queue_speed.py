"""What the queue costs beyond the pictures: submitting, claiming, reporting, looking.

    python benchmarks/queue_speed.py [--jobs 10000] [--json FILE]

Times are medians of wall seconds, and processor seconds of this process, which a busy machine does not stretch. The jobs
do nothing, so that everything that is measured is the queue's. Two forked processes then claim all jobs one by one.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

ROOT = Path(__file__).parents[1]
sys.path.insert(0, str(ROOT))

from tests.queue.zygote import Zygote  # noqa: E402 - after the path to it
from workbench.queue.kinds import Context, register  # noqa: E402
from workbench.queue.queue import Queue  # noqa: E402
from workbench.queue.run import _recipe  # noqa: E402
from workbench.queue.submit import Item, store  # noqa: E402
from workbench.recipe import Recipe, resolve  # noqa: E402
from workbench.session import Session  # noqa: E402
from workbench.settings import settings  # noqa: E402


class Nothing:
    """A job that is over at once."""

    def check(self, payload: dict[str, Any]) -> str:
        """See `Kind`."""
        return "nothing"

    def run(self, payload: dict[str, Any], context: Context) -> None:
        """See `Kind`."""


def fill(queue: Queue, count: int, share: str) -> None:
    """Put `count` empty jobs into the queue."""
    items = [Item("nothing", "{}", f"job {number}", share=share) for number in range(count)]
    queue.database.write(lambda c: store(c, items, title="nothing", priority=0))


def timed(action: Callable[[], object], per: int = 1) -> dict[str, float]:
    """Milliseconds of wall and processor time of `action`, divided by `per`."""
    wall, cpu = time.perf_counter(), time.process_time()
    action()
    return {
        "wall_ms": round(1e3 * (time.perf_counter() - wall) / per, 4),
        "cpu_ms": round(1e3 * (time.process_time() - cpu) / per, 4),
    }


def median(runs: list[dict[str, float]]) -> dict[str, float]:
    """The median of each number."""
    return {name: statistics.median(run[name] for run in runs) for name in runs[0]}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--jobs", type=int, default=10_000)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    register("nothing", Nothing())
    found: dict[str, Any] = {"jobs": options.jobs}
    with tempfile.TemporaryDirectory() as folder:
        home = Path(folder)
        queue = Queue(Session(settings(home=home, device="cpu")))
        recipes = [Recipe(prompt="a red circle", seed=seed) for seed in range(options.jobs)]
        found["submit_per_picture"] = timed(lambda: queue.submit(recipes), options.jobs)
        found["list_100"] = median([timed(lambda: queue.recent(100)) for _ in range(9)])
        found["count"] = median([timed(queue.counts) for _ in range(9)])
        claims = [(job.id, queue.payload(job.id)) for job in queue.jobs(limit=200)]
        found["read_and_resolve_per_picture"] = timed(
            lambda: [_resolved(queue, *claim) for claim in claims], len(claims)
        )
        found["cancel_all"] = timed(queue.cancel)
        queue.clear()
        for name, share, most in (("run_per_job_batched", "a", 16), ("run_per_job_alone", "", 1)):
            runs = []
            for _ in range(3):
                fill(queue, 1000, share)
                runs.append(timed(lambda most=most: queue.work(most=most), 1000))  # type: ignore[misc]
            found[name] = median(runs)
        queue.clear()
        fill(queue, options.jobs, "")
        with Zygote(home, "tests.queue.bodies:claim_all") as zygote:
            started = time.perf_counter()
            running = [zygote.fork("one", 1), zygote.fork("two", 1)]
            codes = [zygote.wait(each) for each in running]
            seconds = time.perf_counter() - started
        claimed = [int(line) for name in ("one", "two") for line in (home / f"claimed-{name}.txt").read_text().split()]
        found["two_processes"] = {
            "exit_codes": codes,
            "claimed": len(claimed),
            "claimed_twice": len(claimed) - len(set(claimed)),
            "by_each": [len((home / f"claimed-{name}.txt").read_text().split()) for name in ("one", "two")],
            "seconds": round(seconds, 1),
        }
    text = json.dumps(found, indent=2)
    print(text)
    if options.json:
        options.json.write_text(text + "\n", encoding="utf-8")


def _resolved(queue: Queue, job: int, payload: str) -> str:
    from workbench.queue.claims import Claim

    return resolve(_recipe(Claim(job, 1, "picture", payload, "", "", 1, "")), queue.session.catalog).digest


if __name__ == "__main__":
    main()
