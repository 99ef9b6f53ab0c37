from __future__ import annotations

import statistics
from itertools import pairwise

import pytest
from PIL import Image

from evals.scoring import Sample, picture_digest
from evals.suite import load_suite
from evals.typography.ask import AskedTextError
from evals.typography.baselines import Baseline, blank, misspeller, oracle, shuffler
from evals.typography.draw import page
from evals.typography.metrics import measure
from evals.typography.normalise import VIEWS
from evals.typography.ocr import Reading, Region
from evals.typography.replay import ReplayOcr
from evals.typography.scorer import TypographyScorer

ROWS = [row for name in ("short", "long", "regions") for row in load_suite(f"typography-{name}-1").prompts]
LATIN = [row.ask["text"] for row in ROWS if row.kind not in ("chinese", "no text")]


def means(baseline: Baseline) -> dict[str, float]:
    """Mean of each metric over all texts, as a reader that never errs would see them."""
    found = [measure(asked, baseline.writes(asked, place)) for place, asked in enumerate(LATIN)]
    kept = {name: [value for values in found if (value := values[name]) is not None] for name in found[0]}
    return {name: statistics.fmean(values) for name, values in kept.items() if values}


def test_the_oracle_is_perfect() -> None:
    found = means(oracle())
    for view in VIEWS:
        for name in ("word_accuracy", "word_precision", "word_f1", "sentence_accuracy", "ned"):
            assert found[f"{name}_{view}"] == 1
        assert found[f"cer_{view}"] == found[f"wer_{view}"] == 0
    assert found["extra_words"] == 0


def test_the_blank_is_zero() -> None:
    found = means(blank())
    for view in VIEWS:
        for name in ("word_accuracy", "word_f1", "sentence_accuracy", "ned"):
            assert found[f"{name}_{view}"] == 0
        assert found[f"cer_{view}"] == found[f"wer_{view}"] == 1
        assert f"word_precision_{view}" not in found
    assert measure([], blank().writes([]))["false_text"] == 0


def spellable(text: str) -> int:
    return sum(any(sign.isalnum() for sign in word) for word in text.split())


@pytest.mark.parametrize("p", [0.0, 0.1, 0.3, 1.0])
def test_the_misspellers_accuracy_is_one_minus_p(p: float) -> None:
    right, total = dict.fromkeys(VIEWS, 0.0), 0
    for place, asked in enumerate(LATIN):
        words = sum(spellable(text) for text in asked)
        if words < sum(len(text.split()) for text in asked):
            continue  # signs such as "&" cannot be misspelt
        values = measure(asked, misspeller(p).writes(asked, place))
        total += words
        for view in VIEWS:
            right[view] += (values[f"word_accuracy_{view}"] or 0) * words
    error = (p * (1 - p) / total) ** 0.5  # of a share of independent words
    for view in VIEWS:
        assert abs(right[view] / total - (1 - p)) <= 3 * error + 1e-9


def test_the_misspeller_changes_one_letter() -> None:
    written = misspeller(1.0).writes(("Fresh Bread", "Room 214"), 5)
    for asked, got in zip(("Fresh Bread", "Room 214"), written, strict=True):
        for word, other in zip(asked.split(), got.split(), strict=True):
            assert sum(a != b for a, b in zip(word, other, strict=True)) == 1
    assert misspeller(0.5).writes(("a b c d e f",), 1) == misspeller(0.5).writes(("a b c d e f",), 1)
    with pytest.raises(ValueError, match="probability"):
        misspeller(1.5)


def test_the_shuffler_keeps_words_and_breaks_sentences() -> None:
    found = means(shuffler())
    assert found["word_accuracy_strict"] == found["word_precision_strict"] == 1
    several = [asked for asked in LATIN if len(asked) == 1 and len(set(asked[0].split())) > 1]
    for place, asked in enumerate(several):
        values = measure(asked, shuffler().writes(asked, place))
        assert values["sentence_accuracy_strict"] == 0
        assert values["wer_strict"] is not None
        assert values["wer_strict"] > 0


def test_more_faults_score_worse() -> None:
    found = [means(misspeller(p)) for p in (0.0, 0.3, 1.0)]
    for name in ("word_accuracy_strict", "ned_strict", "sentence_accuracy_strict", "ned_anytext"):
        assert all(a[name] > b[name] for a, b in pairwise(found))
    assert all(a["cer_strict"] < b["cer_strict"] for a, b in pairwise(found))


def test_through_the_scorer_with_a_perfect_reader() -> None:
    baseline = misspeller(0.4)
    rows = [row for row in ROWS if row.kind == "sentence"][:12]
    samples, readings = [], {}
    for seed, row in enumerate(rows):
        picture = baseline.draw(row.ask["text"], width=256, height=256, seed=seed)
        samples.append(Sample(picture, row.prompt, picture_digest(picture), row.ask))
        texts = baseline.writes(row.ask["text"], seed)
        readings[picture_digest(picture)] = Reading(tuple(Region(text) for text in texts))
    scores = TypographyScorer(ReplayOcr(readings, version="baselines")).score(samples)
    for seed, (row, score) in enumerate(zip(rows, scores, strict=True)):
        assert score.values == measure(row.ask["text"], baseline.writes(row.ask["text"], seed))
    blank_picture = blank().draw(["SALE"], width=64, height=64)
    assert len(blank_picture.getcolors() or ()) == 1


def test_pictures_follow_the_seed_and_fit() -> None:
    first, again, other = (oracle().draw(["Slow Down", "Exit"], width=200, height=300, seed=seed) for seed in (1, 1, 2))
    assert first.size == (200, 300)
    assert first.tobytes() == again.tobytes()
    assert first.tobytes() != other.tobytes()
    for seed in range(12):  # no ink reaches the edge
        picture = page(["gypsy jqpy", "Åy"], width=256, height=200, seed=seed)
        paper = picture.getpixel((0, 0))
        edge = [picture.getpixel((x, y)) for x in range(256) for y in (0, 199)]
        edge += [picture.getpixel((x, y)) for x in (0, 255) for y in range(200)]
        assert set(edge) == {paper}
        assert len(picture.getcolors(100_000) or ()) > 1
    with pytest.raises(AskedTextError, match="does not fit"):
        page(["an endless text " * 40], width=64, height=64)
    with pytest.raises(AskedTextError, match="glyph"):
        page(["书店"])


def test_a_baseline_draws_for_prompts() -> None:
    pictures = oracle()(['a sign that says "Exit"', "a cat"], [1, 2])
    assert all(isinstance(picture, Image.Image) for picture in pictures)
    assert len(pictures[1].getcolors() or ()) == 1
