"""Generate the tables of model families in `docs/diffusion.md`: `python -m scripts.diffusion_docs`."""

from __future__ import annotations

import inspect
import sys
from pathlib import Path

from plugins.diffusion.checkpoints.families import FAMILIES, Family, Task

PAGE = "docs/diffusion.md"
FAMILIES_BEGIN, FAMILIES_END = "<!-- families -->", "<!-- end of families -->"
GUIDED_BEGIN, GUIDED_END = "<!-- guided -->", "<!-- end of guided -->"
_TOOLS = {Task.TEXT_TO_IMAGE: "text to image", Task.IMAGE_TO_IMAGE: "image to image", Task.INPAINT: "inpaint"}


def format_family_table() -> str:
    """Format a Markdown table of the tools that each family supports with the installed diffusers."""
    lines = [
        "| Family | Text to image | Variations | Image to image | Inpaint | Upscale | Video |",
        f"|{'---|' * 7}",
    ]
    for family in FAMILIES.values():
        if not family.tested:
            continue
        supported = (
            family.supports(Task.TEXT_TO_IMAGE),
            supports_variations(family),
            family.supports(Task.IMAGE_TO_IMAGE),
            family.supports(Task.INPAINT),
            supports_upscale(family),
        )
        cells = [family.title, *map(_format_mark, supported), _describe_video(family)]
        lines.append(f"| {' | '.join(cells)} |")
    others = ", ".join(family.title for family in FAMILIES.values() if not family.tested)
    return "\n".join([*lines, "", f"These families load, and are not tested: {others}.", ""])


def supports_variations(family: Family) -> bool:
    """Check whether a family's noise can be mixed. Families with a prior make their noise elsewhere."""
    return family.supports(Task.TEXT_TO_IMAGE) and hasattr(family.pipeline_class(Task.TEXT_TO_IMAGE), "prepare_latents")


def supports_upscale(family: Family) -> bool:
    """Check whether a family has a denoising strength."""
    if not family.supports(Task.IMAGE_TO_IMAGE):
        return False
    return "strength" in inspect.signature(family.pipeline_class(Task.IMAGE_TO_IMAGE).__call__).parameters


def format_guidance_table() -> str:
    """Format a Markdown table of the families with ControlNets or IP-Adapters, and the tools that support them."""
    lines = ["| Family | ControlNets in | IP-Adapters in |", "|---|---|---|"]
    for family in FAMILIES.values():
        controlnets = [task for task in _TOOLS if family.controlnet_pipelines(task)]
        adapters = [
            task for task in _TOOLS if family.supports(task) and hasattr(family.pipeline_class(task), "load_ip_adapter")
        ]
        if family.tested and (controlnets or adapters):
            cells = (", ".join(_TOOLS[task] for task in tasks) or "–" for tasks in (controlnets, adapters))
            lines.append(f"| {family.title} | {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def update_tables(page: str) -> str:
    """Return the page with current tables."""
    tables = (
        (FAMILIES_BEGIN, FAMILIES_END, format_family_table()),
        (GUIDED_BEGIN, GUIDED_END, format_guidance_table()),
    )
    for begin, end, table in tables:
        before, _, rest = page.partition(begin)
        _, _, after = rest.partition(end)
        page = f"{before}{begin}\n{table}{end}{after}"
    return page


def main(arguments: list[str]) -> int:
    """Write the tables, or with `--check` return 1 if they are not current."""
    path = Path(__file__).parents[1] / PAGE
    page = path.read_text("utf-8")
    updated = update_tables(page)
    if "--check" in arguments:
        return int(page != updated)
    path.write_text(updated, "utf-8")
    return 0


def _format_mark(supported: bool) -> str:
    return "yes" if supported else "–"


def _describe_video(family: Family) -> str:
    inputs = {Task.TEXT_TO_VIDEO: "from text", Task.IMAGE_TO_VIDEO: "from an image"}
    return ", ".join(text for task, text in inputs.items() if family.supports(task)) or "–"


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
