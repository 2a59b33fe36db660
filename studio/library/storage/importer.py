"""Taking a file from elsewhere into the library: checked, and copied byte for byte."""

from __future__ import annotations

from pathlib import Path

from studio.core import digests, files
from studio.core.errors import BadInput
from studio.core.images import IMAGE_SUFFIXES
from studio.core.paths import Home
from studio.library.formats import detection
from studio.library.storage import sidecar, thumbnails, writer


def digest(path: Path) -> str:
    """The digest of a file. Raises BadInput for a missing file, a folder, or one that may not be read."""
    if path.is_dir():
        raise BadInput(f"{path} is a folder, and a file is needed.")
    try:
        return digests.sha256(path)
    except FileNotFoundError as error:
        raise BadInput(f"There is no file {path}.", "Check the path.") from error
    except PermissionError as error:
        raise BadInput(f"{path} may not be read.", "Change its permissions or choose another.") from error
    except OSError as error:
        raise BadInput(f"{path} cannot be read: {error.strerror or error}.") from error


def check(path: Path) -> bytes | None:
    """A picture's thumbnail, or None for what is no picture. Raises BadInput for one that cannot be read."""
    if detection.sniff(path) in detection.PICTURES or path.suffix.lower() in IMAGE_SUFFIXES:
        return thumbnails.of_picture(path)
    return None


def copy(home: Home, path: Path, digest: str, *, created: str, aside: bool = False) -> Path:
    """The copy, ``NAME-ID10.EXT``, with a sidecar that keeps the file's own name. Raises StudioError."""
    extension = f".{writer.safe_name(path.suffix[1:])}" if path.suffix[1:] else ""
    name = f"{writer.safe_name(path.stem)}-{digest[:10]}{extension}"
    target = writer.day_folder(home) / name
    with files.temporary_file(target.parent, target.suffix) as part:
        try:
            copied = digests.copy(path, part)
        except OSError as error:
            raise files.describe_write_error(target, error) from error
        if copied != digest:
            raise BadInput(f"{path.name} changed while it was read.", "Try again once it is written.")
        own_name = path.name.encode("utf-8", "replace").decode()
        sidecar.change(target, imported=own_name, created=created, **({"aside": True} if aside else {}))
        files.commit_file(part, target)
    digests.remember(target, digest)
    return target


def bring_forward(path: Path) -> bool:
    """A picture that was taken in `aside` is wanted for itself now. False for what is no such picture."""
    was_aside = sidecar.read(path).aside
    if was_aside:
        sidecar.change(path, aside=False)
    return was_aside
