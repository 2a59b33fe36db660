"""The samplers by the names that artists know."""

from __future__ import annotations

import warnings
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
    "unipc",
    "ddim",
    "heun",
    "lcm",
]
LABELS = (
    "As the model says",
    "Euler",
    "Euler a",
    "DPM++ 2M",
    "DPM++ 2M Karras",
    "DPM++ SDE",
    "DPM++ 2M SDE",
    "UniPC",
    "DDIM",
    "Heun",
    "LCM",
)

_NOISE: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("EulerDiscreteScheduler", {}),
    "euler_a": ("EulerAncestralDiscreteScheduler", {}),
    "dpmpp_2m": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": False}),
    "dpmpp_2m_karras": ("DPMSolverMultistepScheduler", {"algorithm_type": "dpmsolver++", "use_karras_sigmas": True}),
    "dpmpp_sde": ("DPMSolverSinglestepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "dpmpp_2m_sde": ("DPMSolverMultistepScheduler", {"algorithm_type": "sde-dpmsolver++"}),
    "unipc": ("UniPCMultistepScheduler", {}),
    "ddim": ("DDIMScheduler", {}),
    "heun": ("HeunDiscreteScheduler", {}),
    "lcm": ("LCMScheduler", {}),
}
_FLOW: dict[str, tuple[str, dict[str, Any]]] = {
    "euler": ("FlowMatchEulerDiscreteScheduler", {}),
    "unipc": ("UniPCMultistepScheduler", {"prediction_type": "flow_prediction", "use_flow_sigmas": True}),
}
_ZERO_SNR = (
    "DDIMScheduler",
    "EulerDiscreteScheduler",
    "EulerAncestralDiscreteScheduler",
    "DPMSolverMultistepScheduler",
    "UniPCMultistepScheduler",
    "LCMScheduler",
)
"""Those that can start from pure noise, as models trained with zero terminal signal need."""


def of(scheduler: Any, sampler: Sampler) -> Any:
    """A scheduler for a sampler, with the noise that the model's own `scheduler` says it was trained with.

    Raises BadInput for a sampler that the model's kind of noise does not allow.
    """
    import diffusers

    if sampler == "model":
        return type(scheduler).from_config(scheduler.config)
    flow = type(scheduler).__name__.startswith("FlowMatch") or scheduler.config.get("use_flow_sigmas")
    known = _FLOW if flow else _NOISE
    betas = "beta_schedule" in scheduler.config
    if sampler not in known or not (flow or betas):
        titles = dict(zip(_NAMES, LABELS, strict=True))
        fitting = ", ".join(titles[name] for name in known) if flow or betas else "none"
        raise api.BadInput(
            f"{titles[sampler]} does not fit this model, which works in another way.",
            f"Leave the sampler to the model, or choose one of: {fitting}.",
        )
    name, options = known[sampler]
    if scheduler.config.get("rescale_betas_zero_snr") and name not in _ZERO_SNR:
        raise api.BadInput(
            "This model starts from pure noise, and that sampler cannot.", "Choose DDIM, Euler, DPM++ 2M or UniPC."
        )
    config = {key: value for key, value in scheduler.config.items() if not key.startswith("_")}
    if flow:
        options = {**options, "flow_shift": config.get("shift", 1.0)} if name != type(scheduler).__name__ else options
    kind = getattr(diffusers, name)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        return kind.from_config({**config, **options})


_NAMES: tuple[Sampler, ...] = ("model", *_NOISE)  # type: ignore[assignment]
