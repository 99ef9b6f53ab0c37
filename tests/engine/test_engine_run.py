"""Runs: events, cancelling, errors of single recipes, memory running out."""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL.Image import Resampling
from safetensors.torch import load_file, save_file

from tests.conftest import TinyKlein, write_klein
from workbench.engine import CancelToken, Engine, Event, Finished, Planned, Result, Saving, Step
from workbench.engine.memory import Economy, batch_size, first_economy
from workbench.engine.plan import make_plan
from workbench.errors import Cancelled, GenerationError, ModelError, RecipeError, SettingsError
from workbench.models import ModelCatalog
from workbench.models.catalog import EMBEDDED
from workbench.recipe import Adapter, Recipe

EMBEDDED_MODELS = sorted(index.parent.name for index in EMBEDDED.glob("*/model_index.json"))
BASE = Recipe(model="tiny-base", prompt="a red circle", width=64, height=64, steps=3, max_sequence_length=40)


def values(result: Result) -> np.ndarray[Any, np.dtype[np.int64]]:
    assert result.picture is not None, result.error
    return np.asarray(result.picture, dtype=np.int64)


def test_events_tell_the_whole_story(tiny_engine: Engine) -> None:
    events: list[Event] = []
    recipes = [BASE, BASE.replace(seed=1, steps=2), BASE, Recipe(model="absent")]
    results = list(tiny_engine.run(recipes, listen=events.append, previews=True))
    assert sorted(result.index for result in results) == [0, 1, 2, 3]
    assert events[0] == Planned(total=4, unique=2, batches=1)
    digest = {result.index: result.digest for result in results}
    steps = [event for event in events if isinstance(event, Step)]
    assert [event.step for event in steps if event.digest == digest[0]] == [1, 2, 3]
    assert [event.step for event in steps if event.digest == digest[1]] == [1, 2]
    assert any(event.preview is not None for event in steps)
    finished = [event for event in events if isinstance(event, Finished)]
    assert [(event.digest, event.done, event.total) for event in finished] == [
        ("", 0, 2), (digest[1], 1, 2), (digest[0], 2, 2),
    ]  # fmt: skip
    assert isinstance(finished[0].error, ModelError)


def test_results_carry_what_made_them(tiny_engine: Engine) -> None:
    results = {result.index: result for result in tiny_engine.run([BASE, BASE.replace(precision="float32")])}
    first, second = results[0], results[1]
    assert (first.reused, second.reused) == (False, True)
    assert first.picture is second.picture
    assert first.recipe == BASE
    assert first.resolved is not None
    assert first.resolved.recipe.guidance_scale == 4.0
    assert {"text", "denoise", "decode"} <= set(first.seconds)
    assert all(seconds >= 0 for seconds in first.seconds.values())
    assert first.peak_bytes > 0
    assert {"device", "precision", "batch_size", "torch", "diffusers", "transformers"} <= set(first.environment)
    assert first.fallbacks == first.warnings == ()


def test_no_previews_unless_asked_for(tiny_engine: Engine) -> None:
    events: list[Event] = []
    list(tiny_engine.run([BASE], listen=events.append))
    assert all(event.preview is None for event in events if isinstance(event, Step))


def test_an_empty_run(tiny_engine: Engine) -> None:
    assert list(tiny_engine.run([])) == []


@pytest.mark.parametrize("name", EMBEDDED_MODELS)
def test_previews_come_near_the_picture(tiny_engine: Engine, name: str) -> None:
    events: list[Event] = []
    (result,) = tiny_engine.run([BASE.replace(model=name)], listen=events.append, previews=True)
    last = [event.preview for event in events if isinstance(event, Step)][-1]
    assert last is not None
    assert result.picture is not None
    near = np.asarray(result.picture.resize(last.size, Resampling.BOX), dtype=float)
    assert np.corrcoef(near.ravel(), np.asarray(last, dtype=float).ravel())[0, 1] > 0.5


def test_cancel_acts_within_one_step(tiny_engine: Engine) -> None:
    token, steps = CancelToken(), []

    def listen(event: Event) -> None:
        if isinstance(event, Step):
            steps.append(event)
            token.cancel()

    recipes = [BASE.replace(seed=seed, steps=50) for seed in range(8)]
    with pytest.raises(Cancelled, match="0 of 8"):
        next(tiny_engine.run(recipes, listen=listen, cancel=token))
    assert {event.step for event in steps} == {1}


def test_cancel_keeps_what_is_finished(tiny_engine: Engine) -> None:
    token = CancelToken()
    run = tiny_engine.run([BASE.replace(seed=seed) for seed in range(8)], cancel=token)
    first = [next(run) for _ in range(4)]  # one batch
    token.cancel()
    with pytest.raises(Cancelled, match="4 of 8"):
        next(run)
    assert all(result.picture is not None for result in first)


def test_a_bad_recipe_does_not_stop_the_others(tiny_engine: Engine) -> None:
    recipes = [
        BASE.replace(width=72),
        BASE.replace(seed=5),
        BASE.replace(adapters=(Adapter(name="absent"),)),
        BASE.replace(seed=6),
    ]
    results = {result.index: result for result in tiny_engine.run(recipes)}
    assert isinstance(results[0].error, RecipeError)
    assert isinstance(results[2].error, ModelError)
    assert results[0].digest == ""
    assert results[1].picture is not None
    assert results[3].picture is not None


def test_an_adapter_of_another_model_fails_alone(tiny_klein: TinyKlein, tiny_home: Path, tmp_path: Path) -> None:
    odd = tmp_path / "odd.safetensors"
    save_file({"transformer.nowhere.lora_A.weight": torch.zeros(2, 2)}, odd)
    engine = Engine(ModelCatalog(tiny_home, tiny_klein.root, device="cpu"), device="cpu", batch_size=2)
    recipes = [BASE.replace(adapters=(Adapter(name=str(odd)),)), BASE]
    results = {result.index: result for result in engine.run(recipes)}
    assert "transformer.nowhere.lora_A.weight" in str(results[0].error)
    assert results[1].picture is not None


def spoil(path: Path, name: str) -> None:
    """Put a number into a file of weights that is none."""
    tensors = load_file(path)
    tensors[name].view(-1)[0] = float("nan")
    save_file(tensors, path, {"format": "pt"})


def test_numbers_that_are_not_finite_are_an_error(tmp_path: Path) -> None:
    folder = write_klein(tmp_path / "models" / "bad", seed=1)
    spoil(folder / "transformer" / "diffusion_pytorch_model.safetensors", "proj_out.weight")
    events: list[Event] = []
    engine = Engine(ModelCatalog(tmp_path, device="cpu"), device="cpu", batch_size=2)
    recipe = BASE.replace(model="bad")
    results = list(engine.run([recipe, recipe.replace(seed=1)], listen=events.append, previews=True))
    for result in results:
        assert isinstance(result.error, GenerationError)
        assert result.picture is None
        for word in (result.digest[:12], "a red circle", "step 1 of 3", "weights proj_out.weight of transformer"):
            assert word in str(result.error)


@pytest.mark.parametrize(
    ("file", "name", "words"),
    [
        ("vae/diffusion_pytorch_model", "decoder.conv_out.weight", "weights decoder.conv_out.weight of vae"),
        ("text_encoder/model", "model.layers.0.mlp.up_proj.weight", "text encoder of bad gave numbers"),
    ],
)
def test_damaged_weights_of_other_parts_are_named(tmp_path: Path, file: str, name: str, words: str) -> None:
    folder = write_klein(tmp_path / "models" / "bad", seed=1)
    spoil(folder / f"{file}.safetensors", name)
    engine = Engine(ModelCatalog(tmp_path, device="cpu"), device="cpu", keep_texts=True)
    (result,) = engine.run([BASE.replace(model="bad")])
    assert isinstance(result.error, GenerationError)
    assert words in str(result.error)
    assert not list((tmp_path / "cache" / "texts").glob("*")) or "vae" in file


def test_a_damaged_adapter_fails_alone_and_leaves_the_base(
    tiny_klein: TinyKlein, tiny_home: Path, tmp_path: Path
) -> None:
    file = tmp_path / "adapters" / "bad.safetensors"
    file.parent.mkdir()
    file.write_bytes((tiny_home / "adapters" / "plain.safetensors").read_bytes())
    spoil(file, next(name for name in load_file(file) if "lora_B" in name))
    engine = Engine(ModelCatalog(tmp_path, tiny_klein.root, device="cpu"), device="cpu")
    (before,) = engine.run([BASE])
    (bad,) = engine.run([BASE.replace(adapters=(Adapter(name="bad"),))])
    (after,) = engine.run([BASE])
    assert "or of its adapters are damaged" in str(bad.error)
    assert np.array_equal(values(before), values(after))


def test_a_long_prompt_is_warned_about(tiny_engine: Engine) -> None:
    recipes = [BASE.replace(prompt="long " * 20), BASE.replace(negative_prompt="long " * 20), BASE]
    results = {result.index: result for result in tiny_engine.run(recipes)}
    assert "prompt is too long" in results[0].warnings[0]
    assert "negative prompt is too long" in results[1].warnings[0]
    assert results[2].warnings == ()


def test_a_failing_listener_loses_no_picture(tiny_engine: Engine, caplog: pytest.LogCaptureFixture) -> None:
    calls = []

    def listen(event: Event) -> None:
        calls.append(event)
        if isinstance(event, Step):
            raise ZeroDivisionError("display broke")

    results = list(tiny_engine.run([BASE, BASE.replace(seed=1)], listen=listen))
    assert all(result.picture is not None for result in results)
    assert all("display broke" in result.warnings[0] for result in results)
    assert sum(isinstance(event, Step) for event in calls) == 1
    assert "progress listener failed" in caplog.text


def test_runs_in_a_worker_thread_and_gradients_stay_on_outside(tiny_engine: Engine) -> None:
    results: list[Result] = []
    thread = threading.Thread(target=lambda: results.extend(tiny_engine.run([BASE])))
    thread.start()
    thread.join()
    run = tiny_engine.run([BASE, BASE.replace(steps=2)])
    inside = next(run)
    assert torch.is_grad_enabled()
    assert not torch.is_inference_mode_enabled()
    results.append(inside)
    results.extend(run)
    by_digest: dict[str, list[Result]] = {}
    for result in results:
        by_digest.setdefault(result.digest, []).append(result)
    first, second = by_digest[results[0].digest]
    assert np.abs(values(first) - values(second)).max() <= 1  # one was alone in its batch


def test_runs_that_alternate_do_not_mix_their_adapters(tiny_catalog: ModelCatalog) -> None:
    engine = Engine(tiny_catalog, device="cpu", batch_size=1)
    plain = [BASE.replace(seed=seed) for seed in range(3)]
    changed = [recipe.replace(adapters=(Adapter(name="plain"),)) for recipe in plain]
    alternating = [(one, two) for one, two in zip(engine.run(plain), engine.run(changed), strict=True)]
    alone = {result.digest: values(result) for run in (plain, changed) for result in engine.run(run)}
    for pair in alternating:
        for result in pair:
            assert np.array_equal(values(result), alone[result.digest])


@pytest.mark.parametrize(("device", "size"), [("gpu", None), ("cpu", 0)])
def test_settings_that_cannot_be_used(tiny_catalog: ModelCatalog, device: str, size: int | None) -> None:
    with pytest.raises(SettingsError):
        Engine(tiny_catalog, device=device, batch_size=size)


# Memory. The tiny models are real; what is put in their way is a limit on the rows of one pass.


@contextmanager
def short_of_memory(engine: Engine, part: str, fails: Callable[[torch.Tensor], bool]) -> Iterator[None]:
    """Let `part` of the loaded model run out of memory for inputs that are too large."""

    def hook(_module: object, args: tuple[Any, ...], named: dict[str, Any]) -> None:
        if fails(named["hidden_states"] if named else args[0]):
            raise torch.OutOfMemoryError("CUDA out of memory")

    list(engine.run([BASE]))
    loaded = engine._registry.current
    assert loaded is not None
    module = {"transformer": loaded.transformer, "decoder": loaded.vae.decoder}[part]
    handle = module.register_forward_pre_hook(hook, with_kwargs=True)
    try:
        yield
    finally:
        handle.remove()


def test_memory_ladder_of_denoising(tiny_catalog: ModelCatalog) -> None:
    engine = Engine(tiny_catalog, device="cpu", batch_size=4)
    recipes = [BASE.replace(seed=seed) for seed in range(5)]
    plenty = {result.index: result for result in engine.run(recipes)}
    told: list[Event] = []
    with short_of_memory(engine, "transformer", lambda latents: latents.shape[0] > 1):
        little = {result.index: result for result in engine.run(recipes, listen=told.append)}
    assert [str(event) for event in told if isinstance(event, Saving)][::2] == [
        "tiny-base: guidance in two passes (memory ran out: denoise).",
        "tiny-base: batch of 1 (memory ran out: denoise).",
    ]
    assert little[0].fallbacks == ("guidance in two passes", "batch of 2", "batch of 1")
    assert little[4].environment["batch_size"] == "1"
    for index, result in little.items():
        assert np.abs(values(result) - values(plenty[index])).max() <= 1


def test_memory_ladder_of_decoding(tiny_catalog: ModelCatalog) -> None:
    engine = Engine(tiny_catalog, device="cpu", batch_size=4)
    recipe = BASE.replace(width=128, height=128)
    (whole,) = engine.run([recipe])
    with short_of_memory(engine, "decoder", lambda latents: latents.shape[-1] > 8):
        (tiled,) = engine.run([recipe])
    assert tiled.fallbacks == ("tiled VAE",)
    assert values(tiled).shape == values(whole).shape
    (again,) = engine.run([recipe])
    assert np.array_equal(values(again), values(whole))  # the next run has its memory back


def test_the_last_rung(tiny_catalog: ModelCatalog) -> None:
    engine = Engine(tiny_catalog, device="cpu", batch_size=2)
    with short_of_memory(engine, "transformer", lambda latents: latents.shape[1] >= 16):
        results = list(engine.run([BASE, BASE.replace(seed=1)]))
    for result in results:
        assert isinstance(result.error, GenerationError)
        assert "64 x 64" in str(result.error)


def test_rungs_on_an_accelerator() -> None:
    economy = Economy(2)
    rungs = []
    while (following := economy.next("decode", guided=True, on_device=True)) is not None:
        economy = following
        rungs.append(economy.taken[-1])
    dropped = "text encoder dropped once the prompts were encoded"
    assert rungs == [dropped, "text encoder on the CPU", "tiled VAE"]


def test_the_plan_says_what_it_gives_up(tiny_catalog: ModelCatalog, monkeypatch: pytest.MonkeyPatch) -> None:
    """On an accelerator of less and less memory, which is all that is pretended here."""
    (group,) = make_plan([BASE], tiny_catalog).groups
    model = tiny_catalog.model("tiny-base")
    sizes = {"transformer": 390, "text_encoder": 300, "vae": 10}
    memory = "workbench.engine.memory"
    monkeypatch.setattr(f"{memory}.model_bytes", lambda *_: {name: size * 10**9 for name, size in sizes.items()})
    monkeypatch.setattr(f"{memory}.row_bytes", lambda *_, guided: 200 * 10**9)
    monkeypatch.setattr(f"{memory}.decode_bytes", lambda *_: 0)
    plans = [first_economy(group, model, torch.device("cuda"), limit * 10**9, 1) for limit in (1130, 1120, 880, 870)]
    dropped = "text encoder dropped once the prompts were encoded"
    assert [plan.taken for plan in plans] == [(), (dropped,), (dropped,), ("text encoder on the CPU", dropped)]
    assert [plan.text_on_host for plan in plans] == [False, False, False, True]
    assert plans[1].why == "900 GB are needed, 896 of 1120 GB are planned with"


def test_batch_size_follows_memory(tiny_catalog: ModelCatalog) -> None:
    cpu = torch.device("cpu")
    recipes = [BASE.replace(seed=seed) for seed in range(50)]
    (group,) = make_plan(recipes, tiny_catalog).groups
    model = tiny_catalog.model("tiny-base")
    sizes = [batch_size(group, model, cpu, limit, loaded=True) for limit in (0, 10 * 2**20, 20 * 2**20, 2**40)]
    assert sizes == sorted(sizes)
    assert sizes[0] == 1
    assert sizes[0] < sizes[1] < sizes[2] <= sizes[3] < 50
