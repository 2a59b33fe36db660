"""Faces: finds faces in photos and paintings, and puts one onto another, with consent."""

from __future__ import annotations

from studio import api

from .tools.find import FindFaces
from .tools.swap import SwapFaces

__version__ = "1.0"
api_version = 1
title = "Faces"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [FindFaces, SwapFaces]
