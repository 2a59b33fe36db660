"""`vae.measure` on pictures that a training has not seen."""

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.vae_interpolation.models import networks
from plugins.vae_interpolation.tools.evaluate import VaeMeasure, names_of, psnr_by_folder
from plugins.vae_interpolation.training import data, vae_kinds
from studio import api, testing


def pictures(folder: Path, count: int) -> Path:
    folder.mkdir()
    for number in range(count):
        Image.new("RGB", (32, 32), (number % 256, 40, 200)).save(folder / f"{number}.png")
    return folder


def test_keeps_the_rules() -> None:
    testing.check_plugin([VaeMeasure])


def test_measures_what_is_held_out(tmp_path: Path) -> None:
    vae_kinds.Spatial().save(networks.spatial_vae((8, 8), size=32), tmp_path / "model", torch.randn(4, 4, 8, 8))
    folder = pictures(tmp_path / "many", 60)
    held = sum(data.is_held_out(path) for path in folder.iterdir())
    assert held
    ctx = testing.FakeContext()
    events = testing.run(VaeMeasure, ctx, folder=folder, model=str(tmp_path / "model"), size=32)
    (said,) = testing.results(events)
    assert isinstance(said, api.Text)
    assert f"| many | {held} | {ctx.notes['psnr']['many']:.2f} |" in said.text


def test_nothing_held_out_is_one_sentence(tmp_path: Path) -> None:
    vae_kinds.Spatial().save(networks.spatial_vae((8, 8), size=32), tmp_path / "model", torch.randn(4, 4, 8, 8))
    (tmp_path / "none").mkdir()
    with pytest.raises(api.BadInput, match="no held out pictures"):
        testing.run(VaeMeasure, folder=tmp_path / "none", model=str(tmp_path / "model"))


def test_each_folder_is_measured_for_itself(tmp_path: Path) -> None:
    white, black = np.full((8, 8, 3), 255, np.uint8), np.zeros((8, 8, 3), np.uint8)
    samples = [data.Sample(tmp_path, 0, white), data.Sample(tmp_path, 1, black)]
    found = psnr_by_folder(torch.ones_like, samples, ["white", "black", "empty"], 8)
    assert found["white"] > 90
    assert found["black"] == 0.0
    assert set(found) == {"white", "black"}


def test_folders_of_one_name_are_told_apart() -> None:
    assert names_of([Path("/a/red"), Path("/a/blue")]) == ["red", "blue"]
    assert names_of([Path("/a/red"), Path("/b/red")]) == ["a/red", "b/red"]
    assert names_of([Path("/1/a/red"), Path("/2/a/red")]) == ["/1/a/red", "/2/a/red"]
