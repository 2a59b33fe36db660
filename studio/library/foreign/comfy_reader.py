"""Fields from a graph of ComfyUI: of the sampler whose image was saved, and of the others as text."""

from __future__ import annotations

import re
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from itertools import islice
from typing import Any

from studio.core.untrusted_files import read_or_else
from studio.library.foreign import comfy_graph, comfy_workflow
from studio.library.foreign.comfy_graph import Graph, GraphTooLargeError, Link, Node
from studio.library.foreign.comfy_model import find_clip_skip, find_models
from studio.library.foreign.comfy_text import Prompts, is_encoder, is_plain
from studio.library.foreign.lenient_values import to_float
from studio.library.foreign.lora_values import find_tags
from studio.library.foreign.parsed_fields import Fields, Texts, parse_json, parse_object, to_fields

_PLACES = ("prompt", "PROMPT", "Model", "Make", "UserComment", "ImageDescription", "workflow", "WORKFLOW")
"""Names of texts that may hold a graph. What was run comes before the editor's workflow."""
_PREFIX = re.compile(r"(?:prompt|workflow):", re.I)
_SEEDS = ("seed", "noise_seed")
_SAMPLING = ("steps", "sigmas", "sampler_name", "sampler", "scheduler")
_PROMPTS = ("positive", "guider", "conditioning", "text_embeds", "pipe", "basic_pipe", "context", "cond1", "prompt")
_IMAGES = re.compile(r"(?:images?|samples|latents?|latent_image|pixels|frames|video|image_?\d|\w{1,20}_image)", re.I)
_MAX_OTHERS = 20


def read_comfyui(texts: Texts) -> Fields:
    """Read the first graph in which something was sampled."""
    outer = parse_object(texts, "comment") or parse_object(texts, "©cmt") or parse_object(texts, "COMMENT")
    for content in (_parse(source.get(name)) for name in _PLACES for source in (texts, outer)):
        if isinstance(content, dict) and (fields := read_or_else({}, read_graph, content)):
            return fields
    return {}


def read_graph(content: Mapping[str, Any]) -> Fields:
    """Read a graph of either form. Return {} if nothing in it samples. Raises GraphTooLargeError."""
    is_workflow = isinstance(content.get("nodes"), list)
    graph = comfy_workflow.read_workflow(content) if is_workflow else comfy_graph.read_prompt(content)
    return _Reader(graph).read()


def _parse(value: object) -> Any:
    if not isinstance(value, str):
        return value
    text = value.lstrip()
    prefix = _PREFIX.match(text)
    return parse_json(text[prefix.end() :] if prefix else text)


class _Reader:
    def __init__(self, graph: Graph) -> None:
        self._graph = graph
        self._prompts = Prompts(graph)

    def read(self) -> Fields:
        samplers = [node for node in self._graph.nodes.values() if _is_sampler(node)]
        if not samplers:
            return {}
        main, path = self._find_main(samplers)
        values = self._read_sampler(main)
        models = find_models(self._graph, self._prompts, main)
        more = {name: values.pop(name) for name in ("CFG",) if values.get(name) is not None}
        with suppress(GraphTooLargeError):
            for number, text in enumerate(self._find_other_prompts(), 2):
                more[f"Prompt {number}"] = text
            others = (node for node in samplers if node is not main)
            for number, other in enumerate(islice(others, _MAX_OTHERS), 2):
                more[f"Sampler {number}"] = self._describe(other)
        values |= {
            "model": models.model,
            "vae": self._find_vae(path) or models.vae,
            "clip_skip": models.clip_skip or self._find_clip_skip(main),
        }
        tags = find_tags(values["prompt"] or "")
        return to_fields(values, loras=[*models.loras, *tags], more=more)

    def _find_main(self, samplers: list[Node]) -> tuple[Node, list[Node]]:
        """Return the sampler whose image was saved, and the nodes between it and the saved image."""
        seen = set[str]()
        for rank in _SAVERS:
            for node in self._graph.nodes.values():
                if rank.search(node.kind) and (found := self._walk_back(node, seen)):
                    return found
        return samplers[0], []

    def _walk_back(self, saver: Node, seen: set[str]) -> tuple[Node, list[Node]] | None:
        """Find the nearest sampler behind an image. One that goes on or adds detail gives way to that before it."""
        path, waiting, best = list[Node](), deque([saver]), None
        while waiting:
            node = waiting.popleft()
            path.append(node)
            if _is_sampler(node):
                best = best or node
                if not _goes_on(node) and not _is_detailer(node):
                    return node, path
            links = list(node.links())
            images = [link for name, link in links if _IMAGES.fullmatch(name)]
            for link in images or ([link for _, link in links] if not _is_sampler(node) else []):
                found = self._graph.find(link)
                if found and found[0].id not in seen:
                    seen.add(found[0].id)
                    waiting.append(found[0])
        return (best, path) if best else None

    def _read_sampler(self, node: Node) -> dict[str, Any]:
        guider = self._find_node(node.inputs.get("guider"))
        parts = [node, *([guider] if guider else [])]
        sampler, sigmas, noise = (self._find_node(node.inputs.get(name)) for name in ("sampler", "sigmas", "noise"))
        schedule = self._find_schedule(sigmas)
        positive, bundled = self._find_side(parts, "positive")
        negative, also_bundled = self._find_side(parts, "negative")
        values: dict[str, Any] = {
            "prompt": self._prompts.find_prompt(positive, "positive", bundled=bundled),
            "seed": self._find([node, noise], *_SEEDS),
            "steps": self._find([node, schedule], "steps"),
            "sampler": self._find([node, sampler], "sampler_name") or _name_of_class(sampler, "sampler"),
            "scheduler": self._find([node, schedule], "scheduler") or _name_of_class(schedule, "scheduler"),
            "strength": self._find([node, schedule], "denoise"),
        }
        cfg, distilled = self._find(parts, "cfg", "cfg_conds", "guidance"), self._prompts.guidance
        values["negative_prompt"] = self._prompts.find_prompt(negative, "negative", bundled=also_bundled)
        values["guidance"] = cfg
        if distilled is not None and to_float(cfg) in (None, 1.0):
            values |= {"guidance": distilled, "CFG": cfg}
        width, height = self._find_size(node)
        return values | {"width": width, "height": height}

    def _find_side(self, nodes: list[Node], side: str) -> tuple[Any, bool]:
        """Return what leads to a prompt, and whether it leads to both prompts."""
        names = ("positive", "cond1", "conditioning", "prompt") if side == "positive" else ("negative",)
        for node in reversed(nodes):
            for name in names:
                if name in node.inputs:
                    return node.inputs[name], False
            for name in ("text_embeds", "pipe", "basic_pipe", "context"):
                if name in node.inputs:
                    return node.inputs[name], True
        return None, False

    def _find_schedule(self, sigmas: Node | None) -> Node | None:
        """Return the node that makes sigmas, behind those that split or change them."""
        seen = set[str]()
        while sigmas and "sigmas" in sigmas.inputs and sigmas.id not in seen:
            seen.add(sigmas.id)
            sigmas = self._find_node(sigmas.inputs["sigmas"])
        return sigmas

    def _find_size(self, node: Node) -> tuple[Any, Any]:
        """Return width and height of the latent that a sampler begins with."""
        scale, seen = 1.0, set[str]()
        names = ("latent_image", "latent", "samples", "optional_latent", "image_embeds", "pipe")
        current: Node | None = node
        while current and current.id not in seen:
            seen.add(current.id)
            inputs = current.inputs
            if current is not node or not any(isinstance(inputs.get(name), Link) for name in names):
                for sides in (("width", "height"), ("empty_latent_width", "empty_latent_height")):
                    width, height = (to_float(self._find([current], name)) for name in sides)
                    if width and height:
                        return round(width * scale), round(height * scale)
            scale *= to_float(self._prompts.find_value(inputs.get("scale_by"))) or 1.0
            links = (inputs.get(name) for name in (*names, "pixels", "image") if isinstance(inputs.get(name), Link))
            current = self._find_node(next(links, None))
        empty = (node for node in self._graph.nodes.values() if {"width", "height", "batch_size"} <= node.inputs.keys())
        latent = next(empty, None) if len(seen) == 1 else None
        return self._find([latent], "width"), self._find([latent], "height")

    def _find_vae(self, path: list[Node]) -> Any:
        for node in path:
            loader = self._find_node(node.inputs.get("vae"))
            if loader and isinstance(name := loader.inputs.get("vae_name"), str):
                return name
        return None

    def _find_clip_skip(self, main: Node) -> int | None:
        links = [main.inputs.get(name) for name in ("positive", "guider", "conditioning")]
        found = (find_clip_skip(self._graph, self._prompts, link) for link in links if isinstance(link, Link))
        return next((skip for skip in found if skip), None)

    def _find_other_prompts(self) -> Iterator[str]:
        said = set(self._prompts.used)
        for node in self._graph.nodes.values():
            if len(said) - len(self._prompts.used) >= _MAX_OTHERS:
                return
            text = (self._prompts.find_text(Link(node.id, 0)) or "").strip() if is_encoder(node) else ""
            if text and text not in said:
                said.add(text)
                yield text

    def _describe(self, node: Node) -> str:
        values = self._read_sampler(node)
        words = (f"{name.replace('_', ' ')}: {value}" for name, value in values.items() if value not in (None, ""))
        return ", ".join([node.kind, *words])

    def _find(self, nodes: Sequence[Node | None], *names: str) -> Any:
        """Return the first present input of these nodes, through links."""
        for node in filter(None, nodes):
            for name in names:
                if name in node.inputs and (value := self._prompts.find_value(node.inputs[name], name)) is not None:
                    return value
        return None

    def _find_node(self, link: Any) -> Node | None:
        found = self._graph.find(link)
        return found[0] if found else None


_SAVERS = (re.compile(r"save|combine", re.I), re.compile(r"preview|output|result", re.I))
"""Kinds of nodes that end a graph, those that write files first."""


def _is_sampler(node: Node) -> bool:
    inputs = node.inputs
    if {"guider", "sigmas"} <= inputs.keys():
        return True
    has_seed = any(name in inputs for name in (*_SEEDS, "noise"))
    return has_seed and any(name in inputs for name in _PROMPTS) and any(name in inputs for name in _SAMPLING)


def _goes_on(node: Node) -> bool:
    """Tell whether a sampler goes on with what another has begun."""
    return node.inputs.get("add_noise") in ("disable", False)


def _is_detailer(node: Node) -> bool:
    """Tell whether a sampler changes a finished image, as upscalers by tiles and detailers of faces do."""
    return isinstance(node.inputs.get("image"), Link) and "latent_image" not in node.inputs


def _name_of_class(node: Node | None, part: str) -> str | None:
    """Return the name in a node's kind, such as ``karras`` in ``KarrasScheduler``."""
    if node is None or part not in node.kind.lower() or is_plain(node.inputs.get(f"{part}_name")):
        return None
    bare = re.sub(part, "", node.kind[:60], flags=re.I).strip("_ ")
    return re.sub(r"(?<=[a-z])(?=[A-Z])", "_", bare).lower() or None
