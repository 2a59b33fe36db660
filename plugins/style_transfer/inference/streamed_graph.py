"""Runs a network on an image of any size, with normalisation statistics of the whole image.

Instance normalisation takes mean and variance over the whole image, so that tiles with statistics of their own show
seams. Here each normalisation layer is reached by a pass of its own: the feature map before it is computed in bands of
rows, its statistics are accumulated (Chan et al. 1979), and it is stored, in memory or on the disk, as the start of the
next pass. Thus each layer is computed once, or a few times where it is cheap, and the result is that of the whole.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, TypeAlias

from ..models import layers
from .feature_map_store import FeatureMapStore
from .feature_maps import (
    Concatenation,
    Convolution,
    FeatureMap,
    InputMap,
    Padding,
    PaddingMode,
    Pointwise,
    StoredMap,
    Sum,
    TransposedConvolution,
    Upsampling,
)

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

REUSE_COST, REUSE_COST_ON_DISK = 60.0, 400.0
"""Multiplications for one value above which a feature map that is used twice is stored rather than computed again."""
MAX_COST = 3000.0
"""Multiplications for one value above which a feature map is always stored, since bands overlap."""
ReportProgress: TypeAlias = Callable[[float], None]
"""Gets the fraction of the work that is done (0..1), and may raise to end it."""


def stream_network(
    network: nn.Module, image: InputMap, store: FeatureMapStore, report_progress: ReportProgress
) -> FeatureMap:
    """Return the network's output for an image as a lazy feature map.

    All statistics are known when it returns. `report_progress` gets the fraction (0..1) of that work, and may raise.
    The sides of the image must be multiples of the network's stride. Raises NotImplementedError for a layer that is not
    supported.
    """
    graph = _trace(network)
    modules = dict(network.named_modules())
    maps: dict[fx.Node, FeatureMap] = {}
    nodes = list(graph.nodes)
    last_use = {used: node for node in nodes for used in node.all_input_nodes}
    for number, node in enumerate(nodes):
        inputs = [maps[used] for used in node.all_input_nodes]
        if node.op == "placeholder":
            maps[node] = image
        elif node.op == "output":
            return inputs[0]
        else:
            report = partial(_report_part, report_progress, number, len(nodes))
            if node.op == "call_module":
                output = _apply_module(modules[node.target], inputs[0], store, report)
            else:
                output = _apply_function(node.target, inputs, store, report)
            if _is_worth_storing(output, [modules.get(user.target) for user in node.users], store):
                output = _store_map(output, store, report)
            maps[node] = output
        for used in node.all_input_nodes:
            if last_use[used] is node:
                del maps[used]
        del inputs
    raise NotImplementedError("The network has no output.")


def _is_worth_storing(feature_map: FeatureMap, users: list[nn.Module | None], store: FeatureMapStore) -> bool:
    """Check whether to store a feature map. The input of a normalisation is stored by the latter's own pass."""
    from torch import nn

    if len(users) == 1 and isinstance(users[0], nn.InstanceNorm2d | nn.GroupNorm):
        return False
    if len(users) > 1:
        return _is_cheaper_to_store(feature_map, store)
    return feature_map.cost > MAX_COST and store.has_space(feature_map.shape)


def _is_cheaper_to_store(feature_map: FeatureMap, store: FeatureMapStore) -> bool:
    """Check whether storing a feature map is faster than computing it twice."""
    max_cost = REUSE_COST if store.fits_in_memory(feature_map.shape) else REUSE_COST_ON_DISK
    return feature_map.cost > max_cost and store.has_space(feature_map.shape)


def _trace(network: nn.Module) -> fx.Graph:
    from torch import fx

    leaves = (layers.get_blur_downsample(), layers.get_blur_upsample())

    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return isinstance(module, leaves) or super().is_leaf_module(module, name)

    return Tracer().trace(network)


def _report_part(report_progress: ReportProgress, number: int, total: int, fraction: float) -> None:
    report_progress((number + fraction) / total)


def _apply_function(
    function: object, inputs: list[FeatureMap], store: FeatureMapStore, report_progress: ReportProgress
) -> FeatureMap:
    import torch

    if function is torch.cat:
        return Concatenation(inputs)
    if function in (operator.add, torch.add):
        # Else the sums of all residual blocks would hold on to all their feature maps.
        return _store_map(Sum(*inputs), store, report_progress)
    if function is torch.tanh:
        return Pointwise(inputs[0], torch.tanh)
    raise NotImplementedError(f"{function} is not supported.")


def _apply_module(
    module: nn.Module, source: FeatureMap, store: FeatureMapStore, report_progress: ReportProgress
) -> FeatureMap:
    from torch import nn

    match module:
        case nn.Identity() | nn.Dropout():
            return source
        case nn.ReflectionPad2d():
            return Padding(source, module.padding, "reflect")
        case nn.ReplicationPad2d():
            return Padding(source, module.padding, "replicate")
        case nn.Conv2d():
            return _apply_convolution(module, source)
        case nn.ConvTranspose2d():
            return _apply_transposed_convolution(module, source)
        case nn.Upsample():
            return Upsampling(source, bilinear=module.mode == "bilinear")
        case nn.InstanceNorm2d() | nn.GroupNorm():
            return _apply_norm(module, source, store, report_progress)
        case nn.BatchNorm2d() | nn.ReLU() | nn.LeakyReLU() | nn.Tanh():
            return Pointwise(source, module)
    if isinstance(module, layers.get_blur_downsample()):
        return _apply_blur_downsample(module.get_buffer("filt"), source)
    if isinstance(module, layers.get_blur_upsample()):
        return _apply_blur_upsample(module.get_buffer("filt"), source)
    raise NotImplementedError(f"{type(module).__name__} is not supported.")


def _apply_convolution(module: nn.Conv2d, source: FeatureMap) -> FeatureMap:
    from torch.nn import functional

    kernel, stride = module.kernel_size[0], module.stride[0]
    rows, columns = _to_pair(module.padding)
    if rows or columns:
        mode: PaddingMode = "constant" if module.padding_mode == "zeros" else module.padding_mode  # type: ignore[assignment]
        source = Padding(source, (columns, columns, rows, rows), mode)
    weight, bias, groups = module.weight, module.bias, module.groups
    return Convolution(
        source,
        lambda values: functional.conv2d(values, weight, bias, stride=stride, groups=groups),
        module.out_channels,
        kernel,
        stride,
        weight[0].numel(),
    )


def _apply_transposed_convolution(module: nn.ConvTranspose2d, source: FeatureMap) -> FeatureMap:
    from torch.nn import functional

    kernel, stride, output_padding = module.kernel_size[0], module.stride[0], module.output_padding[0]
    rows, columns = _to_pair(module.padding)
    weight, bias = module.weight, module.bias
    return TransposedConvolution(
        source,
        lambda values: functional.conv_transpose2d(
            values, weight, bias, stride=stride, padding=(0, columns), output_padding=output_padding
        ),
        module.out_channels,
        kernel,
        stride,
        rows,
        output_padding,
        weight[:, 0].numel() / stride**2,
    )


def _apply_blur_downsample(kernel: Tensor, source: FeatureMap) -> FeatureMap:
    from torch.nn import functional

    channels = source.shape[0]
    return Convolution(
        Padding(source, (1, 1, 1, 1), "reflect"),
        lambda values: functional.conv2d(values, kernel, stride=2, groups=channels),
        channels,
        3,
        2,
        9,
    )


def _apply_blur_upsample(kernel: Tensor, source: FeatureMap) -> FeatureMap:
    from torch.nn import functional

    channels = source.shape[0]
    return TransposedConvolution(
        Padding(source, (1, 1, 1, 1), "replicate"),
        lambda values: functional.conv_transpose2d(values, kernel, stride=2, padding=(0, 3), groups=channels),
        channels,
        4,
        2,
        3,
        0,
        4,
    )


def _to_pair(padding: int | tuple[int, ...] | str) -> tuple[int, int]:
    if isinstance(padding, str):
        raise NotImplementedError(f"The padding {padding} is not supported.")
    return (padding, padding) if isinstance(padding, int) else (padding[0], padding[1])


def _apply_norm(
    module: nn.InstanceNorm2d | nn.GroupNorm,
    source: FeatureMap,
    store: FeatureMapStore,
    report_progress: ReportProgress,
) -> FeatureMap:
    """Normalise with the statistics of the whole feature map, which is stored where it is expensive to compute."""
    import torch
    from torch import nn

    if isinstance(module, nn.InstanceNorm2d) and module.track_running_stats:
        return Pointwise(source, module)
    statistics = _Statistics(module.num_groups if isinstance(module, nn.GroupNorm) else source.shape[0])
    stored = _is_cheaper_to_store(source, store)
    source = _run_pass(source, store, report_progress, inspect=statistics.update, store_result=stored)
    group_size = source.shape[0] // len(statistics.mean)
    mean = statistics.mean.repeat_interleave(group_size).float().to(store.device)
    scale = (statistics.variance + module.eps).rsqrt().repeat_interleave(group_size).float().to(store.device)
    shift = -mean * scale
    if module.weight is not None:
        weight, bias = module.weight.detach(), module.bias.detach()
        scale, shift = scale * weight, shift * weight + bias
    scale, shift = scale[None, :, None, None], shift[None, :, None, None]
    return Pointwise(source, lambda values: torch.addcmul(shift, values, scale))


def _store_map(source: FeatureMap, store: FeatureMapStore, report_progress: ReportProgress) -> FeatureMap:
    return _run_pass(source, store, report_progress, store_result=True)


def _run_pass(
    source: FeatureMap,
    store: FeatureMapStore,
    report_progress: ReportProgress,
    *,
    inspect: Callable[[Tensor], None] | None = None,
    store_result: bool,
) -> FeatureMap:
    """Compute a feature map from top to bottom. Returns it, stored if `store_result`."""
    if isinstance(source, StoredMap):
        store_result = False
    buffer = store.allocate(source.shape) if store_result else None
    for top, bottom in source.split_into_bands(store.band_bytes):
        rows = source.compute_rows(top, bottom)
        if inspect is not None:
            inspect(rows)
        if buffer is not None:
            buffer.write(top, rows)
        report_progress(bottom / source.shape[1])
    return source if buffer is None else StoredMap(buffer)


class _Statistics:
    """Mean and variance of groups of channels, accumulated band by band in double precision."""

    mean: Tensor
    _squares: Tensor

    def __init__(self, groups: int) -> None:
        self._groups = groups
        self._count = 0

    @property
    def variance(self) -> Tensor:
        return self._squares / self._count

    def update(self, rows: Tensor) -> None:
        import torch

        values = rows.reshape(self._groups, -1)
        variance, mean = torch.var_mean(values, 1, correction=0)
        count = values.shape[1]
        mean, squares = mean.cpu().double(), variance.cpu().double() * count
        if not self._count:
            self.mean, self._squares, self._count = mean, squares, count
            return
        total = self._count + count
        difference = mean - self.mean
        self.mean = self.mean + difference * (count / total)
        self._squares = self._squares + squares + difference.square() * (self._count * count / total)
        self._count = total
