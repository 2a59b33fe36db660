"""Morphs, blends and dreams with variational autoencoders."""

from __future__ import annotations

from studio import api

from .morph import Morph

api_version = 1


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [Morph]
