"""Reports of runs: the sentences are true, every failure is counted, no text of a prompt becomes markup."""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from pathlib import Path

import pytest
from markupsafe import escape

from evals.reports import analyse, headline, write_report
from evals.reports.ceilings import ceilings
from evals.reports.findings import ALL, Findings, to_json
from evals.reports.gallery import galleries
from evals.reports.sentences import cautions, number, p_value
from evals.running import EvalRun, load_run, run_suite
from evals.scoring import Sample, Score
from evals.suite import Prompt, Suite
from tests.evals.runs import GreyScorer, grey_suite, painter


@pytest.fixture(scope="module")
def run() -> EvalRun:
    """Three contenders with known shares of right pictures; the worst one also fails."""
    contenders = [painter("good", 0.9), painter("twin", 0.9), painter("bad", 0.4, failing=0.05)]
    return run_suite(None, grey_suite(45), contenders, seeds=2, scorers=[GreyScorer()])


@pytest.fixture(scope="module")
def findings(run: EvalRun) -> Findings:
    return analyse(run)


@pytest.fixture(scope="module")
def page(run: EvalRun, findings: Findings, tmp_path_factory: pytest.TempPathFactory) -> str:
    html, markdown = write_report(run, tmp_path_factory.mktemp("report"), findings)
    assert markdown.name == "report.md"
    return html.read_text(encoding="utf-8")


def test_the_headline_says_who_is_better_by_how_much(findings: Findings) -> None:
    same, first, second = headline(findings)
    assert same.startswith("No difference between good and twin is shown on grey: right")
    assert "The smallest true difference that this run would have found in four of five cases is" in same
    said = re.fullmatch(
        r"good is better than bad on grey: right by ([\d.]+) points \(95 % interval ([\d.]+) to ([\d.]+), p < 0\.001 after "
        r"Holm's correction, n = 45 prompts x 2 seeds(, \d+ pictures? without a partner left out)?\)\.",
        first,
    )
    assert said, first
    value, low, high = map(float, said.groups()[:3])
    assert low < value < high
    assert 30 < value < 70  # the truth is 50
    assert second.startswith("twin is better than bad")


def test_means_match_the_table(findings: Findings) -> None:
    frame = findings.run.frame()
    for mean in findings.means:
        rows = frame[(frame["contender"] == mean.contender) & (frame["metric"] == mean.measure.metric.name)]
        if mean.kind:
            rows = rows[rows["kind"] == mean.kind]
        assert mean.estimate.value == pytest.approx(rows["value"].mean())
        assert mean.estimate.n == rows["value"].notna().sum()
        assert mean.estimate.clusters == rows[rows["value"].notna()]["cluster"].nunique()
    assert {mean.kind for mean in findings.means if mean.measure.main} == {ALL, "dark", "light", "plain"}
    assert {mean.measure.metric.name for mean in findings.means} == {"right", "off"}  # nothing asks for the third


def test_a_metric_where_lower_is_better_is_read_so(findings: Findings) -> None:
    (off,) = [c for c in findings.comparisons if c.measure.metric.name == "off" and (c.a, c.b) == ("good", "bad")]
    assert off.difference.value < 0
    assert off.difference.better is True


def test_families_are_corrected_apart(findings: Findings) -> None:
    mains = [c.difference for c in findings.comparisons if c.measure.main and not c.kind]
    smallest = min(mains, key=lambda each: each.p)
    assert smallest.p_adjusted == pytest.approx(min(1.0, 3 * smallest.p))
    skills = [c.difference for c in findings.comparisons if c.kind]
    assert min(skills, key=lambda each: each.p).p_adjusted == pytest.approx(9 * min(each.p for each in skills))


def test_failures_are_counted_and_told(findings: Findings) -> None:
    failed = sum(bool(cell.error) for cell in findings.run.cells)
    assert failed
    (count,) = [each for each in findings.counts if each.failed]
    assert (count.contender, count.failed, count.total) == ("bad", failed, 90)
    assert count.reasons == (("ValueError: the brush broke", failed),)
    assert f"bad: {failed} of 90 pictures could not be made; most often: ValueError: the brush broke" in cautions(
        findings
    )
    partners = [c.dropped for c in findings.comparisons if c.b == "bad" and c.measure.main and not c.kind]
    assert partners == [failed, failed]


def test_small_and_saturated_runs_are_cautioned() -> None:
    perfect = run_suite(None, grey_suite(25), [painter("a", 1.0)], seeds=4, scorers=[GreyScorer()])
    found = analyse(perfect, details=False)
    assert headline(found)[0].startswith("a reaches 100.0 points on grey: right (95 % interval")
    said = " ".join(cautions(found))
    assert "25 independent prompts only" in said
    many = run_suite(None, grey_suite(45), [painter("a", 1.0)], seeds=1, scorers=[GreyScorer()])
    two = many.suite.model_copy(update={"prompts": (*many.suite.prompts, *_copies(many.suite))})
    assert "near the best possible value" in " ".join(
        cautions(analyse(run_suite(None, two, [painter("a", 1.0)], seeds=1, scorers=[GreyScorer()])))
    )


def _copies(suite: Suite) -> tuple[Prompt, ...]:
    return tuple(
        each.model_copy(update={"id": f"{each.id}-{at}", "prompt": f"{each.prompt} {at}"})
        for each in suite.prompts
        for at in range(2)
    )


def test_the_page_is_self_contained_and_inert(page: str, findings: Findings) -> None:
    assert "<script" not in page
    assert "<b>&" not in page  # the prompts hold it
    assert "&lt;b&gt;&amp;" in page
    outside = set(re.findall(r"(?:src|href)=\"(?!data:|#)([^\"]*)\"", page)) | set(re.findall(r"url\((?!#)", page))
    assert not outside
    assert page.count("data:image/png;base64,") > 20
    for sentence in headline(findings):
        assert str(escape(sentence)) in page
    assert "ValueError: the brush broke" in page
    assert findings.run.suite.fingerprint in page
    assert "<svg" in page
    assert len(page) < 5_000_000


def test_the_same_run_gives_the_same_page(run: EvalRun, findings: Findings, page: str, tmp_path: Path) -> None:
    run.save(tmp_path)
    back = load_run(tmp_path)
    html, _ = write_report(back, tmp_path)
    assert html.read_text(encoding="utf-8") == page
    assert to_json(analyse(back)) == to_json(findings)


def test_markdown_holds_the_tables(run: EvalRun, findings: Findings, tmp_path: Path) -> None:
    text = write_report(run, tmp_path, findings)[1].read_text(encoding="utf-8")
    assert "| grey: right |" in text
    assert "| bad | made | " in text
    mean = next(each for each in findings.means if each.measure.main and each.contender == "good" and not each.kind)
    assert f"{100 * mean.estimate.value:.1f} (" in text


def test_galleries_hold_the_best_the_worst_and_the_disputed(findings: Findings) -> None:
    (gallery,) = galleries(findings)
    assert {tile.value for tile in gallery.worst} == {0.0}
    assert {tile.value for tile in gallery.best} == {1.0}
    assert len({tile.cell.contender for tile in gallery.worst}) > 1
    assert all(row.spread == 1.0 for row in gallery.disputed)
    assert len({row.prompt.id for row in gallery.disputed}) == len(gallery.disputed) == 8
    for row in gallery.disputed:
        assert len({(tile.cell.prompt_id, tile.cell.seed) for tile in row.tiles}) == 1
        assert [tile.cell.contender for tile in row.tiles] == list(findings.run.names)
    assert all(tile.uri for tile in gallery.best)


def test_json_is_json(findings: Findings) -> None:
    facts = json.loads(json.dumps(to_json(findings), allow_nan=False))
    assert {each["contender"] for each in facts["means"]} == {"good", "twin", "bad"}
    assert all(each["version"] == "1" and each["direction"] for each in facts["means"])


def test_two_scorers_agree_as_far_as_they_do() -> None:
    scorers = [GreyScorer(), GreyScorer("again")]
    run = run_suite(None, grey_suite(20), [painter("a", 0.5)], seeds=2, scorers=scorers)
    (agreement,) = analyse(run, details=False).agreements
    assert agreement.result.tau == pytest.approx(1.0)
    assert agreement.result.n == 40


def test_a_scorer_that_measures_nothing_is_named() -> None:
    class Silent(GreyScorer):
        metrics = GreyScorer.metrics[2:]

        def score(self, samples: Sequence[Sample]) -> list[Score]:
            return [Score({"unasked": None}) for _ in samples]

    run = run_suite(None, grey_suite(3), [painter("a", 1.0)], seeds=1, scorers=[Silent("silent")])
    found = analyse(run)
    assert headline(found) == []
    assert any(each.startswith("silent measures nothing here") for each in cautions(found))


def test_a_missing_ceiling_is_said() -> None:
    run = run_suite(None, grey_suite(3), [painter("a", 1.0)], seeds=1, scorers=[GreyScorer("typography")])
    assert "not measured" in ceilings(analyse(run, details=False))[0]


def test_numbers_are_written_as_people_read_them(findings: Findings) -> None:
    right, off = findings.measures
    assert number(0.0613, right, signed=True, unit=True) == "+6.1 points"
    assert number(-0.5, right) == "−50.0"
    assert number(12.3456, off, unit=True) == "12.3 levels"
    assert number(0.00123, off) == "0.00123"
    assert number(0, off) == "0.00"
    assert [p_value(p) for p in (0.0001, 0.0312, 0.04961, 0.0503, 0.4)] == [
        "p < 0.001",
        "p = 0.031",
        "p = 0.0496",
        "p = 0.050",
        "p = 0.40",
    ]
