"""Steps of the optimizers of a training, with the gradient computed at once, in parts, or in parallel."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

from studio.api.training.state import NotFiniteError

if TYPE_CHECKING:
    import torch
    from torch import Tensor

    Gradients = tuple[Tensor | None, ...]


class OptimizerSteps:
    """The optimizers of a training by name."""

    _optimizers: Mapping[str, torch.optim.Optimizer]
    updates = 0
    """Number of updates of the weights in the current step."""

    @property
    def current_learning_rate(self) -> float:
        """The learning rate of the current step."""
        raise NotImplementedError

    def optimizer_step(self, loss: Tensor, optimizer: str = "optimizer", *, clip: float = 1.0) -> float:
        """Take one step of an optimizer along the gradient of `loss`, clipped to the norm `clip`. Returns the loss.

        Raises NotFiniteError, leaving the weights as they were.
        """
        import torch

        self._optimizers[optimizer].zero_grad(set_to_none=True)
        torch.autograd.backward(loss)
        return self._apply_gradients(float(loss.detach()), optimizer, clip)

    def accumulate_optimizer_step(
        self, losses: Sequence[Callable[[], Tensor]], optimizer: str = "optimizer", *, clip: float = 1.0
    ) -> float:
        """Take one step as `optimizer_step` does for the sum of losses, computing one after the other.

        Only one loss needs memory at a time, so that a large batch fits in parts. Returns the sum.
        """
        import torch

        self._optimizers[optimizer].zero_grad(set_to_none=True)
        total = 0.0
        for compute in losses:
            loss = compute()
            torch.autograd.backward(loss)
            total += float(loss.detach())
        return self._apply_gradients(total, optimizer, clip)

    def parallel_optimizer_step(
        self, losses: Sequence[Callable[[], Tensor]], optimizer: str = "optimizer", *, clip: float = 1.0
    ) -> float:
        """Take one step as `optimizer_step` does for the sum of losses, computing each in its own thread on one core.

        On a CPU a small network trains faster on parts of a batch side by side than with operations that share the
        cores. A single loss uses all cores.
        """
        import torch

        if len(losses) == 1:
            return self.optimizer_step(losses[0](), optimizer, clip=clip)
        cores = torch.get_num_threads()
        parameters = self._parameters_of(optimizer)

        def compute(loss: Callable[[], Tensor]) -> tuple[float, Gradients]:
            torch.set_num_threads(1)
            value = loss()
            return float(value.detach()), torch.autograd.grad(value, parameters, allow_unused=True)

        try:
            with ThreadPoolExecutor(len(losses)) as threads:
                parts = [*threads.map(compute, losses)]
        finally:
            torch.set_num_threads(cores)
        for number, parameter in enumerate(parameters):
            gradients = [gradient for _, part in parts if (gradient := part[number]) is not None]
            parameter.grad = sum(gradients[1:], gradients[0]) if gradients else None
        return self._apply_gradients(sum(loss for loss, _ in parts), optimizer, clip)

    def _parameters_of(self, optimizer: str) -> list[Tensor]:
        return [value for group in self._optimizers[optimizer].param_groups for value in group["params"]]

    def _apply_gradients(self, loss: float, optimizer: str, clip: float) -> float:
        import torch

        stepping = self._optimizers[optimizer]
        for group in stepping.param_groups:
            group["lr"] = self.current_learning_rate * group.get("rate_factor", 1.0)
        norm = torch.nn.utils.clip_grad_norm_(self._parameters_of(optimizer), clip)
        if not math.isfinite(loss + float(norm)):
            raise NotFiniteError
        self.updates += 1
        stepping.step()
        return loss
