"""Videos with a real, tiny pipeline of every family."""

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
def tiny_video_model(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], str]:
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


def generate(ctx: testing.FakeContext | None = None, **values: Any) -> tuple[np.ndarray, api.Animation]:
    values = {"width": 32, "height": 32, "steps": 2} | values
    (made,) = testing.results(testing.run(Video, ctx or testing.FakeContext(seed=3), **values))
    assert isinstance(made, api.Animation)
    return np.stack([np.asarray(frame) for frame in made.frames]), made


@pytest.mark.parametrize(("family", "task"), CASES, ids=lambda value: getattr(value, "name", value))
def test_every_family_generates_previews_and_resumes(
    family: str, task: Task, tiny_video_model: Callable[[str], str], picture: Path, tmp_path: Path
) -> None:
    count = SHORT.get(family, 5)
    values: dict[str, Any] = {"model": tiny_video_model(family), "prompt": "a red fox runs", "frames": count}
    if task is Task.IMAGE_TO_VIDEO:
        values["image"] = picture
    ctx = testing.FakeContext(seed=3)
    whole, made = generate(ctx, **values)
    spec = FAMILIES[family].video
    assert spec is not None
    assert whole.shape == (count, 32, 32, 3)
    assert made.fps == spec.fps
    assert (whole[0] != whole[-1]).any()
    previews = [event.content for event in ctx.events if isinstance(event, api.Preview)]
    assert previews
    assert all(one.shape[0] == one.shape[1] and one.shape[2] == 3 for one in previews if isinstance(one, np.ndarray))
    fractions = [event.step for event in ctx.events if isinstance(event, api.Progress)]
    assert fractions == sorted(fractions)
    assert fractions[-1] == 1
    with pytest.raises(api.Paused):
        generate(testing.FakeContext(seed=3, folder=tmp_path, pause_requested=True), **values)
    resumed, _ = generate(testing.FakeContext(seed=3, folder=tmp_path), **values)
    assert (resumed == whole).all()


def test_tested_families_are_tested_here() -> None:
    assert {family.name for family in FAMILIES.values() if family.video} == set(BUILDERS)
    assert all(FAMILIES[name].tested for name in BUILDERS)


def test_tool_can_be_cancelled_and_is_deterministic(tiny_video_model: Callable[[str], str]) -> None:
    testing.check_tool(Video, {"model": tiny_video_model("ltx"), "frames": 9, "steps": 2, "width": 32, "height": 32})


def test_duration_becomes_a_supported_number_of_frames(tiny_video_model: Callable[[str], str]) -> None:
    ctx = testing.FakeContext()
    frames, made = generate(ctx, model=tiny_video_model("ltx"), seconds=1.5, fps=8)
    assert len(frames) == 9
    assert made.fps == 8
    assert "The video has 9 frames (1.1 s), the nearest length that ltx supports." in [
        event.text for event in ctx.events if isinstance(event, api.Notice)
    ]


@pytest.mark.parametrize(("group", "wanted", "count"), [(4, 81, 81), (4, 80, 81), (8, 1, 9), (6, 21, 19), (1, 24, 24)])
def test_frames_are_counted_in_groups_after_the_first(group: int, wanted: float, count: int) -> None:
    assert VideoSpec(frame_group=group).nearest_frame_count(wanted) == count


def test_frames_are_limited_by_the_motion_module() -> None:
    assert VideoSpec(frame_group=1, max_frames=32).nearest_frame_count(500) == 32


def test_motion_adapter_makes_videos_with_stable_diffusion(sd: Path, tmp_path: Path) -> None:
    motion_adapter(tmp_path / "motion")
    values: dict[str, Any] = {
        "model": str(sd),
        "motion": str(tmp_path / "motion"),
        "prompt": "a (red:1.3) fox",
        "frames": 4,
    }
    frames, made = generate(**values)
    assert frames.shape == (4, 32, 32, 3)
    assert made.fps == 8
    (still,) = testing.results(testing.run(TextToImage, testing.FakeContext(), model=str(sd), steps=1))
    assert isinstance(still, api.Image)


@pytest.mark.parametrize("damage", ["empty", "cut", "pickle"])
def test_invalid_motion_adapters_are_refused(sd: Path, tmp_path: Path, damage: str) -> None:
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
        generate(model=str(sd), motion=str(adapter))


def test_unsupported_inputs_are_refused(
    tiny_video_model: Callable[[str], str], sd: Path, picture: Path, tmp_path: Path
) -> None:
    with pytest.raises(api.BadInput, match="needs an image to start from"):
        generate(model=tiny_video_model("stable-video-diffusion"))
    with pytest.raises(api.BadInput, match="starts from a prompt alone"):
        generate(model=tiny_video_model("wan"), image=picture)
    with pytest.raises(api.BadInput, match=r"makes images, not videos\. .*motion adapter"):
        generate(model=str(sd))
    with pytest.raises(api.BadInput, match=r"LTX-Video makes videos, not images\. Use it in Video"):
        testing.run(TextToImage, testing.FakeContext(), model=tiny_video_model("ltx"))
    with pytest.raises(api.BadInput, match="work with Stable Diffusion 1"):
        generate(model=tiny_video_model("ltx"), motion=str(tmp_path))
    with pytest.raises(api.BadInput, match="works with its own sampler"):
        generate(model=tiny_video_model("cogvideox"), sampler="euler")
    with pytest.raises(api.BadInput, match="sides that are multiples"):
        generate(model=tiny_video_model("ltx"), width=33)


def test_model_with_one_size_refuses_others(tiny_video_model: Callable[[str], str], tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), "#336699").save(tmp_path / "wide.png")
    values: dict[str, Any] = {"model": tiny_video_model("cogvideox-i2v"), "image": tmp_path / "wide.png", "frames": 9}
    frames, _ = generate(width=None, height=None, **values)
    assert frames.shape == (9, 32, 32, 3)
    with pytest.raises(api.BadInput, match="generates videos of 32 × 32 px only"):
        generate(width=64, **values)


def test_out_of_memory_in_decoding_repeats_no_denoising(tiny_video_model: Callable[[str], str]) -> None:
    ctx = testing.FakeContext(seed=3)
    values: dict[str, Any] = {"model": tiny_video_model("wan"), "frames": 5}
    whole, _ = generate(**values)
    pipe = loader.load(ctx, tiny_video_model("wan")).base
    left, asked = [1], list[int]()

    def refuse(*_: Any) -> None:
        if left and left.pop():
            raise torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB")

    pipe.vae.decoder.register_forward_pre_hook(refuse)
    pipe.transformer.patch_embedding.register_forward_hook(lambda *_: asked.append(1))
    frames, _ = generate(ctx, **values)
    assert frames.shape == whole.shape
    assert len(asked) == 4
    assert ctx.notes["memory"] == ["vae tiling"]


def test_ignored_prompt_emits_a_notice(tiny_video_model: Callable[[str], str], picture: Path) -> None:
    ctx = testing.FakeContext()
    generate(
        ctx, model=tiny_video_model("stable-video-diffusion"), image=picture, frames=2, prompt="a fox", guidance=2.0
    )
    assert [event for event in ctx.events if isinstance(event, api.Notice) and "uses the image only" in event.text]


def test_aspect_ratio_follows_the_image(tiny_video_model: Callable[[str], str], tmp_path: Path) -> None:
    Image.new("RGB", (64, 32), "#336699").save(tmp_path / "wide.png")
    frames, _ = generate(model=tiny_video_model("ltx"), image=tmp_path / "wide.png", frames=9, height=None, width=64)
    assert frames.shape == (9, 32, 64, 3)
