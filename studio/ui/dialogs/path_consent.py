"""The question whether settings of a file may use folders and models outside of the library."""

from __future__ import annotations

from PySide6.QtWidgets import QMessageBox, QWidget

from studio.state.jobs.generation import PathConsent


def ask_for_paths(window: QWidget, consent: PathConsent) -> QMessageBox:
    """Ask whether the paths go into the form with the other settings. Closing the question uses no settings at all."""
    box = QMessageBox(window)
    box.setWindowTitle("Use settings")
    box.setText(consent.sentence)
    box.setInformativeText("Nothing of it was read. Use it only if you know where the file comes from.")
    leave_out = box.addButton("Leave out", QMessageBox.ButtonRole.AcceptRole)
    use = box.addButton("Use them", QMessageBox.ButtonRole.DestructiveRole)
    box.addButton(QMessageBox.StandardButton.Cancel)
    box.setDefaultButton(leave_out)

    def answer() -> None:
        if box.clickedButton() is use:
            consent.accept()
        elif box.clickedButton() is leave_out:
            consent.decline()

    box.finished.connect(answer)
    box.finished.connect(box.deleteLater)
    box.open()
    return box
