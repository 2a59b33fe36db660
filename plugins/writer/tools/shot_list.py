"""A scene becomes a list of shots."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from studio import api

from ..generation import chat_template, constrained, generator, sampling_params
from ..models import tokenizer
from ..models import writer as models
from .continue_text import STARTER

SIZES = ("wide", "medium", "close", "detail")
ANGLES = ("eye level", "low", "high", "overhead")
MOVES = ("still", "pan", "tilt", "track", "zoom")
LONGEST = {"what": 120, "light": 40}
"""Characters."""
PER_SHOT = 260
"""Tokens that a shot has at most, if each is one character."""


class Scene(api.Params):
    """What is asked first."""

    text: api.Prompt = api.param("", title="The scene")
    shots: int = api.param(4, ge=1, le=12, title="Shots")
    model: api.ModelChoice = api.param(STARTER, model="language")


class WriterShotlist(api.Tool):
    """Breaks a scene into shots, as JSON that always has its form."""

    id = "writer.shotlist"
    title = "List of shots"
    output = "text"
    icon = "mdi6.movie-open-outline"

    class Params(sampling_params.Sampling, Scene):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        scene = params.text.strip()
        if not scene:
            raise api.BadInput("There is no scene yet.", "Write or paste one.")
        yield api.Progress(0, 0, "Getting the model ready")
        writer = models.load(ctx, params.model)
        asked = f"Break this scene into {params.shots} camera shots, as JSON.\n\n"
        if chat_template.has_template(writer):
            tokens = chat_template.prompt(writer, [(chat_template.USER, asked + scene)])
        else:
            yield api.Notice(
                f"{writer.name} cannot follow instructions: the form holds, what it says is loosely tied.", "warning"
            )
            begun = tokenizer.beginning(writer.tokenizer)
            tokens = begun + tokenizer.words(writer.tokenizer, f"{scene}\n\n")
        length = params.shots * PER_SHOT
        room = max(64, writer.longest - length)
        if len(tokens) > room:
            yield api.Notice(f"{writer.name} sees only the end of the scene: fewer shots leave more room.", "warning")
        form = constrained.json_schema(writer.tokenizer, schema(params.shots))
        chain = sampling_params.chain(params, writer.tokenizer, ctx.generator(), len(tokens), form)
        written = yield from generator.write(writer, tokens[-room:], chain, length, ctx)
        if written.ended != "end":
            raise api.StudioError(f"{writer.name} did not come to an end.", "Ask for fewer shots, or try another seed.")
        shots = json.loads(written.text)
        lines = [
            f"{number}. **{shot['size']}, {shot['angle']}, {shot['move']}**: {shot['what']} ({shot['light']})"
            for number, shot in enumerate(shots["shots"], 1)
        ]
        told = json.dumps(shots, ensure_ascii=False, indent=2)
        text = "\n".join([*lines, "", "```json", told, "```"])
        yield api.Text(text, "Shots", notes={"shots": shots["shots"], "scene": scene})


def schema(count: int) -> dict[str, Any]:
    """The JSON schema of a list of `count` shots."""
    texts = {name: {"type": "string", "minLength": 3, "maxLength": most} for name, most in LONGEST.items()}
    fixed = {"size": SIZES, "angle": ANGLES, "move": MOVES}
    fields = {**{name: {"enum": [*some]} for name, some in fixed.items()}, **texts}
    shot = {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"shots": {"type": "array", "items": shot, "minItems": count, "maxItems": count}},
        "required": ["shots"],
        "additionalProperties": False,
    }
