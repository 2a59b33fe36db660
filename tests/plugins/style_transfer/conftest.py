"""Small styles of each layout, and pictures to paint."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.style_transfer.models import generators


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small ResNet, as a training leaves it."""
    return style_folder(tmp_path_factory.mktemp("styles") / "ink", seed=1)


@pytest.fixture(scope="session")
def other_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return style_folder(tmp_path_factory.mktemp("styles") / "oil", seed=2)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """96 × 72 px."""
    path = tmp_path / "photo.png"
    Image.fromarray(photograph(96, 72)).save(path)
    return path


def style_folder(folder: Path, *, seed: int) -> Path:
    torch.manual_seed(seed)
    config = {"network": "resnet", "blocks": 2, "width": 8, "upsampling": "resize"}
    generators.save(generators.build(config), folder, config)
    (folder / "studio.json").write_text(json.dumps({"title": folder.name.title(), "kind": "style"}))
    return folder


def photograph(width: int, height: int, seed: int = 0) -> np.ndarray:
    """Soft shapes with some grain: [height, width, 3] of 0..255."""
    chance = np.random.default_rng(seed)
    cells = (max(2, width // 12), max(2, height // 12))
    soft = Image.fromarray(chance.integers(0, 256, (cells[1], cells[0], 3)).astype(np.uint8))
    values = np.asarray(soft.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return np.clip(values + chance.normal(0, 6, values.shape), 0, 255).astype(np.uint8)
