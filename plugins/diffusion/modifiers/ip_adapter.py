"""IP-Adapters: reference images beside the prompt, for one job. The model is left unchanged."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from .. import images
from ..checkpoints import diffusers_folder, probe, weight_variants
from ..models.model import Model

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from transformers import BaseImageProcessor, PretrainedConfig, PreTrainedModel

ENCODER = "image_encoder"
_CONFIG = "config.json"
_GROUP = "Image guidance"


class ReferenceParams(api.Params):
    """Parameters of reference images."""

    reference_images: list[api.ImageInput] = api.param(
        [], max_items=8, title="Reference images", advanced=True, group=_GROUP
    )
    """Images whose content or style is used beside the prompt."""
    adapter: api.ModelChoice | None = api.param(
        None, model="ip-adapter", title="IP-Adapter", advanced=True, group=_GROUP
    )
    """The model that reads the reference images. Its image_encoder folder must lie beside it."""
    adapter_weight: api.Unit = api.param(0.6, title="IP-Adapter weight", advanced=True, group=_GROUP)
    """Influence of the reference images, compared to the prompt."""


@dataclass(frozen=True)
class _Adapter:
    """An IP-Adapter file, and the name and value in the configuration of an image encoder that fits it."""

    file: Path
    encoder_size: tuple[str, int]


@contextmanager
def apply(ctx: api.Context, model: Model, pipe: DiffusionPipeline, params: api.Params) -> Iterator[dict[str, Any]]:
    """Load the chosen IP-Adapter into the pipeline until the block ends."""
    if not isinstance(params, ReferenceParams) or not _is_used(params):
        yield {}
        return
    if not hasattr(pipe, "load_ip_adapter"):
        raise api.BadInput(
            f"{model.family.title} does not support reference images in this tool.",
            "Remove them, or choose another model.",
        )
    adapter = _find_adapter(ctx, str(params.adapter))
    encoder = _load_encoder(ctx, adapter)
    references = [images.open_image(path) for path in params.reference_images]
    with _load_adapter(model, pipe, adapter, encoder) as takes_several:
        if len(references) > 1 and not takes_several:
            raise api.BadInput(f"{model.family.title} takes only one reference image.", "Remove the others.")
        pipe.set_ip_adapter_scale(params.adapter_weight)
        yield {"ip_adapter_image": [references] if takes_several else references[0]}


def _is_used(params: ReferenceParams) -> bool:
    if params.reference_images and params.adapter is None:
        raise api.BadInput("Reference images need an IP-Adapter.", "Choose one, or remove the reference images.")
    if params.adapter is not None and not params.reference_images:
        raise api.BadInput("The IP-Adapter has no reference image.", "Add one, or remove the IP-Adapter.")
    return bool(params.reference_images) and params.adapter_weight > 0


def _find_adapter(ctx: api.Context, choice: str) -> _Adapter:
    """Raise BadInput for an adapter that is missing, damaged, no IP-Adapter, or needs a face recognition model."""
    path = ctx.model(choice)
    if isinstance(path, str):
        raise api.BadInput(f"{path} is not on this computer.", "Download it, and choose the adapter's file.")
    if path.is_dir():
        files = sorted(path.glob("*.safetensors")) or sorted(path.glob("*.bin"))
        if len(files) != 1:
            raise api.BadInput(
                f"{path.name} holds {len(files) or 'no'} adapters.", "Choose the safetensors file of one."
            )
        path = files[0]
    shapes = api.model_files.read_weight_shapes(path)
    result = probe.identify(shapes)
    if result.model_kind != "ip-adapter":
        raise api.BadInput(f"{path.name} is {result.description}, and no IP-Adapter.", "Choose another file.")
    projection = {name.partition(".")[2]: shape for name, shape in shapes.items() if not name.startswith("ip_adapter.")}
    if "proj.weight" in projection:
        return _Adapter(path, ("projection_dim", projection["proj.weight"][-1]))
    if "proj.3.weight" in projection:
        return _Adapter(path, ("hidden_size", projection["proj.0.weight"][0]))
    if "proj_in.weight" in projection:
        return _Adapter(path, ("hidden_size", projection["proj_in.weight"][-1]))
    raise api.BadInput(
        f"{path.name} needs a face recognition model, which is not supported.", "Choose an IP-Adapter for images."
    )


def _load_encoder(ctx: api.Context, adapter: _Adapter) -> PreTrainedModel:
    """Load the image encoder that lies beside the adapter. Some collections have several."""
    parent = adapter.file.parent
    places = [
        parent / ENCODER,
        parent.parent / ENCODER,
        parent / "models" / ENCODER,
        parent.parent / "models" / ENCODER,
    ]
    for place in places:
        if (place / _CONFIG).is_file():
            config = diffusers_folder.read_json(place, _CONFIG, "image encoder")
            vision_config = config.get("vision_config", {})
            name, size = adapter.encoder_size
            if size in (config.get(name), vision_config.get(name) if isinstance(vision_config, Mapping) else None):
                return _load_encoder_folder(ctx, place, str(config.get("model_type")))
    raise api.BadInput(
        f"The image encoder of {adapter.file.name} is missing.", f"Put its folder {ENCODER} beside the adapter."
    )


def _load_encoder_folder(ctx: api.Context, folder: Path, model_type: str) -> PreTrainedModel:
    import transformers

    classes = {"clip": "CLIPVisionModelWithProjection", "siglip": "SiglipVisionModel"}
    class_name = classes.get(model_type.removesuffix("_vision_model"))
    if class_name is None:
        raise api.BadInput(
            f"The {folder.name} is of a type that is not supported ({model_type}).", "Choose another IP-Adapter."
        )
    weights = sorted(folder.glob("*.safetensors"))
    for file in weights or sorted(folder.glob("*.bin")):
        api.model_files.read_weight_shapes(file)

    def load() -> PreTrainedModel:
        damaged = api.BadInput(
            f"The {folder.name} of {folder.parent.name} is incomplete or damaged.", "Download it again."
        )
        with api.model_files.quiet_load(damaged):
            encoder = getattr(transformers, class_name).from_pretrained(
                str(folder),
                use_safetensors=True,
                local_files_only=True,
                dtype=ctx.dtype,
                variant=weight_variants.variant_of(folder),
            )
        return encoder.to(ctx.device).eval()

    stamp = api.model_files.file_stamp(folder)
    return ctx.models.load(f"{ENCODER}:{folder.resolve()}:{stamp}:{ctx.device}:{ctx.dtype}", load)


@contextmanager
def _load_adapter(model: Model, pipe: DiffusionPipeline, adapter: _Adapter, encoder: PreTrainedModel) -> Iterator[bool]:
    """Load an adapter into the pipeline until the block ends. Yields whether it takes several images."""
    denoiser = getattr(pipe, "unet", None) or pipe.transformer
    processors = dict(denoiser.attn_processors)
    own = {name: getattr(pipe, name, None) for name in ("image_encoder", "feature_extractor")}
    misfit = api.BadInput(
        f"{adapter.file.name} is made for another model than {model.title}.",
        "Choose an IP-Adapter of the same family.",
    )
    try:
        pipe.register_modules(
            image_encoder=encoder,
            feature_extractor=own["feature_extractor"] or _build_image_processor(encoder.config),
        )
        with api.model_files.quiet_load(misfit):
            pipe.load_ip_adapter(
                str(adapter.file.parent), subfolder="", weight_name=adapter.file.name, local_files_only=True
            )
            if any(weight.is_meta for weight in denoiser.parameters()):
                raise KeyError("weights are missing")
        yield getattr(denoiser, "encoder_hid_proj", None) is not None
    finally:
        pipe.unload_ip_adapter()
        denoiser.set_attn_processor(processors)
        pipe.register_modules(**own)


def _build_image_processor(config: PretrainedConfig) -> BaseImageProcessor:
    """Build the processor that resizes and normalises images for an image encoder."""
    from transformers import CLIPImageProcessorPil, SiglipImageProcessorPil

    side = config.image_size
    square = {"height": side, "width": side}
    if config.model_type.startswith("siglip"):
        return SiglipImageProcessorPil(size=square)
    return CLIPImageProcessorPil(size={"shortest_edge": side}, crop_size=square)
