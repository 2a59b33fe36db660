"""The real networks, if their model package is on this computer or can be fetched."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest

from plugins.face_swap.faces import networks
from plugins.face_swap.faces.networks import FaceNetworks
from studio.core.errors import BadInput, StudioError
from studio.core.paths import Home
from studio.library.models import model_packages, package_installation


@pytest.fixture(scope="session")
def package_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The unpacked model package of this computer's studio, or one that is fetched for the tests."""
    try:
        return model_packages.find_package(Home.default(), networks.PACKAGE)
    except BadInput:
        pass
    try:
        home = Home(tmp_path_factory.mktemp("home"))
        return package_installation.install(home, model_packages.get_package(networks.PACKAGE))
    except StudioError as error:
        pytest.skip(str(error))


@pytest.fixture(scope="session")
def face_networks(package_folder: Path) -> FaceNetworks:
    return networks.open_networks(package_folder)


@pytest.fixture
def face_home(package_folder: Path, home: Home) -> Home:
    """A home of the test's own that has the model package."""
    shutil.copytree(package_folder, home.models / "packages" / networks.PACKAGE)
    return home
