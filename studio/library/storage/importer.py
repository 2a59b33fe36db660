"""Copies files into the library, byte for byte, after checking them."""

from __future__ import annotations

from pathlib import Path

from studio.core import digests, files
from studio.core.errors import BadInput
from studio.core.paths import Home
from studio.library.storage import sidecar, writer


def hash_file(path: Path) -> str:
    """Return the SHA-256 of a file. Raises BadInput for a missing file, a folder, or one that cannot be read."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder; choose a file.")
    try:
        return digests.sha256(path)
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {path}.", "Check the path.") from error
    except PermissionError as error:
        raise BadInput(
            f"{path} cannot be read: permission denied.", "Change its permissions or choose another file."
        ) from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error


def copy_into_library(home: Home, path: Path, digest: str, *, created: str, hidden: bool = False) -> Path:
    """Copy a file as ``NAME-ID10.EXT``, with a sidecar that stores its original name. Raises StudioError."""
    extension = f".{writer.sanitize_name(path.suffix[1:])}" if path.suffix[1:] else ""
    name = f"{writer.sanitize_name(path.stem)}-{digest[:10]}{extension}"
    target = writer.get_day_folder(home) / name
    with files.temporary_file(target.parent, target.suffix) as part:
        try:
            copied = digests.copy(path, part)
        except OSError as error:
            raise files.describe_write_error(target, error) from error
        if copied != digest:
            raise BadInput(f"{path.name} changed while it was read.", "Try again once it is written.")
        original_name = path.name.encode("utf-8", "replace").decode()
        sidecar.update(target, imported=original_name, created=created, **({"hidden": True} if hidden else {}))
        files.commit_file(part, target)
    digests.remember(target, digest)
    return target


def unhide(path: Path) -> bool:
    """Show a hidden image in the history. Return False if it was not hidden."""
    was_hidden = sidecar.read(path).hidden
    if was_hidden:
        sidecar.update(path, hidden=False)
    return was_hidden
