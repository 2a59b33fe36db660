"""One odd file costs one sentence; the rest of the library goes on."""

from __future__ import annotations

import json
import os
import struct
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import msgspec
import pytest

from studio.core.paths import Home
from studio.core.recipe import Recipe
from studio.library.creation import Creation
from studio.library.foreign.metadata import parse_texts
from studio.library.library import Library
from studio.library.models import external_folders, offers
from studio.library.storage import sidecar
from tests.fuzz import seeds
from tests.fuzz.mutations import ebml
from tests.library import factories

Made = Callable[..., Creation]


def _png(recipe: str) -> bytes:
    """Build a PNG of one pixel with a recipe of the studio."""
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 0, 0, 0, 0)),
        (b"iTXt", b"studio_recipe\0\0\0\0\0" + recipe.encode()),
        (b"IDAT", zlib.compress(b"\0\0")),
        (b"IEND", b""),
    )
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body)) for kind, body in chunks
    )


def _recipe(**values: str) -> str:
    fields = {"tool": '"x.y"', "plugin": '{"name": "x"}', "seed": "1", "params": '{"prompt": "p"}', **values}
    return "{" + ", ".join(f'"{name}": {value}' for name, value in fields.items()) + "}"


def _video(width: bytes, duration: bytes) -> bytes:
    video = ebml(0xAE, ebml(0xE0, ebml(0xB0, width) + ebml(0xBA, b"\1")))
    info = ebml(0x1549A966, ebml(0x4489, duration))
    return ebml(0x1A45DFA3, b"") + ebml(0x18538067, info + ebml(0x1654AE6B, video))


ODD = {
    "seed-63.png": _png(_recipe(seed=str(2**63))),
    "seed-64.png": _png(_recipe(seed=str(2**64 - 1))),
    "seed-negative.png": _png(_recipe(seed=str(-(2**63) - 1))),
    "seed-long.png": _png(_recipe(seed="9" * 5_000)),
    "deep-99.png": _png(_recipe(params='{"prompt": ' + "[" * 99 + "]" * 99 + "}")),
    "deep-900.png": _png(_recipe(params='{"prompt": ' + "[" * 900 + "]" * 900 + "}")),
    "created-first.png": _png(_recipe(created='"0001-01-01T00:00:00+23:59"')),
    "created-last.png": _png(_recipe(created='"9999-12-31T23:59:59-23:59"')),
    "tool-nul.png": _png(_recipe(tool='"x\\u0000y"')),
    "surrogate.png": _png(_recipe(params='{"prompt": "\\ud800"}')),
    "title-deep.md": b"---\ntitle: " + b"[" * 5_000 + b"\nstudio_recipe: {}\n---\nx",
    "title-surrogate.md": b'---\ntitle: "\\ud800"\nstudio_recipe: {}\n---\nx',
    "width.mkv": _video(b"\xff" * 20, struct.pack(">d", 5)),
    "duration.mkv": _video(b"\1", struct.pack(">d", float("nan"))),
    "length-0.mp4": b"\0\0\0\x10ftypisom\0\0\0\0" + b"\0\0\0\0free" * 3,
    "length-64.mp4": b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\1free" + b"\xff" * 8,
    "scale-0.mp4": b"\0\0\0\x10ftypisom\0\0\0\0\0\0\0\x74moov\0\0\0\x6cmvhd" + bytes(100),
    "empty.png": b"",
    "only-start.gif": b"GIF89a",
    "nothing.jpg": b"\xff\xd8\xff\xe0" + bytes(100),
}


@pytest.mark.parametrize("name", ODD)
def test_an_odd_file_costs_at_most_one_sentence(library: Library, make_creation: Made, name: str) -> None:
    good = make_creation()
    (library.home.library / name).write_bytes(ODD[name])
    began = time.process_time()
    problems = library.sweep().problems
    assert time.process_time() - began < 1
    assert len(problems) <= 1
    assert all(name in problem and problem.isprintable() for problem in problems)
    rows = library.search()
    assert good.id in [row.id for row in rows]
    for row in rows:
        json.dumps(msgspec.to_builtins(row)).encode()
    assert not library.sweep().changed


def test_the_seed_of_a_recipe_is_kept_where_the_index_cannot_hold_it(library: Library) -> None:
    path = library.home.library / "seed.png"
    path.write_bytes(ODD["seed-64.png"])
    creation = library.add(path)
    assert creation.recipe
    assert creation.recipe.seed == 2**64 - 1
    assert library.find_ids("p") == [creation.id]


def test_many_odd_files_leave_the_good_ones_of_their_batch(library: Library, make_creation: Made) -> None:
    for name, content in ODD.items():
        (library.home.library / name).write_bytes(content)
    good = [seeds.write_own_png(library.home)]
    library.sweep()
    assert {row.path for row in library.search()} >= {str(path) for path in good}


def test_a_graph_with_very_many_inputs_is_walked_once(tmp_path: Path) -> None:
    wide = {"class_type": "X", "inputs": {f"i{number}": ["3", 0] for number in range(60_000)}}
    sampler = {
        "class_type": "KSampler",
        "inputs": {"seed": 5, "positive": ["2", 0], "steps": ["2", 0], "cfg": ["2", 0]},
    }
    graph = json.dumps({"1": sampler, "2": wide, "3": {"class_type": "T", "inputs": {"text": "fox"}}})
    began = time.process_time()
    found = parse_texts({"prompt": graph})
    assert time.process_time() - began < 1
    assert found
    assert (found.prompt, found.seed) == ("fox", 5)


@pytest.mark.parametrize(
    ("field", "value", "kept"),
    [
        ("rating", str(2**80), {"star": True, "tags": ("a",)}),
        ("rating", "-1", {"star": True, "tags": ("a",)}),
        ("star", '"yes"', {"star": False, "tags": ("a",)}),
        ("tags", '["\\ud800"]', {"star": True, "tags": ()}),
        ("other", "[" * 50_000, {"star": False, "tags": ()}),
        ("recipe", _recipe(seed=str(2**70)), {"star": True, "tags": ("a",)}),
    ],
)
def test_a_damaged_field_of_a_sidecar_costs_itself(
    library: Library, make_creation: Made, field: str, value: str, kept: dict[str, object]
) -> None:
    path = Path(make_creation().path)
    fields = {"star": "true", "tags": '["a"]', "rating": "3", field: value}
    text = "{" + ", ".join(f'"{name}": {one}' for name, one in fields.items()) + "}"
    sidecar.sidecar_path(path).write_text(text)
    library.sweep()
    (creation,) = library.search()
    assert {name: getattr(creation, name) for name in kept} == kept


@pytest.mark.skipif(os.name == "nt", reason="pipes, devices and such names are of POSIX")
def test_pipes_devices_and_names_that_are_not_utf_8(library: Library, make_creation: Made, tmp_path: Path) -> None:
    good = make_creation()
    os.mkfifo(library.home.library / "pipe.png")
    (library.home.library / "zero.png").symlink_to("/dev/zero")
    bad = os.fsencode(library.home.library) + b"/caf\xe9.png"
    Path(os.fsdecode(bad)).write_bytes(Path(good.path).read_bytes())
    began = time.monotonic()
    problems = sorted(library.sweep().problems)
    assert time.monotonic() - began < 5
    assert len(problems) == 3
    assert problems[0].startswith("The name of caf\ufffd.png is not UTF-8")
    assert all("pipe or a device" in problem for problem in problems[1:])
    assert [row.id for row in library.search()] == [good.id]


@pytest.mark.skipif(os.name == "nt", reason="such names are of POSIX")
def test_odd_models_leave_the_list_of_models(home: Home, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    for folder in (home.models, elsewhere):
        folder.mkdir(exist_ok=True)
        (folder / "good.safetensors").write_bytes(seeds.model_files()["lora.safetensors"])
        for name, header in {"deep": b'{"a":' + b"[" * 10_000, "none": b"null", "text": b'"\\ud800"'}.items():
            (folder / f"{name}.safetensors").write_bytes(struct.pack("<Q", len(header)) + header)
        os.mkfifo(folder / "pipe.safetensors")
        Path(os.fsdecode(os.fsencode(folder) + b"/\xe9.safetensors")).write_bytes(b"x")
        (folder / "card").mkdir()
        (folder / "card" / "studio.json").write_bytes(b"[" * 100_000)
    (elsewhere / "extra_model_paths.yaml").write_text('a:\n  base_path: "~nosuchuser/x"\n  loras: "x\\0y"\nb: [')
    external_folders.refresh(home, [str(elsewhere)])
    titles = [offer.title for offer in offers.list_offers(home, None, "lora")]
    assert sum(title.startswith("good") for title in titles) >= 1
    assert all(title.encode() for title in titles)


def test_a_recipe_that_is_read_can_be_written_and_read_again() -> None:
    recipe = factories.make_recipe(extra={"deep": [[1, 2.5, None, True, "猫"]]})
    assert Recipe.from_json(recipe.to_json()) == recipe
