"""The commands of the menus and the command palette."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING

from PySide6.QtGui import QAction, QGuiApplication

from studio import __version__
from studio.core.descriptor import ToolDescriptor
from studio.core.humanize import describe_device
from studio.state.form.workspace import Workspace
from studio.state.session import Session
from studio.ui.widgets import mime_data
from studio.ui.widgets.file_manager import open_folder
from studio.ui.window.central_stack import CentralStack
from studio.ui.window.commands import Commands, PaletteEntry

if TYPE_CHECKING:
    from studio.ui.page import PageView


@dataclass(frozen=True)
class WindowActions:
    """Actions of the window's widgets, and functions of the window, that the menus call."""

    canvas: Sequence[QAction]
    mask: Sequence[QAction]
    open_files: Callable[[], None]
    open_palette: Callable[[], None]
    open_queue: Callable[[], None]
    open_training: Callable[[], None]
    open_plugins: Callable[[], None]
    open_settings: Callable[[], None]
    set_theme: Callable[[str], None]
    discard_variation: Callable[[], None]
    close: Callable[[], object]


def add_commands(commands: Commands, session: Session, central: CentralStack, actions: WindowActions) -> None:
    """Add every command, menu by menu, and one palette entry for each tool."""
    _add_file_menu(commands, session, actions)
    _add_edit_menu(commands, session, actions)
    _add_view_menu(commands, session, central, actions)
    _add_page_menu(commands, session, central)
    _add_queue_menu(commands, session, actions)
    _add_plugins_menu(commands, session, actions)
    _add_help_menu(commands, session, actions)
    commands.more.append(lambda: _list_tools(session.workspace))


def describe_studio(session: Session) -> str:
    device = session.worker_status.device
    sentences = [
        f"Studio {__version__}.",
        f"Everything is generated and stored on this computer, in {session.home.root}.",
    ]
    if device and device.kind:
        sentences.append(f"It runs on {describe_device(device)}.")
    return " ".join(sentences)


def paste(session: Session) -> None:
    """Open the picture in the clipboard. A field that has the focus takes it before this is called."""
    data = QGuiApplication.clipboard().mimeData()
    if files := mime_data.list_files(data):
        session.settings_offers.open_files(files)
    elif (image := mime_data.read_image(data)) is not None:
        session.importer.import_image(image)
    else:
        session.notices.info("There is no image in the clipboard.")


def _add_file_menu(commands: Commands, session: Session, actions: WindowActions) -> None:
    commands.add("File", "Open…", actions.open_files, "Ctrl+O")
    commands.add("File", "Open library folder", lambda: open_folder(session.home.library))
    commands.add("File", "Open model folder", lambda: open_folder(session.home.models))
    commands.add_separator("File")
    commands.add("File", "Quit", actions.close, "Ctrl+Q")


def _add_edit_menu(commands: Commands, session: Session, actions: WindowActions) -> None:
    undo = commands.add("Edit", "Undo", session.undo.undo, "Ctrl+Z")
    redo = commands.add("Edit", "Redo", session.undo.redo, "Ctrl+Shift+Z", "Ctrl+Y")

    def show_steps() -> None:
        undo.setEnabled(session.undo.canUndo())
        redo.setEnabled(session.undo.canRedo())
        undo.setText(f"Undo {session.undo.undoText()}".strip())
        redo.setText(f"Redo {session.undo.redoText()}".strip())

    session.undo.indexChanged.connect(lambda _: show_steps())
    session.undo.canUndoChanged.connect(lambda _: show_steps())
    show_steps()
    commands.add_separator("Edit")
    for action in actions.mask:
        commands.add_action("Edit", action)
    commands.add_separator("Edit")
    commands.add("Edit", "Paste", lambda: paste(session), "Ctrl+V")
    commands.add("Edit", "Reset form", session.undoable.clear_form, "Ctrl+Shift+Backspace")
    commands.add_separator("Edit")
    settings = commands.add("Edit", "Settings…", actions.open_settings, "Ctrl+,")
    settings.setMenuRole(QAction.MenuRole.PreferencesRole)


def _add_view_menu(commands: Commands, session: Session, central: CentralStack, actions: WindowActions) -> None:
    for action in actions.canvas:
        commands.add_action("View", action)
    commands.add_separator("View")
    commands.add("View", "Dark theme", lambda: actions.set_theme("dark"))
    commands.add("View", "Light theme", lambda: actions.set_theme("light"))
    commands.add_separator("View")
    commands.add("View", "Next variation", lambda: central.step(1), "Alt+Right")
    commands.add("View", "Previous variation", lambda: central.step(-1), "Alt+Left")
    commands.add("View", "Keep variation", session.variations.keep, "Alt+Return")
    commands.add("View", "Discard variation", actions.discard_variation, "Alt+Backspace")


def _add_page_menu(commands: Commands, session: Session, central: CentralStack) -> None:
    def begin_page() -> None:
        session.page.new_page()
        central.open_page()

    def on_page(act: Callable[[PageView], object]) -> Callable[[], None]:
        """Return a function that shows the page and then acts on it."""

        def run() -> None:
            central.show_page()
            act(central.page_view)

        return run

    commands.add("Page", "Show page", central.open_page, "Ctrl+Shift+W")
    commands.add("Page", "New page", begin_page, "Ctrl+Shift+N")
    commands.add("Page", "Export page…", lambda: central.page_view.export(), "Ctrl+Shift+E")
    commands.add_separator("Page")
    side_by_side = on_page(lambda view: view.toggle_side_by_side())
    central.page_actions += (
        commands.add("Page", "Alternatives side by side", side_by_side, "Alt+S"),
        commands.add("Page", "Rewrite", lambda: central.page_view.rewrite(), "Alt+R"),
        commands.add("Page", "Find a word", lambda: central.page_view.find_word(), "Alt+W"),
        commands.add("Page", "Word alternatives", lambda: central.page_view.show_word_alternatives(), "Alt+A"),
        commands.add("Page", "Illustrate", lambda: central.page_view.paint_this(), "Alt+I"),
    )
    commands.add("Page", "Update illustration", lambda: central.page_view.repaint_nearest(), "Alt+P")
    commands.add_separator("Page")
    commands.add("Page", "Find and replace", on_page(lambda view: view.toggle_find()), "Ctrl+F")
    commands.add("Page", "Versions", on_page(lambda view: view.toggle_versions()), "Ctrl+Shift+V")
    commands.add("Page", "Regenerate", lambda: central.page_view.regenerate(), "Ctrl+Shift+Return")


def _add_queue_menu(commands: Commands, session: Session, actions: WindowActions) -> None:
    commands.add("Queue", "Generate", session.generation.generate, "Ctrl+Return", "Ctrl+Enter")
    commands.add("Queue", "Cancel", session.cancel_running, "Shift+X")
    commands.add_separator("Queue")
    commands.add("Queue", "Show queue", actions.open_queue, "Ctrl+J")
    commands.add("Queue", "Show training", lambda: actions.open_training(), "Ctrl+Shift+J")
    commands.add("Queue", "Pause queue", lambda: session.controls.set_queue_paused(True))
    commands.add("Queue", "Resume queue", lambda: session.controls.set_queue_paused(False))
    commands.add("Queue", "Cancel all", lambda: session.cancel(session.queue.jobs()))
    commands.add("Queue", "Clear finished", lambda: session.undoable.forget(session.queue.jobs()))
    commands.add_separator("Queue")
    commands.add("Queue", "Free memory", session.engine.free_memory)


def _add_plugins_menu(commands: Commands, session: Session, actions: WindowActions) -> None:
    commands.add("Plugins", "Plugins…", actions.open_plugins, "Ctrl+Shift+P")
    commands.add("Plugins", "Reload plugins", session.reload_plugins)
    commands.add("Plugins", "Open plugin folder", lambda: open_folder(session.home.plugins))


def _add_help_menu(commands: Commands, session: Session, actions: WindowActions) -> None:
    commands.add("Help", "Search commands…", actions.open_palette, "Ctrl+K")
    commands.add("Help", "Open log folder", lambda: open_folder(session.home.logs))
    commands.add("Help", "About Studio", lambda: session.notices.info(describe_studio(session)))


def _list_tools(workspace: Workspace) -> list[PaletteEntry]:
    return [
        PaletteEntry(_title_with_plugin(workspace, tool), "", partial(workspace.choose, id))
        for id, tool in workspace.catalogue.tools.items()
    ]


def _title_with_plugin(workspace: Workspace, tool: ToolDescriptor) -> str:
    """Return "Plugin: Tool", or one title where both are the same."""
    plugins = workspace.catalogue.plugins
    plugin = next((plugin.title or plugin.name for plugin in plugins if plugin.name == tool.plugin), tool.plugin)
    return tool.title if plugin == tool.title else f"{plugin}: {tool.title}"
