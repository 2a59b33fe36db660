"""A graph of ComfyUI: nodes by id, whose inputs are values or links to another node's output.

Graphs are read from the two forms that ComfyUI writes: what it ran (``prompt``), and the editor's (`comfy_workflow`).
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from itertools import islice
from typing import Any, NamedTuple

MAX_NODES = 5_000
MAX_INPUTS = 1_000
"""Maximum number of inputs of a node that are read."""
MAX_STEPS = 50_000
"""Maximum number of links that are followed in one graph; one to a node with many inputs counts more."""


class Link(NamedTuple):
    """The output of a node, by its number."""

    node: str
    output: int


@dataclass(frozen=True)
class Node:
    id: str
    kind: str
    inputs: Mapping[str, Any]
    """Values and `Link`s by name."""

    def links(self) -> Iterator[tuple[str, Link]]:
        return ((name, value) for name, value in self.inputs.items() if isinstance(value, Link))


class GraphTooLargeError(Exception):
    """More links would have to be followed than `MAX_STEPS`."""


@dataclass
class Graph:
    """`aliases` say what stands for an output of a node that only passes something on."""

    nodes: dict[str, Node] = field(default_factory=dict)
    aliases: dict[Link, Any] = field(default_factory=dict)
    _steps: int = 0

    def follow(self, value: Any) -> Any:
        """Return a value as it is, and a link to the node that really has the output; None for a circle."""
        seen = set[Link]()
        while isinstance(value, Link) and (value in self.aliases or value.node not in self.nodes):
            self.count_step()
            if value in seen:
                return None
            seen.add(value)
            value = self.aliases.get(value)
        return value

    def find(self, value: Any) -> tuple[Node, int] | None:
        """Return the node behind a link and the number of its output; None for anything else."""
        link = self.follow(value)
        if not isinstance(link, Link):
            return None
        node = self.nodes[link.node]
        self.count_step(1 + len(node.inputs) // 4)
        return node, link.output

    def count_step(self, cost: int = 1) -> None:
        self._steps += cost
        if self._steps > MAX_STEPS:
            raise GraphTooLargeError


def read_prompt(content: Mapping[str, Any]) -> Graph:
    """Read what ComfyUI ran: node ids mapped to ``{class_type, inputs}``, where a link is ``[node id, output]``."""
    graph = Graph()
    for name, node in islice(content.items(), MAX_NODES):
        if not isinstance(node, dict) or not isinstance(node.get("class_type"), str):
            continue
        inputs = node.get("inputs")
        if isinstance(inputs, dict):
            values = {key: _to_link(value) for key, value in islice(inputs.items(), MAX_INPUTS)}
            graph.nodes[str(name)] = Node(str(name), node["class_type"], values)
    for node in graph.nodes.values():
        if node.kind.lower().startswith("reroute"):
            for _, link in islice(node.links(), 1):
                graph.aliases[Link(node.id, 0)] = link
    return graph


def _to_link(value: Any) -> Any:
    if isinstance(value, list) and len(value) == 2 and isinstance(value[1], int):
        node, output = value
        if isinstance(node, str | int) and not isinstance(node, bool) and not isinstance(output, bool):
            return Link(str(node), output)
    return value
