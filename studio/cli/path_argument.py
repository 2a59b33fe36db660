"""Paths that are given as arguments."""

from __future__ import annotations

from pathlib import Path

from studio.core.errors import BadInput


def parse_path(text: str | Path) -> Path:
    """Return a path with `~` expanded, which need not exist. Raises BadInput for a text that cannot be a path."""
    path = Path(text)
    if "\0" in str(path):
        raise BadInput("A path cannot contain the character NUL.", "Check the path.")
    try:
        path = path.expanduser()
        path.exists()
    except RuntimeError as error:
        raise BadInput(
            f"There is no user {path.parts[0][1:]} on this computer.", f"Write ./{path} for a file."
        ) from error
    except PermissionError:
        pass  # whoever opens it says so
    except OSError as error:
        raise BadInput(f"{path} cannot be used: {error.strerror or error}.", "Check the path.") from error
    return path
