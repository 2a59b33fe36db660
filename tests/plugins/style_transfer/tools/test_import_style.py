"""`style.import` as the studio runs it."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.style_transfer.models import style
from plugins.style_transfer.tools import import_style
from plugins.style_transfer.tools.import_style import StyleImport
from studio import api, testing
from studio.library.models import model_kind
from tests.plugins.style_transfer.fixtures import original_networks


@pytest.fixture
def checkpoint(tmp_path: Path) -> Path:
    torch.manual_seed(0)
    torch.save(original_networks.cyclegan(6).state_dict(), tmp_path / "latest_net_G.pth")
    return tmp_path / "latest_net_G.pth"


def brought_in(path: Path, **values: object) -> api.Trained:
    (made,) = testing.results(testing.run(StyleImport, file=path, **values))
    assert isinstance(made, api.Trained)
    return made


def test_keeps_the_rules(checkpoint: Path) -> None:
    testing.check_tool(StyleImport, {"file": checkpoint})


def test_it_becomes_a_style_that_paints_the_same(checkpoint: Path) -> None:
    made = brought_in(checkpoint, title="Monet", licence="BSD")
    assert (made.title, made.kind) == ("Monet", "style")
    x = torch.rand(1, 3, 64, 64) * 2 - 1
    assert torch.equal(style.opened(made.folder)(x), style.opened(checkpoint)(x))
    assert json.loads((made.folder / "studio.json").read_text())["licence"] == "BSD"
    assert "ResNet" in (made.folder / "README.md").read_text()
    with Image.open(made.folder / import_style.THUMBNAIL) as thumbnail:
        assert thumbnail.size == (import_style.SIDE, import_style.SIDE)


def test_the_thumbnail_is_of_a_picture_that_is_given(checkpoint: Path, photo: Path) -> None:
    made = brought_in(checkpoint, image=photo)
    assert made.title == "latest_net_G"
    with Image.open(made.folder / import_style.THUMBNAIL) as thumbnail:
        assert thumbnail.size == (96, 72)


def test_the_values_that_are_told_are_kept(tmp_path: Path) -> None:
    torch.manual_seed(0)
    torch.save(original_networks.FastNeuralStyle().state_dict(), tmp_path / "mosaic.pth")
    assert style.opened(tmp_path / "mosaic.pth").values != "bytes"
    assert style.opened(brought_in(tmp_path / "mosaic.pth", values="bytes").folder).values == "bytes"


@pytest.mark.parametrize(
    "network",
    [
        original_networks.cyclegan(6),
        original_networks.cut(2),
        original_networks.unet(5),
        original_networks.AnimeGan2(),
        original_networks.FastNeuralStyle(),
    ],
)
def test_the_library_knows_the_layouts_by_their_names(network: torch.nn.Module) -> None:
    assert model_kind.kind_of_names(list(network.state_dict())) == model_kind.STYLE


def test_the_landscape_has_light_and_dark() -> None:
    assert 40 < np.asarray(import_style.landscape()).std() < 90
