"""Generate the tables of model families in `docs/diffusion.md`: `python -m scripts.diffusion_docs`."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from plugins.diffusion.checkpoints.families import FAMILIES, Family, Task

PAGE = "docs/diffusion.md"
BEGIN, END = "<!-- families -->", "<!-- end of families -->"
GUIDED_BEGIN, GUIDED_END = "<!-- guided -->", "<!-- end of guided -->"
_TOOLS = {Task.TEXT_TO_IMAGE: "paint", Task.IMAGE_TO_IMAGE: "repaint", Task.INPAINT: "inpaint"}


def format_family_table() -> str:
    """A Markdown table, by what the pinned diffusers has."""
    lines = ["| family | paint | vary | repaint | inpaint | upscale | animate |", f"|{'---|' * 7}"]
    for family in FAMILIES.values():
        if not family.tested:
            continue
        has = [
            supports_variations(family),
            *map(family.supports, (Task.IMAGE_TO_IMAGE, Task.INPAINT)),
            supports_upscale(family),
        ]
        cells = [family.title, *map(_mark, (family.supports(Task.TEXT_TO_IMAGE), *has)), _animates(family)]
        lines.append(f"| {' | '.join(cells)} |")
    others = ", ".join(family.title for family in FAMILIES.values() if not family.tested)
    return "\n".join([*lines, "", f"Opened as diffusers does it, and not tried here: {others}.", ""])


def supports_variations(family: Family) -> bool:
    """Whether its noise can be turned a little. Families in two halves make theirs elsewhere."""
    return family.supports(Task.TEXT_TO_IMAGE) and hasattr(family.pipeline_class(Task.TEXT_TO_IMAGE), "prepare_latents")


def supports_upscale(family: Family) -> bool:
    """Whether it can paint over a picture a little."""
    has = family.supports(Task.IMAGE_TO_IMAGE)
    return has and "strength" in inspect.signature(family.pipeline_class(Task.IMAGE_TO_IMAGE).__call__).parameters


def _mark(has: bool) -> str:
    return "yes" if has else "–"


def _animates(family: Family) -> str:
    starts = {Task.TEXT_TO_VIDEO: "words", Task.IMAGE_TO_VIDEO: "a picture"}
    return " or ".join(start for task, start in starts.items() if family.supports(task)) or "–"


def format_guidance_table() -> str:
    """A Markdown table of the families that follow pictures, and of the tools that do."""
    lines = ["| family | with ControlNets | with an IP-Adapter |", "|---|---|---|"]
    for family in FAMILIES.values():
        controlled = [task for task in _TOOLS if family.controlnet_pipelines(task)]
        referring = [
            task for task in _TOOLS if family.supports(task) and hasattr(family.pipeline_class(task), "load_ip_adapter")
        ]
        if family.tested and (controlled or referring):
            cells = (", ".join(_TOOLS[task] for task in tasks) or "–" for tasks in (controlled, referring))
            lines.append(f"| {family.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def update_tables(page: str) -> str:
    """The page with the tables as they are now."""
    for begin, end, text in ((BEGIN, END, format_family_table()), (GUIDED_BEGIN, GUIDED_END, format_guidance_table())):
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{text}{end}{after}"
    return page


def main(arguments: list[str]) -> int:
    """Write the tables, or with `--check` return 1 where they are not current."""
    path = Path(__file__).parents[1] / PAGE
    before = path.read_text("utf-8")
    after = update_tables(before)
    if "--check" in arguments:
        return int(before != after)
    path.write_text(after, "utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
