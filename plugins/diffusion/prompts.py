"""From the artist's words to what a pipeline is given."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from studio import api

from .families import takes
from .loading import Model


def arguments(ctx: api.Context, model: Model, pipe: Any, params: Any) -> Mapping[str, Any]:
    """The arguments of a call that stand for the words."""
    given: dict[str, Any] = {"prompt": params.prompt}
    if takes(pipe, "negative_prompt"):
        given["negative_prompt"] = params.negative_prompt or None
    elif params.negative_prompt.strip():
        ctx.emit(api.Notice(f"{model.family.title} has no negative prompt; yours was left out."))
    if params.clip_skip:
        if not takes(pipe, "clip_skip"):
            raise api.BadInput(f"{model.family.title} has no clip skip.", "Set it to 0.")
        given["clip_skip"] = params.clip_skip
    return given
