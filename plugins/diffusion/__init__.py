"""From words to pictures, with diffusion models of every family."""

from __future__ import annotations

from studio import api

from .paint import Paint

api_version = 1


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [Paint]
