"""Makes the suite of the embedded model: held-out prompts of a stated mix, drawn with a fixed seed.

Run `python -m evals.nano_suite` to write `evals/suites/nano-1.json` again; a test holds that nothing changes.
"""

from __future__ import annotations

from pathlib import Path
from random import Random

from evals.suite import Kind, Prompt, Suite
from workbench.nano.scenes import sample_scene
from workbench.store import write_atomically

SEED = 20261122
MIX: dict[Kind, int] = {"single": 100, "relation": 100, "count": 50, "word": 50}


def make_suite() -> Suite:
    """300 distinct prompts that training never sees, grouped by kind."""
    rng = Random(SEED)  # noqa: S311  # a draw of prompts is no cryptography
    prompts: list[Prompt] = []
    for kind, wanted in MIX.items():
        texts: dict[str, None] = {}
        while len(texts) < wanted:
            texts.setdefault(sample_scene(rng, kind=kind, held_out=True).prompt)
        prompts += [Prompt(id=f"{kind}-{number:03}", kind=kind, prompt=text) for number, text in enumerate(texts, 1)]
    mix = ", ".join(f"{wanted} {kind}" for kind, wanted in MIX.items())
    return Suite(name="nano-1", version=1, about=f"Held-out scene prompts: {mix}; seed {SEED}.", prompts=tuple(prompts))


if __name__ == "__main__":
    target = Path(__file__).parent / "suites" / "nano-1.json"
    write_atomically(target, (make_suite().model_dump_json(indent=1) + "\n").encode())
