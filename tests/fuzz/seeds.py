"""A small valid file of each format, made here."""

from __future__ import annotations

import base64
import functools
import io
import json
import sqlite3
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

import msgspec

from studio.core.paths import Home
from studio.library.formats import exif, gif, png, xmp
from studio.library.storage import recipe_embedding, writer
from tests.fixtures.cards import V2, V3, WORLD
from tests.fuzz.mutations import ebml
from tests.library import factories

if TYPE_CHECKING:
    from PIL.Image import Image

A1111 = (
    "a red fox, (snow:1.2) <lora:fur:0.8>\nNegative prompt: blurry, bad\n"
    'Steps: 20, Sampler: DPM++ 2M, CFG scale: 7, Seed: 5, Size: 512x768, Model: "x, y", Denoising strength: 0.5'
)
COMFYUI = {
    "1": {"class_type": "CheckpointLoaderSimple", "inputs": {"ckpt_name": "x.safetensors"}},
    "2": {"class_type": "CLIPTextEncode", "inputs": {"text": "a fox", "clip": ["1", 1]}},
    "3": {"class_type": "EmptyLatentImage", "inputs": {"width": 64, "height": 64, "batch_size": 1}},
    "4": {
        "class_type": "KSampler",
        "inputs": {
            "seed": 5, "steps": 20, "cfg": 7.5, "sampler_name": "euler", "denoise": 1.0,
            "model": ["1", 0], "positive": ["2", 0], "negative": ["2", 0], "latent_image": ["3", 0],
        },
    },
}  # fmt: skip
COMFYUI_PARTS = {
    "1": {"class_type": "UNETLoader", "inputs": {"unet_name": "x.safetensors"}},
    "2": {"class_type": "LoraLoader", "inputs": {"lora_name": "a", "strength_model": 0.5, "model": ["1", 0]}},
    "3": {"class_type": "StringConcatenate", "inputs": {"string_a": "a", "string_b": ["4", 0], "delimiter": ", "}},
    "4": {"class_type": "PrimitiveString", "inputs": {"value": "fox"}},
    "5": {"class_type": "CLIPTextEncode", "inputs": {"text": ["3", 0]}},
    "6": {"class_type": "ConditioningZeroOut", "inputs": {"conditioning": ["5", 0]}},
    "7": {"class_type": "ControlNetApplyAdvanced", "inputs": {"positive": ["5", 0], "negative": ["6", 0]}},
    "8": {
        "class_type": "CFGGuider",
        "inputs": {"model": ["2", 0], "positive": ["7", 0], "negative": ["7", 1], "cfg": 3},
    },
    "9": {"class_type": "RandomNoise", "inputs": {"noise_seed": 5}},
    "10": {"class_type": "BasicScheduler", "inputs": {"scheduler": "simple", "steps": 9, "denoise": 1}},
    "11": {
        "class_type": "SamplerCustomAdvanced",
        "inputs": {"noise": ["9", 0], "guider": ["8", 0], "sigmas": ["10", 0]},
    },
    "12": {"class_type": "SaveImage", "inputs": {"images": ["11", 0]}},
}
WORKFLOW = {
    "nodes": [
        {"id": 1, "type": "CheckpointLoaderSimple", "widgets_values": ["x.safetensors"]},
        {"id": 2, "type": "CLIPTextEncode", "widgets_values": ["a fox"], "inputs": [{"name": "clip", "link": 1}]},
        {"id": 3, "type": "Reroute", "inputs": [{"name": "", "link": 2}]},
        {
            "id": 4, "type": "KSampler", "widgets_values": [5, "fixed", 20, 7, "euler", "karras", 1],
            "inputs": [{"name": "model", "link": 3}, {"name": "positive", "link": 4}, {"name": "negative", "link": 5}],
        },
        {
            "id": 5, "type": "LoraLoader", "mode": 4, "inputs": [{"name": "model", "type": "MODEL", "link": 6}],
            "outputs": [{"name": "MODEL", "type": "MODEL"}],
        },
        {"id": 6, "type": "sub", "inputs": [{"name": "clip", "link": 7}]},
        {"id": 7, "type": "SetNode", "widgets_values": ["a"], "inputs": [{"name": "x", "link": 8}]},
        {"id": 8, "type": "GetNode", "widgets_values": ["a"]},
    ],
    "links": [
        [1, 1, 1, 2, 0, "CLIP"], [2, 2, 0, 3, 0, "*"], [3, 5, 0, 4, 0, "MODEL"], [4, 3, 0, 4, 1, "*"],
        [5, 6, 0, 4, 2, "*"], [6, 1, 0, 5, 0, "MODEL"], [7, 8, 0, 6, 0, "CLIP"], [8, 1, 1, 7, 0, "CLIP"],
    ],
    "definitions": {
        "subgraphs": [
            {
                "id": "sub", "inputs": [{"name": "clip"}], "outputs": [{"name": "out"}],
                "nodes": [{"id": 1, "type": "CLIPTextEncode", "widgets_values": ["bad"]}],
                "links": [{"id": 1, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0}],
            }
        ]
    },
}  # fmt: skip
INVOKEAI = {
    "positive_prompt": "fox",
    "seed": 3,
    "width": 64,
    "cfg_scale": 7,
    "model": {"name": "x", "hash": "blake3:0"},
}
SWARMUI = {"sui_image_params": {"prompt": "fox", "seed": "7", "cfgscale": 7, "width": 64, "model": "x"}}
FOOOCUS = {"prompt": "fox", "base_model": "x", "resolution": "(64, 64)", "seed": "12", "guidance_scale": 4.0}
NOVELAI = {"prompt": "fox", "uc": "bad", "seed": 4, "steps": 28, "scale": 5.0, "sampler": "k_euler"}


@functools.cache
def pictures() -> dict[str, bytes]:
    """Return pictures by file name, with recipes of the studio or of other programs."""
    found = {}
    metadata = recipe_embedding.build_metadata(factories.make_recipe(), (8, 6), jpeg=True)
    image = _image()
    for name, texts in _png_texts().items():
        found[f"{name}.png"] = _encoded("PNG", pnginfo=png.to_png_info([png.build_text_chunk(*pair) for pair in texts]))
    own = recipe_embedding.build_png_chunks(factories.make_recipe(), (8, 6))
    found["own.png"] = _encoded("PNG", pnginfo=png.to_png_info(own))
    for name, format in (("own.jpg", "JPEG"), ("own.webp", "WEBP"), ("own.avif", "AVIF")):
        found[name] = _encoded(format, exif=metadata.exif, xmp=metadata.xmp)
    found["a1111.jpg"] = _encoded("JPEG", exif=exif.build_exif(A1111))
    packet = (
        b"<x:xmpmeta><exif:UserComment><rdf:Alt><rdf:li>" + A1111.encode() + b"</rdf:li></rdf:Alt></exif:UserComment>"
    )
    found["xmp.jpg"] = _encoded("JPEG", xmp=packet)
    found["moving.webp"] = _encoded(
        "WEBP", save_all=True, append_images=[image.rotate(90)], exif=exif.build_exif(A1111)
    )
    found["plain.tif"] = _encoded("TIFF", exif=exif.build_exif(A1111))
    found["plain.bmp"] = _encoded("BMP")
    found["plain.ico"] = _encoded("ICO")
    still = _encoded("GIF", save_all=True, append_images=[image.rotate(90)], duration=50)
    comment = A1111.encode()
    blocks = b"".join(
        bytes([len(comment[at : at + 255])]) + comment[at : at + 255] for at in range(0, len(comment), 255)
    )
    recipe_packet = xmp.build_packet(factories.make_recipe().to_json())
    found["own.gif"] = still[:-1] + b"\x21\xfe" + blocks + b"\0" + gif._XMP + recipe_packet + gif._XMP_END + b";"
    return found


@functools.cache
def videos() -> dict[str, bytes]:
    return {
        "own.mp4": _mp4(factories.make_recipe().to_json()),
        "comfy.mp4": _mp4(json.dumps({"prompt": json.dumps(COMFYUI)})),
        "comfy.mkv": _mkv(json.dumps({"prompt": json.dumps(COMFYUI)})),
    }


@functools.cache
def texts() -> dict[str, bytes]:
    own = factories.make_recipe().to_json()
    return {
        "own.md": f'---\ntitle: "A fox"\nstudio_recipe: {own}\n---\n\n# Fox\n\nOnce upon a time.'.encode(),
        "plain.txt": b"# Title\n\nfox",
    }


@functools.cache
def graphs() -> dict[str, bytes]:
    """Return graphs of ComfyUI, what was run and the editor's."""
    found = {"run.json": COMFYUI, "parts.json": COMFYUI_PARTS, "workflow.json": WORKFLOW}
    return {name: json.dumps(content).encode() for name, content in found.items()}


@functools.cache
def captions() -> dict[str, bytes]:
    """Return texts that lie beside an image: parameters or a bare prompt."""
    return {"a1111.txt": A1111.encode(), "several-lines.txt": f'{A1111},\nTemplate: "a\nb"'.encode()}


@functools.cache
def cards() -> dict[str, bytes]:
    """Return character cards and lorebooks by file name."""
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w", zipfile.ZIP_DEFLATED) as file:
        file.writestr("card.json", json.dumps(V3))
    chara = base64.b64encode(json.dumps(V2).encode()).decode()
    return {
        "card.json": json.dumps(V2).encode(),
        "world.json": json.dumps(WORLD).encode(),
        "card.charx": archive.getvalue(),
        "card.png": _encoded("PNG", pnginfo=png.to_png_info([png.build_text_chunk("chara", chara)])),
    }


@functools.cache
def sidecars() -> dict[str, bytes]:
    """Return sidecars of `x.png`, with and without a recipe."""
    marks = {"format": 1, "star": True, "rating": 3, "tags": ["a", "b"], "imported": "x.png", "aside": False}
    recipe = json.loads(factories.make_recipe().to_json())
    return {
        "marks.json": json.dumps({**marks, "created": "2026-01-01T10:00:00.000Z"}).encode(),
        "recipe.json": json.dumps({**marks, "recipe": recipe}).encode(),
    }


@functools.cache
def model_files() -> dict[str, bytes]:
    return {
        "lora.safetensors": _safetensors({"lora_unet_x.lora_down.weight": [4, 4], "lora_unet_x.alpha": []}),
        "vae.safetensors": _safetensors({"encoder.down.0.weight": [2, 2], "decoder.up.0.bias": [2]}),
        "text.gguf": _gguf(),
    }


@functools.cache
def model_folders() -> dict[str, bytes]:
    """Return files by their names in a model's folder."""
    return {
        "config.json": json.dumps(
            {"architectures": ["LlamaForCausalLM"], "vision_config": {}, "vocab_size": 8}
        ).encode(),
        "adapter_config.json": json.dumps({"task_type": "CAUSAL_LM", "r": 4}).encode(),
        "model_index.json": json.dumps({"_class_name": "StableDiffusionPipeline", "unet": ["diffusers", "U"]}).encode(),
        "studio.json": json.dumps(
            {
                "title": "Mine",
                "kind": "style",
                "licence": "mit",
                "recipe": json.loads(factories.make_recipe().to_json()),
            }
        ).encode(),
        "README.md": b"---\nlicense: other\nlicense_name: x\nlicense_link: https://x.org\n---\n# Model",
    }


@functools.cache
def home_files() -> dict[str, bytes]:
    """Return the files of a home that are read at start."""
    return {
        "settings.json": json.dumps(
            {"device": "cpu", "cancel_grace": 2.0, "model_folders": ["/tmp/x"], "accepted_licences": ["x | mit"]}
        ).encode(),
        "descriptors.json": json.dumps(
            {"fingerprint": "x", "plugins": [{"name": "x", "title": "X", "tools": [{"id": "x.y", "title": "Y"}]}]}
        ).encode(),
        "rates.json": json.dumps({"cpu": {"diffusion.steps": 0.5}}).encode(),
        "workspace.json": json.dumps({"tool": "x.y", "values": {"x.y": {"prompt": "fox"}}, "seed": 5}).encode(),
        "model-folders.json": json.dumps(
            [
                {
                    "path": "/tmp/x",
                    "connected": True,
                    "stamps": {"/tmp/x": 5},
                    "models": [["/a", "A", "lora", "/a", True]],
                }
            ]
        ).encode(),
    }


def foreign_folders(scratch: Path) -> dict[str, bytes]:
    """Return lists of models as other programs keep them."""
    base = scratch / "invokeai-seed.db"
    base.unlink(missing_ok=True)
    with sqlite3.connect(base) as connection:
        connection.execute("CREATE TABLE models (id TEXT, config TEXT)")
        config = json.dumps({"path": "sd-1/main/x.safetensors", "name": "x", "type": "main"})
        connection.executemany("INSERT INTO models VALUES (?, ?)", [("1", config), ("2", config)])
    connection.close()
    return {
        "extra_model_paths.yaml": b"comfyui:\n  base_path: /tmp/x\n  checkpoints: models/checkpoints\n"
        b"  loras: |\n    a\n    b\n",
        "databases/invokeai.db": base.read_bytes(),
    }


@functools.cache
def pages() -> dict[str, bytes]:
    edits = [
        {"type": "Edit", "id": 1, "parent": 0, "start": 0, "removed": 0, "inserted": "fox"},
        {"type": "Move", "to": 1},
    ]
    return {
        "journal-0.jsonl": b"".join(msgspec.json.encode(edit) + b"\n" for edit in edits),
        "page.json": json.dumps({"journal": 0, "page": {"format": 1, "nodes": [], "head": 0}}).encode(),
    }


def write_own_png(home: Home) -> Path:
    return writer.save_image(home, factories.make_picture(0, (8, 6)), factories.make_recipe())


def _png_texts() -> dict[str, list[tuple[str, str]]]:
    return {
        "a1111": [("parameters", A1111)],
        "comfy": [("prompt", json.dumps(COMFYUI)), ("workflow", json.dumps({"nodes": [], "links": []}))],
        "comfy-workflow": [("workflow", json.dumps(WORKFLOW))],
        "invoke": [("invokeai_metadata", json.dumps(INVOKEAI))],
        "invoke2": [("sd-metadata", json.dumps({"image": {"prompt": [{"prompt": "a"}], "seed": 1}}))],
        "invoke1": [("Dream", '"a fox \\" in snow" -s 20 -S 5 -W 64 -H 64 -C 7.5 -A k_lms')],
        "swarm": [("parameters", json.dumps(SWARMUI))],
        "fooocus": [("parameters", json.dumps(FOOOCUS)), ("fooocus_scheme", "fooocus")],
        "novel": [("Comment", json.dumps(NOVELAI)), ("Software", "NovelAI"), ("Description", "fox")],
        "airunner": [("prompt", "fox"), ("seed", "1"), ("scale", "7"), ("steps", "9")],
        "xmp": [(png.XMP_KEY, f"<x><dc:description><rdf:Alt><rdf:li>{A1111}</rdf:li></rdf:Alt></dc:description></x>")],
        "own-text": [("studio_recipe", factories.make_recipe().to_json())],
    }


def _image() -> Image:
    import PIL.Image

    return PIL.Image.fromarray(factories.make_picture(1, (8, 6), 4), "RGBA").convert("RGB")


def _encoded(format: str, **options: Any) -> bytes:
    file = io.BytesIO()
    _image().save(file, format, **options)
    return file.getvalue()


def _box(kind: bytes, *parts: bytes) -> bytes:
    body = b"".join(parts)
    return struct.pack(">I", len(body) + 8) + kind + body


def _mp4(comment: str) -> bytes:
    header = bytes(12) + struct.pack(">II", 1000, 2500) + bytes(80)
    track = bytes(76) + struct.pack(">II", 64 << 16, 48 << 16)
    data = _box(b"data", bytes(8), comment.encode())
    names = _box(b"keys", bytes(4), struct.pack(">I", 1), struct.pack(">I", 15), b"mdta", b"comment")
    meta = _box(b"meta", bytes(4), names, _box(b"ilst", _box(b"\xa9cmt", data), _box(struct.pack(">I", 1), data)))
    moov = _box(b"moov", _box(b"mvhd", header), _box(b"trak", _box(b"tkhd", track)), _box(b"udta", meta))
    return _box(b"ftyp", b"isom", bytes(4)) + _box(b"free", bytes(4)) + moov + _box(b"mdat", bytes(16))


def _mkv(comment: str) -> bytes:
    info = ebml(0x2AD7B1, b"\x0f\x42\x40") + ebml(0x4489, struct.pack(">d", 2500.0))
    video = ebml(0xB0, b"\x40") + ebml(0xBA, b"\x30")
    tag = ebml(0x7373, ebml(0x67C8, ebml(0x45A3, b"COMMENT") + ebml(0x4487, comment.encode())))
    parts = ebml(0x1549A966, info) + ebml(0x1654AE6B, ebml(0xAE, ebml(0xE0, video))) + ebml(0x1254C367, tag)
    return ebml(0x1A45DFA3, b"") + ebml(0x18538067, parts)


def _safetensors(shapes: dict[str, list[int]]) -> bytes:
    header: dict[str, object] = {"__metadata__": {"modelspec.license": "mit", "ss_network_dim": "4"}}
    at = 0
    for name, shape in shapes.items():
        size = 4
        for side in shape:
            size *= side
        header[name] = {"dtype": "F32", "shape": shape, "data_offsets": [at, at + size]}
        at += size
    text = json.dumps(header).encode()
    return struct.pack("<Q", len(text)) + text + bytes(at)


def _gguf() -> bytes:
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value)) + value.encode()

    keys = [
        text("general.architecture") + struct.pack("<I", 8) + text("llama"),
        text("general.license") + struct.pack("<I", 8) + text("mit"),
        text("llama.context_length") + struct.pack("<If", 6, 512.0),
        text("llama.block_count") + struct.pack("<II", 4, 2),
        text("general.alignment") + struct.pack("<II", 4, 32),
        text("llama.heads") + struct.pack("<IIQ3I", 9, 4, 3, 1, 2, 3),
        text("tokenizer.ggml.tokens") + struct.pack("<IIQ", 9, 8, 2) + text("a") + text("b"),
    ]
    tensor = text("blk.0.attn_q.weight") + struct.pack("<IQQIQ", 2, 4, 4, 0, 0)
    return b"GGUF" + struct.pack("<IQQ", 3, 1, len(keys)) + b"".join(keys) + tensor + bytes(32 + 64)
