"""`api.data_report`: what is found in folders of images and texts before a training."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from studio import api, testing
from studio.api import data_report, datasets
from studio.api.data_report import CaptionSource, DataFile, DataReport, Fault, ImageSource
from studio.core.errors import Cancelled


class Inspection:
    """Counts the calls, and cancels after some of them."""

    def __init__(self, cancel_after: int = 10**9) -> None:
        self.calls: list[tuple[int, int]] = []
        self._cancel_after = cancel_after

    def report_progress(self, done: int, total: int) -> None:
        self.calls.append((done, total))
        if len(self.calls) > self._cancel_after:
            raise Cancelled


def draw(seed: int, size: tuple[int, int] = (96, 96)) -> Image.Image:
    """Return a smooth random image."""
    noise = np.random.default_rng(seed).integers(0, 256, (6, 6, 3), np.uint8)
    return Image.fromarray(noise).resize(size, Image.Resampling.BICUBIC)


def save(path: Path, image: Image.Image, **options: Any) -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    image.save(path, **options)
    return path


def inspect(folder: Path, size: int = 64, **options: Any) -> DataReport:
    source = ImageSource(folder, datasets.find_images(folder), size, is_first=True, **options)
    return data_report.inspect_images([source], Inspection())


def find(report: DataReport, name: str) -> DataFile:
    return next(file for _, file in report.list_files() if file.name == name)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder with one good image."""
    save(tmp_path / "data" / "good fox.png", draw(0))
    return tmp_path / "data"


def test_a_good_image_has_no_fault(folder: Path) -> None:
    report = inspect(folder)
    assert report.summary == "1 image, all usable."
    assert (find(report, "good fox.png").width, find(report, "good fox.png").findings) == (96, ())
    assert not report.warnings
    assert not report.refusal


@pytest.mark.parametrize(
    ("content", "sentence"),
    [(b"", "bad.png is empty"), (b"no image", "bad.png is not an image"), (b"\x89PNG\r\n\x1a\nxx", "bad.png is")],
)
def test_broken_files_are_named_with_the_reason(folder: Path, content: bytes, sentence: str) -> None:
    (folder / "bad.png").write_bytes(content)
    report = inspect(folder)
    file = find(report, "bad.png")
    assert file.faults == {Fault.BROKEN}
    assert file.findings[0].sentence.startswith(sentence)
    assert report.summary == "2 images, 1 usable."
    assert report.warnings[0].sentence == "1 image cannot be read and is left out: bad.png."


def test_a_truncated_image_is_broken(folder: Path) -> None:
    whole = save(folder / "cut.jpg", draw(1, (400, 400))).read_bytes()
    (folder / "cut.jpg").write_bytes(whole[: len(whole) // 2])
    assert find(inspect(folder), "cut.jpg").faults == {Fault.BROKEN}


def test_small_images_are_told_apart_from_those_that_cannot_be_used(folder: Path) -> None:
    save(folder / "small.png", draw(1, (48, 80)))
    save(folder / "dot.png", draw(2, (1, 1)))
    report = inspect(folder)
    assert find(report, "small.png").faults == {Fault.SMALL}
    assert find(report, "dot.png").faults == {Fault.TINY}
    assert report.count_usable("image") == 2
    assert report.facts[0] == ("Sizes", "48 × 80 px to 96 × 96 px")


def test_a_fault_of_all_files_singles_out_none(folder: Path) -> None:
    save(folder / "blank.png", Image.new("RGB", (96, 96)))
    assert inspect(folder, size=128).find_common_faults() == {Fault.SMALL}
    assert inspect(folder, size=64).find_common_faults() == set()


def test_blank_images_are_found_and_white_shapes_on_nothing_are_not(folder: Path) -> None:
    save(folder / "blank.png", Image.new("RGB", (96, 96), (20, 30, 40)))
    save(folder / "nothing.png", Image.new("RGBA", (96, 96)))
    shape = Image.new("RGBA", (96, 96), (255, 255, 255, 0))
    shape.paste((255, 255, 255, 255), (20, 20, 60, 60))
    save(folder / "shape.png", shape)
    report = inspect(folder)
    assert {file.name for _, file in report.list_files() if Fault.BLANK in file.faults} == {"blank.png", "nothing.png"}
    assert not report.refusal


def test_nothing_but_blank_images_is_refused(tmp_path: Path) -> None:
    for number in range(3):
        save(tmp_path / f"{number}.png", Image.new("RGB", (96, 96), (number, 0, 0)))
    report = inspect(tmp_path)
    assert report.refusal == f"All 3 images of {tmp_path.name} show one colour only."


def test_copies_and_nearly_equal_images_are_found(folder: Path) -> None:
    (folder / "z copy.png").write_bytes((folder / "good fox.png").read_bytes())
    save(folder / "z jpeg.jpg", draw(0), quality=50)
    save(folder / "z small.webp", draw(0).resize((70, 70)))
    save(folder / "z other.png", draw(5))
    report = inspect(folder)
    assert find(report, "z copy.png").findings[0].sentence == "The same file as good fox.png."
    assert find(report, "z jpeg.jpg").findings[0].sentence == "Nearly the same image as good fox.png."
    assert find(report, "z small.webp").faults == {Fault.NEAR_DUPLICATE}
    assert not find(report, "z other.png").findings
    assert not find(report, "good fox.png").findings
    assert list(report.count_faults()) == [Fault.DUPLICATE, Fault.NEAR_DUPLICATE]


def test_many_different_images_are_not_taken_for_copies(tmp_path: Path) -> None:
    for number in range(120):
        save(tmp_path / f"{number:03}.png", draw(number))
    assert not inspect(tmp_path).count_faults()


def test_long_images_and_the_loss_by_cropping_are_told(folder: Path) -> None:
    save(folder / "banner.png", draw(1, (400, 100)))
    report = inspect(folder, crops_centre=True)
    assert find(report, "banner.png").findings[0].sentence == (
        "400 × 100 px: one side is 4.0 times the other, so 75% of it is cut off."
    )
    assert dict(report.facts)["Crop"].endswith("38% of the area is cut off on average")


def test_sizes_are_counted_by_bucket(folder: Path) -> None:
    save(folder / "wide.png", draw(1, (192, 96)))
    source = ImageSource(folder, datasets.find_images(folder), 64)
    report = data_report.inspect_images(
        [source], Inspection(), lambda size: (128, 64) if size[0] > size[1] else (64, 64)
    )
    assert dict(report.facts)["Buckets"] == "64 × 64 px (1), 128 × 64 px (1)"


def test_an_upright_size_follows_the_orientation(folder: Path) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    save(folder / "turned.jpg", draw(1, (200, 100)), exif=exif)
    file = find(inspect(folder), "turned.jpg")
    assert (file.width, file.height) == (100, 200)


def test_captions_are_counted_by_source(folder: Path) -> None:
    for number in range(3):
        save(folder / f"00{number}.png", draw(10 + number))
    (folder / "001.txt").write_text("a red fox")
    (folder / "captions.jsonl").write_text('{"file": "002.png", "caption": "an owl"}')
    report = inspect(folder, has_captions=True)
    assert report.count_captions() == {
        CaptionSource.NONE: 1,
        CaptionSource.TEXT_FILE: 1,
        CaptionSource.CAPTION_LIST: 1,
        CaptionSource.FILE_NAME: 1,
    }
    assert find(report, "001.png").caption == "a red fox"
    assert find(report, "000.png").faults == {Fault.NO_CAPTION}
    assert report.warnings[0].sentence.startswith(
        "1 image has no caption and will be trained with an empty one, or the trigger word: 000.png."
    )
    assert inspect(folder).count_captions() == {}


def test_a_damaged_list_of_captions_refuses_the_training(folder: Path) -> None:
    (folder / "captions.jsonl").write_text("no json")
    report = inspect(folder, has_captions=True)
    assert report.refusal == "captions.jsonl is not a list of captions."
    assert report.hint


def test_excluded_files_are_marked_and_not_counted(folder: Path) -> None:
    save(folder / "sub" / "copy.png", draw(0))
    (folder / "sub" / "bad.png").write_bytes(b"")
    report = inspect(folder, excluded=frozenset({"sub/copy.png", "sub/bad.png"}))
    assert report.summary == "3 images, 1 usable, 2 excluded."
    assert not report.count_faults()


def test_an_inspection_can_be_cancelled_and_says_how_far_it_is(folder: Path) -> None:
    save(folder / "owl.png", draw(1))
    source = ImageSource(folder, datasets.find_images(folder), 64)
    with pytest.raises(Cancelled):
        data_report.inspect_images([source], Inspection(cancel_after=1))
    inspection = Inspection()
    data_report.inspect_images([source], inspection)
    assert inspection.calls == [(0, 2), (1, 2), (2, 2)]


def test_folders_of_different_things_are_not_compared(tmp_path: Path) -> None:
    sources: list[ImageSource] = []
    for noun in ("photo", "painting", "photo"):
        folder = tmp_path / f"{noun}{len(sources)}"
        save(folder / "a.png", draw(0))
        sources.append(ImageSource(folder, datasets.find_images(folder), 64, noun))
    report = data_report.inspect_images(sources, Inspection())
    assert [file.faults for _, file in report.list_files()] == [set(), set(), {Fault.DUPLICATE}]
    assert report.summary == "2 photos, all usable; 1 painting, all usable."


def read_lines(path: Path) -> data_report.TextContent:
    content = path.read_bytes()
    if b"\0" in content:
        raise api.BadInput(f"{path.name} cannot be read as text.", "Save it as UTF-8.")
    texts = content.decode("latin-1").split("\n")
    return data_report.TextContent(texts, "cp1252" if b"\xe9" in content else "", damaged=content.count(b"?"))


def test_texts_are_counted_with_their_encodings_and_faults(tmp_path: Path) -> None:
    contents = {"a": b"one\ntwo", "b": b"caf\xe9", "c": b"one\ntwo", "d": b"", "e": b"\0", "f": b"what?"}
    for name, content in contents.items():
        (tmp_path / f"{name}.txt").write_bytes(content)
    paths = datasets.find_files(tmp_path, (".txt",))
    report = data_report.inspect_texts([data_report.TextSource(tmp_path, paths, read_lines)], Inspection())
    faults = {file.name[0]: file.faults for _, file in report.list_files() if file.findings}
    assert faults == {"c": {Fault.DUPLICATE}, "d": {Fault.EMPTY}, "e": {Fault.BROKEN}, "f": {Fault.DAMAGED}}
    assert report.count_texts() == 6
    assert dict(report.facts) == {
        "Texts": "6",
        "Characters": "21, about 5 tokens",
        "Encodings": "utf-8 (3), cp1252 (1)",
    }
    assert find(report, "a.txt").excerpt == "one"


@pytest.mark.parametrize(
    ("count", "text", "is_scarce"), [(1, "1 image: few.", True), (2000, "2,000 images: many.", False)]
)
def test_the_first_fitting_advice_is_given(count: int, text: str, is_scarce: bool) -> None:
    advice = (data_report.Advice(10, "few."), data_report.Advice(None, "many.", is_scarce=False))
    report = data_report.advise(DataReport(), count, advice)
    assert (report.advice, report.is_scarce) == (text, is_scarce)


class Trainer(api.Tool):
    """Trains on nothing but its inspection."""

    id = "test.train"
    title = "Train"
    output = "text"
    Params = api.training.TrainingParams

    def inspect_data(self, params: Any, ctx: data_report.InspectionContext) -> DataReport:
        sources = data_report.list_sources(params, 64, has_captions=True)
        report = data_report.inspect_images(sources, ctx)
        return data_report.advise(report, report.count_usable("image"), [data_report.Advice(5, "too few.")])

    def run(self, params: Any, ctx: api.Context) -> Iterator[api.Event]:
        yield from data_report.check_data(self, params, ctx)
        yield api.Text("done")


def test_a_training_warns_and_refuses_with_the_words_of_the_report(folder: Path, tmp_path: Path) -> None:
    (folder / "bad.png").write_bytes(b"")
    save(folder / "0.png", draw(1, (32, 32)))
    events = list(testing.run(Trainer, testing.FakeContext(1, tmp_path / "job"), folder=folder))
    told = [event.text for event in events if isinstance(event, api.Notice)]
    assert told[0] == "1 image is smaller than 64 px and will be enlarged, which gives no more detail."
    assert told[1].startswith("1 image has no caption")
    assert told[2:] == ["2 images: too few."]
    for path in folder.iterdir():
        save(path, Image.new("RGB", (64, 64)))
    with pytest.raises(api.BadInput, match="show one colour only"):
        list(testing.run(Trainer, testing.FakeContext(1, tmp_path / "other"), folder=folder))


def test_a_refused_training_gets_no_advice() -> None:
    refused = data_report.refuse(DataReport(), api.BadInput("Too few."))
    assert data_report.advise(refused, 0, (data_report.Advice(None, "few."),)) == refused


def test_a_caption_file_that_cannot_be_read_is_a_fault_of_its_image(folder: Path) -> None:
    save(folder / "owl.png", draw(1))
    (folder / "owl.txt").write_bytes(bytes(range(256)))
    report = inspect(folder, has_captions=True)
    assert not report.refusal
    assert find(report, "owl.png").faults == {Fault.BROKEN_CAPTION}
    assert [warning.sentence for warning in report.warnings] == [
        "1 image has a caption file that cannot be read, so that it counts as one without a caption: owl.png."
    ]


def test_a_subfolder_that_may_not_be_read_is_named(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (folder / "sub").mkdir()
    monkeypatch.setattr(datasets, "find_locked_folders", lambda place: [place / "sub"])
    (source,) = data_report.list_sources(api.training.TrainingParams(folder=folder), 64)
    report = data_report.inspect_images([source], Inspection())
    assert report.summary == "2 images, 1 usable."
    assert report.warnings[0].sentence == "1 image cannot be read and is left out: sub/."


def test_small_sides_of_most_images_single_out_none(folder: Path) -> None:
    for number in range(1, 4):
        save(folder / f"{number}.png", draw(number, (40, 40)))
    assert inspect(folder).find_common_faults() == {Fault.SMALL}
    assert inspect(folder, 16).find_common_faults() == set()
    for number in range(4, 7):
        save(folder / f"{number}.png", draw(number))
    assert inspect(folder).find_common_faults() == set()


def test_excluded_names_belong_to_their_folder(tmp_path: Path) -> None:
    params = api.training.TrainingParams(
        folder=tmp_path / "one", more_folders=[tmp_path / "two"], exclude=["a.png", "sub/b.png", "two/c.png"]
    )
    assert params.excluded_in(tmp_path / "one") == {"a.png", "sub/b.png", "two/c.png"}
    assert params.excluded_in(tmp_path / "two") == {"c.png"}
