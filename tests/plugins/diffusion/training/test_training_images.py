"""Aspect-ratio buckets, repeats, masks, regularisation and held-out images."""

import itertools
from collections import Counter
from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.diffusion.training import buckets, dataset, latent_dataset
from plugins.diffusion.training.caption_options import CaptionOptions
from plugins.diffusion.training.captions import Subject
from plugins.diffusion.training.dataset import LoadedImages, Reading
from plugins.diffusion.training.epochs import EpochOrder
from plugins.diffusion.training.latent_dataset import LatentDataset, LossWeights
from studio import api


def finish(running: Generator[api.Event, None, LoadedImages]) -> tuple[LoadedImages, list[api.Event]]:
    events = []
    while True:
        try:
            events.append(next(running))
        except StopIteration as done:
            return done.value, events


def encode(images: LoadedImages, size: int, **more: Any) -> LatentDataset:
    """Build a data set whose latents are the mean colours of 8 × 8 pixels."""
    items = dataset.plan_items(images, flips=False, pairs=0, seed=1)
    pixels = [dataset.render_batch([item], images, size) for item in items]
    values = [torch.nn.functional.avg_pool2d(one, 8)[0].half() for one in pixels]
    return LatentDataset(items, images, values, **{"batch_size": 2, "seed": 3, **more})


@pytest.mark.parametrize("size", [64, 128, 256, 512, 768, 1024])
def test_buckets_have_the_area_of_the_size(size: int) -> None:
    step = buckets.bucket_step(size)
    shapes = buckets.list_buckets(size)
    assert (size, size) in shapes
    for height, width in shapes:
        assert height % step == width % step == 0
        assert 0.6 * size * size <= height * width <= size * size
        assert max(height, width) <= 3 * min(height, width)


@pytest.mark.parametrize(
    ("height", "width", "bucket"),
    [(500, 500, (512, 512)), (1000, 1500, (384, 640)), (1500, 1000, (640, 384)), (100, 1000, (320, 768))],
)
def test_image_gets_the_nearest_bucket(height: int, width: int, bucket: tuple[int, int]) -> None:
    assert buckets.choose_bucket(height, width, 512) == bucket


def test_wide_images_keep_their_shape_and_batches_have_one(tmp_path: Path) -> None:
    for number, (width, height) in enumerate([(300, 200), (200, 300), (300, 200), (200, 200), (300, 200)]):
        image = Image.new("RGB", (width, height), (0, 0, 255))
        image.paste((255, 0, 0), (0, 0, width // 2, height))
        image.save(tmp_path / f"fox-{number}.png")
    images, _ = finish(dataset.read_folders([tmp_path], Reading(64, buckets=True)))
    assert sorted({pixels.shape[:2] for pixels in images.pixels}) == [(48, 80), (64, 64), (80, 48)]
    assert images.subjects[0].frame == (200, 300, 3, 0, 48, 80)
    data = encode(images, 64)
    assert data.batches_per_epoch == 4
    shapes = Counter(tuple(data.draw_batch(number).latents.shape) for number in range(4))
    assert shapes == {(2, 3, 6, 10): 1, (1, 3, 6, 10): 1, (1, 3, 8, 8): 1, (1, 3, 10, 6): 1}
    assert data.square_side(64) == 8
    wide = images.pixels[0]
    assert (wide[24, 2, 0], wide[24, 77, 2]) == (255, 255)


def test_every_image_is_used_as_often_as_it_is_listed() -> None:
    order = EpochOrder([0, 1, 2, 2], dict.fromkeys(range(3), (8, 8)), 3, seed=5)
    assert order.batches_per_epoch == 2
    epochs = [[*order.draw(2 * epoch), *order.draw(2 * epoch + 1)] for epoch in range(4)]
    assert all(sorted(epoch) == [0, 1, 2, 2] for epoch in epochs)
    assert len({tuple(epoch) for epoch in epochs}) > 1
    again = EpochOrder([0, 1, 2, 2], dict.fromkeys(range(3), (8, 8)), 3, seed=5)
    assert again.draw(5) == order.draw(5)


def test_folder_names_set_repeats_as_in_kohya(tmp_path: Path) -> None:
    for name in ("10_fox", "plain", "3_owl/deep"):
        (tmp_path / name).mkdir(parents=True)
        Image.new("RGB", (64, 64)).save(tmp_path / name / "a.png")
    images, _ = finish(dataset.read_folders([tmp_path], Reading(64, repeats=2)))
    assert {subject.path.parent.name: subject.repeats for subject in images.subjects} == {
        "10_fox": 20,
        "deep": 6,
        "plain": 2,
    }
    assert encode(images, 64, batch_size=4).batches_per_epoch == 7


def test_transparency_weighs_the_loss(tmp_path: Path) -> None:
    image = Image.new("RGBA", (64, 64), (200, 10, 10, 255))
    image.paste((0, 0, 0, 0), (32, 0, 64, 64))
    image.save(tmp_path / "fox.png")
    (tmp_path / "fox.txt").write_text("a fox", "utf-8")
    images, _ = finish(dataset.read_folders([tmp_path], Reading(64, alpha_masks=True)))
    batch = encode(images, 64, weights=LossWeights(unmasked=0.25)).draw_batch(0)
    assert batch.weights is not None
    assert batch.weights.shape == (1, 1, 8, 8)
    assert float(batch.weights.mean()) == pytest.approx(1)
    left, right = float(batch.weights[0, 0, 4, 1]), float(batch.weights[0, 0, 4, 6])
    assert right / left == pytest.approx(0.25, rel=1e-3)
    plain, _ = finish(dataset.read_folders([tmp_path], Reading(64)))
    assert encode(plain, 64).draw_batch(0).weights is None


def test_masks_come_from_a_folder(tmp_path: Path) -> None:
    photos, masks = tmp_path / "photos", tmp_path / "masks"
    (photos / "deep").mkdir(parents=True)
    (masks / "deep").mkdir(parents=True)
    Image.new("RGB", (96, 64)).save(photos / "deep/a[1].jpg")
    Image.new("RGB", (64, 64)).save(photos / "b.jpg")
    mask = Image.new("L", (192, 128))
    mask.paste(255, (96, 0, 192, 128))
    mask.save(masks / "deep/a[1].png")
    images, _ = finish(dataset.read_folders([photos], Reading(64, masks=api.datasets.index_masks(masks))))
    by_name = {subject.path.name: mask for subject, mask in zip(images.subjects, images.masks, strict=True)}
    found = by_name["a[1].jpg"]
    assert found is not None
    assert (found.shape, found[30, 5], found[30, 60]) == ((64, 64), 0, 255)
    assert by_name["b.jpg"] is None


def test_regularisation_images_are_as_many_as_the_others(tmp_path: Path) -> None:
    for folder, count in (("mine", 3), ("others", 2)):
        (tmp_path / folder).mkdir()
        for number in range(count):
            Image.new("RGB", (64, 64), (40 * number,) * 3).save(tmp_path / folder / f"{folder}-{number}.png")
    images, _ = finish(dataset.read_folders([tmp_path / "mine"], 64, tmp_path / "others"))
    data = encode(
        images,
        64,
        captions=CaptionOptions("ohwx", dropout=0),
        weights=LossWeights(regularisation=0.5),
    )
    assert images.counts == {"mine": 3, "others": 2}
    seen: Counter[str] = Counter()
    for number in range(int(data.batches_per_epoch)):
        batch = data.draw_batch(number)
        weights = torch.ones(2, 1, 1, 1) if batch.weights is None else batch.weights
        for text, weight in zip(batch.texts, weights.mean((1, 2, 3)).tolist(), strict=True):
            seen[text] += 1
            assert weight == (0.5 if text == "others" else 1)
    assert seen == {"ohwx, mine": 3, "others": 3}


def test_held_out_images_are_never_trained_on() -> None:
    subjects = [Subject(Path(f"photos/{number}.png"), f"thing {number}", fixed=True) for number in range(10)]
    images = LoadedImages(subjects, [np.full((64, 64, 3), 20 * number, np.uint8) for number in range(10)])
    held = latent_dataset.choose_held_out(subjects, 0.3)
    assert 0 < len(held) < 6
    data = encode(images, 64, held_out=held, captions=CaptionOptions("ohwx", dropout=0))
    trained = set(itertools.chain.from_iterable(data.draw_batch(number).texts for number in range(40)))
    kept = [*itertools.chain.from_iterable(batch.texts for batch in data.held_out_batches())]
    assert sorted(kept) == sorted(f"ohwx, thing {number}" for number in held)
    assert not trained & set(kept)
    assert len(trained) + len(kept) == 10
    assert latent_dataset.choose_held_out(subjects, 0) == frozenset()


def test_trigger_word_is_put_in_front_of_captions_without_it() -> None:
    options = CaptionOptions("ohwx fox")
    assert options.complete("a red house") == "ohwx fox, a red house"
    assert options.complete("a photo of an OHWX fox in snow") == "a photo of an OHWX fox in snow"
    assert options.complete("ohwx foxes") == "ohwx fox, ohwx foxes"
    assert options.complete("") == "ohwx fox"
    assert options.complete("a red house", is_regularisation=True) == "a red house"
    assert CaptionOptions().complete("a red house") == "a red house"


def test_tags_are_shuffled_behind_those_that_are_kept() -> None:
    options = CaptionOptions("ohwx", dropout=0, shuffle=True, keep_tokens=2)
    drawn = {options.draw("fox, snow, trees, night", np.random.default_rng(seed)) for seed in range(40)}
    assert len(drawn) == 6
    assert all(text.startswith("ohwx, fox, ") for text in drawn)
    assert all(sorted(text.split(", ")) == ["fox", "night", "ohwx", "snow", "trees"] for text in drawn)


@pytest.mark.parametrize("dropout", [0.0, 0.25, 1.0])
def test_captions_are_dropped_at_the_rate(dropout: float) -> None:
    options = CaptionOptions(dropout=dropout)
    empty = sum(not options.draw("a fox", np.random.default_rng(seed)) for seed in range(800))
    assert empty / 800 == pytest.approx(dropout, abs=0.05)
