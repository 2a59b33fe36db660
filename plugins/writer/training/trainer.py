"""Language models learn: what comes next, or what stands in the gaps. Everything random follows from seed and step."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from studio import api

from .token_streams import Streams

if TYPE_CHECKING:
    from torch import Tensor

HIDDEN = 0.3
"""The share of tokens that a masked model has to guess (Wettig and others 2023, arXiv 2202.08005); of these 80 % are
hidden and 10 % are others (BERT)."""
MEASURED = 160
"""Held-out windows that are measured, at most."""


@dataclass(frozen=True)
class Plan:
    """Numbers of a training. The learning rate warms up in a line, and falls to a tenth along a cosine."""

    steps: int
    learning_rate: float
    batch: int
    context: int
    ema: float = 0.999
    seed: int = 0
    device: str = "cpu"

    def rate(self, step: int) -> float:
        warm_up = min(200, self.steps // 10)
        if step < warm_up:
            return self.learning_rate * (step + 1) / warm_up
        done = (step - warm_up) / max(1, self.steps - warm_up)
        return self.learning_rate * (0.55 + 0.45 * math.cos(math.pi * min(1.0, done)))


class Trainer(api.training.Training):
    """Trains what of a causal model asks for gradients on `learn`, or with `mask` (the token of a gap) a masked one."""

    def __init__(self, model: Any, learn: Streams, plan: Plan, keep: Path, *, mask: int | None = None) -> None:
        import torch

        self.model = model.to(plan.device).train()
        frozen = {id(value): value for value in self.model.parameters() if not value.requires_grad}
        self.ema = copy.deepcopy(self.model, dict(frozen)).eval().requires_grad_(False)
        self.learn, self.plan, self.mask = learn, plan, mask
        values = [value for value in self.model.parameters() if value.requires_grad]
        groups = [
            {"params": [value for value in values if value.ndim > 1], "weight_decay": 0.1},
            {"params": [value for value in values if value.ndim <= 1], "weight_decay": 0.0},
        ]
        super().__init__(
            keep,
            networks={"model": self.model},
            averages={"ema": (self.ema, self.model)},
            optimizers={"optimizer": torch.optim.AdamW(groups, betas=(0.9, 0.95))},
            learning_rate=plan.rate,
            ema=plan.ema,
        )

    def status(self) -> str:
        return f"loss {self.state.loss:.3f}"

    def step(self) -> None:
        import torch

        plan, step = self.plan, self.state.step
        tokens = torch.from_numpy(self.learn.windows(plan.batch, plan.context, plan.seed, step))
        seen, wanted = self._task(tokens, (plan.seed, step))
        self.model.train()
        with api.training.autocast(plan.device):
            loss = self.model(input_ids=seen.to(plan.device), labels=wanted.to(plan.device)).loss
        self.finish_step(self.optimizer_step(loss))

    def measure(self, held: Streams) -> float:
        """The averaged model's perplexity on held-out windows: of the next token, or of the hidden ones."""
        import torch

        windows = torch.from_numpy(held.in_order(self.plan.context, MEASURED))
        total = count = 0.0
        with torch.inference_mode():
            for number, part in enumerate(windows.split(8)):
                seen, wanted = self._task(part, (0, number))
                loss = self.ema(input_ids=seen.to(self.plan.device), labels=wanted.to(self.plan.device)).loss
                tokens = int((wanted[:, 1:] >= 0).sum()) if self.mask is None else int((wanted >= 0).sum())
                total, count = total + float(loss) * tokens, count + tokens
        return math.exp(min(50.0, total / max(1.0, count)))

    def _task(self, tokens: Tensor, chance: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """(what the model sees, what it is to say there): [n, length] each, -100 where nothing is asked."""
        import torch

        if self.mask is None:
            return tokens, tokens
        dice = np.random.default_rng((*chance, 1))
        asked = dice.uniform(size=tokens.shape) < HIDDEN
        asked[:, 0] |= ~asked.any(axis=1)
        fate = dice.uniform(size=tokens.shape)
        others = dice.choice(tokens.flatten().numpy(), size=tokens.shape)
        seen = np.where(asked & (fate < 0.8), self.mask, np.where(asked & (fate > 0.9), others, tokens.numpy()))
        wanted = np.where(asked, tokens.numpy(), -100)
        return torch.from_numpy(seen), torch.from_numpy(wanted)
