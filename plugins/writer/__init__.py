"""Language model tools: continue text, chat, rewrite, describe images, and train on one's own texts."""

from __future__ import annotations

from studio import api

from .tools.caption import WriterCaption
from .tools.caption_folder import WriterCaptionFolder
from .tools.chat import WriterChat
from .tools.continue_text import WriterContinue
from .tools.fill_gap import WriterSuggest
from .tools.image_prompt import WriterPrompt
from .tools.rewrite import WriterRewrite
from .tools.shot_list import WriterShotlist
from .tools.train import WriterTrain

__version__ = "1.0"
api_version = 1
title = "Writer"


@api.hookimpl
def studio_tools() -> list[type[api.Tool]]:
    return [
        WriterContinue,
        WriterChat,
        WriterRewrite,
        WriterPrompt,
        WriterSuggest,
        WriterShotlist,
        WriterCaption,
        WriterCaptionFolder,
        WriterTrain,
    ]
