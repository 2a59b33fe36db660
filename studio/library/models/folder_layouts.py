"""Layouts of the model folders of other programs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from studio.library.models import comfyui_paths, hub_cache, invokeai, model_kind

KIND_BY_FOLDER = {
    "stable-diffusion": model_kind.DIFFUSION,
    "checkpoints": model_kind.DIFFUSION,
    "unet": model_kind.DIFFUSION,
    "diffusion_models": model_kind.DIFFUSION,
    "diffusers": model_kind.DIFFUSION,
    "lora": model_kind.LORA,
    "loras": model_kind.LORA,
    "lycoris": model_kind.LORA,
    "vae": model_kind.AUTOENCODER,
    "controlnet": model_kind.CONTROLNET,
    "t2i_adapter": model_kind.CONTROLNET,
    "ipadapter": model_kind.IP_ADAPTER,
    "ip_adapter": model_kind.IP_ADAPTER,
    "ip-adapter": model_kind.IP_ADAPTER,
    "embeddings": model_kind.EMBEDDING,
}
"""Kind of the models in a folder below `models/`, by its lower-case name. Other folders are ignored."""

_WEBUI_FOLDERS = ("stable-diffusion",)
_COMFYUI_FOLDERS = ("checkpoints", "diffusion_models")


@dataclass(frozen=True)
class TypedFolder:
    """A folder with models at any depth. `kind` is the kind of all of them; if empty, each model's header is read."""

    folder: Path
    kind: str = ""


@dataclass(frozen=True)
class Layout:
    """The folders and models of a program. When one of the `watched` files changes, the layout must be read again."""

    program: str
    folders: tuple[TypedFolder, ...] = ()
    watched: tuple[Path, ...] = ()
    listed: tuple[invokeai.ListedModel, ...] = ()
    """Models that the program itself lists, with its titles."""


def detect_layout(root: Path) -> Layout:
    """Detect the program that a folder belongs to. An unknown folder holds models of any kind. Raises OSError."""
    folders = _list_folders(root)
    models = folders.get("models")
    if invokeai.is_root(root):
        return _invokeai_layout(root)
    cache = next((folder for folder in (root, root / "hub") if _is_cache(folder)), None)
    if cache is not None:
        return _hub_cache_layout(cache)
    below = _list_folders(models) if models is not None else folders
    extra = root / comfyui_paths.FILE
    if any(name in below for name in _COMFYUI_FOLDERS) or extra.is_file():
        return Layout(
            "ComfyUI", tuple(_remove_duplicates([*_find_typed_folders(below), *_read_comfyui_paths(extra)])), (extra,)
        )
    if any(name in below for name in _WEBUI_FOLDERS):
        beside = _find_typed_folders({name: path for name, path in folders.items() if name == "embeddings"})
        extension = root / "extensions" / "sd-webui-controlnet" / "models"
        more = [TypedFolder(extension, model_kind.CONTROLNET)] if extension.is_dir() else []
        return Layout("AUTOMATIC1111", tuple(_remove_duplicates([*_find_typed_folders(below), *beside, *more])))
    return Layout("", (TypedFolder(root),))


def _invokeai_layout(root: Path) -> Layout:
    models = root / "models" if (root / "models").is_dir() else root
    typed = [TypedFolder(folder, kind) for folder, kind in invokeai.find_folders(root)]
    families = {typed_folder.folder.parent for typed_folder in typed}
    typed += [TypedFolder(path) for path in sorted(_list_folders(models).values()) if path not in families]
    return Layout("InvokeAI", tuple(typed), (root / invokeai.DATABASE, models), tuple(invokeai.read_database(root)))


def _hub_cache_layout(cache: Path) -> Layout:
    entries = sorted(cache.glob(f"{hub_cache.PREFIX}*"))
    watched = [cache]
    for entry in entries:
        watched += [entry / "snapshots", entry / "refs" / "main", *(entry / "snapshots").glob("*")]
    listed = [invokeai.ListedModel(path, name, model_kind.kind_of(path)) for name, path in hub_cache.list_models(cache)]
    return Layout("Hugging Face", (), tuple(watched), tuple(listed))


def _is_cache(folder: Path) -> bool:
    return next(folder.glob(f"{hub_cache.PREFIX}*"), None) is not None


def _find_typed_folders(folders: dict[str, Path]) -> Iterator[TypedFolder]:
    for name, path in folders.items():
        if name in KIND_BY_FOLDER:
            yield TypedFolder(path, KIND_BY_FOLDER[name])


def _read_comfyui_paths(file: Path) -> Iterator[TypedFolder]:
    for name, folder in comfyui_paths.read_folders(file):
        if name.lower() in KIND_BY_FOLDER:
            yield TypedFolder(folder, KIND_BY_FOLDER[name.lower()])


def _remove_duplicates(folders: list[TypedFolder]) -> Iterator[TypedFolder]:
    known = set[Path]()
    for typed_folder in folders:
        if typed_folder.folder not in known:
            known.add(typed_folder.folder)
            yield typed_folder


def _list_folders(folder: Path | None) -> dict[str, Path]:
    """Return the subfolders by lower-case name, sorted."""
    if folder is None:
        return {}
    return {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
