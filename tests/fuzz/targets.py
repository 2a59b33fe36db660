"""Targets of the fuzzer: each puts a file where an artist would, and reads it as the studio does."""

from __future__ import annotations

import contextlib
import json
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import msgspec

from studio.core import settings
from studio.core.descriptor import Catalogue
from studio.core.errors import BadInput
from studio.core.images import open_picture
from studio.core.messages import EstimateResult
from studio.core.model_files.gguf_header import read_gguf_header
from studio.core.model_files.safetensors_header import read_weight_shapes
from studio.core.paths import Home
from studio.engine import catalogue_cache
from studio.engine.throughput import Rates
from studio.library.foreign import comfy_reader, dialects
from studio.library.foreign.comfy_graph import GraphTooLargeError
from studio.library.foreign.fields import list_fields
from studio.library.foreign.metadata import read_metadata
from studio.library.foreign.parsed_fields import parse_json
from studio.library.index import schema
from studio.library.index.found_settings import find_settings
from studio.library.library import Library
from studio.library.models import external_folders, licences, model_kind, offers
from studio.library.pages.store import PageStore
from studio.library.storage import recipe_embedding, sidecar
from tests.fuzz import mutations, seeds
from tests.fuzz.mutations import Mutate

KINDS = "diffusion lora autoencoder style language"


@dataclass(frozen=True)
class Target:
    """A seed under the name that it has on disk, its mutation, and the reader, which may raise nothing."""

    name: str
    seed: bytes
    change: Mutate
    read: Callable[[Path, bytes], None]
    folder: Path

    @property
    def file_name(self) -> str:
        return self.name.rpartition("/")[2]


class Readers:
    """A home with one good picture, and what reads each kind of file in it. Raises only what is a fault."""

    def __init__(self, root: Path) -> None:
        self.home = Home(root / "home")
        self.home.create_folders()
        self.library = Library(self.home)
        self.library.open()
        self.good = seeds.write_own_png(self.home)
        self.library.sweep()
        self.elsewhere = root / "elsewhere"

    def close(self) -> None:
        self.library.close()

    def read_creation(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        self._index(path)
        read_metadata(path)
        with contextlib.suppress(BadInput):
            msgspec.to_builtins(recipe_embedding.read_recipe(path))
        if not path.suffix.startswith((".m", ".t")):
            with contextlib.suppress(BadInput):
                open_picture(path, max_pixels=1_000_000)

    def read_graph(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        msgspec.json.encode(read_metadata(path))
        graph = parse_json(content.decode("utf-8", "replace"))
        if isinstance(graph, dict):
            with contextlib.suppress(GraphTooLargeError):
                comfy_reader.read_graph(graph)

    def read_caption(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        image = path.with_suffix(".png")
        image.write_bytes(seeds.pictures()["plain.bmp"])
        msgspec.json.encode(list_fields(found) if (found := read_metadata(image)) else None)
        list(dialects.read({"parameters": content.decode("utf-8", "replace")}))

    def read_card(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        with contextlib.suppress(BadInput, OSError):
            found = find_settings(path)
            msgspec.msgpack.encode(found)
            if found.card is not None:
                texts = [part.text for part in found.card.list_parts("You")]
                texts += [*found.card.list_greetings("You"), *found.card.list_lore("You")]
                "".join(texts).encode()
            if found.book is not None:
                "".join(found.book.list_lines("Mira", "You")).encode()
        path.unlink()

    def read_sidecar(self, path: Path, content: bytes) -> None:
        picture = path.with_name("beside.png")
        shutil.copy(self.good, picture)
        with picture.open("ab") as file:
            file.write(b"x")
        sidecar.sidecar_path(picture).write_bytes(content)
        self._index(picture)
        sidecar.sidecar_path(picture).unlink()

    def read_model_file(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        with contextlib.suppress(BadInput):
            if path.suffix == ".gguf":
                header = read_gguf_header(path)
                for name in ("context_length", "block_count", "heads"):
                    header.number(name)
            else:
                read_weight_shapes(path)
        self._list_models(path)

    def read_model_folder(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(content)
        self._list_models(path.parent)
        with contextlib.suppress(BadInput):
            recipe_embedding.read_recipe(path.parent)
        model = self.home.library / "model"
        shutil.copytree(path.parent, model)
        self._index(model)
        shutil.rmtree(model)
        path.unlink()

    def read_home_file(self, path: Path, content: bytes) -> None:
        path.write_bytes(content)
        match path.name:
            case "settings.json":
                found = settings.load(path)
                settings.save(path, found)
                assert settings.load(path) == found
                for copy in path.parent.glob(f"{path.name}.broken-*"):
                    copy.unlink()
            case "descriptors.json":
                assert isinstance(catalogue_cache.load(path), Catalogue)
            case "rates.json":
                Rates(path).add_seconds(EstimateResult(id="x", device="cpu", rate="diffusion.steps", work=2.0))
            case "model-folders.json":
                external_folders._decode_file.cache_clear()
                self._list_models(self.home.models / "none")
        path.unlink()

    def read_foreign_folder(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        (self.elsewhere / "models" / "checkpoints").mkdir(parents=True, exist_ok=True)
        external_folders._decode_file.cache_clear()
        external_folders.refresh(self.home, [str(self.elsewhere)])
        external_folders.refresh(self.home, [])
        path.unlink()

    def read_page(self, path: Path, content: bytes) -> None:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content)
        PageStore(path.parent.parent).list_pages()
        path.unlink()

    def _list_models(self, path: Path) -> None:
        model_kind._kind_of_header.cache_clear()
        model_kind.kind_of(path)
        licences.terms_of("x", path)
        offers.list_offers(self.home, None, KINDS)
        licences.find_unaccepted(self.home, [path.name], ())

    def _index(self, path: Path) -> None:
        """Sweep, look at what is there as window and command line do, and forget it again."""
        done = self.library.sweep()
        assert all(problem.isprintable() for problem in done.problems), done.problems
        assert len(done.problems) <= 1, done.problems
        found = self.library.search()
        assert any(creation.path == str(self.good) for creation in found), "the good image is gone"
        for creation in found:
            json.dumps(msgspec.to_builtins(creation)).encode()
            msgspec.json.encode(creation)
        with self.library._begin() as connection:
            for creation in found:
                if creation.path != str(self.good):
                    schema.delete_row(connection, creation.id)
            name = schema.relative_path(self.home, self.good)
            connection.execute("DELETE FROM files WHERE path != ?", (name,))
            connection.execute("DELETE FROM creations WHERE id NOT IN (SELECT id FROM files)")


def all_targets(readers: Readers, scratch: Path) -> list[Target]:
    home = readers.home
    by_suffix: dict[str, Mutate] = {
        ".png": mutations.change_png, ".jpg": mutations.change_jpeg_exif, ".webp": mutations.change_riff,
        ".avif": mutations.change_boxes, ".gif": mutations.change_gif, ".tif": mutations.change_tiff,
        ".mp4": mutations.change_boxes, ".mkv": mutations.change_ebml, ".md": mutations.change_text,
        ".txt": mutations.change_text, ".yaml": mutations.change_text, ".json": mutations.change_json,
        ".safetensors": mutations.change_safetensors, ".gguf": mutations.change_gguf,
    }  # fmt: skip

    groups: list[tuple[str, dict[str, bytes], Callable[[Path, bytes], None], Path]] = [
        ("picture", seeds.pictures(), readers.read_creation, home.library),
        ("video", seeds.videos(), readers.read_creation, home.library),
        ("text", seeds.texts(), readers.read_creation, home.library),
        ("graph", seeds.graphs(), readers.read_graph, home.root / "graphs"),
        ("caption", seeds.captions(), readers.read_caption, home.root / "captions"),
        ("card", seeds.cards(), readers.read_card, readers.elsewhere),
        ("sidecar", seeds.sidecars(), readers.read_sidecar, home.library),
        ("model", seeds.model_files(), readers.read_model_file, home.models),
        ("model folder", seeds.model_folders(), readers.read_model_folder, home.models / "folder"),
        ("home", seeds.home_files(), readers.read_home_file, home.root),
        ("program", seeds.foreign_folders(scratch), readers.read_foreign_folder, readers.elsewhere),
        ("page", seeds.pages(), readers.read_page, home.root / "fuzzed-pages" / "page"),
    ]
    return [
        Target(f"{group}/{name}", content, by_suffix.get(Path(name).suffix, mutations.change_bytes), read, folder)
        for group, files, read, folder in groups
        for name, content in files.items()
    ]
