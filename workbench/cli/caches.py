"""`workbench models caches`: what approximate caches save on a model, and what they cost it."""

from __future__ import annotations

from typing import Annotated

import typer

from workbench.cli._common import HomeOption, JsonOption, complain, guard, print_json, print_table, progress


@guard
def caches(
    name: Annotated[str, typer.Argument(metavar="MODEL", help="A model that is here.", show_default=False)],
    cache: Annotated[
        list[str] | None,
        typer.Option("--cache", metavar="MODE", help="Measure this mode; may be given again. Default: a few of each."),
    ] = None,
    *,
    prompt: Annotated[
        list[str] | None, typer.Option("--prompt", metavar="TEXT", help="Draw this; may be given again.")
    ] = None,
    size: Annotated[int | None, typer.Option("--size", min=16, help="Side in pixels; default: the model's.")] = None,
    steps: Annotated[int | None, typer.Option("--steps", min=1, help="Denoising steps; default: the model's.")] = None,
    calibrate: Annotated[
        bool, typer.Option("--calibrate", help="Only measure MagCache's ratios of the model, and print the mode.")
    ] = False,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Measure approximate caches on a model: share of the work and time, PSNR against the exact pictures.

    MagCache needs ratios of the checkpoint; they are measured first where none are published.
    """
    import torch

    from workbench.cache_report import PROMPTS, measure, modes_of
    from workbench.engine import Engine
    from workbench.engine.calibrate import calibrate as calibrated
    from workbench.engine.events import Finished, Planned
    from workbench.errors import RecipeError
    from workbench.models.catalog import ModelCatalog
    from workbench.models.device import choose_device
    from workbench.recipe import Recipe
    from workbench.recipe.approximate import parse
    from workbench.settings import settings

    chosen = settings(home=home)
    catalog = ModelCatalog(chosen.home, chosen.models, device=chosen.device)
    model = catalog.model(name)
    if not model.caches:
        raise RecipeError(f"{model.name} takes no cache.", "`workbench models features` shows which families do.")
    prompts = prompt or list(PROMPTS)
    base = Recipe(model=name, width=size, height=size, steps=steps)
    magcache = None
    if calibrate or (not cache and "magcache" in model.caches and "first_block" not in model.caches):
        recipes = [base.replace(prompt=text, seed=place) for place, text in enumerate(prompts)]
        magcache = str(calibrated(catalog, recipes, torch.device(choose_device(chosen.device))))
    if calibrate:
        assert magcache is not None  # it was asked for
        print_json({"model": model.name, "cache": magcache}) if json else typer.echo(magcache)
        return
    engine = Engine(catalog, device=chosen.device)
    modes = cache or modes_of(model.caches, magcache)
    with progress("pictures") as listen:

        def tell(done: int, total: int) -> None:
            if listen is not None:
                listen(Planned(total, total, total))
                listen(Finished("", done, total, None))

        rows = measure(engine, catalog, base, modes, prompts=prompts, tell=tell)
    if json:
        found = [
            {"cache": row.cache or None, "work": row.work, "processor": row.processor, "denoise": row.denoise,
             "psnr": list(row.psnr), "mean": row.mean, "worst": row.worst}
            for row in rows
        ]  # fmt: skip
        print_json({"model": model.name, "steps": steps or model.steps, "caches": found})
        return
    complain(f"{model.name}, {steps or model.steps} steps; shares of the exact picture's, PSNR against it:")
    print_table(
        ["cache", "work", "processor time", "time of the steps", "PSNR", "worst"],
        [
            (parse(row.cache).short if row.cache else "exact", f"{row.work:.2f}", f"{row.processor:.2f}", f"{row.denoise:.2f}",
             "" if not row.cache else f"{row.mean:.1f} dB", "" if not row.cache else f"{row.worst:.1f} dB")
            for row in rows
        ],
    )  # fmt: skip
