"""`writer.train` as the studio runs it."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

from plugins import writer as plugin
from plugins.writer.models import architectures, lora
from plugins.writer.models.tokenizer import encode_header, load_tokenizer
from plugins.writer.models.writer import load_writer
from plugins.writer.tools.train import WriterTrain
from plugins.writer.training import bpe, model_card
from plugins.writer.training.documents import Document
from studio import api, testing
from studio.library.models import model_kind
from tests.plugins.writer.conftest import TINY, trained

pytestmark = pytest.mark.filterwarnings("ignore:`is_gradient_checkpointing` is deprecated:FutureWarning")
"""Peft still asks transformers for it by that name."""


def test_plugin_conforms() -> None:
    testing.check_plugin(plugin.studio_tools())
    testing.check_light_import("plugins.writer", [Path(plugin.__file__).parents[2]])


def test_trained_causal_model_is_a_transformers_folder(writer: Path) -> None:
    assert model_kind.kind_of(writer) == "language"
    model = AutoModelForCausalLM.from_pretrained(writer)
    assert model.config.architectures == ["LlamaForCausalLM"]
    assert (model.generation_config.do_sample, model.generation_config.temperature) == (True, architectures.TEMPERATURE)
    tokenizer = load_tokenizer(writer)
    ids = torch.tensor([encode_header(tokenizer, "tale", "The fox")])
    assert model(ids).logits.shape == (1, ids.shape[1], len(tokenizer))
    card = (writer / "README.md").read_text("utf-8")
    assert "| fairy-tales.jsonl | 40 |" in card
    assert card.count("~~~~\n") == 20


def test_trained_masked_model_is_a_transformers_folder(guesser: Path) -> None:
    assert model_kind.kind_of(guesser) == "masked-language"
    assert AutoModelForMaskedLM.from_pretrained(guesser).config.architectures == ["ModernBertForMaskedLM"]
    assert "___" in (guesser / "README.md").read_text("utf-8")


def test_perplexity_falls_in_training(texts: Path, tmp_path: Path) -> None:
    ctx = testing.FakeContext(seed=3, folder=tmp_path)
    values = {**TINY, "steps": 120, "ema": 0.5, "preview_every": 60}
    events = testing.run(WriterTrain, ctx, folder=texts, **values)
    measured = [float(event.label.rpartition(" ")[2]) for event in events if isinstance(event, api.Preview)]
    assert len(measured) == 2
    assert measured[1] < measured[0] < 100  # of 400 at random


def test_full_fine_tuning_changes_the_weights(texts: Path, writer: Path, tmp_path: Path) -> None:
    more = trained(texts, tmp_path, kind="full", model=str(writer), only=["poems"])
    assert (more / "tokenizer.json").read_bytes() == (writer / "tokenizer.json").read_bytes()
    before, after = (load_file(folder / "model.safetensors") for folder in (writer, more))
    assert before.keys() == after.keys()
    assert not all(torch.equal(value, after[name]) for name, value in before.items())


@pytest.mark.parametrize("kind", ["new", "masked"])
def test_float8_halves_the_file(texts: Path, tmp_path: Path, kind: str) -> None:
    folders = [trained(texts, tmp_path / str(small), kind=kind, steps=1, eight_bits=small) for small in (False, True)]
    sizes = [sum(value.nbytes for value in load_file(one / "model.safetensors").values()) for one in folders]
    assert sizes[1] < 0.6 * sizes[0]
    assert "float8 (E4M3)" in (folders[1] / "README.md").read_text("utf-8")


def test_weights_rounded_to_float8_are_saved_exactly(writer: Path, guesser: Path, tmp_path: Path) -> None:
    ids = torch.tensor([[5, 6, 7, 8]])
    for folder in (writer, guesser):
        model = architectures.load_model(folder, torch.float32, "cpu", is_masked=folder == guesser)
        before = model(input_ids=ids).logits
        architectures.round_to_float8(model)
        architectures.save_model(model, load_tokenizer(folder), tmp_path / folder.name, as_float8=True)
        again = architectures.load_model(tmp_path / folder.name, torch.float32, "cpu", is_masked=folder == guesser)
        assert {value.dtype for value in again.parameters()} == {torch.float32}
        assert torch.equal(again(input_ids=ids).logits, model(input_ids=ids).logits)
        assert 0 < (again(input_ids=ids).logits - before).abs().mean() < 0.1 * before.std()


def test_lora_is_a_small_file_that_changes_its_base_model(texts: Path, writer: Path, tmp_path: Path) -> None:
    made = trained(texts, tmp_path / "job", kind="lora", model=str(writer), learning_rate=0.02, rank=2)
    assert model_kind.kind_of(made) == "language"
    assert (made / lora.WEIGHTS).stat().st_size < (writer / "model.safetensors").stat().st_size
    assert "works with that base model only" in (made / "README.md").read_text("utf-8")
    ctx = testing.FakeContext(folder=tmp_path / "job")
    before, after = (load_writer(ctx, str(folder)).model.state_dict() for folder in (writer, made))
    changed = {name.rpartition(".")[0].rpartition(".")[2] for name in before if not before[name].equal(after[name])}
    assert changed == {"q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj"}
    with pytest.raises(api.BadInput, match="is a LoRA"):
        trained(texts, tmp_path / "more", kind="lora", model=str(made))


def test_unusable_lora_raises_bad_input(texts: Path, writer: Path, tmp_path: Path) -> None:
    made = trained(texts, tmp_path / "job", kind="lora", model=str(writer), steps=1)
    ctx = testing.FakeContext(folder=tmp_path / "job")
    (made / lora.WEIGHTS).write_bytes(b"broken")
    with pytest.raises(api.BadInput, match="does not fit its base model"):
        load_writer(ctx, str(made))
    (made / lora.WEIGHTS).unlink()
    with pytest.raises(api.BadInput, match="no safetensors"):
        load_writer(ctx, str(made))
    (made / lora.CONFIG).write_text("{")
    with pytest.raises(api.BadInput, match="does not name its base model"):
        load_writer(ctx, str(made))


def test_credits_stay_with_the_trained_model(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    lines = [{"title": f"Tale {n}", "text": "Once there was an owl.", "credit": f"* Text: Ann {n}\n"} for n in range(9)]
    (tmp_path / "texts" / "tales.jsonl").write_text("\n".join(map(json.dumps, lines)), encoding="utf-8")
    first = trained(tmp_path / "texts", tmp_path / "a")
    second = trained(texts, tmp_path / "b", kind="full", model=str(first))
    for made in (first, second):
        assert "- Tale 3: Text: Ann 3\n" in (made / model_card.CREDITS).read_text("utf-8")
        assert model_card.CREDITS in (made / "README.md").read_text("utf-8")


def test_held_out_fraction_can_be_set(texts: Path, tmp_path: Path) -> None:
    cards = [
        (trained(texts, tmp_path / name, steps=1, held_out=share) / "README.md").read_text("utf-8")
        for name, share in (("few", 0.0), ("many", 0.5))
    ]
    few, many = (int(re.search(r"on ([\d,]+) tokens", card)[1].replace(",", "")) for card in cards)
    assert few < many / 4


@pytest.mark.parametrize("kind", ["new", "masked", "lora"])
def test_paused_training_ends_with_equal_weights(texts: Path, writer: Path, tmp_path: Path, kind: str) -> None:
    chosen = str(writer) if kind == "lora" else ""
    straight = trained(texts, tmp_path / "a", kind=kind, model=chosen)
    ctx = testing.FakeContext(seed=3, folder=tmp_path / "b", pause_requested=True)
    values = {**TINY, "folder": texts, "kind": kind, "model": chosen}
    with pytest.raises(api.Paused):
        testing.run(WriterTrain, ctx, **values)
    ctx.pause_requested = False
    (resumed,) = testing.results(testing.run(WriterTrain, ctx, **values))
    assert any(isinstance(event, api.Notice) and "Resumes at step 1" in event.text for event in ctx.events)
    apart = [event for event in ctx.events if isinstance(event, api.Progress) and "Encoding texts: 0" in event.text]
    assert len(apart) == 1, "the second time they are kept"
    ours, theirs = (load_file(next(folder.glob("*.safetensors"))) for folder in (resumed.folder, straight))
    assert all(torch.equal(value, theirs[name]) for name, value in ours.items())


def test_too_few_texts_raise_bad_input(tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="no readable texts"):
        testing.run(WriterTrain, folder=tmp_path)
    (tmp_path / "one.txt").write_text("Alone.")
    with pytest.raises(api.BadInput, match="1 readable text,"):
        testing.run(WriterTrain, folder=tmp_path)


def test_damaged_files_are_skipped_and_named(texts: Path, tmp_path: Path) -> None:
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "tales.jsonl").write_bytes((texts / "fairy-tales.jsonl").read_bytes())
    (tmp_path / "texts" / "broken.jsonl.xz").write_bytes(b"no archive")
    ctx = testing.FakeContext(seed=3, folder=tmp_path)
    events = testing.run(WriterTrain, ctx, **{**TINY, "folder": tmp_path / "texts"})
    assert any(isinstance(event, api.Notice) and "broken.jsonl.xz" in event.text for event in events)
    assert [*ctx.notes["skipped"]] == ["broken.jsonl.xz"]


def test_fine_tuning_needs_a_base_model(texts: Path, guesser: Path, tmp_path: Path) -> None:
    with pytest.raises(api.BadInput, match="No base model"):
        testing.run(WriterTrain, **{**TINY, "folder": texts, "kind": "full"})
    for content in ("{", json.dumps({"model_type": "no such"})):
        (tmp_path / "config.json").write_text(content)
        with pytest.raises(api.BadInput, match="cannot be loaded"):
            architectures.load_model(tmp_path, torch.float32, "cpu")


@pytest.mark.parametrize(("shapes", "most"), [(architectures.CAUSAL_SHAPES, 11e6), (architectures.MASKED_SHAPES, 4e6)])
def test_small_shapes_have_few_parameters(shapes: dict[str, architectures.Shape], most: float) -> None:
    tokenizer = bpe.train_tokenizer([Document("", "a b c")], 300)
    small = shapes["small"]
    writes = shapes is architectures.CAUSAL_SHAPES
    model = (
        architectures.build_causal_model(small, tokenizer)
        if writes
        else architectures.build_masked_model(small, tokenizer, 256)
    )
    parameters = sum(value.numel() for value in model.parameters()) + 4096 * small.hidden
    assert 2 * parameters < most
