"""`workbench verify`: is this picture what its file says it is?"""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from workbench.cli._common import CHECK_FAILED, DeviceOption, HomeOption, JsonOption, guard, open_session, print_json


@guard
def verify(
    file: Annotated[Path, typer.Argument(metavar="FILE.png", help="A picture that the workbench wrote.")],
    home: HomeOption = None,
    device: DeviceOption = None,
    json: JsonOption = False,
) -> None:
    """Make a picture again and compare the pixels.

    Exits with 1 when they differ. The pixels are also compared, bit for bit, with the hash that was saved beside them,
    so an edited picture is found even where the edit is small.
    """
    found = open_session(home, device).verify(file)
    if json:
        print_json(
            {
                "path": str(file),
                "digest": found.digest,
                "ok": found.ok,
                "intact": found.intact,
                "max_difference": found.max_difference,
                "changed_pixels": found.changed_pixels,
                "made_on": found.made_on,
                "checked_on": found.checked_on,
            }
        )
    else:
        typer.echo(f"{file}: {found.sentence}")
        if not found.equal:
            count = "1 pixel differs" if found.changed_pixels == 1 else f"{found.changed_pixels} pixels differ"
            typer.echo(f"{count} from the picture made again.")
            for name in sorted({*found.made_on, *found.checked_on}):
                then, now = found.made_on.get(name), found.checked_on.get(name)
                if then != now:
                    typer.echo(f"  {name}: {then} then, {now} now")
    if not found.ok:
        raise typer.Exit(CHECK_FAILED)
