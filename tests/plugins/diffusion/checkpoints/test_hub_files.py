"""Models of the hub are downloaded completely, refused with a sentence, and resumed where they stopped."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest

from plugins.diffusion.checkpoints import diffusers_folder, hub_files
from studio import api, testing
from tests.plugins.conftest import Start
from tests.plugins.hub_server import Hub, serving

NAME = "org/painter"
WEIGHTS = "unet/diffusion_pytorch_model.safetensors"
INDEX = {
    "_class_name": "StableDiffusionPipeline",
    "_diffusers_version": "0.42.1",
    "safety_checker": [None, None],
    "scheduler": ["diffusers", "DDIMScheduler"],
    "text_encoder": ["transformers", "CLIPTextModel"],
    "tokenizer": ["transformers", "CLIPTokenizer"],
    "unet": ["diffusers", "UNet2DConditionModel"],
}
WANTED = {
    "README.md": b"---\nlicense: openrail\n---\n",
    "model_index.json": json.dumps(INDEX).encode(),
    "scheduler/scheduler_config.json": b"{}",
    "text_encoder/config.json": b"{}",
    "text_encoder/model-00001-of-00002.safetensors": b"1" * 1500,
    "text_encoder/model-00002-of-00002.safetensors": b"2" * 1500,
    "text_encoder/model.safetensors.index.json": b"{}",
    "tokenizer/vocab.json": b'{"a": 1}',
    "tokenizer/merges.txt": b"",
    "unet/config.json": b"{}",
    WEIGHTS: bytes(range(256)) * 2000,
}
OTHERS = {
    "painter.safetensors": b"the whole in one file",
    "preview.png": b"x",
    "run.py": b"import os",
    "safety_checker/model.safetensors": b"x" * 2000,
    "text_encoder/pytorch_model.bin": b"pickle",
    "tokenizer/code.py": b"import os",
    "unet/diffusion_pytorch_model.bin": b"pickle",
    "unet/diffusion_pytorch_model.fp16.safetensors": b"x" * 2000,
    "unet/diffusion_pytorch_model.non_ema.safetensors": b"x" * 2000,
    "unet/sub/diffusion_pytorch_model.safetensors": b"x",
    "vae/diffusion_pytorch_model.safetensors": b"not in the index",
    "../outside.json": b"{}",
}


@pytest.fixture
def ctx(tmp_path: Path) -> testing.FakeContext:
    return testing.FakeContext(folder=tmp_path / "home")


def repository() -> Hub:
    return Hub(NAME, {**WANTED, **OTHERS}, card={"license": "openrail"})


def contents(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def progress_events(ctx: testing.FakeContext) -> list[api.Progress]:
    return [event for event in ctx.events if isinstance(event, api.Progress)]


def test_only_the_files_that_diffusers_needs_are_downloaded(start: Start, ctx: testing.FakeContext) -> None:
    hub = start(repository())
    folder = hub_files.fetch_pipeline(NAME, ctx)
    assert folder == ctx.downloads / "org--painter"
    assert contents(folder) == WANTED
    assert [path.name for path in ctx.downloads.iterdir()] == ["org--painter"], "nothing unfinished is left"
    last = progress_events(ctx)[-1]
    assert last.step == last.total == sum(map(len, WANTED.values()))
    assert last.text == "Downloading org/painter: 515 KB of 515 KB"
    assert [event.text for event in ctx.events if isinstance(event, api.Notice)] == [
        "org/painter is under OpenRAIL. Its page is huggingface.co/org/painter"
    ]
    hub.asked.clear()
    assert hub_files.fetch_pipeline(NAME, ctx) == folder
    assert hub.asked == []


def test_a_broken_connection_is_reopened_while_data_arrives(start: Start, ctx: testing.FakeContext) -> None:
    hub = repository()
    hub.cuts[WEIGHTS] = [100_000, 1, 50_000]
    start(hub)
    assert contents(hub_files.fetch_pipeline(NAME, ctx)) == WANTED
    assert [range for file, range in hub.asked if file == WEIGHTS] == [
        "bytes=0-", "bytes=100000-", "bytes=100001-", "bytes=150001-",
    ]  # fmt: skip


def test_a_download_resumes_after_a_lost_connection(start: Start, ctx: testing.FakeContext) -> None:
    hub = repository()
    hub.cuts[WEIGHTS] = [200_000, 0]
    start(hub)
    with pytest.raises(api.BadInput, match=r"lost at \d+ KB of 515 KB of org/painter.*the download resumes"):
        hub_files.fetch_pipeline(NAME, ctx)
    assert [path.name for path in ctx.downloads.iterdir()] == [".org--painter.part"]
    hub.asked.clear()
    assert contents(hub_files.fetch_pipeline(NAME, ctx)) == WANTED
    assert [range for file, range in hub.asked if file == WEIGHTS] == ["bytes=200000-"]
    assert "model_index.json" not in [file for file, _ in hub.asked], "what is whole does not come twice"


def test_a_cancelled_download_resumes(start: Start, ctx: testing.FakeContext) -> None:
    hub = start(repository())
    hub.cuts[WEIGHTS] = [200_000]
    ctx.cancel_after = len(WANTED) // 3
    with pytest.raises(api.Cancelled):
        hub_files.fetch_pipeline(NAME, ctx)
    ctx.cancel_after = None
    before = sum(len(content) for name, content in contents(ctx.downloads).items() if not name.endswith("lock"))
    assert before > 0
    assert contents(hub_files.fetch_pipeline(NAME, ctx)) == WANTED


def test_a_hub_without_ranges_starts_again(start: Start, ctx: testing.FakeContext) -> None:
    hub = repository()
    hub.cuts[WEIGHTS], hub.ranges = [200_000], False
    start(hub)
    assert contents(hub_files.fetch_pipeline(NAME, ctx)) == WANTED


def test_a_newer_revision_replaces_an_unfinished_download(start: Start, ctx: testing.FakeContext) -> None:
    hub = repository()
    hub.cuts[WEIGHTS] = [200_000, 0]
    start(hub)
    with pytest.raises(api.BadInput, match="lost"):
        hub_files.fetch_pipeline(NAME, ctx)
    hub.revision, hub.files[WEIGHTS] = "1" * 40, b"new" * 1000
    assert contents(hub_files.fetch_pipeline(NAME, ctx))[WEIGHTS] == b"new" * 1000


@pytest.mark.parametrize("file", [WEIGHTS, "unet/config.json"])
def test_files_with_a_wrong_checksum_are_deleted(start: Start, ctx: testing.FakeContext, file: str) -> None:
    hub = repository()
    hub.damaged.add(file)
    start(hub)
    with pytest.raises(api.BadInput, match=f"{file} of org/painter was damaged during the download"):
        hub_files.fetch_pipeline(NAME, ctx)
    hub.damaged.clear()
    assert contents(hub_files.fetch_pipeline(NAME, ctx)) == WANTED


@pytest.mark.parametrize(
    ("refusal", "sentence"),
    [
        ((401, "GatedRepo"), "accept its terms at .*HF_TOKEN"),
        ((403, "GatedRepo"), "accept its terms at .*HF_TOKEN"),
        ((404, "RepoNotFound"), "no model org/painter on the Hugging Face hub"),
        ((503, ""), "answered 503.*the download resumes"),
    ],
)
def test_errors_of_the_hub_are_explained(
    start: Start, ctx: testing.FakeContext, refusal: tuple[int, str], sentence: str
) -> None:
    hub = repository()
    hub.refusal = refusal
    start(hub)
    with pytest.raises(api.BadInput, match=sentence):
        hub_files.fetch_pipeline(NAME, ctx)


@pytest.mark.parametrize("name", ["org/other", "org/a--b", "no name/at all"])
def test_an_unknown_model_is_refused(start: Start, ctx: testing.FakeContext, name: str) -> None:
    start(repository())
    with pytest.raises(api.BadInput, match=f"no model {name} on the Hugging Face hub"):
        hub_files.fetch_pipeline(name, ctx)


def test_a_missing_network_is_explained(
    start: Start, ctx: testing.FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = repository()
    with serving(hub):
        gone = hub.url
    start(repository())
    monkeypatch.setattr("huggingface_hub.constants.ENDPOINT", gone)
    with pytest.raises(api.BadInput, match=r"org/painter is not on this computer, and the .* hub cannot be reached"):
        hub_files.fetch_pipeline(NAME, ctx)


def test_a_full_disk_is_reported_before_the_download(
    start: Start, ctx: testing.FakeContext, monkeypatch: pytest.MonkeyPatch
) -> None:
    hub = start(repository())
    usage = shutil.disk_usage(ctx.downloads)
    monkeypatch.setattr(shutil, "disk_usage", lambda _: usage._replace(free=10_000))
    with pytest.raises(api.BadInput, match=r"org/painter needs 51\d KB more, and .*models has 10.0 KB left"):
        hub_files.fetch_pipeline(NAME, ctx)
    assert {file for file, _ in hub.asked} == {"model_index.json"}


@pytest.mark.parametrize(
    ("lost", "sentence"),
    [
        ("model_index.json", "not in the format of diffusers"),
        (WEIGHTS, "has no safetensors for its unet"),
    ],
)
def test_unusable_repositories_are_refused(start: Start, ctx: testing.FakeContext, lost: str, sentence: str) -> None:
    hub = repository()
    del hub.files[lost]
    hub.files.pop("unet/diffusion_pytorch_model.fp16.safetensors")
    start(hub)
    with pytest.raises(api.BadInput, match=sentence):
        hub_files.fetch_pipeline(NAME, ctx)


@pytest.mark.parametrize(
    ("index", "sentence"),
    [
        (b"[1]", r"model_index\.json of org/painter is damaged"),
        (b'{"_class_name": ["own_code", "OwnPipeline"]}', "needs Python code of its own"),
    ],
)
def test_an_unusable_index_is_refused(start: Start, ctx: testing.FakeContext, index: bytes, sentence: str) -> None:
    hub = repository()
    hub.files["model_index.json"] = index
    start(hub)
    with pytest.raises(api.BadInput, match=sentence):
        hub_files.fetch_pipeline(NAME, ctx)
    assert {file for file, _ in hub.asked} == {"model_index.json"}


def test_a_second_download_of_a_model_is_refused(start: Start, ctx: testing.FakeContext) -> None:
    from filelock import FileLock

    start(repository())
    work = ctx.downloads / ".org--painter.part"
    work.mkdir()
    with FileLock(work / "lock"), pytest.raises(api.BadInput, match="being downloaded already"):
        hub_files.fetch_pipeline(NAME, ctx)
    assert contents(hub_files.fetch_pipeline(NAME, ctx)) == WANTED


def test_a_component_alone_is_downloaded(start: Start, ctx: testing.FakeContext) -> None:
    files = {
        "config.json": b"{}",
        "diffusion_pytorch_model.safetensors": b"w" * 2000,
        "diffusion_pytorch_model.fp16.safetensors": b"x",
        "sub/model.safetensors": b"x",
        "other.json": b"{}",
    }
    start(Hub("org/net", files))
    assert set(contents(hub_files.fetch_component("org/net", ctx))) == {
        "config.json", "diffusion_pytorch_model.safetensors",
    }  # fmt: skip


def test_a_downloaded_model_can_be_used(start: Start, ctx: testing.FakeContext, sd: Path) -> None:
    start(Hub.of_folder("org/tiny", sd))
    folder = hub_files.fetch_pipeline("org/tiny", ctx)
    assert diffusers_folder.inspect_folder(folder).pipeline == "StableDiffusionPipeline"
    assert contents(folder) == contents(sd)


@pytest.mark.parametrize(
    ("count", "words"),
    [(0, "0 bytes"), (999, "999 bytes"), (1_500, "1.5 KB"), (6_938_000_000, "6.9 GB"), (10**12, "1000 GB")],
)
def test_sizes_are_formatted(count: int, words: str) -> None:
    assert api.format_size(count) == words


def test_half_precision_is_downloaded_where_there_is_nothing_else(start: Start, ctx: testing.FakeContext) -> None:
    hub = repository()
    half = WEIGHTS.replace(".safetensors", ".fp16.safetensors")
    del hub.files[WEIGHTS]
    start(hub)
    assert contents(hub_files.fetch_pipeline(NAME, ctx)) == {
        **{name: content for name, content in WANTED.items() if name != WEIGHTS},
        half: OTHERS[half],
    }
