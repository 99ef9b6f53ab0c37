"""Options and output that the commands about adapter files share."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from workbench.cli._common import print_json

if TYPE_CHECKING:
    from finetune.formats.load import AdapterFile
    from finetune.formats.save import SaveDtype
    from finetune.surgery.lowrank import Cut

Naming = Literal["diffusers", "bfl", "kohya"]
Dtype = Literal["bfloat16", "float16", "float32"]

OutOption = Annotated[Path, typer.Argument(metavar="OUT.safetensors", help="The file to write.")]
FormatOption = Annotated[
    Naming, typer.Option("--format", help="Naming: diffusers (read everywhere), bfl (ComfyUI), kohya.")
]
DtypeOption = Annotated[
    Dtype | None, typer.Option("--dtype", help="Precision; default: that of the file that is read.")
]
RankOption = Annotated[int | None, typer.Option("--rank", metavar="N", help="Highest rank of the result.")]
EnergyOption = Annotated[
    float | None,
    typer.Option("--energy", metavar="SHARE", help="Keep this share of each change's squared norm, e.g. 0.99."),
]

_DTYPES: dict[str, Dtype] = {"BF16": "bfloat16", "F16": "float16", "F32": "float32"}


def dtype_of(asked: Dtype | None, adapters: Sequence[AdapterFile]) -> SaveDtype:
    """The precision to write: what was asked, else that of the files if they agree on one, else float32."""
    found = {name for adapter in adapters for name in adapter.dtypes}
    if asked is not None:
        return asked
    return _DTYPES.get(found.pop(), "float32") if len(found) == 1 else "float32"


def cut_of(rank: int | None, energy: float | None) -> Cut | None:
    """The cut that the options ask for, or None for all.

    Raises:
        SurgeryError: a rank or share that keeps nothing.
    """
    from finetune.surgery.lowrank import Cut

    return None if rank is None and energy is None else Cut(rank, energy)


def written(out: Path, facts: dict[str, Any], *, json: bool) -> None:
    """The last line of a command that wrote a file."""
    if json:
        print_json({"out": str(out), **facts})
    else:
        typer.echo(out)
