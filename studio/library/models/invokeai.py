"""InvokeAI's models: those in its database, and the folders by family and type of older versions."""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path

from studio.core.untrusted_files import make_valid, read_or_else
from studio.library.models import model_kind

DATABASE = Path("databases", "invokeai.db")
SETTINGS = "invokeai.yaml"
TYPES = {
    "main": model_kind.DIFFUSION,
    "onnx": model_kind.DIFFUSION,
    "lora": model_kind.LORA,
    "control_lora": model_kind.LORA,
    "vae": model_kind.AUTOENCODER,
    "controlnet": model_kind.CONTROLNET,
    "t2i_adapter": model_kind.CONTROLNET,
    "ip_adapter": model_kind.IP_ADAPTER,
    "embedding": model_kind.EMBEDDING,
}
_FAMILIES = ("sd-1", "sd-2", "sd-3", "sdxl", "sdxl-refiner", "flux", "any")


@dataclass(frozen=True)
class ListedModel:
    """A model that a program lists by title. `kind` is the program's own word if the studio has no such kind."""

    path: Path
    title: str
    kind: str


def is_root(root: Path) -> bool:
    """Check whether a folder belongs to InvokeAI."""
    return (root / DATABASE).is_file() or (root / SETTINGS).is_file() or any(find_folders(root))


def read_database(root: Path) -> list[ListedModel]:
    """Read the models in the database without locking it. Return none if it cannot be read.

    The table `models` holds each model's configuration as JSON, with `name`, `path` and `type`. Relative paths start
    at `models/`.
    """
    file = root / DATABASE
    try:
        with closing(sqlite3.connect(f"{file.absolute().as_uri()}?immutable=1", uri=True)) as database:
            rows = database.execute("SELECT config FROM models").fetchall()
    except (sqlite3.Error, UnicodeError):
        return []
    return [model for (config,) in rows if (model := read_or_else(None, _parse_config, root, config)) is not None]


def _parse_config(root: Path, config: object) -> ListedModel | None:
    values = json.loads(str(config))
    path, title, type_ = (make_valid(str(values[name])) for name in ("path", "name", "type"))
    return ListedModel(root / "models" / path, title, TYPES.get(type_, type_)) if path and "\0" not in path else None


def find_folders(root: Path) -> Iterator[tuple[Path, str]]:
    """Yield folders such as ``models/sd-1/main`` with the kind of the models in them."""
    models = root / "models" if (root / "models").is_dir() else root
    for family in _FAMILIES:
        for name, kind in TYPES.items():
            if (models / family / name).is_dir():
                yield models / family / name, kind
