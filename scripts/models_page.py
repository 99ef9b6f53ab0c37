"""Write the tables of docs/models.md anew from the family table: `python scripts/models_page.py`."""

from __future__ import annotations

from pathlib import Path

from workbench.models.describe import tables

BEGIN, END = "<!-- tables -->\n", "<!-- end of tables -->\n"


def main() -> None:
    """Replace what stands between the marks."""
    page = Path(__file__).parent.parent / "docs" / "models.md"
    before, _, rest = page.read_text(encoding="utf-8").partition(BEGIN)
    after = rest.partition(END)[2]
    page.write_text(f"{before}{BEGIN}\n{tables()}\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
