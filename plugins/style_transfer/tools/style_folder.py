"""The tool that applies a style to a folder of images."""

from __future__ import annotations

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any

from studio import api

from ..image_io import encoder, image16, manifest
from ..image_io.manifest import Manifest
from ..inference import stylizer
from .params import StyleParams
from .progress import report_item

PREVIEW_SIDE = 512
"""Long side of the previews in px."""
MAX_LISTED = 50
"""Maximum number of files that are listed as failed, and as skipped."""
SIDECAR_SUFFIX = ".studio.json"


class Folders(api.Params):
    """The folders of a run."""

    folder: api.FolderInput
    """Folder with the images to restyle. The images are not changed."""
    target: api.FolderInput | None = api.param(None, title="Output folder")
    """Folder for the results, under the same names. Empty: a new folder beside it, named after the style."""
    subfolders: bool = api.param(False, title="Include subfolders")
    """Restyles the images in subfolders, too, into subfolders of the same names."""


class StyleFolder(api.Tool):
    """Applies a style to all images of a folder."""

    id = "style.folder"
    title = "Style a folder"
    output = "text"
    icon = "mdi6.folder-star-outline"
    pausable = True
    deterministic = False

    class Params(StyleParams, Folders):
        pass

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        paths, others = _find_images(params.folder, subfolders=params.subfolders)
        yield api.Progress(0, len(paths), "Looking at the folder")
        styles = params.load_styles(ctx)
        options = params.to_options(draft=ctx.draft)
        title = _to_folder_name(styles[0][0].title)
        target = params.target or params.folder.absolute().parent / f"{params.folder.name} in {title}"
        _check_target(params.folder, target)
        outputs = manifest.open_manifest(target, _hash_settings(params, styles))
        styled, skipped, failed = 0, 0, {}
        for index, path in enumerate(paths):
            api.pause_if_requested(ctx)
            name = path.relative_to(params.folder)
            output = target / encoder.to_output_name(name)
            if outputs.is_done(name, path, output):
                skipped += 1
                yield api.Progress(index + 1, len(paths), f"{name} is done already")
                continue
            try:
                _check_output_is_ours(outputs, name, output)
                image = image16.open_image(path)
                report_progress = report_item(ctx, index, len(paths), f"Restyling {name}")
                if _is_animated(path):
                    yield api.Notice(f"{name} is animated: only its first frame is restyled.", "warning")
                result = stylizer.stylize_image(ctx, styles, image, options, report_progress)
                encoder.save_image(output, result, partial(outputs.add, name, path))
            except api.StudioError as error:
                failed[str(name)] = str(error)
                yield api.Notice(f"{name}: {error}", "warning")
                continue
            styled += 1
            preview = result.resize(api.images.limit_size(result.size, PREVIEW_SIDE))
            yield api.Preview(preview.to_array(), str(name))
        if failed and not styled and not skipped:
            reason = next(iter(failed.values()))
            raise api.BadInput(f"None of the {len(paths)} images could be restyled: {reason}", "")
        yield api.Text(_format_report(target, styled, skipped, failed, others), title=f"{params.folder.name} restyled")

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:  # noqa: ARG002
        if not params.style:
            return None
        count = sum(1 for entry in os.scandir(params.folder) if _has_image_suffix(Path(entry.name)))
        rate = f"{self.id} {params.mixed_styles} {params.resolution}"
        return api.Estimate(work=count, rate=rate, notes={"folder": f"{count:,} images"})


def _has_image_suffix(path: Path) -> bool:
    return path.suffix.lower() in api.images.IMAGE_SUFFIXES


def _find_images(folder: Path, *, subfolders: bool) -> tuple[list[Path], list[str]]:
    """Return the images, and the names of the files that are none. Hidden files and sidecars are left out."""
    try:
        entries = sorted(folder.rglob("*") if subfolders else folder.iterdir())
    except OSError as error:
        raise api.BadInput(f"The folder {folder.name} cannot be read: {error.strerror or error}.") from error
    visible = [path for path in entries if not path.name.startswith(".") and not path.is_dir()]
    paths = [path for path in visible if api.images.is_image_file(path)]
    others = sorted({*visible} - {*paths})
    if not paths:
        raise api.BadInput(f"There are no images in {folder.name}.", "Choose another folder.")
    return paths, [str(path.relative_to(folder)) for path in others if not path.name.endswith(SIDECAR_SUFFIX)]


def _is_animated(path: Path) -> bool:
    try:
        with api.images.open_undecoded(path) as image:
            return int(getattr(image, "n_frames", 1)) > 1 and image.format in ("GIF", "WEBP", "PNG", "AVIF")
    except (OSError, ValueError, SyntaxError):
        return False


def _to_folder_name(title: str) -> str:
    """Remove from a title what the name of a folder may not have."""
    return re.sub(r'[\\/:*?"<>|\x00-\x1f]+', " ", title).strip(" .")[:80] or "another style"


def _check_target(folder: Path, target: Path) -> None:
    if target.resolve() == folder.resolve() or folder.resolve() in target.resolve().parents:
        raise api.BadInput("The output folder is inside the folder of images.", "Choose a folder outside of it.")


def _check_output_is_ours(outputs: Manifest, name: Path, output: Path) -> None:
    if output.exists() and not outputs.is_own_output(name, output):
        raise api.BadInput(
            f"{output.name} is in the output folder already and was not made by this tool.", "It is kept."
        )


def _hash_settings(params: StyleParams, styles: Sequence[stylizer.WeightedStyle]) -> str:
    """Return a hash of all that a result depends on but the image itself."""
    settings: dict[str, Any] = params.model_dump(mode="json", exclude={"folder", "target", "subfolders"})
    settings["weights"] = [style.fingerprint() for style, _ in styles]
    return hashlib.sha256(json.dumps(settings, sort_keys=True).encode()).hexdigest()[:16]


def _format_report(target: Path, styled: int, skipped: int, failed: Mapping[str, str], others: Sequence[str]) -> str:
    lines = [f"{styled:,} restyled into {target.name}."]
    if skipped:
        lines.append(f"{skipped:,} were done already.")
    if failed:
        lines.append(f"{len(failed):,} could not be restyled:\n")
        lines += _format_list([f"{name}: {reason}" for name, reason in failed.items()])
    if others:
        count = "1 file was" if len(others) == 1 else f"{len(others):,} files were"
        lines.append(f"\n{count} skipped, since the studio does not open them as images:\n")
        lines += _format_list(others)
    return "\n".join(lines) + "\n"


def _format_list(items: Sequence[str]) -> list[str]:
    lines = [f"- {item}" for item in items[:MAX_LISTED]]
    return [*lines, f"- and {len(items) - MAX_LISTED:,} more"] if len(items) > MAX_LISTED else lines
