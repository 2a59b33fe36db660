"""The starters paint: each changes a photo in its own way, and its card says what it is."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from plugins.style_transfer.models import generators
from studio.core import paths

STARTERS = sorted((paths.resources() / "starters").glob("style-*"))
MOST = 1_500_000


@pytest.fixture(scope="module")
def photo() -> np.ndarray:
    """Slopes of light and colour, and an edge, [3, 128, 128] in -1..1."""
    down, across = np.mgrid[-1:1:128j, -1:1:128j].astype(np.float32)
    return np.stack([across, down, np.where(across + down > 0, 0.8, -0.8)]).astype(np.float32)


def test_there_are_at_least_five() -> None:
    assert len(STARTERS) >= 5


@pytest.mark.parametrize("folder", STARTERS, ids=lambda folder: folder.name)
def test_a_starter_paints(folder: Path, photo: np.ndarray) -> None:
    import torch

    network, _ = generators.load(folder)
    with torch.no_grad():
        painted = network(torch.from_numpy(photo)[None])[0]
    assert painted.shape == (3, 128, 128)
    assert bool(painted.isfinite().all())
    assert float((painted - torch.from_numpy(photo)).abs().mean()) > 0.1
    assert float(painted.std()) > 0.2


@pytest.mark.parametrize("folder", STARTERS, ids=lambda folder: folder.name)
def test_a_starter_is_small_and_says_what_it_is(folder: Path) -> None:
    assert (folder / generators.WEIGHTS).stat().st_size < MOST
    told = json.loads((folder / "studio.json").read_text("utf-8"))
    assert (told["kind"], told["licence"]) == ("style", "MIT")
    assert "starter" in told["summary"]
    card = (folder / "README.md").read_text("utf-8")
    assert card.startswith(f"# {told['title']}\n")
    assert "**A starter**" in card
    assert "## Data and credits" in card
    assert (folder / "preview.webp").is_file()
