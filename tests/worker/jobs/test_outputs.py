"""Previews, progress and their time_left."""

from __future__ import annotations

import functools
import io
import threading
from typing import Any

import numpy as np
import pytest
from PIL import Image

from studio.core import messages
from studio.core.errors import StudioError
from studio.core.messages import FromWorker, Heartbeat, JobFinished, JobProgress, PreviewFrame
from studio.worker.jobs import preview_frames
from studio.worker.jobs.outputs import TimeLeft
from studio.worker.stdio import Outbox


def shown(picture: Any) -> np.ndarray[Any, Any]:
    sent = preview_frames.picture_frame("job", picture)
    return np.frombuffer(sent.pixels, np.uint8).reshape(sent.height, sent.width, sent.channels)


@pytest.mark.parametrize(
    "picture",
    [
        np.full((4, 6), 0.5),
        np.full((4, 6, 1), 0.5, np.float32),
        np.full((4, 6, 3), 128, np.uint8),
        np.full((4, 6, 3), 0x8080, np.uint16),
        Image.new("L", (6, 4), 128),
        Image.new("CMYK", (6, 4), (127, 127, 127, 0)),
        Image.new("L", (6, 4), 128).convert("P"),
    ],
    ids=["grey", "one channel", "8 bits", "16 bits", "PIL grey", "PIL CMYK", "PIL palette"],
)
def test_pictures_of_every_kind_are_shown_as_8_bit_colours(picture: Any) -> None:
    assert shown(picture).shape == (4, 6, 3)
    assert abs(int(shown(picture)[0, 0, 0]) - 128) <= 1


def test_transparency_is_kept() -> None:
    assert shown(np.zeros((4, 6, 4), np.uint8)).shape == (4, 6, 4)
    assert shown(Image.new("LA", (6, 4))).shape == (4, 6, 4)


def test_values_beyond_the_range_are_clipped() -> None:
    assert shown(np.array([[-1.0, 2.0, np.nan]]))[0, :, 0].tolist() == [0, 255, 0]
    assert shown(np.array([[True, False]]))[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize(("height", "width"), [(4096, 4096), (3000, 100), (1, 5000)])
def test_large_pictures_are_scaled_down_and_keep_their_shape(height: int, width: int) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (height, width))
    small = shown(ramp)
    assert max(small.shape[:2]) == 1024
    assert small.shape[1] / small.shape[0] == pytest.approx(width / height, rel=0.02) or min(small.shape[:2]) == 1
    if width > 1000:
        assert small[0, [0, -1], 0].tolist() == pytest.approx([0, 255], abs=2)
    assert shown(Image.fromarray((ramp * 255).astype(np.uint8))).shape == small.shape


@pytest.mark.parametrize("picture", [np.zeros((2, 2, 5)), np.zeros(3), np.zeros((0, 4)), np.array([["a"]])])
def test_what_is_no_picture_is_said_in_a_sentence(picture: Any) -> None:
    with pytest.raises(StudioError, match="A picture has "):
        shown(picture)


def test_the_time_left_is_told_after_three_steps_and_a_second() -> None:
    time_left = TimeLeft()
    assert [time_left.estimate(step, 10, now) for step, now in [(1, 0.0), (2, 0.4), (3, 0.8)]] == [-1, -1, -1]
    assert time_left.estimate(4, 10, 1.2) == pytest.approx(6 * 0.4)
    assert time_left.estimate(5, 10, 9.0) == pytest.approx(5 * 0.4), "one slow step is no trend"
    assert time_left.estimate(0, 20, 10.0) == -1, "another round begins"


def test_the_time_left_is_not_told_where_the_end_is_not_known() -> None:
    time_left = TimeLeft()
    assert {time_left.estimate(step, 0, step) for step in range(10)} == {-1.0}


class Pipe(io.BytesIO):
    """A pipe whose reader can take its time."""

    def __init__(self) -> None:
        super().__init__()
        self.open = threading.Event()
        self.written = threading.Event()

    def flush(self) -> None:
        self.open.wait()
        self.written.set()

    def said(self) -> list[FromWorker]:
        stream = io.BytesIO(self.getvalue())
        return list(iter(lambda: messages.read_from_worker(stream), None))


def test_pictures_that_come_too_soon_are_not_even_made() -> None:
    pipe = Pipe()
    pipe.open.set()
    outbox = Outbox(pipe)
    made: list[str] = []

    def make_frame(job: str) -> PreviewFrame:
        made.append(job)
        return preview_frames.picture_frame(job, np.zeros((2, 2, 3), np.uint8))

    for job in ("a", "a", "a", "b"):
        outbox.offer_picture(job, functools.partial(make_frame, job))
    assert made == ["a", "b"], "the first picture of a job is always made"
    outbox.close()


def test_a_reader_that_lags_gets_the_latest_progress_and_blocks_nobody() -> None:
    pipe = Pipe()
    outbox = Outbox(pipe)
    sender = threading.Thread(target=outbox.send, args=(Heartbeat(1),))
    sender.start()
    for step in range(1000):
        outbox.offer(JobProgress("job", step, 1000))
    pipe.open.set()
    sender.join()
    outbox.send(Heartbeat(2))
    outbox.offer(JobProgress("job", 2000, 1000))
    outbox.send(JobFinished("job"))
    steps = [message.step for message in pipe.said() if isinstance(message, JobProgress)]
    assert 999 in steps
    assert len(steps) <= 4
    assert pipe.said()[-1] == JobFinished("job")
    outbox.close()
