"""Guided by pictures: ControlNets over a model for one job."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from studio import api

from .. import images
from ..checkpoints.families import Task, accepts
from ..models.model import Model
from . import control_maps, controlnet_files
from .controlnet_files import ControlNetFile

if TYPE_CHECKING:
    from PIL.Image import Image as Picture

Box: TypeAlias = tuple[float, float, float, float]
"""Left, top, right and bottom of a part, as shares of the whole picture's sides."""
WHOLE_IMAGE: Box = (0.0, 0.0, 1.0, 1.0)
PreprocessorChoice: TypeAlias = Literal["auto", "as_it_is", "canny", "soft_edges", "scribble", "blur", "tile", "invert"]
_GROUP = "Guided by pictures"


class ControlNetParams(api.Params):
    """ControlNets, each with a picture to follow."""

    controls: list[api.ModelChoice] = api.param(
        [], model="controlnet", max_items=4, title="ControlNets", advanced=True, group=_GROUP
    )
    """Additions to the model that follow a picture: its edges, its strokes, its colours."""
    control_images: list[api.ImageInput] = api.param(
        [], max_items=4, title="Pictures to follow", advanced=True, group=_GROUP
    )
    """One for each ControlNet. Where one is missing, the picture that is painted over is followed."""
    control_guide: PreprocessorChoice = api.param(
        "auto",
        title="Drawn from them",
        labels=("What the ControlNet's name says", *control_maps.LABELS),
        advanced=True,
        group=_GROUP,
    )
    """What is made of the pictures before the ControlNets see them. Drawings on black stay as they are by themselves.
    For a drawing of another kind for each, make guides first, and take them as they are."""
    control_weights: list[float] = api.param(
        [], max_items=4, title="Weights of the ControlNets", advanced=True, group=_GROUP
    )
    """How strongly each is followed, in their order. One that is missing is 1."""
    control_modes: list[int] = api.param([], max_items=4, title="Kinds of guides", advanced=True, group=_GROUP)
    """Only for ControlNets that know several kinds (union): the number of the kind, from the ControlNet's own page."""
    control_start: api.Unit = api.param(0.0, title="Followed from", advanced=True, group=_GROUP)
    """After which share of the steps the ControlNets begin."""
    control_end: api.Unit = api.param(1.0, title="Followed to", advanced=True, group=_GROUP)
    """After which share of the steps they end. Ending early leaves the details to the model."""


@dataclass(frozen=True)
class _Control:
    net: ControlNetFile
    image: Path | None
    guide: PreprocessorChoice
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
    own: Picture | None = None,
    part: Box = WHOLE_IMAGE,
) -> Iterator[tuple[Any, Mapping[str, Any]]]:
    """The pipeline for a task, and the arguments of its call that stand for the ControlNets.

    `size` (width, height) is what is painted, `own` the picture that it is painted over. Pictures
    of the artist show the whole, and are cut to the `part` of it that is painted.
    """
    plain = model.pipeline_for(task)
    controls = _asked(ctx, params)
    if not controls:
        yield plain, {}
        return
    nets = [control.net for control in controls]
    way = controlnet_files.choose_pipeline(model, task, nets)
    drawn = [_drawn(ctx, control, size, own, part) for control in controls]
    ctx.note("guides", [guide for guide, _ in drawn])
    loaded = [controlnet_files.load_controlnet(ctx, model, way, net) for net in nets]
    with controlnet_files.attach_controlnets(model, way, loaded) as pipe:
        yield pipe, _arguments(pipe, params, controls, [picture for _, picture in drawn])


def _asked(ctx: api.Context, params: ControlNetParams) -> list[_Control]:
    """Those that have any weight. Raises BadInput for lists that do not go together."""
    count = len(params.controls)
    for what, given in (
        ("pictures to follow", params.control_images),
        ("weights", params.control_weights),
        ("kinds of guides", params.control_modes),
    ):
        if len(given) > count:
            raise api.BadInput(
                f"The number of {what} is {len(given)}, and that of ControlNets {count}.",
                "Choose a ControlNet for each, or take some away.",
            )
    if params.controls and params.control_start >= params.control_end:
        raise api.BadInput("The ControlNets end before they begin.", "Let them begin earlier, or end later.")
    controls = []
    for number, choice in enumerate(params.controls):
        weight = _at(params.control_weights, number, 1.0)
        if weight:
            net = controlnet_files.find_controlnet(ctx, choice)
            mode = _mode(net, _at(params.control_modes, number, None))
            image = _at(params.control_images, number, None)
            controls.append(_Control(net, image, params.control_guide, weight, mode))
    return controls


def _at(values: Sequence[Any], number: int, otherwise: Any) -> Any:
    return values[number] if number < len(values) else otherwise


def _mode(net: ControlNetFile, mode: int | None) -> int | None:
    if not net.modes:
        return None
    if mode is None or not 0 <= mode < net.modes:
        raise api.BadInput(
            f"{net.name} knows {net.modes} kinds of guides.",
            f"Say which by its number, 0 to {net.modes - 1}, which its own page lists.",
        )
    return mode


def _drawn(
    ctx: api.Context, control: _Control, size: tuple[int, int], own: Picture | None, part: Box
) -> tuple[str, Picture]:
    """The kind of guide, and the guide at the size that is painted."""
    import numpy as np
    from PIL import Image

    if control.image is not None:
        picture = images.open_image(control.image)
        ratio = picture.width / picture.height / (size[0] / (part[2] - part[0]) * (part[3] - part[1]) / size[1])
        if not 1 / 1.1 < ratio < 1.1:
            ctx.emit(
                api.Notice("A picture to follow has another shape than what is painted; what stands over is cut off.")
            )
        picture = crop_region(picture, size, part)
    elif own is not None:
        picture = images.crop_to_fit(own.convert("RGB"), size)
    else:
        raise api.BadInput(f"There is no picture for {control.net.name} to follow.", "Add one.")
    pixels = np.asarray(picture)
    guide = control.guide
    if guide == "auto":
        guide = "as_it_is" if control_maps.is_control_map(pixels) else control_maps.guess_preprocessor(control.net.name)
    return guide, Image.fromarray(control_maps.make_control_map(guide, pixels))


def crop_region(picture: Picture, size: tuple[int, int], part: Box) -> Picture:
    """The `part` of what fills the whole, at `size` (width, height), with what stands over cut off evenly."""
    from PIL import Image

    left, top, right, bottom = part
    ratio = (size[0] / (right - left)) / (size[1] / (bottom - top))
    width, height = min(picture.width, picture.height * ratio), min(picture.height, picture.width / ratio)
    x, y = (picture.width - width) / 2, (picture.height - height) / 2
    box = (
        x + left * width,
        y + top * height,
        min(x + right * width, picture.width),
        min(y + bottom * height, picture.height),
    )
    return picture.resize(size, Image.Resampling.LANCZOS, box=box)


def _arguments(
    pipe: Any, params: ControlNetParams, controls: Sequence[_Control], drawn: Sequence[Picture]
) -> dict[str, Any]:
    def one(values: list[Any]) -> Any:
        return values if len(values) > 1 else values[0]

    given = {
        "control_image" if accepts(pipe, "control_image") else "image": one([*drawn]),
        "controlnet_conditioning_scale": one([control.weight for control in controls]),
    }
    if accepts(pipe, "control_guidance_start"):
        given |= {"control_guidance_start": params.control_start, "control_guidance_end": params.control_end}
    elif (params.control_start, params.control_end) != (0.0, 1.0):
        raise api.BadInput("This model follows its ControlNets from the first step to the last.", "Leave it so.")
    modes = [control.mode for control in controls]
    if any(mode is not None for mode in modes):
        given["control_mode"] = one(modes)
    return given
