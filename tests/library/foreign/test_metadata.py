"""Metadata in the formats of other tools, and hostile metadata."""

from __future__ import annotations

import gzip
import json
import random
import subprocess
import zlib
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from studio.core import animations
from studio.core.errors import BadInput
from studio.core.paths import Home
from studio.library.foreign import metadata
from studio.library.foreign.parsed_fields import to_fields
from studio.library.formats import exif, png, xmp
from studio.library.index.extraction import extract
from studio.library.storage import recipe_embedding
from studio.library.storage.writer import save_animation, save_image, save_text
from tests.library import factories
from tests.library.foreign.test_a1111 import REAL

GRAPH = {
    "3": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 12345678901234567,
            "steps": 25,
            "cfg": 6.5,
            "sampler_name": "euler",
            "denoise": 1.0,
            "model": ["4", 0],
            "positive": ["10", 0],
            "negative": ["7", 0],
        },
    },
    "4": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "v1-5.safetensors"}},
    "5": {"class_type": "EmptyLatentImage", "inputs": {"width": 512, "height": 768, "batch_size": 1}},
    "6": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["4", 1]}},
    "7": {"class_type": "CLIPTextEncode", "inputs": {"text": "blurry", "clip": ["4", 1]}},
    "10": {"class_type": "ControlNetApply", "inputs": {"conditioning": ["6", 0], "strength": 0.5}},
}
FOOOCUS = {
    "prompt": "a fox",
    "negative_prompt": "blurry",
    "seed": "42",
    "steps": 25,
    "guidance_scale": 6.5,
    "resolution": "(512, 768)",
    "base_model": "v1-5.safetensors",
    "sampler": "euler",
}
INVOKE = {
    "positive_prompt": "a fox",
    "negative_prompt": "blurry",
    "seed": 42,
    "steps": 25,
    "cfg_scale": 6.5,
    "width": 512,
    "height": 768,
    "scheduler": "euler",
    "model": {"key": "k", "hash": "blake3:0", "name": "v1-5.safetensors", "base": "sd-1"},
}
SWARM = {
    "sui_image_params": {
        "prompt": "a fox",
        "negativeprompt": "blurry",
        "seed": 42,
        "steps": "25",
        "cfgscale": "6.5",
        "width": "512",
        "height": 768,
        "model": "v1-5.safetensors",
        "sampler": "euler",
    },
    "sui_extra_data": {},
}
NOVEL = {
    "prompt": "a fox", "uc": "blurry", "seed": 42, "steps": 25, "scale": 6.5, "width": 512, "height": 768,
    "sampler": "euler",
}  # fmt: skip
PLAIN = {
    "prompt": "a fox", "negative_prompt": "blurry", "seed": "42", "steps": "25", "scale": "6.5", "width": "512",
    "height": "768", "scheduler": "euler", "model": "v1-5.safetensors",
}  # fmt: skip
OLD_INVOKE = {
    "model_weights": "v1-5.safetensors",
    "image": {
        "prompt": [{"prompt": "a fox", "weight": 1.0}],
        "steps": 25,
        "cfg_scale": 6.5,
        "seed": 42,
        "width": 512,
        "height": 768,
    },
}
LINE = "Steps: 25, Sampler: euler, CFG scale: 6.5, Seed: 42, Size: 512x768, Model: v1-5.safetensors"
TEXT = f"a fox\nNegative prompt: blurry\n{LINE}"

DIALECTS: list[tuple[str, dict[str, str]]] = [
    ("AUTOMATIC1111", {"parameters": TEXT}),
    ("InvokeAI", {"invokeai_metadata": json.dumps(INVOKE)}),
    ("InvokeAI", {"sd-metadata": json.dumps(OLD_INVOKE)}),
    ("InvokeAI", {"Dream": '"a fox" -s 25 -S 42 -W 512 -H 768 -C 6.5 -A euler'}),
    ("ComfyUI", {"prompt": json.dumps(GRAPH), "workflow": "{}"}),
    ("ComfyUI", {"prompt": json.dumps(GRAPH).replace('"denoise": 1.0', '"denoise": NaN')}),
    ("Fooocus", {"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"}),
    ("AUTOMATIC1111", {"parameters": TEXT, "fooocus_scheme": "a1111"}),
    ("SwarmUI", {"parameters": json.dumps(SWARM)}),
    ("NovelAI", {"Comment": json.dumps(NOVEL), "Description": "a fox", "Software": "NovelAI"}),
    ("airunner", PLAIN),
]


def png_with(path: Path, texts: dict[str, str], mode: str = "RGB", *, compressed: bool = False) -> Path:
    info = PngInfo()
    for name, text in texts.items():
        info.add_itxt(name, text, zip=compressed) if compressed else info.add_text(name, text)
    Image.new(mode, (8, 8)).save(path, pnginfo=info)
    return path


@pytest.mark.parametrize(("source", "texts"), DIALECTS)
@pytest.mark.parametrize("compressed", [False, True])
def test_png(tmp_path: Path, source: str, texts: dict[str, str], compressed: bool) -> None:
    found = metadata.read_metadata(png_with(tmp_path / "a.png", texts, compressed=compressed))
    assert found
    assert found.source == source
    assert found.prompt == "a fox"
    assert found.negative_prompt == ("" if {"sd-metadata", "Dream"} & set(texts) else "blurry")
    assert found.seed == (GRAPH["3"]["inputs"]["seed"] if source == "ComfyUI" else 42)  # type: ignore[index]
    assert (found.steps, found.guidance, found.width, found.height) == (25, 6.5, 512, 768)
    if source not in ("NovelAI", "InvokeAI"):
        assert (found.sampler, found.model) == ("euler", "v1-5.safetensors")
    assert found.raw.items() >= texts.items()
    assert recipe_embedding.read_recipe(tmp_path / "a.png") is None


@pytest.mark.parametrize("extension", ["jpg", "webp", "avif"])
@pytest.mark.parametrize(
    ("source", "text"), [("AUTOMATIC1111", TEXT), ("SwarmUI", json.dumps(SWARM)), ("Fooocus", json.dumps(FOOOCUS))]
)
def test_user_comment(tmp_path: Path, extension: str, source: str, text: str) -> None:
    path = tmp_path / f"a.{extension}"
    Image.new("RGB", (8, 8)).save(path, exif=exif.build_exif(text))
    found = metadata.read_metadata(path)
    assert found
    assert (found.source, found.prompt, found.seed) == (source, "a fox", 42)


@pytest.mark.parametrize("packed", [b"ASCII\0\0\0", b"UNICODE\0", b""])
def test_a_user_comment_in_any_encoding(packed: bytes) -> None:
    for encoding in ("utf-16-le", "utf-16-be") if packed == b"UNICODE\0" else ("utf-8",):
        assert exif.decode_text(packed + TEXT.encode(encoding)) == TEXT


def test_an_animated_webp_of_comfyui(tmp_path: Path) -> None:
    tags = Image.Exif()
    tags[0x010F], tags[0x0110] = "workflow:{}", "prompt:" + json.dumps(GRAPH)
    path = tmp_path / "a.webp"
    Image.new("RGB", (8, 8)).save(path, save_all=True, append_images=[Image.new("RGB", (8, 8), "red")], exif=tags)
    found = metadata.read_metadata(path)
    assert found
    assert (found.source, found.prompt) == ("ComfyUI", "a fox")


@pytest.mark.parametrize("extension", ["mp4", "webm"])
def test_videos_of_comfyui(tmp_path: Path, extension: str) -> None:
    path = tmp_path / f"a.{extension}"
    made = ["-f", "lavfi", "-i", "color=red:s=32x16:d=0.5:r=8", "-metadata", f"prompt={json.dumps(GRAPH)}"]
    more = ["-movflags", "use_metadata_tags", "-c:v", "libx264"] if extension == "mp4" else ["-c:v", "libvpx"]
    subprocess.run([animations.find_ffmpeg(), "-v", "error", *made, *more, str(path)], check=True)
    found = metadata.read_metadata(path)
    assert found
    assert (found.source, found.prompt, found.steps) == ("ComfyUI", "a fox", 25)


def test_a_video_header_contains_its_size(tmp_path: Path, home: Home) -> None:
    path = home.library / "a.webm"
    made = ["-f", "lavfi", "-i", "color=red:s=32x16:d=0.5:r=8", "-c:v", "libvpx", str(path)]
    subprocess.run([animations.find_ffmpeg(), "-v", "error", *made], check=True)
    creation = extract(home, path).creation
    assert (creation.width, creation.height, creation.duration) == (32, 16, 0.5)


def test_a_comment_in_a_gif(tmp_path: Path) -> None:
    path = tmp_path / "a.gif"
    Image.new("P", (8, 8)).save(path, comment=TEXT.encode())
    found = metadata.read_metadata(path)
    assert found
    assert found.prompt == "a fox"


def test_krita_in_xmp(tmp_path: Path) -> None:
    text = TEXT.replace("\n", "&#xA;")
    item = f'<rdf:li xml:lang="x-default">{text}</rdf:li>'
    packet = f"<x:xmpmeta><dc:description><rdf:Alt>{item}</rdf:Alt></dc:description></x:xmpmeta>"
    found = metadata.read_metadata(png_with(tmp_path / "a.png", {png.XMP_KEY: packet}))
    assert found
    assert (found.prompt, found.seed) == ("a fox", 42)


@pytest.mark.parametrize("packed", [False, True])
def test_text_hidden_in_the_alpha_channel(tmp_path: Path, packed: bool) -> None:
    content = json.dumps({"Comment": json.dumps(NOVEL), "Software": "NovelAI"}).encode()
    content = gzip.compress(content) if packed else content
    mark = b"stealth_pngcomp" if packed else b"stealth_pnginfo"
    bits = np.unpackbits(np.frombuffer(mark + (len(content) * 8).to_bytes(4, "big") + content, np.uint8))
    pixels = np.full((80, 80, 4), 255, np.uint8)
    alpha = np.full(80 * 80, 254, np.uint8)
    alpha[: bits.size] |= bits
    pixels[..., 3] = alpha.reshape(80, 80).T
    Image.fromarray(pixels).save(tmp_path / "a.png")
    found = metadata.read_metadata(tmp_path / "a.png")
    assert found
    assert (found.source, found.prompt, found.negative_prompt) == ("NovelAI", "a fox", "blurry")
    assert metadata.read_metadata(tmp_path / "a.png", search_pixels=False) is None


def test_the_user_comment_wins_over_parameters() -> None:
    found = metadata.parse_texts({"parameters": REAL, "UserComment": TEXT})
    assert found
    assert found.prompt == "a fox"


HOSTILE: list[Any] = [
    "{" * 200_000,
    "[" * 200_000,
    '{"a":' * 100_000,
    '{"prompt": "x", "seed": 1e999, "steps": NaN, "base_model": ["x"]}',
    '{"sui_image_params": {"prompt": {"a": 1}, "seed": [1], "steps": true, "width": "9' + "9" * 500 + '"}}',
    '{"sui_image_params": {"prompt": "p", "seed": ' + "9" * 5_000 + "}}",
    '{"1": {"class_type": "KSampler", "inputs": {"seed": ["1", 0], "positive": ["1", 0], "negative": ["1", 0]}}}',
    '{"1": {"class_type": 5, "inputs": []}, "2": null, "3": {"inputs": {"positive": 1}}}',
    "__import__('os').system('false')\nSteps: 1, Seed: __import__('os'), CFG scale: inf",
    "\ud800\udfff",
    '"' * 100_000,
]


@pytest.mark.parametrize("text", HOSTILE)
@pytest.mark.parametrize(
    "name", ["parameters", "prompt", "Comment", "invokeai_metadata", "sd-metadata", "Dream", "UserComment", "xmp"]
)
def test_hostile_texts_do_no_harm(name: str, text: str) -> None:
    found = metadata.parse_texts({name: text, "Software": "NovelAI", "fooocus_scheme": "fooocus"})
    if found:
        assert all(
            value is None or isinstance(value, int) for value in (found.seed, found.steps, found.width, found.height)
        )
        assert all(
            isinstance(value, str) for value in (found.prompt, found.negative_prompt, found.model, found.sampler)
        )


@pytest.mark.parametrize("size", [3_000_000, 200_000_000])
def test_a_decompression_bomb_hides_no_other_text(tmp_path: Path, size: int) -> None:
    path = png_with(tmp_path / "a.png", {"parameters": TEXT})
    bomb = zlib.compress(bytes(size), 9)
    chunk = png.pack_chunk(b"iTXt", b"bomb\0\1\0\0\0" + bomb)
    content = path.read_bytes()
    path.write_bytes(content[:33] + chunk + content[33:])
    found = metadata.read_metadata(path)
    assert found
    assert found.prompt == "a fox"


def test_xmp_is_not_parsed_as_xml() -> None:
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa"><!ENTITY b "&a;&a;">]><studio:recipe>&b;</studio:recipe>'
    assert xmp.read_recipe_json(bomb) == "&b;"


@pytest.mark.parametrize("format", ["png", "jpeg", "webp", "avif", "gif", "mp4", "md"])
def test_damaged_files_are_read_or_refused(home: Home, format: str) -> None:
    """Bytes changed and files cut at random: nothing but BadInput may come of it."""
    recipe = factories.make_recipe("word " * 50)
    match format:
        case "gif" | "mp4":
            path = save_animation(home, factories.make_frames(3), recipe, fps=9, loop=True, format=format)
        case "md":
            path = save_text(home, "text", recipe)
        case _:
            path = save_image(home, factories.make_picture(), recipe, format=format)
    content = path.read_bytes()
    chance = random.Random(format)
    for _ in range(150):
        damaged = bytearray(content[: chance.randrange(len(content))] if chance.random() < 0.3 else content)
        for _ in range(chance.randrange(1, 20)):
            if damaged:
                place = chance.randrange(min(len(damaged), 2_000) if chance.random() < 0.8 else len(damaged))
                damaged[place] = chance.randrange(256)
        path.write_bytes(damaged)
        metadata.read_metadata(path)
        for read in (recipe_embedding.read_recipe, lambda path: extract(home, path)):
            try:
                read(path)
            except BadInput:
                continue


def test_untrusted_numbers() -> None:
    said = to_fields({"seed": "12345678901234567", "steps": 20.0, "guidance": "nan", "width": True, "height": "0x10"})
    assert said == {"seed": 12345678901234567, "steps": 20, "more": {}}
