"""A program that applies chat templates, each request and answer a line of JSON, within a limit of memory.

`template_renderer` runs it by its path and ends it where a template takes too long. It imports no torch and no studio.
"""

from __future__ import annotations

import json
import os
import sys
from contextlib import suppress
from pathlib import Path
from typing import Any

MEMORY_LIMIT = 512 * 2**20
"""Bytes of address space beside those that the process has at its start."""
MAX_CHARACTERS = 4 * 2**20


def main() -> None:
    answers = os.fdopen(os.dup(1), "w", encoding="utf-8")
    os.dup2(2, 1)  # what a library prints goes to the log
    from transformers.utils.chat_template_utils import render_jinja_template

    _limit_memory()
    for line in sys.stdin:
        answers.write(json.dumps(_answer(render_jinja_template, json.loads(line))) + "\n")
        answers.flush()


def _answer(render: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    try:
        rendered, indices = render(**arguments)
    except (MemoryError, OverflowError):
        return {"limit": "needs too much memory"}
    except RecursionError:
        return {"limit": "calls itself without end"}
    except Exception as error:
        return {"error": str(error)[:2000]}
    if sum(map(len, rendered)) > MAX_CHARACTERS:
        return {"limit": "makes too long a text"}
    return {"rendered": rendered, "indices": indices}


def _limit_memory() -> None:
    """Limit the address space, on systems that can."""
    if sys.platform == "win32":
        return
    import resource

    try:
        used = int(Path("/proc/self/statm").read_bytes().split()[0]) * resource.getpagesize()
    except OSError:
        used = 0
    limit = used + MEMORY_LIMIT
    with suppress(ValueError, OSError):
        _, hard = resource.getrlimit(resource.RLIMIT_AS)
        if hard == resource.RLIM_INFINITY or hard > limit:
            resource.setrlimit(resource.RLIMIT_AS, (limit, hard))


if __name__ == "__main__":
    main()
