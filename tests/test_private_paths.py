"""No file that a tool writes into the library holds a path: one tool of each kind, in a home with a marked name."""

from __future__ import annotations

import zlib
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

import numpy as np
import PIL.Image
import pytest

from studio.core.descriptor import ToolDescriptor
from studio.core.job import Job, JobState
from studio.core.paths import Home
from studio.core.settings import Settings
from studio.engine.interface import JobChanged
from studio.engine.local_engine import LocalEngine
from studio.engine.recipe_builder import build_recipe, restore_values
from studio.library.library import Library
from studio.library.models.offers import starters_folder
from tests.fixtures.events import EventRecorder

MARKER = "secretartist"


def find_marker(folder: Path) -> list[str]:
    """Return the files with the marker: as bytes, decompressed, or as UTF-16."""
    files = [file for file in folder.rglob("*") if file.is_file()]
    return [str(file.relative_to(folder)) for file in files if any(map(_is_marked, _contents_of(file.read_bytes())))]


def _is_marked(content: bytes) -> bool:
    return any(MARKER.encode(encoding) in content for encoding in ("utf-8", "utf-16-le", "utf-16-be"))


def _contents_of(content: bytes) -> Iterator[bytes]:
    yield content
    for head in (b"\x78\x01", b"\x78\x5e", b"\x78\x9c", b"\x78\xda"):
        at = content.find(head)
        while at >= 0:
            with suppress(zlib.error):
                yield zlib.decompressobj().decompress(content[at:], 2**20)
            at = content.find(head, at + 1)


CASES: dict[str, dict[str, object]] = {
    "style.transfer": {"image": "photos/1.png", "style": "style copy", "resolution": 64},
    "style.folder": {"folder": "photos", "target": "restyled", "style": "style-ink", "resolution": 64},
    "vae.morph": {"images": ["photos/1.png", "photos/2.png"], "frames": 4, "model": "vae copy"},
    "vae.train": {"folder": "photos", "more_folders": ["more/photos"], "steps": 1, "batch": 2, "width": "tiny"},
    "style.train": {"folder": "photos", "steps": 1, "batch": 1, "size": 64, "network": "tiny"},
    "diffusion.train": {"folder": "photos", "kind": "lora", "steps": 1, "batch": 1, "size": 64, "prompts": ["a fox"]},
    "writer.train": {"folder": "texts", "steps": 1, "batch": 1, "context": 32, "vocabulary": 300, "size": "tiny"},
}
"""Values by tool. Those that exist as files or folders in the marked folder are replaced by their paths there."""


@pytest.fixture
def place(tmp_path: Path) -> Path:
    """Return a folder with pictures, texts and models, whose path has the marker."""
    place = tmp_path / MARKER
    random = np.random.default_rng(1)
    for folder in ("photos", "more/photos", "texts", "restyled"):
        (place / folder).mkdir(parents=True)
    for number in range(20):
        for folder in ("photos", "more/photos"):
            image = PIL.Image.fromarray(random.integers(0, 255, (40, 48, 3), np.uint8))
            image.save(place / folder / f"{number}.png")
        (place / "texts" / f"{number}.txt").write_text(f"The fox number {number} sat by the river and looked.\n" * 60)
    (place / "photos" / "broken.png").write_bytes(b"\x89PNG\r\n\x1a\nbroken")
    (place / "vae copy").symlink_to(starters_folder() / "vae-spatial")
    (place / "style copy").symlink_to(starters_folder() / "style-ink")
    return place


def test_no_result_holds_a_path_of_the_artists_machine(place: Path, tmp_path: Path) -> None:
    home = Home(place / "studio home")
    library, recorder = Library(home), EventRecorder()
    library.open()
    engine = LocalEngine(home, library, Settings(device="cpu"))
    engine.subscribe(recorder)
    engine.start()
    try:
        recorder.wait_until_ready()
        for tool, named in CASES.items():
            descriptor = engine.catalogue.tools[tool]
            values = {name: _locate(value, place) for name, value in named.items()}
            ended = _run(engine, recorder, descriptor, values, library)
            assert ended.state is JobState.DONE, (tool, ended.failure)
            for number, id in enumerate(ended.outputs):
                creation = library.get(id)
                assert creation is not None
                assert creation.recipe is not None
                exported = library.export(id, tmp_path / f"out {tool} {number}" / Path(creation.path).name)
                assert find_marker(exported.parent) == [], tool
                again = build_recipe(descriptor, restore_values(descriptor, creation.recipe, library), 3, library)
                wanted = build_recipe(descriptor, values, 3, library)
                assert again.params == wanted.params, "the paths are found again on this machine"
        assert find_marker(home.library) == []
    finally:
        engine.close()
        library.close()


def _run(
    engine: LocalEngine,
    recorder: EventRecorder,
    descriptor: ToolDescriptor,
    values: dict[str, object],
    library: Library,
) -> Job:
    (job,) = engine.submit(build_recipe(descriptor, values, 3, library))
    event = recorder.wait_for(JobChanged, lambda event: event.job.id == job.id and event.job.state.ended)
    return event.job


def _locate(value: object, place: Path) -> object:
    if isinstance(value, list):
        return [_locate(item, place) for item in value]
    return str(place / value) if isinstance(value, str) and (place / value).exists() else value
