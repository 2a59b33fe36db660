"""ONNX files paint what the network paints that they hold."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.nn import functional

from plugins.style_transfer.inference import streaming
from plugins.style_transfer.models import onnx
from plugins.style_transfer.models import style as models
from plugins.style_transfer.models.onnx import Entrance, OnnxStyle
from plugins.style_transfer.tools.style_image import StyleTransfer
from studio import api, testing
from tests.plugins.style_transfer.conftest import photograph
from tests.plugins.style_transfer.fixtures import onnx_files

WEIGHTS = {
    "first": np.random.default_rng(0).normal(0, 0.4, (8, 3, 3, 3)),
    "scale": np.linspace(0.5, 1.5, 8),
    "shift": np.linspace(-0.5, 0.5, 8),
    "last": np.random.default_rng(1).normal(0, 0.3, (3, 8, 3, 3)),
}


def written(path: Path, shape: Sequence[int | str]) -> Path:
    """Convolution, instance normalisation, rectifier, convolution, tanh; with the channels last where they are so."""
    last = shape[-1] == 3
    turned = [onnx_files.node("Transpose", ["picture"], "x", perm=[0, 3, 1, 2])] if last else []
    x = "x" if last else "picture"
    layers = [
        onnx_files.node("Conv", [x, "first"], "a", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        onnx_files.node("InstanceNormalization", ["a", "scale", "shift"], "b", epsilon=1e-5),
        onnx_files.node("Relu", ["b"], "c"),
        onnx_files.node("Conv", ["c", "last"], "d", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        onnx_files.node("Tanh", ["d"], "e" if last else "painting"),
    ]
    back = [onnx_files.node("Transpose", ["e"], "painting", perm=[0, 2, 3, 1])] if last else []
    path.write_bytes(onnx_files.file([*turned, *layers, *back], WEIGHTS, shape))
    return path


def expected(rgb: np.ndarray) -> np.ndarray:
    """0..255."""
    weights = {name: torch.from_numpy(value).float() for name, value in WEIGHTS.items()}
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1
    x = functional.conv2d(x, weights["first"], padding=1)
    x = torch.relu(functional.instance_norm(x, weight=weights["scale"], bias=weights["shift"]))
    x = torch.tanh(functional.conv2d(x, weights["last"], padding=1))
    return ((x[0].permute(1, 2, 0) + 1) * 127.5).numpy()


@pytest.mark.parametrize("shape", [(1, 3, "h", "w"), (1, "h", "w", 3), ("n", 3, 64, 96)])
def test_paints_what_the_network_paints(shape: Sequence[int | str], tmp_path: Path) -> None:
    style = models.opened(written(tmp_path / "hayao.onnx", shape))
    assert isinstance(style, OnnxStyle)
    assert (style.title, style.values) == ("hayao", "signed")
    rgb = photograph(96, 64)
    made = streaming.painted(style, rgb, tmp_path, lambda share: None) / 257
    assert expected(rgb).std() > 10
    assert np.abs(made - expected(rgb)).max() < 0.05


def test_a_network_of_one_size_paints_all_sizes(tmp_path: Path) -> None:
    style = models.opened(written(tmp_path / "style.onnx", (1, 3, 64, 64)))
    for size in ((1, 1), (50, 30), (200, 90)):
        assert streaming.painted(style, photograph(*size), tmp_path, lambda share: None).shape == (size[1], size[0], 3)


def test_sides_are_mirrored_where_any_will_do(tmp_path: Path) -> None:
    style = models.opened(written(tmp_path / "style.onnx", (1, "h", "w", 3)))
    rgb = photograph(50, 30)
    mirrored = np.pad(rgb, ((0, 2), (0, 14), (0, 0)), mode="reflect")
    made = streaming.painted(style, rgb, tmp_path, lambda share: None) / 257
    assert np.abs(made - expected(mirrored)[:30, :50]).max() < 0.05


def test_the_tool_takes_it(photo: Path, tmp_path: Path) -> None:
    testing.check_tool(StyleTransfer, {"image": photo, "style": str(written(tmp_path / "s.onnx", (1, 3, "h", "w")))})


def test_too_much_at_once_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "MOST_PIXELS", 1000)
    style = models.opened(written(tmp_path / "style.onnx", (1, 3, "h", "w")))
    with pytest.raises(api.BadInput, match="Painted at"):
        streaming.painted(style, photograph(40, 40), tmp_path, lambda share: None)


def test_what_is_no_style_gets_one_sentence(tmp_path: Path) -> None:
    whole = written(tmp_path / "style.onnx", (1, 3, "h", "w")).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "words.onnx").write_text("no network at all")
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    written(tmp_path / "grey.onnx", (1, 1, "h", "w"))
    unknown = onnx_files.node("NoSuchLayer", ["picture"], "painting")
    (tmp_path / "unknown.onnx").write_bytes(onnx_files.file([unknown], {}, (1, 3, "h", "w")))
    for name, sentence in (
        ("cut", "damaged"),
        ("words", "no ONNX file"),
        ("empty", "no ONNX file"),
        ("pointer", "Git LFS pointer"),
        ("grey", "one colour picture"),
        ("unknown", "cannot be run here"),
    ):
        with pytest.raises(api.BadInput, match=sentence):
            models.opened(tmp_path / f"{name}.onnx")


def test_the_entrance_is_read_from_the_file() -> None:
    assert onnx.entrance(onnx_files.file([], {}, (1, 3, 224, 224)), "") == Entrance(224, 224, False)
    assert onnx.entrance(onnx_files.file([], {}, ("n", "h", "w", 3)), "") == Entrance(0, 0, True)
