"""Names of trained models are unique, can be changed, and lead to the model also after they were changed."""

from __future__ import annotations

from pathlib import Path

import pytest

from studio.core.errors import BadInput
from studio.core.paths import Home
from studio.library.creation import Creation
from studio.library.library import Library
from studio.library.models import offers
from studio.library.storage import model_names, sidecar, writer
from tests.library import factories


def train(library: Library, tmp_path: Path, title: str, *, kind: str = "autoencoder") -> Creation:
    """Save a model whose weights are its number, so that no two have the same id."""
    number = len(list(model_names.list_trained(library.home)))
    folder = tmp_path / f"job-{number}"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights %d" % number)
    (folder / "README.md").write_text(f"# {title}\n\nA model called {title}.\n")
    recipe = factories.make_recipe(tool="vae.train")
    return library.add(writer.save_model(library.home, folder, recipe, title=title, kind=kind))


def test_three_trainings_of_one_title_have_three_names(library: Library, tmp_path: Path) -> None:
    models = [train(library, tmp_path, "My model", kind=kind) for kind in ("lora", "style", "language")]
    assert [model.title for model in models] == ["My model", "My model 2", "My model 3"]
    card = (Path(models[1].path) / "README.md").read_text()
    assert card == "# My model 2\n\nA model called My model.\n"


@pytest.mark.parametrize("taken", ["MY MODEL", "my  model"])
def test_names_differ_by_more_than_case_and_spaces(library: Library, tmp_path: Path, taken: str) -> None:
    train(library, tmp_path, "My model")
    assert train(library, tmp_path, taken).title.endswith(" 2")


def test_names_of_other_models_are_taken(library: Library, tmp_path: Path) -> None:
    (library.home.models / "Fox.safetensors").write_bytes(b"x")
    (library.home.models / "folder").mkdir()
    (library.home.models / "folder" / "studio.json").write_text('{"title": "Owl"}')
    assert train(library, tmp_path, "Fox").title == "Fox 2"
    assert train(library, tmp_path, "owl").title == "owl 2"
    assert train(library, tmp_path, "Ink wash").title == "Ink wash 2"  # a starter
    assert train(library, tmp_path, " \n").title == "My model"


def test_a_name_in_the_trash_is_taken(library: Library, tmp_path: Path) -> None:
    library.trash([train(library, tmp_path, "Fox").id])
    assert train(library, tmp_path, "Fox").title == "Fox 2"


def test_renaming_keeps_id_recipe_and_files(library: Library, tmp_path: Path) -> None:
    model = train(library, tmp_path, "Fox")
    renamed = library.rename(model.id, "  Red\tfox ")
    assert (renamed.title, renamed.id, renamed.path, renamed.recipe) == ("Red fox", model.id, model.path, model.recipe)
    assert writer.digest_of(Path(model.path)) == model.id
    assert [found.id for found in library.search("red")] == [model.id]
    assert library.rename(model.id, "Red fox") == renamed
    library.trash([model.id])
    library.restore([model.id])
    library.sweep()
    assert [found.title for found in library.list_models()] == ["Red fox"]


def test_a_name_leads_to_the_model_and_so_does_a_former_one(library: Library, tmp_path: Path) -> None:
    home = library.home
    model = train(library, tmp_path, "Fox")
    library.rename(model.id, "Red fox")
    for name in ("red FOX", "Fox", model.id):
        assert offers.resolve_model(home, name) == Path(model.path)
        assert offers.is_trusted(home, name)
    second = train(library, tmp_path, "Fox")
    assert second.title == "Fox"
    assert offers.resolve_model(home, "Fox") == Path(second.path)
    assert sidecar.read(Path(model.path)).former_titles == ("Fox",)
    library.rename(model.id, "Owl")
    assert sidecar.read(Path(model.path)).former_titles == ("Fox", "Red fox")


@pytest.mark.parametrize("name", ["", " \t", "x" * 121, "Other", "oTHER"])
def test_a_name_that_cannot_be_used_changes_nothing(library: Library, tmp_path: Path, name: str) -> None:
    model = train(library, tmp_path, "Fox")
    train(library, tmp_path, "Other")
    with pytest.raises(BadInput):
        library.rename(model.id, name)
    assert library.list_models()[-1].title == "Fox"
    assert not sidecar.sidecar_path(Path(model.path)).exists()


def test_a_name_of_another_case_is_no_other_model(library: Library, tmp_path: Path) -> None:
    model = train(library, tmp_path, "fox")
    assert library.rename(model.id, "Fox").title == "Fox"


def test_only_models_are_renamed(library: Library) -> None:
    image = library.add(writer.save_image(library.home, factories.make_picture(), factories.make_recipe()))
    with pytest.raises(BadInput, match="Only models"):
        library.rename(image.id, "Fox")


def test_a_damaged_sidecar_costs_the_new_name_only(home: Home, library: Library, tmp_path: Path) -> None:
    model = train(library, tmp_path, "Fox")
    sidecar.sidecar_path(Path(model.path)).write_text('{"title": 7, "former_titles": "x"}')
    library.sweep()
    assert library.list_models()[0].title == "Fox"
    assert model_names.find(home, "fox") == [Path(model.path)]
