"""Messages cross a pipe unchanged, and an incomplete stream ends instead of hanging."""

import io

import pytest

from studio.core import messages
from studio.core.errors import Failure, FailureKind
from studio.core.notices import NoticeLevel
from studio.core.recipe import PluginRef, Recipe

RUN = messages.RunJob(
    job="1", recipe=Recipe(tool="a.b", plugin=PluginRef("p")), files={"sha256:aa": "/x.png"}, draft=True
)


def test_messages_are_written_and_read_in_both_directions() -> None:
    stream = io.BytesIO()
    sent: list[messages.FromWorker] = [
        messages.Hello(7),
        messages.PreviewFrame(job="1", width=2, height=1, pixels=bytes(6)),
        messages.JobFailed("1", Failure(FailureKind.FAILED, "No.", "trace")),
    ]
    for message in sent:
        messages.write(stream, message)
    stream.seek(0)
    assert [messages.read_from_worker(stream) for _ in range(4)] == [*sent, None]
    stream = io.BytesIO()
    messages.write(stream, RUN)
    stream.seek(0)
    assert messages.read_to_worker(stream) == RUN


def test_characters_that_are_not_utf_8_become_question_marks() -> None:
    stream = io.BytesIO()
    odd = "caf\udce9.png"
    messages.write(stream, messages.JobNotice("1", f"{odd} is broken", NoticeLevel.WARNING))
    messages.write(stream, messages.JobFailed("1", Failure(FailureKind.FAILED, odd, "")))
    stream.seek(0)
    assert messages.read_from_worker(stream) == messages.JobNotice("1", "caf?.png is broken", NoticeLevel.WARNING)
    assert messages.read_from_worker(stream) == messages.JobFailed("1", Failure(FailureKind.FAILED, "caf?.png", ""))
    assert messages.replace_surrogates({"skipped": [odd, 1, None], odd: (2.5, True)}) == {
        "skipped": ["caf?.png", 1, None],
        "caf?.png": (2.5, True),
    }


def test_an_incomplete_frame_ends_the_stream() -> None:
    stream = io.BytesIO()
    messages.write(stream, RUN)
    assert messages.read_to_worker(io.BytesIO(stream.getvalue()[:-1])) is None


def test_a_frame_above_the_limit_is_refused() -> None:
    with pytest.raises(ValueError, match="beyond"):
        messages.read_to_worker(io.BytesIO(b"\xff\xff\xff\xff"))
