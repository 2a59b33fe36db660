"""From `python3 main.py …` to the studio in its environment.

A start that finds everything made imports nothing but `os` and `sys`, and costs a few milliseconds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from studio.launcher import stamp
from studio.launcher.errors import LaunchError, NoDisplay

PYTHON = os.path.join("Scripts", "python.exe") if sys.platform == "win32" else os.path.join("bin", "python")


def start(root: str, arguments: Sequence[str]) -> int:
    """Makes what is missing and hands over; returns the exit status where there is nothing to hand over to."""
    command = next(words(arguments), "")
    try:
        folder = _environment(root, command)
        return _hand_over(root, os.path.join(folder, PYTHON), command, arguments)
    except LaunchError as error:
        print(error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("Stopped. Start again to go on.", file=sys.stderr)
        return 130


def words(arguments: Sequence[str]) -> Iterator[str]:
    """The arguments without the options that may stand before a command. Asking for help opens no window."""
    left = iter(arguments)
    for argument in left:
        if argument in ("--home", "--device"):
            next(left, None)
        elif not argument.startswith("-") or argument in ("-h", "--help", "--version"):
            yield argument


def _environment(root: str, command: str) -> str:
    """The folder of an environment that has what `command` needs."""
    extra = "test" if command == "test" else "run"
    folder = os.path.join(root, ".venv")
    if not (stamp.is_fresh(root, folder, extra) and os.path.exists(os.path.join(folder, PYTHON))):
        from studio.launcher.install import made

        folder = made(root, extra, window=not command)
    if command in ("", "test", "bench"):
        _check_libraries(folder, window=not command)
    return folder


def _check_libraries(folder: str, *, window: bool) -> None:
    """Once per environment and kind: a system seldom loses libraries."""
    seen = os.path.join(folder, "studio-libraries-window" if window else "studio-libraries-offscreen")
    if sys.platform == "linux" and not os.path.exists(seen):
        from studio.launcher.system import display_problem, ensure

        if window and (problem := display_problem()):
            raise NoDisplay(problem)
        ensure(folder + ".log", window=window)
        with open(seen, "w"):
            pass


def _hand_over(root: str, python: str, command: str, arguments: Sequence[str]) -> int:
    """`-P` keeps the current folder from standing in for the studio's modules."""
    match command:
        case "test":
            os.chdir(root)
            os.environ["QT_QPA_PLATFORM"] = "offscreen"
            rest = ["-m", "pytest", *arguments[arguments.index(command) + 1 :]]
        case "bench":
            os.chdir(root)
            rest = ["-m", "tests.benchmarks", *arguments[arguments.index(command) + 1 :]]
        case _:
            rest = ["-P", "-m", "studio.cli", *arguments]
    if sys.platform == "win32":
        import subprocess

        return subprocess.call([python, *rest])
    try:
        os.execv(python, [python, *rest])
    except OSError as error:
        raise LaunchError(f"{python} does not run: {error.strerror}. Delete its folder and start again.") from error
