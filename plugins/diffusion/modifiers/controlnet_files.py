"""ControlNets on disk: found, looked at before anything is loaded, and brought together with a model."""

from __future__ import annotations

import inspect
import json
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, get_args

from studio import api

from ..checkpoints import diffusers_folder, hub_files, probe, weight_variants
from ..checkpoints.families import Task
from ..models.model import Model

CONFIG = "config.json"
_BROKEN = (OSError, ValueError, TypeError, KeyError, RuntimeError, AttributeError, IndexError)
_MEASURES = (
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
"""What a ControlNet and its denoiser have in common, by their configurations."""


@dataclass(frozen=True)
class ControlNetFile:
    """A ControlNet that was looked at, and not loaded yet. `config` is None for a single file."""

    name: str
    path: Path
    config: Mapping[str, Any] | None

    @property
    def modes(self) -> int:
        """How many kinds of guides a union of ControlNets knows; 0 for what is none."""
        config = self.config or {}
        return int(config.get("num_mode") or config.get("num_control_type") or 0)


@dataclass(frozen=True)
class ControlNetPipeline:
    """A pipeline class, the class of ControlNets that it takes, and whether it takes several at once."""

    pipeline: Any
    kind: Any
    several: bool


def find_controlnet(ctx: api.Context, choice: str) -> ControlNetFile:
    """Raises BadInput for what is missing, damaged, a pickle, or no ControlNet."""
    where = ctx.model(choice)
    path = where if isinstance(where, Path) else hub_files.fetch_component(where, ctx)
    if path.is_file():
        what = probe.identify(api.model_files.weight_shapes(path))
        if not what.control:
            raise api.BadInput(f"{path.name} is {what.what}, and no ControlNet.", "Choose another file.")
        return ControlNetFile(path.stem, path, None)
    config = diffusers_folder.read_json(path, CONFIG, "ControlNet")
    weights = sorted(path.glob("*.safetensors"))
    for file in weights or sorted(path.glob("*.bin")):
        api.model_files.weight_shapes(file)
    if not weights:
        raise api.BadInput(f"{path.name} holds no weights.", "Download the ControlNet again.")
    return ControlNetFile(path.name if isinstance(where, Path) else where, path, config)


def choose_pipeline(model: Model, task: Task, nets: Sequence[ControlNetFile]) -> ControlNetPipeline:
    """The way that fits all the nets. Raises BadInput where a net, or their number, does not fit the model."""
    ways = [_way(pipeline) for pipeline in model.family.controlnet_pipelines(task)]
    if not ways:
        raise api.BadInput(
            f"{model.family.title} has no ControlNets for what starts from {task.value}.",
            "Take them away, or choose another model.",
        )
    for net in nets:
        if not any(_fits(model, one, net) for one in ways):
            raise api.BadInput(
                f"{net.name} is made for another model than {model.title}.", "Choose a ControlNet of the same family."
            )
    for one in ways:
        if all(_fits(model, one, net) for net in nets):
            if len(nets) > 1 and not one.several:
                raise api.BadInput(f"{model.family.title} takes one ControlNet at a time.", "Take the others away.")
            return one
    raise api.BadInput("These ControlNets do not go together.", "Take some of them away.")


def load_controlnet(ctx: api.Context, model: Model, one: ControlNetPipeline, net: ControlNetFile) -> Any:
    """The ControlNet itself, on the job's device, kept between jobs."""
    files = [net.path] if net.path.is_file() else [net.path / CONFIG, *net.path.glob("*.safetensors")]
    stamp = max(file.stat().st_mtime_ns for file in files)
    key = f"controlnet:{net.path.resolve()}:{stamp}:{ctx.device}:{ctx.dtype}"
    return ctx.models.load(key, lambda: _loaded(ctx, model, one, net))


@contextmanager
def attach_controlnets(model: Model, one: ControlNetPipeline, nets: Sequence[Any]) -> Iterator[Any]:
    """A pipeline with the ControlNets, which come out as they went in: some are lent parts of the model."""
    tables = [(table, dict(table)) for net in nets for table in (net._modules, net._parameters, net._buffers)]
    try:
        yield model.build_pipeline(one.pipeline, controlnet=nets[0] if len(nets) == 1 else list(nets))
    finally:
        for table, before in tables:
            table.clear()
            table.update(before)


def _way(pipeline: Any) -> ControlNetPipeline:
    annotation = inspect.signature(pipeline.__init__).parameters["controlnet"].annotation
    kinds = get_args(annotation) or (annotation,)
    kind = next(kind for kind in kinds if inspect.isclass(kind))
    return ControlNetPipeline(pipeline, kind, list[kind] in kinds)


def _fits(model: Model, one: ControlNetPipeline, net: ControlNetFile) -> bool:
    denoiser = getattr(model.base, "unet", None) or model.base.transformer
    if net.config is None:
        widths = {
            shape[-1]
            for name, shape in api.model_files.weight_shapes(net.path).items()
            if name.endswith("attn2.to_k.weight")
        }
        return hasattr(one.kind, "from_unet") and widths == {denoiser.config.get("cross_attention_dim")}
    if net.config.get("_class_name") != one.kind.__name__:
        return False
    pairs = ((net.config.get(name), denoiser.config.get(name)) for name in _MEASURES)
    return all(None in pair or _plain(pair[0]) == _plain(pair[1]) for pair in pairs)


def _plain(value: Any) -> Any:
    return list(value) if isinstance(value, tuple) else value


def _loaded(ctx: api.Context, model: Model, one: ControlNetPipeline, net: ControlNetFile) -> Any:
    import torch

    options = {"torch_dtype": ctx.dtype, "local_files_only": True}
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # as when a model is loaded
        try:
            if net.config is None:
                like = _config_like(ctx, one, model.base.unet)
                made = one.kind.from_single_file(str(net.path), config=str(like), **options)
            else:
                made = one.kind.from_pretrained(
                    str(net.path), use_safetensors=True, variant=weight_variants.variant_of(net.path), **options
                )
            if any(part.is_meta for part in made.parameters()):
                raise KeyError("weights are missing")
        except torch.OutOfMemoryError:
            raise
        except _BROKEN as error:
            raise api.BadInput(
                f"{net.name} is incomplete, or made for another model than {model.title}.",
                "Download it again, or choose another ControlNet.",
            ) from error
    return made.to(ctx.device).eval()


def _config_like(ctx: api.Context, one: ControlNetPipeline, unet: Any) -> Path:
    """A folder with the configuration that a ControlNet for this denoiser has, which single files do not carry."""
    known = inspect.signature(one.kind.__init__).parameters
    config = {name: value for name, value in unet.config.items() if name in known}
    config |= {"_class_name": one.kind.__name__, "in_channels": unet.config.out_channels}
    folder = ctx.scratch / "controlnet"
    folder.mkdir(exist_ok=True)
    (folder / CONFIG).write_text(json.dumps(config), "utf-8")
    return folder
