"""Tiny models, made once."""

from __future__ import annotations

import logging
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from tests.plugins.diffusion import tiny


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def quiet() -> None:
    """What the libraries say about the tiny models is no news."""
    for name in ("diffusers", "transformers"):
        logging.getLogger(name).setLevel(logging.ERROR)


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's tiny model, by the family's name."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            made[family] = tiny.BUILDERS[family](tmp_path_factory.mktemp("models") / family)
        return made[family]

    return make


@pytest.fixture(scope="session")
def sd(tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model("stable-diffusion")
