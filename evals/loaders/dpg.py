"""DPG-Bench (Hu et al. 2024): `dpg_bench/dpg_bench.csv` of https://github.com/TencentQQGYLab/ELLA.

The reference script drops the first row of the table, which is the first question of the first prompt. Where another
question of that prompt depends on it, the script fails and leaves the prompt out without a word. `dpg-reference` does the
same and says so, `dpg` keeps everything.
"""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from evals.loaders import register_loader
from evals.loaders._rows import count_note, table, wrong
from evals.suite import Prompt, Suite, SuiteError

PROMPTS = 1065
COLUMNS = ("item_id", "text", "proposition_id", "dependency", "category_broad", "question_natural_language")


@register_loader("dpg", about="DPG-Bench: dpg_bench.csv, 1065 long prompts with questions", licence="Apache-2.0")
def load(path: Path, content: bytes) -> Suite:
    """One row for each item, with all its questions."""
    return _load(path, content, "dpg", skip=0)


@register_loader(
    "dpg-reference", about="DPG-Bench as its script reads it: without the first question", licence="Apache-2.0"
)
def load_reference(path: Path, content: bytes) -> Suite:
    """As `load`, less the first row of the table."""
    return _load(path, content, "dpg-reference", skip=1)


def _load(path: Path, content: bytes, name: str, *, skip: int) -> Suite:
    texts: dict[str, str] = {}
    questions: dict[str, list[dict[str, Any]]] = {}
    for place, (number, row) in enumerate(table(path, content, COLUMNS, delimiter=",")):
        item = row["item_id"].strip()
        texts.setdefault(item, row["text"].strip())
        if place < skip:
            continue
        try:
            parents = [str(int(part)) for part in row["dependency"].split(",") if int(part)]
            identity = str(int(row["proposition_id"]))
        except ValueError as error:
            raise wrong(path, number, f"no DPG-Bench question ({error})") from None
        questions.setdefault(item, []).append(
            {
                "id": identity,
                "question": row["question_natural_language"].strip(),
                "depends_on": parents,
                "skill": row["category_broad"].strip(),
            }
        )
    prompts, notes = [], []
    for item, asked in questions.items():
        known = {each["id"] for each in asked}
        if len(known) < len(asked):
            raise SuiteError(
                f"The file {path.name!r} repeats a proposition of the item {item!r}.", "Download it again."
            )
        strange = {parent for each in asked for parent in each["depends_on"]} - known
        if strange and skip and item == next(iter(texts)):
            notes.append(f"The prompt {item!r} is left out, as the reference script does without saying so.")
            continue
        if strange:
            raise SuiteError(
                f"In {path.name!r} the item {item!r} depends on the proposition {min(strange)}, which is not there.",
                "Download it again.",
            )
        prompts.append(Prompt(id=item, kind="dense", prompt=texts[item], ask={"questions": asked}))
    if not prompts:
        raise SuiteError(f"The file {path.name!r} holds no question.")
    return Suite(
        name=name, version=1, scorers=("questions",),
        about=f"DPG-Bench, {len(prompts)} long prompts; its score is the metric dpg.",
        notes=(*notes, *count_note("DPG-Bench", Counter({"dense": len(texts)}), {"dense": PROMPTS})),
        prompts=tuple(prompts),
    )  # fmt: skip
