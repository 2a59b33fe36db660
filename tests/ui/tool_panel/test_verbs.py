"""The word on the button that starts a tool."""

import pytest

from studio.core.descriptor import ToolDescriptor
from studio.ui.tool_panel.tool_panel import choose_verb


@pytest.mark.parametrize(
    ("output", "lane", "verb"),
    [
        ("image", "interactive", "Generate"),
        ("text", "interactive", "Write"),
        ("model", "training", "Train"),
        ("model", "interactive", "Create"),
    ],
)
def test_the_verb_says_what_a_tool_does(output: str, lane: str, verb: str) -> None:
    assert choose_verb(ToolDescriptor(id="a.do", title="Do", plugin="a", output=output, lane=lane)) == verb


def test_without_a_tool_the_verb_is_generate() -> None:
    assert choose_verb(None) == "Generate"
