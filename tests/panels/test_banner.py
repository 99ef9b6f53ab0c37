"""What a callback raises is seen in the panel, as text, and can be dismissed."""

from __future__ import annotations

import logging

import pytest

from workbench.errors import RecipeError
from workbench.panels.banner import Banner


def html(banner: Banner) -> str:
    return str(banner.children[0].value)


def test_it_is_hidden_until_needed() -> None:
    banner = Banner()
    assert banner.layout.display == "none"
    assert banner.text == ""


def test_an_error_of_ours_shows_message_and_remedy_without_a_log(caplog: pytest.LogCaptureFixture) -> None:
    banner = Banner()
    with banner.guard():
        raise RecipeError("The width 100 is not a multiple of 16 pixels.", "Use 96 or 112.")
    assert banner.text == "The width 100 is not a multiple of 16 pixels. Use 96 or 112."
    assert banner.layout.display == "flex"
    assert "wb-error" in banner._dom_classes
    assert caplog.records == []


def test_any_other_exception_shows_too_and_goes_to_the_log(caplog: pytest.LogCaptureFixture) -> None:
    banner = Banner()
    with caplog.at_level(logging.ERROR), banner.guard():
        raise ZeroDivisionError("division by zero")
    assert "ZeroDivisionError: division by zero" in banner.text
    assert caplog.records[0].exc_info is not None


def test_text_is_never_markup() -> None:
    banner = Banner()
    banner.show("<img src=x onerror=alert(1)>", "<b>no</b>")
    assert "<img" not in html(banner)
    assert "&lt;img" in html(banner)


def test_dismiss() -> None:
    banner = Banner()
    banner.show("Something.")
    banner.dismiss.click()
    assert (banner.text, banner.layout.display) == ("", "none")


def test_a_warning_after_an_error_is_no_longer_red() -> None:
    banner = Banner()
    banner.show("Bad.")
    banner.show("Long prompt.", level="warning")
    assert "wb-warning" in banner._dom_classes
    assert "wb-error" not in banner._dom_classes


def test_guarded_passes_arguments_and_swallows_what_is_raised() -> None:
    banner, seen = Banner(), []

    @banner.guarded
    def callback(change: dict[str, int]) -> None:
        seen.append(change["new"])
        raise RecipeError("No.")

    callback({"new": 3})
    assert seen == [3]
    assert banner.text == "No."
