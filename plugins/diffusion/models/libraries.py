"""Imports diffusers and transformers, which two threads must not do at once."""

from __future__ import annotations

import threading

_LOCK = threading.Lock()


def import_libraries() -> None:
    """Import the classes that a training and its estimate share.

    While one of these packages is imported it replaces its own module. Another thread that imports a class from it at
    the same time looks into the old one, and fails.
    """
    with _LOCK:
        from diffusers import AutoencoderKL, DDIMScheduler, UNet2DConditionModel  # noqa: F401
        from transformers import CLIPTextModel, CLIPTokenizer  # noqa: F401
