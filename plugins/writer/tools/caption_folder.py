"""Caption the images of a folder with a vision-language model."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

from studio import api
from studio.api import data_report

from ..generation import estimate, image_description

MAX_NAMES = 20_000
QUESTION = "Describe this image in one sentence."
"""Asked of models with a chat template, whose descriptions would be too long for captions."""
WRITTEN = frozenset(data_report.CaptionSource) - {
    data_report.CaptionSource.NONE,
    data_report.CaptionSource.FILE_NAME,
}
"""Sources of captions that somebody wrote."""


class WriterCaptionFolder(api.Tool):
    """Writes a caption for each image of a folder into NAME.txt beside it, for training. Skips images that have one."""

    id = "writer.caption_folder"
    title = "Caption images"
    output = "text"
    icon = "mdi6.image-multiple-outline"
    captions_images = True

    class Params(api.Params):
        folder: api.FolderInput
        """Images to caption; subfolders are included."""
        model: api.ModelChoice = api.param("", model="vision-language")
        trigger: str = api.param("", title="Trigger word")
        """A word to put in front of the captions. A training can do that as well, with its own trigger word."""
        prompt: api.Prompt = api.param("", title="Question")
        """What to ask about each image, such as *List what is in this image, separated by commas.* Leave it empty for a
        description. A model without a chat template continues it."""
        existing: Literal["keep", "replace"] = api.param("keep", title="Existing captions", labels=("Keep", "Replace"))
        """Replace writes new captions for images that have one in NAME.txt or in a list of captions, too. A file name
        is no caption here."""
        length: int = api.param(60, ge=1, le=2000, title="Maximum length", unit="tokens")
        names: list[str] = api.param([], max_items=MAX_NAMES, title="Only these images", advanced=True)
        """Names relative to the folder. Leave it empty for all images."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        images = len(params.names) or api.datasets.count_images(params.folder, MAX_NAMES)
        weights = estimate.estimate_weights(params.model, params.length, ctx)
        return replace(weights, work=images, rate=f"{weights.rate}.captions") if weights else None

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        paths = _find_images(params)
        takes_all = params.existing == "replace" or ctx.draft
        chosen = paths if takes_all else _without_captions(params.folder, paths)
        if not chosen:
            yield api.Notice(f"Nothing to do: {_count(len(paths))} in {params.folder.name} have captions.")
            return
        yield api.Progress(0, len(chosen), "Loading the model")
        describer = image_description.load_describer(ctx, params.model)
        skipped: dict[str, str] = {}
        empty: list[str] = []
        for number, path in enumerate(chosen):
            yield api.Progress(number, len(chosen), path.name)
            try:
                image = api.images.open_picture(path)
            except api.BadInput as error:
                skipped[path.name] = str(error)
                continue
            text = describer.describe(
                image, params.prompt, default_question=QUESTION, length=params.length, on_token=_check_cancelled(ctx)
            )
            text = " ".join(text.split())
            if not text:
                empty.append(path.name)
                continue
            yield api.Caption(path, _put_in_front(params.trigger.strip(), text))
        yield api.Progress(len(chosen), len(chosen))
        if skipped:
            yield api.datasets.describe_skipped(skipped)
        if empty:
            yield api.Notice(f"{describer.name} returned no caption for {', '.join(empty[:10])}.", "warning")
        if not ctx.draft:
            done = _count(len(chosen) - len(skipped) - len(empty))
            kept = len(paths) - len(chosen)
            yield api.Notice(f"Captioned {done}{f'; {kept:,} had captions' if kept else ''}.")


def _check_cancelled(ctx: api.Context) -> Callable[[int], None]:
    return lambda _: ctx.check_cancelled()


def _find_images(params: WriterCaptionFolder.Params) -> list[Path]:
    paths = api.datasets.find_images(params.folder)
    if params.names:
        names = set(params.names)
        paths = [path for path in paths if path.relative_to(params.folder).as_posix() in names]
    if not paths:
        raise api.BadInput(f"There are no such images in {params.folder.name}.", "Choose another folder.")
    return paths


def _without_captions(folder: Path, paths: Sequence[Path]) -> list[Path]:
    captions = api.datasets.read_captions(folder, paths)
    return [caption.path for caption in captions if not caption.text or caption.source not in WRITTEN]


def _put_in_front(word: str, text: str) -> str:
    """Return a caption that begins with a word, unless it has it already."""
    if not word or re.search(rf"(?<!\w){re.escape(word)}(?!\w)", text, re.IGNORECASE):
        return text
    return f"{word}, {text}"


def _count(number: int) -> str:
    return "1 image" if number == 1 else f"{number:,} images"
