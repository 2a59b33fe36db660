"""The families and the tools that each has, as a page of the documentation."""

from __future__ import annotations

import inspect

from .families import KNOWN, Family, Task

PAGE = "docs/diffusion.md"
BEGIN, END = "<!-- families -->", "<!-- end of families -->"


def rows() -> str:
    """A Markdown table, by what the pinned diffusers has."""
    lines = ["| family | paint | vary | repaint | inpaint | upscale | animate | tried here |", f"|{'---|' * 8}"]
    for family in KNOWN.values():
        varies = family.has(Task.PAINT) and hasattr(family.pipeline(Task.PAINT), "prepare_latents")
        repaints, inpaints = family.has(Task.REPAINT), family.has(Task.INPAINT)
        marks = [
            "yes" if mark else "–" for mark in (family.has(Task.PAINT), varies, repaints, inpaints, refines(family))
        ]
        cells = [family.title, *marks, _animates(family), "yes" if family.tried else "–"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def refines(family: Family) -> bool:
    """Whether it can paint over a picture a little."""
    has = family.has(Task.REPAINT)
    return has and "strength" in inspect.signature(family.pipeline(Task.REPAINT).__call__).parameters


def _mark(has: bool) -> str:
    return "yes" if has else "–"


def _animates(family: Family) -> str:
    starts = {Task.ANIMATE: "words", Task.ANIMATE_PICTURE: "a picture"}
    return " or ".join(start for task, start in starts.items() if family.has(task)) or "–"


def renewed(page: str) -> str:
    """The page with the table as it is now."""
    before, _, rest = page.partition(BEGIN)
    _, _, after = rest.partition(END)
    return f"{before}{BEGIN}\n{rows()}{END}{after}"
