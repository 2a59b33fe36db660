"""Styles in ONNX files give the output of the network that they hold."""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from numpy.typing import NDArray
from torch.nn import functional

from plugins.style_transfer.inference import streaming
from plugins.style_transfer.models import onnx
from plugins.style_transfer.models import style as style_models
from plugins.style_transfer.models.onnx import InputLayout, OnnxStyle
from plugins.style_transfer.tools.style_image import StyleTransfer
from studio import api, testing
from tests.plugins.style_transfer.conftest import make_photo
from tests.plugins.style_transfer.fixtures import onnx_files

WEIGHTS = {
    "first": np.random.default_rng(0).normal(0, 0.4, (8, 3, 3, 3)),
    "scale": np.linspace(0.5, 1.5, 8),
    "shift": np.linspace(-0.5, 0.5, 8),
    "last": np.random.default_rng(1).normal(0, 0.3, (3, 8, 3, 3)),
}


def write_onnx(path: Path, shape: Sequence[int | str], **changed: NDArray[np.float64]) -> Path:
    """Write convolution, instance norm, ReLU, convolution, tanh, with the channels last where `shape` has them last."""
    channels_last = shape[-1] == 3
    to_first = [onnx_files.build_node("Transpose", ["picture"], "x", perm=[0, 3, 1, 2])] if channels_last else []
    x = "x" if channels_last else "picture"
    layers = [
        onnx_files.build_node("Conv", [x, "first"], "a", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        onnx_files.build_node("InstanceNormalization", ["a", "scale", "shift"], "b", epsilon=1e-5),
        onnx_files.build_node("Relu", ["b"], "c"),
        onnx_files.build_node("Conv", ["c", "last"], "d", pads=[1, 1, 1, 1], kernel_shape=[3, 3]),
        onnx_files.build_node("Tanh", ["d"], "e" if channels_last else "painting"),
    ]
    to_last = [onnx_files.build_node("Transpose", ["e"], "painting", perm=[0, 2, 3, 1])] if channels_last else []
    path.write_bytes(onnx_files.build_file([*to_first, *layers, *to_last], {**WEIGHTS, **changed}, shape))
    return path


def run_network(rgb: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Run the same layers with torch; the result is in 0..255."""
    weights = {name: torch.from_numpy(value).float() for name, value in WEIGHTS.items()}
    x = torch.from_numpy(rgb).permute(2, 0, 1)[None].float() / 127.5 - 1
    x = functional.conv2d(x, weights["first"], padding=1)
    x = torch.relu(functional.instance_norm(x, weight=weights["scale"], bias=weights["shift"]))
    x = torch.tanh(functional.conv2d(x, weights["last"], padding=1))
    values: NDArray[np.float32] = ((x[0].permute(1, 2, 0) + 1) * 127.5).numpy()
    return values


@pytest.mark.parametrize("shape", [(1, 3, "h", "w"), (1, "h", "w", 3), ("n", 3, 64, 96)])
def test_the_output_is_that_of_the_network(shape: Sequence[int | str], tmp_path: Path) -> None:
    style = style_models.open_style(write_onnx(tmp_path / "hayao.onnx", shape))
    assert isinstance(style, OnnxStyle)
    assert (style.title, style.value_range) == ("hayao", "signed")
    rgb = make_photo(96, 64)
    result = streaming.stylize(style, rgb, tmp_path, lambda _: None) / 257
    assert run_network(rgb).std() > 10
    assert np.abs(result - run_network(rgb)).max() < 0.05


def test_a_network_of_fixed_size_accepts_all_sizes(tmp_path: Path) -> None:
    style = style_models.open_style(write_onnx(tmp_path / "style.onnx", (1, 3, 64, 64)))
    for size in ((1, 1), (50, 30), (200, 90)):
        assert streaming.stylize(style, make_photo(*size), tmp_path, lambda _: None).shape == (size[1], size[0], 3)


def test_dynamic_sides_are_padded_by_reflection(tmp_path: Path) -> None:
    style = style_models.open_style(write_onnx(tmp_path / "style.onnx", (1, "h", "w", 3)))
    rgb = make_photo(50, 30)
    mirrored = np.pad(rgb, ((0, 2), (0, 14), (0, 0)), mode="reflect")
    result = streaming.stylize(style, rgb, tmp_path, lambda _: None) / 257
    assert np.abs(result - run_network(mirrored)[:30, :50]).max() < 0.05


def test_the_tool_accepts_an_onnx_file(photo: Path, tmp_path: Path) -> None:
    testing.check_tool(StyleTransfer, {"image": photo, "style": str(write_onnx(tmp_path / "s.onnx", (1, 3, "h", "w")))})


def test_too_large_an_image_raises_bad_input(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(onnx, "MAX_PIXELS", 1000)
    style = style_models.open_style(write_onnx(tmp_path / "style.onnx", (1, 3, "h", "w")))
    with pytest.raises(api.BadInput, match="Processing resolution"):
        streaming.stylize(style, make_photo(40, 40), tmp_path, lambda _: None)


def test_a_file_that_is_no_style_raises_bad_input(tmp_path: Path) -> None:
    whole = write_onnx(tmp_path / "style.onnx", (1, 3, "h", "w")).read_bytes()
    (tmp_path / "cut.onnx").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "words.onnx").write_text("no network at all")
    (tmp_path / "empty.onnx").touch()
    (tmp_path / "pointer.onnx").write_text("version https://git-lfs.github.com/spec/v1\noid sha256:0\nsize 9\n")
    write_onnx(tmp_path / "grey.onnx", (1, 1, "h", "w"))
    unknown = onnx_files.build_node("NoSuchLayer", ["picture"], "painting")
    (tmp_path / "unknown.onnx").write_bytes(onnx_files.build_file([unknown], {}, (1, 3, "h", "w")))
    for name, sentence in (
        ("cut", "damaged"),
        ("words", "no ONNX file"),
        ("empty", "no ONNX file"),
        ("pointer", "Git LFS pointer"),
        ("grey", "one colour image"),
        ("unknown", "cannot be run here"),
    ):
        with pytest.raises(api.BadInput, match=sentence):
            style_models.open_style(tmp_path / f"{name}.onnx")


def test_the_input_layout_is_read_from_the_file() -> None:
    assert onnx.read_input_layout(onnx_files.build_file([], {}, (1, 3, 224, 224)), "") == InputLayout(224, 224, False)
    assert onnx.read_input_layout(onnx_files.build_file([], {}, ("n", "h", "w", 3)), "") == InputLayout(0, 0, True)


@pytest.mark.parametrize("name", WEIGHTS)
@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_weights_that_are_not_finite_are_refused(tmp_path: Path, name: str, value: float) -> None:
    weights = WEIGHTS[name].copy()
    weights.flat[-1] = value
    path = write_onnx(tmp_path / "ink.onnx", (1, 3, "h", "w"), **{name: weights})
    with pytest.raises(api.BadInput, match=rf"^ink.onnx is damaged: {name} holds numbers that are not finite"):
        OnnxStyle(path)


def test_a_mask_and_a_bound_of_infinity_are_no_damage() -> None:
    content = onnx_files.build_file([], {"mask": np.array([0, -math.inf]), "low": np.array([-math.inf])}, (1, 3, 8, 8))
    onnx.check_weights(content, "ink.onnx")


def test_an_output_without_numbers_is_refused(tmp_path: Path) -> None:
    huge = {name: np.full_like(WEIGHTS[name], 3e38) for name in ("scale", "shift", "last")}
    path = write_onnx(tmp_path / "ink.onnx", (1, 3, "h", "w"), **huge)
    with pytest.raises(api.BadInput, match="gives numbers that are not finite"):
        OnnxStyle(path)
