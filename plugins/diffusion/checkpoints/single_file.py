"""A model in a single file, of safetensors or GGUF: what it is, what it lacks, and how it is opened without asking the
net.

diffusers turns the names of the weights into its own, and unpacks those of a GGUF file layer by layer while it paints.
Configurations come from `layouts`, CLIP's words from `clip_tokenizer`; what is not in the file comes from a diffusers
folder of the same family beside it. What a header cannot tell may be said in a small file beside it,
``NAME.studio.json``.
"""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio import api

from . import diffusers_folder, families, probe, single_file_configs, weight_variants
from .families import DENOISERS
from .probe import Shapes
from .single_file_configs import LAYOUTS, Layout

_AUTOENCODER = ("first_stage_model.", "vae.")
_PREDICTIONS = ("epsilon", "v_prediction")
_MAX_ABOUT = 2**16
_OTHERWISE = "Take the same model as safetensors, or as GGUF with Q8_0, Q6_K, Q5_K or Q4_K."
FLOAT32, FLOAT16 = 0, 1
"""ggml's numbers of types that are not packed."""
_SMALL = 64
"""Side in latent pixels of the Stable Diffusion 2 that predicts noise; the other has 96."""


@dataclass(frozen=True)
class Sidecar:
    """What stands in ``NAME.studio.json``: `family` one of `LAYOUTS`, `prediction` one that schedulers know,
    `components` the folder that gives what the file lacks. Empty: as the header says."""

    family: str = ""
    prediction: str = ""
    components: str = ""


@dataclass(frozen=True)
class LoadPlan:
    """How a file will be opened. `folder` gives what it lacks: `sources` are the file and what is read there."""

    path: Path
    title: str
    layout: Layout
    shapes: Shapes
    about: Sidecar
    folder: Path | None

    @property
    def sources(self) -> list[Path]:
        parts = self.folder.iterdir() if self.folder is not None else ()
        return [self.path, *(part for part in parts if part.is_dir() and part.name not in DENOISERS)]

    @property
    def stamp(self) -> str:
        """Changes with each of the files that the model is made of."""
        files = (self.path, sidecar_of(self.path), self.folder)
        return "-".join(str(diffusers_folder.stamp(file)) for file in files if file is not None and file.exists())


def sidecar_of(path: Path) -> Path:
    """Where more may be said about a file."""
    return path.with_suffix(".studio.json")


def plan_load(ctx: api.Context, path: Path) -> LoadPlan:
    """Reads the header alone.

    Raises BadInput for what is damaged, a pickle, no model, of an unknown kind, packed in a
    way that is not read, or not whole with no folder that could complete it.
    """
    shapes = probe.read_shapes(path)
    if path.suffix not in (".safetensors", ".gguf"):
        raise api.BadInput(f"{path.name} has an unusual ending.", "Rename it so that it ends in .safetensors.")
    about = _about(path)
    found = probe.identify(shapes)
    layout = LAYOUTS.get(about.family or found.layout)
    if layout is None:
        raise _refused(path, found)
    title = families.FAMILIES[layout.families[0]].title
    _check_packing(path, layout, title, shapes)
    lacks = _lacks(layout, shapes)
    folder = _folder(ctx, path, layout, about, lacks) if lacks or about.components else None
    if folder is not None:
        ctx.note("components", folder.name)
    return LoadPlan(path, title, layout, shapes, about, folder)


def load_pipeline(ctx: api.Context, plan: LoadPlan) -> Any:
    """The pipeline, on the processor, at the job's dtype. What diffusers raises is passed on."""
    from diffusers.loaders.single_file_utils import SingleFileComponentError

    try:
        pipe = _completed(ctx, plan, plan.folder) if plan.folder is not None else _whole(ctx, plan)
    except SingleFileComponentError as error:
        raise ValueError(str(error)) from error
    _check_whole(plan, pipe)
    _schedule(ctx, plan, pipe)
    return pipe


def _refused(path: Path, found: probe.ProbeResult) -> api.BadInput:
    if found.unknown:
        return api.BadInput(
            f"{path.name} is {found.what}.",
            f"If you know what it is, say so in {sidecar_of(path).name} beside it, as the guide tells.",
        )
    return api.BadInput(f"{path.name} is {found.what}, and not painted with alone.", "Choose a model to paint with.")


def _check_packing(path: Path, layout: Layout, title: str, shapes: Shapes) -> None:
    """Raises BadInput for numbers that diffusers cannot unpack."""
    if probe.has_quantization_scales(shapes):
        raise api.BadInput(
            f"The numbers in {path.name} are packed in a way that is not read.",
            "Take the same model with 16 bits, or with 8 bits and no scales.",
        )
    if not probe.is_gguf(path):
        return
    if "unet" in layout.components:
        raise api.BadInput(f"{path.name} is a GGUF file of {title}, whose U-Net is not read so.", _OTHERWISE)
    from diffusers.quantizers.gguf.utils import SUPPORTED_GGUF_QUANT_TYPES

    kinds = {tensor.kind for tensor in api.model_files.gguf_header(path).tensors.values()} - {FLOAT32, FLOAT16}
    if kinds - {int(kind) for kind in SUPPORTED_GGUF_QUANT_TYPES}:
        raise api.BadInput(f"The numbers in {path.name} are packed in a way that is not read.", _OTHERWISE)


def _about(path: Path) -> Sidecar:
    file = sidecar_of(path)
    if not file.is_file():
        return Sidecar()
    try:
        if file.stat().st_size > _MAX_ABOUT:
            raise ValueError
        about = Sidecar(**json.loads(file.read_text("utf-8")))
        if not all(isinstance(value, str) for value in vars(about).values()):
            raise ValueError
    except (OSError, ValueError, TypeError, RecursionError) as error:
        raise api.BadInput(
            f"{file.name} cannot be read.",
            'It should hold at most "family", "prediction" and "components", each with a text.',
        ) from error
    for name, value, known in (("family", about.family, LAYOUTS), ("prediction", about.prediction, _PREDICTIONS)):
        if value and value not in known:
            raise api.BadInput(f"{file.name} names an unknown {name}, {value}.", f"Known are: {', '.join(known)}.")
    return about


def _lacks(layout: Layout, shapes: Shapes) -> list[str]:
    def holds(*starts: str) -> bool:
        return any(name.startswith(starts) for name in shapes)

    texts = [start for start in layout.complete_prefixes if start not in _AUTOENCODER]
    found = {"text encoders": bool(texts) and all(map(holds, texts)), "autoencoder": holds(*_AUTOENCODER)}
    return [name for name, there in found.items() if not there]


def _folder(ctx: api.Context, path: Path, layout: Layout, about: Sidecar, lacks: list[str]) -> Path:
    chosen = about.components or next((str(one) for one in _fitting((path.parent, ctx.downloads), layout)), "")
    if not chosen:
        title = families.FAMILIES[layout.families[0]].title
        raise api.BadInput(
            f"{path.name} holds a model of {title} without its {' and '.join(lacks)}.",
            f"Put a diffusers folder of {title} beside it, and they are taken from there.",
        )
    found = ctx.model(chosen)
    if not isinstance(found, Path) or not found.is_dir():
        raise api.BadInput(f"{chosen} is no diffusers folder.", f"Change it in {sidecar_of(path).name}.")
    return found


def _fitting(shelves: Iterable[Path], layout: Layout) -> list[Path]:
    """Folders of the families, the best family first."""
    ranked: list[tuple[int, str, Path]] = []
    for index in (index for shelf in shelves for index in shelf.glob(f"*/{diffusers_folder.INDEX}")):
        try:
            family = families.family_of(diffusers_folder.pipeline_class_of(index.parent)).name
            if family in layout.families and _is_alike(index.parent, layout):
                ranked.append((layout.families.index(family), index.parent.name, index.parent))
        except api.BadInput:
            continue
    return [folder for _, _, folder in sorted(ranked)]


def _is_alike(folder: Path, layout: Layout) -> bool:
    """One family of pipelines has UNets that listen to other text encoders, or look at a mask as well."""
    if "unet" not in layout.components:
        return True
    theirs, ours = diffusers_folder.read_json(folder / "unet", "config.json"), layout.components["unet"].config
    wanted = {"cross_attention_dim": ours["cross_attention_dim"], "in_channels": ours.get("in_channels", 4)}
    return all(theirs.get(name) == value for name, value in wanted.items())


def _whole(ctx: api.Context, plan: LoadPlan) -> Any:
    import diffusers

    from .clip_tokenizer import build_tokenizer

    kind = getattr(diffusers, plan.layout.pipeline)
    expected, _ = kind._get_signature_keys(kind)
    words = {name: build_tokenizer(pad) for name, pad in plan.layout.pad_tokens.items()}
    return kind.from_single_file(
        str(plan.path),
        config=str(single_file_configs.write_configs(plan.layout, plan.shapes, ctx.scratch / "layout")),
        local_files_only=True,
        torch_dtype=ctx.dtype,
        **{**dict.fromkeys(expected - plan.layout.components.keys()), **words},
    )


def _completed(ctx: api.Context, plan: LoadPlan, path: Path) -> Any:
    """What is in the file, and the rest from the folder."""
    import diffusers

    folder = diffusers_folder.inspect_folder(path, without=DENOISERS)
    options = {"local_files_only": True, "torch_dtype": ctx.dtype}
    packed = {}
    if probe.is_gguf(plan.path):
        packed["quantization_config"] = diffusers.GGUFQuantizationConfig(compute_dtype=ctx.dtype)

    def taken(name: str, **more: Any) -> Any:
        if not (path / name / "config.json").is_file():
            raise api.BadInput(
                f"{path.name} has no {name}/config.json, which tells how {plan.path.name} is built.",
                "Put that small file back; the weights beside it are not needed.",
            )
        kind = getattr(diffusers, folder.classes[name])
        return kind.from_single_file(str(plan.path), config=str(path), subfolder=name, **options, **more)

    told = plan.layout.read_denoiser_config(plan.shapes)
    parts = {name: taken(name, **told, **packed) for name in DENOISERS if name in folder.classes}
    if folder.classes.get("vae") == "AutoencoderKL" and any(name.startswith(_AUTOENCODER) for name in plan.shapes):
        parts["vae"] = taken("vae")
    others = {name: kind for name, kind in folder.classes.items() if name not in parts}
    parts |= weight_variants.load_half_precision(path, others, use_safetensors=True, **options) | dict.fromkeys(
        folder.left_out
    )
    pipe = getattr(diffusers, folder.pipeline).from_pretrained(str(path), use_safetensors=True, **options, **parts)
    ctx.emit(api.Notice(f"What {plan.path.name} does not hold comes from {path.name}."))
    return pipe


def _check_whole(plan: LoadPlan, pipe: Any) -> None:
    import torch

    for name, part in pipe.components.items():
        if isinstance(part, torch.nn.Module) and any(weight.is_meta for weight in part.parameters()):
            raise api.BadInput(
                f"{plan.path.name} lacks weights that the {name} of {plan.title} has.",
                "It may be a smaller model that was made from it: choose its diffusers folder.",
            )


def _schedule(ctx: api.Context, plan: LoadPlan, pipe: Any) -> None:
    """What a checkpoint was trained to predict, and from how much noise on: by marks in it, or by trying."""
    from diffusers import DDIMScheduler

    kind, changes = type(pipe.scheduler), plan.layout.read_scheduler_config(plan.shapes)
    prediction = plan.about.prediction or ("v_prediction" if "v_pred" in plan.shapes else "")
    if plan.layout.tests_prediction and plan.folder is None:
        prediction = prediction or _tried(ctx, plan, pipe.unet)
        if prediction == "epsilon":
            pipe.unet.register_to_config(sample_size=_SMALL)
    if prediction:
        changes["prediction_type"] = prediction
    if "ztsnr" in plan.shapes:
        changes |= {"rescale_betas_zero_snr": True, "timestep_spacing": "trailing"}
        if "rescale_betas_zero_snr" not in pipe.scheduler.config:
            kind, changes = DDIMScheduler, {**changes, "clip_sample": False, "set_alpha_to_one": False}
    if changes:
        pipe.scheduler = kind.from_config(pipe.scheduler.config, **changes)


def _tried(ctx: api.Context, plan: LoadPlan, unet: Any) -> str:
    """What a UNet predicts, by one step where a picture is nearly all noise.

    One that predicts noise gives back what it was given. One that predicts velocity
    (arXiv:2202.00512) gives the picture that it sees, which has little in common with that.
    """
    import torch

    unet.to(ctx.device)
    noise = torch.randn(1, unet.config.in_channels, _SMALL, _SMALL, generator=torch.Generator().manual_seed(0))
    words = torch.zeros(1, 77, unet.config.cross_attention_dim)
    with torch.no_grad():
        told = unet(noise.to(unet.device, unet.dtype), 999, words.to(unet.device, unet.dtype)).sample
    likeness = torch.corrcoef(torch.stack([noise.flatten(), told.float().cpu().flatten()]))[0, 1]
    is_noise = bool(likeness > 0.5)
    ctx.emit(
        api.Notice(
            f"{plan.path.name} was tried out and taken for the model of {512 if is_noise else 768} pixels. If it "
            f"paints noise, say otherwise in {sidecar_of(plan.path).name}."
        )
    )
    return "epsilon" if is_noise else "v_prediction"
