"""Write tests/models/layouts: headers of published weight files, without data.

    python -m scripts.layouts

Layouts of diffusers and transformers come from their own classes on the meta device, with the published
configurations. Those of Black Forest Labs' single files are made from `flux` and `flux2`'s modules (`originals.py`), and
held against diffusers' converters: converted, each must have exactly the names and shapes of diffusers' class.
Quantised files follow what the tools write (bitsandbytes' state dict, ComfyUI's scales, ComfyUI-GGUF's types).
"""

from __future__ import annotations

import json
from pathlib import Path

from scripts.layouts.adapters import adapter_layouts
from scripts.layouts.encoders import encoder_layouts
from scripts.layouts.others import checkpoint_layouts, other_layouts
from scripts.layouts.transformers import transformers_layouts
from workbench.models.identify.stripped import to_json

OUT = Path(__file__).parents[2] / "tests" / "models" / "layouts"


def main() -> None:
    """Write all of them."""
    OUT.mkdir(parents=True, exist_ok=True)
    layouts = transformers_layouts() | checkpoint_layouts() | encoder_layouts() | other_layouts() | adapter_layouts()
    for name, header in layouts.items():
        (OUT / f"{name}.json").write_text(to_json(header), encoding="utf-8")
    total = sum(path.stat().st_size for path in OUT.glob("*.json"))
    print(json.dumps({"layouts": len(layouts), "bytes": total}))


if __name__ == "__main__":
    main()
