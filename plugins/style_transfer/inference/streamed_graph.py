"""A network over a picture of any size, with the statistics of the whole.

Instance normalisation takes mean and deviation over the whole picture, so that a picture that is
painted in tiles with the statistics of each shows their seams. Here each layer that normalises is
reached in a pass of its own: the plane before it is computed in bands of rows, its statistics are
gathered (Chan et al. 1979), and it is kept, in memory or on the disk, as the ground of the next pass.
Each layer is thus computed once, those that are cheap a few times, and the result is that of the whole.
"""

from __future__ import annotations

import operator
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..models import layers
from .feature_map_store import Store
from .feature_maps import Beside, Doubled, Given, Padded, Plane, Pointwise, Spread, Stored, Sum, Window

if TYPE_CHECKING:
    from torch import Tensor, fx, nn

CHEAP, CHEAP_ON_DISK = 60.0, 400.0
"""Multiplications for one value; what takes more, and is needed twice, is kept rather than computed again."""
DEAR = 3000.0
"""What takes more is kept in any case, since neighbouring bands compute some of the same rows."""


def streamed(network: nn.Module, picture: Given, store: Store, tick: Callable[[float], None]) -> Plane:
    """The network's picture of a picture, computed as its rows are asked for.

    All statistics have been gathered when it returns. `tick` is told the share (0..1) of the work
    that is done by then, and may raise. Sides must be multiples of the network's stride. Raises
    NotImplementedError for a layer that is not known here.
    """
    graph = _traced(network)
    layer = dict(network.named_modules())
    planes: dict[Any, Plane] = {}
    nodes = list(graph.nodes)
    last = {used: node for node in nodes for used in node.all_input_nodes}
    for number, node in enumerate(nodes):
        given = [planes[used] for used in node.all_input_nodes]
        if node.op == "placeholder":
            planes[node] = picture
        elif node.op == "output":
            return given[0]
        else:
            told = partial(_part_of, tick, number, len(nodes))
            made = _of_module(layer[node.target], given[0], store, told) if node.op == "call_module" else None
            made = made or _of_function(node.target, given, store, told)
            if _is_worth_keeping(made, [layer.get(user.target) for user in node.users], store):
                made = _passed(made, store, told, None, keep=True)
            planes[node] = made
        for used in node.all_input_nodes:
            if last[used] is node:
                del planes[used]
        del given
    raise NotImplementedError("The network gives nothing.")


def heaviest(network: nn.Module, side: int) -> float:
    """Values per pixel of the picture in the largest plane of a network, tried on `side` px square."""
    import torch

    most = 0

    def look(_module: Any, _given: Any, made: Any) -> None:
        nonlocal most
        most = max(most, made.numel())

    hooks = [module.register_forward_hook(look) for module in network.modules()]
    try:
        parameter = next(network.parameters())
        with torch.inference_mode():
            network(torch.zeros(1, 3, side, side, device=parameter.device, dtype=parameter.dtype))
    finally:
        for hook in hooks:
            hook.remove()
    return most / side**2


def _is_worth_keeping(plane: Plane, users: list[nn.Module | None], store: Store) -> bool:
    """What is normalised next is kept there, while its statistics are gathered."""
    from torch import nn

    if len(users) == 1 and isinstance(users[0], nn.InstanceNorm2d | nn.GroupNorm):
        return False
    if len(users) > 1:
        return _is_dear(plane, store)
    return plane.cost > DEAR and store.has_room(plane.shape)


def _is_dear(plane: Plane, store: Store) -> bool:
    """Whether it is quicker kept than computed twice."""
    return plane.cost > (CHEAP if store.has_memory(plane.shape) else CHEAP_ON_DISK) and store.has_room(plane.shape)


def _traced(network: nn.Module) -> fx.Graph:
    from torch import fx

    whole = (layers.blurred_down(), layers.blurred_up())

    class Tracer(fx.Tracer):
        def is_leaf_module(self, module: nn.Module, name: str) -> bool:
            return isinstance(module, whole) or super().is_leaf_module(module, name)

    return Tracer().trace(network)


def _part_of(tick: Callable[[float], None], number: int, total: int, share: float) -> None:
    tick((number + share) / total)


def _of_function(function: Any, given: list[Plane], store: Store, told: Callable[[float], None]) -> Plane:
    import torch

    if function is torch.cat:
        return Beside(given)
    if function in (operator.add, torch.add):
        return _kept(Sum(*given), store, told)  # else the sums of all blocks would hold on to all their planes
    if function is torch.tanh:
        return Pointwise(given[0], torch.tanh)
    raise NotImplementedError(f"{function} is not known here.")


def _of_module(module: nn.Module, of: Plane, store: Store, told: Callable[[float], None]) -> Plane:
    from torch import nn

    match module:
        case nn.Identity() | nn.Dropout():
            return of
        case nn.ReflectionPad2d():
            return Padded(of, module.padding, "reflect")
        case nn.ReplicationPad2d():
            return Padded(of, module.padding, "replicate")
        case nn.Conv2d():
            return _convolved(module, of)
        case nn.ConvTranspose2d():
            return _spread(module, of)
        case nn.Upsample():
            return Doubled(of, smooth=module.mode == "bilinear")
        case nn.InstanceNorm2d() | nn.GroupNorm():
            return _normalised(module, of, store, told)
        case nn.BatchNorm2d() | nn.ReLU() | nn.LeakyReLU() | nn.Tanh():
            return Pointwise(of, module)
    if isinstance(module, layers.blurred_down()):
        return _blurred_down(module, of)
    if isinstance(module, layers.blurred_up()):
        return _blurred_up(module, of)
    raise NotImplementedError(f"{type(module).__name__} is not known here.")


def _convolved(module: nn.Conv2d, of: Plane) -> Plane:
    from torch.nn import functional

    reach, step = module.kernel_size[0], module.stride[0]
    down, across = _both(module.padding)
    if down or across:
        edge: Any = "constant" if module.padding_mode == "zeros" else module.padding_mode
        of = Padded(of, (across, across, down, down), edge)
    weight, bias, groups = module.weight, module.bias, module.groups
    return Window(
        of,
        lambda rows: functional.conv2d(rows, weight, bias, stride=step, groups=groups),
        module.out_channels,
        reach,
        step,
        weight[0].numel(),
    )


def _spread(module: nn.ConvTranspose2d, of: Plane) -> Plane:
    from torch.nn import functional

    reach, step, more = module.kernel_size[0], module.stride[0], module.output_padding[0]
    down, across = _both(module.padding)
    weight, bias = module.weight, module.bias
    return Spread(
        of,
        lambda rows: functional.conv_transpose2d(
            rows, weight, bias, stride=step, padding=(0, across), output_padding=more
        ),
        module.out_channels,
        reach,
        step,
        down,
        more,
        weight[:, 0].numel() / step**2,
    )


def _blurred_down(module: Any, of: Plane) -> Plane:
    from torch.nn import functional

    channels = of.shape[0]
    return Window(
        Padded(of, (1, 1, 1, 1), "reflect"),
        lambda rows: functional.conv2d(rows, module.filt, stride=2, groups=channels),
        channels,
        3,
        2,
        9,
    )


def _blurred_up(module: Any, of: Plane) -> Plane:
    from torch.nn import functional

    channels = of.shape[0]
    return Spread(
        Padded(of, (1, 1, 1, 1), "replicate"),
        lambda rows: functional.conv_transpose2d(rows, module.filt, stride=2, padding=(0, 3), groups=channels),
        channels,
        4,
        2,
        3,
        0,
        4,
    )


def _both(padding: Any) -> tuple[int, int]:
    return (padding, padding) if isinstance(padding, int) else (padding[0], padding[1])


def _normalised(
    module: nn.InstanceNorm2d | nn.GroupNorm, of: Plane, store: Store, told: Callable[[float], None]
) -> Plane:
    """With the statistics of the whole plane; what is dear to compute is kept on the way."""
    import torch
    from torch import nn

    if isinstance(module, nn.InstanceNorm2d) and module.track_running_stats:
        return Pointwise(of, module)
    keep = _is_dear(of, store)
    gathered = _Statistics(module.num_groups if isinstance(module, nn.GroupNorm) else of.shape[0])
    of = _passed(of, store, told, gathered.take, keep=keep)
    each = of.shape[0] // len(gathered.mean)
    mean = gathered.mean.repeat_interleave(each).float().to(store.device)
    scale = (gathered.variance + module.eps).rsqrt().repeat_interleave(each).float().to(store.device)
    shift = -mean * scale
    if module.weight is not None:
        weight, bias = module.weight.detach(), module.bias.detach()
        scale, shift = scale * weight, shift * weight + bias
    scale, shift = scale[None, :, None, None], shift[None, :, None, None]
    return Pointwise(of, lambda rows: torch.addcmul(shift, rows, scale))


def _kept(of: Plane, store: Store, told: Callable[[float], None]) -> Plane:
    return _passed(of, store, told, None, keep=True)


def _passed(
    of: Plane, store: Store, told: Callable[[float], None], look: Callable[[Tensor], None] | None, *, keep: bool
) -> Plane:
    """Computes a plane from top to bottom, and keeps it where told to."""
    if isinstance(of, Stored):
        keep = False
    room = store.kept(of.shape) if keep else None
    for top, bottom in of.bands(store.band):
        rows = of.rows(top, bottom)
        if look is not None:
            look(rows)
        if room is not None:
            room.write(top, rows)
        told(bottom / of.shape[1])
    return of if room is None else Stored(room)


class _Statistics:
    """Mean and variance of groups of channels, band by band, in double precision."""

    def __init__(self, groups: int) -> None:
        self._groups = groups
        self._count = 0
        self.mean: Any = None
        self._squares: Any = None

    @property
    def variance(self) -> Tensor:
        variance: Tensor = self._squares / self._count
        return variance

    def take(self, rows: Tensor) -> None:
        import torch

        values = rows.reshape(self._groups, -1)
        variance, mean = torch.var_mean(values, 1, correction=0)
        count = values.shape[1]
        mean, squares = mean.cpu().double(), variance.cpu().double() * count
        if not self._count:
            self.mean, self._squares, self._count = mean, squares, count
            return
        total = self._count + count
        apart = mean - self.mean
        self.mean = self.mean + apart * (count / total)
        self._squares = self._squares + squares + apart.square() * (self._count * count / total)
        self._count = total
