"""Starts the studio in its environment from `python3 main.py …`.

If the environment is ready, a start imports only `os` and `sys` and takes a few milliseconds.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Iterator, Sequence

from studio.launcher import stamp
from studio.launcher.errors import LaunchError, NoDisplay

HELP = """\
usage: python3 main.py [-h] [--home FOLDER] [--device DEVICE] [--json] [--version] COMMAND ...

The studio is not set up yet, which the help of its commands needs. `python3 main.py doctor` sets it up once: it makes
the folder .venv and downloads the packages."""
PYTHON = os.path.join("Scripts", "python.exe") if sys.platform == "win32" else os.path.join("bin", "python")


def start(root: str, arguments: Sequence[str]) -> int:
    """Prepare the environment and replace this process by the studio. Return an exit status if that fails."""
    command = next(skip_options(arguments), "")
    try:
        if {"-h", "--help", "--version"} & set(arguments):
            return _show_help(root, command, arguments)
        if command == "repair":
            from studio.launcher.install import repair_environment

            repair_environment(root)
            return 0
        folder = _find_environment(root, command, find_home(arguments))
        return _hand_over(root, os.path.join(folder, PYTHON), command, arguments)
    except LaunchError as error:
        print(error, file=sys.stderr)
        return error.status
    except KeyboardInterrupt:
        print("Stopped. Start again to continue.", file=sys.stderr)
        return 130


def _show_help(root: str, command: str, arguments: Sequence[str]) -> int:
    """Show the help with the environment as it is, since help changes nothing; without one, say what creates it."""
    folder = os.path.join(root, ".venv")
    python = os.path.join(folder, PYTHON)
    extra = "test " if command == "test" else "run "
    if os.path.exists(python) and any(line.startswith(extra) for line in stamp.read(folder)):
        return _hand_over(root, python, command, arguments)
    print(HELP)
    return 0


def skip_options(arguments: Sequence[str]) -> Iterator[str]:
    """Yield the arguments without the options before a command. A request for help counts as a command."""
    rest = iter(arguments)
    for argument in rest:
        if argument in ("--home", "--device"):
            next(rest, None)
        elif not argument.startswith("-") or argument in ("-h", "--help", "--version"):
            yield argument


def find_home(arguments: Sequence[str]) -> str:
    """Return the value of `--home`; empty without it."""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=False):
        if argument == "--home":
            return following
        if argument.startswith("--home="):
            return argument.removeprefix("--home=")
    return ""


def _find_environment(root: str, command: str, home: str) -> str:
    """Return the folder of an environment with the requirements of `command`."""
    extra = "test" if command == "test" else "run"
    folder = os.path.join(root, ".venv")
    if not (stamp.is_fresh(root, folder, extra) and os.path.exists(os.path.join(folder, PYTHON))):
        from studio.launcher.install import ensure_environment

        folder = ensure_environment(root, extra, window=not command, home=home)
    if command in ("", "test", "bench"):
        _check_libraries(folder, window=not command)
    return folder


def _check_libraries(folder: str, *, window: bool) -> None:
    """Check the system libraries once per environment and kind, since systems seldom lose libraries."""
    marker = os.path.join(folder, "studio-libraries-window" if window else "studio-libraries-offscreen")
    if sys.platform == "linux" and not os.path.exists(marker):
        from studio.launcher.system import ensure_libraries, find_display_problem

        if window and (problem := find_display_problem()):
            raise NoDisplay(problem)
        ensure_libraries(folder + ".log", window=window)
        with open(marker, "w"):
            pass


def _hand_over(root: str, python: str, command: str, arguments: Sequence[str]) -> int:
    """Run the command. `-P` prevents modules in the current folder from shadowing the studio's."""
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
