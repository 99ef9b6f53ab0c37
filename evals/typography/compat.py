"""Typography metrics as others define them, to the last digit, faults included; each docstring names its source.

Pure functions of strings. What they compare is what their authors' code compares after its own OCR; with another
engine the figures are not those of the papers, only computed by the same rule. Their faults are kept because published
tables hold them, and are named because nobody should choose them unawares.
"""

from __future__ import annotations

import difflib
import re
from collections import Counter
from collections.abc import Sequence

from evals.typography.edits import distance, normalised

# X-Omni and OneIG keep Chinese characters, unaccented Latin letters, digits, blanks and these French letters.
_KEPT = "\u4e00-\u9fa5a-zA-Z0-9àâäéèêëîïôöùûüçÀÂÄÉÈÊËÎÏÔÖÙÛÜÇ"
_NOT_KEPT, _NOT_KEPT_OR_BLANK = re.compile(f"[^{_KEPT}]"), re.compile(rf"[^{_KEPT}\s]")
_CHINESE = re.compile("[\u4e00-\u9fff]")

# PP-OCR's English dictionary (en_dict.txt), which AnyText's English half uses: printable ASCII.
ENGLISH = frozenset(chr(code) for code in range(32, 127))
ANYTEXT_LONGEST = 20  # characters of an asked line; AnyText cuts the rest off


def anytext(asked: str, read: str, *, alphabet: frozenset[str] | None = ENGLISH) -> tuple[float, float]:
    """AnyText's Sen. ACC and NED of one line (arXiv:2311.03054; eval/eval_dgocr.py).

    Kept faults: the asked line is cut at 20 characters; NED divides by the longer length + 1e-5, so that equal lines
    reach 1 and wholly different ones stay a little above 0; characters outside `alphabet` all become the same sign as
    a blank, so that two different Chinese letters, or one and a blank, count as equal for NED (not for Sen. ACC).

    Args:
        asked: the line asked for.
        read: the line read.
        alphabet: PP-OCR's dictionary of the language; None compares characters as they are.

    Returns:
        Whether the lines are equal (0 or 1), and 1 - edits / (longer length + 1e-5).
    """
    asked = asked[:ANYTEXT_LONGEST]
    a, b = (text if alphabet is None else "".join(s if s in alphabet else " " for s in text) for text in (asked, read))
    return float(asked == read), 1 - distance(a, b) / (max(len(a), len(b)) + 1e-5)


def longtext(asked: Sequence[str], read: str, *, language: str = "en") -> tuple[int, int]:
    """Words of LongText-Bench: matched and asked (X-Omni, arXiv:2507.22058; textbench/summary_scores.py).

    The benchmark's figure is the sum of the first over the sum of the second. Words are lower-cased and counted as a
    multiset, signs and all letters but unaccented Latin, French and Chinese vanish; in Chinese ("zh") the unit is the
    character and case counts. Kept fault: it is recall only, so that text too many and any order cost nothing.
    """

    def clean(text: str) -> str:
        if language == "zh":
            return _NOT_KEPT.sub("", text)
        return re.sub(r"\s+", " ", _NOT_KEPT_OR_BLANK.sub("", text)).strip().lower()

    wanted, found = clean(" ".join(asked)), clean(longtext_cleaned(read))
    units = (list(wanted), list(found)) if language == "zh" else (wanted.split(), found.split())
    return (Counter(units[0]) & Counter(units[1])).total(), len(units[0])


def longtext_cleaned(read: str) -> str:
    """A vision-language model's stock phrases removed, as X-Omni's textbench/evaluate_text_reward.py does.

    Kept faults: each pass starts again from the full text, so that only the last phrase goes and "addCriterion" stays;
    the phrase has a full stop that the question to the model does not have.
    """
    return read.replace("No text recognized.", "")


def oneig(asked: str, read: str) -> tuple[int, int, int, int]:
    """Edit distance, completion, words matched and words asked of OneIG-Bench (scripts/text/text_utils.py, text_score.py).

    Case counts; the same signs vanish as in `longtext`. Kept faults: whether all blanks are removed is decided for each
    text by itself, so that one Chinese character in the reading joins its English words; a Chinese asked text is
    counted by characters.

    Returns:
        Levenshtein distance of the whole texts, 1 where it is 0, matched units, asked units.
    """
    for phrase in ("addCriterion", "No text recognized."):
        read = read.replace(phrase, "")
    wanted, found = _oneig_clean(asked), _oneig_clean(read)
    edits = distance(found, wanted)
    units = (list(wanted), list(found)) if _CHINESE.search(wanted) else (wanted.split(), found.split())
    return edits, int(edits == 0), (Counter(units[0]) & Counter(units[1])).total(), len(units[0])


def _oneig_clean(text: str) -> str:
    kept = _NOT_KEPT_OR_BLANK.sub("", text)
    return _NOT_KEPT.sub("", text) if _CHINESE.search(kept) else re.sub(r"\s+", " ", kept).strip()


def oneig_score(parts: Sequence[tuple[int, int, int, int]], *, language: str = "en") -> float:
    """OneIG's text score of a whole set: 1 - min(M, ED) (1 - CR) (1 - WAC) / M, with M = 100, in Chinese 50.

    Kept fault: it multiplies means of the whole set, so one picture's score is none that could be averaged.
    """
    limit = 50 if language == "zh" else 100
    edits = sum(part[0] for part in parts) / len(parts)
    complete = sum(part[1] for part in parts) / len(parts)
    words = sum(part[2] for part in parts) / sum(part[3] for part in parts)
    return 1 - min(limit, edits) * (1 - complete) * (1 - words) / limit


def lex(asked: Sequence[str], lines: Sequence[str]) -> tuple[float, float]:
    """LeX-Bench's PNED and recall (arXiv:2503.21749; evaluation/cal_pned_and_recall.py).

    Words are matched by the Hungarian method on edits / longer length; PNED adds one for each word too many or too few.
    Kept faults: PNED has no upper end; a reading without text counts as one empty word, so that nothing costs what one
    wrong word costs; words are parted at single blanks, so that two blanks make an empty word; recall takes the first
    word within 0.3, not the nearest.

    Args:
        asked: the words asked for.
        lines: the lines read.

    Raises:
        ValueError: no word was asked for.
    """
    wanted, found = _lex_words(asked, lines)
    return _matching_cost(wanted, found), _greedy_recall(wanted, found)


def tiif(asked: Sequence[str], lines: Sequence[str]) -> tuple[float, float]:
    """TIIF-Bench's GNED and recall (arXiv:2506.02161; eval of the text rows): LeX's PNED over the larger word count."""
    wanted, found = _lex_words(asked, lines)
    return _matching_cost(wanted, found) / max(len(wanted), len(found)), _greedy_recall(wanted, found)


def _lex_words(asked: Sequence[str], lines: Sequence[str]) -> tuple[list[str], list[str]]:
    if not asked:
        raise ValueError("LeX and TIIF compare words that were asked for")
    return [word.lower() for word in asked], [word for line in lines or [""] for word in line.lower().split(" ")]


def _matching_cost(wanted: Sequence[str], found: Sequence[str]) -> float:
    import numpy as np
    from scipy.optimize import linear_sum_assignment

    costs = np.array([[normalised(a, b) for b in found] for a in wanted])  # (asked, read)
    return float(costs[linear_sum_assignment(costs)].sum()) + abs(len(wanted) - len(found))


def _greedy_recall(wanted: Sequence[str], found: Sequence[str], threshold: float = 0.3) -> float:
    left, hits = list(found), 0
    for word in wanted:
        near = next((place for place, other in enumerate(left) if normalised(word, other) <= threshold), None)
        if near is not None:
            del left[near]
            hits += 1
    return hits / len(wanted)


def cvtg(wanted: Sequence[str], lines: Sequence[str]) -> tuple[int, list[float]]:
    """Words of CVTG-2K: how many are right, and the NED of each (TextCrafter, arXiv:2503.23461; unified_metrics_eval.py).

    The asked words are `cvtg_words` of the prompt; those read are lower-cased. A word is right when it is among the
    words read; its NED is 1 - edits / (longer length + 1e-5) to the word that difflib finds closest. Kept faults: a word
    read once is right as often as it was asked; text too many costs nothing; the closest word by difflib is not always
    the one with the fewest edits.

    Returns:
        The number of right words, and one NED for each asked word. The benchmark's figures are means over all words.
    """
    found = [word for line in lines for word in line.lower().split()] or [""]
    neds = []
    for word in wanted:
        closest = difflib.get_close_matches(word, found, n=1, cutoff=0)
        neds.append(1 - distance(word, closest[0]) / (max(len(word), len(closest[0])) + 1e-5) if closest else 0.0)
    return sum(word in found for word in wanted), neds


def cvtg_words(prompt: str) -> list[str]:
    """The words of `cvtg_regions`, lower-cased."""
    return [word for text in cvtg_regions(prompt) for word in text.lower().split()]


def cvtg_regions(prompt: str) -> list[str]:
    """The texts between single quotation marks. Kept fault: an apostrophe opens or closes a quotation."""
    return [text for text in re.findall("'(.*?)'", prompt) if text.strip()]


def strict_bench(asked: str, read: str) -> tuple[float, float, float]:
    """WER, CER and NED of STRICT (arXiv:2505.18985; ocr/core.py, ocr/ned.py), on texts with blanks collapsed.

    NED divides the edits by the length of the alignment (edits and matches), which is neither text's length. Case and
    punctuation count. Kept faults: nothing read, or nothing asked, is exactly 1 for all three; CER and WER exceed 1 where
    much more was read than asked; the alignment is rapidfuzz's, one of several of equal cost.
    """
    import jiwer
    from rapidfuzz.distance import Levenshtein

    asked, read = (re.sub(r"\s+", " ", text).strip() for text in (asked, read))
    if not asked or not read:
        same = float(asked != read)
        return same, same, same
    steps = sum(max(op.src_end - op.src_start, op.dest_end - op.dest_start) for op in Levenshtein.opcodes(asked, read))
    return float(jiwer.wer(asked, read)), float(jiwer.cer(asked, read)), Levenshtein.distance(asked, read) / steps


def strict_truncated(asked: str, read: str) -> tuple[float, float, float]:
    """STRICT's WER, CER and NED of as many asked words as were read, which forgives text that breaks off.

    Kept fault: where nothing was read nothing was asked either, and all three are 0, the best value.
    """
    read_words = re.sub(r"\s+", " ", read).strip().split(" ")
    count = len(read_words) if read_words != [""] else 0
    return strict_bench(" ".join(re.sub(r"\s+", " ", asked).strip().split(" ")[:count]), read)


def textatlas(asked: str, read: str) -> tuple[int, int, int, float]:
    """Words of TextAtlasEval, and its CER (arXiv:2502.07870; evaluation/cal_ocr.py, cal_ocr_cer.py).

    A word read is right when an asked word not yet used has a similarity of 80 or more (fuzzywuzzy's ratio: 100 times
    twice the common letters over both lengths, rounded); accuracy and recall are right / asked, precision right / read,
    summed over the set. Kept faults: "bat" is right for "bath"; the first asked word that fits is used up, not the best;
    the CER divides by the longer text instead of the asked one, on the whole text with case, unlike the words.

    Returns:
        Right words, asked words, read words, CER; CER is 0 where nothing was asked.
    """
    from rapidfuzz.distance import Indel

    wanted, found = asked.strip().lower().split(), read.strip().lower().split()
    used: set[int] = set()
    for word in found:
        for place, other in enumerate(wanted):
            if place not in used and round(100 * Indel.normalized_similarity(word, other)) >= 80:
                used.add(place)
                break
    return len(used), len(wanted), len(found), normalised(asked, read) if asked else 0.0
