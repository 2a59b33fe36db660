"""The families and the tools that each has, as a page of the documentation."""

from __future__ import annotations

import inspect

from .families import KNOWN, Family, Task

PAGE = "docs/diffusion.md"
BEGIN, END = "<!-- families -->", "<!-- end of families -->"


def rows() -> str:
    """A Markdown table, by what the pinned diffusers has."""
    lines = ["| family | paint | vary | repaint | inpaint | upscale | tried here |", "|---|---|---|---|---|---|---|"]
    for family in KNOWN.values():
        varies = family.has(Task.PAINT) and hasattr(family.pipeline(Task.PAINT), "prepare_latents")
        painted, *others = (family.has(task) for task in Task)
        marks = ("yes" if mark else "–" for mark in (painted, varies, *others, refines(family), family.tried))
        lines.append(f"| {family.title} | {' | '.join(marks)} |")
    return "\n".join(lines) + "\n"


def refines(family: Family) -> bool:
    """Whether it can paint over a picture a little."""
    has = family.has(Task.REPAINT)
    return has and "strength" in inspect.signature(family.pipeline(Task.REPAINT).__call__).parameters


def renewed(page: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{rows()}{END}{after}"
