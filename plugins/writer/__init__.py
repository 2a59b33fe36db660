"""Words beside pictures: stories and poems that go on, pictures described, and models that learn from texts."""

from __future__ import annotations

from studio import api

from .caption_tool import WriterCaption
from .chat_tool import WriterChat
from .continue_tool import WriterContinue
from .prompt_tool import WriterPrompt
from .rewrite_tool import WriterRewrite
from .shotlist_tool import WriterShotlist
from .suggest_tool import WriterSuggest
from .train_tool import WriterTrain

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
        WriterTrain,
    ]
