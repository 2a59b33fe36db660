"""Models in the folders of other programs are found."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
import time
from collections.abc import Callable, Sequence
from contextlib import closing
from pathlib import Path
from typing import Any

import pytest

from studio.core.paths import Home
from studio.library.models import external_folders, model_kind, offers
from tests.fixtures import gguf

CHECKPOINT = ("model.diffusion_model.input_blocks.0.0.weight", "first_stage_model.encoder.down.0.weight")
LORA = ("lora_unet_down_blocks_0.lora_down.weight", "lora_unet_down_blocks_0.lora_up.weight")
VAE = ("encoder.down.0.block.0.conv1.weight", "decoder.up.0.block.0.conv1.weight")
CONTROLNET = ("control_model.input_hint_block.0.weight",)


def write_weights(path: Path, tensors: Sequence[str] = ("something",), **metadata: str) -> Path:
    """Write a valid safetensors file with one byte per tensor."""
    header = {name: {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]} for at, name in enumerate(tensors)}
    packed = json.dumps({**header, "__metadata__": metadata} if metadata else header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + bytes(len(tensors)))
    return path


def write_pipeline(folder: Path) -> Path:
    write_weights(folder / "unet" / "diffusion_pytorch_model.safetensors")
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    return folder


def list_all(folder: Path) -> dict[str, tuple[int, int]]:
    """List names, sizes and times, which writing, moving or linking would change."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.fixture
def list_titles(home: Home) -> Callable[..., list[tuple[str, str]]]:
    """A function that scans folders and returns the titles and paths of their models."""

    def scan_and_list(kind: str, *folders: Path) -> list[tuple[str, str]]:
        if folders:
            external_folders.refresh(home, [str(folder) for folder in folders])
        found = offers.list_offers(home, None, kind)
        return [(offer.title, offer.path) for offer in found if offer.source is offers.ModelSource.ELSEWHERE]

    return scan_and_list


ListTitles = Callable[..., list[tuple[str, str]]]


def test_loras_of_every_layout_are_known_by_their_names() -> None:
    stem = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k"
    for layer in ("lora_A", "lora_down", "lora.down"):
        assert model_kind.kind_of_names((f"{stem}.{layer}.weight",)) == "lora"


def test_automatic1111_and_forge(list_titles: ListTitles, tmp_path: Path) -> None:
    root = tmp_path / "stable-diffusion-webui"
    big = write_weights(root / "models" / "Stable-diffusion" / "sub" / "dream.safetensors")
    old = root / "models" / "Stable-diffusion" / "old.ckpt"
    old.write_bytes(b"\x80\x02")
    beside = write_weights(root / "models" / "Stable-diffusion" / "dream.vae.safetensors")
    lora = write_weights(root / "models" / "Lora" / "ink.safetensors")
    vae = write_weights(root / "models" / "VAE" / "clear.safetensors")
    control = write_weights(root / "models" / "ControlNet" / "canny.safetensors")
    adapter = write_weights(root / "models" / "ControlNet" / "ip-adapter_sd15.safetensors")
    more = write_weights(root / "extensions" / "sd-webui-controlnet" / "models" / "depth.safetensors")
    word = write_weights(root / "embeddings" / "style.safetensors")
    write_weights(root / "models" / "ESRGAN" / "four.safetensors")
    write_weights(root / "somewhere" / "else.safetensors")
    before = list_all(root)
    assert list_titles("diffusion", root) == [("dream", str(big)), ("old", str(old))]
    assert list_titles("lora") == [("ink", str(lora))]
    assert list_titles("autoencoder") == [("clear", str(vae)), ("dream.vae", str(beside))]
    assert list_titles("controlnet") == [("canny", str(control)), ("depth", str(more))]
    assert list_titles("ip-adapter") == [("ip-adapter_sd15", str(adapter))]
    assert list_titles("embedding") == [("style", str(word))]
    assert list_titles("upscaler") == []
    assert list_all(root) == before


def test_comfyui_and_its_extra_model_paths(list_titles: ListTitles, tmp_path: Path) -> None:
    root, shared, webui = tmp_path / "ComfyUI", tmp_path / "shared", tmp_path / "webui"
    here = write_weights(root / "models" / "checkpoints" / "here.safetensors")
    there = write_weights(webui / "models" / "Stable-diffusion" / "there.safetensors")
    loras = [write_weights(webui / "models" / name / f"{name}.safetensors") for name in ("Lora", "LyCORIS")]
    folder = write_pipeline(root / "models" / "diffusers" / "whole")
    vae = write_weights(shared / "vae" / "flat.safetensors")
    write_weights(root / "models" / "upscale_models" / "four.safetensors")
    write_weights(webui / "models" / "ESRGAN" / "five.safetensors")
    (root / "extra_model_paths.yaml").write_text(
        f"""
webui:
    base_path: {webui}
    is_default: true
    checkpoints: models/Stable-diffusion/
    loras: |
        models/Lora

        models/LyCORIS
    upscale_models: models/ESRGAN
mine:
    vae: ../shared/vae
    loras: {tmp_path / "not-there"}
nothing:
list: [1, 2]
"""
    )
    assert list_titles("diffusion", root) == [("here", str(here)), ("there", str(there)), ("whole", str(folder))]
    assert list_titles("lora") == [(path.stem, str(path)) for path in loras]
    assert list_titles("autoencoder") == [("flat", str(vae))]


@pytest.mark.parametrize(
    "text", ["a: [", "- 1\n- 2", "just words", "a: !!python/object/apply:os.system ['false']", "\0", "a: &a [*a]"]
)
def test_a_damaged_paths_file_hides_no_model(list_titles: ListTitles, tmp_path: Path, text: str) -> None:
    path = write_weights(tmp_path / "models" / "checkpoints" / "a.safetensors")
    (tmp_path / "extra_model_paths.yaml").write_text(text)
    assert list_titles("diffusion", tmp_path) == [("a", str(path))]


def test_invokeai_folders_and_database(list_titles: ListTitles, tmp_path: Path) -> None:
    root = tmp_path / "invokeai"
    old = write_pipeline(root / "models" / "sd-1" / "main" / "stable-diffusion-v1-5")
    lora = write_weights(root / "models" / "sdxl" / "lora" / "ink.safetensors")
    flat = write_weights(root / "models" / "0e0a7b" / "model.safetensors")
    unnamed = write_weights(root / "models" / "77aa11" / "strokes.safetensors", LORA)
    outside = write_weights(tmp_path / "elsewhere" / "big.safetensors")
    encoder = write_weights(root / "models" / "c1c1c1" / "model.safetensors", ("text_model.encoder.weight",))
    (root / "databases").mkdir()
    database = root / "databases" / "invokeai.db"
    with closing(sqlite3.connect(database)) as made, made:
        made.execute("CREATE TABLE models (id TEXT PRIMARY KEY, config TEXT NOT NULL)")
        named = [
            {"name": "Dreamy", "path": "0e0a7b/model.safetensors", "type": "main", "base": "sdxl"},
            {"name": "Big one", "path": str(outside), "type": "main"},
            {"name": "CLIP", "path": "c1c1c1/model.safetensors", "type": "clip_embed"},
            {"name": "Gone", "path": "gone/model.safetensors", "type": "main"},
        ]
        made.executemany("INSERT INTO models VALUES (?, ?)", [(one["name"], json.dumps(one)) for one in named])
        made.execute("INSERT INTO models VALUES ('x', 'no json')")
    before = list_all(root)
    assert list_titles("diffusion", root) == [
        ("Big one", str(outside)),
        ("Dreamy", str(flat)),
        ("stable-diffusion-v1-5", str(old)),
    ]
    assert list_titles("lora") == [("ink", str(lora)), ("strokes", str(unnamed))]
    assert str(encoder) not in [path for kind in ("lora", "diffusion", "text-encoder") for _, path in list_titles(kind)]
    assert list_all(root) == before
    database.write_bytes(b"no database")
    assert ("model", str(flat)) in list_titles("diffusion", root)


@pytest.mark.parametrize("inside", [".", "hub"])
def test_the_hub_cache(list_titles: ListTitles, home: Home, tmp_path: Path, inside: str) -> None:
    hub = tmp_path / "cache" / inside
    for revision in ("aaa", "bbb"):
        write_pipeline(hub / "models--org--painter" / "snapshots" / revision)
    (hub / "models--org--painter" / "refs").mkdir()
    (hub / "models--org--painter" / "refs" / "main").write_text("bbb")
    vae = hub / "models--org--vae" / "snapshots" / "ccc"
    write_weights(vae / "diffusion_pytorch_model.safetensors")
    (vae / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    talker = hub / "models--org--talker" / "snapshots" / "ddd"
    talker.mkdir(parents=True)
    (talker / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (hub / "models--org--half" / "snapshots" / "eee").mkdir(parents=True)
    painter = hub / "models--org--painter" / "snapshots" / "bbb"
    assert list_titles("diffusion", tmp_path / "cache") == [("org/painter", str(painter))]
    assert list_titles("autoencoder") == [("org/vae", str(vae))]
    assert list_titles("language") == [("org/talker", str(talker))]
    assert offers.name_of(str(painter), painter) == "org/painter"
    write_pipeline(hub / "models--org--half" / "snapshots" / "eee")
    assert [title for title, _ in list_titles("diffusion", tmp_path / "cache")] == ["org/half", "org/painter"]


def test_headers_are_read_in_a_plain_folder(list_titles: ListTitles, tmp_path: Path) -> None:
    lora = write_weights(tmp_path / "mine" / "deep" / "ink.safetensors", LORA)
    big = write_weights(tmp_path / "mine" / "dream.safetensors", CHECKPOINT)
    vae = write_weights(tmp_path / "mine" / "clear.safetensors", VAE)
    control = write_weights(tmp_path / "mine" / "canny.safetensors", CONTROLNET)
    riddle = write_weights(tmp_path / "mine" / "riddle.safetensors")
    (tmp_path / "mine" / "weights.bin").write_bytes(b"x")
    (tmp_path / "mine" / "notes.txt").write_text("x")
    assert list_titles("lora", tmp_path / "mine") == [("ink", str(lora)), ("riddle", str(riddle))]
    assert list_titles("diffusion") == [("dream", str(big)), ("riddle", str(riddle))]
    assert list_titles("autoencoder") == [("clear", str(vae)), ("riddle", str(riddle))]
    assert list_titles("controlnet") == [("canny", str(control)), ("riddle", str(riddle))]


def test_titles_are_unique_and_files_are_listed_once(list_titles: ListTitles, home: Home, tmp_path: Path) -> None:
    one = write_weights(tmp_path / "one" / "models" / "loras" / "ink.safetensors")
    two = write_weights(tmp_path / "two" / "models" / "loras" / "ink.safetensors")
    other = two.with_suffix(".gguf")
    other.write_bytes(b"x")
    (tmp_path / "three" / "models").mkdir(parents=True)
    for root in ("one", "two", "three"):
        (tmp_path / root / "models" / "checkpoints").mkdir()
    (tmp_path / "three" / "models" / "loras").symlink_to(one.parent)
    (home.models / "same.safetensors").symlink_to(one)
    found = list_titles("lora", *(tmp_path / root for root in ("one", "two", "three")))
    assert found == [("ink.gguf", str(other)), ("ink.safetensors", str(two))], (
        "the link in the own folder stands for one"
    )
    (home.models / "same.safetensors").unlink()
    assert list_titles("lora") == [
        ("ink · one/models/loras", str(one)),
        ("ink.gguf · two/models/loras", str(other)),
        ("ink.safetensors · two/models/loras", str(two)),
    ]


def test_a_drive_that_is_not_connected_keeps_its_models(list_titles: ListTitles, home: Home, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "drive" / "models" / "checkpoints" / "dream.safetensors")
    assert list_titles("diffusion", tmp_path / "drive") == [("dream", str(path))]
    assert offers.find_disconnected_folder(home, str(path)) == ""
    (tmp_path / "drive").rename(tmp_path / "away")
    assert list_titles("diffusion", tmp_path / "drive") == [("dream (not connected)", str(path))]
    assert offers.resolve_model(home, str(path)) is None
    assert offers.find_disconnected_folder(home, str(path)) == str(tmp_path / "drive")
    (tmp_path / "drive").mkdir()
    assert list_titles("diffusion", tmp_path / "drive") == [("dream (not connected)", str(path))], (
        "an empty place for it"
    )
    (tmp_path / "drive").rmdir()
    (tmp_path / "away").rename(tmp_path / "drive")
    assert list_titles("diffusion", tmp_path / "drive") == [("dream", str(path))]
    path.unlink()
    assert list_titles("diffusion", tmp_path / "drive") == []


def test_a_disconnected_extra_path_keeps_its_models(list_titles: ListTitles, home: Home, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "drive" / "vae" / "clear.safetensors")
    comfy = tmp_path / "ComfyUI"
    comfy.mkdir()
    (comfy / "extra_model_paths.yaml").write_text(f"more:\n  base_path: {tmp_path / 'drive'}\n  vae: vae\n")
    assert list_titles("autoencoder", comfy) == [("clear", str(path))]
    (tmp_path / "drive").rename(tmp_path / "away")
    assert list_titles("autoencoder", comfy) == [("clear (not connected)", str(path))]
    (tmp_path / "away").rename(tmp_path / "drive")
    assert list_titles("autoencoder", comfy) == [("clear", str(path))]


def test_circular_links_and_unreadable_folders(list_titles: ListTitles, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    path = write_weights(root / "a" / "ink.safetensors", LORA)
    (root / "a" / "back").symlink_to(root)
    (root / "itself").symlink_to("itself")
    (root / "lost.safetensors").symlink_to(tmp_path / "nowhere")
    closed = write_weights(root / "closed" / "ink.safetensors", LORA).parent
    closed.chmod(0)
    try:
        found = list_titles("lora", root)
    finally:
        closed.chmod(0o700)
    assert ("ink", str(path)) in found or os.geteuid() == 0
    assert len(found) == (2 if os.geteuid() == 0 else 1)


def test_unchanged_folders_are_not_scanned_again(home: Home, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "mine" / "deep" / "ink.safetensors", LORA)
    folders = [str(tmp_path / "mine")]
    assert external_folders.refresh(home, folders)
    assert not external_folders.refresh(home, folders)
    write_weights(path.with_name("new.safetensors"), LORA)
    assert external_folders.refresh(home, folders)
    assert [model.title for model in external_folders.load(home)[0].models] == ["ink", "new"]
    assert external_folders.refresh(home, []), "a folder was taken away"
    assert external_folders.load(home) == []
    (home.root / external_folders.FILE).write_bytes(b"{")
    assert external_folders.load(home) == []
    assert external_folders.refresh(home, folders)


def test_a_model_is_chosen_by_path_or_name(home: Home, tmp_path: Path) -> None:
    path = write_weights(tmp_path / "models" / "loras" / "ink.safetensors")
    (tmp_path / "models" / "checkpoints").mkdir()
    assert offers.resolve_model(home, "ink.safetensors") is None
    external_folders.refresh(home, [str(tmp_path)])
    assert offers.resolve_model(home, str(path)) == path
    assert offers.resolve_model(home, "ink.safetensors") == path
    assert offers.name_of(str(path), path) == "ink.safetensors"


@pytest.mark.parametrize(
    ("tensors", "kind"),
    [
        (CHECKPOINT, model_kind.DIFFUSION),
        (LORA, model_kind.LORA),
        (("unet.down.lora_A.weight",), model_kind.LORA),
        (VAE, model_kind.AUTOENCODER),
        (CONTROLNET, model_kind.CONTROLNET),
        (("controlnet_cond_embedding.conv_in.weight", "time_embedding.linear_1.weight"), model_kind.CONTROLNET),
        (("image_proj.latents", "ip_adapter.1.to_k_ip.weight"), model_kind.IP_ADAPTER),
        (("emb_params",), model_kind.EMBEDDING),
        (("clip_l", "clip_g"), model_kind.EMBEDDING),
        (("double_blocks.0.img_attn.norm.key_norm.scale",), model_kind.DIFFUSION),
        (("model.layers.0.self_attn.q_proj.weight",), model_kind.LANGUAGE),
        (("text_model.encoder.layers.0.mlp.fc1.weight",), model_kind.TEXT_ENCODER),
        (("conv_first.weight", "body.0.rdb1.conv1.weight"), model_kind.UPSCALER),
        (("whatever",), ""),
    ],
)
def test_the_kind_by_tensor_names(tmp_path: Path, tensors: tuple[str, ...], kind: str) -> None:
    assert model_kind.kind_of(write_weights(tmp_path / "a.safetensors", tensors)) == kind


def test_the_kind_of_a_motion_adapter(tmp_path: Path) -> None:
    write_weights(tmp_path / "motion" / "diffusion_pytorch_model.safetensors")
    (tmp_path / "motion" / "config.json").write_text('{"_class_name": "MotionAdapter"}')
    assert model_kind.kind_of(tmp_path / "motion") == model_kind.MOTION_ADAPTER


@pytest.mark.parametrize(
    ("architecture", "keys", "kind"),
    [
        ("llama", {"llama.context_length": 8}, model_kind.LANGUAGE),
        ("of-tomorrow", {"of-tomorrow.context_length": 8, "general.type": "model"}, model_kind.LANGUAGE),
        ("bert", {"bert.context_length": 8}, model_kind.TEXT_ENCODER),
        ("flux", {}, model_kind.DIFFUSION),
        ("llama", {"llama.context_length": 8, "general.type": "adapter"}, model_kind.PART),
        ("clip", {"general.type": "mmproj"}, model_kind.PART),
        ("llama", {"llama.context_length": 8, "split.no": 1, "split.count": 2}, model_kind.PART),
        ("llama", {"llama.context_length": 8, "split.no": 0, "split.count": 2}, model_kind.LANGUAGE),
        ("something", {}, ""),
    ],
)  # fmt: skip
def test_the_kind_of_a_gguf_file(tmp_path: Path, architecture: str, keys: dict[str, Any], kind: str) -> None:
    file = gguf.write_gguf(tmp_path / "in" / "a.gguf", architecture, keys, gguf.WEIGHTS)
    assert model_kind.kind_of(file) == kind
    assert model_kind.kind_of(file.parent) == kind
    file.write_bytes(b"version https://git-lfs")
    assert model_kind.kind_of(file) == ""


def test_models_in_the_own_folder_have_a_kind(home: Home) -> None:
    write_weights(home.models / "ink.safetensors", LORA)
    write_weights(home.models / "riddle.safetensors")
    write_weights(home.models / "folder" / "pytorch_lora_weights.safetensors", LORA)
    write_pipeline(home.models / "org--painter")

    def mine(kind: str) -> list[str]:
        return [one.title for one in offers.list_offers(home, None, kind) if one.source is offers.ModelSource.FOLDER]

    assert mine("lora") == ["folder", "ink", "riddle"]
    assert mine("diffusion") == ["org/painter", "riddle"]
    assert offers.resolve_model(home, "org/painter") == home.models / "org--painter"
    assert offers.name_of("org/painter", home.models / "org--painter") == "org/painter"


def test_a_whole_disk_is_no_folder_of_models(list_titles: ListTitles, tmp_path: Path) -> None:
    write_weights(tmp_path / "models" / "checkpoints" / "one.safetensors")
    (tmp_path / "extra_model_paths.yaml").write_text(f"comfyui:\n  base_path: {tmp_path}\n  checkpoints: /\n")
    began = time.monotonic()
    assert [title for title, _ in list_titles("diffusion", tmp_path)] == ["one"]
    assert time.monotonic() - began < 5


def test_not_all_of_very_many_folders_are_searched(
    list_titles: ListTitles, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(external_folders, "MAX_FOLDERS", 10)
    for number in range(30):
        write_weights(tmp_path / "models" / "checkpoints" / f"{number:02}" / f"{number:02}.safetensors")
    assert 0 < len(list_titles("diffusion", tmp_path)) < 30
