"""GenEval 2 (arXiv 2512.16853): `geneval2_data.jsonl` of https://github.com/facebookresearch/GenEval2."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

from evals.loaders import register_loader
from evals.loaders._rows import count_note, json_lines, wrong
from evals.suite import Prompt, Suite, SuiteError

PUBLISHED = {f"atoms-{count}": 100 for count in range(3, 11)}


@register_loader(
    "geneval2", about="GenEval 2: geneval2_data.jsonl, 800 prompts of 3 to 10 atoms", licence="CC-BY-NC-4.0"
)
def load(path: Path, content: bytes) -> Suite:
    """One row for each line; its kind is the number of atoms, its questions carry the right answer and the skill."""
    prompts, kinds = [], Counter[str]()
    for number, row in json_lines(path, content):
        try:
            kind = f"atoms-{int(row['atom_count'])}"
            pairs, skills = row["vqa_list"], row["skills"]
            if len(pairs) != len(skills) or not pairs:
                raise ValueError(f"{len(pairs)} questions and {len(skills)} skills")
            questions = [
                {"id": str(place), "question": question, "answer": answer, "skill": skill}
                for place, ((question, answer), skill) in enumerate(zip(pairs, skills, strict=True), 1)
            ]
            prompt = row["prompt"]
        except (KeyError, TypeError, ValueError) as error:
            raise wrong(path, number, f"no GenEval 2 prompt ({type(error).__name__}: {error})") from None
        kinds[kind] += 1
        prompts.append(Prompt(id=f"{kind}-{kinds[kind]:03}", kind=kind, prompt=prompt, ask={"questions": questions}))
    if not prompts:
        raise SuiteError(f"The file {path.name!r} holds no prompt.")
    return Suite(
        name="geneval2", version=1, scorers=("questions",),
        about=f"GenEval 2, {len(prompts)} prompts; its headline is soft_tifa_gm.",
        notes=count_note("GenEval 2", kinds, PUBLISHED), prompts=tuple(prompts),
    )  # fmt: skip
