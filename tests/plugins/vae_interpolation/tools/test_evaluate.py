"""`vae.measure` on pictures that a training has not used."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.vae_interpolation.models import networks
from plugins.vae_interpolation.tools.evaluate import EvaluateVae
from plugins.vae_interpolation.training import vae_kinds
from plugins.vae_interpolation.training.data import name_folders
from plugins.vae_interpolation.training.metrics import psnr_by_folder
from studio import api, testing


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (32, 32), (number % 256, 40, 200)).save(folder / f"{number}.png")
    return folder


def test_keeps_the_rules() -> None:
    testing.check_plugin([EvaluateVae])


def test_held_out_pictures_are_evaluated(tmp_path: Path) -> None:
    vae_kinds.SpatialKind().save(
        networks.build_spatial_vae((8, 8), size=32), tmp_path / "model", torch.randn(4, 4, 8, 8)
    )
    folder = pictures(tmp_path / "many", 60)
    held = sum(api.datasets.is_held_out(path) for path in folder.iterdir())
    assert held
    ctx = testing.FakeContext()
    events = testing.run(EvaluateVae, ctx, folder=folder, model=str(tmp_path / "model"), size=32)
    (report,) = testing.results(events)
    assert isinstance(report, api.Text)
    assert f"| many | {held} | {ctx.notes['psnr']['many']:.2f} |" in report.text


def test_a_folder_without_held_out_pictures_is_reported(tmp_path: Path) -> None:
    vae_kinds.SpatialKind().save(
        networks.build_spatial_vae((8, 8), size=32), tmp_path / "model", torch.randn(4, 4, 8, 8)
    )
    (tmp_path / "none").mkdir()
    with pytest.raises(api.BadInput, match="no held-out images in none"):
        testing.run(EvaluateVae, folder=tmp_path / "none", model=str(tmp_path / "model"))


def test_each_folder_is_evaluated_separately(tmp_path: Path) -> None:
    white, black = np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)
    samples = [api.datasets.ImageSample(tmp_path, white), api.datasets.ImageSample(tmp_path, black, 1)]
    psnr = psnr_by_folder(torch.ones_like, samples, ["white", "black", "empty"], 8)
    assert psnr["white"] > 90
    assert psnr["black"] == 0.0
    assert set(psnr) == {"white", "black"}


def test_folders_of_the_same_name_get_unique_names() -> None:
    assert name_folders([Path("/a/red"), Path("/a/blue")]) == ["red", "blue"]
    assert name_folders([Path("/a/red"), Path("/b/red")]) == ["red", "red (2)"]
    assert name_folders([Path("/1/red"), Path("/2/blue"), Path("/3/red"), Path("/4/red (2)")]) == [
        "red",
        "blue",
        "red (2)",
        "red (2) (2)",
    ]
