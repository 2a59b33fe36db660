"""``python -m studio.worker --home DIR --lane interactive``: the process that runs tools.

Modules that take long to import come after `Hello`, so that the studio knows at once that it is up.
"""

from __future__ import annotations

import argparse
import faulthandler
import logging
import os
import signal
from pathlib import Path

from studio.core import parent_watchdog
from studio.core.job import Lane
from studio.core.messages import Hello
from studio.core.paths import Home
from studio.worker import process_priority
from studio.worker.stdio import Outbox, open_log, take_over


def main() -> None:
    options = _parse_options()
    reader, writer = take_over()
    parent_watchdog.start()
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl+C on a terminal is the studio's to handle
    lane = Lane(options.lane)
    process_priority.lower(lane)
    faulthandler.enable()  # a crash in native code leaves its stack in the log
    logging.basicConfig(stream=open_log(), level=logging.INFO, format="%(asctime)s %(levelname)s %(name)s: %(message)s")
    outbox = Outbox(writer)
    outbox.send(Hello(os.getpid()))

    from studio.worker.message_loop import serve

    home = Home(Path(options.home).absolute())
    home.create_folders()
    serve(reader, outbox, home=home, lane=lane, device=options.device, import_limit=options.import_limit)


def _parse_options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="studio.worker", description="Runs tools for the studio.")
    parser.add_argument("--home", required=True, help="the studio's home")
    parser.add_argument("--lane", choices=[lane.value for lane in Lane], default=Lane.INTERACTIVE.value)
    parser.add_argument("--device", default="auto", help="auto, or a torch device such as cpu, cuda:0, mps, xpu")
    parser.add_argument("--import-limit", type=float, default=30.0, help="seconds for the import of one plugin")
    return parser.parse_args()


if __name__ == "__main__":
    main()
