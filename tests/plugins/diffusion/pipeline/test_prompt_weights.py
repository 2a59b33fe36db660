"""The grammar of weighted prompts."""

from __future__ import annotations

import pytest

from plugins.diffusion.pipeline.prompt_weights import Part, is_plain, thoughts, words


@pytest.mark.parametrize(
    ("prompt", "parts"),
    [
        ("a fox", [Part("a fox")]),
        ("", [Part("")]),
        ("a (red:1.3) fox", [Part("a "), Part("red", 1.3), Part(" fox")]),
        ("(red) fox", [Part("red", 1.1), Part(" fox")]),
        ("((red)) fox", [Part("red", 1.21), Part(" fox")]),
        ("[red] fox", [Part("red", 0.909091), Part(" fox")]),
        ("(a (red:1.5) fox:2)", [Part("a ", 2.0), Part("red", 3.0), Part(" fox", 2.0)]),
        (r"a fox \(animal\)", [Part("a fox (animal)")]),
        ("at 10:30, a fox", [Part("at 10:30, a fox")]),
        ("a fox)", [Part("a fox)")]),
        ("a (fox", [Part("a "), Part("fox", 1.1)]),
        ("(fox:.5)", [Part("fox", 0.5)]),
    ],
)
def test_brackets_weigh(prompt: str, parts: list[Part]) -> None:
    assert thoughts(prompt) == [parts]
    assert is_plain(thoughts(prompt)) == (len(parts) == 1 and parts[0].weight == 1)


def test_break_begins_a_new_thought() -> None:
    assert thoughts("a fox BREAK a (hill:2)") == [[Part("a fox")], [Part("a "), Part("hill", 2.0)]]
    assert words(thoughts("a fox BREAK a (hill:2)")) == "a fox a hill"
    assert is_plain(thoughts("BREAKFAST for a fox"))
