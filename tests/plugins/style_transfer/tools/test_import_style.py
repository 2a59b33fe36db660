"""`style.import` as the studio runs it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.style_transfer.tools import import_style, train
from plugins.style_transfer.tools.import_style import StyleImport
from studio import api, testing
from studio.library.models import model_kind
from tests.plugins.style_transfer.fixtures import original_networks
from tests.plugins.style_transfer.fixtures.results import get_result, open_torch_style


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(original_networks.build_cyclegan(6).state_dict(), tmp_path / "latest_net_G.pth")
    return tmp_path / "latest_net_G.pth"


def run_import(path: Path, **values: Any) -> api.Trained:
    return get_result(testing.run(StyleImport, file=path, **values), api.Trained)


def test_the_tool_conforms(checkpoint: Path) -> None:
    testing.check_tool(StyleImport, {"file": checkpoint})


def test_an_imported_style_gives_the_same_output(checkpoint: Path) -> None:
    style = run_import(checkpoint, title="Monet", licence="BSD")
    assert (style.title, style.kind) == ("Monet", "style")
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    assert torch.equal(open_torch_style(style.folder)(x), open_torch_style(checkpoint)(x))
    assert json.loads((style.folder / "studio.json").read_text())["licence"] == "BSD"
    assert "ResNet" in (style.folder / "README.md").read_text()
    with Image.open(style.folder / train.THUMBNAIL) as thumbnail:
        assert thumbnail.size == (import_style.THUMBNAIL_SIDE, import_style.THUMBNAIL_SIDE)


def test_the_thumbnail_shows_the_given_image(checkpoint: Path, photo: Path) -> None:
    style = run_import(checkpoint, image=photo)
    assert style.title == "latest_net_G"
    with Image.open(style.folder / train.THUMBNAIL) as thumbnail:
        assert thumbnail.size == (96, 72)


def test_the_given_value_range_is_saved(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(original_networks.FastNeuralStyle().state_dict(), tmp_path / "mosaic.pth")
    assert open_torch_style(tmp_path / "mosaic.pth").value_range != "bytes"
    assert open_torch_style(run_import(tmp_path / "mosaic.pth", values="bytes").folder).value_range == "bytes"


@pytest.mark.parametrize(
    "network",
    [
        original_networks.build_cyclegan(6),
        original_networks.build_cut(2),
        original_networks.build_unet(5),
        original_networks.AnimeGan2(),
        original_networks.FastNeuralStyle(),
    ],
)
def test_the_library_recognizes_the_architectures(network: torch.nn.Module) -> None:
    assert model_kind.kind_of_names(list(network.state_dict())) == model_kind.STYLE


def test_the_landscape_has_light_and_dark() -> None:
    assert 40 < np.asarray(import_style.draw_landscape()).std() < 90
