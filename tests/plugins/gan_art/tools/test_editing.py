"""Inversion, tuning, dragging and critique, with a random GAN."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from plugins.gan_art.editing import dragging, inversion
from plugins.gan_art.editing.critique import Critic
from plugins.gan_art.editing.directions import sample_styles
from plugins.gan_art.models.gan_model import GanConfig, load_gan, open_gan, save_gan
from plugins.gan_art.models.image_features import load_extractor
from plugins.gan_art.networks.stylegan2 import Discriminator, DiscriminatorConfig
from plugins.gan_art.sampling.latents import read_latent
from plugins.gan_art.sampling.targets import read_target
from plugins.gan_art.tools.critique import Critique
from plugins.gan_art.tools.drag import Drag
from plugins.gan_art.tools.dream import Dream
from plugins.gan_art.tools.invert import Invert
from plugins.gan_art.tools.tune import Tune
from studio import api, testing
from tests.plugins.gan_art.fixtures.tiny_gan import make_context, save_creation


def run(tool: type[api.Tool], folder: Path, *, seed: int = 7, **values: Any) -> list[Any]:
    ctx = make_context(folder, seed=seed)
    return testing.results(testing.run(tool, ctx, **{"model": "tiny", **values}))


def difference(first: Any, second: Any) -> float:
    return float(np.abs(first.astype(float) - second.astype(float)).mean())


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    """Returns an image that the random GAN made, as a file without a latent."""
    (made,) = run(Dream, tmp_path / "home", seed=3)
    Image.fromarray(made.picture).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def test_inversion_comes_closer_and_gives_a_latent(photo: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    ctx = make_context(home)
    model = load_gan(ctx, "tiny")
    target = read_target(photo, model)
    states = [
        *inversion.invert_image(model, load_extractor(ctx), target, steps=12, regularisation=0.0, seed=1),
    ]
    assert states[-1].loss < 0.8 * states[0].loss
    (inverted,) = run(Invert, home, image=photo, steps=2)
    path = save_creation(tmp_path / "results", inverted)
    again = model.synthesize(read_latent(ctx, path, model).styles[None])[0]
    assert difference(api.images.to_uint8(again), inverted.picture) < 0.5


def test_tuning_makes_the_image_and_strength_zero_leaves_the_gan(photo: Path, tmp_path: Path) -> None:
    home = tmp_path / "home"
    (inverted,) = run(Invert, home, image=photo, steps=5)
    path = save_creation(tmp_path / "results", inverted)
    (tuned,) = run(Tune, home, inverted=path, image=photo, steps=12)
    before, after = tuned.notes["psnr"]
    assert after > before
    assert open_gan(tuned.folder).class_names == ["apple", "pear", "plum"]
    own = open_gan(home / "models" / "tiny").generator.state_dict()  # type: ignore[attr-defined]
    (idle,) = run(Tune, home, inverted=path, image=photo, steps=1, strength=0.0)
    weights = open_gan(idle.folder).generator.state_dict()  # type: ignore[attr-defined]
    assert all(torch.allclose(value, own[name], atol=1e-3) for name, value in weights.items())


def test_dragging_moves_a_handle_towards_its_target(tmp_path: Path) -> None:
    model = load_gan(make_context(tmp_path), "tiny")
    styles = model.map_latents(torch.randn(1, 8, generator=torch.Generator().manual_seed(1)), [0])[0]
    pairs = dragging.parse_points(["30,50>60,50"])
    states = [*dragging.drag(model, styles, pairs, steps=40)]
    assert min(state.distance for state in states) < 0.28
    assert not torch.equal(states[-1].styles[:6], styles[:6])


def test_a_drag_gives_images_with_latents_to_go_back_to(tmp_path: Path) -> None:
    results = run(Drag, tmp_path, points=["20, 20 > 30, 20"], steps=4, intermediate=2)
    assert results[0].name == "step-0002"
    assert results[-1].name == "last"
    assert all("latent" in image.notes for image in results)


@pytest.mark.parametrize("text", ["", "1,2", "1,2>3", "1,2>3,400", "a,b>c,d", "1,2>3,4>5,6", "9" * 10_000])
def test_points_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(api.BadInput, match="not a pair of points"):
        dragging.parse_points([text])


def test_points_at_their_targets_are_refused(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="at its target already"):
        run(Drag, tmp_path, points=["10, 10 > 10, 10", "40, 40 > 40.5, 40"])


def test_images_are_graded_ranked_and_explained(tmp_path: Path) -> None:
    folder = tmp_path / "home" / "models" / "tiny"
    make_context(tmp_path / "home")
    torch.manual_seed(0)
    critic = Discriminator(DiscriminatorConfig((8, 8, 8), classes=3, label_size=4))
    generator: Any = open_gan(folder).generator
    names = ("apple", "pear", "plum")
    save_gan(folder, generator.state_dict(), GanConfig(class_names=names), critic.state_dict())
    paths = []
    for number, colour in enumerate([(0, 0, 0), (255, 128, 0), (255, 255, 255)]):
        paths.append(tmp_path / f"{number}.png")
        Image.new("RGB", (40, 30), colour).save(paths[-1])
    (sheet,) = run(Critique, tmp_path / "home", images=paths)
    ranking = sheet.notes["ranking"]
    assert {row["image"] for row in ranking} == {"0.png", "1.png", "2.png"}
    usual = [row["score"] for row in ranking if row["better_than"] != "of another kind"]
    assert usual == sorted(usual, reverse=True)
    assert all(row["class"] in names for row in ranking)
    (one,) = run(Critique, tmp_path / "home", images=paths[:1], class_name="pear")
    assert one.notes["ranking"][0]["class"] == "pear"
    assert one.picture.shape[1] == 256


def test_images_of_another_kind_stand_last(tmp_path: Path) -> None:
    ctx = make_context(tmp_path / "home")
    folder = tmp_path / "home" / "models" / "tiny"
    generator: Any = open_gan(folder).generator
    torch.manual_seed(0)
    save_gan(folder, generator.state_dict(), GanConfig(), Discriminator(DiscriminatorConfig((8, 8, 8))).state_dict())
    model = open_gan(folder)
    critic = Critic(model, load_extractor(ctx), 0)
    own = model.synthesize(sample_styles(model, 4, 5, truncation=0.8))
    rows = torch.linspace(-1, 1, own.shape[2])[:, None]
    other = (rows * 40).sin().expand(1, 3, *own.shape[2:]).clone()
    assert not any(critic.grade(image[None]).is_strange for image in own)
    assert critic.grade(other).is_strange


def test_a_gan_without_a_discriminator_cannot_grade(photo: Path, tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="no discriminator"):
        run(Critique, tmp_path / "home", images=[photo])
