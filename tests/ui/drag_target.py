"""A window in its own process, which reports the positions and values of its widgets on standard output."""

from __future__ import annotations

import json
import sys
from pathlib import Path

from PySide6.QtCore import QPoint, QRect, QTimer
from PySide6.QtWidgets import QApplication, QWidget

from studio.core.descriptor import PluginDescriptor
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.library.library import Library
from studio.state.session import Session
from studio.ui.form.list_field import PicturesEditor
from studio.ui.form.model_tiles import ModelTilesEditor
from studio.ui.theme import theme
from studio.ui.window.window import Window
from tests.fixtures.engine import PAINT, FakeEngine, make_catalogue

PLUGIN = PluginDescriptor(name="paint", title="Paint", source="bundled", tools=(PAINT,))

SETTLED = 6
"""Number of reports with equal positions after which the layout counts as settled."""


def main(home: Path, tool: str) -> None:
    app = QApplication([])
    theme.apply(app)
    session = Session(Home(home), engine := FakeEngine(make_catalogue(PLUGIN)), Library(Home(home)), Settings())
    session.begin()
    window = Window(session)
    session.workspace.choose(tool)
    window.painted.connect(session.start)
    reports: list[dict[str, object]] = []
    places: list[object] = []

    def report() -> None:
        assert window.tool_panel.form is not None
        form = window.tool_panel.form
        pictures = form.editor("images")
        assert isinstance(pictures, PicturesEditor)
        styles = form.editor("style") if tool == PAINT.id else None
        tiles = styles.tiles if isinstance(styles, ModelTilesEditor) else []
        places.append((place(pictures.list), place(window.canvas), [place(tile) for tile in tiles]))
        settled = len(places) >= SETTLED and all(item == places[-1] for item in places[-SETTLED:])
        shown = window.canvas.image_view.isVisible()
        state: dict[str, object] = {
            "pictures": place(pictures.list),
            "canvas": place(window.canvas),
            "tiles": {tile.model: place(tile) for tile in tiles},
            "made": [(job.recipe.params["style"], sorted(job.recipe.inputs)) for job in engine.jobs()],
            "ready": session._library_open and window.isActiveWindow() and settled,
            "welcomes": any(bool(widget.property("hovered")) for widget in (pictures.list, *tiles))
            or window.canvas._drop_outline.isVisible(),
            "held": pictures.value(),
            "rows": [pictures.list.item(row).text() for row in range(pictures.list.count())],
            "shown": [window.canvas.image_view.picture.size.toTuple()]
            if shown and window.canvas.image_view.picture
            else [],
        }
        if reports[-1:] != [state]:
            reports.append(state)
            print(json.dumps(state), flush=True)  # noqa: T201

    timer = QTimer(interval=50)
    timer.timeout.connect(report)
    timer.start()
    window.show()
    app.exec()


def place(widget: QWidget) -> tuple[int, int]:
    """Return the centre of a widget in screen pixels."""
    middle = widget.mapToGlobal(QRect(QPoint(), widget.size()).center())
    return middle.x(), middle.y()


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
