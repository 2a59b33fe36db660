"""Makes an environment, or repairs it, and says how far it is."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import threading
import time
from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import TextIO

from studio.launcher import lock
from studio.launcher.console import Console
from studio.launcher.environment import Environment
from studio.launcher.errors import LaunchError, NoDisplay
from studio.launcher.system import display_problem

ISOLATED = "-I"
"""Keeps PYTHONPATH, the user's site-packages and the current folder out of the tools that are called."""

SITE = "Lib/site-packages" if os.name == "nt" else "lib/python3*/site-packages"


def made(root: str, extra: str, *, window: bool) -> str:
    """The folder of the environment of the checkout in `root`, made or repaired as `extra` needs it.

    Raises LaunchError with a sentence; at once where a `window` is wanted and there is no display.
    """
    environment = Environment.of(Path(root))
    if not environment.is_ready(extra):
        if window and (problem := display_problem()):
            raise NoDisplay(problem)
        _prepare(environment, extra, Console())
    return str(environment.folder)


def _prepare(environment: Environment, extra: str, console: Console) -> None:
    waiting = lambda: console.say("Another start is preparing the environment; waiting for it.")  # noqa: E731
    try:
        with lock.held(environment.lock, waiting) as handle:
            if not environment.is_ready(extra):
                _Installation(environment, extra, console, handle).run()
    except OSError as error:
        reason = error.strerror or error
        raise LaunchError(f"The environment in {environment.folder} could not be made: {reason}.") from error


class _Installation:
    def __init__(self, environment: Environment, extra: str, console: Console, handle: int) -> None:
        self.environment = environment
        self.console = console
        self.handle = handle
        self.extras = ["run", "test"] if extra == "test" or environment.has_test() else ["run"]

    def run(self) -> None:
        began = time.monotonic()
        folder = self.environment.folder
        with self.environment.log.open("w", encoding="utf-8") as log:
            if folder.exists() and (self.environment.is_unfinished() or not self._usable(log)):
                self.console.say("The environment is unfinished or does not run; making it anew.")
                shutil.rmtree(folder)
            if not folder.exists():
                self.console.say(f"Making an environment for the studio, once: {folder}")
                self._create(log)
            else:
                self.console.say(f"Bringing the environment up to date: {folder}")
            self._install(log)
            version, site = self._site(log)
            (site / "studio-checkout.pth").write_text(f"{self.environment.root}\n", "utf-8")
            self._compile(log)
            self.environment.finish(self.extras, version)
        self.console.say(f"Ready after {_spoken(time.monotonic() - began)}.")

    def _usable(self, log: TextIO) -> bool:
        version = self.environment.python_version()
        if not version or tuple(map(int, version.split("."))) < (3, 11):
            return False
        return any(self._call(log, command) == 0 for command in (["-m", "pip", "--version"], ["-m", "ensurepip"]))

    def _create(self, log: TextIO) -> None:
        self.console.show("Python", "a copy of its own")
        self.environment.folder.mkdir(parents=True)
        self.environment.mark_unfinished()
        command = [sys.executable, ISOLATED, "-m", "venv", str(self.environment.folder)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if done.returncode != 0 or not self._usable(log):
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise LaunchError(
                f"Python could not make a virtual environment (see {self.environment.log}). "
                f"On Debian and Ubuntu: sudo apt-get install python{version}-venv"
            )

    def _install(self, log: TextIO) -> None:
        """Until pip begins to change files, an interruption costs nothing; from there on the stamp says so."""
        wanted = [one for extra in self.extras for one in self.environment.requirements(extra)]
        downloads = self.environment.folder / "downloads"
        downloads.mkdir(exist_ok=True)
        command = [str(self.environment.python), ISOLATED, "-m", "pip", "install", "--no-input", "--no-user"]
        command += ["--progress-bar", "off", "--disable-pip-version-check"]
        command += ["-c", str(self.environment.constraints), *wanted]
        log.write(" ".join(command) + "\n")
        pip = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            encoding="utf-8",
            errors="replace",
            pass_fds=() if sys.platform == "win32" else (self.handle,),
            env={**os.environ, "TMPDIR": str(downloads), "TEMP": str(downloads), "TMP": str(downloads)},
        )
        pace = _Pace(self.environment.pins(self.extras[-1]))
        reader = threading.Thread(target=self._read, args=(pip, log, pace), daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                self.console.show(*pace.said(downloads, self.environment.folder))
                reader.join(0.5)
        except BaseException:
            pip.terminate()
            raise
        finally:
            pip.wait()
            reader.join()
            shutil.rmtree(downloads, ignore_errors=True)
        if pip.returncode != 0:
            log.flush()
            raise LaunchError(f"{_why(self.environment.log)} All that pip said is in {self.environment.log}.")

    def _read(self, pip: subprocess.Popen[str], log: TextIO, pace: _Pace) -> None:
        assert pip.stdout is not None
        for line in pip.stdout:
            log.write(line)
            if line.startswith("Installing collected packages"):
                self.environment.mark_unfinished()
            pace.read(line)

    def _compile(self, log: TextIO) -> None:
        """The studio's own files, as pip does with what it installs; starts that have to compile take twice as long."""
        folders = [str(self.environment.root / name) for name in ("studio", "plugins")]
        self.console.show("Compiling", "the studio's own files")
        self._call(log, ["-m", "compileall", "-q", *folders])

    def _site(self, log: TextIO) -> tuple[str, Path]:
        code = "import sys, sysconfig; print('%d.%d' % sys.version_info[:2]); print(sysconfig.get_path('purelib'))"
        done = subprocess.run(
            [self.environment.python, ISOLATED, "-c", code], stdout=subprocess.PIPE, stderr=log, text=True, check=True
        )
        version, site = done.stdout.splitlines()
        return version, Path(site)

    def _call(self, log: TextIO, arguments: Sequence[str]) -> int:
        command = [str(self.environment.python), ISOLATED, *arguments]
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode


class _Pace:
    """How far pip is, from what it prints and from what lies in its folders."""

    def __init__(self, pins: int) -> None:
        self.pins = pins
        self.seen: set[str] = set()
        self.last = ""
        self.unpacking: int | None = None
        self.began = time.monotonic()

    def read(self, line: str) -> None:
        if found := re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line):
            self.last = found[1]
            self.seen.add(re.sub(r"[-_.]+", "-", found[1]).lower())
        elif line.startswith("Installing collected packages:"):
            self.unpacking = line.count(",") + 1

    def said(self, downloads: Path, folder: Path) -> tuple[str, str]:
        seconds = _spoken(time.monotonic() - self.began)
        if self.unpacking is None:
            size = _size(downloads) / 1e6
            fetched = f", {size:,.0f} MB" if size >= 1 else ""
            known = max(self.pins, len(self.seen))
            return "Fetching", f"package {len(self.seen)} of {known}{fetched}, {seconds}  {self.last}"
        done = sum(1 for _ in folder.glob(f"{SITE}/*.dist-info/RECORD"))
        return "Unpacking", f"{min(done, self.unpacking)} of {self.unpacking}, {seconds}"


def _size(folder: Path) -> int:
    """Bytes below a folder that another process is writing to, where files come and go."""
    total = 0
    for inner, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(inner) / name).lstat().st_size
    return total


def _spoken(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _why(log: Path) -> str:
    """The sentence for what pip wrote before it gave up."""
    text = log.read_text("utf-8", errors="replace")
    if "No space left on device" in text or "Errno 28" in text:
        return "The disk is full, so the packages could not be installed."
    if re.search(r"NewConnectionError|NameResolutionError|Failed to establish|ConnectTimeout|ProxyError", text):
        return "The package index cannot be reached; a connection is needed for the first start."
    if found := re.search(r"No matching distribution found for (\S+)|The user requested \(constraint\) (\S+)", text):
        return f"There is no build of {found[1] or found[2]} for this machine and its Python."
    errors = re.findall(r"^ERROR: (.+)$", text, re.MULTILINE)
    reason = f": {errors[-1].rstrip('.')}" if errors else ""
    return f"The packages could not be installed{reason}."
