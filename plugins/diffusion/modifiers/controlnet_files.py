"""ControlNets on disk: inspected before anything is loaded, matched with a model, and loaded."""

from __future__ import annotations

import inspect
import json
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, get_args

from studio import api

from ..checkpoints import diffusers_folder, hub_files, probe, weight_variants
from ..checkpoints.families import Task
from ..models.model import Model

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, ModelMixin, UNet2DConditionModel

CONFIG = "config.json"
_COMMON_SETTINGS = (
    "cross_attention_dim",
    "block_out_channels",
    "layers_per_block",
    "joint_attention_dim",
    "pooled_projection_dim",
    "num_attention_heads",
    "attention_head_dim",
    "dim",
    "n_heads",
)
"""Settings in the configuration that a ControlNet has in common with its denoiser."""


@dataclass(frozen=True)
class ControlNetFile:
    """A ControlNet that was inspected, and not loaded yet. `config` is None for a single file."""

    name: str
    path: Path
    config: Mapping[str, Any] | None

    @property
    def mode_count(self) -> int:
        """Number of control modes of a union ControlNet; 0 for any other."""
        config = self.config or {}
        return int(config.get("num_mode") or config.get("num_control_type") or 0)


@dataclass(frozen=True)
class ControlNetPipeline:
    """A pipeline class, the class of ControlNets that it takes, and whether it takes several at once."""

    pipeline_class: type[DiffusionPipeline]
    net_class: type[ModelMixin]
    takes_several: bool


def find_controlnet(ctx: api.Context, choice: str) -> ControlNetFile:
    """Find and inspect a ControlNet. Raises BadInput for one that is missing, damaged, a pickle, or no ControlNet."""
    location = ctx.model(choice)
    path = location if isinstance(location, Path) else hub_files.fetch_component(location, ctx)
    if path.is_file():
        result = probe.identify(api.model_files.read_weight_shapes(path))
        if result.model_kind != "controlnet":
            raise api.BadInput(f"{path.name} is {result.description}, and no ControlNet.", "Choose another file.")
        return ControlNetFile(path.stem, path, None)
    config = diffusers_folder.read_json(path, CONFIG, "ControlNet")
    weights = sorted(path.glob("*.safetensors"))
    for file in weights or sorted(path.glob("*.bin")):
        api.model_files.read_weight_shapes(file)
    if not weights:
        raise api.BadInput(f"{path.name} has no weights.", "Download the ControlNet again.")
    return ControlNetFile(path.name if isinstance(location, Path) else location, path, config)


def choose_pipeline(model: Model, task: Task, nets: Sequence[ControlNetFile]) -> ControlNetPipeline:
    """Choose the pipeline that takes all the ControlNets.

    Raises BadInput where a ControlNet, or their number, does not fit the model.
    """
    pipelines = [_inspect_pipeline(pipeline) for pipeline in model.family.controlnet_pipelines(task)]
    if not pipelines:
        raise api.BadInput(
            f"{model.family.title} does not support ControlNets with {task.value}.",
            "Remove them, or choose another model.",
        )
    for net in nets:
        if not any(_fits(model, pipeline, net) for pipeline in pipelines):
            raise api.BadInput(
                f"{net.name} is made for another model than {model.title}.", "Choose a ControlNet of the same family."
            )
    for pipeline in pipelines:
        if all(_fits(model, pipeline, net) for net in nets):
            if len(nets) > 1 and not pipeline.takes_several:
                raise api.BadInput(f"{model.family.title} takes only one ControlNet.", "Remove the others.")
            return pipeline
    raise api.BadInput("These ControlNets cannot be used together.", "Remove some of them.")


def load_controlnet(ctx: api.Context, model: Model, pipeline: ControlNetPipeline, net: ControlNetFile) -> ModelMixin:
    """Load a ControlNet onto the job's device; it is kept between jobs."""
    key = f"controlnet:{net.path.resolve()}:{api.model_files.file_stamp(net.path)}:{ctx.device}:{ctx.dtype}"
    return ctx.models.load(key, lambda: _load(ctx, model, pipeline, net))


@contextmanager
def attach_controlnets(
    model: Model, pipeline: ControlNetPipeline, nets: Sequence[ModelMixin]
) -> Iterator[DiffusionPipeline]:
    """Build a pipeline with the ControlNets, and restore them after the block: some borrow layers of the model."""
    tables = [(table, dict(table)) for net in nets for table in (net._modules, net._parameters, net._buffers)]
    try:
        yield model.build_pipeline(pipeline.pipeline_class, controlnet=nets[0] if len(nets) == 1 else list(nets))
    finally:
        for table, before in tables:
            table.clear()
            table.update(before)


def _inspect_pipeline(pipeline_class: type[DiffusionPipeline]) -> ControlNetPipeline:
    annotation = inspect.signature(pipeline_class.__init__).parameters["controlnet"].annotation
    alternatives = get_args(annotation) or (annotation,)
    net_class: Any = next(item for item in alternatives if inspect.isclass(item))
    return ControlNetPipeline(pipeline_class, net_class, list[net_class] in alternatives)


def _fits(model: Model, pipeline: ControlNetPipeline, net: ControlNetFile) -> bool:
    denoiser = getattr(model.base, "unet", None) or model.base.transformer
    if net.config is None:
        shapes = api.model_files.read_weight_shapes(net.path)
        widths = {shape[-1] for name, shape in shapes.items() if name.endswith("attn2.to_k.weight")}
        return hasattr(pipeline.net_class, "from_unet") and widths == {denoiser.config.get("cross_attention_dim")}
    if net.config.get("_class_name") != pipeline.net_class.__name__:
        return False
    pairs = ((net.config.get(name), denoiser.config.get(name)) for name in _COMMON_SETTINGS)
    return all(None in pair or _to_list(pair[0]) == _to_list(pair[1]) for pair in pairs)


def _to_list(value: object) -> object:
    return list(value) if isinstance(value, tuple) else value


def _load(ctx: api.Context, model: Model, pipeline: ControlNetPipeline, net: ControlNetFile) -> ModelMixin:
    options = {"torch_dtype": ctx.dtype, "local_files_only": True}
    misfit = api.BadInput(
        f"{net.name} is incomplete, or made for another model than {model.title}.",
        "Download it again, or choose another ControlNet.",
    )
    with api.model_files.quiet_load(misfit):
        if net.config is None:
            config = _write_config(ctx, pipeline, model.base.unet)
            controlnet = pipeline.net_class.from_single_file(str(net.path), config=str(config), **options)
        else:
            controlnet = pipeline.net_class.from_pretrained(
                str(net.path), use_safetensors=True, variant=weight_variants.variant_of(net.path), **options
            )
        if any(weight.is_meta for weight in controlnet.parameters()):
            raise KeyError("weights are missing")
    return controlnet.to(ctx.device).eval()


def _write_config(ctx: api.Context, pipeline: ControlNetPipeline, unet: UNet2DConditionModel) -> Path:
    """Write the configuration of a ControlNet for this UNet, which single files lack, and return its folder."""
    known = inspect.signature(pipeline.net_class.__init__).parameters
    config = {name: value for name, value in unet.config.items() if name in known}
    config |= {"_class_name": pipeline.net_class.__name__, "in_channels": unet.config.out_channels}
    folder = ctx.scratch / "controlnet"
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config), "utf-8")
    return folder
