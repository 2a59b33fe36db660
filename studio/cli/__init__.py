"""The same engine and library without a window."""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command, or opens the window where there is none. Returns the exit status:
    0 done, 1 failed, 2 wrong usage or bad input, 130 cancelled."""
    from studio.cli.console import Console
    from studio.core.errors import BadInput, CannotWrite, StudioError

    arguments = list(sys.argv[1:] if argv is None else argv)
    console = Console(json="--json" in arguments)
    try:
        from studio.cli.arguments import parsed

        options = parsed(arguments)
        return int(options.command(options, console))
    except PermissionError as error:
        console.failed(BadInput.kind, f"{error.filename} may not be used. Change its permissions or choose another.")
        return 2
    except BrokenPipeError:
        # Whoever reads has seen enough. Python would complain once more when it flushes at the end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except KeyboardInterrupt:
        return 130
    except StudioError as error:
        console.failed(error.kind, str(error))
        return 2 if isinstance(error, BadInput | CannotWrite) else 1
