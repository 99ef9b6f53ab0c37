"""Pictures in recipes: what is derived, what is canonical, what is refused with its field and a remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from tests.conftest import TinyKlein
from workbench.errors import WorkbenchError
from workbench.models import ModelCatalog
from workbench.recipe import Adapter, Recipe, resolve
from workbench.recipe.conditions import Reference, first_step, fit


class PaperModel:
    name, fingerprint, precision, is_distilled = "paper", "f" * 64, "float32", False
    width = height = 128
    steps, guidance_scale, max_sequence_length = 28, 4.0, 24
    size_multiple, min_side, max_side, max_pixels = 16, 64, 256, 65536
    tasks, max_references = ("text-to-image",), 0
    embeds_guidance = true_cfg = is_baseline = regions = boxes = False
    caches, upsampler = (), ""


class PaperCatalog:
    def model(self, name: str) -> Any:
        return PaperModel()

    def adapter_fingerprint(self, name: str) -> str:
        return "a" * 64

    def companion_fingerprint(self, name: str) -> str:
        raise AssertionError("no companion was asked for")

    def picture(self, name: str, *, mask: bool = False) -> Any:
        raise AssertionError("no picture was given")


@pytest.mark.parametrize(
    ("recipe", "digest"),
    [
        (Recipe(), "d647c297da6e760598d669eab22ae254ab6962f6d19d40e3f8d3e14a726396a5"),
        (
            Recipe(prompt="a red circle", seed=7, width=64, height=96, steps=4, guidance_scale=1.0),
            "a31e6c12d9b9931538160f1a3e03eade1e19ae71ce91af097d90b9f29ee3e0bc",
        ),
        (
            Recipe(prompt="x", negative_prompt="y", adapters=(Adapter(name="p", weight=0.5),), task="text-to-image"),
            "4ba1636dde079a3ff95e91de00926207840cb3e6461c92be2e1d04fe647d1ae3",
        ),
    ],
)
def test_digests_of_recipes_without_pictures_never_change(recipe: Recipe, digest: str) -> None:
    """Computed before recipes could hold pictures: a store that was filled then must go on being found."""
    assert resolve(recipe, PaperCatalog()).digest == digest


@pytest.fixture
def catalog(tiny_klein: TinyKlein, tmp_path: Path) -> ModelCatalog:
    return ModelCatalog(tmp_path / "home", tiny_klein.root, device="cpu")


@pytest.fixture
def files(tmp_path: Path) -> dict[str, str]:
    """Pictures by name; the name says the size."""
    made = {}
    for name, size, mode in [
        ("photo", (96, 64), "RGB"), ("wide", (200, 90), "RGB"), ("big", (600, 500), "RGB"), ("odd", (70, 66), "RGB"),
        ("mask", (96, 64), "L"), ("mask-odd", (70, 66), "L"), ("small", (48, 64), "RGB"), ("strip", (640, 64), "RGB"),
    ]:  # fmt: skip
        path = tmp_path / f"{name}.png"
        Image.linear_gradient("L").resize(size).convert(mode).save(path)
        made[name] = str(path)
    return made


@pytest.mark.parametrize(
    ("fields", "task", "size"),
    [
        ({}, "text-to-image", (128, 128)),
        ({"references": ["photo"]}, "edit", (128, 128)),
        ({"image": "photo"}, "image-to-image", (96, 64)),
        ({"image": "wide"}, "image-to-image", (192, 80)),
        ({"image": "big"}, "image-to-image", (272, 224)),  # 256 x 256 at most: refused below, by its side
        ({"image": "wide", "width": 96}, "image-to-image", (96, 48)),
        ({"image": "photo", "height": 128}, "image-to-image", (192, 128)),
        ({"image": "photo", "mask": "mask"}, "inpaint", (96, 64)),
        ({"image": "photo", "mask": "mask", "references": ["wide", "photo"]}, "inpaint", (96, 64)),
        ({"image": "photo", "margins": (0, 0, 32, 16)}, "outpaint", (128, 80)),
        ({"image": "odd", "margins": "5,0,5,14"}, "outpaint", (80, 80)),
        ({"image": "photo", "margins": (0, 0, 0, 0)}, "image-to-image", (96, 64)),
        ({"image": "photo", "strength": 1}, "text-to-image", (96, 64)),
        ({"image": "photo", "strength": 1, "references": ["photo"]}, "edit", (96, 64)),
    ],
)
def test_task_and_size_are_derived(
    catalog: ModelCatalog, files: dict[str, str], fields: dict[str, Any], task: str, size: tuple[int, int]
) -> None:
    recipe = Recipe.parse({"model": "tiny-base", **_named(fields, files)})
    if max(size) > 256 or min(size) < 64:
        with pytest.raises(WorkbenchError, match="outside"):
            resolve(recipe, catalog)
        return
    resolved = resolve(recipe, catalog)
    full = resolved.recipe
    assert (full.task, (full.width, full.height)) == (task, size)
    assert resolve(full, catalog) == resolved
    assert resolve(Recipe.from_yaml(full.to_yaml()), catalog).digest == resolved.digest
    for text in (full.image, full.mask, *(reference.picture for reference in full.references)):
        assert text is None or (len(text) == 64 and catalog.inputs.path(text).is_file())


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"mask": "mask"}, ["mask", "no image"]),
        ({"strength": 0.5}, ["strength", "no image"]),
        ({"margins": (0, 0, 16, 0)}, ["margins", "no image"]),
        ({"sigmas": "1, 0.5", "steps": 3}, ["3 steps", "2 sigmas"]),
        ({"task": "inpaint"}, ["inpaint", "text-to-image"]),
        ({"image": "wide", "mask": "mask"}, ["mask", "96 x 64", "200 x 90", "size of the image"]),
        ({"image": "photo", "mask": "mask", "width": 128}, ["width 128", "96"]),
        ({"image": "odd", "mask": "mask-odd"}, ["width", "70", "multiple of 16", "10 pixels"]),
        ({"image": "photo", "margins": (0, 0, 3, 0)}, ["width", "99", "multiple of 16"]),
        ({"image": "nowhere.png"}, ["image", "nowhere.png", "does not exist"]),
        ({"image": "photo", "mask": "nowhere.png"}, ["mask", "nowhere.png"]),
        ({"references": ["nowhere.png"]}, ["reference", "nowhere.png"]),
        ({"references": ["b" * 64]}, ["reference", "b" * 12, "digest"]),
        ({"references": ["small"]}, ["reference", "48 x 64", "at least 64"]),
        ({"references": ["strip"]}, ["reference", "640 x 64", "8 times"]),
        ({"references": ["photo"] * 5}, ["5 references", "at most 4"]),
        ({"references": [{"picture": "wide", "size": "exact"}]}, ["reference", "200 x 90", "multiples of 16"]),
        ({"references": [{"picture": "wide", "size": "1024x64"}]}, []),
        ({"references": [{"picture": "wide", "size": "2048x64"}]}, ["2048 x 64", "megapixels"]),
    ],
)
def test_refusals_name_the_field_and_a_remedy(
    catalog: ModelCatalog, files: dict[str, str], fields: dict[str, Any], words: list[str]
) -> None:
    recipe = Recipe.parse({"model": "tiny-base", **_named(fields, files)})
    if not words:
        resolve(recipe, catalog)
        return
    with pytest.raises(WorkbenchError) as caught:
        resolve(recipe, catalog)
    assert caught.value.remedy
    for word in words:
        assert word in str(caught.value)


@pytest.mark.parametrize(
    ("fields", "words"),
    [
        ({"references": ["a"] * 11}, ["references", "10"]),
        ({"references": [{"picture": "a", "size": "huge"}]}, ["references.0.size", "huge"]),
        ({"references": [{"pictur": "a"}]}, ["pictur", "picture"]),
        ({"references": [""]}, ["references"]),
        ({"image": ""}, ["image"]),
        ({"strength": 1.5}, ["strength", "1.5"]),
        ({"margins": "1,2"}, ["margins", "four numbers"]),
        ({"margins": (0, 0, -1, 0)}, ["margins"]),
        ({"margins": "0,0,x,0"}, ["margins", "x"]),
        ({"sigmas": "1, 0.5, 0.5"}, ["sigmas", "below the one before"]),
        ({"sigmas": [1.5]}, ["sigmas", "1.5"]),
        ({"sigmas": [1, 0]}, ["sigmas"]),
        ({"shift": 0}, ["shift", "0"]),
    ],
)
def test_values_that_no_recipe_takes(fields: dict[str, Any], words: list[str]) -> None:
    with pytest.raises(WorkbenchError) as caught:
        Recipe.parse(fields)
    for word in words:
        assert word in str(caught.value)


def test_a_model_that_cannot_edit_says_so() -> None:
    with pytest.raises(WorkbenchError, match="paper cannot do edit"):
        resolve(Recipe(references=(Reference(picture="a.png"),)), PaperCatalog())


def test_names_and_places_of_files_do_not_count(catalog: ModelCatalog, files: dict[str, str], tmp_path: Path) -> None:
    copy = tmp_path / "copy.bmp"
    Image.open(files["photo"]).save(copy)
    ways: list[Any] = [files["photo"], copy, [str(copy)], Reference(picture=files["photo"], size="exact")]
    digests = {resolve(Recipe.parse({"model": "tiny-base", "references": way}), catalog).digest for way in ways}
    assert len(digests) == 1


def test_yaml_and_python_hold_pictures(files: dict[str, str]) -> None:
    recipe = Recipe(
        references=(Reference(picture="a.png"), Reference(picture="b.png", size="exact")),
        image="c.png", strength=0.5, mask="d.png", margins=(1, 2, 3, 4),
    )  # fmt: skip
    assert Recipe.from_yaml(recipe.to_yaml()) == recipe
    assert Recipe.model_validate_json(recipe.model_dump_json()) == recipe
    assert eval(recipe.to_python(), {"Recipe": Recipe, "Reference": Reference}) == recipe
    assert Recipe.from_yaml("references: a.png\nmargins: 1,2,3,4\n").references == (Reference(picture="a.png"),)


@given(steps=st.integers(1, 1000), strength=st.floats(0, 1))
def test_first_step_is_that_of_diffusers(steps: int, strength: float) -> None:
    start = first_step(steps, strength)
    assert 0 <= start <= steps
    assert start == int(max(steps - min(steps * strength, steps), 0))
    assert first_step(steps, 0.0) == steps
    assert first_step(steps, 1.0) == 0


@given(width=st.integers(64, 5000), height=st.integers(64, 5000))
def test_fitted_sizes_stay_within_the_area(width: int, height: int) -> None:
    across, down = fit(width, height, 1024 * 1024, 16)
    assert across % 16 == down % 16 == 0
    assert across * down <= 1024 * 1024
    assert fit(across, down, 1024 * 1024, 16) == (across, down)


def _named(fields: dict[str, Any], files: dict[str, str]) -> dict[str, Any]:
    def path(value: Any) -> Any:
        if isinstance(value, list):
            return [path(part) for part in value]
        if isinstance(value, dict):
            return {key: path(part) for key, part in value.items()}
        return files.get(value, value) if isinstance(value, str) else value

    return {name: value if name == "task" else path(value) for name, value in fields.items()}
