"""ComfyUI's graphs: map a node id to ``{class_type, inputs}``; an input is a value or a link ``[node id, output]``."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Iterator, Mapping
from itertools import islice
from typing import Any

MAX_NODES = 5_000
MAX_HOPS = 64
MAX_LINKS = 1_000
"""Maximum links of one node that are followed."""
_SEEDS = ("seed", "noise_seed")
_MODELS = ("ckpt_name", "unet_name", "model_name")
_TEXTS = ("text", "text_g", "prompt", "value", "string", "clip_l", "t5xxl")


def read_sampler(graph: Mapping[str, Any]) -> dict[str, Any]:
    """Read the inputs of the first sampler in a graph. Return an empty dict if there is none."""
    nodes = {
        str(name): node["inputs"]
        for name, node in list(graph.items())[:MAX_NODES]
        if isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
    }
    sampler = next((inputs for inputs in nodes.values() if _is_sampler(inputs)), None)
    if sampler is None:
        return {}
    fields: dict[str, Any] = {
        "prompt": _find_text(nodes, sampler.get("positive", sampler.get("guider"))),
        "negative_prompt": _find_text(nodes, sampler.get("negative")),
        "steps": _find_value(nodes, sampler, ("steps",)) or _find_anywhere(nodes, ("steps",)),
        "guidance": _find_value(nodes, sampler, ("cfg", "guidance")) or _find_anywhere(nodes, ("guidance", "cfg")),
        "sampler": _find_value(nodes, sampler, ("sampler_name",)) or _find_anywhere(nodes, ("sampler_name",)),
        "strength": _find_value(nodes, sampler, ("denoise",)),
        "model": _find_anywhere(nodes, _MODELS),
    }
    seed = _find_value(nodes, sampler, _SEEDS)
    fields["seed"] = seed if seed is not None else _find_anywhere(nodes, _SEEDS)
    for inputs in nodes.values():
        if "batch_size" in inputs and "width" in inputs:
            fields |= {"width": inputs["width"], "height": inputs.get("height")}
            break
    return fields


def _is_sampler(inputs: Mapping[str, Any]) -> bool:
    simple = "positive" in inputs and any(name in inputs for name in _SEEDS)
    return simple or {"guider", "noise", "sigmas"} <= set(inputs)


def _walk_upstream(nodes: Mapping[str, dict[str, Any]], link: object) -> Iterator[dict[str, Any]]:
    """Yield the inputs of the nodes behind a link, nearest first."""
    waiting, seen = deque(_filter_links([link])), set[str]()
    while waiting and len(seen) < MAX_HOPS:
        name = waiting.popleft()
        if name in seen:
            continue
        seen.add(name)
        inputs = nodes.get(name)
        if inputs is not None:
            yield inputs
            waiting += islice(_filter_links(inputs.values()), MAX_LINKS)


def _filter_links(values: Iterable[object]) -> Iterator[str]:
    """Yield the node ids of those values that are links."""
    for value in values:
        if isinstance(value, list) and len(value) == 2 and isinstance(value[0], str | int):
            yield str(value[0])


def _find_text(nodes: Mapping[str, dict[str, Any]], link: object) -> str:
    for inputs in _walk_upstream(nodes, link):
        for name in _TEXTS:
            if isinstance(inputs.get(name), str) and inputs[name].strip():
                return str(inputs[name])
    return ""


def _find_value(nodes: Mapping[str, dict[str, Any]], inputs: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """Return an input of a node, followed through links to the node that holds its value."""
    for name in names:
        value = inputs.get(name)
        if isinstance(value, list):
            keys = (name, "value", "seed")
            value = next(
                (node[key] for node in _walk_upstream(nodes, value) for key in keys if _is_plain(node.get(key))), None
            )
        if _is_plain(value):
            return value
    return None


def _find_anywhere(nodes: Mapping[str, dict[str, Any]], names: tuple[str, ...]) -> Any:
    return next((inputs[name] for inputs in nodes.values() for name in names if _is_plain(inputs.get(name))), None)


def _is_plain(value: object) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)
