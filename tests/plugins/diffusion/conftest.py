"""Tiny models, made once."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.utils import logging as of_diffusers
from transformers.utils import logging as of_transformers

from tests.plugins.diffusion import tiny, tiny_flux, tiny_qwen, tiny_transformers

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "stable-diffusion": tiny.stable_diffusion,
    "stable-diffusion-xl": tiny.stable_diffusion_xl,
    "lcm": tiny.lcm,
    "stable-diffusion-3": tiny_transformers.stable_diffusion_3,
    "flux": tiny_transformers.flux,
    "pixart-sigma": tiny_transformers.pixart,
    "sana": tiny_transformers.sana,
    "z-image": tiny_transformers.z_image,
    "flux-kontext": tiny_flux.kontext,
    "flux2": tiny_flux.flux2,
    "flux2-klein": tiny_flux.flux2_klein,
    "chroma": tiny_flux.chroma,
    "qwenimage": tiny_qwen.qwen_image,
}


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def quiet() -> None:
    """What the libraries say about the tiny models is no news."""
    for library in (of_diffusers, of_transformers):
        library.set_verbosity_error()
        library.disable_progress_bar()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """The folder of a family's tiny model, by the family's name."""
    made: dict[str, Path] = {}

    def make(family: str) -> Path:
        if family not in made:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # what the libraries will rename among their own parts
                made[family] = BUILDERS[family](tmp_path_factory.mktemp("models") / family)
        return made[family]

    return make


@pytest.fixture(scope="session")
def sd(tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model("stable-diffusion")
