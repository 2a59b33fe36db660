"""The command line: the engine and the library without a window."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command, or open the window without one.

    Returns the exit status: 0 done, 1 failed, 2 wrong usage or bad input, 130 cancelled.
    """
    from studio.cli.console import Console
    from studio.core.errors import BadInput, CannotWrite, StudioError

    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console(json="--json" in arguments)
    try:
        from studio.cli.arguments import parse_arguments

        options = parse_arguments(arguments)
        return int(options.command(options, console))
    except PermissionError as error:
        console.report_failure(
            BadInput.kind,
            f"{error.filename} cannot be used: permission denied. Change its permissions or choose another file.",
        )
        return 2
    except BrokenPipeError:
        # The reader of the pipe has left. Without this, Python would raise again when it flushes at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except StudioError as error:
        console.report_failure(error.kind, str(error))
        return 2 if isinstance(error, BadInput | CannotWrite) else 1
