"""IP-Adapters: pictures that stand beside the words. Laid over a model for one job, which comes out as it went in."""

from __future__ import annotations

import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import api

from .. import images
from ..checkpoints import diffusers_folder, probe, weight_variants
from ..models.model import Model

ENCODER = "image_encoder"
_CONFIG = "config.json"
_BROKEN = (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError, IndexError)
_GROUP = "Guided by pictures"


class ReferenceParams(api.Params):
    """Pictures whose content or style is taken up."""

    reference_images: list[api.ImageInput] = api.param(
        [], max_items=8, title="Pictures to take up", advanced=True, group=_GROUP
    )
    """What they show is painted as if it had been described."""
    adapter: api.ModelChoice | None = api.param(
        None, model="ip-adapter", title="IP-Adapter", advanced=True, group=_GROUP
    )
    """The addition to the model that reads them. Its image_encoder folder lies beside it."""
    adapter_weight: api.Unit = api.param(0.6, title="Weight of the pictures", advanced=True, group=_GROUP)
    """How much they count against the words."""


@dataclass(frozen=True)
class _Adapter:
    """`size` is what the adapter reads: a number of the encoder's configuration, by its name."""

    file: Path
    size: tuple[str, int]


@contextmanager
def apply(ctx: api.Context, model: Model, pipe: Any, params: Any) -> Iterator[dict[str, Any]]:
    """The pipeline with the IP-Adapter that is asked for, until the block ends."""
    if not isinstance(params, ReferenceParams) or not _asked(params):
        yield {}
        return
    if not hasattr(pipe, "load_ip_adapter"):
        raise api.BadInput(
            f"{model.family.title} takes up no pictures here.", "Take them away, or choose another model."
        )
    adapter = _found(ctx, str(params.adapter))
    encoder = _encoder(ctx, adapter)
    references = [images.open_image(path) for path in params.reference_images]
    with _loaded(model, pipe, adapter, encoder) as several:
        if len(references) > 1 and not several:
            raise api.BadInput(f"{model.family.title} takes up one picture at a time.", "Take the others away.")
        pipe.set_ip_adapter_scale(params.adapter_weight)
        yield {"ip_adapter_image": [references] if several else references[0]}


def _asked(params: ReferenceParams) -> bool:
    if params.reference_images and params.adapter is None:
        raise api.BadInput("Pictures are taken up by an IP-Adapter.", "Choose one, or take the pictures away.")
    if params.adapter is not None and not params.reference_images:
        raise api.BadInput("There is no picture for the IP-Adapter to take up.", "Add one, or take the adapter away.")
    return bool(params.reference_images) and params.adapter_weight > 0


def _found(ctx: api.Context, choice: str) -> _Adapter:
    """Raises BadInput for what is missing, damaged, no IP-Adapter, or one that reads faces alone."""
    path = ctx.model(choice)
    if isinstance(path, str):
        raise api.BadInput(f"{path} is not on this computer.", "Download it, and choose the adapter's file.")
    if path.is_dir():
        inside = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
        if len(inside) != 1:
            raise api.BadInput(
                f"{path.name} holds {len(inside) or 'no'} adapters.", "Choose the safetensors file of one."
            )
        path = inside[0]
    shapes = api.model_files.weight_shapes(path)
    what = probe.identify(shapes)
    if not what.adapter:
        raise api.BadInput(f"{path.name} is {what.what}, and no IP-Adapter.", "Choose another file.")
    bare = {name.partition(".")[2]: shape for name, shape in shapes.items() if not name.startswith("ip_adapter.")}
    if "proj.weight" in bare:
        return _Adapter(path, ("projection_dim", bare["proj.weight"][-1]))
    if "proj.3.weight" in bare:
        return _Adapter(path, ("hidden_size", bare["proj.0.weight"][0]))
    if "proj_in.weight" in bare:
        return _Adapter(path, ("hidden_size", bare["proj_in.weight"][-1]))
    raise api.BadInput(
        f"{path.name} reads faces with a model of its own, which is not here.", "Choose an IP-Adapter for pictures."
    )


def _encoder(ctx: api.Context, adapter: _Adapter) -> Any:
    """The model that sees the pictures, from beside the adapter. Some collections have several."""
    near = adapter.file.parent
    places = [near / ENCODER, near.parent / ENCODER, near / "models" / ENCODER, near.parent / "models" / ENCODER]
    for place in places:
        if (place / _CONFIG).is_file():
            config = diffusers_folder.read_json(place, _CONFIG, "image encoder")
            inside = config.get("vision_config", {})
            name, wanted = adapter.size
            if wanted in (config.get(name), inside.get(name) if isinstance(inside, Mapping) else None):
                return _encoder_of(ctx, place, str(config.get("model_type")))
    raise api.BadInput(
        f"The image encoder of {adapter.file.name} is missing.", f"Put its folder {ENCODER} beside the adapter."
    )


def _encoder_of(ctx: api.Context, folder: Path, kind: str) -> Any:
    import torch
    import transformers

    classes = {"clip": "CLIPVisionModelWithProjection", "siglip": "SiglipVisionModel"}
    name = classes.get(kind.removesuffix("_vision_model"))
    if name is None:
        raise api.BadInput(
            f"The {folder.name} is of a kind that is not known here ({kind}).", "Choose another adapter."
        )
    weights = sorted(folder.glob("*.safetensors"))
    for file in weights or sorted(folder.glob("*.bin")):
        api.model_files.weight_shapes(file)
    stamp = max((file.stat().st_mtime_ns for file in weights), default=0)

    def loader() -> Any:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                made = getattr(transformers, name).from_pretrained(
                    str(folder),
                    use_safetensors=True,
                    local_files_only=True,
                    dtype=ctx.dtype,
                    variant=weight_variants.variant_of(folder),
                )
            except torch.OutOfMemoryError:
                raise
            except _BROKEN as error:
                raise api.BadInput(
                    f"The {folder.name} of {folder.parent.name} is incomplete or damaged.", "Download it again."
                ) from error
        return made.to(ctx.device).eval()

    return ctx.models.load(f"{ENCODER}:{folder.resolve()}:{stamp}:{ctx.device}:{ctx.dtype}", loader)


@contextmanager
def _loaded(model: Model, pipe: Any, adapter: _Adapter, encoder: Any) -> Iterator[bool]:
    """The adapter in the pipeline. Yields whether it takes several pictures."""
    denoiser = getattr(pipe, "unet", None) or pipe.transformer
    processors = dict(denoiser.attn_processors)
    own = {name: getattr(pipe, name, None) for name in ("image_encoder", "feature_extractor")}
    try:
        pipe.register_modules(
            image_encoder=encoder, feature_extractor=own["feature_extractor"] or _extractor(encoder.config)
        )
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            try:
                pipe.load_ip_adapter(
                    str(adapter.file.parent), subfolder="", weight_name=adapter.file.name, local_files_only=True
                )
                if any(part.is_meta for part in denoiser.parameters()):
                    raise KeyError("weights are missing")
            except _BROKEN as error:
                raise api.BadInput(
                    f"{adapter.file.name} is made for another model than {model.title}.",
                    "Choose an IP-Adapter of the same family.",
                ) from error
        yield getattr(denoiser, "encoder_hid_proj", None) is not None
    finally:
        pipe.unload_ip_adapter()
        denoiser.set_attn_processor(processors)
        pipe.register_modules(**own)


def _extractor(config: Any) -> Any:
    """Brings pictures to the size and range that an encoder sees."""
    from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

    side = config.image_size
    square = {"height": side, "width": side}
    if config.model_type.startswith("siglip"):
        return SiglipImageProcessorPil(size=square)
    return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=square)
