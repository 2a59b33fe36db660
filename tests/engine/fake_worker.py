"""A worker that performs the steps in a recipe's params, over the real message frames and without plugins.

`steps` is a list of words, each with its values:
progress STEP, preview, save, checkpoint, crash STATUS, signal NAME, hang, deaf (ignores cancels), nonsense,
wait (until cancelled or paused), fail, timing WORK SECONDS,
measured WORK SECONDS.
"""

from __future__ import annotations

import argparse
import hashlib
import os
import signal
import struct
import sys
import threading
import zlib
from pathlib import Path
from queue import SimpleQueue
from typing import BinaryIO

from studio.core import messages
from studio.core.descriptor import Catalogue, DeviceReport, PluginDescriptor, ToolDescriptor
from studio.core.errors import Failure, FailureKind

TOOLS = (
    ToolDescriptor(id="fake.paint", title="Paint", plugin="fake"),
    ToolDescriptor(id="fake.train", title="Train", plugin="fake", lane="training", pausable=True),
)
CATALOGUE = Catalogue((PluginDescriptor(name="fake", tools=TOOLS),))


class FakeWorker:
    def __init__(self, home: Path, output: BinaryIO) -> None:
        self.home = home
        self.output = output
        self.lock = threading.Lock()
        self.requests: SimpleQueue[str] = SimpleQueue()
        self.jobs: SimpleQueue[messages.RunJob | None] = SimpleQueue()
        self.timing: messages.JobTiming | None = None

    def send(self, message: messages.FromWorker) -> None:
        with self.lock:
            messages.write(self.output, message)

    def serve(self, stream: BinaryIO) -> None:
        threading.Thread(target=self.run_jobs, daemon=True).start()
        while (message := messages.read_to_worker(stream)) is not None:
            match message:
                case messages.RunJob():
                    self.jobs.put(message)
                case messages.EstimateRequest(id=id, values=values):
                    self.send(
                        messages.EstimateResult(id=id, memory=7, work=4.0, rate="paint", notes=values, device="easel")
                    )
                case messages.Cancel():
                    self.requests.put("cancel")
                case messages.Pause():
                    self.requests.put("pause")
                case messages.FreeMemory():
                    self.send(messages.MemoryFreed(5 * 2**20))
                case messages.Reload():
                    self.send(messages.Ready(CATALOGUE, DeviceReport()))
                case messages.Shutdown():
                    os._exit(0)
        os._exit(0)

    def run_jobs(self) -> None:
        while (run := self.jobs.get()) is not None:
            for step in run.recipe.params.get("steps", ["save"]):
                if not self.perform(run, *str(step).split()):
                    break
            else:
                self.send(messages.JobFinished(run.job, self.timing))

    def perform(self, run: messages.RunJob, step: str, *values: str) -> bool:
        """Perform one step. Returns False when the job has ended."""
        match step:
            case "progress":
                self.send(messages.JobProgress(run.job, float(values[0]), 10))
            case "preview":
                self.send(messages.PreviewFrame(job=run.job, width=1, height=1, pixels=b"\1\2\3"))
            case "save":
                path = save(self.home, run)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                self.send(messages.ResultSaved(job=run.job, path=str(path), digest=digest))
            case "checkpoint":
                runs = Path(run.checkpoint_dir) / "runs"
                runs.parent.mkdir(parents=True, exist_ok=True)
                runs.write_text(runs.read_text() + "x" if runs.exists() else "x")
                self.send(messages.JobNotice(run.job, runs.read_text()))
            case "crash":
                sys.stderr.write("the end is near\n")
                sys.stderr.flush()
                os._exit(int(values[0]))
            case "signal":
                os.kill(os.getpid(), getattr(signal, values[0]))
                threading.Event().wait()  # another thread may be the one that receives it
            case "hang":
                os.kill(os.getpid(), signal.SIGSTOP)
                threading.Event().wait()  # the stop may take effect a little later
            case "deaf":
                self.send(messages.JobProgress(run.job, 0, 1, "deaf"))
                threading.Event().wait()
            case "nonsense":
                with self.lock:
                    self.output.write(b"\0\0\0\3abc")
                    self.output.flush()
            case "wait":
                self.send(messages.JobProgress(run.job, 0, 1, "waiting"))
                request = self.requests.get()
                self.send(messages.JobPaused(run.job) if request == "pause" else messages.JobCancelled(run.job))
                return False
            case "timing":
                work, seconds = map(float, values)
                self.timing = messages.JobTiming(rate="paint", work=work, seconds=seconds, device="easel")
            case "measured":
                work, seconds = map(float, values)
                part = messages.JobTiming(rate="paint", work=work, seconds=seconds, device="easel")
                self.send(messages.WorkMeasured(run.job, part))
            case "full":
                failure = Failure(FailureKind.CANNOT_WRITE, "The disk is full.")
                self.send(messages.JobPaused(run.job, failure))
                return False
            case "fail":
                self.send(messages.JobFailed(run.job, Failure(FailureKind.FAILED, "No paint is left.")))
                return False
        return True


def save(home: Path, run: messages.RunJob) -> Path:
    """Save an image of one pixel, its colour the job's, with the recipe inside."""
    folder = home / "library" / "2026" / "11" / "22"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.recipe.tool}-{run.recipe.seed}-{run.job}-{os.urandom(3).hex()}.png"
    part = path.with_name(f".part-{path.name}")
    part.write_bytes(encode_png(run))
    part.replace(path)
    return path


def encode_png(run: messages.RunJob) -> bytes:
    def chunk(kind: bytes, body: bytes) -> bytes:
        return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))

    recipe = b"studio_recipe\0\0\0\0\0" + run.recipe.to_json().encode()
    pixel = zlib.compress(b"\0" + hashlib.sha256(run.job.encode() + os.urandom(4)).digest()[:3])
    parts = [
        chunk(b"IHDR", struct.pack(">IIBBBBB", 1, 1, 8, 2, 0, 0, 0)), chunk(b"iTXt", recipe),
        chunk(b"IDAT", pixel), chunk(b"IEND", b""),
    ]  # fmt: skip
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def main() -> None:
    parser = argparse.ArgumentParser()
    parser.add_argument("--home", type=Path)
    parser.add_argument("--lane")
    parser.add_argument("--device")
    parser.add_argument("--broken", action="store_true")
    options = parser.parse_args()
    if options.broken:
        sys.exit("there is no torch here")
    worker = FakeWorker(options.home, sys.stdout.buffer)
    worker.send(messages.Hello(os.getpid()))
    worker.send(messages.Ready(CATALOGUE, DeviceReport(name=options.device)))
    worker.send(messages.Heartbeat(1000))
    worker.serve(sys.stdin.buffer)


if __name__ == "__main__":
    main()
