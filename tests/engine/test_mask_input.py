"""A painted mask as the input of a plugin in one file."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image
from PySide6.QtCore import QSize
from PySide6.QtGui import QColor, QImage

from studio.core.job import JobState
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.interface import Created
from studio.engine.local_engine import LocalEngine
from studio.engine.recipe_builder import build_recipe
from studio.library.creation import CreationKind
from studio.library.library import Library
from studio.state.form import masks
from tests.fixtures.events import EventRecorder

PLUGIN = '''
from studio import api

class Fill(api.Tool):
    """White where the mask is, the picture elsewhere."""

    id = "fill.white"
    title = "Fill"

    class Params(api.Params):
        image: api.ImageInput
        mask: api.MaskInput

    def run(self, params, ctx):
        from PIL import Image
        picture, mask = Image.open(params.image).convert("RGB"), Image.open(params.mask)
        picture.paste((255, 255, 255), (0, 0), mask)
        yield api.Image(picture)


@api.hookimpl
def studio_tools():
    return [Fill]
'''


@pytest.fixture
def engine(home: Home, library: Library) -> Iterator[LocalEngine]:
    (home.plugins / "fill.py").write_text(PLUGIN)
    engine = LocalEngine(home, library, Settings(device="cpu"))
    yield engine
    engine.close()


@pytest.fixture
def photo(tmp_path: Path) -> Path:
    Image.new("RGB", (61, 40), (0, 100, 0)).save(tmp_path / "photo.png")
    return tmp_path / "photo.png"


def paint_left_half(size: QSize) -> QImage:
    image = QImage(size, QImage.Format.Format_Grayscale8)
    image.fill(0)
    for x in range(size.width() // 2):
        for y in range(size.height()):
            image.setPixelColor(x, y, QColor("white"))
    return image


def test_a_painted_mask_reaches_the_tool(engine: LocalEngine, library: Library, home: Home, photo: Path) -> None:
    path = masks.new_path(home)
    masks.write(path, paint_left_half(QSize(61, 40)), feather=0)
    recorder = EventRecorder()
    engine.subscribe(recorder)
    engine.start()
    recorder.wait_until_ready()
    recipe = build_recipe(engine.catalogue.tools["fill.white"], {"image": photo, "mask": path}, 1, library)
    (job,) = engine.submit(recipe)
    result = recorder.wait_for(Created).creation
    recorder.wait_for_state(job, JobState.DONE)
    with Image.open(result.path) as filled:
        assert (filled.getpixel((10, 20)), filled.getpixel((50, 20))) == ((255, 255, 255), (0, 100, 0))
    assert {parent.kind for parent in library.find_parents(result.id)} == {CreationKind.IMAGE, CreationKind.FILE}
    assert len(library.find_ids()) == 2, "the photo and the result"


def test_a_feathered_mask_is_read_again_with_its_hard_edge(home: Home) -> None:
    path, size = masks.new_path(home), QSize(61, 40)
    hard = paint_left_half(size)
    masks.write(path, hard, feather=12)
    with Image.open(path) as soft:
        level = soft.getpixel((26, 20))
        assert isinstance(level, int)
        assert 0 < level < 255
    again = masks.read(path, size)
    assert (again.image == hard, again.feather, again.scaled_from) == (True, 12, None)
    smaller = masks.read(path, QSize(30, 20))
    assert (smaller.image.size(), smaller.scaled_from) == (QSize(30, 20), size)
