"""Style transfer: applies the style of paintings and effects to images and videos, and trains styles."""

from __future__ import annotations

from studio import api

from .tools.import_style import StyleImport
from .tools.style_folder import StyleFolder
from .tools.style_image import StyleTransfer
from .tools.style_video import StyleVideo
from .tools.train import StyleTrain

__version__ = "1.0"
api_version = 1
title = "Style"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [StyleTransfer, StyleFolder, StyleVideo, StyleTrain, StyleImport]
