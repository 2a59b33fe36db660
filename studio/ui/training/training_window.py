"""A window for one training: previews, plots and controls. It stays beside the main window."""

from __future__ import annotations

from pathlib import Path

from PySide6.QtCore import QModelIndex, QPersistentModelIndex, QSize, Qt
from PySide6.QtGui import QCloseEvent, QShowEvent
from PySide6.QtWidgets import (
    QDialog,
    QFileDialog,
    QHBoxLayout,
    QProgressBar,
    QPushButton,
    QSlider,
    QSplitter,
    QVBoxLayout,
    QWidget,
)

from studio.core.humanize import format_seconds, group_digits
from studio.core.job import Job, JobState
from studio.core.training_record import of_model
from studio.library.creation import Creation
from studio.state.jobs.training_monitor import MeasureSeries, TrainingMonitor
from studio.state.session import Session
from studio.ui.form.choice_field import Switch
from studio.ui.training.measure_plot import MeasurePlot
from studio.ui.training.preview_timeline import PreviewTimeline
from studio.ui.training.training_controls import TrainingControls
from studio.ui.widgets import labels

SIZE = QSize(1080, 760)
LOSSES, HELD_OUT = "Losses", "Held-out measures"
_STATES = {
    JobState.RUNNING: "Running",
    JobState.QUEUED: "Waiting",
    JobState.PAUSED: "Paused",
    JobState.DONE: "Done",
    JobState.FAILED: "Failed",
    JobState.CANCELLED: "Cancelled",
    JobState.SET_ASIDE: "Set aside",
}


class TrainingWindow(QDialog):
    """Shows the record of a training in the queue with its controls, or that of a trained model."""

    def __init__(self, session: Session, of: Job | Creation, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._session, self.job_id = session, of.id if isinstance(of, Job) else ""
        if isinstance(of, Job):
            record = session.engine.training_record(of.id)
            name = of.recipe.tool
        else:
            record = of_model(Path(of.path))
            name = Path(of.path).name
        title = str((of.recipe and of.recipe.params.get("title")) or name)
        self._model = ""
        self.setAttribute(Qt.WidgetAttribute.WA_DeleteOnClose)
        self.monitor = TrainingMonitor(record, self)
        self.setWindowTitle(f"Training: {title}")
        self.resize(SIZE)
        self.setWindowFlag(Qt.WindowType.WindowMinMaxButtonsHint)
        self.heading, self.state = labels.make_label(title, "title"), labels.make_label(role="dim", wrap=True)
        self.bar = QProgressBar()
        self.bar.setTextVisible(False)
        labels.describe(self.bar, f"Progress of {title}")
        self.timeline = PreviewTimeline(self.monitor)
        self.plots: dict[str, MeasurePlot] = {}
        self._plot_column = QVBoxLayout()
        self._plot_column.setSpacing(8)
        self.no_measures = labels.make_label("The loss is plotted here, once the training has begun.", "dim")
        self.no_measures.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self._plot_column.addWidget(self.no_measures, 1)
        self.log_scale = Switch()
        labels.describe(self.log_scale, "Logarithmic scale", "Plot the values on a logarithmic scale")
        self.smoothing = QSlider(Qt.Orientation.Horizontal)
        self.smoothing.setRange(0, 99)
        self.smoothing.setValue(60)
        labels.describe(self.smoothing, "Smoothing", "Smooth the curves")
        options = QHBoxLayout()
        options.addWidget(self.log_scale)
        options.addWidget(labels.make_label("Logarithmic", "caption"))
        options.addStretch(1)
        options.addWidget(labels.make_label("Smoothing", "caption"))
        options.addWidget(self.smoothing)
        self.export = QPushButton("TensorBoard…")
        labels.describe(self.export, "Export for TensorBoard", "Write measures and previews as event files")
        self.export.clicked.connect(lambda _=False: self._ask_for_folder())
        options.addWidget(self.export)
        right = QWidget()
        right_column = QVBoxLayout(right)
        right_column.setContentsMargins(12, 0, 0, 0)
        right_column.setSpacing(8)
        right_column.addLayout(self._plot_column, 1)
        right_column.addLayout(options)
        self.controls = TrainingControls(session, self.monitor, self.job_id)
        right_column.addWidget(self.controls)
        splitter = QSplitter(Qt.Orientation.Horizontal)
        splitter.addWidget(self.timeline)
        splitter.addWidget(right)
        splitter.setSizes([SIZE.width() // 2, SIZE.width() // 2])
        column = QVBoxLayout(self)
        column.setContentsMargins(16, 16, 16, 16)
        column.setSpacing(8)
        column.addWidget(self.heading)
        column.addWidget(self.state)
        column.addWidget(self.bar)
        column.addWidget(splitter, 1)
        self.log_scale.toggled.connect(self._set_options)
        self.smoothing.valueChanged.connect(self._set_options)
        self.monitor.measures_changed.connect(self._show_measures)
        self.timeline.step_shown.connect(self._mark_step)
        session.queue.changed.connect(self._show_state)
        session.queue.dataChanged.connect(self._on_progress)
        self._show_state()

    def showEvent(self, event: QShowEvent) -> None:
        super().showEvent(event)
        self._follow()

    def closeEvent(self, event: QCloseEvent) -> None:
        self.monitor.set_following(False)
        super().closeEvent(event)

    def _follow(self) -> None:
        job = self.controls.job
        self.monitor.set_following(self.isVisible() and job is not None and not job.state.ended)

    def _on_progress(self, first: QModelIndex | QPersistentModelIndex, last: QModelIndex, roles: list[int]) -> None:
        del first, last, roles
        self._show_state()

    def _show_state(self) -> None:
        job = self.controls.job
        progress = self._session.queue.progress(self.job_id)
        self.bar.setVisible(job is not None and job.state is JobState.RUNNING)
        self.bar.setRange(0, 0)
        parts = [] if job is None else [_STATES[job.state]]
        if job is not None and job.state is JobState.RUNNING and progress:
            if progress.total > 0:
                self.bar.setRange(0, round(progress.total))
                self.bar.setValue(round(progress.step))
                self.controls.show_total(round(progress.total))
                parts.append(f"step {group_digits(round(progress.step))} of {group_digits(round(progress.total))}")
            if progress.seconds_left >= 0:
                parts.append(f"{format_seconds(progress.seconds_left)} left")
            if progress.text:
                parts.append(progress.text)
        elif self.monitor.last_step:
            parts.append(f"step {group_digits(self.monitor.last_step)}")
        elif job is not None and job.state is JobState.RUNNING:
            parts.append("starting")
        if job is not None and job.failure is not None and job.state in (JobState.FAILED, JobState.PAUSED):
            parts.append(job.failure.sentence)
        self.state.setText(" · ".join(parts))
        if job is not None and job.state is JobState.DONE and job.outputs:
            self._show_model(job.outputs[-1])
        self._follow()

    def _show_model(self, id: str) -> None:
        """Read the record in the model's folder, since that of the job is removed with its checkpoint."""
        if self._model == id:
            return
        self._model = id
        model = self._session.library.get(id)
        if model is not None:
            self.monitor.set_record(of_model(Path(model.path)))

    def _ask_for_folder(self) -> None:
        dialog = QFileDialog(self, "Folder for the event files")
        dialog.setFileMode(QFileDialog.FileMode.Directory)
        dialog.fileSelected.connect(lambda chosen: self.export_events(Path(chosen)))
        dialog.finished.connect(dialog.deleteLater)
        dialog.open()

    def export_events(self, folder: Path) -> None:
        """Write the record as event files of TensorBoard into a folder."""
        from studio.core.tensorboard_export import write_event_files

        record, notices = self.monitor.record, self._session.notices
        done = f"Wrote the event files to {folder.name}. Show them with: tensorboard --logdir {folder}"
        self._session.tasks.run(lambda: write_event_files(record, folder), lambda _: notices.info(done))

    # Plots
    def _show_measures(self) -> None:
        groups = group_measures(self.monitor.series)
        for title, series in groups.items():
            if title not in self.plots:
                self.plots[title] = MeasurePlot(title)
                self._plot_column.insertWidget([*groups].index(title), self.plots[title], 2 if title == LOSSES else 1)
            self.plots[title].set_series(series, self.monitor.last_step)
        for title in [title for title in self.plots if title not in groups]:
            self.plots.pop(title).deleteLater()
        self.no_measures.setVisible(not self.plots)
        self._set_options()
        job = self.controls.job
        if job is None or job.state is not JobState.RUNNING:  # otherwise the next progress shows it
            self._show_state()

    def _set_options(self) -> None:
        for title, plot in self.plots.items():
            smoothing = self.smoothing.value() / 100 if title == LOSSES else 0.0
            plot.set_options(is_log=self.log_scale.isChecked(), smoothing=smoothing)

    def _mark_step(self, step: int | None) -> None:
        for plot in self.plots.values():
            plot.mark_step(step)


def group_measures(series: dict[str, MeasureSeries]) -> dict[str, dict[str, MeasureSeries]]:
    """Group measures by the plot that shows them.

    Losses and held-out measures share a plot each; any other measure has its own, the learning rate the last one.
    """
    groups: dict[str, dict[str, MeasureSeries]] = {LOSSES: {}, HELD_OUT: {}}
    for name, one in sorted(series.items(), key=lambda entry: entry[0] == "learning rate"):
        is_held_out = name.startswith("held-out")
        title = HELD_OUT if is_held_out else LOSSES if name.endswith("loss") else name.capitalize()
        groups.setdefault(title, {})[name] = one
    return {title: group for title, group in groups.items() if group}
