"""GGUF files give the same results as folders."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING

import gguf
import numpy as np
import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

from plugins.writer.models.gguf import find_file
from plugins.writer.models.tokenizer import encode_header, encode_text, load_tokenizer
from plugins.writer.models.writer import Writer, open_writer
from plugins.writer.tools.chat import WriterChat
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.fill_gap import WriterSuggest
from plugins.writer.tools.train import WriterTrain
from plugins.writer.training.bpe import train_tokenizer
from plugins.writer.training.documents import Document
from studio import api, testing
from tests.fixtures.gguf import WEIGHTS, write_gguf
from tests.plugins.writer.conftest import run_estimate, run_text
from tests.plugins.writer.fixtures.gguf_llama import config_keys, convert_tensors, tokenizer_keys, write_llama

if TYPE_CHECKING:
    from transformers import PreTrainedModel, PreTrainedTokenizerBase

IDS = torch.arange(5, 85)[None]


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerBase:
    text = "Once there was a fox. The fox was glad and old, and went home to the wood, and there it slept."
    return train_tokenizer([Document("The fox", text)], 400)


def llama(tokenizer: PreTrainedTokenizerBase, **extra: object) -> LlamaForCausalLM:
    """Build a tiny random model, always the same one."""
    torch.manual_seed(5)
    config = LlamaConfig(
        **{
            "vocab_size": len(tokenizer),
            "hidden_size": 64,
            "intermediate_size": 96,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "max_position_embeddings": 256,
            "rope_parameters": {"rope_type": "default", "rope_theta": 5e5},
            "bos_token_id": None,
            "eos_token_id": tokenizer.eos_token_id,
            "pad_token_id": tokenizer.pad_token_id,
            "initializer_range": 0.2,
            **extra,
        }
    )
    return LlamaForCausalLM(config).eval()


@pytest.fixture(scope="module")
def gguf_path(tokenizer: PreTrainedTokenizerBase, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_llama(llama(tokenizer), tokenizer, tmp_path_factory.mktemp("gguf") / "tiny.gguf")


def open_gguf(gguf_path: Path) -> Writer:
    return open_writer(gguf_path, "cpu", torch.float32)


def logits(model: PreTrainedModel) -> torch.Tensor:
    with torch.inference_mode():
        output: torch.Tensor = model(IDS).logits
        return output


@pytest.mark.parametrize("tied", [True, False])
def test_float32_weights_give_equal_logits(tokenizer: PreTrainedTokenizerBase, tmp_path: Path, tied: bool) -> None:
    model = llama(tokenizer, tie_word_embeddings=tied)
    writer = open_gguf(write_llama(model, tokenizer, tmp_path / "a.gguf"))
    assert torch.equal(logits(writer.model), logits(model))
    assert writer.context_length == 256
    assert writer.eos_token_ids == {tokenizer.eos_token_id}
    assert getattr(writer.model.config, "quantization_config", None) is None


def test_quantised_weights_give_the_logits_of_the_dequantised_model(
    tokenizer: PreTrainedTokenizerBase, tmp_path: Path
) -> None:
    model, quantisation = llama(tokenizer), gguf.GGMLQuantizationType.Q8_0
    writer = open_gguf(write_llama(model, tokenizer, tmp_path / "a.gguf", quantisation=quantisation))
    with torch.no_grad():
        for value in model.parameters():
            if value.ndim == 2:
                value.copy_(torch.from_numpy(gguf.dequantize(gguf.quantize(value.numpy(), quantisation), quantisation)))
    assert torch.equal(logits(writer.model), logits(model))


def test_weights_have_the_wanted_dtype(gguf_path: Path) -> None:
    writer = open_writer(gguf_path, "cpu", torch.bfloat16)
    assert {value.dtype for value in writer.model.parameters()} == {torch.bfloat16}


LLAMA3 = {
    "rope_type": "llama3",
    "rope_theta": 5e5,
    "factor": 8.0,
    "low_freq_factor": 1.0,
    "high_freq_factor": 4.0,
    "original_max_position_embeddings": 32,
}


def test_rope_frequencies_of_llama_3_are_applied(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    model = llama(tokenizer, rope_parameters=LLAMA3)
    frequencies, _ = ROPE_INIT_FUNCTIONS["llama3"](model.config, "cpu")
    default_frequencies = 5e5 ** -(torch.arange(0, 16, 2) / 16)
    factors = (default_frequencies / frequencies).numpy()
    assert 7 < float(factors.max()) < 9
    writer = open_gguf(write_llama(model, tokenizer, tmp_path / "a.gguf", extra={"rope_freqs.weight": factors}))
    assert torch.allclose(logits(writer.model), logits(model), atol=1e-4)


@pytest.mark.parametrize("scaling", ["linear", "yarn"])
def test_rope_scaling_is_applied(tokenizer: PreTrainedTokenizerBase, tmp_path: Path, scaling: str) -> None:
    rope: dict[str, object] = {"rope_type": scaling, "rope_theta": 5e5, "factor": 4.0}
    keys: dict[str, object] = {"llama.rope.scaling.type": scaling, "llama.rope.scaling.factor": 4.0}
    if scaling == "yarn":
        rope["original_max_position_embeddings"] = keys["llama.rope.scaling.original_context_length"] = 64
    model = llama(tokenizer, rope_parameters=rope)
    writer = open_gguf(write_llama(model, tokenizer, tmp_path / "a.gguf", extra=keys))
    assert torch.equal(logits(writer.model), logits(model))
    assert not torch.allclose(logits(writer.model), logits(llama(tokenizer)), atol=1e-2)


def test_tokenizer_equals_the_original(tokenizer: PreTrainedTokenizerBase, gguf_path: Path) -> None:
    loaded = load_tokenizer(gguf_path)
    for text in ("Once there was a fox", "  two  spaces\n\nand naïve 🦊", "<|end|> <|poem|>", "", "从前"):
        assert encode_text(loaded, text) == encode_text(tokenizer, text)
        assert loaded.decode(encode_text(loaded, text)) == text
    assert encode_header(loaded, "poem", "Foxes") == encode_header(tokenizer, "poem", "Foxes")
    assert (loaded.eos_token, loaded.pad_token) == (tokenizer.eos_token, tokenizer.pad_token)


def test_end_of_turn_token_ends_the_generation(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    template = "{% for message in messages %}{{ message.content }}{% endfor %}"
    extra = {"tokenizer.chat_template": template, "tokenizer.ggml.eot_token_id": 2}
    writer = open_gguf(write_llama(llama(tokenizer), tokenizer, tmp_path / "a.gguf", extra=extra))
    assert writer.eos_token_ids == {tokenizer.eos_token_id, 2}
    assert writer.tokenizer.chat_template == template


def test_files_beside_a_gguf_file_are_ignored(
    tokenizer: PreTrainedTokenizerBase, gguf_path: Path, tmp_path: Path
) -> None:
    beside = write_llama(llama(tokenizer), tokenizer, tmp_path / "a.gguf")
    train_tokenizer([Document("", "Something else")], 320).save_pretrained(tmp_path)
    (tmp_path / "adapter_config.json").write_text('{"base_model_name_or_path": "elsewhere"}')
    (tmp_path / "generation_config.json").write_text('{"eos_token_id": 7}')
    writer = open_gguf(beside)
    assert writer.tokenizer.get_vocab() == open_gguf(gguf_path).tokenizer.get_vocab()
    assert writer.eos_token_ids == {tokenizer.eos_token_id}


def test_gguf_file_can_be_chosen_by_path_name_or_folder(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    ctx = testing.FakeContext(seed=1, folder=tmp_path)
    path = write_llama(llama(tokenizer), tokenizer, tmp_path / "models" / "fox.gguf")
    assert ctx.available_models("language") == {"fox.gguf": path}
    texts = set()
    for choice in ("fox.gguf", str(path), str(path.parent)):
        ctx = testing.FakeContext(seed=1, folder=tmp_path)
        texts.add(run_text(WriterContinue, ctx, text="Once a fox", model=choice, length=12).text)
    assert len(texts) == 1
    assert texts.pop().startswith("Once a fox")


def test_unusable_gguf_file_raises_bad_input(
    tokenizer: PreTrainedTokenizerBase, texts: Path, gguf_path: Path, tmp_path: Path
) -> None:
    content, path = gguf_path.read_bytes(), tmp_path / "bad.gguf"
    tensors = convert_tensors(llama(tokenizer))
    incomplete = {name: value for name, value in tensors.items() if name != "blk.1.ffn_up.weight"}
    keys = {**config_keys(llama(tokenizer).config), **tokenizer_keys(tokenizer)}
    narrow = {**tensors, "blk.1.ffn_up.weight": np.zeros((5, 64), np.float32)}
    longrope = {**keys, "llama.rope.scaling.type": "longrope"}
    many_layers = {**keys, "llama.block_count": 10**9}
    cases: tuple[tuple[Callable[[], object], str], ...] = (
        (lambda: path.write_bytes(content[: len(content) // 2]), "incomplete"),
        (lambda: path.write_bytes(b"version https://git-lfs.github.com/spec/v1\n"), "pointer"),
        (lambda: path.write_bytes(b"something else"), "not a GGUF"),
        (lambda: write_gguf(path, "of-tomorrow", {}, WEIGHTS), "architecture .*of-tomorrow"),
        (lambda: write_gguf(path, "llama", {}, WEIGHTS), "less than half"),
        (lambda: write_gguf(path, "llama", many_layers, incomplete), "less than half"),
        (lambda: write_gguf(path, "llama", {"general.type": "adapter"}, WEIGHTS), "not a model"),
        (lambda: write_gguf(path, "llama", {"split.count": 3}, WEIGHTS), "one of 3 parts"),
        (lambda: write_gguf(path, "llama", keys, incomplete), "lacks a weight, such as model.layers.1.mlp.up_proj"),
        (lambda: write_gguf(path, "llama", keys, narrow), "cannot be loaded"),
        (lambda: write_gguf(path, "llama", longrope, incomplete), "architecture"),
    )
    for make, sentence in cases:
        make()
        with pytest.raises(api.BadInput, match=sentence):
            testing.run(WriterContinue, text="x", model=str(path))
    with pytest.raises(api.BadInput, match="mask token"):
        testing.run(WriterSuggest, text="A ___.", model=str(gguf_path))
    with pytest.raises(api.BadInput, match="quantised"):
        testing.run(WriterTrain, folder=texts, kind="full", model=str(gguf_path))


def test_folder_with_two_gguf_files_is_not_a_model(gguf_path: Path, tmp_path: Path) -> None:
    for name in ("a.gguf", "b.GGUF"):
        (tmp_path / name).write_bytes(gguf_path.read_bytes())
    assert find_file(tmp_path) is None
    (tmp_path / "a.gguf").unlink()
    assert find_file(tmp_path) == tmp_path / "b.GGUF"
    (tmp_path / "config.json").write_text("{}")
    assert find_file(tmp_path) is None


def test_estimate_of_a_gguf_file(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    path, text = tmp_path / "a.gguf", "Once there was a fox, and it was glad."
    write_llama(llama(tokenizer), tokenizer, path)
    parameters = sum(value.numel() for value in llama(tokenizer).parameters())
    cached_values = 2 * 2 * 2 * 16
    before = run_estimate(WriterContinue, text=text, model=str(path), length=50)
    assert before.budget is None
    assert before.memory == 4 * (parameters + (len(text) // 4 + 50) * cached_values)
    assert run_estimate(WriterChat, text=text, model=str(path)).budget is None
    testing.run(WriterContinue, text=text, model=str(path), length=1)
    count = len(encode_text(load_tokenizer(path), text))
    estimate = run_estimate(WriterContinue, text=text, model=str(path), length=50)
    assert estimate.budget == api.TokenBudget(256, {"title": 1, "text": count, "new tokens": 50})
    assert estimate.memory == 4 * (parameters + (1 + count + 50) * cached_values)
    budget = run_estimate(WriterChat, text=text, model=str(path)).budget
    assert budget is not None
    assert (budget.whole, budget.parts["text"]) == (256, count)
    path.write_bytes(path.read_bytes()[:-100])
    assert testing.estimate(WriterContinue, text=text, model=str(path), length=50) is None


def test_estimate_is_of_the_dequantised_weights(tokenizer: PreTrainedTokenizerBase, tmp_path: Path) -> None:
    plain = write_llama(llama(tokenizer), tokenizer, tmp_path / "a.gguf")
    quantisation = gguf.GGMLQuantizationType.Q4_0
    quantised = write_llama(llama(tokenizer), tokenizer, tmp_path / "b.gguf", quantisation=quantisation)
    assert quantised.stat().st_size < plain.stat().st_size // 2
    estimates = [run_estimate(WriterContinue, text="Once", model=str(path)) for path in (plain, quantised)]
    assert estimates[0] == estimates[1]
