"""From `python3 main.py …` to the studio in its environment."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from pathlib import Path

from studio.launcher.environment import Environment
from studio.launcher.errors import LaunchError


def start(root: str, arguments: Sequence[str]) -> int:
    """Makes what is missing and hands over; returns the exit status where there is nothing to hand over to."""
    environment = Environment.of(Path(root))
    command = arguments[0] if arguments else ""
    try:
        _make_ready(environment, command)
        return _hand_over(environment, command, list(arguments))
    except LaunchError as error:
        print(error, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        print("Stopped. Start again to go on.", file=sys.stderr)
        return 130


def _make_ready(environment: Environment, command: str) -> None:
    extra = "test" if command == "test" else "run"
    if not environment.is_ready(extra):
        from studio.launcher.console import Console
        from studio.launcher.install import prepare
        from studio.launcher.system import display_problem

        if not command and (problem := display_problem()):
            raise LaunchError(problem)
        prepare(environment, extra, Console())
    if command in ("", "test", "bench"):
        _check_libraries(environment, window=not command)


def _check_libraries(environment: Environment, *, window: bool) -> None:
    """Once per environment and kind: a system seldom loses libraries, and the look costs a few milliseconds."""
    seen = environment.folder / ("studio-libraries-window" if window else "studio-libraries-offscreen")
    if sys.platform != "linux" or seen.exists():
        return
    from studio.launcher.console import Console
    from studio.launcher.system import ensure

    ensure(Console(), environment.log, window=window)
    seen.touch()


def _hand_over(environment: Environment, command: str, arguments: list[str]) -> int:
    """`-P` keeps the current folder from standing in for the studio's modules."""
    match command:
        case "test":
            os.chdir(environment.root)
            os.environ["QT_QPA_PLATFORM"] = "offscreen"
            rest = ["-m", "pytest", *arguments[1:]]
        case "bench":
            os.chdir(environment.root)
            rest = ["-m", "tests.benchmarks", *arguments[1:]]
        case _:
            rest = ["-P", "-m", "studio.cli", *arguments]
    python = str(environment.python)
    if sys.platform == "win32":
        import subprocess

        return subprocess.call([python, *rest])
    try:
        os.execv(python, [python, *rest])
    except OSError as error:
        raise LaunchError(
            f"{python} does not run: {error.strerror}. Delete {environment.folder} and start again."
        ) from error
