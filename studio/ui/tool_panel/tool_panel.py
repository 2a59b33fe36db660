"""The tool panel: title, form, options and Generate."""

from __future__ import annotations

from PySide6.QtCore import Qt, Signal
from PySide6.QtWidgets import QHBoxLayout, QPushButton, QScrollArea, QVBoxLayout, QWidget

from studio.core.descriptor import PluginDescriptor, ToolDescriptor
from studio.core.job import Lane
from studio.core.settings import Settings
from studio.state.form.workspace import Workspace
from studio.state.jobs.estimates import Estimates
from studio.state.jobs.generation import Generation
from studio.state.jobs.worker_status import WorkerStatus
from studio.ui.form.base import FormServices
from studio.ui.form.choice_field import MAX_SEGMENT_LETTERS, MAX_SEGMENTS, Combo
from studio.ui.form.form import Form
from studio.ui.tool_panel.estimate_line import EstimateLine
from studio.ui.tool_panel.job_options import JobOptions
from studio.ui.tool_panel.licence_notice import LicenceNotice
from studio.ui.widgets import labels
from studio.ui.widgets.flow_layout import FlowLayout

MARGIN = 16
VERBS = {"model": "Create", "text": "Write"}


def choose_verb(tool: ToolDescriptor | None) -> str:
    """Return the word on the button that starts a tool."""
    if tool is None:
        return "Generate"
    is_training = tool.output == "model" and tool.lane == Lane.TRAINING.value
    return "Train" if is_training else VERBS.get(tool.output, "Generate")


class GenerateButton(QPushButton):
    """The primary button, with its key."""

    def __init__(self) -> None:
        super().__init__()
        self.setProperty("role", "primary")
        self.setCursor(Qt.CursorShape.PointingHandCursor)
        self._verb = labels.make_label("Generate", "verb")
        self._key = labels.make_label("Ctrl ⏎", "key")
        row = QHBoxLayout(self)
        row.setContentsMargins(0, 0, 0, 0)
        row.setSpacing(10)
        row.addStretch(1)
        for part in (self._verb, self._key):
            part.setAttribute(Qt.WidgetAttribute.WA_TransparentForMouseEvents)
            row.addWidget(part)
        row.addStretch(1)
        self.set_verb("Generate")

    def set_verb(self, verb: str) -> None:
        self._verb.setText(verb)
        labels.describe(self, verb, f"{verb} (Ctrl+Enter)")


class ToolSwitcher(QWidget):
    """Switches between the tools of a plugin."""

    chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self._column = QVBoxLayout(self)
        self._column.setContentsMargins(0, 0, 0, 0)
        self._current: QWidget | None = None
        self._titles: tuple[tuple[str, str], ...] = ()
        self.hide()

    def show_tools(self, tools: tuple[ToolDescriptor, ...], current: str) -> None:
        titles = tuple((tool.id, tool.title) for tool in tools)
        if self._current is not None:
            self._column.removeWidget(self._current)
            self._current.deleteLater()
            self._current = None
        self._titles = titles
        self.setVisible(len(tools) > 1)
        if len(tools) > 1:
            short = len(tools) <= MAX_SEGMENTS and sum(len(title) for _, title in titles) <= MAX_SEGMENT_LETTERS
            self._current = self._segments(current) if short else self._combo(current)
            self._column.addWidget(self._current)

    def _segments(self, current: str) -> QWidget:
        row = QWidget()
        flow = FlowLayout(row)
        for id, title in self._titles:
            button = QPushButton(title.replace("&", "&&"))
            button.setCheckable(True)
            button.setAutoExclusive(True)
            button.setChecked(id == current)
            labels.describe(button, f"Tool: {title}")
            button.clicked.connect(lambda _=False, id=id: self.chosen.emit(id))
            flow.addWidget(button)
        return row

    def _combo(self, current: str) -> QWidget:
        combo = Combo()
        labels.describe(combo, "Tool", "The tools of this plugin")
        for id, title in self._titles:
            combo.addItem(title, id)
        combo.setCurrentIndex(combo.findData(current))
        combo.activated.connect(lambda row: self.chosen.emit(combo.itemData(row)))
        return combo


class ToolPanel(QWidget):
    check_requested = Signal()
    """The artist wants to check the training data."""

    def __init__(
        self,
        workspace: Workspace,
        generation: Generation,
        worker_status: WorkerStatus,
        estimates: Estimates,
        services: FormServices,
        settings: Settings,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._workspace, self._generation, self._estimates, self._services = workspace, generation, estimates, services
        self.setProperty("role", "panel")
        self.setAttribute(Qt.WidgetAttribute.WA_StyledBackground)
        self._title = labels.make_label("", "title", wrap=True)
        self._summary = labels.make_label("", "dim", wrap=True)
        self.switcher = ToolSwitcher()
        self.form: Form | None = None
        self._scroll = QScrollArea()
        self._scroll.setWidgetResizable(True)
        self._scroll.setFocusPolicy(Qt.FocusPolicy.NoFocus)
        self._scroll.setHorizontalScrollBarPolicy(Qt.ScrollBarPolicy.ScrollBarAlwaysOff)
        self.options = JobOptions(workspace, settings)
        self._refusal = labels.make_label("", "error", wrap=True)
        self._refusal.hide()
        self.licence = LicenceNotice()
        self.check_data = QPushButton("Check data…")
        labels.describe(self.check_data, "Check data", "See what the training would find in the folders")
        self.generate = GenerateButton()
        self.estimate = EstimateLine(workspace, worker_status, estimates)
        self._lay_out()
        self._connect()
        self._show_tool()

    def _lay_out(self) -> None:
        head = QVBoxLayout()
        head.setContentsMargins(MARGIN, 16, MARGIN, 12)
        head.setSpacing(4)
        head.addWidget(self._title)
        head.addWidget(self._summary)
        head.addSpacing(4)
        head.addWidget(self.switcher)
        foot = QVBoxLayout()
        foot.setContentsMargins(MARGIN, 12, MARGIN, 16)
        foot.setSpacing(8)
        foot.addWidget(self.options)
        foot.addWidget(self._refusal)
        foot.addWidget(self.licence)
        foot.addSpacing(4)
        foot.addWidget(self.check_data)
        foot.addWidget(self.generate)
        foot.addWidget(self.estimate)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addLayout(head)
        column.addWidget(self._scroll, 1)
        column.addWidget(labels.make_line())
        column.addLayout(foot)

    def _connect(self) -> None:
        workspace, generation = self._workspace, self._generation
        workspace.tool_changed.connect(self._show_tool)
        workspace.value_changed.connect(self._show_value)
        workspace.values_replaced.connect(self._show_values)
        self._estimates.changed.connect(self._show_notes)
        generation.fields_refused.connect(self._show_errors)
        generation.refused.connect(self._show_refusal)
        generation.submitting.connect(lambda: self._show_refusal(""))
        generation.licence_required.connect(self.licence.ask)
        self.licence.accepted.connect(generation.accept)
        self.licence.dismissed.connect(self.generate.setFocus)
        self.switcher.chosen.connect(workspace.choose)
        self.check_data.clicked.connect(lambda _=False: self.check_requested.emit())
        self.generate.clicked.connect(lambda _=False: generation.generate())

    def _show_tool(self) -> None:
        tool = self._workspace.tool
        self._show_refusal("")
        self.form = None
        self._title.setText(tool.title if tool else "Looking for plugins…")
        self._summary.setText(tool.summary if tool else "Tools appear here as soon as their plugin is found.")
        self._summary.setVisible(bool(self._summary.text()))
        plugin = self._plugin(tool)
        self.switcher.show_tools(plugin.tools if plugin else (), tool.id if tool else "")
        for part in (self.options, self.generate):
            part.setEnabled(tool is not None)
        self.check_data.setVisible(tool is not None and tool.inspects_data)
        self.generate.set_verb(choose_verb(tool))
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(MARGIN, 4, MARGIN, 8)
        if tool is not None:
            self.form = Form(self._workspace.fields, self._services, open_groups=self._workspace.unfolded)
            self.form.edited.connect(self._workspace.set_value)
            self.form.group_toggled.connect(self._workspace.set_unfolded)
            column.addWidget(self.form)
        column.addStretch(1)
        self._scroll.setWidget(content)
        self._show_values()
        self._show_notes()

    def _plugin(self, tool: ToolDescriptor | None) -> PluginDescriptor | None:
        plugins = self._workspace.catalogue.plugins
        return next((plugin for plugin in plugins if tool is not None and tool in plugin.tools), None)

    def _show_values(self) -> None:
        if self.form is not None:
            self.form.set_errors({})
            for field in self._workspace.fields:
                self.form.show_value(field.name, self._workspace.value(field.name))

    def _show_value(self, name: str) -> None:
        self._show_refusal("")
        if self.form is not None:
            self.form.clear_error(name)
            self.form.show_value(name, self._workspace.value(name))

    def _show_errors(self, errors: dict[str, str]) -> None:
        if self.form is not None:
            self.form.set_errors(errors, focus=True)
            shown = [name for name in errors if self.form.has_field(name)]
            if not shown:
                self._show_refusal(next(iter(errors.values())))
                return
            first = self.form.editor(shown[0])
            self._scroll.ensureWidgetVisible(first.parentWidget() or first)

    def _show_refusal(self, sentence: str) -> None:
        self.licence.hide()
        self._refusal.setText(sentence)
        self._refusal.setVisible(bool(sentence))

    def _show_notes(self) -> None:
        if self.form is not None:
            self.form.show_notes(self._estimates.notes, stale=self._estimates.stale)
