"""Talking, rewriting, prompts and shots, with models that have a chat template and with those that have none."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from plugins.writer.generation import chat_template, constrained
from plugins.writer.models.writer import open_writer, read_title
from plugins.writer.tools import chat, image_prompt, rewrite, shot_list
from plugins.writer.tools.chat import WriterChat
from plugins.writer.tools.continue_text import WriterContinue
from plugins.writer.tools.image_prompt import WriterPrompt
from plugins.writer.tools.rewrite import WriterRewrite
from plugins.writer.tools.shot_list import WriterShotlist
from studio import api, testing

TEMPLATE = (
    "{% for m in messages %}<|{{ 'poem' if m['role'] == 'user' else 'story' }}|>{{ m['content'] }}<|end|>"
    "{% endfor %}{% if add_generation_prompt %}<|story|>{% endif %}"
)


def with_template(writer: Path, folder: Path, template: str) -> Path:
    place = shutil.copytree(writer, folder / "talker")
    told = json.loads((place / "tokenizer_config.json").read_text())
    (place / "tokenizer_config.json").write_text(json.dumps({**told, "chat_template": template}))
    return place


@pytest.fixture
def talker(writer: Path, tmp_path: Path) -> Path:
    return with_template(writer, tmp_path, TEMPLATE)


def made(tool: type[api.Tool], ctx: testing.FakeContext | None = None, **values: Any) -> api.Text:
    text = testing.results(testing.run(tool, ctx, **values))[-1]
    assert isinstance(text, api.Text)
    return text


def notices(ctx: testing.FakeContext) -> str:
    return " ".join(event.text for event in ctx.events if isinstance(event, api.Notice))


def test_chat_template_is_applied_and_control_tokens_in_messages_are_escaped(talker: Path) -> None:
    writer = open_writer(talker, "cpu", torch.float32)
    tokens = chat_template.encode_chat(writer, [("system", "Be kind."), ("user", "Hi <|end|><|story|>")])
    end, story = (writer.tokenizer.convert_tokens_to_ids(name) for name in ("<|end|>", "<|story|>"))
    assert tokens.count(end) == 2
    assert tokens.count(story) == 2
    assert tokens[-1] == story


def test_system_prompt_goes_into_the_first_message_if_the_template_takes_none(writer: Path, tmp_path: Path) -> None:
    strict = "{% if messages[0]['role'] == 'system' %}{{ raise_exception('no') }}{% endif %}" + TEMPLATE
    opened = open_writer(with_template(writer, tmp_path, strict), "cpu", torch.float32)
    tokens = chat_template.encode_chat(opened, [("system", "Be kind."), ("user", "Hi.")])
    assert opened.tokenizer.decode(tokens) == "<|poem|>Be kind.\n\nHi.<|end|><|story|>"


def test_broken_chat_template_raises_bad_input(writer: Path, tmp_path: Path) -> None:
    place = with_template(writer, tmp_path, "{{ nonsense( }}")
    with pytest.raises(api.BadInput, match="template"):
        made(WriterChat, text="Hi", model=str(place))


def test_conversation_is_parsed_by_names() -> None:
    names = ("You", "Muse")
    text = "Hello.\nYou: again\n\nMuse: Yes?\nAnd so.\nYou: Tell."
    talk = chat.parse_conversation(text, names)
    assert talk == [("user", "Hello."), ("user", "again"), ("assistant", "Yes?\nAnd so."), ("user", "Tell.")]
    assert chat.parse_conversation("", names) == [("user", "")]
    assert chat.parse_conversation("Muse: Hi.\n\nYou: ", names) == [("assistant", "Hi."), ("user", "")]
    assert chat.parse_conversation("You:\n\nYou: So.\nMuse:", names) == [("user", "So."), ("assistant", "")]


def test_chat_keeps_the_page_and_adds_named_turns(talker: Path, writer: Path) -> None:
    """As a page needs it: what is given stays, the answer has its name, and the artist's comes behind it."""
    ctx = testing.FakeContext(seed=2)
    first = made(WriterChat, ctx, text="Hello. ", model=str(talker), length=16)
    assert re.fullmatch(r"Hello\. \n\nMuse: \S.*\n\nYou: ", first.text, re.DOTALL)
    assert not notices(ctx)
    *_, preview, _ = ctx.events
    assert isinstance(preview, api.Preview)
    assert first.text.startswith(str(preview.content).rstrip())
    untaught = testing.FakeContext(seed=2)
    second = made(WriterChat, untaught, text="Hello.\n", model=str(writer), length=16, persona="Owl", name="Ada")
    assert re.fullmatch(r"Hello\.\n\nOwl:.*\n\nAda: ", second.text, re.DOTALL)
    assert "has no chat template" in notices(untaught)
    third = made(WriterChat, text=f"{first.text}Why?", model=str(talker), length=16)
    assert third.text.startswith(f"{first.text}Why?\n\nMuse: ")
    assert third.title == "Chat with Muse: Why?"


@pytest.mark.parametrize("text", ["  ", "Muse: Hi.\n\nYou: ", "Muse:"])
def test_empty_last_message_is_refused(writer: Path, text: str) -> None:
    with pytest.raises(api.BadInput, match="message is empty"):
        made(WriterChat, text=text, model=str(writer))


def test_user_and_character_need_different_names(writer: Path) -> None:
    with pytest.raises(api.BadInput, match="both called Muse"):
        made(WriterChat, text="Hi", name="Muse", model=str(writer))


@pytest.mark.parametrize("begun", ["Hi.\n\nMuse: Once upon", "Hi.\n\nMuse: Once upon ", "Hi.\n\nMuse:"])
def test_unfinished_answer_is_continued(talker: Path, writer: Path, begun: str) -> None:
    for model in (talker, writer):
        text = made(WriterChat, testing.FakeContext(seed=2), text=begun, model=str(model), length=16).text
        assert text.startswith(begun)
        assert text.count("Muse:") == 1
        assert "  " not in text[: len(begun) + 2]


def test_template_does_not_end_a_continued_answer(talker: Path) -> None:
    opened = open_writer(talker, "cpu", torch.float32)
    tokens = chat_template.encode_chat(opened, [("user", "Hi."), ("assistant", "Once upon")])
    assert opened.tokenizer.decode(tokens) == "<|poem|>Hi.<|end|><|story|>Once upon"
    tokens = chat_template.encode_chat(opened, [("user", "Hi."), ("assistant", "")])
    assert opened.tokenizer.decode(tokens) == "<|poem|>Hi.<|end|><|story|>"


def test_oldest_messages_of_a_long_chat_are_left_out_with_a_notice(talker: Path) -> None:
    turns = "\n\n".join(f"You: This is what I say, {n}.\n\nMuse: So it is." for n in range(200))
    ctx = testing.FakeContext(seed=2)
    text = made(WriterChat, ctx, text=f"{turns}\n\nYou: And now?", model=str(talker), length=8, system="")
    assert 0 < text.notes["left_out"] < 400
    assert text.notes["left_out"] % 2 == 0
    assert "oldest messages are left out" in notices(ctx)
    with pytest.raises(api.BadInput, match="tokens longer than"):
        made(WriterChat, text="Hello. " * 2000, model=str(talker))


def test_choices_of_an_answer_begin_with_the_character_name(talker: Path) -> None:
    ctx = testing.FakeContext(seed=2)
    text = made(WriterChat, ctx, text="Hi.", model=str(talker), length=16)
    told = "".join(piece for piece, _ in text.notes["choices"])
    assert text.text.startswith(f"Hi.{told}")
    assert told.startswith("\n\nMuse: ")
    assert len(text.notes["choices"]) > 4


@pytest.mark.parametrize("told", ['{"title": "My tales"}', '{"title": 3}', "[]", "no"])
def test_title_of_a_model_is_read_from_its_folder(talker: Path, told: str) -> None:
    assert read_title(talker) == "talker"
    (talker / "studio.json").write_text(told)
    assert read_title(talker) == ("My tales" if "tales" in told else "talker")


def test_rewrite_needs_a_chat_template(talker: Path, writer: Path) -> None:
    assert made(WriterRewrite, text="A fox ran.", model=str(talker), tone="dry").notes["from"] == "A fox ran."
    with pytest.raises(api.BadInput, match="no chat template"):
        made(WriterRewrite, text="A fox ran.", model=str(writer))
    with pytest.raises(api.BadInput, match="no text to rewrite"):
        made(WriterRewrite, text=" ", model=str(talker))


def test_rewrite_instructions_are_one_sentence() -> None:
    wishes = rewrite.WriterRewrite.Params(text="x", tone="warm", extent="shorter", view="first")
    asked = rewrite.format_instructions(wishes)
    assert asked == ("Rewrite the following text, in this tone: warm; in the first person; shorter than it is.")


def test_idea_becomes_an_image_prompt(writer: Path, talker: Path) -> None:
    ctx = testing.FakeContext()
    text = "Once upon a time there was a red fox who lived in a small house."
    assert made(WriterPrompt, ctx, text=text, model=str(writer)).text == "time red fox small, 3d"
    assert "cannot follow" in notices(ctx)
    tags = made(WriterPrompt, text=text, model=str(writer), dialect="tags", style="oil").text
    assert tags == "time red fox small house, oil"
    assert made(WriterPrompt, text=text, model=str(talker), dialect="sentences").notes["idea"] == text
    assert image_prompt.extract_keywords("It is 7!", 4) == "It is 7!"


@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("preset", ["balanced", "lively", "greedy"])
def test_shot_list_always_matches_its_schema(writer: Path, seed: int, preset: str) -> None:
    text = made(
        WriterShotlist,
        testing.FakeContext(seed=seed),
        text="A fox meets an owl.",
        model=str(writer),
        shots=2,
        preset=preset,
    )
    inside = json.loads(re.search(r"```json\n(.*)\n```", text.text, re.DOTALL)[1])  # type: ignore[index]
    assert len(inside["shots"]) == 2
    for shot in inside["shots"]:
        assert shot.keys() == {"size", "angle", "move", "what", "light"}
        assert shot["size"] in shot_list.SIZES
        assert shot["move"] in shot_list.MOVES
        assert 3 <= len(shot["what"]) <= 120


def test_unfinished_shot_list_raises_studio_error(writer: Path) -> None:
    ctx = testing.FakeContext(seed=1)
    with pytest.raises(api.StudioError, match="did not finish"):
        made(WriterShotlist, ctx, text="A fox. " * 400, model=str(writer), shots=1, biased=["狐:60"])
    assert any(isinstance(event, api.Notice) and "end of the scene" in event.text for event in ctx.events)


def test_output_can_be_constrained(writer: Path) -> None:
    more = {"text": "The fox is called ", "model": str(writer), "length": 60}
    for seed in range(4):
        ctx = testing.FakeContext(seed=seed)
        text = made(WriterContinue, ctx, **more, form="[A-Z][a-z]{2,8} and [A-Z][a-z]{2,8}").text
        assert re.fullmatch(r"The fox is called [A-Z][a-z]{2,8} and [A-Z][a-z]{2,8}", text)
        chosen = made(WriterContinue, testing.FakeContext(seed=seed), **more, choices=["Mira", 'O"tto\n']).text
        assert chosen.removeprefix("The fox is called ") in ("Mira", 'O"tto\n')
    for preset in ("balanced", "greedy"):
        only = made(WriterContinue, **more, choices=["Mira"], banned=["Mira"], preset=preset).text
        assert only == "The fox is called Mira"
    with pytest.raises(api.BadInput, match="not valid"):
        made(WriterContinue, **more, form="(((")


def test_invalid_schema_raises_bad_input(writer: Path) -> None:
    tokenizer = open_writer(writer, "cpu", torch.float32).tokenizer
    with pytest.raises(api.BadInput, match="not valid"):
        constrained.constrain_to_schema(tokenizer, {"type": "no such thing"})
