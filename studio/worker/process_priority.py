"""Process priority: the worker yields the processor to the window."""

from __future__ import annotations

import logging
import os

from studio.core.job import Lane

_log = logging.getLogger(__name__)
_NICE = {Lane.INTERACTIVE: 10, Lane.TRAINING: 15}


def lower(lane: Lane) -> None:
    """Lower the priority below the window's, of training below that of pictures. Child processes inherit it."""
    import psutil

    try:
        if os.name == "nt":
            psutil.Process().nice(psutil.BELOW_NORMAL_PRIORITY_CLASS)
        else:
            os.setpriority(os.PRIO_PROCESS, 0, max(_NICE[lane], os.getpriority(os.PRIO_PROCESS, 0)))
    except (OSError, psutil.Error) as error:
        _log.warning("the priority could not be lowered: %s", error)
