"""The grammar of weighted prompts."""

from __future__ import annotations

import pytest

from plugins.diffusion.pipeline.prompt_weights import WeightedSpan, is_plain, parse_prompt, strip_weights


@pytest.mark.parametrize(
    ("prompt", "spans"),
    [
        ("a fox", [WeightedSpan("a fox")]),
        ("", [WeightedSpan("")]),
        ("a (red:1.3) fox", [WeightedSpan("a "), WeightedSpan("red", 1.3), WeightedSpan(" fox")]),
        ("(red) fox", [WeightedSpan("red", 1.1), WeightedSpan(" fox")]),
        ("((red)) fox", [WeightedSpan("red", 1.21), WeightedSpan(" fox")]),
        ("[red] fox", [WeightedSpan("red", 0.909091), WeightedSpan(" fox")]),
        ("(a (red:1.5) fox:2)", [WeightedSpan("a ", 2.0), WeightedSpan("red", 3.0), WeightedSpan(" fox", 2.0)]),
        (r"a fox \(animal\)", [WeightedSpan("a fox (animal)")]),
        ("at 10:30, a fox", [WeightedSpan("at 10:30, a fox")]),
        ("a fox)", [WeightedSpan("a fox)")]),
        ("a (fox", [WeightedSpan("a "), WeightedSpan("fox", 1.1)]),
        ("(fox:.5)", [WeightedSpan("fox", 0.5)]),
    ],
)
def test_brackets_set_weights(prompt: str, spans: list[WeightedSpan]) -> None:
    assert parse_prompt(prompt) == [spans]
    assert is_plain(parse_prompt(prompt)) == (len(spans) == 1 and spans[0].weight == 1)


def test_break_starts_a_new_chunk() -> None:
    assert parse_prompt("a fox BREAK a (hill:2)") == [
        [WeightedSpan("a fox")],
        [WeightedSpan("a "), WeightedSpan("hill", 2.0)],
    ]
    assert strip_weights(parse_prompt("a fox BREAK a (hill:2)")) == "a fox a hill"
    assert is_plain(parse_prompt("BREAKFAST for a fox"))
