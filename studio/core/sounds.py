"""Reads the sound of audio files and videos with ffmpeg."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

from studio.core.animations import build_input
from studio.core.errors import BadInput
from studio.core.untrusted_files import damage_as_bad_input, open_file

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

SOUND_SUFFIXES = (".wav", ".mp3", ".flac", ".ogg", ".opus", ".m4a", ".aac", ".mp4", ".mov", ".mkv", ".webm")
"""Endings of files that usually have sound."""
MAX_SECONDS = 1800
"""Longest sound that is read; the rest is left out."""
_TIMEOUT = 300


def read_sound(path: Path, rate: int = 22_050) -> NDArray[np.float32]:
    """Return the samples of a file's first sound track in -1..1, mixed to one channel, at `rate` samples a second.

    Raises BadInput for a file that is missing or has no sound.
    """
    import numpy as np

    silent = BadInput(f"{path.name} has no sound.", "Choose an audio file, or a video with sound.")
    with damage_as_bad_input(path), open_file(path):
        pass
    resample = f"aresample={rate}:out_chlayout=mono:rematrix_maxval=1"  # a mean of channels, which is never clipped
    command = [*build_input(path), "-map", "0:a:0", "-t", str(MAX_SECONDS), "-af", resample]
    try:
        finished = subprocess.run(
            [*command, "-f", "f32le", "pipe:1"],
            stdin=subprocess.DEVNULL,
            capture_output=True,
            check=False,
            timeout=_TIMEOUT,
        )
    except subprocess.TimeoutExpired as error:
        raise silent from error
    samples = np.frombuffer(finished.stdout[: len(finished.stdout) // 4 * 4], "<f4")
    if not samples.any():
        raise silent
    finite: NDArray[np.float32] = np.nan_to_num(samples, nan=0.0, posinf=1.0, neginf=-1.0).clip(-1, 1)
    return finite.astype(np.float32)
