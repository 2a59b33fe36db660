"""The images of a folder are captioned; captions that are there are kept."""

from __future__ import annotations

from pathlib import Path

import pytest
from PIL import Image

from plugins.writer.generation import image_description
from plugins.writer.tools.caption_folder import WriterCaptionFolder
from studio import api, testing

Images = dict[str, str]


class ColourDescriber:
    """Describes an image by its first pixel; nothing of black ones."""

    name = "colours"

    def describe(self, image: Image.Image, question: str, **_options: object) -> str:
        red, _, blue = image.convert("RGB").getpixel((0, 0))  # type: ignore[misc]
        return f"{question}a\n {'red' if red else 'blue'} square" if red or blue else " "


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setattr(image_description, "load_describer", lambda _ctx, _choice: ColourDescriber())
    folder = tmp_path / "data"
    (folder / "sub").mkdir(parents=True)
    for name, colour in {"000": "red", "001": "blue", "sub/fox": "blue", "black": "black"}.items():
        Image.new("RGB", (16, 16), colour).save(folder / f"{name}.png")
    (folder / "broken.png").write_bytes(b"\x89PNG")
    (folder / "001.txt").write_text("mine", "utf-8")
    return folder


def run(folder: Path, ctx: testing.FakeContext | None = None, **values: object) -> tuple[Images, list[str]]:
    """Return captions by name, and the notices."""
    ctx = ctx or testing.FakeContext()
    testing.run(WriterCaptionFolder, ctx, folder=folder, model="blip", **values)
    captions = [event for event in ctx.events if isinstance(event, api.Caption)]
    notices = [event.text for event in ctx.events if isinstance(event, api.Notice)]
    return {caption.image.relative_to(folder).as_posix(): caption.text for caption in captions}, notices


def test_images_without_captions_are_captioned(folder: Path) -> None:
    captions, notices = run(folder)
    assert captions == {"000.png": "a red square", "sub/fox.png": "a blue square"}
    assert notices == [
        "Skipped 1 file that cannot be used: broken.png.",
        "colours returned no caption for black.png.",
        "Captioned 2 images; 1 had captions.",
    ]


def test_captions_are_replaced_when_asked(folder: Path) -> None:
    captions, _ = run(folder, existing="replace", names=["001.png", "sub/fox.png", "gone.png"])
    assert captions == {"001.png": "a blue square", "sub/fox.png": "a blue square"}


@pytest.mark.parametrize(("word", "caption"), [("ohwx", "ohwx, a red square"), (" SQUARE ", "a red square")])
def test_a_trigger_word_stands_in_front_once(folder: Path, word: str, caption: str) -> None:
    assert run(folder, trigger=word, names=["000.png"])[0] == {"000.png": caption}


def test_a_list_of_captions_counts_as_captions(folder: Path) -> None:
    rows = ['{"file": "000.png", "caption": "red"}', '{"file": "sub/fox.png", "name": "fox"}']
    (folder / "captions.jsonl").write_text("\n".join(rows), "utf-8")
    assert run(folder, names=["000.png", "001.png", "sub/fox.png"]) == (
        {}, ["Nothing to do: 3 images in data have captions."],
    )  # fmt: skip


def test_a_folder_without_images_says_so(folder: Path) -> None:
    with pytest.raises(api.BadInput, match="no such images in data"):
        run(folder, names=["gone.png"])


def test_it_can_be_cancelled_between_images(folder: Path) -> None:
    ctx = testing.FakeContext(cancel_after=3)
    with pytest.raises(api.Cancelled):
        run(folder, ctx)
    assert len([event for event in ctx.events if isinstance(event, api.Caption)]) == 1


def test_a_draft_captions_all_that_are_named(folder: Path) -> None:
    assert run(folder, testing.FakeContext(draft=True), names=["001.png"]) == ({"001.png": "a blue square"}, [])
