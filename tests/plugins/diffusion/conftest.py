"""Tiny models, each built once in a session."""

from __future__ import annotations

import warnings
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from diffusers.utils import logging as diffusers_logging
from tqdm import tqdm
from transformers.utils import logging as transformers_logging

from tests.plugins.diffusion.fixtures import (
    tiny,
    tiny_dit,
    tiny_edits,
    tiny_flux,
    tiny_kandinsky,
    tiny_qwen,
    tiny_transformers,
)

BUILDERS: dict[str, Callable[[Path], Path]] = {
    "stable-diffusion": tiny.stable_diffusion,
    "stable-diffusion-xl": tiny.stable_diffusion_xl,
    "lcm": tiny.lcm,
    "depth": tiny_edits.depth,
    "instruct-pix2pix": tiny_edits.pix2pix,
    "instruct-pix2pix-xl": tiny_edits.pix2pix_xl,
    "stable-diffusion-3": tiny_transformers.stable_diffusion_3,
    "flux": tiny_transformers.flux,
    "pixart-sigma": tiny_transformers.pixart,
    "sana": tiny_transformers.sana,
    "z-image": tiny_transformers.z_image,
    "flux-kontext": tiny_flux.kontext,
    "flux-fill": tiny_flux.fill,
    "flux2": tiny_flux.flux2,
    "flux2-klein": tiny_flux.flux2_klein,
    "chroma": tiny_flux.chroma,
    "qwenimage": tiny_qwen.qwen_image,
    "pixart-alpha": tiny_dit.pixart_alpha,
    "hunyuan": tiny_dit.hunyuan,
    "auraflow": tiny_dit.auraflow,
    "lumina": tiny_dit.lumina,
    "lumina2": tiny_dit.lumina2,
    "cogview3": tiny_dit.cogview3,
    "cogview4": tiny_dit.cogview4,
    "ovis": tiny_dit.ovis,
    "krea2": tiny_qwen.krea2,
    "prx": tiny_dit.prx,
    "kandinsky": tiny_kandinsky.kandinsky21,
    "kandinsky22": tiny_kandinsky.kandinsky22,
    "kandinsky3": tiny_kandinsky.kandinsky3,
    "wuerstchen": tiny_kandinsky.wuerstchen,
    "cascade": tiny_kandinsky.cascade,
}


@pytest.fixture(autouse=True)
def _no_progress_monitor(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prevent the thread that progress bars start, even disabled ones."""
    monkeypatch.setattr(tqdm, "monitor_interval", 0)


INPAINTERS: dict[str, Callable[[Path], Path]] = {
    "kandinsky-inpainting": tiny_kandinsky.kandinsky21_inpainting,
    "kandinsky22-inpainting": tiny_kandinsky.kandinsky22_inpainting,
}
"""Builders for the families that need a special model for inpainting."""


@pytest.fixture(autouse=True)
def use_one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture(scope="session", autouse=True)
def quiet_libraries() -> None:
    """Silence what the libraries log about the tiny models."""
    for library in (diffusers_logging, transformers_logging):
        library.set_verbosity_error()
        library.disable_progress_bar()


@pytest.fixture(scope="session")
def tiny_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Path]:
    """Return a function that builds the tiny model of a family, by the family's name, and returns its folder."""
    folders: dict[str, Path] = {}

    def build_model(family: str) -> Path:
        if family not in folders:
            build = BUILDERS.get(family) or INPAINTERS[family]
            with warnings.catch_warnings():
                warnings.simplefilter("ignore", FutureWarning)  # renamings that the libraries announce
                folders[family] = build(tmp_path_factory.mktemp("models") / family)
        return folders[family]

    return build_model


@pytest.fixture(scope="session")
def sd(tiny_model: Callable[[str], Path]) -> Path:
    return tiny_model("stable-diffusion")
