"""A comparison as one HTML file with everything in it: nothing is fetched, so it can be mailed and kept."""

from __future__ import annotations

import base64
import html
import io
import json
from collections.abc import Sequence
from pathlib import Path

from PIL import Image

from workbench.comparison.difference import LEAST, TOLERANCE, ramp

HERE = Path(__file__).parent
_PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{title}</title>
<style>:root {{ color-scheme: light dark; }}
body {{ margin: 16px; max-width: 1200px; }}
@media (prefers-color-scheme: dark) {{
  :root {{
    --jp-border-color2: #444; --jp-layout-color2: #262626; --jp-brand-color1: #64b5f6;
    --jp-ui-font-color1: #e6e6e6; --jp-ui-font-color2: #aaa;
  }}
  body {{ background: #121212; }}
}}
{css}</style>
<div id="compare"></div>
<script type="application/json" id="data">{data}</script>
<script>
{js}
const data = JSON.parse(document.getElementById("data").textContent);
compareView(document.getElementById("compare"), {{ ...data, load: (place) => Promise.resolve(data.urls[place]) }});
</script>
</html>
"""


def compare_page(pictures: Sequence[Image.Image], labels: Sequence[str], title: str) -> str:
    """The page.

    Args:
        pictures: RGB; kept without loss, as the map of differences is computed from them.
        labels: one for each.
        title: of the page.
    """
    data = {
        "items": [
            {"label": label, "note": "", "width": picture.width, "height": picture.height}
            for label, picture in zip(labels, pictures, strict=True)
        ],
        "urls": [_url(picture) for picture in pictures],
        **constants(),
    }
    # Inside a script element only < could end it; as \u003c it is the same JSON.
    text = json.dumps(data, ensure_ascii=True).replace("<", "\\u003c")
    return _PAGE.format(title=html.escape(title), css=stylesheet(), js=javascript(), data=text)


def constants() -> dict[str, object]:
    """What the view needs to know of the map, so that it is the same in Python and in the browser."""
    return {"ramp": ramp().tolist(), "least": LEAST, "tolerance": TOLERANCE}


def javascript() -> str:
    """The view."""
    return (HERE / "compare.js").read_text(encoding="utf-8")


def stylesheet() -> str:
    """Its looks."""
    return (HERE / "compare.css").read_text(encoding="utf-8")


def _url(picture: Image.Image) -> str:
    buffer = io.BytesIO()
    picture.convert("RGB").save(buffer, "PNG")
    return "data:image/png;base64," + base64.b64encode(buffer.getvalue()).decode()
