"""Train causal and masked language models. Everything random depends on seed and step only."""

from __future__ import annotations

import copy
import math
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from studio import api

from .token_streams import TokenStreams

if TYPE_CHECKING:
    from torch import Tensor
    from transformers import PreTrainedModel

MASKED_FRACTION = 0.3
"""Fraction of tokens that a masked model has to predict (Wettig et al. 2023, arXiv 2202.08005).

80 % of them are replaced by the mask token and 10 % by other tokens (BERT)."""
EVALUATION_WINDOWS = 160
"""Maximum number of held-out windows in an evaluation."""
EVALUATION_BATCH = 8
WARM_UP_STEPS = 200


@dataclass(frozen=True)
class TrainingPlan:
    """Hyperparameters."""

    steps: int
    learning_rate: float
    batch: int
    context: int
    ema: float = 0.999
    seed: int = 0
    device: str = "cpu"

    def build_schedule(self) -> api.training.LearningRateSchedule:
        """Return a learning rate with a linear warm-up, then a cosine decay to a tenth."""
        warm_up = min(WARM_UP_STEPS, self.steps // 10)
        return api.training.LearningRateSchedule(self.steps, self.learning_rate, warm_up=warm_up, floor=0.1)


class Trainer(api.training.Training):
    """Trains the parameters of a model that require gradients: a causal model, or with `mask_token` a masked one."""

    def __init__(
        self,
        model: PreTrainedModel,
        streams: TokenStreams,
        plan: TrainingPlan,
        checkpoint_dir: Path,
        *,
        mask_token: int | None = None,
    ) -> None:
        import torch

        self.model = model.to(plan.device).train()
        frozen = {id(value): value for value in self.model.parameters() if not value.requires_grad}
        self.ema = copy.deepcopy(self.model, dict(frozen)).eval().requires_grad_(False)
        self.streams, self.plan, self.mask_token = streams, plan, mask_token
        names = {name for name, value in self.model.named_parameters() if value.requires_grad}
        self.best = api.training.BestWeights(self.ema, checkpoint_dir, score_key="perplexity", names=names)
        self.micro_batches, self.is_checkpointing = api.training.MicroBatches(), False
        trained = [value for value in self.model.parameters() if value.requires_grad]
        groups = [
            {"params": [value for value in trained if value.ndim > 1], "weight_decay": 0.1},
            {"params": [value for value in trained if value.ndim <= 1], "weight_decay": 0.0},
        ]
        super().__init__(
            checkpoint_dir,
            networks={"model": self.model},
            averages={"ema": (self.ema, self.model)},
            optimizers={"optimizer": torch.optim.AdamW(groups, betas=(0.9, 0.95))},
            schedule=plan.build_schedule(),
            ema=plan.ema,
        )

    def status(self) -> str:
        return f"loss {self.state.loss:.3f}"

    def step(self) -> None:
        import torch

        plan, step = self.plan, self.state.step
        tokens = torch.from_numpy(self.streams.sample_windows(plan.batch, plan.context, plan.seed, step))
        inputs, labels = self._prepare_batch(tokens, (plan.seed, step))
        self.model.train()
        total = self._count_predicted(labels)

        def compute_loss(part: slice) -> Tensor:
            """Return the share of some sequences in the mean loss of the batch."""
            own, targets = inputs[part].to(plan.device), labels[part].to(plan.device)
            with api.training.autocast(plan.device):
                loss: Tensor = self.model(input_ids=own, labels=targets).loss
            return loss if len(own) == len(inputs) else loss * (self._count_predicted(targets) / total)

        parts = [part for part in self.micro_batches.split(len(inputs)) if self._count_predicted(labels[part])]
        if len(parts) == 1:
            self.finish_step(self.optimizer_step(compute_loss(parts[0])))
        else:
            self.finish_step(self.accumulate_optimizer_step([partial(compute_loss, part) for part in parts]))

    def reduce_memory(self) -> str:
        """Compute activations again, then the batch in parts."""
        if not self.is_checkpointing:
            self.is_checkpointing = True
            api.training.enable_checkpointing(self.model)
            return api.training.CHECKPOINTING
        return self.micro_batches.increase()

    def _count_predicted(self, labels: Tensor) -> int:
        predicted = labels[:, 1:] if self.mask_token is None else labels
        return int((predicted >= 0).sum())

    def evaluate(self, held_out: TokenStreams) -> float:
        """Return the perplexity on held-out text, and save the EMA weights if it is the lowest so far."""
        perplexity = self.evaluate_perplexity(held_out)
        self.best.update(perplexity, step=self.state.step)
        self.report_score("held-out perplexity", perplexity)
        return perplexity

    def resume(self) -> bool:
        if not super().resume():
            return False
        self.best.resume()
        return True

    def evaluate_perplexity(self, held_out: TokenStreams) -> float:
        """Return the perplexity of the EMA model on held-out text, of the next or of the masked tokens."""
        import torch

        windows = torch.from_numpy(held_out.split_windows(self.plan.context, EVALUATION_WINDOWS))
        total = count = 0.0
        with torch.inference_mode():
            for number, batch in enumerate(torch.split(windows, EVALUATION_BATCH)):
                inputs, labels = self._prepare_batch(batch, (0, number))
                loss = self.ema(input_ids=inputs.to(self.plan.device), labels=labels.to(self.plan.device)).loss
                tokens = self._count_predicted(labels)
                total, count = total + float(loss) * tokens, count + tokens
        return math.exp(min(50.0, total / max(1.0, count)))

    def _prepare_batch(self, tokens: Tensor, seed: tuple[int, int]) -> tuple[Tensor, Tensor]:
        """Return (inputs, labels), each [n, length], with label -100 where nothing is predicted."""
        import torch

        if self.mask_token is None:
            return tokens, tokens
        generator = np.random.default_rng((*seed, 1))
        is_predicted = generator.uniform(size=tokens.shape) < MASKED_FRACTION
        is_predicted[:, 0] |= ~is_predicted.any(axis=1)
        draw = generator.uniform(size=tokens.shape)
        others = generator.choice(tokens.flatten().numpy(), size=tokens.shape)
        replaced = np.where(is_predicted & (draw > 0.9), others, tokens.numpy())
        inputs = np.where(is_predicted & (draw < 0.8), self.mask_token, replaced)
        labels = np.where(is_predicted, tokens.numpy(), -100)
        return torch.from_numpy(inputs), torch.from_numpy(labels)
