"""GenEval (Ghosh et al. 2023): `prompts/evaluation_metadata.jsonl` of https://github.com/djghosh13/geneval."""

from __future__ import annotations

from collections import Counter
from pathlib import Path
from typing import Any

from evals.loaders import register_loader
from evals.loaders._rows import count_note, json_lines, wrong
from evals.suite import Prompt, Suite, SuiteError

PUBLISHED = {"single_object": 80, "two_object": 99, "counting": 80, "colors": 94, "position": 100, "color_attr": 100}
KNOWN = {"5c48e0813e812e3c373fa5c8ed07a8f0a483be30272b4427b0559c8048e67c13": "as published, 553 prompts"}


@register_loader(
    "geneval", about="GenEval: evaluation_metadata.jsonl, 553 prompts of six skills", licence="MIT", known=KNOWN
)
def load(path: Path, content: bytes) -> Suite:
    """One row for each line; `include` and `exclude` become the objects that are asked for."""
    prompts, kinds = [], Counter[str]()
    for number, row in json_lines(path, content):
        try:
            kind, prompt, ask = row["tag"], row["prompt"], _ask(row)
        except (KeyError, TypeError, ValueError, IndexError) as error:
            raise wrong(path, number, f"no GenEval prompt ({type(error).__name__}: {error})") from None
        kinds[kind] += 1
        prompts.append(Prompt(id=f"{kind}-{kinds[kind]:03}", kind=kind, prompt=prompt, ask=ask))
    if not prompts:
        raise SuiteError(f"The file {path.name!r} holds no prompt.")
    return Suite(
        name="geneval", version=1, scorers=("geneval-mask2former",),
        about=f"GenEval, {len(prompts)} prompts of {len(kinds)} skills.",
        notes=count_note("GenEval", kinds, PUBLISHED), prompts=tuple(prompts),
    )  # fmt: skip


def _ask(row: dict[str, Any]) -> dict[str, Any]:
    objects: list[dict[str, Any]] = []
    relations = []
    for place, clause in enumerate(row["include"]):
        wanted = {"class": clause["class"], "count": int(clause["count"])}
        objects.append(wanted | ({"colour": clause["color"]} if "color" in clause else {}))
        if "position" in clause:
            relation, target = clause["position"]
            relations.append({"first": place, "relation": relation, "second": int(target)})
    for clause in row.get("exclude", ()):
        same = [each for each in objects if each["class"] == clause["class"] and each["count"] + 1 == clause["count"]]
        if len(same) != 1:
            raise ValueError(f"an exclude clause that is no upper limit of an include clause: {clause}")
        same[0]["exact_count"] = True
    return {"objects": objects} | ({"relations": relations} if relations else {})
