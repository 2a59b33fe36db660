"""`vae.train` as the studio runs it, from a folder of pictures to a model that other tools load."""

from collections.abc import Generator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.vae_interpolation.models import networks
from plugins.vae_interpolation.tools import train
from plugins.vae_interpolation.tools.train import TrainVae
from plugins.vae_interpolation.training import trainer
from studio import api, testing

TINY: dict[str, Any] = {"size": 64, "width": "tiny", "batch": 2, "steps": 4, "preview_every": 2}


@pytest.fixture(autouse=True)
def _one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def pictures(tmp_path: Path) -> Path:
    folder = tmp_path / "pictures"
    folder.mkdir()
    chance = np.random.default_rng(0)
    for number in range(20):
        colours = chance.integers(0, 256, (2, 2, 3)).astype(np.uint8)
        Image.fromarray(colours).resize((64, 64), Image.Resampling.BILINEAR).save(folder / f"{number}.png")
    return folder


def find_model(events: list[api.Event]) -> api.Trained:
    (one,) = testing.results(events)
    assert isinstance(one, api.Trained)
    return one


def notices(events: list[api.Event]) -> list[str]:
    return [event.text for event in events if isinstance(event, api.Notice)]


def test_keeps_the_rules() -> None:
    testing.check_plugin([TrainVae])
    testing.check_light_import("plugins.vae_interpolation.tools.train", [Path(train.__file__).parents[3]])


def test_a_spatial_model_is_loaded_by_diffusers(pictures: Path, tmp_path: Path) -> None:
    from diffusers import AutoencoderKL

    ctx = testing.FakeContext(seed=7, folder=tmp_path / "job")
    events = testing.run(TrainVae, ctx, folder=pictures, title="Mine", **TINY)
    made = find_model(events)
    assert (made.title, made.kind) == ("Mine", "autoencoder")
    model = AutoencoderKL.from_pretrained(made.folder, torch_dtype=torch.float32)
    assert model.config.scaling_factor == 1.0
    assert model(torch.zeros(1, 3, 64, 64)).sample.shape == (1, 3, 64, 64)
    assert "# Mine" in (made.folder / "README.md").read_text("utf-8")
    assert set(made.notes["held_out_psnr"]) == {"pictures"}
    previews = [event.content for event in events if isinstance(event, api.Preview)]
    assert [np.asarray(preview).shape[0] for preview in previews] == [128, 128]
    steps = [event.step for event in events if isinstance(event, api.Progress) and event.step]
    assert steps == [1, 2, 3, 4]


def test_a_global_model_is_loaded_again(pictures: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(seed=7, folder=tmp_path / "job")
    made = find_model(testing.run(TrainVae, ctx, folder=pictures, kind="global", **TINY))
    assert made.kind == "global-autoencoder"
    model = networks.load_global(made.folder)
    mean, logvar = model.encode(torch.zeros(2, 3, 64, 64))
    assert mean.shape == logvar.shape == (2, model.config.latent)
    assert model.decode(mean).shape == (2, 3, 64, 64)
    assert model.dream(torch.randn_like(mean)).isfinite().all()


def test_a_paused_training_resumes_with_equal_weights(pictures: Path, tmp_path: Path) -> None:
    straight = find_model(testing.run(TrainVae, testing.FakeContext(7, tmp_path / "a"), folder=pictures, **TINY))
    ctx = testing.FakeContext(7, tmp_path / "b", pause_requested=True)
    with pytest.raises(api.Paused):
        testing.run(TrainVae, ctx, folder=pictures, **TINY)
    later = testing.FakeContext(7, tmp_path / "b")
    events = testing.run(TrainVae, later, folder=pictures, **TINY)
    assert notices(events) == ["Resumes at step 1 of 4."]
    assert weights(find_model(events)) == weights(straight)


def test_a_killed_training_resumes_from_the_checkpoint(pictures: Path, tmp_path: Path) -> None:
    straight = find_model(testing.run(TrainVae, testing.FakeContext(7, tmp_path / "a"), folder=pictures, **TINY))
    ctx = testing.FakeContext(7, tmp_path / "b")
    running = TrainVae().run(TrainVae.Params(folder=pictures, **TINY), ctx)
    assert isinstance(running, Generator)
    while not isinstance(event := next(running), api.Progress) or event.step < 3:
        pass
    running.close()
    events = testing.run(TrainVae, testing.FakeContext(7, tmp_path / "b"), folder=pictures, **TINY)
    assert notices(events)[0].startswith("Resumes at step ")
    assert weights(find_model(events)) == weights(straight)


def test_a_damaged_checkpoint_starts_the_training_again(pictures: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(7, tmp_path / "job")
    (ctx.checkpoint_dir / trainer.Trainer.CHECKPOINT).write_bytes(b"spoilt")
    events = testing.run(TrainVae, ctx, folder=pictures, **TINY)
    assert "starts again" in notices(events)[0]
    assert find_model(events)


@pytest.mark.parametrize("kind", ["spatial", "global"])
def test_a_training_continues_from_a_base_model(kind: str, pictures: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(7, tmp_path / "a")
    first = find_model(testing.run(TrainVae, ctx, folder=pictures, kind=kind, **TINY))
    more = {**TINY, "kind": kind, "learning_rate": 1e-7}
    ctx = testing.FakeContext(7, tmp_path / "b")
    second = find_model(testing.run(TrainVae, ctx, folder=pictures, start_from=str(first.folder), **more))
    assert second.notes["held_out_psnr"]["pictures"] == pytest.approx(first.notes["held_out_psnr"]["pictures"], abs=0.1)


def test_a_global_model_of_another_size_is_refused(pictures: Path, tmp_path: Path) -> None:
    values = {**TINY, "folder": pictures, "kind": "global"}
    first = find_model(testing.run(TrainVae, testing.FakeContext(7, tmp_path / "a"), **values))
    with pytest.raises(api.BadInput, match="a global model for images of 64 px"):
        testing.run(
            TrainVae, testing.FakeContext(7, tmp_path / "b"), **{**values, "size": 128, "start_from": str(first.folder)}
        )


def test_a_model_of_the_other_kind_is_refused(pictures: Path, tmp_path: Path) -> None:
    first = find_model(testing.run(TrainVae, testing.FakeContext(7, tmp_path / "a"), folder=pictures, **TINY))
    with pytest.raises(api.BadInput, match="another kind"):
        testing.run(TrainVae, folder=pictures, kind="global", start_from=str(first.folder), **TINY)


def test_unreadable_pictures_are_skipped_and_listed(pictures: Path, tmp_path: Path) -> None:
    (pictures / "broken.png").write_bytes((pictures / "1.png").read_bytes()[:60])
    (pictures / "empty.jpg").write_bytes(b"")
    ctx = testing.FakeContext(7, tmp_path / "job")
    events = testing.run(TrainVae, ctx, folder=pictures, **TINY)
    assert "Skipped 2 files that cannot be used: broken.png, empty.jpg." in notices(events)
    assert set(ctx.notes["skipped"]) == {"broken.png", "empty.jpg"}
    assert find_model(events)


def test_too_few_pictures_are_reported(pictures: Path) -> None:
    for number in range(10):
        (pictures / f"{number}.png").unlink()
    with pytest.raises(api.BadInput, match="pictures contains 10 usable images, and this training needs 16"):
        testing.run(TrainVae, folder=pictures, **TINY)


def test_an_empty_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="needs 16"):
        testing.run(TrainVae, folder=tmp_path, **TINY)


def test_a_missing_folder_is_reported(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="There is no folder"):
        testing.run(TrainVae, folder=tmp_path / "nowhere", **TINY)


def weights(made: api.Trained) -> bytes:
    return b"".join(path.read_bytes() for path in sorted(made.folder.glob("*.safetensors")))


def test_the_data_is_inspected_as_it_is_trained_on(pictures: Path, tmp_path: Path) -> None:
    report = testing.inspect_data(TrainVae, folder=pictures, size=64, exclude=["1.png"])
    assert report is not None
    assert (report.summary, report.refusal) == ("20 images, 19 usable, 1 excluded.", "")
    assert report.advice.startswith("19 images: the model will learn these by heart")
    excluded = [f"{number}.png" for number in range(5)]
    refused = testing.inspect_data(TrainVae, folder=pictures, exclude=excluded)
    assert refused is not None
    assert refused.refusal == "pictures contains 15 usable images, and this training needs 16."
    with pytest.raises(api.BadInput, match="contains 15 usable images"):
        testing.run(TrainVae, testing.FakeContext(1, tmp_path / "job"), folder=pictures, exclude=excluded, **TINY)


def test_twenty_images_of_one_pixel_are_refused(tmp_path: Path) -> None:
    folder = tmp_path / "dots"
    folder.mkdir()
    for number in range(20):
        Image.new("RGB", (1, 1), (number, 0, 0)).save(folder / f"{number}.png")
    with pytest.raises(api.BadInput, match="dots contains no usable images"):
        testing.run(TrainVae, testing.FakeContext(1, tmp_path / "job"), folder=folder, **TINY)
