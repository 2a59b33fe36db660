"""``python -m plugins.diffusion.write_table``: renews the table in the documentation."""

from __future__ import annotations

from pathlib import Path

from scripts.diffusion_docs import PAGE, renewed

if __name__ == "__main__":
    page = Path(__file__).parents[2] / PAGE
    page.write_text(renewed(page.read_text("utf-8")), "utf-8")
