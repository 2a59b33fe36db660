"""The command line's grammar. Commands are imported when they are run."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from studio import __version__
from studio.cli.console import Console
from studio.core.errors import BadInput, did_you_mean

Command = Callable[[argparse.Namespace, Console], int]

COMMANDS = ("tools", "describe", "run", "again", "recipe", "history", "plugins", "doctor", "bench", "test")


def parsed(arguments: Sequence[str]) -> argparse.Namespace:
    """The options, with `command` to call. Raises BadInput, with one sentence, for wrong usage."""
    return _parser().parse_args(arguments)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if found := re.search(r"invalid choice: '(.*?)'", message):
            known = COMMANDS if self.prog == "studio" else ("new",)
            hint = did_you_mean(found[1], known) or f"There are: {', '.join(known)}."
            if "." in found[1]:
                hint = f"To run a tool: {self.prog} run {found[1]}."
            raise BadInput(f"There is no command {found[1]}.", hint)
        raise BadInput(f"{message[:1].upper()}{message[1:]}.", f"See `{self.prog} --help`.")


def _parser() -> argparse.ArgumentParser:
    shared = _Parser(add_help=False)
    _shared_options(shared, argparse.SUPPRESS)
    parser = _Parser(
        prog="studio",
        description="A local creative studio. Without a command, the window opens.",
        epilog="Exit status: 0 done, 1 the job failed, 2 wrong usage or bad input, 130 cancelled.",
        allow_abbrev=False,
    )
    _shared_options(parser, None)
    parser.add_argument("--version", action="version", version=f"studio {__version__}")
    parser.set_defaults(command=_later("studio.cli.gui", "window"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)

    def command(name: str, module: str, summary: str) -> argparse.ArgumentParser:
        part = commands.add_parser(name, help=summary, description=summary, parents=[shared], allow_abbrev=False)
        part.set_defaults(command=_later(f"studio.cli.{module}", name))
        return part

    command("tools", "queries", "list every tool")
    command("describe", "queries", "show a tool's parameters").add_argument("tool", metavar="TOOL")

    run = command("run", "run", "run a tool to its end")
    run.add_argument("tool", metavar="TOOL")
    run.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="a parameter; repeat it for each one, and for each item of a list; an input takes a path",
    )  # fmt: skip
    run.add_argument("--seed", type=int, help="0 to 4294967295; by chance when left out")
    run.add_argument("--count", type=int, default=1, metavar="N", help="how many, with seeds that count up")
    run.add_argument("--out", metavar="FILE_OR_FOLDER", help="the extension of a file picks the format")
    run.add_argument("--estimate", action="store_true", help="say what it would take, and run nothing")

    again = command("again", "run", "run the recipe inside a creation again")
    again.add_argument("file", metavar="FILE", help="a file, or the id of a creation")
    again.add_argument("--out", metavar="FILE_OR_FOLDER", help="the extension of a file picks the format")

    recipe = command("recipe", "queries", "print the recipe inside a file, ours or another program's")
    recipe.add_argument("file", metavar="FILE", help="a file, or the id of a creation")

    history = command("history", "queries", "search the library")
    history.add_argument("query", nargs="*", metavar="QUERY", help="words, tool:… tag:… rating:>=3 is:starred kind:…")
    history.add_argument("--limit", type=int, default=100, metavar="N", help="how many at most (100)")

    plugins = command("plugins", "queries", "list plugins, loaded and failed; `plugins new NAME` starts one")
    new = plugins.add_subparsers(metavar="new NAME", parser_class=_Parser).add_parser(
        "new", help="write a working plugin to start from", parents=[shared], allow_abbrev=False
    )
    new.add_argument("name", metavar="NAME")
    new.set_defaults(command=_later("studio.cli.plugin_template", "new"))

    command("doctor", "doctor", "show device, memory, versions and folders, and what is missing")
    bench = command("bench", "dev_commands", "run the benchmarks and print a table")
    bench.add_argument("name", nargs="?", metavar="NAME")
    test = command("test", "dev_commands", "run the test suite")
    test.add_argument("rest", nargs="*", metavar="PATH", help="what to test; everything when left out")
    return parser


def _shared_options(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Before the command or after it. A default on both sides would undo what was said before."""
    parser.add_argument("--home", type=Path, default=default, metavar="FOLDER", help="the studio's own (STUDIO_HOME)")
    parser.add_argument("--device", default=default, help="auto, cpu, cuda:0, mps, xpu")
    parser.add_argument(
        "--json", action="store_true", default=default if default else False, help="one JSON object per line"
    )


def _later(module: str, name: str) -> Command:
    def command(options: argparse.Namespace, console: Console) -> int:
        found: Command = getattr(importlib.import_module(module), name)
        return found(options, console)

    return command
