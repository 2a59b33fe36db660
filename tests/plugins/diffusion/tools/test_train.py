"""Training from captioned images to a model that generates images."""

import json
from collections.abc import Callable, Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image, ImageDraw

from plugins.diffusion.tools import train
from plugins.diffusion.tools.train import TrainDiffusion
from plugins.diffusion.training import captions, composites, dataset, trainer
from plugins.diffusion.training.captions import Subject
from plugins.diffusion.training.latent_dataset import LatentDataset
from studio import api, testing
from studio.core import paths
from studio.core.data_report import CaptionSource

TINY: dict[str, Any] = {"size": 64, "width": "tiny", "batch": 2, "steps": 4, "preview_every": 4, "pairs": 6}


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    """Write disks of several colours on a transparent background, with their names in a list beside the folder."""
    folder = tmp_path / "pictures"
    folder.mkdir()
    rows = []
    for number, colour in enumerate(["red", "green", "blue", "yellow", "purple", "black", "orange", "brown"]):
        image = Image.new("RGBA", (64, 64))
        ImageDraw.Draw(image).ellipse((8, 8, 56, 56), colour)
        image.save(folder / f"{number}.png")
        rows.append({"file": f"pictures/{number}.png", "name": f"{colour} disk", "style": "noto"})
    (tmp_path / "pictures.jsonl").write_text("\n".join(map(json.dumps, rows)), encoding="utf-8")
    return folder


@pytest.fixture(scope="module")
def vae(tmp_path_factory: pytest.TempPathFactory) -> str:
    from diffusers import AutoencoderKL

    torch.manual_seed(0)
    model = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        block_out_channels=(8, 8, 8, 8),
        latent_channels=4,
        norm_num_groups=4,
        sample_size=64,
    )
    folder = tmp_path_factory.mktemp("vae") / "mine"
    model.save_pretrained(folder)
    return str(folder)


def trained_model(events: list[api.Event]) -> api.Trained:
    (event,) = testing.results(events)
    assert isinstance(event, api.Trained)
    return event


def notices(events: list[api.Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, api.Notice)]


def weights(made: api.Trained) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(made.folder.rglob("*.safetensors")))


def test_tool_follows_the_conventions() -> None:
    testing.check_plugin([TrainDiffusion])
    testing.check_light_import("plugins.diffusion.tools.train", [Path(train.__file__).parents[3]])


def test_new_model_refers_to_the_autoencoder_of_the_starter(pictures: Path, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL, AutoPipelineForText2Image

    ctx = testing.FakeContext(seed=7, folder=tmp_path / "job")
    values = {**TINY, "title": "Mine", "prompts": ["a red disk, flat"], "preview_every": 2}
    events = testing.run(TrainDiffusion, ctx, folder=pictures, **values)
    made = trained_model(events)
    assert (made.title, made.kind) == ("Mine", "diffusion")
    assert json.loads((made.folder / "studio.json").read_text("utf-8")) == {"components": {"vae": "vae-spatial"}}
    assert not (made.folder / "vae").exists()
    card = (made.folder / "README.md").read_text("utf-8")
    assert "# Mine" in card
    assert "| pictures | 8 |" in card
    previews = [event.content for event in events if isinstance(event, api.Preview)]
    assert [np.asarray(view).shape for view in previews] == [(64, 64, 3)] * 2
    steps = [event.step for event in events if isinstance(event, api.Progress) and event.step]
    assert steps == [1, 2, 3, 4]
    vae = AutoencoderKL.from_pretrained(
        paths.resources_folder() / "starters" / "vae-spatial", torch_dtype=torch.float32
    )
    pipe = AutoPipelineForText2Image.from_pretrained(made.folder, vae=vae, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    painted = pipe("a blue disk on a red ground, flat", num_inference_steps=2, output_type="np").images
    assert painted.shape == (1, 64, 64, 3)
    assert np.isfinite(painted).all()


def test_other_autoencoder_is_copied_into_the_model(pictures: Path, tmp_path: Path, vae: str) -> None:
    from diffusers import AutoPipelineForText2Image

    ctx = testing.FakeContext(seed=7, folder=tmp_path / "job")
    made = trained_model(testing.run(TrainDiffusion, ctx, folder=pictures, vae=vae, **TINY))
    pipe = AutoPipelineForText2Image.from_pretrained(made.folder, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)
    assert pipe("", num_inference_steps=1, output_type="np").images.shape == (1, 64, 64, 3)


def test_pause_and_resume_give_the_same_weights(pictures: Path, tmp_path: Path, vae: str) -> None:
    values = {"folder": pictures, "vae": vae, **TINY}
    straight = trained_model(testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "a"), **values))
    ctx = testing.FakeContext(7, tmp_path / "b")
    running = TrainDiffusion().run(TrainDiffusion.Params(**values), ctx)
    while not isinstance(event := next(running), api.Progress) or event.step < 1:
        pass
    ctx.pause_requested = True
    with pytest.raises(api.Paused):
        list(running)
    events = testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "b"), **values)
    assert notices(events) == ["Resumes at step 2 of 4."]
    assert not [event for event in events if isinstance(event, api.Progress) and event.text.startswith("Encoding")]
    assert weights(trained_model(events)) == weights(straight)


def test_kill_and_resume_give_the_same_weights(pictures: Path, tmp_path: Path, vae: str) -> None:
    values = {"folder": pictures, "vae": vae, **TINY}
    straight = trained_model(testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "a"), **values))
    running = TrainDiffusion().run(TrainDiffusion.Params(**values), testing.FakeContext(7, tmp_path / "b"))
    while not isinstance(event := next(running), api.Progress) or event.step < 3:
        pass
    assert isinstance(running, Generator)
    running.close()
    events = testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "b"), **values)
    assert notices(events)[0].startswith("Resumes at step ")
    assert weights(trained_model(events)) == weights(straight)


def test_pause_during_encoding_keeps_the_latents(
    pictures: Path, tmp_path: Path, vae: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dataset, "ENCODER_BATCH", 5)
    values = {"folder": pictures, "vae": vae, **TINY}
    straight = trained_model(testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "a"), **values))
    ctx = testing.FakeContext(7, tmp_path / "b", pause_requested=True)
    with pytest.raises(api.Paused):
        testing.run(TrainDiffusion, ctx, **values)
    assert [event.text for event in ctx.events if isinstance(event, api.Progress)][-1].endswith(": 5 of 30")
    events = testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "b"), **values)
    encoding = [event.text for event in events if isinstance(event, api.Progress) and event.text.startswith("Encoding")]
    assert encoding[0].endswith(": 10 of 30")
    assert weights(trained_model(events)) == weights(straight)


def test_damaged_checkpoint_starts_again_with_a_notice(pictures: Path, tmp_path: Path, vae: str) -> None:
    ctx = testing.FakeContext(7, tmp_path / "job")
    for name in (trainer.Trainer.CHECKPOINT, dataset.CACHE):
        (ctx.checkpoint_dir / name).write_bytes(b"spoilt")
    events = testing.run(TrainDiffusion, ctx, folder=pictures, vae=vae, **TINY)
    assert "starts again" in notices(events)[0]
    assert trained_model(events)


def test_photographs_keep_their_captions(tmp_path: Path, vae: str) -> None:
    folder = tmp_path / "photos"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number in range(8):
        Image.fromarray(chance.integers(0, 256, (40, 60, 3)).astype(np.uint8)).save(folder / f"garden-{number}.jpg")
    (folder / "garden-3.txt").write_text("roses in the rain", encoding="utf-8")
    (folder / "broken.jpg").write_bytes(b"")
    ctx = testing.FakeContext(7, tmp_path / "job")
    events = testing.run(TrainDiffusion, ctx, folder=folder, vae=vae, **TINY)
    assert "Skipped 1 file that cannot be used: broken.jpg." in notices(events)
    card = (trained_model(events).folder / "README.md").read_text("utf-8")
    assert "- roses in the rain\n" in card
    assert "- garden\n" in card


def test_lora_changes_the_images_of_its_base_model(
    pictures: Path, tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    pytest.importorskip("peft")
    from diffusers import AutoPipelineForText2Image

    base = tiny_model("stable-diffusion")
    ctx = testing.FakeContext(7, tmp_path / "job")
    values = {
        **TINY,
        "kind": "lora",
        "model": str(base),
        "rank": 2,
        "learning_rate": 0.05,
        "flips": False,
        "prompts": ["fox"],
    }
    made = trained_model(testing.run(TrainDiffusion, ctx, folder=pictures, **values))
    assert made.kind == "lora"
    assert "A LoRA for" in (made.folder / "README.md").read_text("utf-8")
    pipe = AutoPipelineForText2Image.from_pretrained(base, dtype=torch.float32)
    pipe.set_progress_bar_config(disable=True)

    def paint() -> Any:
        return pipe(
            "a red disk", num_inference_steps=2, output_type="np", generator=torch.Generator().manual_seed(1)
        ).images

    before = paint()
    pipe.load_lora_weights(made.folder)
    assert not np.allclose(before, paint(), atol=1e-3)


def test_trained_model_is_fine_tuned(pictures: Path, tmp_path: Path) -> None:
    from diffusers import UNet2DConditionModel
    from transformers import CLIPTextModel

    first = trained_model(testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "a"), folder=pictures, **TINY))
    values = {**TINY, "kind": "full", "model": str(first.folder), "pair_share": 0.5}
    second = trained_model(
        testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "b"), folder=pictures, **values)
    )
    assert second.kind == "diffusion"
    assert json.loads((second.folder / "studio.json").read_text("utf-8")) == {"components": {"vae": "vae-spatial"}}
    assert f"fine-tuned from {first.folder.name}" in (second.folder / "README.md").read_text("utf-8")
    assert str(tmp_path) not in "".join(path.read_text("utf-8") for path in second.folder.rglob("*.json"))
    for kind, part in ((UNet2DConditionModel, "unet"), (CLIPTextModel, "text_encoder")):
        before, after = (kind.from_pretrained(model.folder / part).state_dict() for model in (first, second))
        assert before.keys() == after.keys()
        assert any((before[name] != after[name]).any() for name in before)
        assert all((before[name].float() - after[name].float()).abs().max() < 0.05 for name in before)


def test_fine_tuning_refuses_other_families(pictures: Path, tmp_path: Path, tiny_model: Callable[[str], Path]) -> None:
    values = {**TINY, "kind": "full", "model": str(tiny_model("stable-diffusion-xl"))}
    with pytest.raises(api.BadInput, match="Fine-tuning supports Stable Diffusion 1 and 2"):
        testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path), folder=pictures, **values)


def test_too_many_images_are_thinned_out(pictures: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(dataset, "MAX_IMAGES", 5)
    reading = dataset.read_folders([pictures], 64)
    events = []
    while True:
        try:
            events.append(next(reading))
        except StopIteration as done:
            images = done.value
            break
    assert notices(events) == ["There are more than 5 images, so only one in 2 is used."]
    assert (len(images.subjects), images.counts) == (4, {"pictures": 4})


def test_too_few_images_are_refused(pictures: Path) -> None:
    (pictures / "0.png").unlink()
    with pytest.raises(api.BadInput, match="pictures contains 7 usable images, and this training needs 8"):
        testing.run(TrainDiffusion, folder=pictures, **TINY)


def test_missing_folder_is_refused(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="There is no folder"):
        testing.run(TrainDiffusion, folder=tmp_path / "nowhere", **TINY)


def test_invalid_autoencoder_is_refused(pictures: Path, tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="not the folder of an autoencoder"):
        testing.run(TrainDiffusion, folder=pictures, vae=str(tmp_path), **TINY)


def test_batches_depend_on_seed_and_step_only(pictures: Path) -> None:
    read = [
        dataset.read_image(subject, 64)
        for subject in captions.read_captions(pictures, api.datasets.find_images(pictures))
    ]
    subjects = [subject for subject, _ in read]
    everything = dataset.LoadedImages(subjects, [pixels for _, pixels in read])
    items = dataset.plan_items(everything, flips=True, pairs=5, seed=3)
    sorts = [item.sort for item in items]
    assert (sorts.count("plain"), sorts.count("ground"), sorts.count("pair")) == (16, 8, 5)
    values = torch.arange(len(items)).half().view(-1, 1, 1, 1).expand(-1, 4, 2, 2)
    first, second = (LatentDataset(items, everything, [*values], 32, seed=3) for _ in range(2))
    first.draw_batch(0)
    (left, words, *_), (right, same, *_) = first.draw_batch(5), second.draw_batch(5)
    assert torch.equal(left, right)
    assert words == same
    assert "" in [text for step in range(5) for text in first.draw_batch(step)[1]]


def test_exchanged_halves_match_their_captions() -> None:
    subjects = [Subject(Path(f"{n}.png"), f"thing {n}", style=("fluent", "noto")[n % 2]) for n in range(40)]
    drawn = composites.draw_scenes(subjects, 200, seed=1)
    items = [dataset.Item("pair", scene=scene) for scene in drawn]
    halves = [[scene.left] * 2 + [scene.right] * 2 for scene in drawn]
    values = torch.tensor(halves).half().view(-1, 1, 1, 4).expand(-1, 4, 4, 4)
    latents = LatentDataset(items, dataset.LoadedImages(subjects, []), [*values], 64, seed=3)
    seen = set()
    for step in range(10):
        pictures, words, *_ = latents.draw_batch(step)
        for picture, text in zip(pictures[:, 0, 0].long().tolist(), words, strict=True):
            left, right = picture[0], picture[3]
            assert picture == [left, left, right, right]
            assert left != right
            assert not composites.is_held_out(subjects[left], subjects[right])
            assert not text or text.startswith(f"a {subjects[left].name} and a {subjects[right].name}")
            seen.add((left, right))
    assert len(seen - {(scene.left, scene.right) for scene in drawn}) >= 50


def test_the_data_is_inspected_with_captions_and_advice(pictures: Path) -> None:
    for kind, advice in (("new", "a new model would memorise them"), ("lora", "a LoRA will repeat their poses")):
        report = testing.inspect_data(TrainDiffusion, folder=pictures, size=64, kind=kind)
        assert report is not None
        assert report.advice.startswith(f"8 images: {advice}")
        assert report.count_captions() == {CaptionSource.FOLDER_LIST: 8}


def test_regularisation_images_and_masks_are_inspected_as_well(pictures: Path, tmp_path: Path) -> None:
    others, masks = pictures / "others", tmp_path / "masks"
    others.mkdir()
    masks.mkdir()
    (others / "broken.png").write_bytes(b"")
    options = {"folder": pictures, "size": 64, "kind": "lora", "regularisation": others, "masks": "folder"}
    report = testing.inspect_data(TrainDiffusion, **options)
    assert report is not None
    assert report.refusal == "others contains no usable regularisation images, and this training needs 1."
    Image.effect_noise((64, 64), 80).save(others / "a person.png")
    report = testing.inspect_data(TrainDiffusion, **options)
    assert report is not None
    assert report.refusal == "No folder of masks is chosen."
    Image.new("L", (64, 64), 255).save((masks / next(pictures.glob("*.*")).name).with_suffix(".png"))
    report = testing.inspect_data(TrainDiffusion, **options, mask_folder=masks)
    assert report is not None
    assert not report.refusal
    assert report.summary == "8 images, all usable; 2 regularisation images, 1 usable; 1 mask, all usable."
    assert dict(report.facts)["Masks"] == "1 of 8 images have one"
    for name, sentence in (
        ("mask_folder", "The folder of masks is that of the images."),
        ("regularisation", "The regularisation images are the training images."),
    ):
        report = testing.inspect_data(TrainDiffusion, **{**options, "mask_folder": masks, name: pictures})
        assert report is not None
        assert report.refusal == sentence


def test_images_without_captions_are_trained_with_an_empty_one(pictures: Path, vae: str, tmp_path: Path) -> None:
    (tmp_path / "pictures.jsonl").unlink()
    events = testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path / "job"), folder=pictures, vae=vae, **TINY)
    assert any(text.startswith("8 images have no caption") for text in notices(events))
    (model,) = testing.results(events)
    assert isinstance(model, api.Trained)
