"""Public prompt files of text in pictures: LongText-Bench, CVTG-2K, AnyText-benchmark and the text part of OneIG-Bench."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from evals.loaders import register_loader
from evals.loaders._rows import count_note, json_lines, table, text_of, wrong
from evals.suite import Prompt, Suite, SuiteError, read_limited
from evals.typography.compat import cvtg_regions

LONGTEXT = dict.fromkeys(
    ("sign", "label", "print", "webpage", "slide", "poster", "caption", "dialogue"), 20
)  # both languages: eight scenes of twenty
LONGTEXT_KNOWN = {
    "a2130769e72bd8560470a066114cdac87f80f1eb071ba6bc0f7033225a9be0d8": "English, as published, 160 prompts"
}
CVTG = {f"{area} texts": 500 for area in (2, 3, 4, 5)}
ANYTEXT_LINES = 20  # AnyText draws and reads no more lines of a picture


@register_loader(
    "longtext",
    about="LongText-Bench of X-Omni: text_prompts.jsonl or text_prompts_zh.jsonl, 160 prompts each",
    licence="Apache-2.0",
    known=LONGTEXT_KNOWN,
)
def load_longtext(path: Path, content: bytes) -> Suite:
    """One row for each line of https://github.com/X-Omni-Team/X-Omni, textbench/; the scene is the kind."""
    prompts, kinds = [], Counter[str]()
    for number, row in json_lines(path, content):
        try:
            kind, texts = str(row["category"]), _texts(row["text"])
            prompts.append(
                Prompt(id=f"longtext-{int(row['prompt_id']):04}", kind=kind, prompt=row["prompt"], ask={"text": texts})
            )
        except (KeyError, TypeError, ValueError) as error:
            raise wrong(path, number, f"no LongText-Bench prompt ({type(error).__name__}: {error})") from None
        kinds[kind] += 1
    return _suite("longtext", "LongText-Bench", path, prompts, count_note("LongText-Bench", kinds, LONGTEXT))


@register_loader(
    "cvtg-2k", about="CVTG-2K of TextCrafter: the folder with CVTG/ and CVTG-Style/, 2000 prompts", folder=True
)
def load_cvtg(path: Path, _: bytes) -> Suite:
    """The rows of CVTG/{2..5}.json and CVTG-Style/{2..5}.json; the texts stand between single quotation marks."""
    prompts, kinds = [], Counter[str]()
    for part in ("CVTG", "CVTG-Style"):
        for area in (2, 3, 4, 5):
            file = path / part / f"{area}.json"
            for place, row in _data_list(file, read_limited(file)):
                try:
                    texts = cvtg_regions(row["prompt"])
                    prompts.append(
                        Prompt(
                            id=f"{part}-{area}-{row['index']}",
                            kind=f"{area} texts",
                            prompt=row["prompt"],
                            ask={"text": texts, "text_case": "any"},
                        )
                    )
                except (KeyError, TypeError, ValueError) as error:
                    raise _wrong_row(file, place, "CVTG-2K", error) from None
                if not texts:
                    raise _wrong_row(file, place, "CVTG-2K", ValueError("no text between single quotation marks"))
                kinds[f"{area} texts"] += 1
    notes = (
        *count_note("CVTG-2K", kinds, CVTG),
        "The publisher of CVTG-2K names no licence; do not pass its prompts on.",
    )
    return _suite("cvtg-2k", "CVTG-2K", path, prompts, notes)


@register_loader(
    "anytext", about="AnyText-benchmark: test1k.json of laion_word or wukong_word, 1000 rows", licence="Apache-2.0"
)
def load_anytext(path: Path, content: bytes) -> Suite:
    """The rows of `data_list`; the caption's marks `*` become the valid texts in quotation marks, others follow it."""
    prompts, empty, cut, kinds = [], 0, 0, Counter[str]()
    for place, row in _data_list(path, content):
        try:
            texts = [
                str(each["text"])
                for each in row.get("annotations", ())
                if each["valid"] is not False and each["polygon"]
            ]
            cut += len(texts) > ANYTEXT_LINES
            texts = [text for text in texts[:ANYTEXT_LINES] if text.strip()]
            if not texts:
                empty += 1
                continue
            kind = "1 line" if len(texts) == 1 else "2 lines" if len(texts) == 2 else "3 or more lines"
            prompt = _filled(str(row["caption"]), texts)
            prompts.append(Prompt(id=str(row["img_name"]), kind=kind, prompt=prompt, ask={"text": texts}))
        except (KeyError, TypeError, ValueError) as error:
            raise _wrong_row(path, place, "AnyText-benchmark", error) from None
        kinds[kind] += 1
    notes = [
        "AnyText is told where each text stands and reads there; here a text counts wherever it stands.",
    ]
    if empty:
        notes.append(f"{empty} rows ask for no text and are left out, as AnyText's own count leaves them out.")
    if cut:
        notes.append(f"{cut} rows ask for more than {ANYTEXT_LINES} texts; the rest is left out, as AnyText does.")
    if kinds.total() + empty != 1000:
        notes.append(f"The file has {kinds.total() + empty} rows; AnyText-benchmark has 1000 for each language.")
    return _suite("anytext", "AnyText-benchmark", path, prompts, tuple(notes))


@register_loader(
    "oneig-text",
    about="OneIG-Bench, text rendering: the repository's folder, 200 prompts (English)",
    folder=True,
)
def load_oneig(path: Path, _: bytes) -> Suite:
    """Text_Rendering rows of OneIG-Bench.csv joined with scripts/text/text_content.csv of the same repository."""
    prompt_file, text_file = path / "OneIG-Bench.csv", path / "scripts" / "text" / "text_content.csv"
    texts = {
        row["id"]: row["text_content"]
        for _, row in table(text_file, read_limited(text_file), ("id", "text_content"), delimiter=",")
    }
    prompts = []
    columns = ("category", "id", "prompt_en")
    for number, row in table(prompt_file, read_limited(prompt_file), columns, delimiter=","):
        if row["category"] != "Text_Rendering":
            continue
        if not texts.get(row["id"], "").strip():
            raise wrong(prompt_file, number, f"{text_file.name} has no text for {row['id']!r}")
        prompts.append(
            Prompt(
                id=f"text-{row['id']}", kind="text", prompt=row["prompt_en"], ask={"text": [texts[row["id"]].strip()]}
            )
        )
    notes = (
        *count_note("OneIG-Bench text", Counter({"text": len(prompts)}), {"text": 200}),
        "The publisher of OneIG-Bench names no licence; do not pass its prompts on.",
    )
    return _suite("oneig-text", "OneIG-Bench, text rendering", path, prompts, notes)


def _texts(raw: Any) -> list[str]:
    if not isinstance(raw, list) or not raw or not all(isinstance(each, str) and each.strip() for each in raw):
        raise ValueError(f"its text is no list of texts: {str(raw)[:60]}")
    return list(raw)


def _data_list(path: Path, content: bytes) -> Iterator[tuple[int, dict[str, Any]]]:
    """Place and object of each entry of a JSON file's `data_list`."""
    try:
        raw = json.loads(text_of(path, content))
        entries = raw["data_list"]
    except (ValueError, KeyError, TypeError):
        raise SuiteError(f"The file {path.name!r} is no JSON with a `data_list`.", "Download it again.") from None
    for place, entry in enumerate(entries, 1):
        if not isinstance(entry, dict):
            raise SuiteError(f"Entry {place} of {path.name!r} is no object.", "Download it again.")
        yield place, entry


def _wrong_row(path: Path, place: int, name: str, error: Exception) -> SuiteError:
    return SuiteError(
        f"Entry {place} of {path.parent.name}/{path.name} is no {name} prompt ({type(error).__name__}: {error}).",
        "Download it again.",
    )


def _filled(caption: str, texts: list[str]) -> str:
    """The caption with its marks filled; texts without a mark are named behind it."""
    left = list(texts)
    while "*" in caption and left:
        caption = caption.replace("*", f'"{left.pop(0)}"', 1)
    caption = caption.replace("*", " ").strip()
    return caption + (", with the text " + ", ".join(f'"{text}"' for text in left) if left else "")


def _suite(name: str, title: str, path: Path, prompts: list[Prompt], notes: tuple[str, ...]) -> Suite:
    if not prompts:
        raise SuiteError(f"{path.name!r} holds no prompt of {title}.", "Download it again.")
    counts = Counter(each.id for each in prompts)
    if twice := [each for each, count in counts.items() if count > 1]:
        raise SuiteError(f"{path.name!r} uses the id {twice[0]!r} twice.", "Download it again.")
    return Suite(name=name, version=1, about=f"{title}: {len(prompts)} prompts.", notes=notes, prompts=tuple(prompts))
