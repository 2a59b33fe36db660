"""Directions: found, taught, named, imported, and steered along."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from plugins import gan_art
from plugins.gan_art.editing import direction_file, directions
from plugins.gan_art.models.gan_model import load_gan
from plugins.gan_art.models.image_features import load_extractor
from plugins.gan_art.tools.dream import Dream
from plugins.gan_art.tools.find_directions import FindDirections
from plugins.gan_art.tools.name_directions import NameDirections
from plugins.gan_art.tools.steer import Steer
from plugins.gan_art.tools.teach_direction import TeachDirection
from studio import api, testing
from tests.plugins.gan_art.fixtures.tiny_gan import make_context, save_creation


def run(tool: type[api.Tool], folder: Path, *, seed: int = 7, **values: Any) -> list[Any]:
    ctx = make_context(folder, seed=seed)
    return testing.results(testing.run(tool, ctx, **{"model": "tiny", **values}))


@pytest.fixture(autouse=True)
def few(monkeypatch: pytest.MonkeyPatch) -> None:
    """Measures on few images."""
    monkeypatch.setattr(directions, "MEASURED", 3)
    monkeypatch.setattr(directions, "LENGTHS", (0.5, 2.0))


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> api.Trained:
    """Returns three directions of a random GAN."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(directions, "MEASURED", 3)
        patch.setattr(directions, "LENGTHS", (0.5, 2.0))
        patch.setattr("plugins.gan_art.tools.find_directions.CANDIDATES", 3)
        home = tmp_path_factory.mktemp("found")
        (trained,) = run(FindDirections, home, keep=3, layers="all", names=["ripe", "", "cut"], title="Mine")
    result: api.Trained = trained
    return result


def test_directions_are_found_ranked_named_and_described(found: api.Trained, tmp_path: Path) -> None:
    assert (found.kind, found.title) == ("gan-directions", "Mine")
    facts = found.notes["directions"]
    assert [facts[0]["name"], facts[2]["name"]] == ["ripe", "cut"]
    scores = [fact["effect"] * (1 - fact["side_effects"]) for fact in facts]
    assert scores == sorted(scores, reverse=True)
    assert all(0 <= fact["side_effects"] <= 1 for fact in facts)
    assert "| ripe |" in (found.folder / "README.md").read_text("utf-8")
    assert direction_file.read_names(found.folder / direction_file.FILE)[0] == "ripe"


def test_a_direction_stays_in_its_layers(tmp_path: Path) -> None:
    model = load_gan(make_context(tmp_path), "tiny")
    for name, expected in (("coarse", [0, 1]), ("middle", [2, 3]), ("fine", [4, 5]), ("all", [*range(6)])):
        for method in ("sefa", "pca"):
            (values,) = directions.find_candidates(model, method, name, 1, 0)  # type: ignore[arg-type]
            assert [number for number, row in enumerate(values) if row.any()] == expected
            assert torch.allclose(values[expected].norm(dim=1), torch.ones(len(expected)), atol=1e-5)


def test_sefa_finds_the_direction_that_moves_the_layers_most(tmp_path: Path) -> None:
    model = load_gan(make_context(tmp_path), "tiny")
    generator: Any = model.generator
    weights = generator.list_style_weights()
    assert len(weights) == generator.layer_count
    strong = torch.zeros(8)
    strong[3] = 1.0
    with torch.no_grad():
        for weight in weights:
            weight.copy_(0.01 * weight + 5 * strong)
    (values,) = directions.find_candidates(model, "sefa", "all", 1, 0)
    assert abs(float(values[0] @ strong)) > 0.99


def test_a_direction_without_an_effect_is_measured_as_such(tmp_path: Path) -> None:
    ctx = make_context(tmp_path)
    model = load_gan(ctx, "tiny")
    generator: Any = model.generator
    with torch.no_grad():
        for layer in [*(one for block in generator.synthesis.list_blocks() for one in block.list_layers())]:
            layer.affine.weight[:, 0] = 0
        for block in generator.synthesis.list_blocks():
            block.torgb.affine.weight[:, 0] = 0
    meter = directions.DirectionMeter(model, load_extractor(ctx), 1)
    idle, other = torch.zeros(2, 6, 8)
    idle[:, 0], other[:, 1] = 1.0, 1.0
    assert meter.measure("idle", idle).effect < 1e-3
    assert meter.measure("other", other).effect > 0.1


def test_steering_moves_the_image_and_back(found: api.Trained, tmp_path: Path) -> None:
    choice = str(found.folder)
    plain, same, ripe, named = (
        run(Steer, tmp_path / "home", directions=choice, **values)[0]
        for values in ({}, {"amount_2": 0.0}, {"amount_1": 1.0}, {"amounts": ["Ripe=1"]})
    )
    assert np.array_equal(plain.picture, same.picture)
    assert not np.array_equal(plain.picture, ripe.picture)
    assert np.array_equal(ripe.picture, named.picture)
    path = save_creation(tmp_path / "results", ripe)
    (back,) = run(Steer, tmp_path / "home", directions=choice, image=path, amount_1=-1.0)
    difference = np.abs(back.picture.astype(int) - plain.picture.astype(int))
    assert difference.max() <= 2


def test_the_names_stand_beside_the_sliders(found: api.Trained, tmp_path: Path) -> None:
    ctx = make_context(tmp_path / "home")
    estimate = testing.estimate(Steer, ctx, model="tiny", directions=str(found.folder))
    assert estimate
    assert (estimate.notes["amount_1"], estimate.notes["amount_4"]) == ("ripe", "–")


@pytest.mark.parametrize(
    ("values", "message"),
    [({"amount_8": 1.0}, "only 3 directions"), ({"amounts": ["colour=1"]}, "colour"), ({"amounts": ["ripe"]}, "ripe")],
)
def test_unknown_directions_are_refused(
    values: dict[str, Any], message: str, found: api.Trained, tmp_path: Path
) -> None:
    with pytest.raises(api.BadInput, match=message):
        run(Steer, tmp_path / "home", directions=str(found.folder), **values)


def test_a_gan_without_directions_says_how_to_get_some(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="no directions yet") as error:
        run(Steer, tmp_path)
    assert "Find directions" in error.value.hint


def test_a_gan_chosen_as_a_set_of_directions_is_refused(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="tiny holds no directions"):
        run(Steer, tmp_path, directions="tiny", amount_1=1.0)


def test_a_direction_is_taught_by_liked_and_disliked_images(found: api.Trained, tmp_path: Path) -> None:
    home = tmp_path / "home"
    made = {seed: run(Dream, home, seed=seed)[0] for seed in range(8)}
    paths = {seed: save_creation(tmp_path / "results", image, str(seed)) for seed, image in made.items()}
    bright = sorted(paths, key=lambda seed: float(made[seed].picture.mean()))
    (taught,) = run(
        TeachDirection,
        home,
        liked=[paths[seed] for seed in bright[4:]],
        disliked=[paths[seed] for seed in bright[:4]],
        name="bright",
        directions=str(found.folder),
    )
    assert [fact["name"] for fact in taught.notes["directions"]][-1] == "bright"
    choice = str(taught.folder)
    dark, light = (
        run(Steer, home, directions=choice, amounts=[f"bright={amount}"])[0].picture.mean() for amount in (-1, 1)
    )
    assert light > dark
    with pytest.raises(api.BadInput, match="the same"):
        run(TeachDirection, home, liked=[paths[0]], disliked=[paths[0]])


def test_directions_are_renamed_joined_and_left_out(found: api.Trained, tmp_path: Path) -> None:
    choices = [str(found.folder), str(found.folder)]
    (named,) = run(NameDirections, tmp_path / "home", directions=choices, names=["", "round", "-", "-", "-", "x"])
    assert [fact["name"] for fact in named.notes["directions"]] == ["ripe", "round", "x"]
    with pytest.raises(api.BadInput, match="No direction is left"):
        run(NameDirections, tmp_path / "home", directions=choices[:1], names=["-"] * 3)


def test_directions_of_other_programs_are_read(tmp_path: Path) -> None:
    np.savez(tmp_path / "space.npz", lat_comp=np.ones((4, 1, 8), np.float32), lat_stdev=np.ones(4, np.float32))
    np.save(tmp_path / "age.npy", np.ones((1, 8), np.float32))
    choices = [str(tmp_path / "space.npz"), str(tmp_path / "age.npy")]
    (named,) = run(NameDirections, tmp_path / "home", directions=choices)
    assert [fact["name"] for fact in named.notes["directions"]] == [*(f"space {n}" for n in range(1, 5)), "age 1"]


@pytest.mark.parametrize(
    ("name", "values"),
    [("wide.npy", np.ones((1, 9), np.float32)), ("nan.npy", np.full((1, 8), np.nan)), ("object.npy", np.array([{}]))],
)
def test_files_that_do_not_fit_are_refused(name: str, values: Any, tmp_path: Path) -> None:
    np.save(tmp_path / name, values, allow_pickle=True)
    with pytest.raises(api.BadInput, match=name):
        run(NameDirections, tmp_path / "home", directions=[str(tmp_path / name)])


def test_all_tools_of_the_plugin_conform() -> None:
    testing.check_plugin(gan_art.studio_tools())


def make_direction(name: str, layer: int, place: int, change: int) -> directions.Direction:
    values = torch.zeros(3, 4)
    values[layer, place] = 1.0
    return directions.Direction(name, values, change=torch.eye(8)[change])


def test_directions_that_do_the_same_are_kept_once_and_each_range_has_its_share() -> None:
    ranked = [
        make_direction("light", 2, 0, 0),
        make_direction("light again", 2, 1, 0),
        make_direction("red", 2, 2, 1),
        make_direction("green", 2, 3, 2),
        make_direction("round", 0, 0, 3),
    ]
    names = [[one.name for one in directions.keep_different(ranked, count)] for count in (2, 3, 5)]
    assert names == [["light", "round"], ["light", "red", "round"], ["light", "red", "green", "round"]]


def test_directions_of_one_name_are_numbered() -> None:
    made = [make_direction(name, 0, 0, 0) for name in ("Fine", "Coarse", "Fine")]
    assert [one.name for one in directions.number_names(made)] == ["Fine 1", "Coarse", "Fine 2"]
