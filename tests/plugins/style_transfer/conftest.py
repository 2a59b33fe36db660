"""Small styles and photos."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from PIL import Image

from plugins.style_transfer.models import generators


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session")
def style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a small ResNet, as a training leaves it."""
    return make_style_folder(tmp_path_factory.mktemp("styles") / "ink", seed=1)


@pytest.fixture(scope="session")
def other_style(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return make_style_folder(tmp_path_factory.mktemp("styles") / "oil", seed=2)


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """A photo of 96 × 72 px."""
    path = tmp_path / "photo.png"
    Image.fromarray(make_photo(96, 72)).save(path)
    return path


def make_style_folder(folder: Path, *, seed: int) -> Path:
    torch.manual_seed(seed)
    config = {"network": "resnet", "blocks": 2, "width": 8, "upsampling": "resize"}
    generators.save_network(generators.build_network(config), folder, config)
    (folder / "studio.json").write_text(json.dumps({"title": folder.name.title(), "kind": "style"}))
    return folder


def make_photo(width: int, height: int, seed: int = 0) -> NDArray[np.uint8]:
    """Make soft shapes with some grain: [height, width, 3] of 0..255."""
    rng = np.random.default_rng(seed)
    columns, rows = max(2, width // 12), max(2, height // 12)
    coarse = Image.fromarray(rng.integers(0, 256, (rows, columns, 3)).astype(np.uint8))
    values = np.asarray(coarse.resize((width, height), Image.Resampling.BICUBIC), np.float32)
    return np.clip(values + rng.normal(0, 6, values.shape), 0, 255).astype(np.uint8)
