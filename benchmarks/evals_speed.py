"""How long scoring takes: 500 pictures of 128 px for adherence and typography, then the same again from the cache.

    python benchmarks/evals_speed.py --pictures 500

Prints wall and processor seconds. The bars, on two idle cores: under two minutes, and under two seconds from the cache.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path
from random import Random

from PIL import Image

from evals.running import ScoreCache, score_pictures
from evals.scorers import make_scorers
from evals.scoring import Sample, Scorer, picture_digest
from workbench.nano.render import render
from workbench.nano.scenes import Kind, sample_scene

SIDE = 128  # pixels
KINDS: tuple[Kind, ...] = ("single", "relation", "count", "word")


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--pictures", type=int, default=500, metavar="N", help="pictures to score; default: 500")
    parser.add_argument("--scorers", nargs="+", default=["scene", "typography"], metavar="NAME", help="what to measure")
    options = parser.parse_args()
    samples = pictures(options.pictures)
    scorers = make_scorers(options.scorers)
    score_pictures(samples[:4], scorers)  # imports and the OCR's warm-up are no part of the speed
    with tempfile.TemporaryDirectory() as home:
        for label in ("scored", "from the cache"):
            report(label, samples, scorers, ScoreCache(Path(home)))


def pictures(count: int) -> list[Sample]:
    """Rendered scenes of four kinds, one in four with a word; every one asks for its text, or for none."""
    rng, found = Random(0), []
    for number in range(count):
        scene = sample_scene(rng, kind=KINDS[number % len(KINDS)])
        picture = Image.fromarray(render(scene, SIDE))
        texts = [item.text for item in scene.items if item.text]
        found.append(Sample(picture, scene.prompt, picture_digest(picture), {"text": texts}))
    return found


def report(label: str, samples: list[Sample], scorers: list[Scorer], cache: ScoreCache) -> None:
    """One line for each scorer and their sum."""
    for chosen in ([each] for each in scorers):
        wall, processor = time.perf_counter(), time.process_time()
        scores = score_pictures(samples, chosen, cache)
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
        failed = sum(bool(each[chosen[0].name].error) for each in scores)
        print(
            f"{len(samples)} pictures {label} by {chosen[0].name}: {wall:.2f} s, {processor:.2f} processor seconds, "
            f"{failed} failed"
        )


if __name__ == "__main__":
    main()
