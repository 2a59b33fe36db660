"""The image that stands for a model."""

from __future__ import annotations

from pathlib import Path

from studio.library.creation import find_tile_image


def test_the_tile_shows_the_own_image_or_the_last_preview(tmp_path: Path) -> None:
    assert find_tile_image(tmp_path) is None
    record = tmp_path / "training"
    record.mkdir()
    for name in ("preview-0000010.webp", "preview-0000900.webp", "preview-10000000.webp"):
        (record / name).write_bytes(b"")
    (record / "preview-99999999.webp").mkdir()
    assert find_tile_image(tmp_path) == record / "preview-10000000.webp"
    (tmp_path / "preview.webp").write_bytes(b"")
    assert find_tile_image(tmp_path) == tmp_path / "preview.webp"
