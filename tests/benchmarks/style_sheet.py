"""Every style that comes with the studio, on photos of one's own, as one picture for the docs.

`python3 -m tests.benchmarks.style_sheet PHOTO… styles.webp`
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

import numpy as np
from PIL import Image, ImageDraw, ImageFont, ImageOps

from plugins.style_transfer.inference import streaming
from plugins.style_transfer.models import style as models
from studio.core import paths
from studio.library.models import offers as library_models

CELL = (360, 270)
"""Pixels of each painting, which is painted at just that size, so that strokes and dots are seen as they are."""
GAP, LABEL = 8, 22


def starters() -> list[Path]:
    """The folders of the styles, by name."""
    folder = library_models.starters()
    return sorted(path for path in folder.glob(f"{models.KIND}-*") if (path / "config.json").is_file())


def strip(photos: list[Image.Image], styles: list[Path]) -> Image.Image:
    """A row for the photos, and one for each style."""
    cells = [
        ImageOps.fit(photo.convert("RGB"), CELL, Image.Resampling.LANCZOS, centering=(0.5, 0.2)) for photo in photos
    ]
    width, height = CELL[0] + GAP, CELL[1] + GAP + LABEL
    sheet = Image.new("RGB", (GAP + width * len(cells), GAP + height * (1 + len(styles))), "#1e1e1e")
    _row(sheet, GAP, "Photo", cells)
    for number, folder in enumerate(styles, 1):
        style = models.opened(folder)
        with tempfile.TemporaryDirectory() as scratch:
            painted = [streaming.painted(style, np.asarray(cell), Path(scratch), lambda _: None) for cell in cells]
        _row(
            sheet,
            GAP + number * height,
            style.title,
            [Image.fromarray((one // 257).astype(np.uint8)) for one in painted],
        )
    return sheet


def _row(sheet: Image.Image, top: int, title: str, cells: list[Image.Image]) -> None:
    face = ImageFont.truetype(str(next((paths.resources() / "fonts").glob("*.otf"))), 14)
    ImageDraw.Draw(sheet).text((GAP, top), title, font=face, fill="#e6e6e6")
    for number, cell in enumerate(cells):
        sheet.paste(cell, (GAP + number * (CELL[0] + GAP), top + LABEL))


def main() -> None:
    *photos, out = map(Path, sys.argv[1:])
    strip([Image.open(photo) for photo in photos], starters()).save(out, quality=82, method=6)


if __name__ == "__main__":
    main()
