"""`style.train` as the studio runs it, from folders of images to a style that is loaded again."""

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.style_transfer.models import generators
from plugins.style_transfer.tools import train
from plugins.style_transfer.tools.train import StyleTrain
from plugins.style_transfer.training import presets
from plugins.style_transfer.training.params import TrainingKind
from studio import api, testing
from tests.plugins.style_transfer.fixtures.results import get_notices, get_result

TINY: dict[str, Any] = {"size": 64, "network": "tiny", "batch": 1, "steps": 4, "preview_every": 2}
KINDS: tuple[TrainingKind, ...] = ("effect", "paintings", "cut", "cyclegan")


def make_folder(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seed)
    for number in range(count):
        colours = rng.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(colours).resize((80, 72), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "photos", 5, 0)


@pytest.fixture
def paintings(tmp_path: Path) -> Path:
    return make_folder(tmp_path / "paintings", 3, 1)


def get_style(events: list[api.Event]) -> api.Trained:
    return get_result(events, api.Trained)


def read_weights(style: api.Trained) -> bytes:
    return (style.folder / generators.WEIGHTS).read_bytes()


def test_the_tool_conforms() -> None:
    testing.check_plugin([StyleTrain])
    testing.check_light_import("plugins.style_transfer.tools.train", [Path(train.__file__).parents[3]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_style_is_trained_and_loaded_again(kind: TrainingKind, photos: Path, paintings: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(7, tmp_path / "job")
    events = testing.run(StyleTrain, ctx, folder=photos, paintings=paintings, kind=kind, title="Mine", **TINY)
    style = get_style(events)
    assert (style.title, style.kind) == ("Mine", "style")
    network, config = generators.load_network(style.folder)
    with torch.no_grad():
        stylized = network(torch.zeros(1, 3, 64, 96))
    assert stylized.shape == (1, 3, 64, 96)
    assert generators.stride_of(config) == (8 if kind in ("effect", "paintings") else 4)
    card = (style.folder / "README.md").read_text("utf-8")
    assert "# Mine" in card
    assert "| photos | 4 |" in card
    assert "checkerboard energy" in card
    assert set(style.notes["measured"]) == {"style", {"effect": "pixels", "cyclegan": "cycle"}.get(kind, "structure")}
    with Image.open(style.folder / train.THUMBNAIL) as thumbnail:
        assert thumbnail.size == (64, 64)
    rows = 3 if kind in ("effect", "cyclegan") else 2
    previews = [event.content for event in events if isinstance(event, api.Preview)]
    shapes = [preview.shape for preview in previews if isinstance(preview, np.ndarray)]
    assert shapes == [(rows * 384, 384, 3)] * 2
    status = [event.text for event in events if isinstance(event, api.Progress) and event.step]
    assert "held-out style" in status[-1]


def test_a_kill_and_a_pause_do_not_change_the_weights(photos: Path, paintings: Path, tmp_path: Path) -> None:
    values = {**TINY, "folder": photos, "paintings": paintings, "kind": "cyclegan", "pool": 2}
    straight = get_style(testing.run(StyleTrain, testing.FakeContext(7, tmp_path / "a"), **values))
    with pytest.raises(api.Paused):
        testing.run(StyleTrain, testing.FakeContext(7, tmp_path / "b", pause_requested=True), **values)
    running: Any = StyleTrain().run(StyleTrain.Params(**values), testing.FakeContext(7, tmp_path / "b"))
    while not isinstance(event := next(running), api.Progress) or event.step < 3:
        pass
    running.close()
    events = testing.run(StyleTrain, testing.FakeContext(7, tmp_path / "b"), **values)
    assert "Resumes at step 1 of 4." in get_notices(events)
    assert read_weights(get_style(events)) == read_weights(straight)


def test_few_images_give_a_warning_before_the_training(photos: Path, paintings: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(7, tmp_path / "job")
    events = testing.run(StyleTrain, ctx, folder=photos, paintings=paintings, kind="cut", **TINY)
    warning = (
        "There are only 5 photos and 3 paintings. At least 200 photos and 100 paintings are recommended. The method"
    )
    assert get_notices(events)[0].startswith(warning)
    estimate = testing.estimate(StyleTrain, folder=photos, paintings=paintings, kind="cut", **TINY)
    assert estimate is not None
    assert estimate.notes["folder"] == "5 images; at least 200 are recommended"
    assert estimate.work == 4 * 64**2


def test_damaged_images_are_skipped_and_named(photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_bytes((photos / "1.png").read_bytes()[:60])
    (photos / "empty.jpg").write_bytes(b"")
    ctx = testing.FakeContext(7, tmp_path / "job")
    events = testing.run(StyleTrain, ctx, folder=photos, **TINY)
    assert "Skipped 2 files in photos that cannot be used: broken.png, empty.jpg." in get_notices(events)
    assert set(ctx.notes["skipped"]) == {"broken.png", "empty.jpg"}
    assert get_style(events)


def test_too_few_images_raise_bad_input(photos: Path, tmp_path: Path) -> None:
    single = make_folder(tmp_path / "one", 1, 2)
    (tmp_path / "none").mkdir()
    with pytest.raises(api.BadInput, match=r"one contains 1 usable photo, and this training needs 2\."):
        testing.run(StyleTrain, folder=single, **TINY)
    with pytest.raises(api.BadInput, match="none contains no usable paintings"):
        testing.run(StyleTrain, folder=photos, paintings=tmp_path / "none", kind="paintings", **TINY)
    with pytest.raises(api.BadInput, match="needs paintings"):
        testing.run(StyleTrain, folder=photos, kind="cut", **TINY)
    with pytest.raises(api.BadInput, match="There is no folder"):
        testing.run(StyleTrain, folder=photos, paintings=tmp_path / "nowhere", kind="cut", **TINY)


def test_one_painting_is_enough_for_the_few_paintings_kind(photos: Path, tmp_path: Path) -> None:
    single = make_folder(tmp_path / "one", 1, 2)
    ctx = testing.FakeContext(7, tmp_path / "job")
    events = testing.run(StyleTrain, ctx, folder=photos, paintings=single, kind="paintings", **TINY)
    assert "There are only 5 photos and 1 painting. At least 100 photos are recommended." in get_notices(events)
    assert get_style(events)


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_style_takes_less_than_1_5_megabytes(kind: TrainingKind) -> None:
    network = generators.build_network(presets.generator_config(kind, "small"))
    assert 2 * sum(value.numel() for value in network.parameters()) < 1_500_000


def test_photos_and_paintings_are_inspected(photos: Path, paintings: Path) -> None:
    excluded = ["0.png", "paintings/1.png"]
    report = testing.inspect_data(StyleTrain, folder=photos, paintings=paintings, kind="cut", size=64, exclude=excluded)
    assert report is not None
    assert report.summary == "5 photos, 4 usable, 1 excluded; 3 paintings, 2 usable, 1 excluded."
    assert report.advice.startswith("There are only 4 photos and 2 paintings.")
    assert report.is_scarce
    missing = testing.inspect_data(StyleTrain, folder=photos, kind="cut")
    assert missing is not None
    assert missing.refusal == "This training method needs paintings."


@pytest.mark.parametrize(("first", "then"), [("effect", "paintings"), ("cut", "cyclegan")])
def test_a_training_goes_on_from_a_style_of_the_same_network(
    first: TrainingKind, then: TrainingKind, photos: Path, paintings: Path, tmp_path: Path
) -> None:
    values = {**TINY, "folder": photos, "paintings": paintings}
    base = get_style(testing.run(StyleTrain, testing.FakeContext(7, tmp_path / "a"), kind=first, **values))
    more = {**values, "network": "small", "steps": 1, "learning_rate": 1e-7, "start_from": str(base.folder)}
    style = get_style(testing.run(StyleTrain, testing.FakeContext(7, tmp_path / "b"), kind=then, **more))
    before, config = generators.load_network(base.folder)
    after, config_after = generators.load_network(style.folder)
    assert config_after == config
    image = torch.linspace(-1, 1, 3 * 64 * 64).reshape(1, 3, 64, 64)
    with torch.no_grad():
        assert (before(image) - after(image)).abs().mean() < 0.02
    assert "| Base style |" in (style.folder / "README.md").read_text("utf-8")


def test_a_style_of_another_network_is_refused(photos: Path, paintings: Path, tmp_path: Path) -> None:
    values = {**TINY, "folder": photos, "paintings": paintings}
    base = get_style(testing.run(StyleTrain, testing.FakeContext(7, tmp_path / "a"), kind="effect", **values))
    ctx = testing.FakeContext(7, tmp_path / "b")
    with pytest.raises(api.BadInput, match="another network than this training type: pattern, not resnet") as error:
        testing.run(StyleTrain, ctx, kind="cut", start_from=str(base.folder), **values)
    assert error.value.hint == "Choose the training type Effect or A few paintings, or another base style."


def test_photos_are_no_paintings(photos: Path) -> None:
    report = testing.inspect_data(StyleTrain, folder=photos, paintings=photos, kind="cut")
    assert report is not None
    assert report.refusal == "The folder of paintings is that of the photos."
