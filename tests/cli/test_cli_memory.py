"""Memory told before anything is loaded, and what works with what."""

from __future__ import annotations

import json
from typing import Any

import pytest

from workbench.engine.forecast import Forecast, forecast
from workbench.models import features
from workbench.models.catalog import ModelCatalog
from workbench.models.doctor import weights
from workbench.settings import Settings


def test_fewer_bits_and_smaller_pictures_take_less(tiny_catalog: ModelCatalog) -> None:
    model = tiny_catalog.model("tiny-base")
    whole = forecast(model, "float32", None, (128, 128))
    half = forecast(model, "bfloat16", None, (128, 128))
    assert half.resident == pytest.approx(whole.resident / 2, rel=0.01)
    eight, four = forecast(model, "bfloat16", "int8", (128, 128)), forecast(model, "bfloat16", "nf4", (128, 128))
    assert four.weights["transformer"] < eight.weights["transformer"] < half.weights["transformer"]
    assert four.weights["vae"] == half.weights["vae"]
    assert forecast(model, "float32", None, (256, 128)).decode == 2 * whole.decode
    assert forecast(model, "float32", None, (128, 128), references=2).denoise > whole.denoise


def test_the_choice_follows_what_is_free(tiny_catalog: ModelCatalog) -> None:
    assert (small := forecast(tiny_catalog.model("tiny-base"), "float32", None, (64, 64))).dropped < small.resident
    weights = {"transformer": 390 * 10**6, "text_encoder": 300 * 10**6, "vae": 10**7}
    plan = Forecast("float32", None, weights, denoise=2 * 10**8, decode=10**8)
    choices = [plan.choice(int(size / 0.8) + 10) for size in (plan.resident, plan.dropped, plan.on_host)]
    assert choices == [
        "everything stays in memory",
        "the text encoder is dropped once the prompts are encoded",
        "the text encoder works on the CPU",
    ]
    assert plan.choice(0) == "does not fit"


METHODS = ["int8", "fp8", "nf4", "int8+text", "nf4+text"]


def test_a_model_that_is_not_here_is_planned_from_its_row(cli: Any) -> None:
    plan = json.loads(cli("models", "plan", "black-forest-labs/FLUX.2-klein-9B", "--memory", "48", "--json").stdout)
    assert plan["installed"] is False
    half = plan["forms"][1]
    assert sum(half["weights"].values()) / 1e9 == pytest.approx(2 * (9.079 + 5.832 + 0.084))
    assert half["choice"] == "everything stays in memory"
    four = plan["forms"][-1]
    assert sum(four["weights"].values()) < 0.4 * sum(half["weights"].values())
    told = cli("models", "plan", "FLUX.1-dev")
    assert "33.7 GB to download" in told.stderr
    assert "gated" in told.stderr
    assert "FLUX.1-dev" in cli("models", "plan", "FLUX.1-dav").stderr
    assert "not planned" in cli("models", "plan", "stable-diffusion-v1-5").stderr


def test_a_row_predicts_what_the_files_say(tiny_catalog: ModelCatalog) -> None:
    from workbench.engine.forecast import forecast_published

    model = tiny_catalog.model("klein-nano-base")
    for method in (None, *METHODS[:3]):
        exact = forecast(model, "bfloat16", method, (256, 256))  # type: ignore[arg-type]
        row = forecast_published("klein-nano-base", "bfloat16", method, (256, 256))  # type: ignore[arg-type]
        assert row.denoise == exact.denoise
        assert row.weights == pytest.approx(exact.weights, rel=0.02)


def test_the_plan_is_printed(cli: Any) -> None:
    plan = json.loads(cli("models", "plan", "klein-nano", "--memory", "1", "--json").stdout)
    assert [row["quantisation"] for row in plan["forms"]] == [None, None, *METHODS]
    assert all(row["choice"] == "everything stays in memory" for row in plan["forms"])
    assert cli("models", "plan", "klein-nano", "--memory", "0").stdout.count("does not fit") == 7
    assert cli("models", "plan", "nothing").exit_code == 2


def test_everything_works_with_everything_but_float32_is_not_small() -> None:
    cells = features.matrix()
    assert len(cells) == len(features.FORMS) * len(features.USES)
    assert [(cell.form, cell.use) for cell in cells if not cell.works] == [("float32", "half the memory")]


def test_what_does_not_work_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    from workbench.errors import ModelError

    def broken(*_: object) -> bool:
        raise ModelError("It is broken.")

    monkeypatch.setattr(features, "_split", broken)
    cell = features._try("int8", "split rows")
    assert (cell.works, cell.reason) == (False, "It is broken.")


def test_the_doctor_has_a_line_for_each_form() -> None:
    checks = list(weights(Settings()))
    assert [check.name for check in checks] == list(features.FORMS)
    assert {check.state for check in checks} == {"ok"}
