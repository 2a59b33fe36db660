"""The question before a training is cancelled."""

from __future__ import annotations

from collections.abc import Sequence

from PySide6.QtWidgets import QMessageBox, QWidget

from studio.core.errors import StudioError
from studio.core.job import Job, JobState
from studio.state.session import Session


def ask_before_cancel(session: Session, jobs: Sequence[Job], parent: QWidget) -> None:
    """Ask whether trainings go on, finish now or are cancelled, and do it."""
    text = "Cancel the training?" if len(jobs) == 1 else f"Cancel {len(jobs)} trainings?"
    box = QMessageBox(QMessageBox.Icon.Question, "Cancel the training", text, parent=parent)
    box.setInformativeText(
        "“Finish now” keeps the model. The checkpoint of a cancelled training stays for a day: Retry in the queue goes "
        "on from it."
    )
    go_on = box.addButton("Go on training", QMessageBox.ButtonRole.RejectRole)
    end = box.addButton("Cancel training", QMessageBox.ButtonRole.DestructiveRole)
    finish = box.addButton("Finish now", QMessageBox.ButtonRole.AcceptRole)
    box.setDefaultButton(go_on)
    box.setEscapeButton(go_on)
    running = [job for job in jobs if job.state is JobState.RUNNING]
    finish.setEnabled(bool(running))

    def finish_running() -> None:
        try:
            for job in running:
                session.controls.finish(job)
        except StudioError as error:
            session.notices.report(error)

    end.clicked.connect(lambda: session.undoable.cancel(jobs))
    finish.clicked.connect(finish_running)
    box.finished.connect(box.deleteLater)
    box.open()
