"""Previews, progress and the time left."""

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


def to_pixels(picture: Any) -> np.ndarray[Any, Any]:
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
def test_images_of_every_type_become_8_bit_previews(picture: Any) -> None:
    assert to_pixels(picture).shape == (4, 6, 3)
    assert abs(int(to_pixels(picture)[0, 0, 0]) - 128) <= 1


def test_transparency_is_kept() -> None:
    assert to_pixels(np.zeros((4, 6, 4), np.uint8)).shape == (4, 6, 4)
    assert to_pixels(Image.new("LA", (6, 4))).shape == (4, 6, 4)


def test_values_beyond_the_range_are_clipped() -> None:
    assert to_pixels(np.array([[-1.0, 2.0, np.nan]]))[0, :, 0].tolist() == [0, 255, 0]
    assert to_pixels(np.array([[True, False]]))[0, :, 0].tolist() == [255, 0]


@pytest.mark.parametrize(("height", "width"), [(4096, 4096), (3000, 100), (1, 5000)])
def test_large_images_are_scaled_down_in_proportion(height: int, width: int) -> None:
    ramp = np.broadcast_to(np.linspace(0, 1, width, dtype=np.float32), (height, width))
    small = to_pixels(ramp)
    assert max(small.shape[:2]) == 1024
    assert small.shape[1] / small.shape[0] == pytest.approx(width / height, rel=0.02) or min(small.shape[:2]) == 1
    if width > 1000:
        assert small[0, [0, -1], 0].tolist() == pytest.approx([0, 255], abs=2)
    assert to_pixels(Image.fromarray((ramp * 255).astype(np.uint8))).shape == small.shape


@pytest.mark.parametrize("picture", [np.zeros((2, 2, 5)), np.zeros(3), np.zeros((0, 4)), np.array([["a"]])])
def test_an_array_that_is_no_image_is_reported(picture: Any) -> None:
    with pytest.raises(StudioError, match="An image has "):
        to_pixels(picture)


def test_the_time_left_is_known_after_three_steps_and_a_second() -> None:
    time_left = TimeLeft()
    assert [time_left.estimate(step, 10, now) for step, now in [(1, 0.0), (2, 0.4), (3, 0.8)]] == [-1, -1, -1]
    assert time_left.estimate(4, 10, 1.2) == pytest.approx(6 * 0.4)
    assert time_left.estimate(5, 10, 9.0) == pytest.approx(5 * 0.4), "one slow step is no trend"
    assert time_left.estimate(0, 20, 10.0) == -1, "another round begins"


def test_the_time_left_is_unknown_without_a_total() -> None:
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

    def read_messages(self) -> list[FromWorker]:
        stream = io.BytesIO(self.getvalue())
        return list(iter(lambda: messages.read_from_worker(stream), None))


def test_previews_above_the_rate_limit_are_not_made() -> None:
    pipe = Pipe()
    pipe.open.set()
    outbox = Outbox(pipe)
    made: list[str] = []

    def make_frame(job: str) -> PreviewFrame:
        made.append(job)
        return preview_frames.picture_frame(job, np.zeros((2, 2, 3), np.uint8))

    for job in ("a", "a", "a", "b"):
        outbox.offer_picture(job, functools.partial(make_frame, job))
    assert made == ["a", "b"], "the first image of a job is always made"
    outbox.close()


def test_a_slow_reader_gets_the_latest_progress_and_blocks_no_sender() -> None:
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
    steps = [message.step for message in pipe.read_messages() if isinstance(message, JobProgress)]
    assert 999 in steps
    assert len(steps) <= 4
    assert pipe.read_messages()[-1] == JobFinished("job")
    outbox.close()
