"""Makes dictionaries of tensors by key out of what a checkpoint holds: modules, dictionaries, lists of parameters."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, TypeAlias

from .pickle_machine import Node
from .stored_tensors import StoredArray, StoredTensor

MAX_DEPTH = 40
MAX_WALK = 4
"""Maximum number of dictionaries around a network."""
MAX_VISITS = 500_000
"""Maximum number of entries of all modules, dictionaries and lists that are visited; each counts as often as it is."""
Fact: TypeAlias = bool | int | float | str | list[Any]


@dataclass
class StateDict:
    """The tensors of a network by key, as its ``state_dict`` has them."""

    name: str
    """Where it is in the file: ``G_ema``, or empty for the whole file."""
    tensors: dict[str, StoredTensor] = field(default_factory=dict)
    facts: dict[str, Fact] = field(default_factory=dict)
    """Plain attributes of the modules by key, such as ``synthesis.input.bandwidth``."""
    class_name: str = ""
    """Class of the module, without its package."""

    @property
    def shapes(self) -> dict[str, tuple[int, ...]]:
        return {key: tensor.shape for key, tensor in self.tensors.items()}

    def select(self, prefix: str) -> StateDict:
        """Return what is below a prefix, without the prefix."""
        kept = {key.removeprefix(prefix): value for key, value in self.tensors.items() if key.startswith(prefix)}
        facts = {key.removeprefix(prefix): value for key, value in self.facts.items() if key.startswith(prefix)}
        return StateDict(f"{self.name}.{prefix}".strip("."), kept, facts, self.class_name)


def list_state_dicts(content: Any) -> list[StateDict]:
    """Return every network in a checkpoint's content, those at the top first. Raises ValueError for endless nesting."""
    return list(_walk(content, "", 0, Counter()))


def flatten_module(node: Node, name: str = "") -> StateDict:
    """Return the parameters, buffers and plain attributes of a module and of those in it."""
    found = StateDict(name, class_name=node.name.rpartition(".")[2])
    _collect(node, "", found, 0, Counter())
    return found


def _walk(content: Any, name: str, depth: int, visits: Counter[str]) -> Iterator[StateDict]:
    _count_visit(visits, content)
    if depth > MAX_WALK:
        return
    if isinstance(content, Node):
        if (found := flatten_module(content, name)).tensors:
            yield found
        else:
            yield from _walk(
                content.state if isinstance(content.state, dict) else content.items, name, depth + 1, visits
            )
    elif isinstance(content, dict):
        own = {key: value for key, value in content.items() if isinstance(key, str) and isinstance(value, StoredTensor)}
        if own:
            yield StateDict(name, own)
        for key, value in content.items():
            if isinstance(key, str) and isinstance(value, Node | dict | list | tuple):
                yield from _walk(value, f"{name}.{key}" if name else key, depth + 1, visits)
    elif isinstance(content, list | tuple) and content and all(isinstance(one, StoredTensor) for one in content):
        yield StateDict(name, {str(number): value for number, value in enumerate(content)})


def _collect(node: Node, prefix: str, found: StateDict, depth: int, visits: Counter[str]) -> None:
    state = node.state if isinstance(node.state, dict) else {}
    _count_visit(visits, state)
    if depth > MAX_DEPTH:
        raise ValueError("modules that are nested without end")
    for group in ("_parameters", "_buffers"):
        _count_visit(visits, state.get(group))
        for key, value in _items(state.get(group)):
            if isinstance(value, StoredTensor):
                found.tensors[prefix + key] = value
    for key, value in state.items():
        if isinstance(key, str) and not key.startswith("_") and (fact := _as_fact(value)) is not None:
            found.facts[prefix + key] = fact
    for key, value in _items(state.get("_modules")):
        if isinstance(value, Node):
            _collect(value, f"{prefix}{key}.", found, depth + 1, visits)


def _count_visit(visits: Counter[str], content: Any) -> None:
    visits["entries"] += 1 + (len(content) if isinstance(content, dict | list | tuple) else 0)
    if visits["entries"] > MAX_VISITS:
        raise ValueError("values that are nested without end")


def _items(group: Any) -> Iterator[tuple[str, Any]]:
    if isinstance(group, Mapping):
        for key, value in group.items():
            if isinstance(key, str):
                yield key, value


def _as_fact(value: Any) -> Fact | None:
    if isinstance(value, bool | int | float | str):
        return value
    if isinstance(value, StoredArray) and len(value.shape) <= 1 and sum(value.shape) <= 16:
        listed: Any = value.read().tolist()
        return listed if isinstance(listed, list) else [listed]
    return None
