"""How long `finetune check` takes: JPEG pictures of one megapixel with captions, all kinds of looks at them.

Pictures are soft noise with edges, so that no two are alike and JPEG has work to do. Elapsed seconds say what a user waits
for on an idle machine; processor seconds hold on a busy one as well.

Run: `python benchmarks/finetune_check.py [--count 1000]`.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
from PIL import Image

from finetune.data.check import check


def write(folder: Path, count: int, side: int) -> None:
    """`count` pictures of `side` x `side` pixels with captions."""
    for number in range(count):
        random = np.random.default_rng(number)
        soft = Image.fromarray(random.integers(0, 256, (24, 24, 3), dtype=np.uint8)).resize((side, side))
        grain = Image.fromarray(random.integers(0, 256, (side // 8, side // 8, 3), dtype=np.uint8)).resize(
            (side, side), 0
        )
        Image.blend(soft, grain, 0.1).save(folder / f"{number:05d}.jpg", quality=90)
        (folder / f"{number:05d}.txt").write_text(f"picture number {number}", encoding="utf-8")


def main() -> None:
    """Write the pictures, check them, print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=1000)
    parser.add_argument("--side", type=int, default=1024)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        write(Path(folder), options.count, options.side)
        wall, processor = time.perf_counter(), time.process_time()
        report = check(folder, model="FLUX.2-klein-base-4B")
        wall, processor = time.perf_counter() - wall, time.process_time() - processor
    assert report.ok, report.verdict
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(f"pictures {options.count}, {wall:.1f} s elapsed, {processor:.1f} s of processor time, peak {peak:.0f} MB")


if __name__ == "__main__":
    main()
