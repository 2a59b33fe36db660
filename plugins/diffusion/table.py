"""The families and the tools that each has, as a page of the documentation."""

from __future__ import annotations

import inspect

from .families import KNOWN, Family, Task

PAGE = "docs/diffusion.md"
BEGIN, END = "<!-- families -->", "<!-- end of families -->"


def rows() -> str:
    """A Markdown table, by what the pinned diffusers has."""
    lines = ["| family | paint | vary | repaint | inpaint | upscale | animate |", f"|{'---|' * 7}"]
    for family in KNOWN.values():
        if not family.tried:
            continue
        has = [varies(family), *map(family.has, (Task.REPAINT, Task.INPAINT)), refines(family)]
        cells = [family.title, *map(_mark, (family.has(Task.PAINT), *has)), _animates(family)]
        lines.append(f"| {' | '.join(cells)} |")
    others = ", ".join(family.title for family in KNOWN.values() if not family.tried)
    return "\n".join([*lines, "", f"Opened as diffusers does it, and not tried here: {others}.", ""])


def varies(family: Family) -> bool:
    """Whether its noise can be turned a little. Families in two halves make theirs elsewhere."""
    return family.has(Task.PAINT) and hasattr(family.pipeline(Task.PAINT), "prepare_latents")


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
