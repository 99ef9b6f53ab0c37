"""The self-contained HTML page of a run: nothing is fetched, every text is escaped, every picture is inlined."""

from __future__ import annotations

import json
import math
from statistics import median
from typing import Any

from evals.reports.ceilings import ceiling_of, ceilings
from evals.reports.figures import colour, cost_figure, describe, differences_figure, means_figure, radar_figure
from evals.reports.findings import ALL, Agreement, Comparison, Findings, Mean, Measure
from evals.reports.gallery import Gallery, Tile, galleries
from evals.reports.sentences import cautions, headline, honest, interval, number, p_value
from evals.running.files import command, plain

METHODS = (
    (
        "Means are over pictures. Their 95 % intervals treat prompts (or clusters of variants), not pictures, as independent: "
        "a bias-corrected and accelerated bootstrap over whole prompts with 9,999 resamples; Wilson's interval where outcomes "
        "are 0 or 1 with one picture a prompt, and where all outcomes are alike."
    ),
    (
        "Differences pair pictures of the same prompt and seed. Intervals are bootstrapped over whole prompts; p-values come "
        "from a two-sided permutation test that swaps the sides of whole prompts (9,999 permutations, or all where there are "
        "few). Holm's correction is applied to three families: main metrics over all skills, main metrics skill by skill, and "
        "all further metrics."
    ),
    (
        "Effect is the mean difference of prompts over its standard deviation (Cohen's d for pairs). Findable is the smallest "
        "true difference that a paired t test of this size finds in 80 % of runs at the 5 % level."
    ),
)


def render(findings: Findings) -> str:
    """The page of a run as HTML text."""
    from jinja2 import Environment, PackageLoader, StrictUndefined
    from markupsafe import Markup

    environment = Environment(
        loader=PackageLoader("evals.reports", "assets"), autoescape=True, undefined=StrictUndefined,
        trim_blocks=True, lstrip_blocks=True,
    )  # fmt: skip
    loader = environment.loader
    assert loader is not None  # given above
    style = Markup(loader.get_source(environment, "report.css")[0])  # noqa: S704 - our own file
    return environment.get_template("report.html.j2").render(style=style, **context(findings))


def context(findings: Findings) -> dict[str, Any]:
    """Everything that the page shows, as text and numbers."""
    run = findings.run
    shown = [each for each in findings.comparisons if each.measure.main and not each.kind]
    texts = headline(findings)
    marks = [each.difference.better is not None for each in shown] or [False] * len(texts)
    mains = [each for each in findings.measures if each.main]
    pictures = [_gallery(findings, each, place) for place, each in enumerate(galleries(findings))]
    comparisons = [_comparison(each) for each in findings.comparisons]
    skills = [table for each in mains if (table := _skills(findings, each))]
    others = [_row(findings, each, ALL, each.title) for each in findings.measures if not each.main]
    agreements = [_agreement(each) for each in findings.agreements]
    known = any(each.seconds is not None for each in run.cells)
    cost = [_cost(findings, at, name) for at, name in enumerate(run.names)] if known else []
    parts = [("summary", "Summary"), ("results", "Results")]
    parts += [("comparisons", "Comparisons")] if comparisons else []
    parts += [("skills", "Skills")] if skills else []
    parts += [("metrics", "All metrics")] if others else []
    parts += [("cost", "Cost")] if cost else []
    parts += [(each["anchor"], f"Pictures: {each['title'].split(':')[0]}") for each in pictures]
    parts += [("failures", "Failures"), ("method", "How it was made")]
    return {
        "title": title(findings),
        "lead": lead(findings),
        "parts": parts,
        "sentences": [{"text": text, "shown": mark} for text, mark in zip(texts, marks, strict=True)],
        "cautions": cautions(findings),
        "contenders": [
            {"name": each.name, "ink": colour(at), "weights": run.weights.get(each.name, ""),
             "fields": "a function" if run.by_function(each.name) else json.dumps(plain(each.fields), ensure_ascii=False)}
            for at, each in enumerate(run.contenders)
        ],
        "main_rows": [_row(findings, each, ALL, each.title) for each in mains],
        "means_svg": _svg(means_figure(findings)),
        "means_about": "; ".join(describe(findings, each) for each in mains),
        "radars": [_svg(svg) for each in mains if (svg := radar_figure(findings, each))],
        "comparisons": comparisons,
        "paired": run.paired,
        "differences_svg": _svg(differences_figure(findings)),
        "skills": skills,
        "other_rows": others,
        "cost": cost,
        "cost_svg": _svg(cost_figure(findings, mains[0])) if mains else "",
        "galleries": pictures,
        "agreements": agreements,
        "counts": [
            {"contender": each.contender, "step": f"scored by {each.scorer}" if each.scorer else "made",
             "failed": each.failed, "total": each.total, "reasons": each.reasons[:5]}
            for each in findings.counts
        ],
        "provenance": provenance(findings),
        "scorers": [
            {"name": each.name, "version": each.version,
             "main": f"{each.metrics[0].name}, {each.metrics[0].direction} is better; {each.metrics[0].source}".rstrip("; ")}
            for each in run.scorers
        ],
        "ceilings": ceilings(findings),
        "environment": sorted(run.environment.items()),
        "methods": METHODS,
    }  # fmt: skip


def title(findings: Findings) -> str:
    """Of the page: who was compared on what."""
    names = findings.run.names
    who = names[0] if len(names) == 1 else f"{', '.join(names[:-1])} and {names[-1]}"
    who = who if len(names) < 5 else f"{len(names)} contenders"
    return f"{who} on {findings.run.suite.name}"


def lead(findings: Findings) -> str:
    """One line under the title."""
    run = findings.run
    pictures, prompts = len(run.cells), len(run.suite.prompts)
    scorers = ", ".join(each.name for each in run.scorers)
    seeds = f"{run.seeds} seed{'s' if run.seeds > 1 else ''}"
    return f"{prompts:,} prompts x {seeds} x {len(run.names)} = {pictures:,} pictures, scored by {scorers}. {run.created[:10]}"


def provenance(findings: Findings) -> list[tuple[str, str]]:
    """What decides the numbers, for people."""
    run = findings.run
    rows = [
        ("Suite", f"{run.suite.name} version {run.suite.version}: {run.suite.about}"),
        ("Prompts, SHA-256", run.suite.fingerprint),
        ("Source", run.suite.source),
        ("Licence", run.suite.licence),
        ("Seeds", f"{run.seeds} for each prompt, from base {run.base_seed}, "
         + ("the same for every contender" if run.paired else "others for every contender")),
        ("Created", run.created),
        ("Make it again", f"{again}, with the run.yaml of this run" if (again := command(run)) else ""),
    ]  # fmt: skip
    return [(name, value) for name, value in rows if value]


def _svg(text: str) -> Any:
    from markupsafe import Markup

    return Markup(text)  # noqa: S704 - drawn by matplotlib, which escapes the texts in it


def _cell(mean: Mean | None, measure: Measure, ink: str) -> dict[str, Any] | None:
    if mean is None:
        return None
    found = mean.estimate
    bar = None
    if measure.share:
        bar = {name: round(100 * getattr(found, name), 2) for name in ("value", "low", "high")}
    return {
        "value": number(found.value, measure, unit=not measure.share), "range": interval(found.low, found.high, measure),
        "bar": bar, "ink": ink,
    }  # fmt: skip


def _row(findings: Findings, measure: Measure, kind: str, name: str) -> dict[str, Any]:
    cells = [
        _cell(findings.mean(measure, each, kind), measure, colour(at)) for at, each in enumerate(findings.run.names)
    ]
    return {
        "title": name,
        "cells": cells,
        "direction": measure.metric.direction,
        "source": measure.metric.source,
        "ceiling": "" if (best := ceiling_of(findings, measure)) is None else number(best, measure),
    }


def _skills(findings: Findings, measure: Measure) -> dict[str, Any] | None:
    rows = []
    for kind in findings.run.suite.kinds:
        if any(findings.mean(measure, name, kind) for name in findings.run.names):
            prompts = sum(each.kind == kind for each in findings.run.suite.prompts)
            rows.append(_row(findings, measure, kind, kind) | {"prompts": prompts})
    return {"title": measure.title, "rows": rows} if rows else None


def _comparison(each: Comparison) -> dict[str, Any]:
    found, measure = each.difference, each.measure
    tone = {None: "", True: "good", False: "bad"}[found.better]
    return {
        "title": measure.title, "kind": each.kind or "all", "pair": f"{each.a} − {each.b}", "tone": tone,
        "value": number(found.value, measure, signed=True, unit=not measure.share),
        "range": interval(found.low, found.high, measure, signed=True),
        "p": p_value(found.p).removeprefix("p = ").removeprefix("p "),
        "adjusted": p_value(found.p_adjusted).removeprefix("p = ").removeprefix("p "),
        "effect": f"{found.effect:.2f}".replace("-", "−"), "detectable": number(found.detectable, measure),
        "n": f"{found.n} / {found.clusters}",
        "sentence": honest(each),
    }  # fmt: skip


def _cost(findings: Findings, at: int, name: str) -> dict[str, Any]:
    cells = [cell for cell in findings.run.cells if cell.contender == name]
    seconds = [cell.seconds for cell in cells if cell.seconds is not None]
    memory = [cell.gigabytes for cell in cells if cell.gigabytes is not None]
    return {
        "name": name, "ink": colour(at), "pictures": f"{sum(not cell.error for cell in cells):,}",
        "median": f"{median(seconds):.2f}" if seconds else "not known",
        "total": f"{sum(seconds):,.0f}" if seconds else "not known",
        "memory": f"{max(memory):.2f} GB" if memory else "not known",
    }  # fmt: skip


def _gallery(findings: Findings, gallery: Gallery, place: int) -> dict[str, Any]:
    alone = len(findings.run.names) == 1
    about = "The prompts whose seeds" if alone else "The same prompt and seed, where contenders"
    return {
        "anchor": f"pictures-{place + 1}", "title": gallery.measure.title,
        "best": [_tile(findings, each, gallery.measure) for each in gallery.best],
        "worst": [_tile(findings, each, gallery.measure) for each in gallery.worst],
        "disputed_about": f"{about} differ most.",
        "disputed": [
            {"prompt": row.prompt.prompt, "kind": row.prompt.kind,
             "tiles": [_tile(findings, each, gallery.measure) for each in row.tiles]}
            for row in gallery.disputed
        ],
    }  # fmt: skip


def _tile(findings: Findings, tile: Tile, measure: Measure) -> dict[str, Any]:
    cell = tile.cell
    error = cell.error or (cell.scores[measure.scorer.name].error if measure.scorer.name in cell.scores else "")
    value = number(tile.value, measure, unit=not measure.share) if tile.value is not None else "not scored"
    return {
        "uri": tile.uri, "who": cell.contender, "ink": colour(findings.run.names.index(cell.contender)),
        "prompt": tile.prompt.prompt, "value": value, "error": error, "small": tile.uri.startswith("data:image/png"),
        "recipe": cell.recipe.strip() or f"seed: {cell.seed}", "seen": tile.seen,
    }  # fmt: skip


def _agreement(each: Agreement) -> dict[str, str]:
    found = each.result
    constant = math.isnan(found.tau)  # one of the two never varies
    return {
        "pair": f"{each.first.title} and {each.second.title}",
        "tau": "one is constant" if constant else f"{found.tau:.2f}".replace("-", "−"),
        "range": "" if constant else f"{found.low:.2f} to {found.high:.2f}".replace("-", "−"),
        "n": f"{found.n}",
    }
