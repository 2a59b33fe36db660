"""Models are listed to choose from, and a choice resolves to a path."""

from __future__ import annotations

from pathlib import Path

import msgspec
import pytest

from studio.core.paths import Home
from studio.library.creation import Creation
from studio.library.library import Library
from studio.library.models import offers as models
from studio.library.storage import writer
from tests.library import factories


@pytest.fixture
def trained_model(library: Library, tmp_path: Path) -> Creation:
    folder = tmp_path / "job"
    folder.mkdir()
    (folder / "model.safetensors").write_bytes(b"weights")
    (folder / "studio.json").write_text('{"licence": "CC0"}')
    return library.add(
        writer.save_model(
            library.home, folder, factories.make_recipe(tool="vae.train"), title="Mine", kind="autoencoder"
        )
    )


def create_model_folder(home: Home, name: str, **about: str) -> Path:
    folder = home.models / name
    folder.mkdir()
    if about:
        (folder / "studio.json").write_bytes(msgspec.json.encode(about))
    return folder


def test_offers_have_title_kind_and_source(home: Home, library: Library, trained_model: Creation) -> None:
    create_model_folder(home, "gan", kind="gan", title="A GAN")
    mine = create_model_folder(home, "vae", kind="autoencoder", title="A VAE", licence="MIT")
    unknown = create_model_folder(home, "whatever")
    (home.models / "single.safetensors").write_bytes(b"x")
    (home.models / "readme.txt").write_text("x")
    (home.models / "broken").mkdir()
    (home.models / "broken" / "studio.json").write_text("{")
    found = models.list_offers(home, library, "autoencoder")
    starters = [offer for offer in found if offer.source is models.ModelSource.STARTER]
    assert found[: len(starters)] == starters
    assert all(offer.kind == "autoencoder" for offer in starters)
    rest = [(offer.name, offer.title, offer.licence, offer.source.value) for offer in found[len(starters) :]]
    assert rest == [
        (trained_model.id, "Mine", "CC0", "trained"),
        ("broken", "broken", "", "folder"),
        ("single.safetensors", "single", "", "folder"),
        (mine.name, "A VAE", "MIT", "folder"),
        (unknown.name, "whatever", "", "folder"),
    ]
    gan_offers = models.list_offers(home, None, "gan")
    names = [offer.name for offer in gan_offers if offer.source is models.ModelSource.FOLDER]
    assert names == ["broken", "gan", "single.safetensors", "whatever"]


def test_a_choice_resolves_to_a_path(home: Home, library: Library, trained_model: Creation, tmp_path: Path) -> None:
    mine = create_model_folder(home, "vae")
    assert models.resolve_model(home, "vae") == mine
    assert models.resolve_model(home, str(mine)) == mine
    assert models.resolve_model(home, trained_model.id) == Path(trained_model.path)
    assert models.resolve_model(home, trained_model.id[:10]) == Path(trained_model.path)
    library.trash([trained_model.id])
    assert models.resolve_model(home, trained_model.id) == home.trash / Path(trained_model.path).relative_to(
        home.library
    )
    for nothing in ("", "none", "someone/on-the-hub", "0" * 64, "../models/none", "a\0b", ".", ".."):
        found = models.resolve_model(home, nothing)
        assert found is None or nothing in (".", "..")


def test_a_starter_has_a_short_name(home: Home) -> None:
    short, full = "spatial", models.starters_folder() / "vae-spatial"
    assert models.expand_name(home, short) == "vae-spatial"
    assert models.resolve_model(home, short) == models.resolve_model(home, "vae-spatial") == full
    assert models.expand_name(home, "vae-spatial") == "vae-spatial"
    assert models.expand_name(home, "/a/path") == "/a/path"
    mine = create_model_folder(home, short)
    assert models.expand_name(home, short) == short
    assert models.resolve_model(home, short) == mine


def test_an_offer_has_its_tile_image(home: Home) -> None:
    mine = create_model_folder(home, "ink", kind="style")
    (mine / "preview.webp").write_bytes(b"picture")
    create_model_folder(home, "mist", kind="style")
    found = {offer.name: offer.picture for offer in models.list_offers(home, None, "style")}
    assert (found["ink"], found["mist"]) == (str(mine / "preview.webp"), "")


def test_every_starter_is_offered_and_found(home: Home) -> None:
    for folder in models.starters_folder().iterdir() if models.starters_folder().is_dir() else ():
        if (folder / "studio.json").is_file():
            about = msgspec.json.decode((folder / "studio.json").read_bytes())
            offers = models.list_offers(home, None, about["kind"])
            assert folder.name in [offer.name for offer in offers]
            assert models.resolve_model(home, folder.name) == folder
