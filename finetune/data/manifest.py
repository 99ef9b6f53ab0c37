"""What decides training, as plain values: the fingerprint of a data set, and the difference of two in words."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from typing import Any

SHOWN = 5  # names listed of each kind of difference

_WORDS = {
    "digest": "pixels",
    "captions": "caption",
    "references": "references",
    "mask": "mask",
    "weight": "weight",
    "repeats": "repeats",
    "buckets": "buckets",
    "regularisation": "regularisation",
}


def fingerprint(manifest: Mapping[str, Any]) -> str:
    """SHA-256 of a manifest's canonical JSON."""
    text = json.dumps(manifest, sort_keys=True, ensure_ascii=False, allow_nan=False, separators=(",", ":"))
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).hexdigest()


def describe_difference(old: Mapping[str, Any], new: Mapping[str, Any]) -> list[str]:
    """What changed from one manifest to another, one sentence a kind of change; empty when they are equal.

    Args:
        old: `Dataset.manifest` of the run that is to be resumed.
        new: the manifest of the data as they are now.
    """
    lines = [
        f"{name}: {old['settings'].get(name)!r} became {new['settings'].get(name)!r}"
        for name in sorted({*old["settings"], *new["settings"]})
        if old["settings"].get(name) != new["settings"].get(name)
    ]
    before, after = old["examples"], new["examples"]
    lines += _listed("gone", [name for name in before if name not in after])
    lines += _listed("new", [name for name in after if name not in before])
    common = [name for name in before if name in after]
    for key, word in _WORDS.items():
        changed = [name for name in common if before[name].get(key) != after[name].get(key)]
        if len(changed) == 1 and key != "digest":
            name = changed[0]
            lines.append(f"{word} of {name} changed: {before[name].get(key)!r} became {after[name].get(key)!r}")
        else:
            lines += _listed(f"{word} changed", changed)
    moved = sorted({*old["held_out"]} ^ {*new["held_out"]})
    lines += _listed("held out in only one of both", moved)
    if not lines and fingerprint(old) != fingerprint(new):
        lines.append("the manifests were written by different versions of the format")
    return lines


def _listed(what: str, names: list[str]) -> list[str]:
    if not names:
        return []
    more = f" and {len(names) - SHOWN} more" if len(names) > SHOWN else ""
    return [f"{what}: {', '.join(names[:SHOWN])}{more}"]
