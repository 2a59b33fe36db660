"""Models in a single file of safetensors or GGUF: plan and load them without asking the net.

diffusers converts the tensor names, and unpacks the weights of a GGUF file layer by layer while it runs. The
configurations come from `single_file_configs` and CLIP's vocabulary from `clip_tokenizer`. What the file lacks comes
from a diffusers folder of the same family beside it. Facts that the header lacks may stand in a sidecar,
``NAME.studio.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from studio import api

from . import diffusers_folder, families, probe, single_file_configs, weight_variants
from .families import DENOISERS
from .probe import ProbeResult, Shapes
from .single_file_configs import LAYOUTS, Layout

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline, UNet2DConditionModel
    from torch import nn

_AUTOENCODER_PREFIXES = ("first_stage_model.", "vae.")
_PREDICTION_TYPES = ("epsilon", "v_prediction")
_MAX_SIDECAR = 2**16
_QUANTIZATION_HINT = "Use the same model as safetensors, or as GGUF with Q8_0, Q6_K, Q5_K or Q4_K."
FLOAT32, FLOAT16 = 0, 1
"""ggml's numbers of the types that are not quantised."""
_SMALL_SIDE = 64
"""Side in latent pixels of the Stable Diffusion 2 that predicts noise; the other has 96."""


@dataclass(frozen=True)
class Sidecar:
    """Content of ``NAME.studio.json``; an empty field leaves it to the header.

    `family` is one of `LAYOUTS`, `prediction` a prediction type of diffusers' schedulers, and `components` the folder
    that provides what the file lacks.
    """

    family: str = ""
    prediction: str = ""
    components: str = ""


@dataclass(frozen=True)
class LoadPlan:
    """Everything that loading a file needs. `folder` provides the components that the file lacks."""

    path: Path
    title: str
    layout: Layout
    shapes: Shapes
    sidecar: Sidecar
    folder: Path | None

    @property
    def sources(self) -> list[Path]:
        """The file, and the folders of the components that come from `folder`."""
        components = self.folder.iterdir() if self.folder is not None else ()
        return [self.path, *(path for path in components if path.is_dir() and path.name not in DENOISERS)]

    @property
    def stamp(self) -> str:
        """A key that changes with each of the files that the model is loaded from."""
        files = (self.path, sidecar_of(self.path), self.folder)
        return "-".join(str(api.model_files.file_stamp(file)) for file in files if file is not None and file.exists())


def sidecar_of(path: Path) -> Path:
    """Return the path of the sidecar of a file, whether there is one or not."""
    return path.with_suffix(".studio.json")


def find_in_folder(path: Path) -> Path:
    """Return the model's file where a folder, such as that of a merged model, holds a single one; else the path."""
    if not path.is_dir() or (path / diffusers_folder.INDEX).is_file() or (path / "config.json").is_file():
        return path
    files = [*path.glob("*.safetensors")]
    return files[0] if len(files) == 1 else path


def plan_load(ctx: api.Context, path: Path) -> LoadPlan:
    """Plan how to load a file, by its header alone.

    Raises BadInput for a file that is damaged, a pickle, no model, of an unknown kind, quantised in an unknown way, or
    incomplete with no folder that could complete it.
    """
    shapes = probe.read_shapes(path)
    if path.suffix not in (".safetensors", ".gguf"):
        raise api.BadInput(f"{path.name} has an unusual suffix.", "Rename it so that it ends in .safetensors.")
    sidecar = _read_sidecar(path)
    result = probe.identify(shapes)
    layout = LAYOUTS.get(sidecar.family or result.layout)
    if layout is None:
        raise _explain_refusal(path, result)
    title = families.FAMILIES[layout.families[0]].title
    _check_quantization(path, layout, title, shapes)
    missing = _missing_components(layout, shapes)
    folder = _choose_folder(ctx, path, layout, sidecar, missing) if missing or sidecar.components else None
    if folder is not None:
        ctx.note("components", folder.name)
    return LoadPlan(path, title, layout, shapes, sidecar, folder)


def load_pipeline(ctx: api.Context, plan: LoadPlan) -> DiffusionPipeline:
    """Load the pipeline on the CPU, at the job's dtype. Exceptions of diffusers are passed on."""
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    if probe.is_gguf(plan.path):
        api.model_files.check_gguf_weights(plan.path, plan.path.name)
    try:
        pipe = _load_with_folder(ctx, plan, plan.folder) if plan.folder is not None else _load_complete(ctx, plan)
    except SingleFileComponentError as error:
        raise ValueError(str(error)) from error
    _check_complete(plan, pipe)
    _configure_scheduler(ctx, plan, pipe)
    return pipe


def _explain_refusal(path: Path, result: ProbeResult) -> api.BadInput:
    if result.is_unknown:
        return api.BadInput(
            f"{path.name} is {result.description}.",
            f"If you know what it is, name its family in {sidecar_of(path).name} beside it, as the guide describes.",
        )
    return api.BadInput(f"{path.name} is {result.description}, and makes no images alone.", "Choose a diffusion model.")


def _check_quantization(path: Path, layout: Layout, title: str, shapes: Shapes) -> None:
    """Raise BadInput for weights that diffusers cannot unpack."""
    if probe.has_quantization_scales(shapes):
        raise api.BadInput(
            f"{path.name} is quantised in a way that is not supported.",
            "Use the same model with 16 bits, or with 8 bits and no scales.",
        )
    if not probe.is_gguf(path):
        api.model_files.refuse_whole_numbers_in_file(path, path.name)
        return
    if "unet" in layout.components:
        raise api.BadInput(
            f"{path.name} is a GGUF file of {title}, and U-Nets in GGUF files are not supported.", _QUANTIZATION_HINT
        )
    from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES

    types = {tensor.kind for tensor in api.model_files.read_gguf_header(path).tensors.values()} - {FLOAT32, FLOAT16}
    if types - {int(supported) for supported in SUPPORTED_GGUF_QUANT_TYPES}:
        raise api.BadInput(f"{path.name} is quantised in a way that is not supported.", _QUANTIZATION_HINT)


def _read_sidecar(path: Path) -> Sidecar:
    file = sidecar_of(path)
    if not file.is_file():
        return Sidecar()
    try:
        if file.stat().st_size > _MAX_SIDECAR:
            raise ValueError
        sidecar = Sidecar(**json.loads(file.read_bytes()))
        if not all(isinstance(value, str) for value in vars(sidecar).values()):
            raise ValueError
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise api.BadInput(
            f"{file.name} cannot be read.",
            'It may contain "family", "prediction" and "components", each with a text.',
        ) from error
    for name, value, known in (
        ("family", sidecar.family, LAYOUTS),
        ("prediction", sidecar.prediction, _PREDICTION_TYPES),
    ):
        if value and value not in known:
            raise api.BadInput(f"{file.name} names an unknown {name}, {value}.", f"Known are: {', '.join(known)}.")
    return sidecar


def _missing_components(layout: Layout, shapes: Shapes) -> list[str]:
    """Name what a file lacks, as a sentence names it."""

    def has_prefix(*prefixes: str) -> bool:
        return any(name.startswith(prefixes) for name in shapes)

    texts = [prefix for prefix in layout.complete_prefixes if prefix not in _AUTOENCODER_PREFIXES]
    components = {
        "text encoders": bool(texts) and all(map(has_prefix, texts)),
        "autoencoder": has_prefix(*_AUTOENCODER_PREFIXES),
    }
    return [name for name, is_there in components.items() if not is_there]


def _choose_folder(ctx: api.Context, path: Path, layout: Layout, sidecar: Sidecar, missing: list[str]) -> Path:
    choice = sidecar.components
    if not choice:
        candidates = _folders_of_families((path.parent, ctx.downloads), layout)
        choice = str(candidates[0]) if candidates else ""
    if not choice:
        title = families.FAMILIES[layout.families[0]].title
        raise api.BadInput(
            f"{path.name} holds a model of {title} without its {' and '.join(missing)}.",
            f"Put a diffusers folder of {title} beside it, and they are taken from there.",
        )
    folder = ctx.model(choice)
    if not isinstance(folder, Path) or not folder.is_dir():
        raise api.BadInput(f"{choice} is no diffusers folder.", f"Change it in {sidecar_of(path).name}.")
    return folder


def _folders_of_families(parents: Iterable[Path], layout: Layout) -> list[Path]:
    """List the diffusers folders of a layout's families, those of the best family first."""
    ranked: list[tuple[int, str, Path]] = []
    for index in (index for parent in parents for index in parent.glob(f"*/{diffusers_folder.INDEX}")):
        try:
            family = families.family_of(diffusers_folder.pipeline_class_of(index.parent)).name
            if family in layout.families and _has_matching_unet(index.parent, layout):
                ranked.append((layout.families.index(family), index.parent.name, index.parent))
        except api.BadInput:
            continue
    return [folder for _, _, folder in sorted(ranked)]


def _has_matching_unet(folder: Path, layout: Layout) -> bool:
    """Compare text encoder and input channels: UNets of one family may differ in them."""
    if "unet" not in layout.components:
        return True
    theirs, ours = diffusers_folder.read_json(folder / "unet", "config.json"), layout.components["unet"].config
    expected = {"cross_attention_dim": ours["cross_attention_dim"], "in_channels": ours.get("in_channels", 4)}
    return all(theirs.get(name) == value for name, value in expected.items())


def _load_complete(ctx: api.Context, plan: LoadPlan) -> DiffusionPipeline:
    """Load a file that has all components."""
    import diffusers

    from .clip_tokenizer import build_tokenizer

    pipeline_class = getattr(diffusers, plan.layout.pipeline)
    expected, _ = pipeline_class._get_signature_keys(pipeline_class)
    tokenizers = {name: build_tokenizer(pad) for name, pad in plan.layout.pad_tokens.items()}
    return pipeline_class.from_single_file(
        str(plan.path),
        config=str(single_file_configs.write_configs(plan.layout, plan.shapes, ctx.scratch / "layout")),
        local_files_only=True,
        torch_dtype=ctx.dtype,
        **{**dict.fromkeys(expected - plan.layout.components.keys()), **tokenizers},
    )


def _load_with_folder(ctx: api.Context, plan: LoadPlan, path: Path) -> DiffusionPipeline:
    """Load the components in the file, and the others from the folder."""
    import diffusers

    folder = diffusers_folder.inspect_folder(path, optional=DENOISERS)
    options = {"local_files_only": True, "torch_dtype": ctx.dtype}
    quantization = {}
    if probe.is_gguf(plan.path):
        quantization["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=ctx.dtype)

    def load_component(name: str, **more: object) -> nn.Module:
        if not (path / name / "config.json").is_file():
            raise api.BadInput(
                f"{path.name} has no {name}/config.json, which describes how {plan.path.name} is built.",
                "Put that small file back; the weights beside it are not needed.",
            )
        model_class = getattr(diffusers, folder.classes[name])
        component: nn.Module = model_class.from_single_file(
            str(plan.path), config=str(path), subfolder=name, **options, **more
        )
        return component

    from_header = plan.layout.read_denoiser_config(plan.shapes)
    components: dict[str, Any] = {
        name: load_component(name, **from_header, **quantization) for name in DENOISERS if name in folder.classes
    }
    has_autoencoder = any(name.startswith(_AUTOENCODER_PREFIXES) for name in plan.shapes)
    if folder.classes.get("vae") == "AutoencoderKL" and has_autoencoder:
        components["vae"] = load_component("vae")
    others = {name: class_name for name, class_name in folder.classes.items() if name not in components}
    components |= weight_variants.load_half_precision(path, others, use_safetensors=True, **options)
    components |= dict.fromkeys(folder.absent)
    pipeline_class = getattr(diffusers, folder.pipeline)
    pipe = pipeline_class.from_pretrained(str(path), use_safetensors=True, **options, **components)
    ctx.emit(api.Notice(f"Components that {plan.path.name} lacks come from {path.name}."))
    return pipe


def _check_complete(plan: LoadPlan, pipe: DiffusionPipeline) -> None:
    import torch

    for name, component in pipe.components.items():
        if isinstance(component, torch.nn.Module) and any(weight.is_meta for weight in component.parameters()):
            raise api.BadInput(
                f"{plan.path.name} lacks weights that the {name} of {plan.title} has.",
                "It may be a smaller model that was made from it: choose its diffusers folder.",
            )


def _configure_scheduler(ctx: api.Context, plan: LoadPlan, pipe: DiffusionPipeline) -> None:
    """Set prediction type and noise schedule of a checkpoint, by marker tensors in it or by a test."""
    from diffusers import DDIMScheduler

    scheduler_class, changes = type(pipe.scheduler), plan.layout.read_scheduler_config(plan.shapes)
    prediction = plan.sidecar.prediction or ("v_prediction" if "v_pred" in plan.shapes else "")
    if plan.layout.tests_prediction and plan.folder is None:
        prediction = prediction or _test_prediction(ctx, plan, pipe.unet)
        if prediction == "epsilon":
            pipe.unet.register_to_config(sample_size=_SMALL_SIDE)
    if prediction:
        changes["prediction_type"] = prediction
    if "ztsnr" in plan.shapes:
        changes |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        if "rescale_betas_zero_snr" not in pipe.scheduler.config:
            scheduler_class, changes = DDIMScheduler, {**changes, "clip_sample": False, "set_alpha_to_one": False}
    if changes:
        pipe.scheduler = scheduler_class.from_config(pipe.scheduler.config, **changes)


def _test_prediction(ctx: api.Context, plan: LoadPlan, unet: UNet2DConditionModel) -> str:
    """Determine the prediction type of a UNet by one step on almost pure noise.

    A UNet that predicts noise returns its input. One that predicts velocity (arXiv:2202.00512) returns the image that
    it sees, which correlates little with the input.
    """
    import torch

    unet.to(ctx.device)
    generator = torch.Generator().manual_seed(0)
    noise = torch.randn(1, unet.config.in_channels, _SMALL_SIDE, _SMALL_SIDE, generator=generator)
    embedding = torch.zeros(1, 77, unet.config.cross_attention_dim)
    with torch.no_grad():
        output = unet(noise.to(unet.device, unet.dtype), 999, embedding.to(unet.device, unet.dtype)).sample
    correlation = torch.corrcoef(torch.stack([noise.flatten(), output.float().cpu().flatten()]))[0, 1]
    predicts_noise = bool(correlation > 0.5)
    ctx.emit(
        api.Notice(
            f"A test step shows that {plan.path.name} is the model for {512 if predicts_noise else 768} pixels. If its "
            f"images are noise, set the prediction in {sidecar_of(plan.path).name}."
        )
    )
    return "epsilon" if predicts_noise else "v_prediction"
