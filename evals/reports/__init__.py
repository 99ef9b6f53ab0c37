"""Reports of runs: one self-contained page, Markdown and Parquet, each number with all that it needs."""

from __future__ import annotations

from pathlib import Path

from evals.reports.findings import Findings, analyse
from evals.reports.sentences import headline
from evals.running.types import EvalRun

PAGE, MARKDOWN = "report.html", "report.md"

__all__ = ["Findings", "analyse", "headline", "write_report"]


def write_report(run: EvalRun, folder: str | Path, findings: Findings | None = None) -> list[Path]:
    """Write `report.html` and `report.md` into a folder, each whole or not at all.

    Args:
        run: with at least one scorer.
        folder: made when absent; the one that `EvalRun.save` wrote to keeps all of a run together.
        findings: of `analyse(run)`, where they are known already.

    Raises:
        StoreError: the folder cannot be written.
    """
    from evals.reports import markdown, page
    from workbench.store.files import make_folder, write_atomically

    folder = Path(folder)
    make_folder(folder)
    found = findings or analyse(run)
    write_atomically(folder / PAGE, page.render(found).encode())
    write_atomically(folder / MARKDOWN, markdown.render(found).encode())
    return [folder / PAGE, folder / MARKDOWN]
