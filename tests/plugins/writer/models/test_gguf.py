"""GGUF files are written with as if they were folders."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from plugins.writer.models import gguf as gguf_file
from plugins.writer.models import tokenizer
from plugins.writer.models.writer import Writer, open_writer
from plugins.writer.tools.chat import WriterChat
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.fill_gap import WriterSuggest
from plugins.writer.tools.train import WriterTrain
from plugins.writer.training.bpe import train_tokenizer
from plugins.writer.training.documents import Document
from studio import api, testing
from tests.fixtures import gguf as gguf_files
from tests.plugins.writer.fixtures import gguf_llama

IDS = torch.arange(5, 85)[None]


@pytest.fixture(scope="module")
def words() -> Any:
    text = "Once there was a fox. The fox was glad and old, and went home to the wood, and there it slept."
    return train_tokenizer([Document("The fox", text)], 400)


def llama(words: Any, **more: Any) -> Any:
    torch.manual_seed(5)
    config = LlamaConfig(
        **{
            "vocab_size": len(words),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
            "bos_token_id": None,
            "eos_token_id": words.eos_token_id,
            "pad_token_id": words.pad_token_id,
            "initializer_range": 0.2,
            **more,
        }
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def file(words: Any, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return gguf_llama.written(llama(words), words, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def opened(file: Path) -> Writer:
    return open_writer(file, "cpu", torch.float32)


def logits(model: Any) -> torch.Tensor:
    with torch.inference_mode():
        return model(IDS).logits


@pytest.mark.parametrize("tied", [True, False])
def test_float32_weights_give_equal_logits(words: Any, tmp_path: Path, tied: bool) -> None:
    model = llama(words, tie_word_embeddings=tied)
    writer = opened(gguf_llama.written(model, words, tmp_path / "a.gguf"))
    assert torch.equal(logits(writer.model), logits(model))
    assert writer.context_length == 256
    assert writer.eos_token_ids == {words.eos_token_id}
    assert getattr(writer.model.config, "quantization_config", None) is None


def test_quantised_weights_give_the_logits_of_the_dequantised_model(words: Any, tmp_path: Path) -> None:
    model, kind = llama(words), gguf.GGMLQuantizationType.Q8_0
    writer = opened(gguf_llama.written(model, words, tmp_path / "a.gguf", kind=kind))
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim == 2:
                value.copy_(torch.from_numpy(gguf.dequantize(gguf.quantize(value.numpy(), kind), kind)))
    assert torch.equal(logits(writer.model), logits(model))


def test_weights_have_the_wanted_dtype(file: Path) -> None:
    writer = open_writer(file, "cpu", torch.bfloat16)
    assert {value.dtype for value in writer.model.parameters()} == {torch.bfloat16}


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def test_rope_frequencies_of_llama_3_are_applied(words: Any, tmp_path: Path) -> None:
    model = llama(words, rope_parameters=LLAMA3)
    slowed, _ = ROPE_INIT_FUNCTIONS["llama3"](model.config, "cpu")
    usual = 5e5 ** -(torch.arange(0, 16, 2) / 16)
    factors = {"rope_freqs__weight": (usual / slowed).numpy()}
    assert 7 < float(factors["rope_freqs__weight"].max()) < 9
    writer = opened(gguf_llama.written(model, words, tmp_path / "a.gguf", **factors))
    assert torch.allclose(logits(writer.model), logits(model), atol=1e-4)


@pytest.mark.parametrize("scaling", ["linear", "yarn"])
def test_rope_scaling_is_applied(words: Any, tmp_path: Path, scaling: str) -> None:
    told = {"rope_type": scaling, "rope_theta": 5e5, "factor": 4.0}
    keys = {"llama__rope__scaling__type": scaling, "llama__rope__scaling__factor": 4.0}
    if scaling == "yarn":
        told["original_max_position_embeddings"] = keys["llama__rope__scaling__original_context_length"] = 64
    model = llama(words, rope_parameters=told)
    writer = opened(gguf_llama.written(model, words, tmp_path / "a.gguf", **keys))
    assert torch.equal(logits(writer.model), logits(model))
    assert not torch.allclose(logits(writer.model), logits(llama(words)), atol=1e-2)


def test_tokenizer_equals_the_original(words: Any, file: Path) -> None:
    ours = tokenizer.load_tokenizer(file)
    for text in ("Once there was a fox", "  two  spaces\n\nand naïve 🦊", "<|end|> <|poem|>", "", "从前"):
        assert tokenizer.encode_text(ours, text) == tokenizer.encode_text(words, text)
        assert ours.decode(tokenizer.encode_text(ours, text)) == text
    assert tokenizer.encode_header(ours, "poem", "Foxes") == tokenizer.encode_header(words, "poem", "Foxes")
    assert (ours.eos_token, ours.pad_token) == (words.eos_token, words.pad_token)


def test_end_of_turn_token_ends_the_generation(words: Any, tmp_path: Path) -> None:
    template = "{% for one in messages %}{{ one.content }}{% endfor %}"
    more = {"tokenizer__chat_template": template, "tokenizer__ggml__eot_token_id": 2}
    writer = opened(gguf_llama.written(llama(words), words, tmp_path / "a.gguf", **more))
    assert writer.eos_token_ids == {words.eos_token_id, 2}
    assert writer.tokenizer.chat_template == template


def test_files_beside_a_gguf_file_are_ignored(words: Any, file: Path, tmp_path: Path) -> None:
    beside = gguf_llama.written(llama(words), words, tmp_path / "a.gguf")
    train_tokenizer([Document("", "Something else")], 320).save_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}')
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 7}')
    writer = opened(beside)
    assert writer.tokenizer.get_vocab() == opened(file).tokenizer.get_vocab()
    assert writer.eos_token_ids == {words.eos_token_id}


def test_gguf_file_can_be_chosen_by_path_name_or_folder(words: Any, tmp_path: Path) -> None:
    ctx = testing.FakeContext(seed=1, folder=tmp_path)
    mine = gguf_llama.written(llama(words), words, tmp_path / "models" / "fox.gguf")
    assert ctx.available_models("language") == {"fox.gguf": mine}
    found = [
        testing.results(testing.run(WriterContinue, testing.FakeContext(seed=1, folder=tmp_path), **values))[-1]
        for choice in ("fox.gguf", str(mine), str(mine.parent))
        for values in [{"text": "Once a fox", "model": choice, "length": 12}]
    ]
    texts = {text.text for text in found if isinstance(text, api.Text)}
    assert len(texts) == 1
    assert texts.pop().startswith("Once a fox")


def test_unusable_gguf_file_raises_bad_input(words: Any, texts: Path, file: Path, tmp_path: Path) -> None:
    whole, bad = file.read_bytes(), tmp_path / "bad.gguf"
    few = gguf_llama._tensors(llama(words), None)
    few.pop("blk.1.ffn_up.weight")
    keys = {**gguf_llama._of_config(llama(words).config), **gguf_llama._of_words(words)}
    narrow = {**gguf_llama._tensors(llama(words), None), "blk.1.ffn_up.weight": np.zeros((5, 64), np.float32)}
    cases: tuple[tuple[Any, str], ...] = (
        (lambda: bad.write_bytes(whole[: len(whole) // 2]), "incomplete"),
        (lambda: bad.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "pointer"),
        (lambda: bad.write_bytes(b"something else"), "no GGUF"),
        (lambda: gguf_files.made(bad, "of-tomorrow", {}, gguf_files.WEIGHTS), "architecture .*of-tomorrow"),
        (lambda: gguf_files.made(bad, "llama", {}, gguf_files.WEIGHTS), "less than half"),
        (lambda: gguf_files.made(bad, "llama", {**keys, "llama.block_count": 10**9}, few), "less than half"),
        (lambda: gguf_files.made(bad, "llama", {"general.type": "adapter"}, gguf_files.WEIGHTS), "no model"),
        (lambda: gguf_files.made(bad, "llama", {"split.count": 3}, gguf_files.WEIGHTS), "one of 3 parts"),
        (lambda: gguf_files.made(bad, "llama", keys, few), "lacks a weight, such as model.layers.1.mlp.up_proj"),
        (lambda: gguf_files.made(bad, "llama", keys, narrow), "cannot be loaded"),
        (lambda: gguf_files.made(bad, "llama", {**keys, "llama.rope.scaling.type": "longrope"}, few), "architecture"),
    )
    for make, said in cases:
        make()
        with pytest.raises(api.BadInput, match=said):
            testing.run(WriterContinue, text="x", model=str(bad))
    with pytest.raises(api.BadInput, match="mask token"):
        testing.run(WriterSuggest, text="A ___.", model=str(file))
    with pytest.raises(api.BadInput, match="quantised"):
        testing.run(WriterTrain, folder=texts, kind="full", model=str(file))


def test_folder_with_two_gguf_files_is_not_a_model(file: Path, tmp_path: Path) -> None:
    for name in ("a.gguf", "b.GGUF"):
        (tmp_path / name).write_bytes(file.read_bytes())
    assert gguf_file.find_file(tmp_path) is None
    (tmp_path / "a.gguf").unlink()
    assert gguf_file.find_file(tmp_path) == tmp_path / "b.GGUF"
    (tmp_path / "config.json").write_text("{}")
    assert gguf_file.find_file(tmp_path) is None


def test_estimate_of_a_gguf_file(words: Any, tmp_path: Path) -> None:
    mine, text = gguf_llama.written(llama(words), words, tmp_path / "a.gguf"), "Once there was a fox, and it was glad."
    numbers = sum(value.numel() for value in llama(words).parameters())
    per_token = 2 * 2 * 2 * 16
    before = testing.estimate(WriterContinue, text=text, model=str(mine), length=50)
    assert before is not None
    assert before.budget is None
    assert before.memory == 4 * (numbers + (len(text) // 4 + 50) * per_token)
    talk = testing.estimate(WriterChat, text=text, model=str(mine))
    assert talk is not None
    assert talk.budget is None
    testing.run(WriterContinue, text=text, model=str(mine), length=1)
    count = len(tokenizer.encode_text(tokenizer.load_tokenizer(mine), text))
    told = testing.estimate(WriterContinue, text=text, model=str(mine), length=50)
    assert told is not None
    assert told.budget == api.TokenBudget(256, {"title": 1, "text": count, "new tokens": 50})
    assert told.memory == 4 * (numbers + (1 + count + 50) * per_token)
    talk = testing.estimate(WriterChat, text=text, model=str(mine))
    assert talk is not None
    assert talk.budget is not None
    assert (talk.budget.whole, talk.budget.parts["text"]) == (256, count)
    mine.write_bytes(mine.read_bytes()[:-100])
    assert testing.estimate(WriterContinue, text=text, model=str(mine), length=50) is None


def test_estimate_is_of_the_dequantised_weights(words: Any, tmp_path: Path) -> None:
    plain = gguf_llama.written(llama(words), words, tmp_path / "a.gguf")
    packed = gguf_llama.written(llama(words), words, tmp_path / "b.gguf", kind=gguf.GGMLQuantizationType.Q4_0)
    assert packed.stat().st_size < plain.stat().st_size // 2
    told = [testing.estimate(WriterContinue, text="Once", model=str(file)) for file in (plain, packed)]
    assert told[0] == told[1]
