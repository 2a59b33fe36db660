"""Fits what another program wrote into an image to the parameters of a tool."""

from __future__ import annotations

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any

from msgspec import Struct
from msgspec.structs import replace

from studio.core import params_schema
from studio.core.descriptor import Field, ToolDescriptor
from studio.core.recipe import SEEDS
from studio.engine.sampler_names import match_sampler, match_schedule
from studio.library.foreign.a1111 import IMAGE_TO_IMAGE_TOOLS
from studio.library.foreign.fields import MORE, ForeignField
from studio.library.foreign.lora_values import ForeignLora
from studio.library.library import Library
from studio.library.models import offers

TEXT_TO_IMAGE = "diffusion.paint"
"""Id of the tool that runs the values of an image of another program, unless another is chosen."""
_LORA_TAG = re.compile(r"<lora:([^:<>]+)[^<>]*>")
_MAX_NAME = 1_000
_HASH = re.compile(r"\[[0-9a-f]{4,64}\]$")
_SUFFIX = re.compile(r"\.(safetensors|sft|ckpt|pt|pth|bin|gguf)$", re.IGNORECASE)


class FittedField(Struct, frozen=True, kw_only=True):
    """A field and the parameters of the tool that it sets; `seed` is set for the seed, which is no parameter.

    `note` says in a sentence what of it is not used. If `values` is empty and `seed` is None, nothing is.
    """

    field: ForeignField
    values: dict[str, Any] = {}
    seed: int | None = None
    note: str = ""

    @property
    def is_usable(self) -> bool:
        return bool(self.values) or self.seed is not None


def fit_fields(fields: Iterable[ForeignField], tool: ToolDescriptor, library: Library) -> list[FittedField]:
    """Fit each field to a tool, in the given order. All values pass the rules of the tool's parameters.

    Models, LoRAs and VAEs are found by their file names among those that the tool offers.
    """
    parameters = {parameter.name: parameter for parameter in params_schema.read_fields(tool.schema)}
    fitted = [_check(_fit(field, tool, parameters, library), tool) for field in fields]
    return _remove_absent_tags(fitted, parameters, library) if "loras" in parameters else fitted


def _fit(field: ForeignField, tool: ToolDescriptor, parameters: dict[str, Field], library: Library) -> FittedField:
    sampler, schedule = parameters.get("sampler"), parameters.get("schedule")
    missing = FittedField(field=field, note=f"{tool.title} has no parameter for {field.title}.")
    match field.name, field.value:
        case "seed", int(seed):
            if 0 <= seed < SEEDS:
                return FittedField(field=field, seed=seed)
            return FittedField(field=field, note=f"The seed {seed} is not between 0 and {SEEDS - 1}.")
        case "size", (width, height) if {"width", "height"} <= set(parameters):
            return FittedField(field=field, values={"width": width, "height": height})
        case "sampler", str(name) if sampler:
            values = match_sampler(name, sampler, schedule)
            return FittedField(field=field, values=values, note="" if values else f"There is no sampler {name} here.")
        case "scheduler", str(name) if schedule:
            values = match_schedule(name, schedule)
            note = "" if values else f"There is no noise schedule {name} here."
            return FittedField(field=field, values=values, note=note)
        case "clip_skip", int(count) if "clip_skip" in parameters:
            return FittedField(field=field, values={"clip_skip": count - 1})
        case "strength", value if tool.id not in IMAGE_TO_IMAGE_TOOLS:
            return missing if value != 1 else FittedField(field=field)  # 1 begins with noise alone, as every tool does
        case ("model" | "vae") as name, str(wanted) if name in parameters:
            if choice := _list_choices(parameters[name], library).get(_stem(wanted)):
                return FittedField(field=field, values={name: choice})
            return FittedField(field=field, note=f"{wanted} is not among your models.")
        case "loras", tuple(loras) if {"loras", "lora_weights"} <= set(parameters):
            found = [lora for lora in loras if isinstance(lora, ForeignLora)]
            return _fit_loras(field, found, parameters["loras"], library)
        case name, value if name in parameters and not name.startswith(MORE):
            return FittedField(field=field, values={name: value})
        case _:
            return missing


def _fit_loras(field: ForeignField, loras: list[ForeignLora], parameter: Field, library: Library) -> FittedField:
    """Fit those LoRAs that the prompt does not name itself."""
    known = _list_choices(parameter, library)
    choices = {lora.name: known.get(_stem(lora.name), "") for lora in loras}
    used = [lora for lora in loras if not lora.in_prompt and choices[lora.name]]
    notes = []
    if absent := [name for name, choice in choices.items() if not choice]:
        notes.append(f"Not among your LoRAs: {', '.join(absent)}.")
    if any(lora.in_prompt for lora in loras):
        notes.append("The prompt itself names LoRAs.")
    values = {"loras": [choices[lora.name] for lora in used], "lora_weights": [lora.weight for lora in used]}
    return FittedField(field=field, values=values if used else {}, note=" ".join(notes))


def _remove_absent_tags(fitted: list[FittedField], parameters: dict[str, Field], library: Library) -> list[FittedField]:
    """Remove the tags of LoRAs that are not here from the prompt, since a job would be refused for them."""
    loras = [one.field.value for one in fitted if one.field.name == "loras" and isinstance(one.field.value, tuple)]
    named = [lora.name for value in loras for lora in value if isinstance(lora, ForeignLora) and lora.in_prompt]
    known = _list_choices(parameters["loras"], library) if named else {}
    absent = {name for name in named if _stem(name) not in known}

    def clean(text: str) -> str:
        return _LORA_TAG.sub(lambda tag: "" if tag[1].strip() in absent else tag[0], text).strip()

    return [
        replace(one, values={"prompt": clean(str(one.values["prompt"]))})
        if absent and one.field.name == "prompt" and one.values
        else one
        for one in fitted
    ]


def _check(fitted: FittedField, tool: ToolDescriptor) -> FittedField:
    """Drop values that the tool would refuse, and say why."""
    errors = params_schema.find_errors(tool, fitted.values) if fitted.values else {}
    refused = [sentence for name, sentence in errors.items() if name in fitted.values]
    return FittedField(field=fitted.field, note=refused[0]) if refused else fitted


def _list_choices(parameter: Field, library: Library) -> dict[str, str]:
    """Map the file names and titles of the models that a parameter offers, without extension, to its values."""
    choices: dict[str, str] = {}
    for offer in offers.list_offers(library.home, library, parameter.model):
        if offer.connected:
            for name in (_stem(offer.name), _stem(offer.path), offer.title.lower()):
                choices.setdefault(name, offer.name)
    return choices


def _stem(name: str) -> str:
    """Return a model's name without its folder, its extension, and the hash in ``sd/v1-5.ckpt [cc6cb27103]``."""
    bare = _HASH.sub("", name[-_MAX_NAME:].strip().replace("\\", "/")).rstrip()
    return _SUFFIX.sub("", PurePosixPath(bare).name).lower()
