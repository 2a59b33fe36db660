"""Models that are dropped on the window are imported and shown."""

from __future__ import annotations

from pathlib import Path

from pytestqt.qtbot import QtBot

from studio.core.recipe import PluginRef, Recipe
from studio.library.storage import writer
from studio.state.session import Session


def export_model(session: Session, folder: Path, to: Path) -> Path:
    """Train and export a model, and delete it from the library."""
    folder.mkdir()
    (folder / "model.safetensors").write_text(folder.name)
    recipe = Recipe(tool="style.train", plugin=PluginRef("style"))
    saved = writer.save_model(session.home, folder, recipe, title="Fox", kind="style")
    model = session.library.add(saved)
    exported = session.library.export(model.id, to)
    session.library.trash([model.id])
    session.library.empty_trash()
    return exported


def test_an_archive_and_a_folder_are_imported(qtbot: QtBot, session: Session, tmp_path: Path) -> None:
    for number, name in enumerate(("fox.zip", "fox")):
        exported = export_model(session, tmp_path / f"job-{number}", tmp_path / name)
        with qtbot.waitSignals([session.show, session.models_changed]):
            session.settings_offers.open_files([exported])
    assert sorted(model.title for model in session.library.list_models()) == ["Fox", "Fox 2"]


def test_what_is_no_model_is_said(qtbot: QtBot, session: Session, tmp_path: Path) -> None:
    (tmp_path / "empty").mkdir()
    session.settings_offers.open_files([tmp_path / "empty"])
    qtbot.waitUntil(lambda: len(session.notices.items) > 0)
    assert "empty holds no model of the studio" in session.notices.items[0].text
