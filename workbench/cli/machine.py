"""`workbench settings`, `capabilities` and `doctor`: what the program knows of this machine and of itself."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli._common import (
    CHECK_FAILED,
    DeviceOption,
    HomeOption,
    JsonOption,
    example,
    guard,
    print_json,
    print_table,
)

app = typer.Typer(
    help="Settings: what they are and where they come from.",
    no_args_is_help=True,
    epilog=example("workbench settings show"),
)


@app.command("show", epilog=example("workbench settings show", "workbench settings show --device cpu --json"))
@guard
def show(home: HomeOption = None, device: DeviceOption = None, json: JsonOption = False) -> None:
    """Print every setting with its value and where it came from; passwords are hidden."""
    from workbench.settings import files, origins

    found = origins(home=home, device=device)
    looked = files(home=home, device=device)
    if json:
        rows = [{"name": one.name, "value": one.value, "source": one.source, "place": one.place} for one in found]
        print_json({"settings": rows, "files": [{"path": str(path), "exists": path.is_file()} for path in looked]})
        return
    print_table(
        ["setting", "value", "from"],
        [
            (one.name, "not set" if one.value is None else one.value, " ".join(filter(None, (one.source, one.place))))
            for one in found
        ],
    )
    for path in looked:
        typer.echo(f"{'Read' if path.is_file() else 'Not there'}: {path}")


@app.command("example", epilog=example("workbench settings example > workbench.yaml"))
@guard
def example_file() -> None:
    """Print a workbench.yaml with every setting explained and none set."""
    from workbench.settings import Settings

    typer.echo("# Settings of the workbench: in the working folder, or in the home folder (all but home).")
    for name, field in Settings.model_fields.items():
        typer.echo(f"\n# {field.description}\n# {name}:")


@guard
def capabilities(home: HomeOption = None, json: JsonOption = False) -> None:
    """Tell a front end what can be done here: models, tasks, limits, schedulers, features."""
    from workbench._capabilities import capabilities as read

    found = read(home)
    if json:
        print_json(found)
        return
    print_table(
        ["model", "family", "tasks", "sizes", "references"],
        [
            (
                model["name"],
                model["family"],
                ", ".join(model["tasks"]),
                f"{model['width']['minimum']} to {model['width']['maximum']}, multiple of {model['size_multiple']}",
                model["max_references"],
            )
            for model in found["models"]
        ],
    )
    for name, feature in found["features"].items():
        typer.echo(f"Extra {name}: {'installed' if feature['available'] else 'lacks ' + ', '.join(feature['missing'])}")


@guard
def doctor(
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Write the report here too.")] = None,
    home: HomeOption = None,
    json: JsonOption = False,
) -> None:
    """Collect what a person who helps needs to know; secrets and your home folder's path are taken out.

    Exits with 1 when something is wrong. Changes nothing.
    """
    import json as encoder

    from workbench.doctor import as_json, examine, worst
    from workbench.settings import settings
    from workbench.store.files import write_atomically

    report = examine(settings(home=home))
    if out is not None:
        write_atomically(out, (encoder.dumps(as_json(report), indent=2, ensure_ascii=False) + "\n").encode())
    if json:
        print_json(as_json(report))
    else:
        for title, checks in report.items():
            typer.echo(f"\n{title}")
            print_table(
                ["", "", ""],
                [(one.name, one.value, "" if one.state == "ok" else f"{one.state}: {one.remedy}") for one in checks],
            )
    if worst(report) == "error":
        raise typer.Exit(CHECK_FAILED)
