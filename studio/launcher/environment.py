"""The environment of a checkout: where it is, and whether it is whole."""

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
    """`root` is the checkout; `folder` holds the virtual environment."""

    root: Path
    folder: Path

    @staticmethod
    def of(root: Path) -> Environment:
        """`.venv` in the checkout, or a folder in the user's data where the checkout may not be written."""
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

    def finish(self, extras: Iterable[str], version: str) -> None:
        """Writes the stamp for an environment that has `extras` on a Python of `version`."""
        root = str(self.root)
        lines = [f"python {version}", stamp.of_root(root), stamp.of_files(root), *map(self.key, extras)]
        part = self.folder / f"{stamp.NAME}.part"
        part.write_text("\n".join(lines), "utf-8")
        part.replace(self.folder / stamp.NAME)

    def is_ready(self, extra: str) -> bool:
        """Whether `extra` (`run` or `test`) was installed as it is wanted now, and its Python still runs.

        Where it is, and only the times of files differ, the stamp is brought up to date.
        """
        lines = stamp.read(str(self.folder))
        if not {stamp.of_root(str(self.root)), self.key("run"), self.key(extra)} <= set(lines):
            return False
        version = self.python_version()
        if f"python {version}" not in lines:
            return False
        with suppress(OSError):
            self.finish([one for one in ("run", "test") if self.key(one) in lines], version)
        return True

    def has_test(self) -> bool:
        """Whether the test extra was installed here once, whatever its versions."""
        return any(line.startswith("test ") for line in stamp.read(str(self.folder)))

    def python_version(self) -> str:
        """`3.11`, as the environment's own Python says; empty when it does not run."""
        code = "import sys; print('%d.%d' % sys.version_info[:2] if sys.prefix != sys.base_prefix else '')"
        command = [str(self.python), "-I", "-c", code]
        try:
            done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
        except (OSError, subprocess.TimeoutExpired):
            return ""
        return done.stdout.strip() if done.returncode == 0 else ""

    def requirements(self, extra: str) -> list[str]:
        project = tomllib.loads((self.root / "pyproject.toml").read_text("utf-8"))["project"]
        found: list[str] = project["dependencies"] if extra == "run" else project["optional-dependencies"][extra]
        return found

    @property
    def constraints(self) -> Path:
        return self.root / "constraints.txt"

    def pins(self, extra: str) -> int:
        """How many packages `extra` is pinned to, at most; `test` counts those of `run` too."""
        text = self.constraints.read_text("utf-8")
        lines = (text if extra == "test" else text.partition("\n# test\n")[0]).splitlines()
        return sum("==" in line and ";" not in line for line in lines)

    def key(self, extra: str) -> str:
        wanted = self.constraints.read_text("utf-8") + "\n".join(self.requirements(extra))
        return f"{extra} {hashlib.sha256(wanted.encode()).hexdigest()}"


def data_folder() -> Path:
    """The studio's home as `core.paths.Home` finds it, without platformdirs."""
    if chosen := os.environ.get("STUDIO_HOME"):
        return Path(chosen).expanduser().absolute()
    if sys.platform == "win32":
        return Path(os.environ.get("LOCALAPPDATA") or Path.home() / "AppData" / "Local") / "Studio"
    if sys.platform == "darwin":
        return Path.home() / "Library" / "Application Support" / "Studio"
    return Path(os.environ.get("XDG_DATA_HOME") or Path.home() / ".local" / "share") / "Studio"
