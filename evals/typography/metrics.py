"""The numbers of one picture: asked texts against lines read, in the three views side by side.

Words are counted as a multiset over the whole picture, without order. Sentences, NED, CER and WER compare each asked
text with the lines matched to it; lines that belong to no asked text lower precision and are counted as extra words.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from evals.scoring import Metric
from evals.typography.edits import distance
from evals.typography.match import Matched, match_regions
from evals.typography.normalise import NORMALISERS, VIEWS, View, is_text, words

ANYTEXT = "AnyText, arXiv:2311.03054, eval/eval_dgocr.py"
_PER_VIEW = (
    ("word_accuracy", "higher", 1.0, "share of asked words that were read (recall, a word counts as often as asked)"),
    ("word_precision", "higher", 1.0, "share of words read that were asked"),
    ("word_f1", "higher", 1.0, "harmonic mean of the two"),
    ("sentence_accuracy", "higher", 1.0, "share of asked texts read without any fault"),
    ("ned", "higher", 1.0, "1 - edits / longer length, mean over asked texts"),
    ("cer", "lower", None, "edits / asked characters (jiwer)"),
    ("wer", "lower", None, "edited words / asked words (jiwer)"),
)


def _metrics() -> tuple[Metric, ...]:
    views = [
        Metric(f"{name}_{view}", "higher" if direction == "higher" else "lower", 0.0, high, source=source)
        for name, direction, high, source in _PER_VIEW
        for view in VIEWS
    ]
    return (
        *views,
        Metric("sentence_accuracy_spaceless", source="as strict, blanks not compared: engines lose them"),
        Metric("ned_anytext", source=f"{ANYTEXT}: 1 - edits / (longer length + 1e-5), text as it is"),
        Metric("false_text", "lower", source="1 where no text was asked and some was read"),
        Metric("extra_words", "lower", 0.0, None, "words", "read beyond those asked, caseless"),
        Metric("duplicated_words", "lower", 0.0, None, "words", "asked words read more often than asked, caseless"),
    )


METRICS = _metrics()
"""Every metric of the scorer `typography`, the main one first."""


def measure(asked: Sequence[str], lines: Sequence[str], *, any_case: bool = False) -> dict[str, float | None]:
    """All metrics of one picture.

    Args:
        asked: the texts asked for, one a region, none blank; empty where the picture should hold no text.
        lines: the lines read, in reading order.
        any_case: the case of letters was not asked for; `strict` then folds case too.

    Returns:
        A value for each of `METRICS`. None where the picture cannot have it: all but `false_text`, `extra_words` and
        `duplicated_words` where nothing was asked, `false_text` where something was, precision where nothing was
        read, a view in which an asked text is empty.
    """
    values: dict[str, float | None] = dict.fromkeys(metric.name for metric in METRICS)
    for view in VIEWS:
        values |= _in_view(view, asked, lines, any_case=any_case)
    wanted, read = _counted("caseless", asked, lines)
    surplus = read - wanted
    values["extra_words"] = float(surplus.total())
    values["duplicated_words"] = float(sum(count for word, count in surplus.items() if word in wanted))
    if not asked:
        values["false_text"] = float(bool(read))
        return values
    spaceless = ["".join(_view("strict", text, any_case=any_case).split()) for text in asked]
    found = match_regions(spaceless, ["".join(_view("strict", line, any_case=any_case).split()) for line in lines])
    values["sentence_accuracy_spaceless"] = _share_equal(spaceless, found)
    plain = [text.strip() for text in asked]
    values["ned_anytext"] = _mean(
        [1 - distance(a, b) / (max(len(a), len(b)) + 1e-5) for a, b in zip(plain, match_regions(plain, lines).texts)]
    )
    return values


def _in_view(view: View, asked: Sequence[str], lines: Sequence[str], *, any_case: bool) -> dict[str, float | None]:
    texts = [_view(view, text, any_case=any_case) for text in asked]
    if not texts or not all(texts):
        return {}
    read_lines = [_view(view, line, any_case=any_case) for line in lines]
    wanted = Counter(word for text in texts for word in words(text))
    read = _words_read(read_lines, wanted)
    hits = (wanted & read).total()
    recall, precision = hits / wanted.total(), hits / read.total() if read else None
    matched = match_regions(texts, read_lines)
    return {
        f"word_accuracy_{view}": recall,
        f"word_precision_{view}": precision,
        f"word_f1_{view}": 2 * hits / (wanted.total() + read.total()),
        f"sentence_accuracy_{view}": _share_equal(texts, matched),
        f"ned_{view}": _mean([1 - distance(a, b) / max(len(a), len(b)) for a, b in zip(texts, matched.texts)]),
        f"cer_{view}": _error_rate(list, texts, matched),
        f"wer_{view}": _error_rate(words, texts, matched),
    }


def _error_rate(units: Any, texts: Sequence[str], matched: Matched) -> float:
    """Edits over asked units, summed over the texts; `units` cuts a text into characters or words.

    jiwer takes words parted by blanks, so every unit is written as one: a blank as a character becomes a visible sign.
    """
    import jiwer

    def spelt(text: str) -> str:
        return " ".join("\u2423" if unit == " " else unit for unit in units(text))

    return float(jiwer.wer([spelt(text) for text in texts], [spelt(text) for text in matched.texts]))


def _words_read(lines: Sequence[str], wanted: Mapping[str, int]) -> Counter[str]:
    """Words read; signs without a letter or digit count only where they were asked for."""
    return Counter(word for line in lines for word in words(line) if is_text(word) or word in wanted)


def _counted(view: View, asked: Sequence[str], lines: Sequence[str]) -> tuple[Counter[str], Counter[str]]:
    wanted = Counter(word for text in asked for word in words(NORMALISERS[view](text)))
    return wanted, _words_read([NORMALISERS[view](line) for line in lines], wanted)


def _view(view: View, text: str, *, any_case: bool) -> str:
    return NORMALISERS["caseless" if any_case and view == "strict" else view](text)


def _share_equal(texts: Sequence[str], matched: Matched) -> float:
    return _mean([float(a == b) for a, b in zip(texts, matched.texts)])


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
