"""Samplers under the names that artists know, and the diffusers schedulers that they stand for."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Literal, TypeAlias

from studio import api

if TYPE_CHECKING:
    import torch
    from diffusers import SchedulerMixin
    from torch import Tensor

Sampler: TypeAlias = Literal[
    "model",
    "euler",
    "euler_a",
    "dpmpp_2m",
    "dpmpp_2m_karras",
    "dpmpp_sde",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_karras",
    "dpmpp_3m_sde",
    "unipc",
    "ddim",
    "heun",
    "dpm2",
    "dpm2_a",
    "plms",
    "deis",
    "sa_solver",
    "lcm",
    "tcd",
]
SAMPLER_LABELS = (
    "Model default",
    "Euler",
    "Euler a",
    "DPM++ 2M",
    "DPM++ 2M Karras",
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "DPM++ 2M SDE Karras",
    "DPM++ 3M SDE",
    "UniPC",
    "DDIM",
    "Heun",
    "DPM2",
    "DPM2 a",
    "PLMS",
    "DEIS",
    "SA-Solver",
    "LCM",
    "TCD",
)
Schedule: TypeAlias = Literal["model", "karras", "exponential", "uniform"]
SCHEDULE_LABELS = ("Sampler default", "Karras", "Exponential", "Uniform (SGM, simple)")

_Samplers: TypeAlias = Mapping[str, tuple[str, Mapping[str, object]]]
"""Class name in diffusers and configuration by sampler."""
_2M = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_DIFFUSION: _Samplers = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {**_2M, "use_karras_sigmas": False}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {**_2M, "use_karras_sigmas": True}),
    "dpmpp_sde": ("DPMSolverSinglestepScheduler", _SDE),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {**_SDE, "solver_order": 2}),
    "dpmpp_2m_sde_karras": ("DPMSolverMultistepScheduler", {**_SDE, "solver_order": 2, "use_karras_sigmas": True}),
    "dpmpp_3m_sde": ("DPMSolverMultistepScheduler", {**_SDE, "solver_order": 3}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "dpm2": ("KDPM2DiscreteScheduler", {}),
    "dpm2_a": ("KDPM2AncestralDiscreteScheduler", {}),
    "plms": ("PNDMScheduler", {"skip_prk_steps": True}),
    "deis": ("DEISMultistepScheduler", {"algorithm_type": "deis", "solver_type": "logrho"}),
    "sa_solver": ("SASolverScheduler", {"algorithm_type": "data_prediction"}),
    "lcm": ("LCMScheduler", {}),
    "tcd": ("TCDScheduler", {}),
}
_FLOW_CONFIG = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
_FLOW: _Samplers = {
    "euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {**_FLOW_CONFIG, **_2M}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {**_FLOW_CONFIG, **_SDE, "solver_order": 2}),
    "unipc": ("UniPCMultistepScheduler", _FLOW_CONFIG),
    "deis": ("DEISMultistepScheduler", {**_FLOW_CONFIG, "algorithm_type": "deis", "solver_type": "logrho"}),
    "lcm": ("FlowMatchLCMScheduler", {}),
}
_PRECONDITIONED: _Samplers = {
    "euler": ("EDMEulerScheduler", {}),
    "dpmpp_2m": ("EDMDPMSolverMultistepScheduler", _2M),
    "dpmpp_2m_sde": ("EDMDPMSolverMultistepScheduler", {**_SDE, "solver_order": 2}),
}
"""Samplers for models with the preconditioning of Karras et al. 2022 (arXiv 2206.00364), such as Playground 2.5."""
_ZERO_SNR = (
    "DDIMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "LCMScheduler",
    "TCDScheduler",
)
"""Schedulers that can start from pure noise, as models trained with zero terminal SNR need."""
_SCHEDULE_CONFIGS: Mapping[str, Mapping[str, object]] = {
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "uniform": {"timestep_spacing": "trailing"},
}
_NO_SCHEDULE = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}
_SAMPLER_NAMES = ("model", *_DIFFUSION)


def build_scheduler(scheduler: SchedulerMixin, sampler: Sampler, schedule: Schedule = "model") -> SchedulerMixin:
    """Build the scheduler of a sampler for the noise that a model was trained with.

    `scheduler` is the model's own, whose configuration describes that noise. `schedule` chooses how the steps are
    spread over the noise levels. Raises BadInput for a sampler that does not work with the model's kind of noise, and
    for a schedule that the sampler does not have.
    """
    import diffusers

    samplers = _find_samplers(scheduler)
    options: dict[str, object] = {}
    scheduler_class = type(scheduler)
    if sampler != "model":
        if sampler not in samplers:
            raise api.BadInput(
                f"{_format_sampler(sampler)} does not work with this model.",
                f"Use the model's default, or one of: {_join_labels(samplers)}.",
            )
        name, config = samplers[sampler]
        scheduler_class = getattr(diffusers, name)
        options |= config
        if scheduler.config.get("rescale_betas_zero_snr") and name not in _ZERO_SNR:
            raise api.BadInput(
                f"This model starts from pure noise, and {_format_sampler(sampler)} cannot.",
                "Use DDIM, Euler, DPM++ 2M or UniPC.",
            )
    if schedule != "model":
        if not _supports_schedule(scheduler_class, schedule, samplers):
            names = [
                key for key in samplers if _supports_schedule(getattr(diffusers, samplers[key][0]), schedule, samplers)
            ]
            raise api.BadInput(
                f"{_format_sampler(sampler)} does not support this noise schedule with this model.",
                f"Use the sampler's default schedule, or one of these samplers: {_join_labels(names)}.",
            )
        options |= {**_NO_SCHEDULE, **_SCHEDULE_CONFIGS[schedule]}
    config = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
    if samplers is _FLOW and scheduler_class is not type(scheduler):
        shift = config.get("shift") or config.get("flow_shift") or 1.0
        options |= {"shift": shift, "flow_shift": shift}
        if not (_accepts_sigmas(scheduler_class) and hasattr(scheduler_class, "scale_noise")):
            scheduler_class = _adapt_to_flow(scheduler_class)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return scheduler_class.from_config({**config, **options})


def check_steps(scheduler: SchedulerMixin | None, steps: int | None) -> None:
    """Raise BadInput for more steps than a sampler has: LCM and TCD choose theirs among a fixed number."""
    if scheduler is None:
        return
    parameters = inspect.signature(type(scheduler)).parameters
    limit = scheduler.config.original_inference_steps if "original_inference_steps" in parameters else None
    if limit and steps and steps > limit:
        raise api.BadInput(
            f"This sampler supports at most {limit} steps, and {steps} are needed.",
            "Lower the steps, raise the denoising strength, or choose another sampler.",
        )


def _find_samplers(scheduler: SchedulerMixin) -> _Samplers:
    name = type(scheduler).__name__
    if name.startswith("FlowMatch") or scheduler.config.get("use_flow_sigmas"):
        return _FLOW
    if name.startswith("EDM"):
        return _PRECONDITIONED
    return _DIFFUSION if "beta_schedule" in scheduler.config else {}


def _format_sampler(sampler: str) -> str:
    return dict(zip(_SAMPLER_NAMES, SAMPLER_LABELS, strict=True))[sampler]


def _join_labels(samplers: Iterable[str]) -> str:
    return ", ".join(map(_format_sampler, samplers)) or "none"


def _supports_schedule(scheduler_class: type[SchedulerMixin], schedule: str, samplers: _Samplers) -> bool:
    """Check whether a scheduler has the options of a schedule, and keeps its flow configuration with them."""
    if samplers is _FLOW and not scheduler_class.__name__.startswith("FlowMatch"):
        return False
    return _SCHEDULE_CONFIGS[schedule].keys() <= inspect.signature(scheduler_class).parameters.keys()


def _accepts_sigmas(scheduler_class: type[SchedulerMixin]) -> bool:
    return {"sigmas", "mu"} <= inspect.signature(scheduler_class.set_timesteps).parameters.keys()


def _adapt_to_flow(scheduler_class: type[SchedulerMixin]) -> type[SchedulerMixin]:
    """Add the two calls that pipelines of flow models make to a scheduler that lacks them.

    The pipelines pass their own noise levels, which are spread evenly at first, and with `mu` how far to shift them
    for the size of the image.
    """

    class FlowScheduler(scheduler_class):  # type: ignore[misc]
        def set_timesteps(
            self,
            num_inference_steps: int | None = None,
            device: str | torch.device | None = None,
            sigmas: Sequence[float] | None = None,
            mu: float | None = None,
        ) -> None:
            if _accepts_sigmas(scheduler_class):
                super().set_timesteps(num_inference_steps, device=device, sigmas=sigmas, mu=mu)
                return
            if mu is not None and self.config.get("use_dynamic_shifting"):
                shift = mu if self.config.get("time_shift_type") == "linear" else math.exp(mu)
                self.register_to_config(shift=shift, flow_shift=shift)
            super().set_timesteps(num_inference_steps or len([] if sigmas is None else sigmas), device=device)

        def scale_noise(self, sample: Tensor, timestep: Tensor, noise: Tensor) -> Tensor:
            if hasattr(scheduler_class, "scale_noise"):
                scaled: Tensor = super().scale_noise(sample, timestep, noise)
            else:
                scaled = self.add_noise(sample, noise, timestep)
            return scaled

    FlowScheduler.__name__ = scheduler_class.__name__
    return FlowScheduler
