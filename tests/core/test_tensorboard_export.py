"""The record of a training as event files of TensorBoard."""

from __future__ import annotations

import sys
from pathlib import Path

import pytest
from PIL import Image

from studio.core.errors import StudioError
from studio.core.tensorboard_export import write_event_files
from studio.core.training_record import MeasurePoint, PreviewEntry, TrainingRecord


def make_record(folder: Path) -> TrainingRecord:
    record = TrainingRecord(folder)
    for step in (1, 2):
        record.append_measures(MeasurePoint(step, 1.0, {"loss": 1 / step, "held-out loss": 2.0}))
    record.add_picture(PreviewEntry(1), Image.new("RGB", (8, 4), "red"))
    record.add_text(PreviewEntry(2, text="Once upon a time"))
    return record


def test_measures_and_previews_are_in_the_event_file(tmp_path: Path) -> None:
    from tensorboardX.proto.event_pb2 import Event

    write_event_files(make_record(tmp_path / "record"), tmp_path / "events")
    (file,) = (tmp_path / "events").iterdir()
    content, values = file.read_bytes(), dict[tuple[str, int], str]()
    while content:
        length = int.from_bytes(content[:8], "little")
        body, content = content[12 : 12 + length], content[16 + length :]
        event = Event.FromString(body)
        values |= {(value.tag, event.step): value.WhichOneof("value") for value in event.summary.value}
        if event.step == 2 and event.summary.value and event.summary.value[0].tag == "loss":
            assert event.summary.value[0].simple_value == 0.5
    assert values["loss", 1] == values["held-out_loss", 2] == "simple_value"
    assert values["preview", 1] == "image"
    assert values["preview/text_summary", 2] == "tensor"


def test_without_the_package_one_sentence_says_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "tensorboardX", None)
    with pytest.raises(StudioError, match="pip install tensorboardX"):
        write_event_files(make_record(tmp_path / "record"), tmp_path / "events")
