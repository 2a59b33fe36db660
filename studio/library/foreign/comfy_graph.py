"""ComfyUI's graphs: from node id to ``{class_type, inputs}``, where an input is a value or ``[node id, output]``."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

MAX_NODES = 5_000
MAX_HOPS = 64
_SEEDS = ("seed", "noise_seed")
_MODELS = ("ckpt_name", "unet_name", "model_name")
_TEXTS = ("text", "text_g", "prompt", "value", "string", "clip_l", "t5xxl")


def read(graph: Mapping[str, Any]) -> dict[str, Any]:
    """What the first sampler in a graph was given; empty where there is none, or this is no graph."""
    nodes = {
        str(name): node["inputs"]
        for name, node in list(graph.items())[:MAX_NODES]
        if isinstance(node, dict) and isinstance(node.get("class_type"), str) and isinstance(node.get("inputs"), dict)
    }
    sampler = next((inputs for inputs in nodes.values() if _samples(inputs)), None)
    if sampler is None:
        return {}
    found: dict[str, Any] = {
        "prompt": _text(nodes, sampler.get("positive", sampler.get("guider"))),
        "negative_prompt": _text(nodes, sampler.get("negative")),
        "steps": _value(nodes, sampler, ("steps",)) or _anywhere(nodes, ("steps",)),
        "guidance": _value(nodes, sampler, ("cfg", "guidance")) or _anywhere(nodes, ("guidance", "cfg")),
        "sampler": _value(nodes, sampler, ("sampler_name",)) or _anywhere(nodes, ("sampler_name",)),
        "strength": _value(nodes, sampler, ("denoise",)),
        "model": _anywhere(nodes, _MODELS),
    }
    seed = _value(nodes, sampler, _SEEDS)
    found["seed"] = seed if seed is not None else _anywhere(nodes, _SEEDS)
    for inputs in nodes.values():
        if "batch_size" in inputs and "width" in inputs:
            found |= {"width": inputs["width"], "height": inputs.get("height")}
            break
    return found


def _samples(inputs: Mapping[str, Any]) -> bool:
    simple = "positive" in inputs and any(name in inputs for name in _SEEDS)
    return simple or {"guider", "noise", "sigmas"} <= set(inputs)


def _upstream(nodes: Mapping[str, dict[str, Any]], link: Any) -> Iterator[dict[str, Any]]:
    """The nodes behind a link, the nearest first."""
    waiting, seen = [link], set[str]()
    while waiting and len(seen) < MAX_HOPS:
        one = waiting.pop(0)
        if not isinstance(one, list) or len(one) != 2 or str(one[0]) in seen:
            continue
        seen.add(str(one[0]))
        inputs = nodes.get(str(one[0]))
        if inputs is not None:
            yield inputs
            waiting += inputs.values()


def _text(nodes: Mapping[str, dict[str, Any]], link: Any) -> str:
    for inputs in _upstream(nodes, link):
        for name in _TEXTS:
            if isinstance(inputs.get(name), str) and inputs[name].strip():
                return str(inputs[name])
    return ""


def _value(nodes: Mapping[str, dict[str, Any]], inputs: Mapping[str, Any], names: tuple[str, ...]) -> Any:
    """A value given to a node itself, or through nodes that only hold one."""
    for name in names:
        value = inputs.get(name)
        if isinstance(value, list):
            keys = (name, "value", "seed")
            value = next((node[key] for node in _upstream(nodes, value) for key in keys if _plain(node.get(key))), None)
        if _plain(value):
            return value
    return None


def _anywhere(nodes: Mapping[str, dict[str, Any]], names: tuple[str, ...]) -> Any:
    return next((inputs[name] for inputs in nodes.values() for name in names if _plain(inputs.get(name))), None)


def _plain(value: Any) -> bool:
    return isinstance(value, int | float | str) and not isinstance(value, bool)
