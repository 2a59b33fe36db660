"""Trainings of textual inversions: only the vectors change, files are read by diffusers, wrong words are refused."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors import safe_open
from safetensors.torch import load_file, save_file

from plugins.diffusion.tools import train
from plugins.diffusion.tools.text_to_image import TextToImage
from plugins.diffusion.tools.train import TrainDiffusion
from plugins.diffusion.training import preview_sheet, textual_inversion
from plugins.diffusion.training.caption_options import CaptionOptions
from plugins.diffusion.training.small_model import Components
from plugins.diffusion.training.textual_inversion import InversionOptions
from plugins.diffusion.training.trainer import Trainer
from studio import api, testing
from tests.plugins.diffusion.training.test_lora_options import notices, run, run_paused

WORD = "wtrclr"
TINY: dict[str, Any] = {
    "kind": "embedding",
    "trigger": WORD,
    "vectors": 3,
    "size": 64,
    "batch": 2,
    "steps": 3,
    "preview_every": 3,
    "prompts": [f"a fox in {WORD}"],
    "learning_rate": 0.01,
}
FAMILIES = {"stable-diffusion": ("emb_params",), "stable-diffusion-xl": ("clip_l", "clip_g")}


@pytest.fixture(scope="module")
def photos(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Write images of three shapes, some with a transparent half, one with a caption."""
    folder = tmp_path_factory.mktemp("photos")
    for number in range(4):
        size = ((192, 128), (128, 128), (128, 192))[number % 3]
        image = Image.new("RGBA", size, (60 * number, 255 - 60 * number, 120, 255))
        if number % 2:
            image.paste((0, 0, 0, 0), (0, 0, size[0] // 2, size[1]))
        image.save(folder / f"{number}.png")
    (folder / "0.txt").write_text("a garden, green, sunny", "utf-8")
    return folder


def read(made: api.Trained) -> dict[str, torch.Tensor]:
    vectors: dict[str, torch.Tensor] = load_file(made.folder / f"{WORD}.safetensors")
    return vectors


def prepare(model: Path, **options: Any) -> Components:
    values = InversionOptions(**{"vectors": 3, **options})
    base = textual_inversion.prepare_inversion_training(testing.FakeContext(7), str(model), WORD, values, 64)
    assert isinstance(base.components, Components)
    return base.components


@pytest.mark.parametrize("family", FAMILIES)
def test_only_the_vectors_change_and_the_file_works_in_the_tools(
    photos: Path, tmp_path: Path, tiny_model: Callable[[str], Path], family: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = tiny_model(family)
    trainers: list[Trainer] = []
    build = train._build_trainer

    def keep_trainer(*arguments: Any) -> Trainer:
        trainers.append(build(*arguments))
        return trainers[0]

    monkeypatch.setattr(train, "_build_trainer", keep_trainer)
    made, events = run(tmp_path / "a", **TINY, folder=photos, model=str(model))
    assert (made.kind, {*read(made)}) == ("embedding", {*FAMILIES[family]})
    before, after = prepare(model), trainers[0].components
    for name, value in textual_inversion.collect_tensors(before).items():
        assert value.shape == (3, 32)
        assert (read(made)[name] != value).all(1).all()
        torch.testing.assert_close(read(made)[name].norm(dim=1), value.norm(dim=1))
    for name, network in before.networks.items():
        trained = after.networks[name].state_dict()
        for key, value in network.state_dict().items():
            assert torch.equal(trained[key], value) is not key.endswith("vectors"), key
    previews = [np.asarray(event.content) for event in events if isinstance(event, api.Preview)]
    assert [view.shape for view in previews] == [(64, 64, 3)]

    def paint(prompt: str, **values: Any) -> np.ndarray:
        values = {"model": str(model), "steps": 1, "guidance": 20, **values}
        (result,) = testing.results(testing.run(TextToImage, testing.FakeContext(1), prompt=prompt, **values))
        assert isinstance(result, api.Image)
        return np.asarray(result.picture)

    chosen = [str(made.folder)]
    assert (paint("a fox") != paint(f"{WORD} fox", embeddings=chosen)).any()
    assert (paint(f"{WORD} fox") != paint(f"{WORD} fox", embeddings=chosen)).any()
    assert (paint("a fox", embeddings=chosen) == paint(f"a fox, {WORD.upper()}", embeddings=chosen)).all()


@pytest.mark.parametrize("family", FAMILIES)
def test_diffusers_reads_the_file_and_encodes_as_in_the_training(
    photos: Path, tmp_path: Path, tiny_model: Callable[[str], Path], family: str
) -> None:
    from diffusers import AutoPipelineForText2Image

    model = tiny_model(family)
    made, _ = run(tmp_path / "a", **{**TINY, "steps": 1}, folder=photos, model=str(model))
    components = textual_inversion.prepare_inversion_training(
        testing.FakeContext(1), str(model), WORD, InversionOptions(), 64, str(made.folder)
    ).components
    assert isinstance(components, Components)
    pipe: Any = AutoPipelineForText2Image.from_pretrained(model, dtype=torch.float32)
    encoders = [("text_encoder", "tokenizer"), ("text_encoder_2", "tokenizer_2")]
    for (encoder, tokenizer), name in zip(encoders, FAMILIES[family], strict=False):
        parts = {"text_encoder": getattr(pipe, encoder), "tokenizer": getattr(pipe, tokenizer)}
        pipe.load_textual_inversion(read(made)[name], token=WORD, **parts)
    told = components.conditioning([f"a {WORD} fox"], [None], "cpu")
    said = pipe.encode_prompt(f"a {WORD} fox", device="cpu", num_images_per_prompt=1, do_classifier_free_guidance=False)
    torch.testing.assert_close(told["encoder_hidden_states"], said[0])
    if family == "stable-diffusion-xl":
        torch.testing.assert_close(told["added_cond_kwargs"]["text_embeds"], said[2])
    else:
        again: Any = AutoPipelineForText2Image.from_pretrained(model, dtype=torch.float32)
        again.load_textual_inversion(made.folder, weight_name=f"{WORD}.safetensors", token=WORD)
        assert torch.equal(again.text_encoder.get_input_embeddings().weight[-3:], read(made)["emb_params"])


EVERYTHING: dict[str, Any] = {
    "init_word": "a, b",
    "keep_norm": False,
    "image_shape": "buckets",
    "masks": "alpha",
    "shuffle_tags": True,
    "repeats": 2,
    "held_out": 0.3,
    "patience": 50,
    "accumulation": 2,
    "checkpointing": "on",
    "weighting": "min_snr",
    "noise_offset": 0.1,
    "schedule": "linear",
    "warm_up": 0.25,
    "text_encoder": "on",
    "text_encoder_rate": 1e-6,
}


@pytest.mark.parametrize(("family", "more"), [("stable-diffusion", EVERYTHING), ("stable-diffusion-xl", {"ema": 0.0})])
def test_training_resumes_with_the_same_vectors(
    photos: Path, tmp_path: Path, tiny_model: Callable[[str], Path], family: str, more: dict[str, Any]
) -> None:
    values = {**TINY, **more, "folder": photos, "model": str(tiny_model(family))}
    straight, _ = run(tmp_path / "a", **values)
    run_paused(tmp_path / "b", 1, **values)
    resumed, events = run(tmp_path / "b", **values)
    assert "Resumes at step 2 of 3." in notices(events)
    files = [(one.folder / f"{WORD}.safetensors").read_bytes() for one in (straight, resumed)]
    assert files[0] == files[1]


def test_unfinished_vectors_are_kept_and_early_stopping_follows_the_held_out_loss(
    photos: Path, tmp_path: Path, sd: Path
) -> None:
    values = {**TINY, "steps": 9, "preview_every": 1, "keep_every": 1, "patience": 1, "learning_rate": 1.0, "ema": 0.0}
    events = testing.run(TrainDiffusion, testing.FakeContext(7, tmp_path), **values, folder=photos, model=str(sd))
    made = [event for event in testing.results(events) if isinstance(event, api.Trained)]
    assert made[0].title == "My model (step 1)"
    assert (read(made[0])["emb_params"] != read(made[-1])["emb_params"]).any()
    assert any("the held-out measure has not improved" in text for text in notices(events))


@pytest.mark.parametrize("optimizer", ["adafactor", "lion", "prodigy"])
def test_optimizers_move_the_vectors(photos: Path, tmp_path: Path, sd: Path, optimizer: str) -> None:
    if package := {"lion": "lion_pytorch", "prodigy": "prodigyopt"}.get(optimizer):
        pytest.importorskip(package)
    start = textual_inversion.collect_tensors(prepare(sd))["emb_params"]
    values = {**TINY, "optimizer": optimizer, "steps": 2, "learning_rate": None}
    made, _ = run(tmp_path, **values, folder=photos, model=str(sd))
    assert (read(made)["emb_params"] != start).any()


def test_vectors_begin_with_the_words_or_with_the_spread_of_the_vocabulary(sd: Path) -> None:
    named = prepare(sd, init_word="a, b", vectors=4)
    tokenizer: Any = named.tokenizer
    embedding: Any = named.text_encoder.get_input_embeddings()
    ids = tokenizer(["a b"]).input_ids[0][1:3]
    weight = embedding.embedding.weight
    assert torch.equal(embedding.vectors, weight[[ids[0], ids[0], ids[1], ids[1]]])
    drawn: Any = prepare(sd).text_encoder.get_input_embeddings()
    assert len({tuple(row) for row in drawn.vectors.tolist()}) == 3
    torch.testing.assert_close(drawn.vectors.norm(dim=1), weight.norm(dim=1).mean().expand(3))


def test_training_goes_on_from_an_inversion(photos: Path, tmp_path: Path, sd: Path) -> None:
    first = {"emb_params": torch.randn(5, 32, generator=torch.Generator().manual_seed(1))}
    save_file(first, tmp_path / "first.safetensors")
    values = {**TINY, "start_from": str(tmp_path / "first.safetensors"), "learning_rate": 1e-6, "steps": 1}
    made, events = run(tmp_path / "b", **values, folder=photos, model=str(sd))
    assert "Goes on from first, with 5 vectors." in notices(events)
    torch.testing.assert_close(read(made)["emb_params"], first["emb_params"], atol=1e-4, rtol=0)
    assert "| Vectors | 5, of constant length |" in (made.folder / "README.md").read_text("utf-8")


@pytest.mark.parametrize(
    ("values", "sentence"),
    [
        ({"trigger": "  "}, "A textual inversion needs a trigger word."),
        ({"trigger": "my fox"}, "A textual inversion has one trigger word, and “my fox” is several."),
        ({"trigger": "fox/../.."}, r"fox/../.. cannot be the trigger word of a textual inversion."),
        ({"trigger": "x" * 50}, "cannot be the trigger word"),
        ({"trigger": "x"}, "x is already a token of "),
        ({"init_word": "fox"}, "fox is not in the vocabulary of .*, so a textual inversion cannot begin with it."),
        ({"init_word": "a b c d"}, "4 initial words need 4 vectors, and there are 3."),
    ],
)
def test_words_that_cannot_be_used_are_refused(
    values: dict[str, Any], sentence: str, photos: Path, tmp_path: Path, sd: Path
) -> None:
    with pytest.raises(api.BadInput, match=sentence):
        run(tmp_path, **{**TINY, **values}, folder=photos, model=str(sd))
    assert not list(tmp_path.rglob("*.safetensors"))


@pytest.mark.parametrize("family", ["flux", "pixart-sigma"])
def test_families_without_clip_are_refused(family: str, photos: Path, tmp_path: Path, tiny_model: Any) -> None:
    with pytest.raises(api.BadInput, match="Textual inversion supports Stable Diffusion 1, 2 and XL"):
        run(tmp_path, **TINY, folder=photos, model=str(tiny_model(family)))


def test_an_inversion_of_another_family_is_refused_as_a_start(tmp_path: Path, sd: Path) -> None:
    files: dict[str, dict[str, torch.Tensor]] = {
        "wide": {"emb_params": torch.zeros(2, 48)},
        "pair": {"clip_l": torch.zeros(2, 32), "clip_g": torch.zeros(2, 32)},
        "broken": {"emb_params": torch.full((2, 32), float("nan"))},
        "lora": {"lora_unet_x.lora_down.weight": torch.zeros(2, 32), "lora_unet_x.lora_up.weight": torch.zeros(2, 32)},
    }
    sentences = {"wide": "is made for", "pair": "is made for", "broken": "is damaged", "lora": "no textual inversion"}
    for name, tensors in files.items():
        save_file(tensors, tmp_path / f"{name}.safetensors")
        with pytest.raises(api.BadInput, match=sentences[name]):
            textual_inversion.prepare_inversion_training(
                testing.FakeContext(1), str(sd), WORD, InversionOptions(), 64, str(tmp_path / f"{name}.safetensors")
            )


def test_what_has_no_effect_is_told(photos: Path, tmp_path: Path, sd: Path) -> None:
    others = tmp_path / "others"
    others.mkdir()
    Image.new("RGB", (96, 96)).save(others / "house.png")
    values = {**TINY, "steps": 1, "prompts": ["a fox"], "regularisation": others}
    made, events = run(tmp_path, **values, folder=photos, model=str(sd))
    assert "| others |" not in (made.folder / "README.md").read_text("utf-8")
    told = notices(events)
    assert "Regularisation images have no effect on a textual inversion, and are not used." in told
    assert f"No preview prompt contains {WORD}, so the previews will not change." in told


def test_pooled_text_is_taken_at_the_end_also_with_a_wrong_eos_token(
    tmp_path: Path, tiny_model: Callable[[str], Path]
) -> None:
    model = Path(shutil.copytree(tiny_model("stable-diffusion-xl"), tmp_path / "xl"))

    def encode() -> torch.Tensor:
        pooled = prepare(model).conditioning([f"a {WORD} fox"], [None], "cpu")["added_cond_kwargs"]["text_embeds"]
        assert isinstance(pooled, torch.Tensor)
        return pooled

    expected = encode()
    config = model / "text_encoder_2/config.json"
    config.write_text(json.dumps({**json.loads(config.read_text("utf-8")), "eos_token_id": 2}), "utf-8")
    assert torch.equal(encode(), expected)


def test_images_without_captions_are_told_with_templates() -> None:
    options = CaptionOptions("wtrclr", 0.5, templates=textual_inversion.choose_templates("style"))
    rng = np.random.default_rng(0)
    assert {options.draw("", rng) for _ in range(60)} == {text.replace("{}", WORD) for text in options.templates}
    drawn = [options.draw("a fox", rng) for _ in range(60)]
    assert 15 < drawn.count("wtrclr, a fox") < 45
    assert all(WORD in text for text in drawn)
    assert options.complete("") == "a painting in the style of wtrclr"
    assert preview_sheet.choose_prompts([], [], options) == []


def test_metadata_and_card_name_the_word(photos: Path, tmp_path: Path, sd: Path) -> None:
    made, _ = run(tmp_path, **TINY, folder=photos, model=str(sd), title="Washes", purpose="style")
    with safe_open(made.folder / f"{WORD}.safetensors", "pt") as file:
        metadata = file.metadata()
    expected = {
        "modelspec.architecture": "stable-diffusion-v1/textual-inversion",
        "modelspec.trigger_phrase": WORD,
        "modelspec.title": "Washes",
        "ss_sd_model_name": sd.name,
        "ss_steps": "3",
        "ss_learning_rate": "0.01",
        "ss_unet_lr": "None",
    }
    assert {name: metadata.get(name) for name in expected} == expected
    assert not [name for name in metadata if name.startswith("ss_network")]
    card = (made.folder / "README.md").read_text("utf-8")
    assert f"and write {WORD} in the prompt." in card
    assert "| Vectors | 3, of constant length |" in card
    assert api.model_files.kind_of_names(read(made)) == "embedding"
