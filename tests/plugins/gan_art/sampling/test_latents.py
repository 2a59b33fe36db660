"""Latents in the notes of images."""

from __future__ import annotations

from pathlib import Path

import torch

from plugins.gan_art.models.gan_model import load_gan
from plugins.gan_art.sampling import latents
from tests.plugins.gan_art.fixtures.tiny_gan import make_context


def test_a_stored_latent_never_looks_like_a_path(tmp_path: Path) -> None:
    model = load_gan(make_context(tmp_path), "tiny")
    values = torch.full((6, 8), -1.9990234375)  # its bytes are slashes in the usual alphabet of base64
    values[0, 0] = 1.0
    packed = latents.build_note(model, latents.Latent(values))[latents.NOTE]["styles"]
    assert "/" not in packed
    assert "+" not in packed
