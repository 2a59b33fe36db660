"""Makes the sheet of all starter styles for the docs.

`python3 -m tests.benchmarks.style_sheet PHOTO… styles.webp`
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from plugins.style_transfer.inference import streaming
from plugins.style_transfer.models import style as style_models
from studio.core import paths
from studio.library.models import offers as library_models

CELL = (360, 270)
"""Size of each result in px. The styles are applied at this size, so that strokes and dots are shown unscaled."""
GAP, LABEL = 8, 22


def find_starters() -> list[Path]:
    """Return the folders of the starter styles, by name."""
    folder = library_models.starters_folder()
    return sorted(path for path in folder.glob(f"{style_models.MODEL_KIND}-*") if (path / "config.json").is_file())


def build_sheet(photos: list[Image.Image], styles: list[Path]) -> Image.Image:
    """Build a sheet with a row for the photos and one for each style."""
    cells = [
        ImageOps.fit(photo.convert("RGB"), CELL, Image.Resampling.LANCZOS, centering=(0.5, 0.2)) for photo in photos
    ]
    width, height = CELL[0] + GAP, CELL[1] + GAP + LABEL
    sheet = Image.new("RGB", (GAP + width * len(cells), GAP + height * (1 + len(styles))), "#1e1e1e")
    _draw_row(sheet, GAP, "Photo", cells)
    for number, folder in enumerate(styles, 1):
        style = style_models.open_style(folder)
        with tempfile.TemporaryDirectory() as scratch:
            results = [streaming.stylize(style, np.asarray(cell), Path(scratch), lambda _: None) for cell in cells]
        _draw_row(
            sheet,
            GAP + number * height,
            style.title,
            [Image.fromarray((result // 257).astype(np.uint8)) for result in results],
        )
    return sheet


def _draw_row(sheet: Image.Image, top: int, title: str, cells: list[Image.Image]) -> None:
    font = ImageFont.truetype(str(next((paths.resources_folder() / "fonts").glob("*.otf"))), 14)
    ImageDraw.Draw(sheet).text((GAP, top), title, font=font, fill="#e6e6e6")
    for number, cell in enumerate(cells):
        sheet.paste(cell, (GAP + number * (CELL[0] + GAP), top + LABEL))


def main() -> None:
    *photos, out = map(Path, sys.argv[1:])
    build_sheet([Image.open(photo) for photo in photos], find_starters()).save(out, quality=82, method=6)


if __name__ == "__main__":
    main()
