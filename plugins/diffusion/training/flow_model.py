"""A transformer that learns by flow matching, with the pipeline that it belongs to."""

from __future__ import annotations

import gc
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from studio import api

from ..checkpoints import families
from ..models.latents import scale_factor_of
from . import flow_matching
from .adapter import Layers
from .flow_families import FlowFamily
from .objective import Objective
from .prompt_store import PromptStore
from .trainable_model import Frame, TrainableModel

if TYPE_CHECKING:
    import torch
    from diffusers import AutoencoderKL
    from torch import Tensor, nn

MAX_PREVIEW_STEPS = 20
_TEXT_PARTS = ("text_encoder", "text_encoder_2", "text_encoder_3")


@dataclass
class FlowModel(TrainableModel):
    """The transformer of a pipeline. Text encoders are released when all prompts are encoded.

    `pipe` samples the previews; `call` are arguments of it. `reload` loads the pipeline again, for prompts that come
    later.
    """

    transformer: nn.Module
    pipe: Any
    family: FlowFamily
    prompts: PromptStore
    dtype: torch.dtype
    """Type that the transformer computes in."""
    call: Mapping[str, Any]
    reload: Callable[[], Any]

    @property
    def networks(self) -> dict[str, nn.Module]:
        return {"transformer": self.transformer}

    @property
    def denoiser(self) -> Any:
        return self.transformer

    @property
    def layer_names(self) -> Mapping[Layers, tuple[str, ...]]:
        return self.family.layers

    def read_texts(self, texts: Sequence[str], ctx: api.Context) -> Iterator[api.Event]:
        """Encode captions and prompts, and release the text encoders. Raises Paused."""
        missing = [text for text in dict.fromkeys(["", *texts]) if text not in self.prompts]
        if missing:
            device = _place_text_encoders(self.pipe, ctx.device)
            for number, text in enumerate(missing, 1):
                self._encode(self.pipe, text, device)
                yield api.Progress(0, 0, f"Encoding captions: {number:,} of {len(missing):,}")
                if number < len(missing):
                    api.pause_if_requested(ctx, lambda: None)
        for name in _TEXT_PARTS:
            if hasattr(self.pipe, name):
                setattr(self.pipe, name, None)
        _free_memory()

    def _encode(self, pipe: Any, text: str, device: str) -> None:
        import torch

        with torch.no_grad():
            self.prompts.write(text, self.family.encode(pipe, text, device))

    def draw_times(self, fractions: Tensor, objective: Objective, side: tuple[int, int]) -> Tensor:
        tokens = side[0] * side[1] // self.family.patch**2
        shift = flow_matching.find_shift(self.pipe.scheduler.config, tokens)
        return flow_matching.draw_noise_levels(fractions, objective.timesteps, shift)

    def predict(
        self,
        latents: Tensor,
        noise: Tensor,
        times: Tensor,
        texts: list[str],
        frames: Sequence[Frame | None],  # noqa: ARG002
    ) -> Tensor:
        prompts = self.family.collate([self.prompts.read(text) for text in texts], str(latents.device))
        noisy = flow_matching.add_noise(latents, noise, times).to(self.dtype)
        return self.family.predict(self.pipe, self.transformer, noisy, times, prompts)

    def choose_target(self, latents: Tensor, noise: Tensor, times: Tensor) -> Tensor:  # noqa: ARG002
        return noise - latents

    def weigh(self, objective: Objective, times: Tensor) -> Tensor | None:
        return flow_matching.weigh(objective, times)

    def render(self, prompts: Sequence[str], vae: AutoencoderKL, side: int, ctx: api.Context) -> Tensor:
        """Sample with the pipeline itself, in no more than `MAX_PREVIEW_STEPS` steps."""
        import torch

        self._encode_new_prompts(prompts, ctx)
        self.pipe.transformer = self.transformer
        vae.to(self.dtype)
        images = []
        for prompt in prompts:
            ctx.check_cancelled()
            arguments = self._describe_prompt(prompt if prompt in self.prompts else "", ctx.device)
            pixels = side * scale_factor_of(self.pipe)
            output = self.pipe(
                **arguments, height=pixels, width=pixels, generator=ctx.generator(), output_type="pt", **self.call
            )
            images.append(output.images[0].float().cpu() * 2 - 1)
        return torch.stack(images)

    def _describe_prompt(self, prompt: str, device: str) -> dict[str, Any]:
        """Return the arguments of the pipeline for a prompt and the empty negative prompt."""
        arguments = self.family.collate([self.prompts.read(prompt)], device)
        if self.family.has_negative_prompt:
            negative = self.family.collate([self.prompts.read("")], device)
            arguments |= {"negative_prompt": None, **{f"negative_{name}": value for name, value in negative.items()}}
        return arguments

    def _encode_new_prompts(self, prompts: Sequence[str], ctx: api.Context) -> None:
        """Encode prompts that the artist has entered during the training, with text encoders that are loaded again."""
        missing = [prompt for prompt in prompts if prompt not in self.prompts]
        if not missing:
            return
        try:
            pipe = self.reload()
            for prompt in missing:
                ctx.check_cancelled()
                self._encode(pipe, prompt, "cpu")
            del pipe
            _free_memory()
        except (api.StudioError, MemoryError) as error:
            text = f"The new prompts cannot be encoded, so their previews have none: {error}"
            ctx.emit(api.Notice(text, "warning"))


def find_call_arguments(pipe: Any, family: families.Family) -> dict[str, Any]:
    """Return the arguments of a pipeline for previews, from the defaults of its family and its model."""
    steps = family.steps or families.default_of(pipe, family.steps_name) or MAX_PREVIEW_STEPS
    call: dict[str, Any] = {family.steps_name: min(steps, MAX_PREVIEW_STEPS)}
    if family.guidance is not None:
        call[family.guidance_name] = family.guidance
    if families.accepts(pipe, "use_resolution_binning"):
        call["use_resolution_binning"] = False
    return call


def _place_text_encoders(pipe: Any, device: str) -> str:
    """Move the text encoders to the device. Returns where they are, which is the CPU if they do not fit."""
    import torch

    parts = [part for name in _TEXT_PARTS if (part := getattr(pipe, name, None)) is not None]
    try:
        for part in parts:
            part.to(device)
    except torch.OutOfMemoryError:
        pass
    else:
        return device
    for part in parts:
        part.to("cpu")
    _free_memory()
    return "cpu"


def _free_memory() -> None:
    import torch

    gc.collect()
    if torch.cuda.is_available():
        torch.cuda.empty_cache()
