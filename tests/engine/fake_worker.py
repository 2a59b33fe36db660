"""A worker that does what the recipe's params say, over the real frames and without plugins.

`do` is a list of steps, each a word and its values:
progress, preview, save, kept, crash STATUS, signal NAME, hang, deaf (ignores cancels), nonsense,
wait (until cancelled or paused), fail, took WORK SECONDS.
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

from studio.core import messages
from studio.core.descriptor import Catalogue, DeviceReport, PluginDescriptor, ToolDescriptor
from studio.core.errors import Failure, FailureKind


def tool(name: str, **more) -> ToolDescriptor:
    return ToolDescriptor(id=f"fake.{name}", title=name.capitalize(), plugin="fake", **more)


CATALOGUE = Catalogue(
    (PluginDescriptor(name="fake", tools=(tool("paint"), tool("train", lane="training", pausable=True))),)
)


class FakeWorker:
    def __init__(self, home: Path, out) -> None:
        self.home = home
        self.out = out
        self.lock = threading.Lock()
        self.asked: SimpleQueue[str] = SimpleQueue()
        self.jobs: SimpleQueue[messages.RunJob | None] = SimpleQueue()
        self.measured: messages.JobTiming | None = None

    def say(self, message: messages.FromWorker) -> None:
        with self.lock:
            messages.write(self.out, message)

    def serve(self, stream) -> None:
        threading.Thread(target=self.work, daemon=True).start()
        while (message := messages.read_to_worker(stream)) is not None:
            match message:
                case messages.RunJob():
                    self.jobs.put(message)
                case messages.EstimateRequest():
                    told = {"memory": 7, "work": 4.0, "rate": "paint", "notes": message.values, "device": "easel"}
                    self.say(messages.EstimateResult(id=message.id, **told))
                case messages.Cancel():
                    self.asked.put("cancel")
                case messages.Pause():
                    self.asked.put("pause")
                case messages.FreeMemory():
                    self.say(messages.MemoryFreed(5 * 2**20))
                case messages.Reload():
                    self.say(messages.Ready(CATALOGUE, DeviceReport()))
                case messages.Shutdown():
                    os._exit(0)
        os._exit(0)

    def work(self) -> None:
        while (run := self.jobs.get()) is not None:
            for step in run.recipe.params.get("do", ["save"]):
                if not self.step(run, *str(step).split()):
                    break
            else:
                self.say(messages.JobFinished(run.job, self.measured))

    def step(self, run: messages.RunJob, word: str, *values: str) -> bool:
        match word:
            case "progress":
                self.say(messages.JobProgress(run.job, float(values[0]), 10))
            case "preview":
                self.say(messages.PreviewFrame(job=run.job, width=1, height=1, pixels=b"\1\2\3"))
            case "save":
                path = save(self.home, run)
                digest = hashlib.sha256(path.read_bytes()).hexdigest()
                self.say(messages.ResultSaved(job=run.job, path=str(path), digest=digest))
            case "kept":
                marks = Path(run.checkpoint_dir) / "runs"
                marks.parent.mkdir(parents=True, exist_ok=True)
                marks.write_text(marks.read_text() + "x" if marks.exists() else "x")
                self.say(messages.JobNotice(run.job, marks.read_text()))
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
                self.say(messages.JobProgress(run.job, 0, 1, "deaf"))
                threading.Event().wait()
            case "nonsense":
                with self.lock:
                    self.out.write(b"\0\0\0\3abc")
                    self.out.flush()
            case "wait":
                self.say(messages.JobProgress(run.job, 0, 1, "waiting"))
                wish = self.asked.get()
                self.say(messages.JobPaused(run.job) if wish == "pause" else messages.JobCancelled(run.job))
                return False
            case "took":
                work, seconds = map(float, values)
                self.measured = messages.JobTiming(rate="paint", work=work, seconds=seconds, device="easel")
            case "fail":
                self.say(messages.JobFailed(run.job, Failure(FailureKind.FAILED, "No paint is left.")))
                return False
        return True


def save(home: Path, run: messages.RunJob) -> Path:
    """A picture of one pixel, its colour the job's, with the recipe inside."""
    folder = home / "library" / "2026" / "11" / "22"
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{run.recipe.tool}-{run.recipe.seed}-{run.job}-{os.urandom(3).hex()}.png"
    part = path.with_name(f".part-{path.name}")
    part.write_bytes(png(run))
    part.replace(path)
    return path


def png(run: messages.RunJob) -> bytes:
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
    worker.say(messages.Hello(os.getpid()))
    worker.say(messages.Ready(CATALOGUE, DeviceReport(name=options.device)))
    worker.say(messages.Heartbeat(1000))
    worker.serve(sys.stdin.buffer)


if __name__ == "__main__":
    main()
