"""Loads a style: a starter, a trained one, a folder, or a third-party checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import checkpoints, generators, onnx
from .onnx import OnnxStyle
from .value_range import ValueRangeName, detect_value_range

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

MODEL_KIND = "style"
SUFFIXES = (*checkpoints.SUFFIXES, onnx.SUFFIX)
_GRADIENT_SIDE = 128
"""Side of the gradient in px by which the value range of an unbounded network is detected."""


class Style:
    """A generator on a device. Call it with RGB [n, 3, h, w] in -1..1; it returns the stylized images likewise."""

    def __init__(
        self, network: nn.Module, title: str, config: Mapping[str, Any], value_range: ValueRangeName, device: str
    ) -> None:
        api.model_files.check_weights(network, title)
        self.network = network.float().eval().requires_grad_(False).to(device)
        self.title = title
        self.config = dict(config)
        self.value_range = value_range
        self.device = device
        self.stride = generators.stride_of(config)
        """Number of which the sides of images must be multiples."""
        self.last_result: tuple[str, NDArray[np.uint16]] | None = None
        """The cached last result and its key."""

    @property
    def architecture(self) -> str:
        """``resnet``, ``unet``, ``animegan2``, ``fast_neural_style`` or ``pattern``."""
        return str(self.config["network"])

    @property
    def megabytes(self) -> float:
        """Size of the weights in memory, in MB."""
        return sum(value.numel() * value.element_size() for value in self.network.parameters()) / 1e6

    def fingerprint(self) -> str:
        """Return a hash of config and weights."""
        digest = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for value in self.network.state_dict().values():
            digest.update(value.cpu().contiguous().numpy().tobytes())
        return digest.hexdigest()

    def __call__(self, x: Tensor) -> Tensor:
        import torch

        with torch.inference_mode():
            result: Tensor = self.from_output(self.network(self.to_input(x.to(self.device))))
        return result

    def to_input(self, x: Tensor) -> Tensor:
        """Convert -1..1 to the network's value range."""
        if self.value_range == "signed":
            return x
        return (x + 1.0) * (127.5 if self.value_range == "bytes" else 0.5)

    def from_output(self, x: Tensor) -> Tensor:
        """Convert the network's value range to -1..1; values outside are clipped."""
        if self.value_range != "signed":
            x = x / (127.5 if self.value_range == "bytes" else 0.5) - 1.0
        return x.clamp(-1.0, 1.0)


def load_style(ctx: api.Context, choice: str) -> Style | OnnxStyle:
    """Load the style of a `ModelChoice` as float32 on the job's device, through the model cache.

    Raises BadInput for a style that is missing, damaged, a Git LFS pointer, or not supported, and for an empty choice.
    """
    if not choice:
        raise no_style_error(ctx)
    path = Path(ctx.model(choice))
    if not path.exists():
        raise api.BadInput(f"There is no style named {choice}.", "Choose another, or train one.")
    key = f"style:{path.resolve()}:{api.model_files.file_stamp(path)}:{ctx.device}"
    return ctx.models.load(key, lambda: open_style(path, ctx.device))


def no_style_error(ctx: api.Context) -> api.BadInput:
    """Return the error for an empty choice, with how to get a style."""
    available = list(ctx.available_models(MODEL_KIND))
    if available:
        return api.BadInput("No style is chosen.", f"Choose one, such as {available[0]}.")
    return api.BadInput(
        "There is no style yet.", "Make one with “Train a style”, or put a downloaded one into the models folder."
    )


def open_style(path: Path, device: str = "cpu") -> Style | OnnxStyle:
    """Open the style in a folder or a file. Raises BadInput as `load_style` does."""
    if path.is_dir():
        api.model_files.refuse_pointers(path)
        if (path / generators.CONFIG).is_file() and (path / generators.WEIGHTS).is_file():
            network, config = generators.load_network(path)
            return Style(network, api.model_files.read_title(path), config, _find_value_range(network, config), device)
        files = sorted(file for file in path.iterdir() if file.suffix.lower() in SUFFIXES)
        if len(files) != 1:
            content = "no weights" if not files else "several files of weights"
            raise api.BadInput(f"{path.name} is no style: it holds {content}.", "Choose a file, or another style.")
        (path,) = files
    if path.suffix.lower() == onnx.SUFFIX:
        return OnnxStyle(path)
    if path.suffix.lower() not in SUFFIXES:
        raise api.BadInput(f"{path.name} is no style.", "Styles are .safetensors, .pth or .onnx files, or folders.")
    return build_style(checkpoints.read_weights(path), path.name, device)


def build_style(weights: Mapping[str, Tensor], name: str, device: str = "cpu") -> Style:
    """Build a style from weights, whose names and shapes tell the architecture; errors call it `name`."""
    config, weights = checkpoints.detect_architecture(weights, name)
    network = generators.build_network(config)
    optional = {key for key in network.state_dict() if key.endswith(".filt")}
    try:
        missing, unexpected = network.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:
        raise _mismatch_error(name, config) from error
    if set(missing) - optional or unexpected:
        raise _mismatch_error(name, config)
    network = network.float().eval()
    return Style(network, Path(name).stem, config, _find_value_range(network, config), device)


def _mismatch_error(name: str, config: Mapping[str, Any]) -> api.BadInput:
    return api.BadInput(
        f"{name} looks like the architecture {config['network']}, but some of its weights do not fit into it.",
        "Choose another style.",
    )


def _find_value_range(network: nn.Module, config: Mapping[str, Any]) -> ValueRangeName:
    """Read the value range from the config, or detect it for fast neural style, whose forks differ."""
    value_range = config.get("values")
    if value_range in ("signed", "unit", "bytes"):
        return value_range  # type: ignore[no-any-return]
    return _detect_value_range(network) if config["network"] == "fast_neural_style" else "signed"


def _detect_value_range(network: nn.Module) -> ValueRangeName:
    import torch

    gradient = torch.linspace(0, 255, _GRADIENT_SIDE).expand(1, 3, _GRADIENT_SIDE, _GRADIENT_SIDE)
    with torch.inference_mode():
        return detect_value_range(network.eval()(gradient).numpy())
