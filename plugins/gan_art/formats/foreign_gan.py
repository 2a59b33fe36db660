"""What a file of another program turns out to be, and how layouts look for their tensors in it."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

from .checkpoint_files import Checkpoint
from .state_dicts import StateDict, list_state_dicts

if TYPE_CHECKING:
    from torch import Tensor

    Weights: TypeAlias = dict[str, Tensor]

COLOURS = (3, 4)
_UNUSED = ("num_batches_tracked", "resample_filter")
_GENERATOR_NAMES = (
    ("ema", "avg", "ge", "se"),
    ("g", "gen", "generator", "netg", "decoder"),
    ("", "gan", "module", "state_dict", "model"),
)
"""Parts of names under which files hold generators, the best first."""
_DISCRIMINATOR_NAMES = ("d", "netd", "discriminator", "critic", "dis")


@dataclass
class ForeignGan:
    """A network of another program, converted to an architecture of the studio."""

    layout: str
    """What the artist knows it as, such as ``StyleGAN2-ADA``."""
    architecture: str
    generator: Weights
    licence: str
    """What is known of the licence."""
    discriminator: Weights | None = None
    clamp: float | None = None
    options: dict[str, Any] = field(default_factory=dict)
    notes: list[str] = field(default_factory=list)
    """Sentences on what the conversion had to assume."""


class ForeignFile:
    """The networks in a checkpoint."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        """List the networks. Raises ValueError for content that is nested without end."""
        self.checkpoint = checkpoint
        self.networks = list_state_dicts(checkpoint.content)

    @property
    def path(self) -> Path:
        return self.checkpoint.path

    def find(self, key: str, names: Iterable[str] = ()) -> StateDict | None:
        """Return the network that has a key, without what stands before it; of several the averaged generator.

        With `names` only networks whose name has one of them as a part.
        """
        wanted, found = set(names), []
        for network in self.networks:
            for own in network.tensors:
                if own == key or own.endswith(f".{key}"):
                    part = network.select(own.removesuffix(key))
                    if not wanted or wanted & _split(part.name):
                        found.append(part)
        return min(found, key=lambda part: _rank(part.name), default=None)

    def find_discriminator(self, key: str) -> StateDict | None:
        """Return the discriminator that has a key."""
        return self.find(key, _DISCRIMINATOR_NAMES)

    def read(self, network: StateDict, keep: Callable[[str], bool] = lambda _: True) -> Weights:
        """Read the tensors of a network whose keys are kept, without those that follow from others."""
        kept = {key: value for key, value in network.tensors.items() if not key.endswith(_UNUSED) and keep(key)}
        return self.checkpoint.read_tensors(kept)


def read_number(facts: Mapping[str, Any], ending: str) -> float | None:
    """Return the first number among facts whose key is or ends with a name."""
    for key, value in facts.items():
        if (key == ending or key.endswith(f".{ending}")) and isinstance(value, int | float) and value is not True:
            return float(value)
    return None


def add_colours(weights: Weights, layer: str, axis: int = 0) -> None:
    """Let a layer that makes grey images, with its outputs on an axis, make red, green and blue ones.

    Raises ValueError for a number of channels that images do not have.
    """
    channels = weights[f"{layer}.weight"].shape[axis]
    if channels not in (1, *COLOURS):
        raise ValueError(f"images with {channels} channels")
    if channels == 1:
        weight = weights[f"{layer}.weight"]
        weights[f"{layer}.weight"] = weight.repeat_interleave(COLOURS[0], dim=axis)
        if f"{layer}.bias" in weights:
            weights[f"{layer}.bias"] = weights[f"{layer}.bias"].repeat(COLOURS[0])


def rename(weights: Weights, *pairs: tuple[str, str]) -> Weights:
    """Return weights with other names: each pair is a regular expression for a whole name, and what replaces it."""
    renamed = {}
    for name, value in weights.items():
        for pattern, replacement in pairs:
            if match := re.fullmatch(pattern, name):
                renamed[match.expand(replacement)] = value
                break
    return renamed


def _split(name: str) -> set[str]:
    return set(re.split(r"[._]", name.lower()))


def _rank(name: str) -> int:
    parts = _split(name) or {""}
    if parts & {*_DISCRIMINATOR_NAMES}:
        return len(_GENERATOR_NAMES) + 1
    return next((rank for rank, names in enumerate(_GENERATOR_NAMES) if parts & {*names}), len(_GENERATOR_NAMES))
