from __future__ import annotations

import random
import time
from pathlib import Path

from tests.queue.cheap import open_queue, resolved, submit
from tests.queue.zygote import Zygote
from workbench.queue.leases import MAX_DEATHS

JOBS, KILLS = 400, 20


def test_random_kills_lose_and_repeat_nothing(home: Path) -> None:
    queue = open_queue(home)
    submit(queue, JOBS, share="same")
    draw = random.Random(7)
    killed = 0
    with Zygote(home, "tests.queue.bodies:work") as zygote:
        while killed < KILLS:
            worker = zygote.fork(8)
            before = queue.counts()["completed"]
            while queue.counts()["completed"] == before:  # it has done something
                time.sleep(0.001)
            time.sleep(draw.uniform(0, 0.02))
            assert queue.counts()["pending"] + queue.counts()["running"], "the jobs were over before the kills"
            zygote.kill(worker)
            killed += 1
        assert zygote.wait(zygote.fork(8)) == 0
    jobs = queue.jobs()
    assert [job.state for job in jobs] == ["completed"] * JOBS
    assert sum(job.deaths for job in jobs) >= KILLS // 2  # the kills did hit running jobs
    assert max(job.deaths for job in jobs) < MAX_DEATHS
    drawn = (home / "drawn.txt").read_text().split()
    assert len(drawn) == len(set(drawn)), "a picture was made twice"
    wanted = {resolved(seed).digest for seed in range(JOBS)}
    assert {path.stem for path in queue.session.store.pictures.glob("*/[!.]*.png")} == wanted
    assert len(queue.session.store.recent(limit=JOBS * 2)) == JOBS
