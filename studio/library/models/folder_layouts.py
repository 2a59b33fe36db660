"""How other programs lay out their folders of models."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from studio.library.models import comfyui_paths, hub_cache, invokeai, model_kind

SHELVES = {
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
"""What lies in a folder of this name below `models/`, in small letters. Others, such as upscalers, are left out."""

_OF_WEBUI = ("stable-diffusion",)
_OF_COMFY = ("checkpoints", "diffusion_models")


@dataclass(frozen=True)
class Shelf:
    """A folder in which models lie, at any depth. `kind` is that of all of them; without one each is looked at."""

    folder: Path
    kind: str = ""


@dataclass(frozen=True)
class Layout:
    """`watched` are the files that the layout was read from: when one changes, it must be read again."""

    program: str
    shelves: tuple[Shelf, ...] = ()
    watched: tuple[Path, ...] = ()
    named: tuple[invokeai.Named, ...] = ()
    """Models that the program itself lists, by the names that it gives them."""


def recognised(root: Path) -> Layout:
    """The layout of a folder. What no program made is one shelf of models of any kind. Raises OSError."""
    folders = _folders(root)
    models = folders.get("models")
    if invokeai.is_root(root):
        return _of_invoke(root)
    cache = next((one for one in (root, root / "hub") if _is_cache(one)), None)
    if cache is not None:
        return _of_cache(cache)
    below = _folders(models) if models is not None else folders
    extra = root / comfyui_paths.FILE
    if any(name in below for name in _OF_COMFY) or extra.is_file():
        return Layout("ComfyUI", tuple(_unique([*_shelves(below), *_elsewhere(extra)])), (extra,))
    if any(name in below for name in _OF_WEBUI):
        beside = _shelves({name: path for name, path in folders.items() if name == "embeddings"})
        extension = root / "extensions" / "sd-webui-controlnet" / "models"
        more = [Shelf(extension, model_kind.CONTROLNET)] if extension.is_dir() else []
        return Layout("AUTOMATIC1111", tuple(_unique([*_shelves(below), *beside, *more])))
    return Layout("", (Shelf(root),))


def _of_invoke(root: Path) -> Layout:
    models = root / "models" if (root / "models").is_dir() else root
    shelves = [Shelf(folder, kind) for folder, kind in invokeai.shelves(root)]
    families = {shelf.folder.parent for shelf in shelves}
    shelves += [Shelf(path) for path in sorted(_folders(models).values()) if path not in families]
    return Layout("InvokeAI", tuple(shelves), (root / invokeai.DATABASE, models), tuple(invokeai.named(root)))


def _of_cache(cache: Path) -> Layout:
    entries = sorted(cache.glob(f"{hub_cache.PREFIX}*"))
    watched = [cache]
    for entry in entries:
        watched += [entry / "snapshots", entry / "refs" / "main", *(entry / "snapshots").glob("*")]
    named = [invokeai.Named(path, name, model_kind.kind_of(path)) for name, path in hub_cache.models(cache)]
    return Layout("Hugging Face", (), tuple(watched), tuple(named))


def _is_cache(folder: Path) -> bool:
    return next(folder.glob(f"{hub_cache.PREFIX}*"), None) is not None


def _shelves(folders: dict[str, Path]) -> Iterator[Shelf]:
    for name, path in folders.items():
        if name in SHELVES:
            yield Shelf(path, SHELVES[name])


def _elsewhere(file: Path) -> Iterator[Shelf]:
    for name, folder in comfyui_paths.folders(file):
        if name.lower() in SHELVES:
            yield Shelf(folder, SHELVES[name.lower()])


def _unique(shelves: list[Shelf]) -> Iterator[Shelf]:
    known = set()
    for shelf in shelves:
        if shelf.folder not in known:
            known.add(shelf.folder)
            yield shelf


def _folders(folder: Path | None) -> dict[str, Path]:
    """By their names in small letters, in order."""
    if folder is None:
        return {}
    return {path.name.lower(): path for path in sorted(folder.iterdir()) if path.is_dir()}
