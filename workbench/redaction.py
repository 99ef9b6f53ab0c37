"""Take out of a text what nobody else should read: passwords, tokens, the user's home folder and name."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

HIDDEN = "***"
_URL = re.compile(r"(?P<head>[a-zA-Z][\w+.-]*://)(?P<user>[^\s:/@?#]*):[^\s@]*@")
_NAMED = re.compile(
    r"(?i)((?:pass(?:word|wd)?|secret|token(?!s\b)|api[_-]?key|credential|authorization)[\w-]*[\"']?\s*[=:]\s*(?:bearer\s+)?[\"']?)"
    r"[^\s&,;\"']+"
)
_TOKENS = re.compile(
    r"\b(?:hf_[A-Za-z0-9]{8,}|gh[pousr]_[A-Za-z0-9]{16,}|sk-[A-Za-z0-9_-]{16,}|eyJ[\w-]{10,}\.[\w-]+\.[\w-]*)"
)


def redact(text: str, *, home: Path | None = None) -> str:
    """`text` without passwords in URLs, without tokens, and with `~` for the home folder.

    Args:
        text: any.
        home: the user's home folder; None: that of this process.
    """
    text = _URL.sub(lambda match: f"{match['head']}{match['user']}:{HIDDEN}@", text)
    text = _NAMED.sub(lambda match: match[1] + HIDDEN, text)
    text = _TOKENS.sub(HIDDEN, text)
    folder = str(home if home is not None else _home())
    return re.sub(re.escape(folder) + r"(?=$|[\\/\s\"':,;)\]}])", "~", text) if len(folder) > 1 else text


def redact_all(value: Any, *, home: Path | None = None) -> Any:
    """JSON values with every text redacted, keys included."""
    if isinstance(value, str):
        return redact(value, home=home)
    if isinstance(value, dict):
        return {redact_all(key, home=home): redact_all(each, home=home) for key, each in value.items()}
    if isinstance(value, list | tuple):
        return [redact_all(each, home=home) for each in value]
    return value


def _home() -> Path:
    try:
        return Path.home()
    except RuntimeError:  # a user without one
        return Path("/")
