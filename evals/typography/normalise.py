"""Three views of a text, from strict to forgiving, and how each is cut into words. A score names the view it used.

`strict` keeps case and punctuation, `caseless` folds case, `alphanumeric` keeps letters and digits only. All three fold
what no reader of a picture can tell apart: Unicode's compatibility forms, the shapes of quotation marks and dashes,
runs of blanks, and the invisible marks that steer right-to-left text.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable
from typing import Literal

View = Literal["strict", "caseless", "alphanumeric"]
VIEWS: tuple[View, ...] = ("strict", "caseless", "alphanumeric")

# Marks of direction and width that leave no ink.
_INVISIBLE = "\u200b\u200c\u200d\u200e\u200f\u202a\u202b\u202c\u202d\u202e\u2060\u2066\u2067\u2068\u2069\ufeff"
_FOLDED = str.maketrans(
    dict.fromkeys("‘’‚‛′`´", "'") | dict.fromkeys("“”„‟″«»", '"') | dict.fromkeys("‐‑‒–—―−", "-"),
) | dict.fromkeys(map(ord, _INVISIBLE), "")
_BLANKS = re.compile(r"\s+")
# Scripts written without blanks: Chinese characters, kana and their marks. Each character is a word of its own.
_CJK = "\u3005-\u3007\u3040-\u30ff\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff\uf900-\ufaff\U00020000-\U0003134f"
_WORD = re.compile(rf"[{_CJK}]|[^\s{_CJK}]+")
_RTL = ("R", "AL")


def strict(text: str) -> str:
    """Case and punctuation kept."""
    return _BLANKS.sub(" ", unicodedata.normalize("NFKC", text.translate(_FOLDED)).translate(_FOLDED)).strip()


def caseless(text: str) -> str:
    """`strict` with Unicode's case folding ("STRASSE" equals "Straße")."""
    return unicodedata.normalize("NFKC", strict(text).casefold())


def alphanumeric(text: str) -> str:
    """`caseless` with nothing but letters (and their accents), digits and blanks; other signs vanish, they part no word."""
    kept = (sign for sign in caseless(text) if sign == " " or unicodedata.category(sign)[0] in "LMN")
    return _BLANKS.sub(" ", "".join(kept)).strip()


NORMALISERS: dict[View, Callable[[str], str]] = {
    "strict": strict,
    "caseless": caseless,
    "alphanumeric": alphanumeric,
}


def words(text: str) -> list[str]:
    """The words of a normalised text: parted by blanks, in Chinese and Japanese one a character."""
    return _WORD.findall(text)


def is_text(word: str) -> bool:
    """Whether there is a letter or digit in a word; a lone star or bullet is a drawing as often as it is writing."""
    return any(sign.isalnum() for sign in word)


def script_of(text: str) -> str:
    """`cjk` or `rtl` where the text holds such letters, else an empty string; for counts in reports."""
    if re.search(f"[{_CJK}]", text):
        return "cjk"
    return "rtl" if any(unicodedata.bidirectional(sign) in _RTL for sign in text) else ""
