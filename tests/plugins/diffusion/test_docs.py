"""The tables of families in the documentation."""

from __future__ import annotations

from pathlib import Path

from scripts.diffusion_docs import PAGE, update_tables


def test_tables_are_current() -> None:
    page = (Path(__file__).parents[3] / PAGE).read_text("utf-8")
    assert page == update_tables(page), "run python -m scripts.diffusion_docs"
