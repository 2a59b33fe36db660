"""The starters change a photo visibly, and their cards are complete."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from numpy.typing import NDArray

from plugins.style_transfer.models import generators
from studio.core import paths

STARTERS = sorted((paths.resources_folder() / "starters").glob("style-*"))
MAX_BYTES = 1_500_000


@pytest.fixture(scope="module")
def photo() -> NDArray[np.float32]:
    """Gradients of light and colour, and an edge, [3, 128, 128] in -1..1."""
    down, across = np.mgrid[-1:1:128j, -1:1:128j].astype(np.float32)
    return np.stack([across, down, np.where(across + down > 0, 0.8, -0.8)]).astype(np.float32)


def test_there_are_at_least_five_starters() -> None:
    assert len(STARTERS) >= 5


@pytest.mark.parametrize("folder", STARTERS, ids=lambda folder: folder.name)
def test_a_starter_changes_a_photo(folder: Path, photo: NDArray[np.float32]) -> None:
    import torch

    network, _ = generators.load_network(folder)
    with torch.no_grad():
        stylized = network(torch.from_numpy(photo)[None])[0]
    assert stylized.shape == (3, 128, 128)
    assert bool(stylized.isfinite().all())
    assert float((stylized - torch.from_numpy(photo)).abs().mean()) > 0.1
    assert float(stylized.std()) > 0.2


@pytest.mark.parametrize("folder", STARTERS, ids=lambda folder: folder.name)
def test_a_starter_is_small_and_described(folder: Path) -> None:
    assert (folder / generators.WEIGHTS).stat().st_size < MAX_BYTES
    about = json.loads((folder / "studio.json").read_text("utf-8"))
    assert (about["kind"], about["licence"]) == ("style", "MIT")
    assert "starter" in about["summary"]
    card = (folder / "README.md").read_text("utf-8")
    assert card.startswith(f"# {about['title']}\n")
    assert "**A starter**" in card
    assert "## Data and credits" in card
    assert (folder / "preview.webp").is_file()
