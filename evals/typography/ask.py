"""Which texts a sample asks for: from its row where that says so, else from the quotation marks of its prompt."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Literal

from evals.scoring import Sample
from workbench.errors import WorkbenchError

# Single quotation marks count only where they cannot be an apostrophe: after a blank or bracket, before a blank or stop.
_QUOTED = re.compile(
    r'"([^"]*)"|“([^”]+)”|„([^“”]+)[“”]|«([^»]+)»|「([^」]+)」|『([^』]+)』'
    r"|(?<![^\s(\[])['‘]([^'’\s](?:[^'’]|['’](?=\w))*)['’](?!\w)"
)

Origin = Literal["ask", "prompt", "nothing"]


class AskedTextError(WorkbenchError):
    """What a row asks to be written cannot be measured: a wrong type or a blank text."""

    code = "WB411"


@dataclass(frozen=True, slots=True)
class Asked:
    """Texts asked for, and where that was learned from.

    Attributes:
        texts: one a region; empty: no text is wanted (origin "ask"), or nothing is known (origin "nothing").
        origin: the row's `text`, the prompt's quotation marks, or nothing.
        any_case: the case of letters was not asked for.
        prompt: the whole sentence.
    """

    texts: tuple[str, ...]
    origin: Origin
    any_case: bool = False
    prompt: str = ""


def asked_of(sample: Sample) -> Asked:
    """The texts that a sample asks for.

    Raises:
        AskedTextError: the row's `text` is no list of texts, one is blank, or `text_case` is neither "exact" nor "any".
    """
    case = sample.ask.get("text_case", "exact")
    if case not in ("exact", "any"):
        raise AskedTextError(f"The row's text_case is {case!r}.", 'Use "exact" or "any".')
    if "text" not in sample.ask:
        texts = quoted(sample.prompt)
        return Asked(texts, "prompt" if texts else "nothing", case == "any", sample.prompt)
    raw = sample.ask["text"]
    if not isinstance(raw, list | tuple) or not all(isinstance(text, str) for text in raw):
        raise AskedTextError(f"The row's text is {raw!r}.", "Give a list of texts, one for each region; [] for none.")
    if not all(text.strip() for text in raw):
        raise AskedTextError("One of the row's texts is blank.", "Leave it out; an empty list asks for no text at all.")
    return Asked(tuple(raw), "ask", case == "any", sample.prompt)


def quoted(prompt: str) -> tuple[str, ...]:
    """The texts in quotation marks of any common kind, in order, blank ones left out."""
    found = ("".join(match.groups(default="")).strip() for match in _QUOTED.finditer(prompt))
    return tuple(text for text in found if text)
