"""Videos, with a real, tiny pipeline of every family."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.diffusion.checkpoints.families import FAMILIES, Task, VideoSpec
from plugins.diffusion.models import loader
from plugins.diffusion.tools.text_to_image import TextToImage
from plugins.diffusion.tools.video import Video
from studio import api, testing
from tests.plugins.diffusion.fixtures.tiny_video import BUILDERS, motion_adapter

SHORT = {"ltx": 9, "cogvideox": 9, "cogvideox-i2v": 9, "mochi": 7}
CASES = [
    (family, task)
    for family in BUILDERS
    for task in (Task.TEXT_TO_VIDEO, Task.IMAGE_TO_VIDEO)
    if FAMILIES[family].supports(task)
]


@pytest.fixture(scope="session")
def tiny_film(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
    """The folder of a family's tiny model, by the family's name."""
    made: dict[str, str] = {}

    def make(family: str) -> str:
        if family not in made:
            made[family] = str(BUILDERS[family](tmp_path_factory.mktemp("films") / family))
        return made[family]

    return make


@pytest.fixture
def picture(tmp_path: Path) -> Path:
    Image.radial_gradient("L").resize((32, 32)).convert("RGB").save(tmp_path / "picture.png")
    return tmp_path / "picture.png"


def animated(ctx: testing.FakeContext | None = None, **values: Any) -> tuple[np.ndarray, api.Animation]:
    values = {"width": 32, "height": 32, "steps": 2} | values
    (made,) = testing.results(testing.run(Video, ctx or testing.FakeContext(seed=3), **values))
    assert isinstance(made, api.Animation)
    return np.stack([np.asarray(frame) for frame in made.frames]), made


@pytest.mark.parametrize(("family", "task"), CASES, ids=lambda value: getattr(value, "name", value))
def test_it_moves_and_shows_what_it_comes_to_and_can_be_paused(
    family: str, task: Task, tiny_film: Callable[[str], str], picture: Path, tmp_path: Path
) -> None:
    count = SHORT.get(family, 5)
    values: dict[str, Any] = {"model": tiny_film(family), "prompt": "a red fox runs", "frames": count}
    if task is Task.IMAGE_TO_VIDEO:
        values["image"] = picture
    ctx = testing.FakeContext(seed=3)
    whole, made = animated(ctx, **values)
    film = FAMILIES[family].video
    assert film is not None
    assert whole.shape == (count, 32, 32, 3)
    assert made.fps == film.fps
    assert (whole[0] != whole[-1]).any()
    previews = [event.content for event in ctx.events if isinstance(event, api.Preview)]
    assert previews
    assert all(one.shape[0] == one.shape[1] and one.shape[2] == 3 for one in previews if isinstance(one, np.ndarray))
    shares = [event.step for event in ctx.events if isinstance(event, api.Progress)]
    assert shares == sorted(shares)
    assert shares[-1] == 1
    with pytest.raises(api.Paused):
        animated(testing.FakeContext(seed=3, folder=tmp_path, pause_requested=True), **values)
    resumed, _ = animated(testing.FakeContext(seed=3, folder=tmp_path), **values)
    assert (resumed == whole).all()


def test_the_families_that_are_said_to_be_tried_are_those_tried_here() -> None:
    assert {family.name for family in FAMILIES.values() if family.video} == set(BUILDERS)
    assert all(FAMILIES[name].tested for name in BUILDERS)


def test_it_can_be_cancelled_and_repeats_itself(tiny_film: Callable[[str], str]) -> None:
    testing.check_tool(Video, {"model": tiny_film("ltx"), "frames": 9, "steps": 2, "width": 32, "height": 32})


def test_seconds_become_frames_that_the_family_can_make(tiny_film: Callable[[str], str]) -> None:
    ctx = testing.FakeContext()
    frames, made = animated(ctx, model=tiny_film("ltx"), seconds=1.5, fps=8)
    assert len(frames) == 9
    assert made.fps == 8
    assert "The video has 9 frames (1.1 s), the nearest length that ltx supports." in [
        event.text for event in ctx.events if isinstance(event, api.Notice)
    ]


@pytest.mark.parametrize(("group", "wanted", "count"), [(4, 81, 81), (4, 80, 81), (8, 1, 9), (6, 21, 19), (1, 24, 24)])
def test_frames_are_counted_in_groups_after_the_first(group: int, wanted: float, count: int) -> None:
    assert VideoSpec(frame_group=group).nearest_frame_count(wanted) == count


def test_there_is_an_end_to_what_a_motion_module_knows() -> None:
    assert VideoSpec(frame_group=1, max_frames=32).nearest_frame_count(500) == 32


def test_a_motion_adapter_sets_stable_diffusion_in_motion(sd: Path, tmp_path: Path) -> None:
    motion_adapter(tmp_path / "motion")
    values = {"model": str(sd), "motion": str(tmp_path / "motion"), "prompt": "a (red:1.3) fox", "frames": 4}
    frames, made = animated(**values)
    assert frames.shape == (4, 32, 32, 3)
    assert made.fps == 8
    (still,) = testing.results(testing.run(TextToImage, testing.FakeContext(), model=str(sd), steps=1))
    assert isinstance(still, api.Image)


@pytest.mark.parametrize("damage", ["empty", "cut", "pickle"])
def test_what_is_no_motion_adapter_is_refused(sd: Path, tmp_path: Path, damage: str) -> None:
    adapter = tmp_path / "motion"
    if damage == "empty":
        adapter.mkdir()
    else:
        motion_adapter(adapter)
        weights = adapter / "diffusion_pytorch_model.safetensors"
        if damage == "cut":
            weights.write_bytes(weights.read_bytes()[:1000])
        else:
            weights.unlink()
            (adapter / "diffusion_pytorch_model.bin").write_bytes(b"\x80\x02}q\x00.")
    with pytest.raises(api.BadInput):
        animated(model=str(sd), motion=str(adapter))


def test_models_say_what_they_need(tiny_film: Callable[[str], str], sd: Path, picture: Path, tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="needs an image to start from"):
        animated(model=tiny_film("stable-video-diffusion"))
    with pytest.raises(api.BadInput, match="starts from a prompt alone"):
        animated(model=tiny_film("wan"), image=picture)
    with pytest.raises(api.BadInput, match=r"makes images, not videos\. .*motion adapter"):
        animated(model=str(sd))
    with pytest.raises(api.BadInput, match=r"LTX-Video makes videos, not images\. Use it in Video"):
        testing.run(TextToImage, testing.FakeContext(), model=tiny_film("ltx"))
    with pytest.raises(api.BadInput, match="work with Stable Diffusion 1"):
        animated(model=tiny_film("ltx"), motion=str(tmp_path))
    with pytest.raises(api.BadInput, match="works with its own sampler"):
        animated(model=tiny_film("cogvideox"), sampler="euler")
    with pytest.raises(api.BadInput, match="sides that are multiples"):
        animated(model=tiny_film("ltx"), width=33)


def test_a_model_that_knows_one_size_keeps_to_it(tiny_film: Callable[[str], str], tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), "#336699").save(tmp_path / "wide.png")
    values = {"model": tiny_film("cogvideox-i2v"), "image": tmp_path / "wide.png", "frames": 9}
    frames, _ = animated(width=None, height=None, **values)
    assert frames.shape == (9, 32, 32, 3)
    with pytest.raises(api.BadInput, match="generates videos of 32 × 32 px only"):
        animated(width=64, **values)


def test_memory_that_runs_out_while_decoding_costs_no_denoising(tiny_film: Callable[[str], str]) -> None:
    ctx = testing.FakeContext(seed=3)
    values = {"model": tiny_film("wan"), "frames": 5}
    whole, _ = animated(**values)
    pipe = loader.load(ctx, tiny_film("wan")).base
    left, asked = [1], list[int]()

    def refuse(*_: Any) -> None:
        if left and left.pop():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    pipe.vae.decoder.register_forward_pre_hook(refuse)
    pipe.transformer.patch_embedding.register_forward_hook(lambda *_: asked.append(1))
    frames, _ = animated(ctx, **values)
    assert frames.shape == whole.shape
    assert len(asked) == 4
    assert ctx.notes["memory"] == ["vae tiling"]


def test_words_that_are_not_heard_are_mentioned(tiny_film: Callable[[str], str], picture: Path) -> None:
    ctx = testing.FakeContext()
    animated(ctx, model=tiny_film("stable-video-diffusion"), image=picture, frames=2, prompt="a fox", guidance=2.0)
    assert [event for event in ctx.events if isinstance(event, api.Notice) and "uses the image only" in event.text]


def test_the_shape_follows_the_picture(tiny_film: Callable[[str], str], tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), "#336699").save(tmp_path / "wide.png")
    frames, _ = animated(model=tiny_film("ltx"), image=tmp_path / "wide.png", frames=9, height=None, width=64)
    assert frames.shape == (9, 32, 64, 3)
