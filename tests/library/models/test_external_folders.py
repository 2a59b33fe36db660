"""Models of other programs, found where they lie."""

from __future__ import annotations

import json
import os
import sqlite3
import struct
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


def weights(path: Path, tensors: Sequence[str] = ("something",), **metadata: str) -> Path:
    """A whole safetensors file of one byte per tensor."""
    header = {name: {"dtype": "U8", "shape": [1], "data_offsets": [at, at + 1]} for at, name in enumerate(tensors)}
    packed = json.dumps({**header, "__metadata__": metadata} if metadata else header).encode()
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(struct.pack("<Q", len(packed)) + packed + bytes(len(tensors)))
    return path


def pipeline(folder: Path) -> Path:
    weights(folder / "unet" / "diffusion_pytorch_model.safetensors")
    (folder / "model_index.json").write_text('{"_class_name": "StableDiffusionPipeline"}')
    return folder


def everything(folder: Path) -> dict[str, tuple[int, int]]:
    """Names, sizes and times: what writing, moving or linking would change."""
    return {str(path): (path.lstat().st_size, path.lstat().st_mtime_ns) for path in folder.rglob("*")}


@pytest.fixture
def offered(home: Home) -> Callable[..., list[tuple[str, str]]]:
    """Looks at folders, then gives titles and paths of what lies in them."""

    def look(kind: str, *folders: Path) -> list[tuple[str, str]]:
        if folders:
            external_folders.refresh(home, [str(folder) for folder in folders])
        found = offers.list_offers(home, None, kind)
        return [(offer.title, offer.path) for offer in found if offer.source is offers.ModelSource.ELSEWHERE]

    return look


Offered = Callable[..., list[tuple[str, str]]]


def test_loras_of_every_layout_are_known_by_their_names() -> None:
    stem = "unet.down_blocks.1.attentions.0.transformer_blocks.0.attn1.to_k"
    for layer in ("lora_A", "lora_down", "lora.down"):
        assert model_kind.kind_of_names((f"{stem}.{layer}.weight",)) == "lora"


def test_automatic1111_and_forge(offered: Offered, tmp_path: Path) -> None:
    root = tmp_path / "stable-diffusion-webui"
    big = weights(root / "models" / "Stable-diffusion" / "sub" / "dream.safetensors")
    old = root / "models" / "Stable-diffusion" / "old.ckpt"
    old.write_bytes(b"\x80\x02")
    beside = weights(root / "models" / "Stable-diffusion" / "dream.vae.safetensors")
    lora = weights(root / "models" / "Lora" / "ink.safetensors")
    vae = weights(root / "models" / "VAE" / "clear.safetensors")
    control = weights(root / "models" / "ControlNet" / "canny.safetensors")
    adapter = weights(root / "models" / "ControlNet" / "ip-adapter_sd15.safetensors")
    more = weights(root / "extensions" / "sd-webui-controlnet" / "models" / "depth.safetensors")
    word = weights(root / "embeddings" / "style.safetensors")
    weights(root / "models" / "ESRGAN" / "four.safetensors")
    weights(root / "somewhere" / "else.safetensors")
    before = everything(root)
    assert offered("diffusion", root) == [("dream", str(big)), ("old", str(old))]
    assert offered("lora") == [("ink", str(lora))]
    assert offered("autoencoder") == [("clear", str(vae)), ("dream.vae", str(beside))]
    assert offered("controlnet") == [("canny", str(control)), ("depth", str(more))]
    assert offered("ip-adapter") == [("ip-adapter_sd15", str(adapter))]
    assert offered("embedding") == [("style", str(word))]
    assert offered("upscaler") == []
    assert everything(root) == before


def test_comfy_and_the_paths_that_it_is_told_of(offered: Offered, tmp_path: Path) -> None:
    root, shared, webui = tmp_path / "ComfyUI", tmp_path / "shared", tmp_path / "webui"
    here = weights(root / "models" / "checkpoints" / "here.safetensors")
    there = weights(webui / "models" / "Stable-diffusion" / "there.safetensors")
    loras = [weights(webui / "models" / name / f"{name}.safetensors") for name in ("Lora", "LyCORIS")]
    folder = pipeline(root / "models" / "diffusers" / "whole")
    vae = weights(shared / "vae" / "flat.safetensors")
    weights(root / "models" / "upscale_models" / "four.safetensors")
    weights(webui / "models" / "ESRGAN" / "five.safetensors")
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
    assert offered("diffusion", root) == [("here", str(here)), ("there", str(there)), ("whole", str(folder))]
    assert offered("lora") == [(path.stem, str(path)) for path in loras]
    assert offered("autoencoder") == [("flat", str(vae))]


@pytest.mark.parametrize(
    "text", ["a: [", "- 1\n- 2", "just words", "a: !!python/object/apply:os.system ['false']", "\0", "a: &a [*a]"]
)
def test_a_damaged_list_of_paths_hides_nothing(offered: Offered, tmp_path: Path, text: str) -> None:
    path = weights(tmp_path / "models" / "checkpoints" / "a.safetensors")
    (tmp_path / "extra_model_paths.yaml").write_text(text)
    assert offered("diffusion", tmp_path) == [("a", str(path))]


def test_invokeai_by_folders_and_by_its_database(offered: Offered, tmp_path: Path) -> None:
    root = tmp_path / "invokeai"
    old = pipeline(root / "models" / "sd-1" / "main" / "stable-diffusion-v1-5")
    lora = weights(root / "models" / "sdxl" / "lora" / "ink.safetensors")
    flat = weights(root / "models" / "0e0a7b" / "model.safetensors")
    unnamed = weights(root / "models" / "77aa11" / "strokes.safetensors", LORA)
    outside = weights(tmp_path / "elsewhere" / "big.safetensors")
    encoder = weights(root / "models" / "c1c1c1" / "model.safetensors", ("text_model.encoder.weight",))
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
    before = everything(root)
    assert offered("diffusion", root) == [
        ("Big one", str(outside)),
        ("Dreamy", str(flat)),
        ("stable-diffusion-v1-5", str(old)),
    ]
    assert offered("lora") == [("ink", str(lora)), ("strokes", str(unnamed))]
    assert str(encoder) not in [path for kind in ("lora", "diffusion", "text-encoder") for _, path in offered(kind)]
    assert everything(root) == before
    database.write_bytes(b"no database")
    assert ("model", str(flat)) in offered("diffusion", root)


@pytest.mark.parametrize("inside", [".", "hub"])
def test_the_hubs_cache(offered: Offered, home: Home, tmp_path: Path, inside: str) -> None:
    hub = tmp_path / "cache" / inside
    for revision in ("aaa", "bbb"):
        pipeline(hub / "models--org--painter" / "snapshots" / revision)
    (hub / "models--org--painter" / "refs").mkdir()
    (hub / "models--org--painter" / "refs" / "main").write_text("bbb")
    vae = hub / "models--org--vae" / "snapshots" / "ccc"
    weights(vae / "diffusion_pytorch_model.safetensors")
    (vae / "config.json").write_text('{"_class_name": "AutoencoderKL"}')
    talker = hub / "models--org--talker" / "snapshots" / "ddd"
    talker.mkdir(parents=True)
    (talker / "config.json").write_text('{"architectures": ["LlamaForCausalLM"]}')
    (hub / "models--org--half" / "snapshots" / "eee").mkdir(parents=True)
    painter = hub / "models--org--painter" / "snapshots" / "bbb"
    assert offered("diffusion", tmp_path / "cache") == [("org/painter", str(painter))]
    assert offered("autoencoder") == [("org/vae", str(vae))]
    assert offered("language") == [("org/talker", str(talker))]
    assert offers.name_of(str(painter), painter) == "org/painter"
    pipeline(hub / "models--org--half" / "snapshots" / "eee")
    assert [title for title, _ in offered("diffusion", tmp_path / "cache")] == ["org/half", "org/painter"]


def test_in_a_plain_folder_each_file_is_looked_at(offered: Offered, tmp_path: Path) -> None:
    lora = weights(tmp_path / "mine" / "deep" / "ink.safetensors", LORA)
    big = weights(tmp_path / "mine" / "dream.safetensors", CHECKPOINT)
    vae = weights(tmp_path / "mine" / "clear.safetensors", VAE)
    control = weights(tmp_path / "mine" / "canny.safetensors", CONTROLNET)
    riddle = weights(tmp_path / "mine" / "riddle.safetensors")
    (tmp_path / "mine" / "weights.bin").write_bytes(b"x")
    (tmp_path / "mine" / "notes.txt").write_text("x")
    assert offered("lora", tmp_path / "mine") == [("ink", str(lora)), ("riddle", str(riddle))]
    assert offered("diffusion") == [("dream", str(big)), ("riddle", str(riddle))]
    assert offered("autoencoder") == [("clear", str(vae)), ("riddle", str(riddle))]
    assert offered("controlnet") == [("canny", str(control)), ("riddle", str(riddle))]


def test_the_same_names_are_told_apart_and_the_same_files_come_once(
    offered: Offered, home: Home, tmp_path: Path
) -> None:
    one = weights(tmp_path / "one" / "models" / "loras" / "ink.safetensors")
    two = weights(tmp_path / "two" / "models" / "loras" / "ink.safetensors")
    other = two.with_suffix(".gguf")
    other.write_bytes(b"x")
    (tmp_path / "three" / "models").mkdir(parents=True)
    for root in ("one", "two", "three"):
        (tmp_path / root / "models" / "checkpoints").mkdir()
    (tmp_path / "three" / "models" / "loras").symlink_to(one.parent)
    (home.models / "same.safetensors").symlink_to(one)
    found = offered("lora", *(tmp_path / root for root in ("one", "two", "three")))
    assert found == [("ink.gguf", str(other)), ("ink.safetensors", str(two))], (
        "the link in the own folder stands for one"
    )
    (home.models / "same.safetensors").unlink()
    assert offered("lora") == [
        ("ink · one/models/loras", str(one)),
        ("ink.gguf · two/models/loras", str(other)),
        ("ink.safetensors · two/models/loras", str(two)),
    ]


def test_a_drive_that_is_not_connected_keeps_its_models(offered: Offered, home: Home, tmp_path: Path) -> None:
    path = weights(tmp_path / "drive" / "models" / "checkpoints" / "dream.safetensors")
    assert offered("diffusion", tmp_path / "drive") == [("dream", str(path))]
    assert offers.find_disconnected_folder(home, str(path)) == ""
    (tmp_path / "drive").rename(tmp_path / "away")
    assert offered("diffusion", tmp_path / "drive") == [("dream (not connected)", str(path))]
    assert offers.resolve_model(home, str(path)) is None
    assert offers.find_disconnected_folder(home, str(path)) == str(tmp_path / "drive")
    (tmp_path / "drive").mkdir()
    assert offered("diffusion", tmp_path / "drive") == [("dream (not connected)", str(path))], "an empty place for it"
    (tmp_path / "drive").rmdir()
    (tmp_path / "away").rename(tmp_path / "drive")
    assert offered("diffusion", tmp_path / "drive") == [("dream", str(path))]
    path.unlink()
    assert offered("diffusion", tmp_path / "drive") == []


def test_a_folder_that_another_program_has_on_such_a_drive(offered: Offered, home: Home, tmp_path: Path) -> None:
    path = weights(tmp_path / "drive" / "vae" / "clear.safetensors")
    comfy = tmp_path / "ComfyUI"
    comfy.mkdir()
    (comfy / "extra_model_paths.yaml").write_text(f"more:\n  base_path: {tmp_path / 'drive'}\n  vae: vae\n")
    assert offered("autoencoder", comfy) == [("clear", str(path))]
    (tmp_path / "drive").rename(tmp_path / "away")
    assert offered("autoencoder", comfy) == [("clear (not connected)", str(path))]
    (tmp_path / "away").rename(tmp_path / "drive")
    assert offered("autoencoder", comfy) == [("clear", str(path))]


def test_links_in_circles_and_folders_that_may_not_be_read(offered: Offered, tmp_path: Path) -> None:
    root = tmp_path / "mine"
    path = weights(root / "a" / "ink.safetensors", LORA)
    (root / "a" / "back").symlink_to(root)
    (root / "itself").symlink_to("itself")
    (root / "lost.safetensors").symlink_to(tmp_path / "nowhere")
    closed = weights(root / "closed" / "ink.safetensors", LORA).parent
    closed.chmod(0)
    try:
        found = offered("lora", root)
    finally:
        closed.chmod(0o700)
    assert ("ink", str(path)) in found or os.geteuid() == 0
    assert len(found) == (2 if os.geteuid() == 0 else 1)


def test_nothing_is_read_again_while_nothing_changes(home: Home, tmp_path: Path) -> None:
    path = weights(tmp_path / "mine" / "deep" / "ink.safetensors", LORA)
    folders = [str(tmp_path / "mine")]
    assert external_folders.refresh(home, folders)
    assert not external_folders.refresh(home, folders)
    weights(path.with_name("new.safetensors"), LORA)
    assert external_folders.refresh(home, folders)
    assert [model.title for model in external_folders.load(home)[0].models] == ["ink", "new"]
    assert external_folders.refresh(home, []), "a folder was taken away"
    assert external_folders.load(home) == []
    (home.root / external_folders.FILE).write_bytes(b"{")
    assert external_folders.load(home) == []
    assert external_folders.refresh(home, folders)


def test_a_choice_by_path_or_by_name(home: Home, tmp_path: Path) -> None:
    path = weights(tmp_path / "models" / "loras" / "ink.safetensors")
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
def test_what_the_names_of_tensors_tell(tmp_path: Path, tensors: tuple[str, ...], kind: str) -> None:
    assert model_kind.kind_of(weights(tmp_path / "a.safetensors", tensors)) == kind


def test_a_motion_adapter_is_known_by_its_configuration(tmp_path: Path) -> None:
    weights(tmp_path / "motion" / "diffusion_pytorch_model.safetensors")
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
def test_what_a_gguf_file_is(tmp_path: Path, architecture: str, keys: dict[str, Any], kind: str) -> None:
    file = gguf.write_gguf(tmp_path / "in" / "a.gguf", architecture, keys, gguf.WEIGHTS)
    assert model_kind.kind_of(file) == kind
    assert model_kind.kind_of(file.parent) == kind
    file.write_bytes(b"version https://git-lfs")
    assert model_kind.kind_of(file) == ""


def test_what_lies_in_the_own_folder_is_looked_at_too(home: Home) -> None:
    weights(home.models / "ink.safetensors", LORA)
    weights(home.models / "riddle.safetensors")
    weights(home.models / "folder" / "pytorch_lora_weights.safetensors", LORA)
    pipeline(home.models / "org--painter")

    def mine(kind: str) -> list[str]:
        return [one.title for one in offers.list_offers(home, None, kind) if one.source is offers.ModelSource.FOLDER]

    assert mine("lora") == ["folder", "ink", "riddle"]
    assert mine("diffusion") == ["org/painter", "riddle"]
    assert offers.resolve_model(home, "org/painter") == home.models / "org--painter"
    assert offers.name_of("org/painter", home.models / "org--painter") == "org/painter"
