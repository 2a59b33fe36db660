"""Texts, numbers and prompts behind the links of a graph of ComfyUI."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

from studio.library.foreign.comfy_graph import Graph, GraphTooLargeError, Link, Node

MAX_TEXT = 20_000
"""Maximum length of a prompt, in characters."""
_MAX_ALL_TEXTS = 5_000_000
_MAX_DEPTH = 64
_SIDES = ("positive", "negative")
_FIRST_TEXTS = ("text", "t5xxl", "text_g", "clip_l", "prompt", "populated_text", "bert", "mt5xl", "text_l", "clip_g")
"""Names of a node's texts, the one to take first."""
_TEXT = re.compile(r"(?:\w{1,20}_)?(?:text|string|str|prompt|value|wildcard|caption|widget)(?:[_ ]?\w{1,2})?", re.I)
"""Names of inputs that are texts."""
_DELIMITERS = ("delimiter", "separator", "sep")
_JOINS = re.compile(r"concat|join|combine|append|stringfunction", re.I)
"""Kinds of nodes that join their texts."""
_CONDITIONING = re.compile(r"cond\w{0,30}|\w{0,20}embeds|\w{0,20}conditioning\w{0,10}", re.I)
"""Names of inputs that are conditionings."""
_PIPE = re.compile(r"(?:\w{1,20}_)?pipe\w{0,10}|context|ctx", re.I)
"""Names of inputs that bundle a model and both prompts."""
_OTHER = re.compile(
    r"(?:model|clip|vae|image|images|latent|latent_image|samples|mask|pixels|control_net|clip_vision\w{0,20}"
    r"|style_model|sampler|sigmas|noise|video)\d?",
    re.I,
)
"""Names of inputs that are certainly no prompt."""
_LOADS_MODEL = ("ckpt_name", "base_ckpt_name", "unet_name", "model_name")


class Prompts:
    """Reads prompts and values of one graph. Each output of a node is read once, whatever the links between them."""

    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._texts: dict[tuple[str, int, str], str | None] = {}
        self._length = 0
        self.used = set[str]()
        """Texts that are part of a prompt."""
        self.guidance: Any = None
        """The distilled guidance of the last positive prompt."""

    def find_prompt(self, link: Any, side: str, *, bundled: bool = False) -> str:
        """Return the prompt of a side, ``positive`` or ``negative``, behind a conditioning.

        Texts that are combined have a line each. `bundled` tells that the link leads to both prompts.
        """
        if side == "positive":
            self.guidance = None
        texts = list(dict.fromkeys(text.strip() for text in self._walk(link, side, bundled)))
        self.used.update(texts)
        return "\n".join(filter(None, texts))[:MAX_TEXT]

    def find_text(self, value: Any, side: str = "", depth: int = 0) -> str | None:
        """Return a text, or that of the node behind a link; None where there is none."""
        found = self._graph.find(value)
        if found is None:
            plain = self._graph.follow(value)
            return plain[:MAX_TEXT] if isinstance(plain, str) else None
        node, output = found
        key = (node.id, output, side)
        if key not in self._texts:
            self._texts[key] = None  # what leads back here is a circle
            text = self._read_text(node, output, side, depth + 1) if depth < _MAX_DEPTH else None
            self._length += len(text or "")
            if self._length > _MAX_ALL_TEXTS:
                raise GraphTooLargeError
            self._texts[key] = text
        return self._texts[key]

    def find_value(self, value: Any, *names: str) -> Any:
        """Return a plain value, or the input with one of these names of the node behind a link."""
        for _ in range(_MAX_DEPTH):
            found = self._graph.find(value)
            if found is None:
                value = self._graph.follow(value)
                return value if is_plain(value) else None
            inputs = found[0].inputs
            value = next((inputs[name] for name in (*names, "value", "seed", "int", "float") if name in inputs), None)
            if value is None:
                plain = [item for item in inputs.values() if is_plain(item)]
                links = [link for _, link in found[0].links()]
                if len(plain) + len(links) != 1:
                    return None
                value = (plain + links)[0]
        return None

    def _walk(self, link: Any, side: str, bundled: bool) -> Iterator[str]:
        """Yield the texts of a conditioning, in the order of the inputs."""
        waiting, seen = [(link, side, bundled)], set[tuple[str, int, str, bool]]()
        while waiting:
            value, side, bundled = waiting.pop()
            found = self._graph.find(value)
            if found is None:
                if isinstance(text := self._graph.follow(value), str):
                    yield text
                continue
            node, output = found
            if (node.id, output, side, bundled) in seen or "zeroout" in node.kind.lower():
                continue
            seen.add((node.id, output, side, bundled))
            if side == "positive" and "guidance" in node.inputs and self.guidance is None:
                self.guidance = self.find_value(node.inputs["guidance"], "guidance")
            following = list(self._find_conditionings(node, output, side, bundled))
            waiting += reversed(following)
            if not following and (text := self._read_text(node, output, side, 0)):
                yield text

    def _find_conditionings(self, node: Node, output: int, side: str, bundled: bool) -> Iterator[tuple[Any, str, bool]]:
        """Yield the inputs of a node that lead on to the prompt behind its output."""
        inputs, links = node.inputs, dict(node.links())
        sides = [name for name in _SIDES if name in inputs]
        if any(name in links for name in sides) or len(sides) == 2:
            # Nodes that change both conditionings have them as outputs 0 and 1. Of a bundle the asker's side counts.
            is_bundle = bundled or output > 1 or any(name in inputs for name in _LOADS_MODEL)
            name = side if is_bundle else _SIDES[max(output, 0)]
            name = name if name in sides else sides[0]
            yield inputs[name], name, False
            return
        names = [name for name in links if _CONDITIONING.fullmatch(name)]
        if "average" in node.kind.lower() and "conditioning_to" in links:
            names = ["conditioning_to"]
        if names:
            yield from ((links[name], side, bundled) for name in names)
        elif pipes := [name for name in links if _PIPE.fullmatch(name)]:
            yield links[pipes[0]], side, True
        elif chosen := _find_chosen(node):
            yield chosen, side, bundled
        elif not any(_is_text(name, value) for name, value in inputs.items()):
            yield from ((link, side, bundled) for name, link in links.items() if not _OTHER.fullmatch(name))

    def _read_text(self, node: Node, output: int, side: str, depth: int) -> str | None:
        """Return the text that a node makes of its inputs."""
        inputs = node.inputs
        if sides := {name: key for name in _SIDES for key in _name_sides(name) if key in inputs}:
            name = side if side in sides else _SIDES[min(max(output, 0), 1)]
            return self.find_text(inputs.get(sides.get(name, "")), name, depth)
        if chosen := _find_chosen(node):
            return self.find_text(chosen, side, depth)
        names = [name for name in _FIRST_TEXTS if name in inputs]
        joins = bool(_JOINS.search(node.kind)) or any(name in inputs for name in _DELIMITERS)
        if joins or not names:
            names = [name for name, value in inputs.items() if _is_text(name, value)]
        if not names:
            names = [name for name, _ in node.links() if not _OTHER.fullmatch(name)]
        texts: list[str] = []
        for name in names:
            if text := self.find_text(inputs[name], side, depth):
                texts.append(text)
                if not joins or sum(map(len, texts)) > MAX_TEXT:
                    break
        if not texts:
            return None
        delimiter = next((self.find_text(inputs[name], "", depth) for name in _DELIMITERS if name in inputs), " ") or ""
        return delimiter[:100].replace("\\n", "\n").join(texts)[:MAX_TEXT]


def is_encoder(node: Node) -> bool:
    """Tell whether a node makes a conditioning of a text."""
    has_text = any(_is_text(name, value) for name, value in node.inputs.items())
    return has_text and (
        "textencode" in node.kind.lower().replace(" ", "") or isinstance(node.inputs.get("clip"), Link)
    )


def is_plain(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)


def _is_text(name: str, value: object) -> bool:
    is_text = isinstance(value, str | Link)
    return is_text and name not in _DELIMITERS and (name in _FIRST_TEXTS or bool(_TEXT.fullmatch(name)))


def _name_sides(side: str) -> tuple[str, ...]:
    """Return what nodes with texts for both sides call that of a side."""
    return side, f"{side}_prompt", f"text_{side}", f"prompt_{side}"


def _find_chosen(node: Node) -> Link | None:
    """Return the input that a switch has chosen by its number."""
    number = node.inputs.get("select")
    value = node.inputs.get(f"input{number}") if isinstance(number, int) else None
    return value if isinstance(value, Link) else None
