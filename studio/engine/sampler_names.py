"""Names of samplers and noise schedules in other programs, matched with the choices of a tool."""

from __future__ import annotations

import re

from studio.core.descriptor import Field

_SCHEDULES = {
    "karras": ("karras", "k"),
    "exponential": ("exponential",),
    "uniform": ("sgmuniform", "simple", "trailing"),
    "model": ("automatic", "normal", "default", "uniform", "native"),
}
"""Names of noise schedules in other programs, without spaces and signs, by our choice."""
_SAME_SAMPLERS = {"pndm": "plms", "kdpm2": "dpm2", "kdpm2a": "dpm2a", "dpmppsdek": "dpmppsde", "ddimuniform": "ddim"}
_ENDINGS = re.compile(r"[\s_-](karras|exponential|k)$")


def match_sampler(name: str, sampler: Field, schedule: Field | None) -> dict[str, object]:
    """Return the values for another program's sampler, whose name may end in a schedule; empty if there is none."""
    if (choice := _find_sampler(name, sampler)) is not None:
        return {sampler.name: choice}
    ending = _ENDINGS.search(name.strip().lower())
    if ending is None or schedule is None:
        return {}
    choice = _find_sampler(name.strip()[: ending.start()], sampler)
    values = match_schedule(ending[1], schedule)
    return {sampler.name: choice, **values} if choice is not None and values else {}


def match_schedule(name: str, schedule: Field) -> dict[str, object]:
    """Return the value for another program's noise schedule; empty if there is none."""
    wanted = _simplify(name)
    for choice, names in _SCHEDULES.items():
        if wanted in names and choice in schedule.choices:
            return {schedule.name: choice}
    return {}


def _find_sampler(name: str, field: Field) -> object | None:
    wanted = _simplify_sampler(name)
    wanted = _SAME_SAMPLERS.get(wanted, wanted)
    for choice, label in zip(field.choices, field.labels, strict=False):
        if wanted in (_simplify_sampler(str(choice)), _simplify_sampler(label)):
            return choice
    return None


def _simplify_sampler(name: str) -> str:
    lowered = name.strip().lower().removeprefix("sample_").removeprefix("k_")
    return _simplify(lowered.replace("ancestral", "a").replace("++", "pp")).removesuffix("gpu")


def _simplify(name: str) -> str:
    return "".join(sign for sign in name.lower() if sign.isalnum())
