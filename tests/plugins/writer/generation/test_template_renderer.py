"""A chat template that loops without end or makes gigabytes of text costs one sentence."""

from __future__ import annotations

import pytest

from plugins.writer.generation.template_renderer import TemplateRenderer
from studio import api

CONVERSATIONS = [[{"role": "user", "content": "Hi."}]]
LIMITS = r"^The model's chat template (takes too long|needs too much memory|makes too long a text)\. Choose another"
HOSTILE = [
    "{% for a in range(99999) %}{% for b in range(99999) %}{% endfor %}{% endfor %}",
    "{{ 'a' * 10 ** 9 }}",
    "{{ 'a' | center(10 ** 9) }}",
    "{{ '%1000000000d' | format(1) }}",
    "{{ '{:>1000000000}'.format(1) }}",
    "{% set x = namespace(t='ab') %}{% for i in range(40) %}{% set x.t = x.t ~ x.t %}{% endfor %}{{ x.t }}",
    "{% set x = namespace(t='ab') %}{% for i in range(40) %}{% set x.t = x.t.replace('a', x.t) %}{% endfor %}",
    "{{ 10 ** (10 ** 10) }}",
    "{{ ([[1] * 99999] * 99999) | string }}",
    "{% for i in range(99999) %}{{ 'a' * 100 }}{% endfor %}",
]


def test_a_hostile_template_is_one_sentence_and_the_next_is_applied() -> None:
    renderer = TemplateRenderer(time_limit=2.0)
    try:
        for template in HOSTILE:
            with pytest.raises(api.BadInput, match=LIMITS):
                renderer.render(conversations=CONVERSATIONS, chat_template=template)
        rendered, _ = renderer.render(conversations=CONVERSATIONS, chat_template="{{ messages[0].content }}")
    finally:
        renderer.close()
    assert rendered == ["Hi."]


def test_the_error_of_a_template_is_raised() -> None:
    renderer = TemplateRenderer()
    try:
        with pytest.raises(ValueError, match="no system prompt"):
            renderer.render(conversations=CONVERSATIONS, chat_template="{{ raise_exception('no system prompt') }}")
        with pytest.raises(ValueError, match="unsafe"):
            renderer.render(conversations=CONVERSATIONS, chat_template="{{ ''.__class__.__mro__ }}")
    finally:
        renderer.close()
