"""Children and mixtures of creations."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins.gan_art.models.gan_model import load_gan
from plugins.gan_art.sampling import crossing, latents
from plugins.gan_art.tools.breed import Breed
from plugins.gan_art.tools.dream import Dream
from plugins.gan_art.tools.import_gan import ImportGan
from plugins.gan_art.tools.mix import Mix
from plugins.gan_art.tools.walk import Walk
from studio import api, testing
from tests.plugins.gan_art.fixtures.original_networks import Dcgan, randomise
from tests.plugins.gan_art.fixtures.tiny_gan import make_context, save_creation, save_tiny_gan


@pytest.fixture
def parents(tmp_path: Path) -> list[Path]:
    """Two creations of the tiny model."""
    return [save_creation(tmp_path, image) for seed in (1, 2) for image in run(tmp_path, Dream, seed=seed)]


def run(folder: Path, tool: type[api.Tool], *, seed: int = 7, draft: bool = False, **values: Any) -> list[Any]:
    ctx = make_context(folder, seed=seed, draft=draft)
    return testing.results(testing.run(tool, ctx, **{"model": "tiny", **values}))


def read_styles(folder: Path, path: Path) -> torch.Tensor:
    ctx = make_context(folder)
    return latents.read_latent(ctx, path, load_gan(ctx, "tiny")).styles


def styles_of(folder: Path, image: Any) -> torch.Tensor:
    return read_styles(folder, save_creation(folder, image))


def test_the_tools_can_be_cancelled_and_repeated(tmp_path: Path) -> None:
    folder = save_tiny_gan(tmp_path / "model")
    testing.check_tool(Breed, {"model": str(folder), "seeds": [1, 2], "rows": 1, "columns": 2})
    testing.check_tool(Mix, {"model": str(folder), "seeds": [1, 2]})


# Mix
def test_a_mixture_has_the_layers_of_the_others_where_it_should(tmp_path: Path, parents: list[Path]) -> None:
    first, second = (read_styles(tmp_path, path) for path in parents)
    (image,) = run(tmp_path, Mix, images=parents, coarse=0, middle=0.5, fine=1)
    mixed = styles_of(tmp_path, image)
    assert torch.equal(mixed[:2], first[:2])
    assert torch.allclose(mixed[2:4], (first[2:4] + second[2:4]) / 2, atol=2e-3)
    assert torch.equal(mixed[4:], second[4:])
    (image,) = run(tmp_path, Mix, images=parents, layers="1, 3-4")
    mixed = styles_of(tmp_path, image)
    for number in range(6):
        assert torch.equal(mixed[number], (second if number in (1, 3, 4) else first)[number])


def test_weights_choose_between_the_others(tmp_path: Path, parents: list[Path]) -> None:
    (image,) = run(tmp_path, Mix, images=[*parents, parents[0]], coarse=1, middle=1, fine=1, weights=[1, 0])
    assert torch.equal(styles_of(tmp_path, image), read_styles(tmp_path, parents[1]))


def test_a_single_creation_is_mixed_with_the_image_of_the_seed(tmp_path: Path, parents: list[Path]) -> None:
    (image,) = run(tmp_path, Mix, images=parents[:1], coarse=1, middle=1, seed=2)
    assert torch.equal(styles_of(tmp_path, image), read_styles(tmp_path, parents[1]))


def test_a_draft_is_the_mixture(tmp_path: Path, parents: list[Path]) -> None:
    (draft,), (image,) = (run(tmp_path, Mix, images=parents, draft=draft) for draft in (True, False))
    assert np.array_equal(draft.picture, image.picture)


@pytest.mark.parametrize(
    ("values", "words"),
    [
        ({}, "nothing to mix"),
        ({"seeds": [1, 2], "layers": "6"}, "no layers 6.*0 to 5"),
        ({"seeds": [1, 2], "weights": [1, 2]}, "2 weights for 1 other"),
        ({"seeds": [1, 2], "weights": [0]}, "must not be negative"),
        ({"seeds": [1, 2, 3], "weights": [2, -1]}, "must not be negative"),
    ],
)
def test_what_cannot_be_mixed_is_refused(tmp_path: Path, values: dict[str, Any], words: str) -> None:
    with pytest.raises(api.BadInput, match=words):
        run(tmp_path, Mix, **values)


# Breed
def test_children_have_layers_of_their_parents(tmp_path: Path, parents: list[Path]) -> None:
    first, second = (read_styles(tmp_path, path) for path in parents)
    sheet, *children = run(tmp_path, Breed, images=parents, mutation=0, rows=2, columns=4)
    assert sheet.notes["seeds"] == [[7, 8, 9, 10], [11, 12, 13, 14]]
    assert len(children) == 8
    assert len({child.picture.tobytes() for child in children}) > 4
    for child in children:
        for number, layer in enumerate(styles_of(tmp_path, child)):
            assert torch.equal(layer, first[number]) or torch.equal(layer, second[number])


def test_a_child_is_the_same_alone_and_on_a_sheet(tmp_path: Path, parents: list[Path]) -> None:
    _, _, second = run(tmp_path, Breed, images=parents, rows=1, columns=2)
    (alone,) = run(tmp_path, Breed, images=parents, rows=1, columns=1, seed=8)
    assert second.notes == alone.notes | {"seed": 8}


@pytest.mark.parametrize("crossover", ["layers", "ranges", "blend"])
def test_mutation_moves_children_away_from_their_parents(tmp_path: Path, parents: list[Path], crossover: str) -> None:
    distances = []
    for mutation in (0, 0.3, 1):
        (child,) = run(tmp_path, Breed, images=parents, rows=1, columns=1, mutation=mutation, crossover=crossover)
        distances.append(styles_of(tmp_path, child))
    assert 0 < (distances[1] - distances[0]).norm() < (distances[2] - distances[0]).norm()
    (stranger,) = run(tmp_path, Dream)
    assert torch.allclose(distances[2], styles_of(tmp_path, stranger), atol=2e-3)


def test_ranges_are_each_of_one_parent() -> None:
    first, second = torch.zeros(6, 4), torch.ones(6, 4)
    for seed in range(8):
        child = crossing.cross([first, second], "ranges", torch.Generator().manual_seed(seed))
        for start in (0, 2, 4):
            assert len({*child[start : start + 2].flatten().tolist()}) == 1


def test_a_child_can_be_a_parent(tmp_path: Path, parents: list[Path]) -> None:
    (child,) = run(tmp_path, Breed, images=parents, rows=1, columns=1)
    path = save_creation(tmp_path, child)
    assert run(tmp_path, Breed, images=[path, parents[0]], rows=1, columns=1)


def test_a_single_parent_is_refused(tmp_path: Path, parents: list[Path]) -> None:
    with pytest.raises(api.BadInput, match="There is one parent, and two are needed"):
        run(tmp_path, Breed, images=parents[:1])
    with pytest.raises(api.BadInput, match="There are no parents"):
        run(tmp_path, Breed)


def test_a_generator_with_a_single_style_is_sampled_mixed_bred_and_walked(tmp_path: Path) -> None:
    torch.save(randomise(Dcgan()).state_dict(), tmp_path / "netG_epoch_24.pth")
    (model,) = testing.results(testing.run(ImportGan, file=tmp_path / "netG_epoch_24.pth"))
    assert isinstance(model, api.Trained)
    for tool, values in (
        (Dream, {"map_x": 0.5}),
        (Mix, {"seeds": [1, 2], "coarse": 0.5}),
        (Breed, {"seeds": [1, 2], "rows": 1, "columns": 2}),
        (Walk, {"stops": 2, "fps": 2, "seconds": 1}),
    ):
        assert run(tmp_path, tool, model=str(model.folder), **values)
