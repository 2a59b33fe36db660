"""Writes the record of a training as event files of TensorBoard, with the package tensorboardX."""

from __future__ import annotations

from pathlib import Path

from studio.core.errors import StudioError
from studio.core.files import describe_write_error
from studio.core.training_record import TrainingRecord


def write_event_files(record: TrainingRecord, folder: Path) -> None:
    """Write all measures as scalars, and all previews as images and texts, by step.

    Raises StudioError if tensorboardX is missing, and CannotWrite.
    """
    import numpy as np
    from PIL import Image

    try:
        from tensorboardX import SummaryWriter
    except ImportError as error:
        raise StudioError(
            "Event files of TensorBoard need the package tensorboardX.", "Install it with: pip install tensorboardX"
        ) from error
    try:
        with SummaryWriter(str(folder)) as writer:
            for point in record.read_measures():
                for name, value in point.values.items():
                    writer.add_scalar(name, value, point.step)
            for entry in record.read_previews():
                path = record.preview_path(entry)
                if path is None:
                    writer.add_text("preview", entry.text, entry.step)
                elif path.is_file():
                    with Image.open(path, formats=["WEBP"]) as picture:
                        writer.add_image("preview", np.asarray(picture.convert("RGB")), entry.step, dataformats="HWC")
    except OSError as error:
        raise describe_write_error(folder, error) from error
