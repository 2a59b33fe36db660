"""The samplers by the names that artists know."""

from __future__ import annotations

import inspect
import math
import warnings
from collections.abc import Mapping
from typing import Any, Literal, TypeAlias

from studio import api

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
    "As the model says",
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
SCHEDULE_LABELS = ("As the sampler does", "Karras", "Exponential", "Uniform (SGM, simple)")

_Known: TypeAlias = Mapping[str, tuple[str, Mapping[str, Any]]]
_2M = {"algorithm_type": "dpmsolver++", "solver_order": 2}
_SDE = {"algorithm_type": "sde-dpmsolver++"}
_NOISE: _Known = {
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
_FLOWING = {"prediction_type": "flow_prediction", "use_flow_sigmas": True}
_FLOW: _Known = {
    "euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "heun": ("FlowMatchHeunDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {**_FLOWING, **_2M}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {**_FLOWING, **_SDE, "solver_order": 2}),
    "unipc": ("UniPCMultistepScheduler", _FLOWING),
    "deis": ("DEISMultistepScheduler", {**_FLOWING, "algorithm_type": "deis", "solver_type": "logrho"}),
    "lcm": ("FlowMatchLCMScheduler", {}),
}
_PRECONDITIONED: _Known = {
    "euler": ("EDMEulerScheduler", {}),
    "dpmpp_2m": ("EDMDPMSolverMultistepScheduler", _2M),
    "dpmpp_2m_sde": ("EDMDPMSolverMultistepScheduler", {**_SDE, "solver_order": 2}),
}
"""For models with the preconditioning of Karras et al. 2022 (arXiv 2206.00364), such as Playground 2.5."""
_ZERO_SNR = (
    "DDIMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "LCMScheduler",
    "TCDScheduler",
)
"""Those that can start from pure noise, as models trained with zero terminal signal need."""
_SPACED = {
    "karras": {"use_karras_sigmas": True},
    "exponential": {"use_exponential_sigmas": True},
    "uniform": {"timestep_spacing": "trailing"},
}
_UNSPACED = {"use_karras_sigmas": False, "use_exponential_sigmas": False, "use_beta_sigmas": False}


def build_scheduler(scheduler: Any, sampler: Sampler, schedule: Schedule = "model") -> Any:
    """A scheduler for a sampler, with the noise that the model's own `scheduler` says it was trained with.

    `schedule` says how the steps are spread over the noise. Raises BadInput for a sampler that
    the model's kind of noise does not allow, and for a schedule that the sampler does not have.
    """
    import diffusers

    known = _known(scheduler)
    if sampler == "model":
        kind, options = type(scheduler), {}
    else:
        if sampler not in known:
            raise api.BadInput(
                f"{_title(sampler)} does not fit this model, which works in another way.",
                f"Leave the sampler to the model, or choose one of: {', '.join(map(_title, known)) or 'none'}.",
            )
        name, own = known[sampler]
        kind, options = getattr(diffusers, name), dict(own)
        if scheduler.config.get("rescale_betas_zero_snr") and name not in _ZERO_SNR:
            raise api.BadInput(
                "This model starts from pure noise, and that sampler cannot.", "Choose DDIM, Euler, DPM++ 2M or UniPC."
            )
    if schedule != "model":
        if not _spaces(kind, schedule, known):
            able = [_title(one) for one in known if _spaces(getattr(diffusers, known[one][0]), schedule, known)]
            raise api.BadInput(
                f"{_title(sampler)} has no schedule of that kind with this model.",
                f"Leave the schedule to the sampler, or choose one of: {', '.join(able) or 'none'}.",
            )
        options |= {**_UNSPACED, **_SPACED[schedule]}
    config = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
    if known is _FLOW and kind is not type(scheduler):
        shift = config.get("shift") or config.get("flow_shift") or 1.0
        options |= {"shift": shift, "flow_shift": shift}
        kind = kind if _hears(kind) and hasattr(kind, "scale_noise") else _told_of_flow(kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind.from_config({**config, **options})


def check_steps(scheduler: Any, steps: int | None) -> None:
    """Raises BadInput for more steps than a sampler has: those of LCM and TCD are chosen among a fixed number."""
    asked = inspect.signature(type(scheduler).__init__).parameters
    most = scheduler.config.original_inference_steps if "original_inference_steps" in asked else None
    if most and steps and steps > most:
        raise api.BadInput(
            f"This sampler takes at most {most} steps, and {steps} are needed.",
            "Take fewer, a higher strength, or another sampler.",
        )


def _known(scheduler: Any) -> _Known:
    name = type(scheduler).__name__
    if name.startswith("FlowMatch") or scheduler.config.get("use_flow_sigmas"):
        return _FLOW
    if name.startswith("EDM"):
        return _PRECONDITIONED
    return _NOISE if "beta_schedule" in scheduler.config else {}


def _title(sampler: str) -> str:
    return dict(zip(_NAMES, SAMPLER_LABELS, strict=True))[sampler]


_NAMES = ("model", *_NOISE)


def _spaces(kind: Any, schedule: str, known: _Known) -> bool:
    """Flow samplers that were made for other noise would forget that it is flow."""
    if known is _FLOW and not kind.__name__.startswith("FlowMatch"):
        return False
    return _SPACED[schedule].keys() <= inspect.signature(kind.__init__).parameters.keys()


def _hears(kind: Any) -> bool:
    return {"sigmas", "mu"} <= inspect.signature(kind.set_timesteps).parameters.keys()


def _told_of_flow(kind: Any) -> Any:
    """The sampler with the two calls that pipelines of flow models make, where it lacks them.

    They name their own noise levels, which all begin as evenly spread ones, and with `mu` how
    far these are shifted for the picture's size.
    """

    class ToldOfFlow(kind):  # type: ignore[misc]
        def set_timesteps(
            self,
            num_inference_steps: int | None = None,
            device: Any = None,
            sigmas: Any = None,
            mu: float | None = None,
        ) -> None:
            if _hears(kind):
                super().set_timesteps(num_inference_steps, device=device, sigmas=sigmas, mu=mu)
                return
            if mu is not None and self.config.get("use_dynamic_shifting"):
                shift = mu if self.config.get("time_shift_type") == "linear" else math.exp(mu)
                self.register_to_config(shift=shift, flow_shift=shift)
            super().set_timesteps(num_inference_steps or len(sigmas), device=device)

        def scale_noise(self, sample: Any, timestep: Any, noise: Any) -> Any:
            if hasattr(kind, "scale_noise"):
                return super().scale_noise(sample, timestep, noise)
            return self.add_noise(sample, noise, timestep)

    ToldOfFlow.__name__ = kind.__name__
    return ToldOfFlow
