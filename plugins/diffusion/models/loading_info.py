"""Records of the keys that libraries found missing or unexpected while they loaded a pipeline's components."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from studio import api

_UNUSED = ("lm_head", "pooler", "position_ids", "logit_scale", "visual_projection", "vision_model")
"""Parts of the names of weights that pipelines do not compute with."""


@dataclass
class LoadingInfo:
    """Names of weights for which the model has no place, by component."""

    unexpected: dict[str, list[str]] = field(default_factory=dict)


@contextmanager
def check_components(model: str) -> Iterator[LoadingInfo]:
    """Check each component that diffusers or transformers loads until the block ends.

    Both fill in weights that a file lacks, at random or with nothing, and say so in the log alone.
    Raises BadInput for them from inside the block.
    """
    from diffusers import ModelMixin
    from transformers import PreTrainedModel

    info = LoadingInfo()
    with ExitStack() as patches:
        for base, is_strict in ((ModelMixin, True), (PreTrainedModel, False)):
            patches.callback(_replace_loader(base, model, info, is_strict=is_strict))
        yield info


def _replace_loader(base: type[Any], model: str, info: LoadingInfo, *, is_strict: bool) -> Callable[[], None]:
    """Let `from_pretrained` of a class and its subclasses check what it loaded. Returns a function that undoes it."""
    original = vars(base)["from_pretrained"]

    def from_pretrained(cls: type[Any], source: Any, *args: Any, **options: Any) -> Any:
        load = original.__get__(None, cls)
        if options.get("output_loading_info"):
            return load(source, *args, **options)
        component, report = load(source, *args, **options, output_loading_info=True)
        name = str(options.get("subfolder") or Path(str(source)).name)
        missing = [key for key in report["missing_keys"] if not any(part in key for part in _UNUSED)]
        api.model_files.check_loaded(f"The {name} of {model}", missing)
        if is_strict and report["unexpected_keys"]:
            info.unexpected[name] = sorted(report["unexpected_keys"])
        return component

    base.from_pretrained = classmethod(from_pretrained)
    return lambda: setattr(base, "from_pretrained", original)
