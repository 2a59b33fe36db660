"""What other programs than ComfyUI wrote: one table of texts and the values that they say."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from studio.library.foreign import metadata
from studio.library.foreign.metadata import ForeignMetadata
from studio.library.formats import exif

LINE = "Steps: 20, Sampler: Euler a, CFG scale: 7, Seed: 5, Size: 512x768, Model hash: 6ce0161689, Model: v1-5"
BASE = {
    "prompt": "a fox", "negative_prompt": "blurry", "steps": 20, "sampler": "Euler a", "guidance": 7.0, "seed": 5,
    "width": 512, "height": 768, "model": "v1-5", "model_hash": "6ce0161689",
}  # fmt: skip
HEAD = "a fox\nNegative prompt: blurry\n"

A1111: list[tuple[str, str, dict[str, Any]]] = [
    ("plain", HEAD + LINE, BASE),
    ("line break in quotes", HEAD + LINE + ', Template: "a\nfox", Version: v1.7.0',
     {**BASE, "more": {"Template": "a\nfox", "Version": "v1.7.0"}}),
    ("quotes with escaped line breaks", HEAD + LINE + ', Hires prompt: "a\\nfox, \\"red\\"", Version: v1.7.0',
     {**BASE, "more": {"Hires prompt": 'a\nfox, "red"', "Version": "v1.7.0"}}),
    ("settings on several lines", HEAD + LINE.replace(", Seed", ",\nSeed"), BASE),
    ("a line break instead of a comma", HEAD + LINE.replace(", Seed", "\nSeed"), BASE),
    ("templates on lines of their own",
     f"{HEAD}{LINE}, Version: v1\nTemplate: a {{fox|cat}}, Seed: 3\nNegative Template: b",
     {**BASE, "more": {"Version": "v1", "Template": "a {fox|cat}, Seed: 3", "Negative Template": "b"}}),
    ("a quoted value with a line like settings",
     HEAD + LINE + ', Template: "a\nSteps: 3, Seed: 1, Size: 8x8\nb"', BASE),
    ("a quoted negative prompt", HEAD + LINE + ', Hires negative: "a\nNegative prompt: b\nc"', BASE),
    ("Windows line ends", (HEAD + LINE).replace("\n", "\r\n"), {**BASE, "prompt": "a fox"}),
    ("schedule type", f"a fox\n{LINE}, Schedule type: Karras, Clip skip: 2",
     {"scheduler": "Karras", "clip_skip": 2, "sampler": "Euler a"}),
    ("Forge with a distilled guidance", f"a fox\n{LINE.replace('scale: 7', 'scale: 1')}, Distilled CFG Scale: 3.5",
     {"guidance": 3.5, "more": {"CFG scale": "1"}}),
    ("Forge with both guidances", f"a fox\n{LINE}, Distilled CFG Scale: 3.5",
     {"guidance": 7.0, "more": {"Distilled CFG Scale": "3.5"}}),
    ("VAE", f"a fox\n{LINE}, VAE hash: abc123, VAE: ft.safetensors", {"vae": "ft.safetensors", "vae_hash": "abc123"}),
    ("hires", f"a fox\n{LINE}, Denoising strength: 0.4, Hires upscale: 2, Hires steps: 10, Hires upscaler: Latent",
     {"strength": 0.4, "more": {"Hires upscale": "2", "Hires steps": "10", "Hires upscaler": "Latent"}}),
    ("LoRA", f'a fox <lora:fur:0.8>\n{LINE}, Lora hashes: "fur: abc123"',
     {"prompt": "a fox <lora:fur:0.8>", "loras": [("fur", 0.8, None, "abc123")], "more": {}}),
    ("LoRA with two weights", f"<lora:fur:0.5:0.8> a fox\n{LINE}", {"loras": [("fur", 0.8, 0.5, "")]}),
    ("LoRA with named weights", f"<lora:fur:te=0.5:unet=0.8> a fox\n{LINE}", {"loras": [("fur", 0.8, 0.5, "")]}),
    ("LoRA without a weight, in a folder", f"<lora:sub/my fur> a fox\n{LINE}",
     {"loras": [("sub/my fur", 1.0, None, "")]}),
    ("LoRA with a block weight", f"<lora:fur:1:lbw=OUTALL> a fox\n{LINE}", {"loras": [("fur", 1.0, None, "")]}),
    ("hashes as JSON",
     f'<lora:fur:1> a fox\n{LINE}, Hashes: {{"vae": "11", "lora:fur": "22", "model": "33"}}, Version: v1',
     {"vae_hash": "11", "loras": [("fur", 1.0, None, "22")], "model_hash": "6ce0161689", "more": {"Version": "v1"}}),
    ("Additional Networks", f"a fox\n{LINE}, AddNet Enabled: True, AddNet Model 1: fur(abc), AddNet Weight A 1: 0.7",
     {"loras": [("fur", 0.7, None, "abc")]}),
    ("JSON of a site", f'a fox\n{LINE}, Civitai resources: [{{"type":"checkpoint","weight":1}}], Version: v1',
     {**BASE, "negative_prompt": "",
      "more": {"Civitai resources": '[{"type":"checkpoint","weight":1}]', "Version": "v1"}}),
    ("prompt like settings", "time: night, place: forest, mood: dark",
     {"prompt": "time: night, place: forest, mood: dark", "steps": None, "more": {}}),
    ("prompt like settings, with words for numbers", "Steps: go up, Seed: of doubt, Size: of a house, Sampler: Bach",
     {"prompt": "Steps: go up, Seed: of doubt, Size: of a house, Sampler: Bach", "steps": None}),
    ("prompt like settings before settings", f"a fox\nSteps: go up, Mood: dark, Place: forest\n{LINE}",
     {"prompt": "a fox\nSteps: go up, Mood: dark, Place: forest", "steps": 20, "seed": 5}),
    ("prompt with real numbers before settings", f"fox\nSteps: 1, Seed: 2, CFG scale: 3, Size: 1x1\n{LINE}",
     {"prompt": "fox\nSteps: 1, Seed: 2, CFG scale: 3, Size: 1x1", "steps": 20, "seed": 5}),
    ("negative prompt like settings",
     f"a fox\nNegative prompt: Steps: 1, Seed: 2\nSteps: 3, Seed: 4, Size: 8x8\n{LINE}",
     {"negative_prompt": "Steps: 1, Seed: 2\nSteps: 3, Seed: 4, Size: 8x8", "steps": 20}),
    ("no prompt", LINE, {**BASE, "prompt": "", "negative_prompt": ""}),
    ("no settings", "a fox", {"prompt": "a fox", "seed": None}),
]  # fmt: skip

INVOKE = {
    "positive_prompt": "a fox", "negative_prompt": "blurry", "seed": 5, "steps": 20, "cfg_scale": 7.5, "width": 512,
    "height": 768, "scheduler": "dpmpp_2m_k", "clip_skip": 0, "app_version": "4.2.0",
    "model": {"key": "k", "hash": "blake3:0", "name": "v1-5", "base": "sd-1"},
    "vae": {"name": "ft", "hash": "blake3:1"},
    "loras": [{"model": {"name": "fur", "hash": "blake3:2"}, "weight": 0.5},
              {"lora": {"model_name": "old"}, "weight": 1}],
}  # fmt: skip
SD_METADATA = {
    "model": "stable diffusion", "model_weights": "v1-5", "model_hash": "abc", "app_version": "2.3.5",
    "image": {
        "prompt": [{"prompt": "a fox [blurry] in snow [bad, ugly]", "weight": 1.0}], "steps": 20, "cfg_scale": 7.5,
        "seed": 5, "width": 512, "height": 768, "sampler": "k_lms",
    },
}  # fmt: skip
SWARM = {
    "sui_image_params": {
        "prompt": "a fox", "negativeprompt": "blurry", "seed": 5, "steps": "20", "cfgscale": "7.5", "width": 512,
        "height": "768", "model": "v1-5", "sampler": "euler", "scheduler": "karras", "clipstopatlayer": "-2",
        "loras": ["fur", "b"], "loraweights": ["0.5", "1"], "vae": "ft", "swarm_version": "0.9",
    },
    "sui_models": [{"name": "v1-5", "param": "model", "hash": "0xabc"}],
}  # fmt: skip
FOOOCUS = {
    "prompt": "a fox", "negative_prompt": "blurry", "seed": "5", "steps": 20, "guidance_scale": 7.5,
    "resolution": "(512, 768)", "base_model": "v1-5", "base_model_hash": "abc", "sampler": "dpmpp_2m_sde_gpu",
    "scheduler": "karras", "vae": "Default (model)", "clip_skip": 2, "loras": [["fur.safetensors", 0.5, "ff"]],
    "lora_combined_1": "fur.safetensors : 0.5", "performance": "Speed", "version": "Fooocus v2.5.5",
}  # fmt: skip
OLD_FOOOCUS = {
    "Prompt": "a fox", "Negative Prompt": "blurry", "Seed": 5, "Resolution": "(512, 768)", "Guidance Scale": 7.5,
    "Base Model": "v1-5", "Sampler": "dpmpp_2m_sde_gpu", "LoRA 1": "fur.safetensors : 0.5",
}  # fmt: skip
NOVEL = {
    "prompt": "a fox", "uc": "blurry", "seed": 5, "steps": 28, "scale": 5.0, "width": 832, "height": 1216,
    "sampler": "k_euler_ancestral", "noise_schedule": "karras", "strength": 0.7,
    "v4_prompt": {"caption": {"base_caption": "a fox", "char_captions": [{"char_caption": "a girl", "centers": []}]}},
}  # fmt: skip
DRAW_THINGS = {
    "c": "a fox", "uc": "blurry", "seed": 5, "steps": 20, "scale": 7.5, "size": "512x768", "sampler": "DPM++ 2M Karras",
    "model": "v1-5.ckpt", "strength": 1.0, "lora": [{"model": "fur.ckpt", "weight": 0.6}],
}  # fmt: skip
COMMON = {"prompt": "a fox", "negative_prompt": "blurry", "seed": 5, "guidance": 7.5, "width": 512, "height": 768}

OTHERS: list[tuple[str, dict[str, str], dict[str, Any]]] = [
    ("InvokeAI", {"invokeai_metadata": json.dumps(INVOKE)},
     {**COMMON, "sampler": "dpmpp_2m_k", "scheduler": "", "model": "v1-5", "model_hash": "blake3:0", "vae": "ft",
      "vae_hash": "blake3:1", "clip_skip": 1, "loras": [("fur", 0.5, None, "blake3:2"), ("old", 1.0, None, "")],
      "more": {"app_version": "4.2.0"}}),
    ("InvokeAI", {"invokeai_metadata": json.dumps({**INVOKE, "negative_prompt": None, "model": None, "vae": None})},
     {"negative_prompt": "", "model": "", "vae": "", "steps": 20}),
    ("InvokeAI", {"invokeai_metadata": json.dumps({**INVOKE, "cfg_scale": 1, "guidance": 3.5})}, {"guidance": 3.5}),
    ("InvokeAI", {"invokeai_metadata": json.dumps({"positive_prompt": "a [b] c", "model": {"model_name": "m"}})},
     {"prompt": "a [b] c", "negative_prompt": "", "model": "m"}),
    ("InvokeAI", {"sd-metadata": json.dumps(SD_METADATA)},
     {**COMMON, "prompt": "a fox in snow", "negative_prompt": "blurry bad, ugly", "sampler": "k_lms", "model": "v1-5",
      "model_hash": "abc"}),
    ("InvokeAI", {"Dream": '"a \\"red\\" fox [blurry]" -s 20 -S 5 -W512 -H 768 -C7.5 -A k_lms'},
     {**COMMON, "prompt": 'a "red" fox', "steps": 20, "sampler": "k_lms"}),
    ("SwarmUI", {"parameters": json.dumps(SWARM)},
     {**COMMON, "steps": 20, "sampler": "euler", "scheduler": "karras", "clip_skip": 2, "vae": "ft",
      "model_hash": "0xabc", "loras": [("fur", 0.5, None, ""), ("b", 1.0, None, "")],
      "more": {"swarm_version": "0.9"}}),
    ("Fooocus", {"parameters": json.dumps(FOOOCUS), "fooocus_scheme": "fooocus"},
     {**COMMON, "steps": 20, "scheduler": "karras", "model": "v1-5", "model_hash": "abc", "clip_skip": 2,
      "loras": [("fur.safetensors", 0.5, None, "ff")], "more": {"performance": "Speed", "version": "Fooocus v2.5.5"}}),
    ("Fooocus", {"parameters": json.dumps(OLD_FOOOCUS)}, {**COMMON, "loras": [("fur.safetensors", 0.5, None, "")]}),
    ("NovelAI", {"Comment": json.dumps(NOVEL), "Software": "NovelAI", "Source": "NovelAI Diffusion V4"},
     {"prompt": "a fox", "negative_prompt": "blurry", "guidance": 5.0, "scheduler": "karras", "strength": 0.7,
      "model": "NovelAI Diffusion V4", "more": {"Character 1": "a girl"}}),
    ("Draw Things", {"xmp": json.dumps(DRAW_THINGS)},
     {**COMMON, "sampler": "DPM++ 2M Karras", "model": "v1-5.ckpt", "loras": [("fur.ckpt", 0.6, None, "")]}),
]  # fmt: skip


def check(found: ForeignMetadata | None, expected: dict[str, Any]) -> None:
    assert found
    for name, value in expected.items():
        given: Any = getattr(found, name)
        if name == "loras":
            given = [(lora.name, lora.weight, lora.text_encoder_weight, lora.hash) for lora in given]
        assert given == value, name


@pytest.mark.parametrize(("text", "expected"), [case[1:] for case in A1111], ids=[case[0] for case in A1111])
def test_settings_of_a1111_and_forge(text: str, expected: dict[str, Any]) -> None:
    check(metadata.parse_texts({"parameters": text}), expected)


@pytest.mark.parametrize(("source", "texts", "expected"), OTHERS)
def test_other_programs(source: str, texts: dict[str, str], expected: dict[str, Any]) -> None:
    found = metadata.parse_texts(texts)
    check(found, {**expected, "source": source})


FOX = "a 🦊 fox é\nNegative prompt: blurry 猫\n" + LINE
COMMENTS = {
    "UTF-8 said to be UNICODE": b"UNICODE\0" + FOX.encode(),
    "UTF-8 with a mark": b"UNICODE\0\xef\xbb\xbf" + FOX.encode(),
    "UTF-16 big": b"UNICODE\0" + FOX.encode("utf-16-be"),
    "UTF-16 little": b"UNICODE\0" + FOX.encode("utf-16-le"),
    "UTF-16 big with a mark": b"UNICODE\0\xfe\xff" + FOX.encode("utf-16-be"),
    "UTF-16 little with a mark": b"UNICODE\0\xff\xfe" + FOX.encode("utf-16-le"),
    "UTF-8 said to be ASCII": b"ASCII\0\0\0" + FOX.encode() + b"\0\0",
    "UTF-8 without a code": FOX.encode(),
    "UTF-8 with an empty code": bytes(8) + FOX.encode(),
    "UTF-16 without a code": FOX.encode("utf-16-le"),
}


@pytest.mark.parametrize("extension", ["jpg", "webp", "avif"])
@pytest.mark.parametrize("comment", COMMENTS.values(), ids=COMMENTS)
def test_user_comments_in_any_encoding(tmp_path: Path, extension: str, comment: bytes) -> None:
    tags = Image.Exif()
    tags.get_ifd(0x8769)[0x9286] = comment
    path = tmp_path / f"a.{extension}"
    Image.new("RGB", (16, 16)).save(path, exif=tags.tobytes())
    check(metadata.read_metadata(path), {**BASE, "prompt": "a 🦊 fox é", "negative_prompt": "blurry 猫"})


@pytest.mark.parametrize(
    ("content", "text"),
    [
        (b"ASCII\0\0\0caf\xe9 au lait", "café au lait"),
        (b"ASCII\0\0\0words\0\0\0garbage", "words"),
        (b"UNICODE\0" + "猫の絵を描く".encode("utf-16-be"), "猫の絵を描く"),
        (b"UNICODE\0" + "猫の絵を描く".encode("utf-16-le"), "猫の絵を描く"),
        (b"UNICODE\0", ""),
        (b"", ""),
        ("cafÃ©", "café"),
        ("café", "café"),
        (5, ""),
    ],
)
def test_odd_texts_of_exif(content: object, text: str) -> None:
    assert exif.decode_text(content) == text


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (HEAD + LINE, BASE),
        ("a fox, in snow\n", {"prompt": "a fox, in snow", "seed": None}),
        ("\ufeffa fox", {"prompt": "a fox"}),
    ],
)
def test_a_text_file_beside_an_image(tmp_path: Path, text: str, expected: dict[str, Any]) -> None:
    path = tmp_path / "a.webp"
    Image.new("RGB", (8, 8)).save(path)
    path.with_suffix(".txt").write_text(text, "utf-8")
    check(metadata.read_metadata(path), {**expected, "source": "text file"})


def test_metadata_in_the_image_wins_over_a_text_file(tmp_path: Path) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path, exif=exif.build_exif(HEAD + LINE))
    path.with_suffix(".txt").write_text("a caption")
    check(metadata.read_metadata(path), {**BASE, "source": "AUTOMATIC1111"})


@pytest.mark.parametrize("content", [b"", b" \n", bytes(range(256)) * 10, b"x" * 100_000])
def test_text_files_that_are_no_prompt(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.jpg"
    Image.new("RGB", (8, 8)).save(path)
    path.with_suffix(".txt").write_bytes(content)
    assert metadata.read_metadata(path) is None


def test_a_text_file_alone_and_other_json_have_no_recipe(tmp_path: Path) -> None:
    for name, content in (("a.txt", "words"), ("a.json", '{"a": 1}'), ("b.json", "[1, 2"), ("c.json", "")):
        (tmp_path / name).write_text(content)
        assert metadata.read_metadata(tmp_path / name) is None
