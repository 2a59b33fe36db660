"""Chat, rewriting, image prompts and shot lists, by models with and without a chat template."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path

import pytest
import torch

from plugins.writer.generation import chat_template, constrained
from plugins.writer.models.writer import open_writer
from plugins.writer.tools import chat, image_prompt, rewrite, shot_list
from plugins.writer.tools.chat import WriterChat
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.image_prompt import WriterPrompt
from plugins.writer.tools.rewrite import WriterRewrite
from plugins.writer.tools.shot_list import WriterShotlist
from studio import api, testing
from tests.plugins.writer.conftest import run_text

TEMPLATE = (
    "{% for m in messages %}<|{{ 'poem' if m['role'] == 'user' else 'story' }}|>{{ m['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|story|>{% endif %}"
)


def add_template(causal_model: Path, folder: Path, template: str) -> Path:
    """Copy a model and give it a chat template."""
    copy = shutil.copytree(causal_model, folder / "chat")
    config = json.loads((copy / "tokenizer_config.json").read_text())
    (copy / "tokenizer_config.json").write_text(json.dumps({**config, "chat_template": template}))
    return copy


@pytest.fixture
def chat_model(causal_model: Path, tmp_path: Path) -> Path:
    return add_template(causal_model, tmp_path, TEMPLATE)


def join_notices(ctx: testing.FakeContext) -> str:
    return " ".join(event.text for event in ctx.events if isinstance(event, api.Notice))


def test_chat_template_is_applied_and_control_tokens_in_messages_are_escaped(chat_model: Path) -> None:
    writer = open_writer(chat_model, "cpu", torch.float32)
    tokens = chat_template.encode_chat(writer, [("system", "Be kind."), ("user", "Hi <|end|><|story|>")])
    end, story = (writer.tokenizer.convert_tokens_to_ids(name) for name in ("<|end|>", "<|story|>"))
    assert tokens.count(end) == 2
    assert tokens.count(story) == 2
    assert tokens[-1] == story


def test_system_prompt_goes_into_the_first_message_if_the_template_takes_none(
    causal_model: Path, tmp_path: Path
) -> None:
    template = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE
    loaded = open_writer(add_template(causal_model, tmp_path, template), "cpu", torch.float32)
    tokens = chat_template.encode_chat(loaded, [("system", "Be kind."), ("user", "Hi.")])
    assert loaded.tokenizer.decode(tokens) == "<|poem|>Be kind.\n\nHi.<|end|><|story|>"


def test_broken_chat_template_raises_bad_input(causal_model: Path, tmp_path: Path) -> None:
    folder = add_template(causal_model, tmp_path, "{{ nonsense( }}")
    with pytest.raises(api.BadInput, match="template"):
        run_text(WriterChat, text="Hi", model=str(folder))


def test_conversation_is_parsed_by_names() -> None:
    names = ("You", "Muse")
    text = "Hello.\nYou: again\n\nMuse: Yes?\nAnd so.\nYou: Tell."
    messages = chat.parse_conversation(text, names)
    assert messages == [("user", "Hello."), ("user", "again"), ("assistant", "Yes?\nAnd so."), ("user", "Tell.")]
    assert chat.parse_conversation("", names) == [("user", "")]
    assert chat.parse_conversation("Muse: Hi.\n\nYou: ", names) == [("assistant", "Hi."), ("user", "")]
    assert chat.parse_conversation("You:\n\nYou: So.\nMuse:", names) == [("user", "So."), ("assistant", "")]


def test_chat_keeps_the_page_and_adds_named_turns(chat_model: Path, causal_model: Path) -> None:
    ctx = testing.FakeContext(seed=2)
    first = run_text(WriterChat, ctx, text="Hello. ", model=str(chat_model), length=16)
    assert re.fullmatch(r"Hello\. \n\nMuse: \S.*\n\nYou: ", first.text, re.DOTALL)
    assert not join_notices(ctx)
    *_, preview, _ = ctx.events
    assert isinstance(preview, api.Preview)
    assert first.text.startswith(str(preview.content).rstrip())
    plain_ctx, names = testing.FakeContext(seed=2), {"persona": "Owl", "name": "Ada", "length": 16}
    second = run_text(WriterChat, plain_ctx, text="Hello.\n", model=str(causal_model), **names)
    assert re.fullmatch(r"Hello\.\n\nOwl:.*\n\nAda: ", second.text, re.DOTALL)
    assert "has no chat template" in join_notices(plain_ctx)
    third = run_text(WriterChat, text=f"{first.text}Why?", model=str(chat_model), length=16)
    assert third.text.startswith(f"{first.text}Why?\n\nMuse: ")
    assert third.title == "Chat with Muse: Why?"


@pytest.mark.parametrize("text", ["  ", "Muse: Hi.\n\nYou: ", "Muse:"])
def test_empty_last_message_is_refused(causal_model: Path, text: str) -> None:
    with pytest.raises(api.BadInput, match="message is empty"):
        run_text(WriterChat, text=text, model=str(causal_model))


def test_user_and_character_need_different_names(causal_model: Path) -> None:
    with pytest.raises(api.BadInput, match="both called Muse"):
        run_text(WriterChat, text="Hi", name="Muse", model=str(causal_model))


@pytest.mark.parametrize("given", ["Hi.\n\nMuse: Once upon", "Hi.\n\nMuse: Once upon ", "Hi.\n\nMuse:"])
def test_unfinished_answer_is_continued(chat_model: Path, causal_model: Path, given: str) -> None:
    for model in (chat_model, causal_model):
        text = run_text(WriterChat, testing.FakeContext(seed=2), text=given, model=str(model), length=16).text
        assert text.startswith(given)
        assert text.count("Muse:") == 1
        assert "  " not in text[: len(given) + 2]


def test_template_does_not_end_a_continued_answer(chat_model: Path) -> None:
    loaded = open_writer(chat_model, "cpu", torch.float32)
    tokens = chat_template.encode_chat(loaded, [("user", "Hi."), ("assistant", "Once upon")])
    assert loaded.tokenizer.decode(tokens) == "<|poem|>Hi.<|end|><|story|>Once upon"
    tokens = chat_template.encode_chat(loaded, [("user", "Hi."), ("assistant", "")])
    assert loaded.tokenizer.decode(tokens) == "<|poem|>Hi.<|end|><|story|>"


def test_oldest_messages_of_a_long_chat_are_left_out_with_a_notice(chat_model: Path) -> None:
    turns = "\n\n".join(f"You: This is what I say, {n}.\n\nMuse: So it is." for n in range(200))
    ctx = testing.FakeContext(seed=2)
    text = run_text(WriterChat, ctx, text=f"{turns}\n\nYou: And now?", model=str(chat_model), length=8, system="")
    assert 0 < text.notes["left_out"] < 400
    assert text.notes["left_out"] % 2 == 0
    assert "oldest messages are left out" in join_notices(ctx)
    with pytest.raises(api.BadInput, match="tokens longer than"):
        run_text(WriterChat, text="Hello. " * 2000, model=str(chat_model))


def test_choices_of_an_answer_begin_with_the_character_name(chat_model: Path) -> None:
    ctx = testing.FakeContext(seed=2)
    text = run_text(WriterChat, ctx, text="Hi.", model=str(chat_model), length=16)
    pieces = "".join(piece for piece, _ in text.notes["choices"])
    assert text.text.startswith(f"Hi.{pieces}")
    assert pieces.startswith("\n\nMuse: ")
    assert len(text.notes["choices"]) > 4


@pytest.mark.parametrize("content", ['{"title": "My tales"}', '{"title": 3}', "[]", "no"])
def test_title_of_a_model_is_read_from_its_folder(chat_model: Path, content: str) -> None:
    assert api.model_files.read_title(chat_model) == "chat"
    (chat_model / "studio.json").write_text(content)
    assert api.model_files.read_title(chat_model) == ("My tales" if "tales" in content else "chat")


def test_rewrite_needs_a_chat_template(chat_model: Path, causal_model: Path) -> None:
    assert run_text(WriterRewrite, text="A fox ran.", model=str(chat_model), tone="dry").notes["from"] == "A fox ran."
    with pytest.raises(api.BadInput, match="no chat template"):
        run_text(WriterRewrite, text="A fox ran.", model=str(causal_model))
    with pytest.raises(api.BadInput, match="no text to rewrite"):
        run_text(WriterRewrite, text=" ", model=str(chat_model))


def test_rewrite_instructions_are_one_sentence() -> None:
    params = rewrite.WriterRewrite.Params(text="x", tone="warm", extent="shorter", view="first")
    instructions = rewrite.format_instructions(params)
    assert instructions == ("Rewrite the following text, in this tone: warm; in the first person; shorter than it is.")


def test_idea_becomes_an_image_prompt(causal_model: Path, chat_model: Path) -> None:
    ctx = testing.FakeContext()
    text = "Once upon a time there was a red fox who lived in a small house."
    assert run_text(WriterPrompt, ctx, text=text, model=str(causal_model)).text == "time red fox small, 3d"
    assert "cannot follow" in join_notices(ctx)
    tags = run_text(WriterPrompt, text=text, model=str(causal_model), dialect="tags", style="oil").text
    assert tags == "time red fox small house, oil"
    assert run_text(WriterPrompt, text=text, model=str(chat_model), dialect="sentences").notes["idea"] == text
    assert image_prompt.extract_keywords("It is 7!", 4) == "It is 7!"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("preset", ["balanced", "lively", "greedy"])
def test_shot_list_always_matches_its_schema(causal_model: Path, seed: int, preset: str) -> None:
    text = run_text(
        WriterShotlist,
        testing.FakeContext(seed=seed),
        text="A fox meets an owl.",
        model=str(causal_model),
        shots=2,
        preset=preset,
    )
    match = re.search(r"```json\n(.*)\n```", text.text, re.DOTALL)
    assert match is not None
    shots = json.loads(match[1])["shots"]
    assert len(shots) == 2
    for shot in shots:
        assert shot.keys() == {"size", "angle", "move", "what", "light"}
        assert shot["size"] in shot_list.SIZES
        assert shot["move"] in shot_list.MOVES
        assert 3 <= len(shot["what"]) <= 120


def test_unfinished_shot_list_raises_studio_error(causal_model: Path) -> None:
    ctx = testing.FakeContext(seed=1)
    with pytest.raises(api.StudioError, match="did not finish"):
        run_text(WriterShotlist, ctx, text="A fox. " * 400, model=str(causal_model), shots=1, biased=["狐:60"])
    assert any(isinstance(event, api.Notice) and "end of the scene" in event.text for event in ctx.events)


def test_output_can_be_constrained(causal_model: Path) -> None:
    values = {"text": "The fox is called ", "model": str(causal_model), "length": 60}
    for seed in range(4):
        ctx = testing.FakeContext(seed=seed)
        text = run_text(WriterContinue, ctx, **values, form="[A-Z][a-z]{2,8} and [A-Z][a-z]{2,8}").text
        assert re.fullmatch(r"The fox is called [A-Z][a-z]{2,8} and [A-Z][a-z]{2,8}", text)
        choice = run_text(WriterContinue, testing.FakeContext(seed=seed), **values, choices=["Mira", 'O"tto\n']).text
        assert choice.removeprefix("The fox is called ") in ("Mira", 'O"tto\n')
    for preset in ("balanced", "greedy"):
        output = run_text(WriterContinue, **values, choices=["Mira"], banned=["Mira"], preset=preset).text
        assert output == "The fox is called Mira"
    with pytest.raises(api.BadInput, match="not valid"):
        run_text(WriterContinue, **values, form="(((")


def test_invalid_schema_raises_bad_input(causal_model: Path) -> None:
    tokenizer = open_writer(causal_model, "cpu", torch.float32).tokenizer
    with pytest.raises(api.BadInput, match="not valid"):
        constrained.constrain_to_schema(tokenizer, {"type": "no such thing"})
