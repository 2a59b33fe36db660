"""What graphs of ComfyUI say: one table of what was run, one of the editor's workflows."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from studio.library.foreign import metadata
from studio.library.foreign.metadata import ForeignMetadata
from tests.library.foreign.test_linear_time import is_linear
from tests.library.foreign.test_metadata import png_with

Nodes = dict[str, Any]


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"class_type": kind, "inputs": inputs}


def text(words: Any) -> dict[str, Any]:
    return node("CLIPTextEncode", text=words, clip=["ckpt", 1])


def sampler(**inputs: Any) -> dict[str, Any]:
    defaults = {
        "seed": 5, "steps": 20, "cfg": 7.0, "sampler_name": "euler", "scheduler": "karras", "denoise": 1.0,
        "model": ["ckpt", 0], "positive": ["pos", 0], "negative": ["neg", 0], "latent_image": ["latent", 0],
    }  # fmt: skip
    return node("KSampler", **{**defaults, **inputs})


def base(**changes: Any) -> Nodes:
    """Return a small graph that saves one image, with changed or more nodes."""
    nodes = {
        "up": node("UpscaleModelLoader", model_name="4x.pth"),
        "detector": node("UltralyticsDetectorProvider", model_name="face.pt"),
        "ckpt": node("CheckpointLoaderSimple", ckpt_name="sd/base.safetensors"),
        "neg": text("blurry"),
        "pos": text("a fox"),
        "latent": node("EmptyLatentImage", width=512, height=768, batch_size=1),
        "k": sampler(),
        "decode": node("VAEDecode", samples=["k", 0], vae=["ckpt", 2]),
        "save": node("SaveImage", images=["decode", 0], filename_prefix="x"),
    }
    return {**nodes, **changes}


def both(kind: str, **inputs: Any) -> Nodes:
    """Return a graph where a node changes both conditionings."""
    changed = node(kind, positive=["pos", 0], negative=["neg", 0], **inputs)
    return base(both=changed, k=sampler(positive=["both", 0], negative=["both", 1]))


def advanced(**more: Any) -> Nodes:
    """Return a graph with a sampler in parts."""
    parts = {
        "k": node("SamplerCustomAdvanced", noise=["noise", 0], guider=["guider", 0], sampler=["select", 0],
                  sigmas=["sigmas", 0], latent_image=["latent", 0]),
        "noise": node("RandomNoise", noise_seed=9),
        "select": node("KSamplerSelect", sampler_name="dpmpp_2m"),
        "sigmas": node("BasicScheduler", scheduler="sgm_uniform", steps=12, denoise=1.0, model=["ckpt", 0]),
        "guider": node("CFGGuider", model=["ckpt", 0], positive=["pos", 0], negative=["neg", 0], cfg=4.5),
    }  # fmt: skip
    return base(**{**parts, **more})


FULL = {
    "prompt": "a fox", "negative_prompt": "blurry", "seed": 5, "steps": 20, "guidance": 7.0, "sampler": "euler",
    "scheduler": "karras", "model": "sd/base.safetensors", "width": 512, "height": 768, "strength": 1.0,
}  # fmt: skip
PARTS = {
    "seed": 9, "steps": 12, "guidance": 4.5, "sampler": "dpmpp_2m", "scheduler": "sgm_uniform", "prompt": "a fox",
    "negative_prompt": "blurry", "model": "sd/base.safetensors",
}  # fmt: skip
CASES: list[tuple[str, Nodes, dict[str, Any]]] = [
    ("plain", base(), FULL),
    ("order of nodes", dict(reversed(base().items())), FULL),
    ("ControlNetApplyAdvanced", both("ControlNetApplyAdvanced", strength=0.5, image=["x", 0]), FULL),
    ("InstructPixToPixConditioning", both("InstructPixToPixConditioning", pixels=["x", 0], vae=["ckpt", 2]), FULL),
    ("WanImageToVideo", both("WanImageToVideo", width=832, height=480, length=81), FULL),
    ("unknown node with both", both("MyConditioningThing", amount=3), FULL),
    (
        "outputs crossed on purpose",
        base(
            both=node("ControlNetApplyAdvanced", positive=["pos", 0], negative=["neg", 0]),
            k=sampler(positive=["both", 1], negative=["both", 0]),
        ),
        {"prompt": "blurry", "negative_prompt": "a fox"},
    ),
    (
        "two ControlNets in a row",
        {
            **both("ControlNetApplyAdvanced"),
            "second": node("ControlNetApplySD3", positive=["both", 0], negative=["both", 1]),
            "k": sampler(positive=["second", 0], negative=["second", 1]),
        },
        FULL,
    ),
    (
        "zeroed negative",
        base(neg=node("ConditioningZeroOut", conditioning=["pos", 0])),
        {"prompt": "a fox", "negative_prompt": ""},
    ),
    ("CFGGuider", advanced(), PARTS),
    (
        "BasicGuider with FluxGuidance",
        advanced(
            guider=node("BasicGuider", model=["ckpt", 0], conditioning=["flux", 0]),
            flux=node("FluxGuidance", conditioning=["pos", 0], guidance=3.5),
        ),
        {"prompt": "a fox", "negative_prompt": "", "guidance": 3.5, "model": "sd/base.safetensors"},
    ),
    (
        "DualCFGGuider",
        advanced(
            second=text("a second thing"),
            guider=node(
                "DualCFGGuider", model=["ckpt", 0], cond1=["pos", 0], cond2=["second", 0], negative=["neg", 0],
                cfg_conds=8.0, cfg_cond2_negative=1.5,
            ),
        ),
        {"prompt": "a fox", "negative_prompt": "blurry", "guidance": 8.0, "more": {"Prompt 2": "a second thing"}},
    ),
    (
        "SamplerCustom",
        advanced(
            k=node(
                "SamplerCustom", add_noise=True, noise_seed=9, cfg=4.5, model=["ckpt", 0], positive=["pos", 0],
                negative=["neg", 0], sampler=["select", 0], sigmas=["sigmas", 0], latent_image=["latent", 0],
            )
        ),
        PARTS,
    ),
    (
        "split sigmas and a sampler of its own class",
        advanced(
            k=node("SamplerCustomAdvanced", noise=["noise", 0], guider=["guider", 0], sampler=["own", 0],
                   sigmas=["split", 0], latent_image=["latent", 0]),
            own=node("SamplerDPMPP_2M_SDE", eta=1.0, noise_device="gpu"),
            split=node("SplitSigmas", sigmas=["sigmas", 0], step=5),
            sigmas=node("KarrasScheduler", steps=12, sigma_max=14.6),
        ),
        {**PARTS, "sampler": "dpmpp_2m_sde", "scheduler": "karras"},
    ),
    (
        "KSampler with FluxGuidance and a CFG of 1",
        base(
            flux=node("FluxGuidance", conditioning=["pos", 0], guidance=3.5),
            k=sampler(cfg=1.0, positive=["flux", 0]),
        ),
        {"prompt": "a fox", "guidance": 3.5},
    ),
    (
        "LoRAs in the order in which they are applied, one without effect",
        base(
            first=node(
                "LoraLoader", lora_name="a.safetensors", strength_model=0.8, strength_clip=0.5, model=["ckpt", 0]
            ),
            second=node("LoraLoaderModelOnly", lora_name="sub\\b.safetensors", strength_model=0.3, model=["first", 0]),
            off=node("LoraLoader", lora_name="c.safetensors", strength_model=0, strength_clip=0, model=["second", 0]),
            k=sampler(model=["off", 0]),
        ),
        {**FULL, "loras": [("a.safetensors", 0.8, 0.5), ("sub\\b.safetensors", 0.3, None)]},
    ),
    (
        "LoRAs of rgthree",
        base(
            power=node(
                "Power Lora Loader (rgthree)", model=["ckpt", 0], clip=["ckpt", 1],
                lora_1={"on": True, "lora": "a.safetensors", "strength": 0.7},
                lora_2={"on": False, "lora": "b.safetensors", "strength": 1},
            ),
            k=sampler(model=["power", 0]),
        ),
        {"loras": [("a.safetensors", 0.7, None)]},
    ),
    (
        "UNETLoader, VAELoader and a skipped layer",
        base(
            unet=node("UNETLoader", unet_name="flux.safetensors", weight_dtype="default"),
            vae=node("VAELoader", vae_name="ae.safetensors"),
            decode=node("VAEDecode", samples=["k", 0], vae=["vae", 0]),
            skip=node("CLIPSetLastLayer", stop_at_clip_layer=-2, clip=["ckpt", 1]),
            pos=node("CLIPTextEncode", text="a fox", clip=["skip", 0]),
            k=sampler(model=["shift", 0]),
            shift=node("ModelSamplingFlux", max_shift=1.15, model=["unet", 0]),
        ),
        {"model": "flux.safetensors", "vae": "ae.safetensors", "clip_skip": 2},
    ),
    (
        "the sampler whose image was saved",
        {
            "other": sampler(seed=77, positive=["fish", 0]),
            "fish": text("a fish"),
            "look": node("PreviewImage", images=["seen", 0]),
            "seen": node("VAEDecode", samples=["other", 0]),
            **base(),
        },
        {**FULL, "more": {"Sampler 2": ..., "Prompt 2": ...}},
    ),
    (
        "base and refiner",
        base(
            k=node(
                "KSamplerAdvanced", add_noise="disable", noise_seed=0, steps=25, cfg=8.0, sampler_name="heun",
                scheduler="normal", model=["fine", 0], positive=["pos", 0], negative=["neg", 0],
                latent_image=["first", 0],
            ),
            fine=node("CheckpointLoaderSimple", ckpt_name="refiner.safetensors"),
            first=node(
                "KSamplerAdvanced", add_noise="enable", noise_seed=6, steps=25, cfg=8.0, sampler_name="euler",
                scheduler="normal", model=["ckpt", 0], positive=["pos", 0], negative=["neg", 0],
                latent_image=["latent", 0],
            ),
        ),
        {"seed": 6, "sampler": "euler", "model": "sd/base.safetensors", "width": 512, "height": 768},
    ),
    (
        "a larger second pass",
        base(
            larger=node("LatentUpscaleBy", samples=["first", 0], scale_by=1.5, upscale_method="nearest"),
            first=sampler(),
            k=sampler(seed=8, denoise=0.5, latent_image=["larger", 0]),
        ),
        {"seed": 8, "strength": 0.5, "width": 768, "height": 1152, "more": {"Sampler 2": ...}},
    ),
    (
        "a detailer after the sampler",
        base(
            face=node(
                "FaceDetailer", image=["decode", 0], model=["ckpt", 0], positive=["pos", 0], negative=["neg", 0],
                seed=3, steps=9, cfg=2.0, sampler_name="lcm", scheduler="simple", denoise=0.4,
                bbox_detector=["detector", 0],
            ),
            save=node("SaveImage", images=["face", 0]),
        ),
        FULL,
    ),
    (
        "values from primitives",
        base(
            seed=node("Seed (rgthree)", seed=41),
            number=node("PrimitiveInt", value=33),
            words=node("PrimitiveString", value="a fox"),
            pos=text(["words", 0]),
            k=sampler(seed=["seed", 0], steps=["number", 0]),
        ),
        {"prompt": "a fox", "seed": 41, "steps": 33},
    ),
    (
        "joined texts",
        base(
            a=node("Text Multiline", text="a fox"),
            b=node("String Literal", string="in snow"),
            joined=node("Text Concatenate", text_a=["a", 0], text_b=["b", 0], delimiter=", ", clean_whitespace="true"),
            pos=text(["joined", 0]),
        ),
        {"prompt": "a fox, in snow"},
    ),
    (
        "StringConcatenate of the core",
        base(pos=text(["j", 0]), j=node("StringConcatenate", string_a="a fox", string_b="in snow", delimiter="\\n")),
        {"prompt": "a fox\nin snow"},
    ),
    (
        "combined conditionings",
        base(
            more=text("in snow"),
            both=node("ConditioningCombine", conditioning_1=["pos", 0], conditioning_2=["more", 0]),
            k=sampler(positive=["both", 0]),
        ),
        {"prompt": "a fox\nin snow", "negative_prompt": "blurry"},
    ),
    (
        "a conditioning for some of the steps",
        base(part=node("ConditioningSetTimestepRange", conditioning=["pos", 0], start=0, end=1),
             k=sampler(positive=["part", 0])),
        {"prompt": "a fox"},
    ),
    ("encoder with a class of its own", base(pos=node("FoxEncode", prompt="a fox", clip=["ckpt", 1])), FULL),
    (
        "encoder with its text in an unknown input",
        base(pos=node("MyEncoder", my_text="a fox", clip=["ckpt", 1], weight=1.0)),
        FULL,
    ),
    ("encoder of SDXL", base(pos=node("CLIPTextEncodeSDXL", text_g="a fox", text_l="a fox", clip=["ckpt", 1])), FULL),
    ("encoder of Flux", base(pos=node("CLIPTextEncodeFlux", clip_l="fox", t5xxl="a fox", guidance=3.5)), FULL),
    (
        "loader with texts and both outputs",
        base(
            eff=node(
                "Efficient Loader", ckpt_name="eff.safetensors", vae_name="Baked VAE", clip_skip=-2, lora_name="None",
                positive="a fox", negative="blurry", empty_latent_width=640, empty_latent_height=448, batch_size=1,
            ),
            k=node(
                "KSampler (Efficient)", seed=5, steps=20, cfg=7.0, sampler_name="euler", scheduler="karras",
                denoise=1.0, model=["eff", 0], positive=["eff", 1], negative=["eff", 2], latent_image=["eff", 3],
            ),
        ),
        {**FULL, "model": "eff.safetensors", "clip_skip": 2, "width": 640, "height": 448, "vae": ""},
    ),
    (
        "a pipe",
        base(
            pipe=node("ToBasicPipe", model=["ckpt", 0], clip=["ckpt", 1], vae=["ckpt", 2], positive=["pos", 0],
                      negative=["neg", 0]),
            k=node("ImpactKSamplerBasicPipe", basic_pipe=["pipe", 0], seed=5, steps=20, cfg=7.0, sampler_name="euler",
                   scheduler="karras", latent_image=["latent", 0], denoise=1.0),
        ),
        FULL,
    ),
    (
        "a styler with both texts",
        base(
            style=node("SDXLPromptStyler", text_positive="a fox", text_negative="blurry", style="none"),
            pos=text(["style", 0]),
            neg=text(["style", 1]),
        ),
        FULL,
    ),
    (
        "WanVideo's texts",
        base(
            words=node("WanVideoTextEncode", positive_prompt="a fox", negative_prompt="blurry", t5=["t", 0]),
            k=node("WanVideoSampler", model=["wan", 0], text_embeds=["words", 0], seed=5, steps=20, cfg=6.0, shift=5.0,
                   scheduler="unipc"),
            wan=node("WanVideoModelLoader", model="wan.safetensors", base_precision="fp16"),
        ),
        {"prompt": "a fox", "negative_prompt": "blurry", "model": "wan.safetensors", "guidance": 6.0, "seed": 5},
    ),
    (
        "a reroute",
        base(r=node("Reroute", **{"": ["pos", 0]}), k=sampler(positive=["r", 0])),
        FULL,
    ),
    ("a tag in the prompt", base(pos=text("a fox <lora:fur:0.8>")), {"loras": [("fur", 0.8, None)]}),
    ("an image to start from", base(k=sampler(latent_image=["encoded", 0], denoise=0.6),
                                    encoded=node("VAEEncode", pixels=["loaded", 0], vae=["ckpt", 2]),
                                    loaded=node("LoadImage", image="a.png")), {"strength": 0.6, "width": None}),
]  # fmt: skip


def read(texts: dict[str, str]) -> ForeignMetadata | None:
    return metadata.parse_texts(texts)


def check(found: ForeignMetadata | None, expected: dict[str, Any]) -> None:
    assert found
    assert found.source == "ComfyUI"
    for name, value in expected.items():
        given: Any = getattr(found, name)
        if name == "loras":
            given = [(lora.name, lora.weight, lora.text_encoder_weight) for lora in given]
        if name == "more":
            value = {key: given.get(key) if text is ... else text for key, text in value.items()}
            assert None not in value.values()
        assert given == value, name


@pytest.mark.parametrize(("nodes", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_graphs_that_were_run(tmp_path: Path, nodes: Nodes, expected: dict[str, Any]) -> None:
    check(metadata.read_metadata(png_with(tmp_path / "a.png", {"prompt": json.dumps(nodes)})), expected)


@pytest.mark.parametrize(("nodes", "expected"), [case[1:] for case in CASES], ids=[case[0] for case in CASES])
def test_numbers_as_ids(nodes: Nodes, expected: dict[str, Any]) -> None:
    numbers = {name: str(number) for number, name in enumerate(nodes, 1)}
    renamed = {
        numbers[name]: {
            **part,
            "inputs": {
                key: [numbers[value[0]], value[1]] if isinstance(value, list) and value[0] in numbers else value
                for key, value in part["inputs"].items()
            },
        }
        for name, part in nodes.items()
    }
    check(read({"prompt": json.dumps(renamed)}), expected)


def test_other_samplers_are_kept_as_text() -> None:
    found = read(
        {"prompt": json.dumps(next(nodes for name, nodes, _ in CASES if name.startswith("the sampler whose")))}
    )
    assert found
    assert "seed: 77" in found.more["Sampler 2"]
    assert "a fish" in found.more["Sampler 2"]


SHAPES: dict[str, Any] = {
    "circle of conditionings": lambda n: {
        f"c{i}": node("ConditioningCombine", conditioning_1=[f"c{(i + 1) % n}", 0], conditioning_2=[f"c{i * 7 % n}", 0])
        for i in range(n)
    },
    "long chain of conditionings": lambda n: {
        f"c{i}": node("ConditioningSetMask", conditioning=[f"c{i + 1}", 0]) for i in range(n)
    },
    "texts that double": lambda n: {
        "c0": text(["t0", 0]),
        **{f"t{i}": node("StringConcatenate", string_a=[f"t{i + 1}", 0], string_b=[f"t{i + 1}", 0]) for i in range(n)},
        f"t{n}": node("PrimitiveString", value="fox " * 50),
    },
    "texts in a circle": lambda n: {
        "c0": text(["t0", 0]), **{f"t{i}": node("X", text=[f"t{(i + 1) % n}", 0]) for i in range(n)}
    },
    "a node with many inputs": lambda n: {
        "c0": node("Any", **{f"c_{i}": ["c0", i] for i in range(n)}),
    },
    "many samplers": lambda n: {f"s{i}": sampler(positive=[f"s{i + 1}", 0]) for i in range(n)},
    "many savers": lambda n: {f"s{i}": node("SaveImage", images=[f"s{i + 1}", 0]) for i in range(n)},
    "chain of reroutes": lambda n: {f"c{i}": node("Reroute", x=[f"c{i + 1}", 0]) for i in range(n)},
    "chain of LoRAs": lambda n: {
        f"m{i}": node("LoraLoader", lora_name="a", strength_model=1, model=[f"m{i + 1}", 0]) for i in range(n)
    },
}  # fmt: skip


@pytest.mark.parametrize("shape", SHAPES)
def test_large_graphs_are_read_in_linear_time(shape: str) -> None:
    changed = base(k=sampler(positive=["c0", 0], negative=["c0", 1], model=["m0", 0]))

    def read_graph(length: int) -> object:
        return read({"prompt": json.dumps({**changed, **SHAPES[shape](length // 30)})})

    assert is_linear(read_graph)


# Workflows of the editor


def slot(name: str, link: int | None = None, kind: str = "*", *, widget: bool = False) -> dict[str, Any]:
    return {"name": name, "type": kind, "link": link, **({"widget": {"name": name}} if widget else {})}


def editor_node(id: int, kind: str, inputs: list[Any] = [], widgets: Any = (), **more: Any) -> dict[str, Any]:  # noqa: B006
    return {"id": id, "type": kind, "inputs": inputs, "widgets_values": list(widgets), "mode": 0, **more}


def workflow(*changes: dict[str, Any], links: list[Any] = [], **more: Any) -> dict[str, Any]:  # noqa: B006
    nodes = {
        part["id"]: part
        for part in (
            editor_node(1, "CheckpointLoaderSimple", [], ["base.safetensors"]),
            editor_node(2, "CLIPTextEncode", [slot("clip", 11)], ["a fox"]),
            editor_node(3, "CLIPTextEncode", [slot("clip", 12)], ["blurry"]),
            editor_node(4, "EmptyLatentImage", [], [512, 768, 1]),
            editor_node(
                5, "KSampler",
                [slot("model", 13), slot("positive", 14), slot("negative", 15), slot("latent_image", 16)],
                [5, "randomize", 20, 7.0, "euler", "karras", 1.0],
            ),
            editor_node(6, "VAEDecode", [slot("samples", 17), slot("vae", 18)]),
            editor_node(7, "SaveImage", [slot("images", 19)], ["x"]),
            *changes,
        )
    }  # fmt: skip
    all_links = {
        link[0]: link
        for link in [
            [11, 1, 1, 2, 0, "CLIP"], [12, 1, 1, 3, 0, "CLIP"], [13, 1, 0, 5, 0, "MODEL"],
            [14, 2, 0, 5, 1, "CONDITIONING"], [15, 3, 0, 5, 2, "CONDITIONING"], [16, 4, 0, 5, 3, "LATENT"],
            [17, 5, 0, 6, 0, "LATENT"], [18, 1, 2, 6, 1, "VAE"], [19, 6, 0, 7, 0, "IMAGE"], *links,
        ]
    }  # fmt: skip
    return {"nodes": list(nodes.values()), "links": list(all_links.values()), "version": 0.4, **more}


EDITED = {**FULL, "model": "base.safetensors"}
SEED_SLOTS = [slot("seed", None, "INT", widget=True), slot("steps", None, "INT", widget=True)]
WORKFLOWS: list[tuple[str, dict[str, Any], dict[str, Any]]] = [
    ("plain", workflow(), EDITED),
    (
        "a primitive for the seed",
        workflow(
            editor_node(20, "PrimitiveNode", [], [99, "fixed"]),
            editor_node(
                5, "KSampler",
                [slot("model", 13), slot("positive", 14), slot("negative", 15), slot("latent_image", 16),
                 slot("seed", 30, widget=True)],
                [5, "randomize", 20, 7.0, "euler", "karras", 1.0],
            ),
            links=[[30, 20, 0, 5, 4, "INT"]],
        ),
        {**EDITED, "seed": 99},
    ),
    (
        "a reroute",
        workflow(editor_node(20, "Reroute", [slot("", 30)]), links=[[30, 2, 0, 20, 0, "*"], [14, 20, 0, 5, 1, "*"]]),
        EDITED,
    ),
    (
        "set and get",
        workflow(
            editor_node(21, "GetNode", [], ["words"]),
            editor_node(20, "SetNode", [slot("CONDITIONING", 30)], ["words"]),
            links=[[30, 2, 0, 20, 0, "*"], [14, 21, 0, 5, 1, "*"]],
        ),
        EDITED,
    ),
    (
        "a bypassed ControlNet",
        workflow(
            editor_node(
                20, "ControlNetApplyAdvanced",
                [slot("positive", 30, "CONDITIONING"), slot("negative", 31, "CONDITIONING")], [1.0], mode=4,
                outputs=[slot("positive", None, "CONDITIONING"), slot("negative", None, "CONDITIONING")],
            ),
            links=[[30, 2, 0, 20, 0, "*"], [31, 3, 0, 20, 1, "*"], [14, 20, 0, 5, 1, "*"], [15, 20, 1, 5, 2, "*"]],
        ),
        EDITED,
    ),
    (
        "a bypassed LoRA",
        workflow(
            editor_node(
                20, "LoraLoader", [slot("model", 30, "MODEL"), slot("clip", 31, "CLIP")], ["a", 1.0, 1.0], mode=4,
                outputs=[slot("MODEL", None, "MODEL"), slot("CLIP", None, "CLIP")],
            ),
            links=[[30, 1, 0, 20, 0, "MODEL"], [31, 1, 1, 20, 1, "CLIP"], [13, 20, 0, 5, 0, "MODEL"]],
        ),
        {**EDITED, "loras": []},
    ),
    (
        "a LoRA",
        workflow(
            editor_node(20, "LoraLoader", [slot("model", 30), slot("clip", 31)], ["a.safetensors", 0.8, 0.8]),
            links=[[30, 1, 0, 20, 0, "MODEL"], [31, 1, 1, 20, 1, "CLIP"], [13, 20, 0, 5, 0, "MODEL"]],
        ),
        {**EDITED, "loras": [("a.safetensors", 0.8, None)]},
    ),
    (
        "widgets that name themselves",
        workflow(editor_node(2, "MyEncoder", [slot("clip", 11), slot("my_text", widget=True)], ["a fox"])),
        EDITED,
    ),
    ("a node with one text", workflow(editor_node(2, "OldEncoder", [slot("clip", 11)], ["a fox"])), EDITED),
    (
        "links as objects",
        {
            **workflow(),
            "links": [
                dict(zip(("id", "origin_id", "origin_slot", "target_id", "target_slot", "type"), link, strict=True))
                for link in workflow()["links"]
            ],
        },
        EDITED,
    ),
    (
        "a subgraph",
        workflow(
            editor_node(2, "sub", [slot("clip", 11), slot("words")], []),
            editor_node(20, "PrimitiveNode", [], ["a fox"]),
            definitions={
                "subgraphs": [
                    {
                        "id": "sub",
                        "inputs": [{"name": "clip"}],
                        "outputs": [{"name": "CONDITIONING"}],
                        "nodes": [editor_node(1, "CLIPTextEncode", [slot("clip", 1)], ["a fox"])],
                        "links": [
                            {"id": 1, "origin_id": -10, "origin_slot": 0, "target_id": 1, "target_slot": 0},
                            {"id": 2, "origin_id": 1, "origin_slot": 0, "target_id": -20, "target_slot": 0},
                        ],
                    }
                ]
            },
        ),
        EDITED,
    ),
]  # fmt: skip


@pytest.mark.parametrize(("content", "expected"), [case[1:] for case in WORKFLOWS], ids=[case[0] for case in WORKFLOWS])
def test_workflows_of_the_editor(tmp_path: Path, content: dict[str, Any], expected: dict[str, Any]) -> None:
    check(metadata.read_metadata(png_with(tmp_path / "a.png", {"workflow": json.dumps(content)})), expected)
    path = tmp_path / "flow.json"
    path.write_text(json.dumps(content))
    check(metadata.read_metadata(path), expected)


def test_what_was_run_wins_over_the_workflow() -> None:
    texts = {"workflow": json.dumps(workflow()), "prompt": json.dumps(base())}
    check(read(texts), FULL)


@pytest.mark.parametrize("words", [" ", "prompt:", "{", '{"nodes": [{},', "\\n"])
def test_texts_that_are_no_graph_are_left_in_linear_time(words: str) -> None:
    def read_words(length: int) -> object:
        return read(dict.fromkeys(("workflow", "prompt", "Make"), words * length))

    assert is_linear(read_words)


def test_a_subgraph_of_itself_ends() -> None:
    inner = {
        "id": "sub", "inputs": [], "outputs": [], "links": [],
        "nodes": [editor_node(number, "sub") for number in range(100)],
    }  # fmt: skip
    content = workflow(editor_node(2, "sub"), definitions={"subgraphs": [inner]})
    assert read({"workflow": json.dumps(content)}) is None
