"""The virtual environment of a checkout: its location and state."""

from __future__ import annotations

import hashlib
import os
import subprocess
import sys
import tomllib
from collections.abc import Iterable
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path

from studio.launcher import stamp


@dataclass(frozen=True)
class Environment:
    """`root` is the checkout, and `folder` the virtual environment."""

    root: Path
    folder: Path

    @staticmethod
    def of(root: Path) -> Environment:
        """Return the environment in `.venv`, or in the user-data folder if the checkout is not writable."""
        beside = root / ".venv"
        if os.access(beside if beside.is_dir() else root, os.W_OK):
            return Environment(root, beside)
        name = hashlib.sha256(str(root).encode()).hexdigest()[:12]
        return Environment(root, data_folder() / "environments" / name)

    @property
    def python(self) -> Path:
        return self.folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")

    @property
    def lock(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.lock")

    @property
    def log(self) -> Path:
        return self.folder.with_name(f"{self.folder.name}.log")

    def is_unfinished(self) -> bool:
        return stamp.UNFINISHED in stamp.read(str(self.folder))

    def mark_unfinished(self) -> None:
        (self.folder / stamp.NAME).write_text(stamp.UNFINISHED, "utf-8")

    def write_stamp(self, extras: Iterable[str], version: str) -> None:
        """Write the stamp of a finished environment with `extras` and a Python of `version`."""
        root = str(self.root)
        lines = [f"python {version}", stamp.of_root(root), stamp.of_files(root), *map(self.key_of, extras)]
        part = self.folder / f"{stamp.NAME}.part"
        part.write_text("\n".join(lines), "utf-8")
        part.replace(self.folder / stamp.NAME)

    def is_ready(self, extra: str) -> bool:
        """Check whether `extra` (`run` or `test`) is installed with the current pins, and its Python runs.

        Updates the stamp if only the modification times of files differ.
        """
        lines = stamp.read(str(self.folder))
        if not {stamp.of_root(str(self.root)), self.key_of("run"), self.key_of(extra)} <= set(lines):
            return False
        version = self.python_version()
        if f"python {version}" not in lines:
            return False
        with suppress(OSError):
            self.write_stamp([name for name in ("run", "test") if self.key_of(name) in lines], version)
        return True

    def has_test(self) -> bool:
        """Check whether any version of the test extra is installed."""
        return any(line.startswith("test ") for line in stamp.read(str(self.folder)))

    def python_version(self) -> str:
        """Return the version of the environment's Python, such as `3.11`; empty if it does not run."""
        code = "import sys; print('%d.%d' % sys.version_info[:2] if sys.prefix != sys.base_prefix else '')"
        command = [str(self.python), "-I", "-c", code]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def read_requirements(self, extra: str) -> list[str]:
        """Read the requirements of an extra from `pyproject.toml`."""
        project = tomllib.loads((self.root / "pyproject.toml").read_text("utf-8"))["project"]
        requirements: list[str] = project["dependencies"] if extra == "run" else project["optional-dependencies"][extra]
        return requirements

    @property
    def constraints(self) -> Path:
        return self.root / "constraints.txt"

    def count_pins(self, extra: str) -> int:
        """Return the maximum number of packages that `extra` installs. `test` includes those of `run`."""
        text = self.constraints.read_text("utf-8")
        lines = (text if extra == "test" else text.partition("\n# test\n")[0]).splitlines()
        return sum("==" in line and ";" not in line for line in lines)

    def key_of(self, extra: str) -> str:
        """Return the stamp line of an extra: its name and the digest of its pins."""
        pins = self.constraints.read_text("utf-8") + "\n".join(self.read_requirements(extra))
        return f"{extra} {hashlib.sha256(pins.encode()).hexdigest()}"


def data_folder() -> Path:
    """Return the studio's home as `core.paths.Home` does, without platformdirs."""
    if folder := os.environ.get("STUDIO_HOME"):
        return Path(folder).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "Studio"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Studio"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "Studio"
