"""Break a scene into a list of camera shots, as JSON that always matches a schema."""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

from studio import api

from ..generation.chat_template import USER, encode_chat, has_chat_template
from ..generation.constrained import constrain_to_schema
from ..generation.generator import generate_text
from ..generation.sampling_params import SamplingParams, build_sampler_chain
from ..models.tokenizer import encode_bos, encode_text
from ..models.writer import STARTER, load_writer

SIZES = ("wide", "medium", "close", "detail")
ANGLES = ("eye level", "low", "high", "overhead")
MOVES = ("still", "pan", "tilt", "track", "zoom")
MAX_CHARACTERS = {"what": 120, "light": 40}
TOKENS_PER_SHOT = 260
"""Most tokens that a shot can have, with one token for each character."""
MIN_SCENE_TOKENS = 64


class SceneInputs(api.Params):
    """Parameters that come before the sampling parameters."""

    text: api.Prompt = api.param("", title="Scene")
    shots: int = api.param(4, ge=1, le=12, title="Number of shots")
    model: api.ModelChoice = api.param(STARTER, model="language")


class WriterShotlist(api.Tool):
    """Breaks a scene into a list of camera shots, with size, angle, movement, content and light of each."""

    id = "writer.shotlist"
    title = "Shot list"
    output = "text"
    icon = "mdi6.movie-open-outline"

    class Params(SamplingParams, SceneInputs):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        scene = params.text.strip()
        if not scene:
            raise api.BadInput("There is no scene.", "Write or paste one.")
        yield api.Progress(0, 0, "Loading the model")
        writer = load_writer(ctx, params.model)
        instructions = f"Break this scene into {params.shots} camera shots, as JSON.\n\n"
        if has_chat_template(writer):
            tokens = encode_chat(writer, [(USER, instructions + scene)])
        else:
            yield api.Notice(
                f"{writer.name} cannot follow instructions, so the shots may have little to do with the scene.",
                "warning",
            )
            tokens = encode_bos(writer.tokenizer) + encode_text(writer.tokenizer, f"{scene}\n\n")
        length = params.shots * TOKENS_PER_SHOT
        limit = max(MIN_SCENE_TOKENS, writer.context_length - length)
        if len(tokens) > limit:
            yield api.Notice(
                f"{writer.name} reads only the end of the scene. Fewer shots leave more of its context window.",
                "warning",
            )
        constraint = constrain_to_schema(writer.tokenizer, build_schema(params.shots))
        chain = build_sampler_chain(params, writer.tokenizer, ctx.generator(), len(tokens), constraint)
        output = yield from generate_text(writer, tokens[-limit:], chain, length, ctx)
        if output.finish_reason != "end":
            raise api.StudioError(
                f"{writer.name} did not finish the list.", "Ask for fewer shots, or try another seed."
            )
        result = json.loads(output.text)
        yield api.Text(format_shots(result), "Shots", notes={"shots": result["shots"], "scene": scene})


def build_schema(count: int) -> dict[str, Any]:
    """Return the JSON schema of a list of `count` shots."""
    choices = {"size": SIZES, "angle": ANGLES, "move": MOVES}
    fields: dict[str, Any] = {name: {"enum": [*values]} for name, values in choices.items()}
    fields |= {name: {"type": "string", "minLength": 3, "maxLength": most} for name, most in MAX_CHARACTERS.items()}
    shot = {"type": "object", "properties": fields, "required": [*fields], "additionalProperties": False}
    return {
        "type": "object",
        "properties": {"shots": {"type": "array", "items": shot, "minItems": count, "maxItems": count}},
        "required": ["shots"],
        "additionalProperties": False,
    }


def format_shots(result: dict[str, Any]) -> str:
    """Return the shots as a numbered Markdown list, followed by their JSON."""
    lines = [
        f"{number}. **{shot['size']}, {shot['angle']}, {shot['move']}**: {shot['what']} ({shot['light']})"
        for number, shot in enumerate(result["shots"], 1)
    ]
    return "\n".join([*lines, "", "```json", json.dumps(result, ensure_ascii=False, indent=2), "```"])
