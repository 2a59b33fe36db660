"""State that all tools of a process share, such as the working folder: read before a plugin's code, restored after it.

The random generators are not among it: `seeding` sets them before each job. Nor are signal handlers, which Python lets
only the main thread set, where no plugin runs.
"""

from __future__ import annotations

import gc
import locale
import logging
import operator
import os
import signal
import socket
import sys
import threading
import warnings
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from studio.core.image_limits import PILLOW_MAX_PIXELS
from studio.worker import stdio

_UNKNOWN: Any = object()
_LIBRARY_VARIABLES = ("TORCHINDUCTOR_CACHE_DIR", "LD_LIBRARY_PATH")
"""Variables that torch and OpenCV set when they are imported."""


@dataclass(frozen=True)
class _Item:
    """One piece of state. `initial` is its value after `module` is imported, for plugins that import it first."""

    name: str
    read: Callable[[], Any]
    write: Callable[[Any], object]
    module: str = ""
    initial: Any = _UNKNOWN
    is_same: Callable[[Any, Any], bool] = operator.eq
    """Compares the value before with the value now."""


def read() -> dict[str, Any]:
    """Read the state of what is loaded. Takes less than a millisecond and imports nothing."""
    return {item.name: value for item in _ITEMS if (value := _read_item(item)) is not _UNKNOWN}


def restore(before: Mapping[str, Any]) -> list[str]:
    """Set back what differs from `before`, and return the names of it."""
    changed = []
    for item in _ITEMS:
        wanted, now = before.get(item.name, item.initial), _read_item(item)
        if wanted is _UNKNOWN or now is _UNKNOWN or item.is_same(wanted, now):
            continue
        try:
            item.write(wanted)
        except Exception:
            logging.getLogger(__name__).warning("%s cannot be set back", item.name, exc_info=True)
        changed.append(item.name + _name_keys(wanted, now))
    return changed


def describe(subject: str, changed: list[str]) -> str:
    """Write the sentence about what somebody changed."""
    listed = " and ".join(filter(None, (", ".join(changed[:-1]), changed[-1])))
    return f"{subject} changed {listed}. It was set back, so that other tools are not affected."


def _read_item(item: _Item) -> Any:
    if item.module and item.module not in sys.modules:
        return _UNKNOWN
    with suppress(Exception):  # a library that is half imported by another thread, or mixes its old and new settings
        return item.read()
    return _UNKNOWN


def _name_keys(wanted: object, now: object) -> str:
    if not isinstance(wanted, dict) or not isinstance(now, dict):
        return ""
    keys = sorted(key for key in wanted.keys() | now.keys() if wanted.get(key) != now.get(key))
    return f" ({', '.join(map(str, keys[:5]))}{', …' if len(keys) > 5 else ''})"


def _read_folder() -> str:
    try:
        return os.getcwd()  # noqa: PTH109 - a folder that was deleted has no path
    except OSError:
        return ""


def _write_folder(folder: str) -> None:
    os.chdir(folder or Path.home())


def _read_variables() -> dict[str, str]:
    return {name: value for name, value in os.environ.items() if name not in _LIBRARY_VARIABLES}


def _write_variables(wanted: Mapping[str, str]) -> None:
    for name in _read_variables().keys() - wanted.keys():
        del os.environ[name]
    for name, value in wanted.items():
        if os.environ.get(name) != value:
            os.environ[name] = value


def _read_umask() -> int:
    mask = os.umask(0o077)  # there is no other way to read it; strict, as another thread may create a file meanwhile
    os.umask(mask)
    return mask


def _is_extended(wanted: list[str], now: list[str]) -> bool:
    """Check that new folders stand at the end of a search path, where they shadow nothing."""
    return now[: len(wanted)] == wanted


def _write_search_path(wanted: list[str]) -> None:
    """Restore the order. New folders go to the end, where a plugin still finds modules that it imports later."""
    sys.path[:] = [*wanted, *(folder for folder in sys.path if folder not in wanted)]


def _read_raising_filters() -> list[Any]:
    return [entry for entry in warnings.filters if entry[0] == "error"]


def _write_raising_filters(wanted: list[Any]) -> None:
    filters = [*wanted, *(entry for entry in warnings.filters if entry[0] != "error")]
    warnings.resetwarnings()  # forgets which warnings were shown or raised by the filters so far
    warnings.filters[:] = filters  # type: ignore[index]


def _read_logging() -> tuple[int, int, tuple[logging.Handler, ...]]:
    return logging.root.level, logging.root.manager.disable, tuple(logging.root.handlers)


def _write_logging(wanted: tuple[int, int, tuple[logging.Handler, ...]]) -> None:
    level, disabled, handlers = wanted
    logging.root.setLevel(level)
    logging.disable(disabled)
    logging.root.handlers[:] = handlers


def _write_hooks(wanted: tuple[Any, Any, Any]) -> None:
    sys.excepthook, threading.excepthook, sys.unraisablehook = wanted


def _write_garbage_collection(enabled: bool) -> None:
    (gc.enable if enabled else gc.disable)()


def _module(name: str) -> Any:
    return sys.modules[name]


def _torch() -> Any:
    return sys.modules["torch"]


def _set(module: str, attribute: str) -> Callable[[Any], None]:
    """Return a function that sets an attribute of a loaded module."""
    return lambda value: setattr(sys.modules[module], attribute, value)


def _read_pixel_limit() -> int | None:
    """Read Pillow's limit. Its default counts as the one that the studio sets when it opens its first image."""
    limit = _module("PIL.Image").MAX_IMAGE_PIXELS
    return PILLOW_MAX_PIXELS if limit == 2**30 // 4 // 3 else None if limit is None else int(limit)


def _write_default_device(name: str) -> None:
    _torch().set_default_device(None if name == "cpu" else name)


def _read_deterministic() -> tuple[bool, bool]:
    torch = _torch()
    return torch.are_deterministic_algorithms_enabled(), torch.is_deterministic_algorithms_warn_only_enabled()


def _write_deterministic(wanted: tuple[bool, bool]) -> None:
    _torch().use_deterministic_algorithms(wanted[0], warn_only=wanted[1])


def _read_cudnn() -> tuple[bool, bool, bool]:
    cudnn = _torch().backends.cudnn
    return cudnn.enabled, cudnn.benchmark, cudnn.deterministic


def _write_cudnn(wanted: tuple[bool, bool, bool]) -> None:
    cudnn = _torch().backends.cudnn
    cudnn.enabled, cudnn.benchmark, cudnn.deterministic = wanted


def _read_attention() -> tuple[bool, bool, bool]:
    cuda = _torch().backends.cuda
    return cuda.flash_sdp_enabled(), cuda.mem_efficient_sdp_enabled(), cuda.math_sdp_enabled()


def _write_attention(wanted: tuple[bool, bool, bool]) -> None:
    cuda = _torch().backends.cuda
    for enable, value in zip(
        (cuda.enable_flash_sdp, cuda.enable_mem_efficient_sdp, cuda.enable_math_sdp), wanted, strict=True
    ):
        enable(value)


_TORCH = "torch"
_ITEMS = (
    _Item("its output streams", stdio.read_streams, stdio.write_streams),
    _Item("the working folder", _read_folder, _write_folder),
    _Item("environment variables", _read_variables, _write_variables),
    _Item("the permissions of new files (umask)", _read_umask, os.umask),
    _Item("the order of sys.path", lambda: list(sys.path), _write_search_path, is_same=_is_extended),
    _Item("the locale", lambda: locale.setlocale(locale.LC_ALL), lambda value: locale.setlocale(locale.LC_ALL, value)),
    _Item("which warnings are errors", _read_raising_filters, _write_raising_filters),
    _Item("the log", _read_logging, _write_logging),
    _Item(
        "the hooks for exceptions",
        lambda: (sys.excepthook, threading.excepthook, sys.unraisablehook),
        _write_hooks,
    ),
    _Item("the recursion limit", sys.getrecursionlimit, sys.setrecursionlimit),
    _Item("the garbage collection", gc.isenabled, _write_garbage_collection),
    _Item("the timeout of sockets", socket.getdefaulttimeout, socket.setdefaulttimeout),
    *(
        [
            _Item(
                "an alarm signal",
                lambda: signal.getitimer(signal.ITIMER_REAL)[0] > 0,
                lambda _: signal.setitimer(signal.ITIMER_REAL, 0),
            )
        ]
        if sys.platform != "win32"
        else []
    ),
    _Item(
        "Pillow's limit of pixels",
        _read_pixel_limit,
        _set("PIL.Image", "MAX_IMAGE_PIXELS"),
        "PIL.Image",
        initial=PILLOW_MAX_PIXELS,
    ),
    _Item(
        "whether Pillow opens truncated images",
        lambda: _module("PIL.ImageFile").LOAD_TRUNCATED_IMAGES,
        _set("PIL.ImageFile", "LOAD_TRUNCATED_IMAGES"),
        "PIL.ImageFile",
        initial=False,
    ),
    _Item(
        "numpy's handling of errors",
        lambda: dict(_module("numpy").geterr()),
        lambda value: _module("numpy").seterr(**value),
        "numpy",
        initial={"divide": "warn", "over": "warn", "under": "ignore", "invalid": "warn"},
    ),
    _Item(
        "torch's default dtype",
        lambda: str(_torch().get_default_dtype()).removeprefix("torch."),
        lambda value: _torch().set_default_dtype(getattr(_torch(), value)),
        _TORCH,
        initial="float32",
    ),
    _Item("torch's default device", lambda: str(_torch().get_default_device()), _write_default_device, _TORCH, "cpu"),
    _Item(
        "whether torch records gradients",
        lambda: _torch().is_grad_enabled(),
        lambda value: _torch().set_grad_enabled(value),
        _TORCH,
        initial=True,
    ),
    _Item(
        "torch's number of threads",
        lambda: _torch().get_num_threads(),
        lambda value: _torch().set_num_threads(value),
        _TORCH,
    ),
    _Item("torch's deterministic mode", _read_deterministic, _write_deterministic, _TORCH, (False, False)),
    _Item("the settings of cuDNN", _read_cudnn, _write_cudnn, _TORCH, (True, False, False)),
    _Item("torch's kinds of attention", _read_attention, _write_attention, _TORCH),
    _Item(
        "torch's precision of products",
        lambda: _torch().get_float32_matmul_precision(),
        lambda value: _torch().set_float32_matmul_precision(value),
        _TORCH,
        initial="highest",
    ),
    _Item(
        "torch's detection of anomalies",
        lambda: _torch().is_anomaly_enabled(),
        lambda value: _torch().set_anomaly_enabled(value),
        _TORCH,
        initial=False,
    ),
)
