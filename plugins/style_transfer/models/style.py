"""Any style as one `Style`: a starter, a trained one, a folder, or another program's checkpoint."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import checkpoints, generators, onnx
from .onnx import OnnxStyle
from .value_range import Values, told_by

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor, nn

KIND = "style"
SUFFIXES = (*checkpoints.SUFFIXES, onnx.SUFFIX)
_TRIED = 128
"""Pixels along the side of the picture by which the values of an unbounded network are told."""


class Style:
    """A network on a device that paints. Call it with RGB [n, 3, h, w] in -1..1 to have the same, painted."""

    def __init__(self, network: nn.Module, title: str, config: Mapping[str, Any], values: Values, device: str) -> None:
        self.network = network.float().eval().requires_grad_(False).to(device)
        self.title = title
        self.config = dict(config)
        self.values = values
        self.device = device
        self.stride = generators.stride(config)
        """Sides must be multiples of this."""
        self.latest: tuple[str, NDArray[np.uint16]] | None = None
        """A painting that is remembered, and by which name."""

    @property
    def kind(self) -> str:
        """``resnet``, ``unet``, ``animegan2``, ``fast_neural_style`` or ``pattern``."""
        return str(self.config["network"])

    @property
    def megabytes(self) -> float:
        """Of its weights."""
        return sum(value.numel() * value.element_size() for value in self.network.parameters()) / 1e6

    def fingerprint(self) -> str:
        """Changes with the weights."""
        told = hashlib.sha256(json.dumps(self.config, sort_keys=True).encode())
        for value in self.network.state_dict().values():
            told.update(value.cpu().contiguous().numpy().tobytes())
        return told.hexdigest()

    def __call__(self, x: Tensor) -> Tensor:
        import torch

        with torch.inference_mode():
            painted: Tensor = self.leave(self.network(self.enter(x.to(self.device))))
        return painted

    def enter(self, x: Tensor) -> Tensor:
        """From -1..1 to the network's own values."""
        if self.values == "signed":
            return x
        return (x + 1.0) * (127.5 if self.values == "bytes" else 0.5)

    def leave(self, x: Tensor) -> Tensor:
        """From the network's own values to -1..1, where those beyond are cut."""
        if self.values != "signed":
            x = x / (127.5 if self.values == "bytes" else 0.5) - 1.0
        return x.clamp(-1.0, 1.0)


def load(ctx: api.Context, choice: str) -> Style | OnnxStyle:
    """The style that a `ModelChoice` stands for, float32, on the job's device.

    Raises BadInput with one sentence for what is missing, damaged, a pointer, or of a layout that is not known,
    and for an empty choice, with how to get a style where there is none.
    """
    if not choice:
        raise none_chosen(ctx)
    where = Path(ctx.model(choice))
    if not where.exists():
        raise api.BadInput(f"There is no style named {choice}.", "Choose another, or train one.")
    return ctx.models.load(f"style:{where.resolve()}:{_stamp(where)}:{ctx.device}", lambda: opened(where, ctx.device))


def none_chosen(ctx: api.Context) -> api.BadInput:
    """What to say where no style is chosen."""
    offered = list(ctx.available_models(KIND))
    if offered:
        return api.BadInput("No style is chosen.", f"Choose one, such as {offered[0]}.")
    return api.BadInput(
        "There is no style yet.", "Make one with “Train a style”, or put a downloaded one into the models folder."
    )


def opened(where: Path, device: str = "cpu") -> Style | OnnxStyle:
    """The style in a folder or a file. Raises BadInput as `load` does."""
    if where.is_dir():
        if (where / generators.CONFIG).is_file() and (where / generators.WEIGHTS).is_file():
            network, config = generators.load(where)
            return Style(network, _title(where), config, _values(network, config), device)
        files = sorted(path for path in where.iterdir() if path.suffix.lower() in SUFFIXES)
        if len(files) != 1:
            what = "no weights" if not files else "several files of weights"
            raise api.BadInput(f"{where.name} is no style: it holds {what}.", "Choose a file, or another style.")
        (where,) = files
    if where.suffix.lower() == onnx.SUFFIX:
        return OnnxStyle(where)
    if where.suffix.lower() not in SUFFIXES:
        raise api.BadInput(f"{where.name} is no style.", "Styles are .safetensors, .pth or .onnx files, or folders.")
    return from_weights(checkpoints.tensors(where), where.name, device)


def from_weights(weights: Mapping[str, Tensor], name: str, device: str = "cpu") -> Style:
    """The style whose weights these are, told by their names and shapes; errors call it `name`."""
    config, weights = checkpoints.recognised(weights, name)
    network = generators.build(config)
    given = {key for key in network.state_dict() if key.endswith(".filt")}
    try:
        missing, more = network.load_state_dict(dict(weights), strict=False)
    except RuntimeError as error:
        raise _other(name, config) from error
    if set(missing) - given or more:
        raise _other(name, config)
    network = network.float().eval()
    return Style(network, Path(name).stem, config, _values(network, config), device)


def _other(name: str, config: Mapping[str, Any]) -> api.BadInput:
    return api.BadInput(
        f"{name} resembles the layout {config['network']}, and some of its weights do not fit into it.",
        "Choose another style.",
    )


def _values(network: nn.Module, config: Mapping[str, Any]) -> Values:
    """As the config says; of fast neural style, whose forks differ and whose last layer is unbounded, by trying."""
    told = config.get("values")
    if told in ("signed", "unit", "bytes"):
        return told  # type: ignore[no-any-return]
    return _tried(network) if config["network"] == "fast_neural_style" else "signed"


def _tried(network: nn.Module) -> Values:
    import torch

    slope = torch.linspace(0, 255, _TRIED).expand(1, 3, _TRIED, _TRIED)
    with torch.inference_mode():
        return told_by(network.eval()(slope).numpy())


def _title(folder: Path) -> str:
    try:
        told = json.loads((folder / "studio.json").read_text("utf-8")).get("title")
    except (OSError, ValueError, AttributeError):
        told = None
    return told if isinstance(told, str) and told else folder.name


def _stamp(where: Path) -> int:
    """Changes when a style is trained again under the same name."""
    files = [where] if where.is_file() else [path for path in where.iterdir() if path.is_file()]
    return max((file.stat().st_mtime_ns for file in files), default=0)
