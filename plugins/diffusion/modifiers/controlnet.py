"""ControlNets, which follow control images, for one job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias, TypeVar

from studio import api

from .. import images
from ..checkpoints.families import Task, accepts
from ..models.model import Model
from . import control_maps, controlnet_files
from .controlnet_files import ControlNetFile

if TYPE_CHECKING:
    from diffusers import DiffusionPipeline
    from PIL.Image import Image as Picture

T = TypeVar("T")
Region: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom of a part of an image, as fractions of its sides."""
WHOLE_IMAGE: Region = (0.0, 0.0, 1.0, 1.0)
PreprocessorChoice: TypeAlias = Literal["auto", "as_it_is", "canny", "soft_edges", "scribble", "blur", "tile", "invert"]
_GROUP = "Image guidance"


class ControlNetParams(api.Params):
    """Parameters of ControlNets, each with a control image."""

    controls: list[api.ModelChoice] = api.param(
        [], model="controlnet", max_items=4, title="ControlNets", advanced=True, group=_GROUP
    )
    """Additions to the model that follow the edges, strokes or colours of a control image."""
    control_images: list[api.ImageInput] = api.param(
        [], max_items=4, title="Control images", advanced=True, group=_GROUP
    )
    """One for each ControlNet. Where one is missing, the input image is used."""
    control_guide: PreprocessorChoice = api.param(
        "auto",
        title="Preprocessor",
        labels=("By the ControlNet's name", *control_maps.LABELS),
        advanced=True,
        group=_GROUP,
    )
    """Converts the control images for the ControlNets. Drawings on black are used as they are. To use a different
    preprocessor for each, make the control maps first, and choose None."""
    control_weights: list[float] = api.param([], max_items=4, title="ControlNet weights", advanced=True, group=_GROUP)
    """Influence of each ControlNet, in their order. A missing one is 1."""
    control_modes: list[int] = api.param([], max_items=4, title="Control mode (union)", advanced=True, group=_GROUP)
    """Only for union ControlNets, which know several modes: the number of the mode, from the model card."""
    control_start: api.Unit = api.param(0.0, title="Control start", advanced=True, group=_GROUP)
    """Fraction of the steps after which the ControlNets start."""
    control_end: api.Unit = api.param(1.0, title="Control end", advanced=True, group=_GROUP)
    """Fraction of the steps after which they end. Ending early leaves the details to the model."""


@dataclass(frozen=True)
class _Control:
    net: ControlNetFile
    image: Path | None
    preprocessor: PreprocessorChoice
    weight: float
    mode: int | None


@contextmanager
def build_controlled_pipeline(
    ctx: api.Context,
    model: Model,
    task: Task,
    params: ControlNetParams,
    *,
    size: tuple[int, int],
    input_image: Picture | None = None,
    region: Region = WHOLE_IMAGE,
) -> Iterator[tuple[DiffusionPipeline, Mapping[str, Any]]]:
    """Build the pipeline for a task, and the arguments of its call for the ControlNets.

    `size` (width, height) is that of the output, and `input_image` replaces missing control images. The artist's
    control images show the whole image, and are cropped to the `region` of it that is generated.
    """
    plain = model.pipeline_for(task)
    controls = _find_controls(ctx, params)
    if not controls:
        yield plain, {}
        return
    files = [control.net for control in controls]
    pipeline = controlnet_files.choose_pipeline(model, task, files)
    maps = [_make_control_map(ctx, control, size, input_image, region) for control in controls]
    ctx.note("guides", [preprocessor for preprocessor, _ in maps])
    nets = [controlnet_files.load_controlnet(ctx, model, pipeline, file) for file in files]
    with controlnet_files.attach_controlnets(model, pipeline, nets) as pipe:
        yield pipe, _arguments(pipe, params, controls, [image for _, image in maps])


def _find_controls(ctx: api.Context, params: ControlNetParams) -> list[_Control]:
    """Find the ControlNets with a weight. Raises BadInput for lists that are too long."""
    count = len(params.controls)
    for name, values in (
        ("control images", params.control_images),
        ("ControlNet weights", params.control_weights),
        ("control modes", params.control_modes),
    ):
        if len(values) > count:
            raise api.BadInput(
                f"There are {len(values)} {name} for {count} ControlNets.",
                "Choose a ControlNet for each, or remove some.",
            )
    if params.controls and params.control_start >= params.control_end:
        raise api.BadInput("Control end is not after Control start.", "Lower Control start, or raise Control end.")
    controls = []
    for number, choice in enumerate(params.controls):
        weight = _item(params.control_weights, number, 1.0)
        if weight:
            net = controlnet_files.find_controlnet(ctx, choice)
            mode = _check_mode(net, _item(params.control_modes, number, None))
            image = _item(params.control_images, number, None)
            controls.append(_Control(net, image, params.control_guide, weight, mode))
    return controls


def _item(values: Sequence[T], index: int, otherwise: T) -> T:
    return values[index] if index < len(values) else otherwise


def _check_mode(net: ControlNetFile, mode: int | None) -> int | None:
    if not net.mode_count:
        return None
    if mode is None or not 0 <= mode < net.mode_count:
        raise api.BadInput(
            f"{net.name} has {net.mode_count} control modes.",
            f"Set Control mode to a number from 0 to {net.mode_count - 1}, which its model card lists.",
        )
    return mode


def _make_control_map(
    ctx: api.Context, control: _Control, size: tuple[int, int], input_image: Picture | None, region: Region
) -> tuple[str, Picture]:
    """Make the control map at the size of the output. Returns the name of the preprocessor with it."""
    import numpy as np
    from PIL import Image

    if control.image is not None:
        image = images.open_image(control.image)
        left, top, right, bottom = region
        ratio = image.width / image.height / (size[0] / (right - left) * (bottom - top) / size[1])
        if not 1 / 1.1 < ratio < 1.1:
            ctx.emit(api.Notice("A control image has another aspect ratio than the output, and is cropped."))
        image = crop_region(image, size, region)
    elif input_image is not None:
        image = api.images.fit(input_image.convert("RGB"), size)
    else:
        raise api.BadInput(f"There is no control image for {control.net.name}.", "Add one.")
    pixels = np.asarray(image)
    preprocessor = control.preprocessor
    if preprocessor == "auto":
        is_map = control_maps.is_control_map(pixels)
        preprocessor = "as_it_is" if is_map else control_maps.guess_preprocessor(control.net.name)
    return preprocessor, Image.fromarray(control_maps.make_control_map(preprocessor, pixels))


def crop_region(image: Picture, size: tuple[int, int], region: Region) -> Picture:
    """Crop an image to the proportions of the whole output, then to a `region` of it, at `size` (width, height)."""
    from PIL import Image

    left, top, right, bottom = region
    ratio = (size[0] / (right - left)) / (size[1] / (bottom - top))
    width, height = min(image.width, image.height * ratio), min(image.height, image.width / ratio)
    x, y = (image.width - width) / 2, (image.height - height) / 2
    box = (
        x + left * width,
        y + top * height,
        min(x + right * width, image.width),
        min(y + bottom * height, image.height),
    )
    return image.resize(size, Image.Resampling.LANCZOS, box=box)


def _arguments(
    pipe: DiffusionPipeline, params: ControlNetParams, controls: Sequence[_Control], maps: Sequence[Picture]
) -> dict[str, Any]:
    """Collect the arguments of the pipeline's call: lists for several ControlNets, values for one."""

    def list_or_item(values: Sequence[T]) -> Sequence[T] | T:
        return values if len(values) > 1 else values[0]

    arguments: dict[str, Any] = {
        "control_image" if accepts(pipe, "control_image") else "image": list_or_item([*maps]),
        "controlnet_conditioning_scale": list_or_item([control.weight for control in controls]),
    }
    if accepts(pipe, "control_guidance_start"):
        arguments |= {"control_guidance_start": params.control_start, "control_guidance_end": params.control_end}
    elif (params.control_start, params.control_end) != (0.0, 1.0):
        raise api.BadInput(
            "This model follows its ControlNets in all steps.", "Set Control start to 0 and Control end to 100 %."
        )
    modes = [control.mode for control in controls]
    if any(mode is not None for mode in modes):
        arguments["control_mode"] = list_or_item(modes)
    return arguments
