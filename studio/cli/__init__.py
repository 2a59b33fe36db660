"""The command line: the engine and the library without a window."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from studio.cli.console import Console


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, or open the window without one.

    Returns the exit status: 0 done, 1 failed, 2 wrong usage or bad input, 130 cancelled.
    """
    from studio.cli.console import Console, OutputError, replace_closed_streams, silence_output

    replace_closed_streams()
    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console(json="--json" in arguments)
    try:
        return _run(arguments, console)
    except OutputError as error:
        Console(json=False).print_warning(str(error))
        return 2
    except BrokenPipeError:  # the reader has left
        return 0
    finally:
        silence_output()


def _run(arguments: Sequence[str], console: Console) -> int:
    from studio.cli.console import OutputError
    from studio.core.errors import BadInput, CannotWrite, StudioError

    try:
        from studio.cli.arguments import parse_arguments

        options = parse_arguments(arguments)
        return int(options.command(options, console))
    except (OutputError, BrokenPipeError):
        raise
    except StudioError as error:
        console.report_failure(error.kind, str(error))
        return 2 if isinstance(error, BadInput | CannotWrite) else 1
    except PermissionError as error:
        name = error.filename or "The studio's folder"
        sentence = f"{name} cannot be used: permission denied. Change its permissions or choose another file."
        console.report_failure(BadInput.kind, sentence)
        return 2
    except KeyboardInterrupt:
        return 130
    except Exception as error:
        console.report_failure(StudioError.kind, _describe_unexpected(error))
        return 1


def _describe_unexpected(error: Exception) -> str:
    """Write the traceback of an unexpected error into a file, and return a sentence that names it."""
    import tempfile
    import traceback

    from studio.core.errors import describe_exception

    sentence = f"An unexpected error ended the command: {describe_exception(error)}."
    try:
        with tempfile.NamedTemporaryFile("w", prefix="studio-error-", suffix=".log", delete=False) as file:
            file.writelines(traceback.format_exception(error))
    except (OSError, UnicodeError):
        return sentence
    return f"{sentence} The details are in {file.name}."
