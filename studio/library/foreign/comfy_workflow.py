"""The editor's form of a graph of ComfyUI: nodes with numbered inputs and widgets, and a list of links.

Nodes that only the editor knows are resolved: primitives, reroutes, set and get, bypassed nodes, and subgraphs.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from itertools import islice
from typing import Any

from studio.library.foreign.comfy_graph import MAX_INPUTS, MAX_NODES, Graph, Link, Node

_MUTED, _BYPASSED = 2, 4
_MAX_DEPTH = 8
_SUBGRAPH_INPUTS, _SUBGRAPH_OUTPUTS = "-10", "-20"
"""Ids that stand for the inputs and outputs of a subgraph in its links."""
_AFTER_SEED = ("fixed", "increment", "decrement", "randomize")
"""Values of the widget that follows a seed in the list and is no input."""
_SEEDS = ("seed", "noise_seed")
_WIDGETS = {
    "CLIPTextEncode": ("text",),
    "CLIPTextEncodeFlux": ("clip_l", "t5xxl", "guidance"),
    "CLIPTextEncodeSDXL": ("width", "height", "crop_w", "crop_h", "target_width", "target_height", "text_g", "text_l"),
    "CLIPTextEncodeSD3": ("clip_l", "clip_g", "t5xxl", "empty_padding"),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "CheckpointLoaderSimple": ("ckpt_name",),
    "UNETLoader": ("unet_name", "weight_dtype"),
    "UnetLoaderGGUF": ("unet_name",),
    "VAELoader": ("vae_name",),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "KSampler": ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        "add_noise", "noise_seed", "steps", "cfg", "sampler_name", "scheduler", "start_at_step", "end_at_step",
        "return_with_leftover_noise",
    ),
    "SamplerCustom": ("add_noise", "noise_seed", "cfg"),
    "RandomNoise": ("noise_seed",),
    "KSamplerSelect": ("sampler_name",),
    "BasicScheduler": ("scheduler", "steps", "denoise"),
    "KarrasScheduler": ("steps", "sigma_max", "sigma_min", "rho"),
    "ExponentialScheduler": ("steps", "sigma_max", "sigma_min"),
    "AlignYourStepsScheduler": ("model_type", "steps", "denoise"),
    "CFGGuider": ("cfg",),
    "DualCFGGuider": ("cfg_conds", "cfg_cond2_negative"),
    "FluxGuidance": ("guidance",),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "EmptySD3LatentImage": ("width", "height", "batch_size"),
    "EmptyHunyuanLatentVideo": ("width", "height", "length", "batch_size"),
    "WanImageToVideo": ("width", "height", "length", "batch_size"),
    "LatentUpscale": ("upscale_method", "width", "height", "crop"),
    "LatentUpscaleBy": ("upscale_method", "scale_by"),
    "SaveImage": ("filename_prefix",),
    "StringConcatenate": ("string_a", "string_b", "delimiter"),
    "ConditioningAverage": ("conditioning_to_strength",),
    "UpscaleModelLoader": ("model_name",),
    "ControlNetLoader": ("control_net_name",),
}  # fmt: skip
"""Names of the widgets of ComfyUI's own nodes, in order: older workflows have the values alone."""


def read_workflow(content: Mapping[str, Any]) -> Graph:
    """Read a workflow of the editor. Muted nodes are left out."""
    graph = Graph()
    definitions = content.get("definitions")
    subgraphs = definitions.get("subgraphs") if isinstance(definitions, dict) else None
    known = {
        part["id"]: part
        for part in (subgraphs[:MAX_NODES] if isinstance(subgraphs, list) else ())
        if isinstance(part, dict) and isinstance(part.get("id"), str)
    }
    _Level(graph, known, content, "", 0).read()
    return graph


class _Level:
    """The nodes of a workflow or of one use of a subgraph, whose ids begin with `prefix`."""

    def __init__(
        self, graph: Graph, known: dict[str, Any], content: Mapping[str, Any], prefix: str, depth: int
    ) -> None:
        self._graph, self._known, self._content = graph, known, content
        self._prefix, self._depth = prefix, depth
        self._links = dict(self._read_links())
        self._stores: dict[str, Any] = {}
        """Values by the name of the set node that has them."""

    def read(self) -> None:
        nodes = self._content.get("nodes")
        gets: list[tuple[str, str]] = []
        for node in islice(nodes if isinstance(nodes, list) else (), MAX_NODES):
            if len(self._graph.nodes) >= MAX_NODES:
                break
            self._graph.count_step()
            if isinstance(node, dict) and isinstance(node.get("type"), str) and isinstance(node.get("id"), str | int):
                self._read_node(f"{self._prefix}{node['id']}", node, gets)
        for id, name in gets:
            if name in self._stores:
                self._graph.aliases[Link(id, 0)] = self._stores[name]

    def _read_node(self, id: str, node: Mapping[str, Any], gets: list[tuple[str, str]]) -> None:
        kind = node["type"]
        widgets = node.get("widgets_values")
        inputs = self._read_inputs(node)
        linked = [value for value in inputs.values() if isinstance(value, Link)]
        first = widgets[0] if isinstance(widgets, list) and widgets else None
        if node.get("mode") == _MUTED:
            return
        if node.get("mode") == _BYPASSED:
            self._pass_through(id, node)
        elif kind == "PrimitiveNode":
            self._graph.aliases[Link(id, 0)] = first
        elif kind.lower().startswith("reroute"):
            self._graph.aliases[Link(id, 0)] = linked[0] if linked else None
        elif kind == "SetNode" and isinstance(first, str):
            self._stores[first] = linked[0] if linked else None
            self._graph.aliases[Link(id, 0)] = self._stores[first]
        elif kind == "GetNode" and isinstance(first, str):
            gets.append((id, first))
        elif kind in self._known and self._depth < _MAX_DEPTH:
            self._read_subgraph(id, node, inputs)
        else:
            self._graph.nodes[id] = Node(id, kind, inputs)

    def _read_inputs(self, node: Mapping[str, Any]) -> dict[str, Any]:
        values = _name_widgets(node)
        for slot in _list_slots(node, "inputs"):
            link = slot.get("link")
            if isinstance(link, int) and link in self._links and isinstance(slot.get("name"), str):
                values[slot["name"]] = self._links[link]
        return values

    def _pass_through(self, id: str, node: Mapping[str, Any]) -> None:
        """Let each output of a bypassed node stand for the first input of its type, or for that with its number."""
        inputs = _list_slots(node, "inputs")
        by_type: dict[str, Any] = {}
        for slot in inputs:
            link = slot.get("link")
            if isinstance(slot.get("type"), str) and isinstance(link, int) and link in self._links:
                by_type.setdefault(slot["type"], self._links[link])
        for number, slot in enumerate(_list_slots(node, "outputs")):
            kind = slot.get("type")
            value = by_type.get(kind) if isinstance(kind, str) else None
            same = inputs[number] if number < len(inputs) else {}
            if same.get("type") == kind and isinstance(link := same.get("link"), int):
                value = self._links.get(link, value)
            self._graph.aliases[Link(id, number)] = value

    def _read_subgraph(self, id: str, node: Mapping[str, Any], inputs: Mapping[str, Any]) -> None:
        content = self._known[node["type"]]
        level = _Level(self._graph, self._known, content, f"{id}:", self._depth + 1)
        for number, slot in enumerate(_list_slots(content, "inputs")):
            self._graph.aliases[Link(f"{id}:{_SUBGRAPH_INPUTS}", number)] = inputs.get(str(slot.get("name")))
        for origin, target in level.read_outputs():
            self._graph.aliases[Link(id, target)] = origin
        level.read()

    def read_outputs(self) -> Iterator[tuple[Link, int]]:
        """Yield what the outputs of a subgraph are linked to, with their numbers."""
        for _, origin, target, number in self._split_links():
            if target == _SUBGRAPH_OUTPUTS:
                yield origin, number

    def _read_links(self) -> Iterator[tuple[int, Link]]:
        for id, origin, _, _ in self._split_links():
            yield id, origin

    def _split_links(self) -> Iterator[tuple[int, Link, str, int]]:
        """Yield id, origin, target node and target number of each link, in either of its two forms."""
        links = self._content.get("links")
        for link in islice(links if isinstance(links, list) else (), 20 * MAX_NODES):
            if self._depth:
                self._graph.count_step()  # a subgraph may be used many times
            if isinstance(link, dict):
                link = [link.get(name) for name in ("id", "origin_id", "origin_slot", "target_id", "target_slot")]
            if isinstance(link, list) and len(link) >= 5 and all(isinstance(part, int | str) for part in link[:5]):
                id, origin, output, target, number = link[:5]
                if isinstance(id, int) and isinstance(output, int) and isinstance(number, int):
                    yield id, Link(f"{self._prefix}{origin}", output), str(target), number


def _list_slots(node: Mapping[str, Any], name: str) -> list[dict[str, Any]]:
    slots = node.get(name)
    return [slot if isinstance(slot, dict) else {} for slot in slots[:MAX_INPUTS]] if isinstance(slots, list) else []


def _name_widgets(node: Mapping[str, Any]) -> dict[str, Any]:
    """Return the values of a node's widgets by name: from the node itself, or as ComfyUI's own nodes have them."""
    values = node.get("widgets_values")
    if isinstance(values, dict):
        return dict(islice(values.items(), MAX_INPUTS))
    if not isinstance(values, list):
        return {}
    names = list(_WIDGETS.get(node["type"], ()))
    if not names:
        for slot in _list_slots(node, "inputs"):
            widget = slot.get("widget")
            if isinstance(widget, dict) and isinstance(name := widget.get("name"), str):
                names.append(name)
    if not names:
        return {f"widget {number}": value for number, value in enumerate(values[:MAX_INPUTS])}
    found: dict[str, Any] = {}
    at = 0
    for name in names:
        found[name] = values[at] if at < len(values) else None
        at += 1
        if name in _SEEDS and at < len(values) and values[at] in _AFTER_SEED:
            at += 1
    return found
