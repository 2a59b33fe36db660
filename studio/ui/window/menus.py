"""What stands in the menus and the palette."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from PySide6.QtGui import QAction, QGuiApplication
from PySide6.QtWidgets import QFileDialog

from studio.core.descriptor import ToolDescriptor
from studio.core.humanize import describe_device
from studio.ui.widgets import mime_data
from studio.ui.widgets.file_manager import open_folder
from studio.ui.window.commands import Entry

if TYPE_CHECKING:
    from studio.ui.page import PageView
    from studio.ui.window.window import Window


def fill_menus(window: Window) -> None:
    commands, session = window.commands, window.session
    _file(window)
    _edit(window)

    for action in window.canvas.commands.all:
        commands.take("View", action)
    commands.separate("View")
    commands.add("View", "Dark theme", lambda: window.set_theme("dark"))
    commands.add("View", "Light theme", lambda: window.set_theme("light"))
    commands.separate("View")
    commands.add("View", "Next variation", lambda: window.middle.step(1), "Alt+Right")
    commands.add("View", "Previous variation", lambda: window.middle.step(-1), "Alt+Left")
    commands.add("View", "Keep variation", session.variations.keep, "Alt+Return")
    commands.add("View", "Discard variation", window.strip.discard_chosen, "Alt+Backspace")

    _page(window)

    commands.add("Queue", "Generate", session.making.generate, "Ctrl+Return", "Ctrl+Enter")
    commands.add("Queue", "Cancel", session.cancel_running, "Shift+X")
    commands.separate("Queue")
    commands.add("Queue", "Show queue", window.open_queue, "Ctrl+J")
    commands.add("Queue", "Hold or go on", lambda: session.engine.hold(not session.engine.held))
    commands.add("Queue", "Cancel all", lambda: session.revocable.cancel(session.queue.jobs()))
    commands.add("Queue", "Clear finished", lambda: session.revocable.forget(session.queue.jobs()))
    commands.separate("Queue")
    commands.add("Queue", "Free memory", session.engine.free_memory)

    commands.add("Plugins", "Plugins…", window.open_plugins, "Ctrl+Shift+P")
    commands.add("Plugins", "Load plugins again", session.reload_plugins)
    commands.add("Plugins", "Open plugin folder", lambda: open_folder(session.home.plugins))

    commands.add("Help", "Search commands…", window.open_palette, "Ctrl+K")
    commands.add("Help", "Open log folder", lambda: open_folder(session.home.logs))
    commands.add("Help", "About the studio", lambda: session.notices.info(about(window)))

    commands.fill(window.top.menu_bar)
    commands.more.append(lambda: _tools(window))


def about(window: Window) -> str:
    from studio import __version__

    device = window.session.activity.device
    on = f" It runs on {describe_device(device)}." if device and device.kind else ""
    return f"Studio {__version__}. Everything is made and kept on this machine, in {window.session.home.root}.{on}"


def paste(window: Window) -> None:
    """A picture in the clipboard is opened; where a field has the focus, the field takes it."""
    data = QGuiApplication.clipboard().mimeData()
    if files := mime_data.files(data):
        window.session.making.adopt(files)
    elif (image := mime_data.image(data)) is not None:
        window.session.making.adopt_picture(image)
    else:
        window.session.notices.info("There is no picture in the clipboard.")


def _file(window: Window) -> None:
    commands, session = window.commands, window.session

    def browse() -> None:
        paths, _ = QFileDialog.getOpenFileNames(window, "Open", "", mime_data.pattern(mime_data.PICTURES, "Pictures"))
        if paths:
            session.making.adopt([Path(path) for path in paths])

    commands.add("File", "Open…", browse, "Ctrl+O")
    commands.add("File", "Open library folder", lambda: open_folder(session.home.library))
    commands.add("File", "Open model folder", lambda: open_folder(session.home.models))
    commands.separate("File")
    commands.add("File", "Quit", window.close, "Ctrl+Q")


def _edit(window: Window) -> None:
    commands, session = window.commands, window.session
    undo = commands.add("Edit", "Undo", session.undo.undo, "Ctrl+Z")
    redo = commands.add("Edit", "Redo", session.undo.redo, "Ctrl+Shift+Z", "Ctrl+Y")

    def show() -> None:
        undo.setEnabled(session.undo.canUndo())
        redo.setEnabled(session.undo.canRedo())
        undo.setText(f"Undo {session.undo.undoText()}".strip())
        redo.setText(f"Redo {session.undo.redoText()}".strip())

    session.undo.indexChanged.connect(lambda _: show())
    session.undo.canUndoChanged.connect(lambda _: show())
    show()
    commands.separate("Edit")
    for action in window.canvas.mask_actions.all:
        commands.take("Edit", action)
    commands.separate("Edit")
    commands.add("Edit", "Paste", lambda: paste(window), "Ctrl+V")
    commands.add("Edit", "Clear the form", session.revocable.clear_form, "Ctrl+Shift+Backspace")
    commands.separate("Edit")
    settings = commands.add("Edit", "Settings…", window.open_settings, "Ctrl+,")
    settings.setMenuRole(QAction.MenuRole.PreferencesRole)


def _page(window: Window) -> None:
    commands, middle, page = window.commands, window.middle, window.session.page

    def begin() -> None:
        page.new_page()
        middle.open_page()

    def shown(act: Callable[[PageView], object]) -> Callable[[], object]:
        """On the page, which is shown for it."""

        def run() -> None:
            middle.show_page()
            act(middle.page_view)

        return run

    commands.add("Page", "Show the page", middle.open_page, "Ctrl+Shift+W")
    commands.add("Page", "New page", begin, "Ctrl+Shift+N")
    commands.add("Page", "Save the page as…", lambda: middle.page_view.save(), "Ctrl+Shift+E")
    commands.separate("Page")
    beside = shown(lambda view: view.toggle_side_by_side())
    middle.page_actions += (
        commands.add("Page", "Alternatives side by side", beside, "Alt+S"),
        commands.add("Page", "Rewrite", lambda: middle.page_view.rewrite(), "Alt+R"),
        commands.add("Page", "Find a word", lambda: middle.page_view.find_word(), "Alt+W"),
        commands.add("Page", "Other words here", lambda: middle.page_view.other_words_here(), "Alt+A"),
        commands.add("Page", "Paint this", lambda: middle.page_view.paint_this(), "Alt+I"),
    )
    commands.add("Page", "Repaint with the same seed", lambda: middle.page_view.repaint_near(), "Alt+P")
    commands.separate("Page")
    commands.add("Page", "Find and replace", shown(lambda view: view.toggle_find()), "Ctrl+F")
    commands.add("Page", "Versions", shown(lambda view: view.toggle_versions()), "Ctrl+Shift+V")
    commands.add("Page", "Regenerate", lambda: middle.page_view.regenerate(), "Ctrl+Shift+Return")


def _tools(window: Window) -> list[Entry]:
    """One entry for each tool."""
    workspace = window.session.workspace
    return [
        Entry(_whole_title(window, tool), "", partial(workspace.choose, id))
        for id, tool in workspace.catalogue.tools.items()
    ]


def _whole_title(window: Window, tool: ToolDescriptor) -> str:
    """With its plugin's, unless they are the same."""
    plugin = _plugin_title(window, tool.plugin)
    return tool.title if plugin == tool.title else f"{plugin}: {tool.title}"


def _plugin_title(window: Window, name: str) -> str:
    plugins = window.session.workspace.catalogue.plugins
    return next((plugin.title or plugin.name for plugin in plugins if plugin.name == name), name)
