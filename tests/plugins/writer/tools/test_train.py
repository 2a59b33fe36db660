"""`writer.train` as the studio runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from plugins import writer
from plugins.writer.models import architectures, lora
from plugins.writer.models.tokenizer import encode_header, load_tokenizer
from plugins.writer.models.writer import load_writer
from plugins.writer.tools.train import WriterTrain
from plugins.writer.training import model_card
from plugins.writer.training.bpe import train_tokenizer
from plugins.writer.training.documents import Document
from studio import api, testing
from studio.library.models import model_kind
from tests.plugins.writer.conftest import run_training, train_model

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
"""peft uses that name."""


def test_plugin_conforms() -> None:
    testing.check_plugin(writer.studio_tools())
    testing.check_light_import("plugins.writer", [Path(writer.__file__).parents[2]])


def test_trained_causal_model_is_a_transformers_folder(causal_model: Path) -> None:
    assert model_kind.kind_of(causal_model) == "language"
    model = AutoModelForCausalLM.from_pretrained(causal_model)
    assert model.config.architectures == ["LlamaForCausalLM"]
    assert (model.generation_config.do_sample, model.generation_config.temperature) == (True, architectures.TEMPERATURE)
    tokenizer = load_tokenizer(causal_model)
    ids = torch.tensor([encode_header(tokenizer, "tale", "The fox")])
    assert model(ids).logits.shape == (1, ids.shape[1], len(tokenizer))
    card = (causal_model / "README.md").read_text("utf-8")
    assert "| fairy-tales.jsonl | 40 |" in card
    assert card.count("~~~~\n") == 20


def test_trained_masked_model_is_a_transformers_folder(masked_model: Path) -> None:
    assert model_kind.kind_of(masked_model) == "masked-language"
    assert AutoModelForMaskedLM.from_pretrained(masked_model).config.architectures == ["ModernBertForMaskedLM"]
    assert "___" in (masked_model / "README.md").read_text("utf-8")


def test_perplexity_falls_in_training(texts: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(seed=3, folder=tmp_path)
    run_training(ctx, folder=texts, steps=120, ema=0.5, preview_every=60)
    perplexities = [float(event.label.rpartition(" ")[2]) for event in ctx.events if isinstance(event, api.Preview)]
    assert len(perplexities) == 3
    assert perplexities[2] < perplexities[1] < 100  # of 400 at random


def test_full_fine_tuning_changes_the_weights(texts: Path, causal_model: Path, tmp_path: Path) -> None:
    tuned_folder = train_model(texts, tmp_path, kind="full", model=str(causal_model), only=["poems"])
    assert (tuned_folder / "tokenizer.json").read_bytes() == (causal_model / "tokenizer.json").read_bytes()
    before, after = (load_file(folder / "model.safetensors") for folder in (causal_model, tuned_folder))
    assert before.keys() == after.keys()
    assert not all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("kind", ["new", "masked"])
def test_float8_halves_the_file(texts: Path, tmp_path: Path, kind: str) -> None:
    folders = [
        train_model(texts, tmp_path / str(as_float8), kind=kind, steps=1, eight_bits=as_float8)
        for as_float8 in (False, True)
    ]
    sizes = [sum(value.nbytes for value in load_file(folder / "model.safetensors").values()) for folder in folders]
    assert sizes[1] < 0.6 * sizes[0]
    assert "float8 (E4M3)" in (folders[1] / "README.md").read_text("utf-8")


def test_weights_rounded_to_float8_are_saved_exactly(causal_model: Path, masked_model: Path, tmp_path: Path) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    for folder in (causal_model, masked_model):
        model = architectures.load_model(folder, torch.float32, "cpu", is_masked=folder == masked_model)
        before = model(input_ids=ids).logits
        with architectures.round_to_float8(model):
            architectures.save_model(model, load_tokenizer(folder), tmp_path / folder.name, as_float8=True)
            rounded = model(input_ids=ids).logits
        assert torch.equal(model(input_ids=ids).logits, before)
        again = architectures.load_model(tmp_path / folder.name, torch.float32, "cpu", is_masked=folder == masked_model)
        assert {value.dtype for value in again.parameters()} == {torch.float32}
        assert torch.equal(again(input_ids=ids).logits, rounded)
        assert 0 < (again(input_ids=ids).logits - before).abs().mean() < 0.1 * before.std()


def test_lora_is_a_small_file_that_changes_its_base_model(texts: Path, causal_model: Path, tmp_path: Path) -> None:
    lora_folder = train_model(texts, tmp_path / "job", kind="lora", model=str(causal_model), learning_rate=0.02, rank=2)
    assert model_kind.kind_of(lora_folder) == "language"
    assert (lora_folder / lora.WEIGHTS).stat().st_size < (causal_model / "model.safetensors").stat().st_size
    assert "works with that base model only" in (lora_folder / "README.md").read_text("utf-8")
    ctx = testing.FakeContext(folder=tmp_path / "job")
    before, after = (load_writer(ctx, str(folder)).model.state_dict() for folder in (causal_model, lora_folder))
    changed = {name.rpartition(".")[0].rpartition(".")[2] for name in before if not before[name].equal(after[name])}
    assert changed == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    with pytest.raises(api.BadInput, match="is a LoRA"):
        train_model(texts, tmp_path / "full", kind="full", model=str(lora_folder))
    more = train_model(
        texts, tmp_path / "more", kind="lora", model=str(lora_folder), learning_rate=1e-7, steps=1, rank=8
    )
    assert lora.read_base_model(more) == lora.read_base_model(lora_folder)
    theirs, ours = (load_file(folder / lora.WEIGHTS) for folder in (lora_folder, more))
    assert theirs.keys() == ours.keys()
    assert all(torch.allclose(theirs[name], ours[name], atol=1e-5) for name in theirs)


def test_a_masked_model_is_trained_further(texts: Path, masked_model: Path, tmp_path: Path) -> None:
    more = train_model(texts, tmp_path / "job", kind="masked", model=str(masked_model), learning_rate=1e-7, steps=1)
    theirs, ours = (load_file(folder / "model.safetensors") for folder in (masked_model, more))
    assert all(torch.allclose(theirs[name].float(), ours[name].float(), atol=1e-2) for name in theirs)


def test_unusable_lora_raises_bad_input(texts: Path, causal_model: Path, tmp_path: Path) -> None:
    lora_folder = train_model(texts, tmp_path / "job", kind="lora", model=str(causal_model), steps=1)
    ctx = testing.FakeContext(folder=tmp_path / "job")
    (lora_folder / lora.WEIGHTS).write_bytes(b"broken")
    with pytest.raises(api.BadInput, match="does not fit its base model"):
        load_writer(ctx, str(lora_folder))
    (lora_folder / lora.WEIGHTS).unlink()
    with pytest.raises(api.BadInput, match="no safetensors"):
        load_writer(ctx, str(lora_folder))
    (lora_folder / lora.CONFIG).write_text("{")
    with pytest.raises(api.BadInput, match="does not name its base model"):
        load_writer(ctx, str(lora_folder))


def test_credits_stay_with_the_trained_model(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    lines = [{"title": f"Tale {n}", "text": "Once there was an owl.", "credit": f"* Text: Ann {n}\n"} for n in range(9)]
    (tmp_path / "texts" / "tales.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    first = train_model(tmp_path / "texts", tmp_path / "a")
    second = train_model(texts, tmp_path / "b", kind="full", model=str(first))
    for folder in (first, second):
        assert "- Tale 3: Text: Ann 3\n" in (folder / model_card.CREDITS).read_text("utf-8")
        assert model_card.CREDITS in (folder / "README.md").read_text("utf-8")


def test_held_out_fraction_can_be_set(texts: Path, tmp_path: Path) -> None:
    counts = []
    for fraction in (0.0, 0.5):
        folder = train_model(texts, tmp_path / str(fraction), steps=1, held_out=fraction)
        match = re.search(r"on ([\d,]+) tokens", (folder / "README.md").read_text("utf-8"))
        assert match is not None
        counts.append(int(match[1].replace(",", "")))
    assert counts[0] < counts[1] / 4


@pytest.mark.parametrize("kind", ["new", "masked", "lora"])
def test_paused_training_ends_with_equal_weights(texts: Path, causal_model: Path, tmp_path: Path, kind: str) -> None:
    base = str(causal_model) if kind == "lora" else ""
    uninterrupted = train_model(texts, tmp_path / "a", kind=kind, model=base)
    ctx = testing.FakeContext(seed=3, folder=tmp_path / "b", pause_requested=True)
    values = {"folder": texts, "kind": kind, "model": base}
    with pytest.raises(api.Paused):
        run_training(ctx, **values)
    ctx.pause_requested = False
    resumed = run_training(ctx, **values).folder
    assert any(isinstance(event, api.Notice) and "Resumes at step 1" in event.text for event in ctx.events)
    encodings = [event for event in ctx.events if isinstance(event, api.Progress) and "Encoding texts: 0" in event.text]
    assert len(encodings) == 1, "the tokens were not cached"
    weights, expected = (load_file(next(folder.glob("*.safetensors"))) for folder in (resumed, uninterrupted))
    assert all(torch.equal(value, expected[name]) for name, value in weights.items())


def test_too_few_texts_raise_bad_input(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="no usable texts"):
        testing.run(WriterTrain, folder=tmp_path)
    (tmp_path / "one.txt").write_text("Alone.")
    with pytest.raises(api.BadInput, match="1 usable text,"):
        testing.run(WriterTrain, folder=tmp_path)


def test_damaged_files_are_skipped_and_named(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "tales.jsonl").write_bytes((texts / "fairy-tales.jsonl").read_bytes())
    (tmp_path / "texts" / "broken.jsonl.xz").write_bytes(b"no archive")
    ctx = testing.FakeContext(seed=3, folder=tmp_path)
    run_training(ctx, folder=tmp_path / "texts")
    assert any(isinstance(event, api.Notice) and "broken.jsonl.xz" in event.text for event in ctx.events)
    assert [*ctx.notes["skipped"]] == ["broken.jsonl.xz"]


def test_fine_tuning_needs_a_base_model(texts: Path, masked_model: Path, tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="No base model"):
        testing.run(WriterTrain, folder=texts, kind="full")
    for content in ("{", json.dumps({"model_type": "no such"})):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(api.BadInput, match="cannot be loaded"):
            architectures.load_model(tmp_path, torch.float32, "cpu")


@pytest.mark.parametrize(("shapes", "limit"), [(architectures.CAUSAL_SHAPES, 11e6), (architectures.MASKED_SHAPES, 4e6)])
def test_small_shapes_have_few_parameters(shapes: dict[str, architectures.Shape], limit: float) -> None:
    tokenizer = train_tokenizer([Document("", "a b c")], 300)
    small = shapes["small"]
    if shapes is architectures.CAUSAL_SHAPES:
        model = architectures.build_causal_model(small, tokenizer)
    else:
        model = architectures.build_masked_model(small, tokenizer, 256)
    parameters = sum(value.numel() for value in model.parameters()) + 4096 * small.hidden
    assert 2 * parameters < limit


def test_the_texts_are_inspected(tmp_path: Path) -> None:
    (tmp_path / "one.txt").write_bytes("Ein kleiner Käfer saß im Gras und schlief.".encode("cp1252") * 20)
    (tmp_path / "two.md").write_text("The fox went home.")
    (tmp_path / "wide.txt").write_text("Der Käfer schlief.", "utf-16")
    (tmp_path / "bad.jsonl").write_text("no json")
    report = testing.inspect_data(WriterTrain, folder=tmp_path, kind="lora")
    assert report is not None
    assert report.summary == "4 text files, 3 usable."
    assert dict(report.facts)["Encodings"] == "cp1252 (1), utf-8 (1), utf-16-le (1)"
    assert report.advice.endswith("characters: a LoRA will repeat whole sentences. Ten pages or more are better.")
    refused = testing.inspect_data(WriterTrain, folder=tmp_path, exclude=["two.md", "wide.txt"])
    assert refused is not None
    assert refused.refusal.endswith("contains 1 usable text, and this training needs 2.")
