"""Pictures painted in the style of others."""

from __future__ import annotations

from studio import api

from .folder import StyleFolder
from .importing import StyleImport
from .train_tool import StyleTrain
from .transfer import StyleTransfer
from .video import StyleVideo

__version__ = "1.0"
api_version = 1
title = "Style"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [StyleTransfer, StyleFolder, StyleVideo, StyleTrain, StyleImport]
