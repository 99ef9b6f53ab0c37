from __future__ import annotations

import asyncio
import json
import logging
import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest
import structlog

from workbench import logs
from workbench.errors import StoreError
from workbench.session import Session


@pytest.fixture(autouse=True)
def _fresh(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setattr(logs, "_chosen", False)
    structlog.reset_defaults()
    yield
    structlog.reset_defaults()


def lines(capsys: pytest.CaptureFixture[str]) -> list[dict[str, Any]]:
    return [json.loads(line) for line in capsys.readouterr().err.splitlines()]


def test_the_context_goes_along_into_threads(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", style="json")
    log = logs.get_logger("test")
    with logs.context(job=7, worker="a"):
        told = logs.carried(log.info)
        with ThreadPoolExecutor(4) as pool:
            list(pool.map(told, ["carried"] * 20))
        thread = threading.Thread(target=log.info, args=["bare"])
        thread.start()
        thread.join()
    log.info("after")
    found = lines(capsys)
    assert [
        entry for entry in found if entry["event"] == "carried" and (entry["job"], entry["worker"]) == (7, "a")
    ] == [entry for entry in found if entry["event"] == "carried"]
    assert len(found) == 22
    assert all("job" not in entry for entry in found if entry["event"] in ("bare", "after"))


def test_a_carried_function_leaves_its_context_in_its_thread(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", style="json")
    log = logs.get_logger("test")

    def work(number: int) -> None:
        structlog.contextvars.bind_contextvars(recipe=number)
        log.info("inside")

    with logs.context(job=1), ThreadPoolExecutor(1) as pool:
        list(pool.map(logs.carried(work), [1, 2]))
        log.info("outside")
    inside, _, outside = lines(capsys)
    assert (inside["job"], inside["recipe"]) == (1, 1)
    assert "recipe" not in outside


def test_async_tasks_have_the_context(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", style="json")
    log = logs.get_logger("test")

    async def job(number: int) -> None:
        with logs.context(job=number):
            await asyncio.sleep(0)
            await asyncio.to_thread(log.info, "step")

    async def both() -> None:
        await asyncio.gather(job(1), job(2))

    asyncio.run(both())
    assert sorted(entry["job"] for entry in lines(capsys)) == [1, 2]


def test_our_errors_are_told_by_code_sentence_and_remedy(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("warning", style="json")
    logs.get_logger("test").warning("not saved", error=StoreError("The disk is full.", "Free some."))
    (entry,) = lines(capsys)
    assert (entry["error"], entry["remedy"], entry["code"]) == ("The disk is full.", "Free some.", "WB104")


def test_secrets_and_the_home_folder_stay_out(capsys: pytest.CaptureFixture[str]) -> None:
    logs.set_up("info", style="json")
    log = logs.get_logger("test")
    log.info("open x://me:sesame@host", path=str(Path.home() / "x"), inner={"token": "token=sesame"})
    try:
        raise RuntimeError("password=sesame")
    except RuntimeError:
        log.exception("bug")
    text = capsys.readouterr().err
    assert "sesame" not in text
    assert str(Path.home()) + "/x" not in text
    assert "RuntimeError" in text


def test_a_session_follows_the_settings_unless_somebody_chose(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("WORKBENCH_LOG_LEVEL", "info")
    monkeypatch.setenv("WORKBENCH_LOG_FORMAT", "json")
    Session(home=tmp_path)
    logs.get_logger("test").info("seen")
    assert lines(capsys)[0]["event"] == "seen"
    logs.set_up(logging.WARNING)
    Session(home=tmp_path)
    logs.get_logger("test").info("unseen")
    assert capsys.readouterr().err == ""


def test_a_run_logs_every_picture_with_its_recipe(
    tmp_path: Path, tiny_klein: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    from workbench.settings import Settings

    logs.set_up("info", style="json")
    session = Session(Settings(home=tmp_path, models=tiny_klein.root, device="cpu"))
    with logs.context(job=3):
        result = session.generate(prompt="secret words", model="tiny-base", width=64, height=64, steps=1)
        with pytest.raises(Exception, match="multiple"):
            session.generate(model="tiny-base", width=65)
    found = [entry for entry in lines(capsys) if entry["part"] == "session"]
    saved = next(entry for entry in found if entry["event"] == "picture saved")
    assert (saved["recipe"], saved["job"]) == (result.digest[:12], 3)
    failed = next(entry for entry in found if entry["event"] == "picture failed")
    assert failed["code"] == "WB101"
    assert "secret words" not in json.dumps(found)
