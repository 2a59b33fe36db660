"""`style.train` as the studio runs it, from folders of pictures to a style that is loaded again."""

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
from studio import api, testing

TINY: dict[str, Any] = {"size": 64, "network": "tiny", "batch": 1, "steps": 4, "preview_every": 2}
KINDS = ("effect", "paintings", "cut", "cyclegan")


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


def folder_of(folder: Path, count: int, seed: int) -> Path:
    folder.mkdir()
    chance = np.random.default_rng(seed)
    for number in range(count):
        colours = chance.integers(0, 256, (4, 4, 3)).astype(np.uint8)
        Image.fromarray(colours).resize((80, 72), Image.Resampling.BICUBIC).save(folder / f"{number}.png")
    return folder


@pytest.fixture
def photos(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "photos", 5, 0)


@pytest.fixture
def paintings(tmp_path: Path) -> Path:
    return folder_of(tmp_path / "paintings", 3, 1)


def trained(events: list[api.Event]) -> api.Trained:
    (one,) = testing.results(events)
    assert isinstance(one, api.Trained)
    return one


def notices(events: list[api.Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, api.Notice)]


def weights(made: api.Trained) -> bytes:
    return (made.folder / generators.WEIGHTS).read_bytes()


def test_keeps_the_rules() -> None:
    testing.check_plugin([StyleTrain])
    testing.check_light_import("plugins.style_transfer.tools.train", [Path(train.__file__).parents[3]])


@pytest.mark.parametrize("kind", KINDS)
def test_a_style_is_trained_and_loaded_again(kind: str, photos: Path, paintings: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(7, tmp_path / "job")
    events = testing.run(StyleTrain, ctx, folder=photos, paintings=paintings, kind=kind, title="Mine", **TINY)
    made = trained(events)
    assert (made.title, made.kind) == ("Mine", "style")
    network, config = generators.load(made.folder)
    with torch.no_grad():
        painted = network(torch.zeros(1, 3, 64, 96))
    assert painted.shape == (1, 3, 64, 96)
    assert generators.stride(config) == (8 if kind in ("effect", "paintings") else 4)
    card = (made.folder / "README.md").read_text("utf-8")
    assert "# Mine" in card
    assert "| photos | 4 |" in card
    assert "checkerboard energy" in card
    assert set(made.notes["measured"]) == {"style", {"effect": "pixels", "cyclegan": "cycle"}.get(kind, "structure")}
    with Image.open(made.folder / train.THUMBNAIL) as thumbnail:
        assert thumbnail.size == (64, 64)
    rows = 3 if kind in ("effect", "cyclegan") else 2
    shapes = [event.content.shape for event in events if isinstance(event, api.Preview)]
    assert shapes == [(rows * 384 + 96, 384, 3)] * 2
    said = [event.text for event in events if isinstance(event, api.Progress) and event.step]
    assert "held-out style" in said[-1]


def test_a_kill_and_a_pause_cost_no_weight(photos: Path, paintings: Path, tmp_path: Path) -> None:
    values = {**TINY, "folder": photos, "paintings": paintings, "kind": "cyclegan", "pool": 2}
    straight = trained(testing.run(StyleTrain, testing.FakeContext(7, tmp_path / "a"), **values))
    with pytest.raises(api.Paused):
        testing.run(StyleTrain, testing.FakeContext(7, tmp_path / "b", pause_requested=True), **values)
    running = StyleTrain().run(StyleTrain.Params(**values), testing.FakeContext(7, tmp_path / "b"))
    while not isinstance(event := next(running), api.Progress) or event.step < 3:
        pass
    running.close()
    events = testing.run(StyleTrain, testing.FakeContext(7, tmp_path / "b"), **values)
    assert "Resumes at step 1 of 4." in notices(events)
    assert weights(trained(events)) == weights(straight)


def test_few_pictures_are_told_before_it_begins(photos: Path, paintings: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(7, tmp_path / "job")
    events = testing.run(StyleTrain, ctx, folder=photos, paintings=paintings, kind="cut", **TINY)
    said = "5 photos and 3 paintings are few: 200 photos and 100 paintings are better. “A few paintings” suits so few"
    assert notices(events)[0].startswith(said)
    told = testing.estimate(StyleTrain, folder=photos, paintings=paintings, kind="cut", **TINY)
    assert told is not None
    assert told.notes["folder"] == "5 pictures, few: 200 are better"
    assert told.work == 4 * 0.25


def test_broken_pictures_are_skipped_and_named(photos: Path, tmp_path: Path) -> None:
    (photos / "broken.png").write_bytes((photos / "1.png").read_bytes()[:60])
    (photos / "empty.jpg").write_bytes(b"")
    ctx = testing.FakeContext(7, tmp_path / "job")
    events = testing.run(StyleTrain, ctx, folder=photos, **TINY)
    assert notices(events)[0] == "Skipped, because they cannot be read: broken.png, empty.jpg."
    assert set(ctx.notes["skipped"]) == {"broken.png", "empty.jpg"}
    assert trained(events)


def test_too_few_pictures_are_one_sentence(photos: Path, tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one", 1, 2)
    (tmp_path / "none").mkdir()
    with pytest.raises(api.BadInput, match=r"There is 1 readable photo in one, and this training needs 2\."):
        testing.run(StyleTrain, folder=one, **TINY)
    with pytest.raises(api.BadInput, match="There are no readable paintings in none"):
        testing.run(StyleTrain, folder=photos, paintings=tmp_path / "none", kind="paintings", **TINY)
    with pytest.raises(api.BadInput, match="learns from paintings"):
        testing.run(StyleTrain, folder=photos, kind="cut", **TINY)
    with pytest.raises(api.BadInput, match="There is no folder"):
        testing.run(StyleTrain, folder=photos, paintings=tmp_path / "nowhere", kind="cut", **TINY)


def test_one_painting_is_enough_for_the_quick_kind(photos: Path, tmp_path: Path) -> None:
    one = folder_of(tmp_path / "one", 1, 2)
    ctx = testing.FakeContext(7, tmp_path / "job")
    events = testing.run(StyleTrain, ctx, folder=photos, paintings=one, kind="paintings", **TINY)
    assert "5 photos and 1 painting are few: 100 photos are better." in notices(events)
    assert trained(events)


@pytest.mark.parametrize("kind", KINDS)
def test_a_small_style_takes_less_than_a_megabyte_and_a_half(kind: str) -> None:
    network = generators.build(presets.config(kind, "small"))
    assert 2 * sum(value.numel() for value in network.parameters()) < 1_500_000
