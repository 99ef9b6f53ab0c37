"""Public lists of prompts without prepared questions: PartiPrompts, DrawBench and T2I-CompBench."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from evals.loaders import register_loader
from evals.loaders._rows import count_note, table, text_of, wrong
from evals.suite import Prompt, Suite, SuiteError

PARTI = {"fab29e41bb512a169b56acab4cf2a41dcb675e285df2efcde6640c7dd3c440eb": "as published, 1632 prompts"}
COMPBENCH = {
    "1634259756dbc77d13093d907d414480080ec9790a8c97ad09efaea7b2534f2d": "color_val.txt as published",
    "dad8df141604b70ba7554bec724e3db0a80023680769b5c514854ea2d2527bbe": "numeracy_val.txt as published",
    "8707a1d7e42ce3002d95363cf55f74bd043c843ae27108f5125aaaa7840ca988": "spatial_val.txt as published",
}
CATEGORIES = ("color", "shape", "texture", "spatial", "3d_spatial", "numeracy", "non_spatial", "complex")


@register_loader(
    "parti", about="PartiPrompts: PartiPrompts.tsv, 1632 prompts of 12 categories", licence="Apache-2.0", known=PARTI
)
def load_parti(path: Path, content: bytes) -> Suite:
    """One row for each line; its kind is the category (Yu et al. 2022, https://github.com/google-research/parti)."""
    rows = [
        (row["Category"], row["Prompt"])
        for _, row in table(path, content, ("Prompt", "Category", "Challenge"), delimiter="\t")
    ]
    return _suite("parti", "PartiPrompts", path, rows)


@register_loader("drawbench", about="DrawBench: a CSV with Prompts and Category, 200 prompts of 11 categories")
def load_drawbench(path: Path, content: bytes) -> Suite:
    """One row for each line; its kind is the category (Saharia et al. 2022, Imagen)."""
    rows = [
        (row["Category"], row["Prompts"]) for _, row in table(path, content, ("Prompts", "Category"), delimiter=",")
    ]
    suite = _suite("drawbench", "DrawBench", path, rows)
    return suite.model_copy(update={"notes": count_note("DrawBench", Counter({"all": len(rows)}), {"all": 200})})


@register_loader(
    "t2i-compbench", about="T2I-CompBench: one CATEGORY_val.txt, 300 prompts", licence="MIT", known=COMPBENCH
)
def load_compbench(path: Path, content: bytes) -> Suite:
    """One row for each line; the file's name says the category (Huang et al. 2023).

    Raises:
        SuiteError: the name says none.
    """
    category = path.stem.removeprefix("t2i_compbench_").removesuffix("_val")
    if category not in CATEGORIES:
        raise SuiteError(
            f"The file {path.name!r} does not say which category of T2I-CompBench it holds.",
            f"Name it CATEGORY_val.txt with one of: {', '.join(CATEGORIES)}.",
        )
    rows = []
    for number, line in enumerate(text_of(path, content).splitlines(), 1):
        if not line.strip():
            raise wrong(path, number, "it is empty")
        rows.append((category, line.strip()))
    suite = _suite(f"t2i-compbench-{category}", "T2I-CompBench", path, rows)
    found = Counter({category: len(rows)})
    return suite.model_copy(update={"notes": count_note("T2I-CompBench category", found, {category: 300})})


def _suite(name: str, title: str, path: Path, rows: list[tuple[str, str]]) -> Suite:
    """A suite of (category, prompt) in the order of the file.

    Raises:
        SuiteError: there is none, or one is blank.
    """
    if not rows:
        raise SuiteError(f"The file {path.name!r} holds no prompt.")
    numbers = Counter[str]()
    prompts = []
    for category, prompt in rows:
        kind = category.strip().lower().replace(" ", "_").replace("&", "and") or "other"
        numbers[kind] += 1
        if not prompt.strip():
            raise SuiteError(f"The file {path.name!r} has a blank prompt in the category {category!r}.")
        prompts.append(Prompt(id=f"{kind}-{numbers[kind]:04}", kind=kind, prompt=prompt.strip(), ask={}))
    return Suite(
        name=name,
        version=1,
        scorers=("vqascore",),
        about=f"{title}, {len(rows)} prompts of {len(numbers)} categories.",
        prompts=tuple(prompts),
    )
