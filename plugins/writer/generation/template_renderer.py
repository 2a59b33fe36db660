"""Applies chat templates of foreign models in a process of its own, within limits of time, memory and output.

A template is a program: the sandbox keeps it from files and the interpreter, but not from a loop without end or from
gigabytes of text, and a thread that runs one cannot be ended.
"""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from queue import Empty, SimpleQueue
from typing import Any
from unittest.mock import patch

from studio import api

TIME_LIMIT = 10.0
"""Seconds for one conversation."""
START_LIMIT = 120.0
"""Seconds for the start of the process, which imports a library, on a machine that is busy."""
_PROGRAM = Path(__file__).with_name("template_process.py")
_PROBE = {"conversations": [[]], "chat_template": ""}
_USERS = (
    "transformers.tokenization_utils_base.render_jinja_template",
    "transformers.processing_utils.render_jinja_template",
)
"""Where tokenizers and processors take the function from that applies a template."""


class TemplateRenderer:
    """The process is started by the first conversation, and again after a template that had to be ended."""

    def __init__(self, *, time_limit: float = TIME_LIMIT) -> None:
        self._time_limit = time_limit
        self._lock = threading.Lock()
        self._child: subprocess.Popen[str] | None = None
        self._answers: SimpleQueue[str] = SimpleQueue()
        self._reader: threading.Thread | None = None

    def render(self, **arguments: Any) -> tuple[list[str], list[Any]]:
        """Apply a template as transformers' `render_jinja_template` does.

        Raises BadInput for a template that goes beyond a limit, and ValueError with the error of another.
        """
        with self._lock:
            answer = self._ask(json.dumps(arguments, default=str))
        if limit := answer.get("limit"):
            raise api.BadInput(f"The model's chat template {limit}.", "Choose another model.")
        if "error" in answer:
            raise ValueError(answer["error"])
        return answer["rendered"], answer["indices"]

    def close(self) -> None:
        child, self._child = self._child, None
        if child is None:
            return
        child.kill()
        child.wait()
        assert self._reader is not None
        self._reader.join()
        for stream in (child.stdin, child.stdout):
            assert stream is not None
            with suppress(OSError):
                stream.close()

    def _ask(self, request: str) -> dict[str, Any]:
        if self._child is None:
            self._start()
            if self._exchange(json.dumps(_PROBE), START_LIMIT) is None:
                self.close()
                raise api.StudioError("The program that applies chat templates cannot be started.")
        answer = self._exchange(request, self._time_limit)
        if answer is None:
            self.close()
            return {"limit": "takes too long"}
        if not answer:
            self.close()
            return {"limit": "needs too much memory"}
        content: dict[str, Any] = json.loads(answer)
        return content

    def _start(self) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-P", str(_PROGRAM)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            encoding="utf-8",
            creationflags=getattr(subprocess, "CREATE_NO_WINDOW", 0),
        )
        self._answers = SimpleQueue()
        self._reader = threading.Thread(
            target=_read_lines, args=(self._child, self._answers), name="chat templates", daemon=True
        )
        self._reader.start()

    def _exchange(self, request: str, seconds: float) -> str | None:
        """Return the answer, None if it takes longer, or an empty text if the process has ended."""
        assert self._child is not None
        assert self._child.stdin is not None
        with suppress(OSError):
            self._child.stdin.write(request + "\n")
            self._child.stdin.flush()
        try:
            return self._answers.get(timeout=seconds)
        except Empty:
            return None


renderer = TemplateRenderer()
"""The renderer of this worker. Its process ends with the worker's, which it belongs to."""


@contextmanager
def limit_templates() -> Iterator[None]:
    """Let transformers apply chat templates through `renderer` in this block."""
    import transformers.processing_utils
    import transformers.tokenization_utils_base  # noqa: F401

    with patch(_USERS[0], renderer.render), patch(_USERS[1], renderer.render):
        yield


def _read_lines(child: subprocess.Popen[str], answers: SimpleQueue[str]) -> None:
    assert child.stdout is not None
    with suppress(OSError, ValueError):
        for line in child.stdout:
            answers.put(line)
    answers.put("")
