"""A check as a table in a terminal, a page for a browser, a view in a notebook, and values for a program."""

from __future__ import annotations

import base64
import io
from collections import Counter
from typing import Any

from PIL import Image

from finetune.data.check import Findings, modes_summary, sizes_summary
from finetune.data.problems import Level, Problem

SHOWN = 12  # thumbnails of one kind of problem
THUMB = 96  # pixels of their longest side


class Report:
    """What `check` found.

    Args:
        findings: of a check.
    """

    def __init__(self, findings: Findings) -> None:
        self.findings = findings

    @property
    def ok(self) -> bool:
        """Whether training can begin: nothing must be repaired."""
        return not self.of_level("error")

    def of_level(self, level: Level) -> list[Problem]:
        """Problems of one level."""
        return [problem for problem in self.findings.problems if problem.level == level]

    @property
    def verdict(self) -> str:
        """One sentence."""
        errors, warnings = len(self.of_level("error")), len(self.of_level("warning"))
        if errors:
            kinds = "kind of problem" if errors == 1 else "kinds of problems"
            return f"{errors} {kinds} must be repaired before training."
        if warnings:
            return f"Ready to train; {warnings} thing{'s' if warnings > 1 else ''} to look at."
        return "Ready to train."

    def facts(self) -> list[tuple[str, str]]:
        """Counts and sizes, in words."""
        found = self.findings
        regularisation = sum(example.regularisation for example in found.examples)
        rows = [
            ("data", found.name),
            ("for", found.sizes.title),
            ("pictures", f"{len(found.scanned):,}, {len(found.examples):,} of them sound"),
            ("sizes", sizes_summary(found.scanned)),
            ("colour modes", modes_summary(found.scanned)),
            ("captions", f"{len({text for each in found.examples for text in each.captions}):,} different"),
        ]
        if found.longest_caption is not None:
            rows.append(("longest caption", f"{found.longest_caption} of {found.sizes.tokens} tokens"))
        else:
            rows.append(("longest caption", "not counted: no tokenizer of this model here"))
        for what, count in (
            ("with references", sum(bool(each.references) for each in found.examples)),
            ("with a mask", sum(each.mask is not None for each in found.examples)),
            ("regularisation", regularisation),
            ("held out", len(found.held_out)),
        ):
            if count:
                rows.append((what, f"{count:,}"))
        return [*rows, ("checked in", f"{found.seconds:.1f} s")]

    def bucket_rows(self) -> list[tuple[str, ...]]:
        """Size, pictures, draws and batches an epoch, and the share of the pictures that is kept."""
        size = self.findings.batch_size
        return [
            (str(row.bucket), f"{row.pictures:,}", f"{row.draws:,}", f"{-(-row.draws // size):,}", f"{row.kept:.0%}")
            for row in self.findings.buckets
        ]

    def estimate_rows(self) -> list[tuple[str, str]]:
        """Time, memory and disk, with what they were computed for."""
        made = self.findings.estimate
        if made is None:
            return [("not estimated", self.findings.not_estimated)]
        packed = "" if made.quant == "none" else f" in {made.quant}"
        run = f"{made.model}, rank {made.rank}, batch {made.batch_size}, {made.precision} base{packed}"
        if made.seconds is None or made.speed is None:
            time = f"{made.tera_operations:.3g} TFLOP a step; the model is not on this machine"
        else:
            each = made.seconds / made.steps
            time = f"{_time(made.seconds)} ({each:.3g} s a step at 35 % of {made.speed / 1e12:.3g} TFLOP/s)"
        return [
            ("run", run),
            ("steps", f"{made.steps:,}: every picture {made.epochs:.3g} times"),
            ("time", time),
            ("memory", f"{_bytes(made.memory)}; {_bytes(made.memory_recomputed)} with recomputed blocks"),
            ("cache", f"{_bytes(made.cache)} on disk for latents and text features"),
            ("checkpoint", f"{_bytes(made.checkpoint)} each, with the optimiser's state"),
        ]

    def to_dict(self) -> dict[str, Any]:
        """Everything as JSON values."""
        found, made = self.findings, self.findings.estimate
        return {
            "ok": self.ok,
            "data": found.name,
            "family": found.sizes.title,
            "pictures": len(found.scanned),
            "sound": len(found.examples),
            "held_out": [example.id for example in found.held_out],
            "longest_caption": found.longest_caption,
            "problems": [
                {
                    "kind": each.kind,
                    "level": each.level,
                    "message": each.message,
                    "remedy": each.remedy,
                    "pictures": list(each.pictures),
                }
                for each in found.problems
            ],
            "colour_modes": Counter(each.facts.mode for each in found.scanned if each.facts),
            "buckets": [
                {"size": str(row.bucket), "pictures": row.pictures, "draws": row.draws, "kept": row.kept}
                for row in found.buckets
            ],
            "estimate": made and {name: getattr(made, name) for name in made.__slots__},
            "not_estimated": found.not_estimated,
            "seconds": found.seconds,
        }

    def to_html(self) -> str:
        """A page of its own, which fetches nothing."""
        return self._render(page=True)

    def _repr_html_(self) -> str:
        return self._render(page=False)

    def __repr__(self) -> str:
        return f"<Report on {self.findings.name!r}: {self.verdict}>"

    def _render(self, *, page: bool) -> str:
        from jinja2 import Environment, PackageLoader, StrictUndefined

        environment = Environment(
            loader=PackageLoader("finetune.data", "assets"), autoescape=True, undefined=StrictUndefined,
            trim_blocks=True, lstrip_blocks=True,
        )  # fmt: skip
        problems = [(problem, self._thumbnails(problem)) for problem in self.findings.problems]
        return environment.get_template("report.html.j2").render(page=page, report=self, problems=problems)

    def _thumbnails(self, problem: Problem) -> list[tuple[str, str]]:
        """(id, data URL) of the first pictures of a problem that could be decoded."""
        kept = self.findings.thumbnails
        return [(each, _data_url(kept[each])) for each in problem.pictures[:SHOWN] if each in kept]


def _data_url(picture: Image.Image) -> str:
    small = picture.copy()
    small.thumbnail((THUMB, THUMB), Image.Resampling.BOX)
    file = io.BytesIO()
    small.save(file, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(file.getvalue()).decode()}"


def _time(seconds: float) -> str:
    if seconds < 90:
        return f"{seconds:.0f} s"
    return f"{seconds / 60:.0f} min" if seconds < 5400 else f"{seconds / 3600:.1f} h"


def _bytes(count: float) -> str:
    for unit, size in (("GB", 1e9), ("MB", 1e6)):
        if count >= size:
            return f"{count / size:.3g} {unit}"
    return f"{count / 1e3:.3g} kB"
