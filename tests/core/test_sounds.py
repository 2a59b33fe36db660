"""Sound of audio files and videos as samples."""

from __future__ import annotations

import subprocess
import wave
from pathlib import Path

import numpy as np
import pytest

from studio.core.animations import find_ffmpeg
from studio.core.errors import BadInput
from studio.core.sounds import read_sound


def save_tone(path: Path, *, channels: int, rate: int) -> Path:
    """Save half a second of a tone of 440 Hz as a WAV file; with two channels, the second is silent."""
    tone = 0.5 * np.sin(2 * np.pi * 440 * np.arange(rate // 2) / rate)
    samples = np.stack([tone, *[np.zeros_like(tone)] * (channels - 1)], axis=1)
    with wave.open(str(path), "wb") as file:
        file.setnchannels(channels)
        file.setsampwidth(2)
        file.setframerate(rate)
        file.writeframes((samples * 32767).astype("<i2").tobytes())
    return path


@pytest.mark.parametrize(("channels", "rate", "peak"), [(1, 22_050, 0.5), (1, 48_000, 0.5), (2, 44_100, 0.25)])
def test_channels_are_averaged_and_the_rate_is_converted(tmp_path: Path, channels: int, rate: int, peak: float) -> None:
    samples = read_sound(save_tone(tmp_path / "tone.wav", channels=channels, rate=rate), 22_050)
    assert samples.dtype == np.float32
    assert len(samples) == pytest.approx(11_025, abs=64)
    middle = samples[2000:-2000]
    assert float(np.abs(middle).max()) == pytest.approx(peak, rel=0.05)
    loudest = np.abs(np.fft.rfft(middle)).argmax() * 22_050 / len(middle)
    assert loudest == pytest.approx(440, abs=5)


def test_the_sound_of_a_video_is_read_and_one_without_is_refused(tmp_path: Path) -> None:
    tone = save_tone(tmp_path / "tone.wav", channels=1, rate=22_050)
    picture = ["-f", "lavfi", "-i", "color=size=16x16:duration=0.5"]
    for name, sound in (("with.mkv", ["-i", str(tone)]), ("without.mkv", [])):
        command = [find_ffmpeg(), "-loglevel", "error", *picture, *sound, str(tmp_path / name)]
        subprocess.run(command, check=True, stdin=subprocess.DEVNULL)
    assert len(read_sound(tmp_path / "with.mkv")) > 10_000
    with pytest.raises(BadInput, match=r"without\.mkv has no sound"):
        read_sound(tmp_path / "without.mkv")


@pytest.mark.parametrize("content", [b"", b"RIFF", b"no sound at all" * 100, bytes(5000)])
def test_a_damaged_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "song.mp3"
    path.write_bytes(content)
    with pytest.raises(BadInput):
        read_sound(path)


def test_a_missing_file_is_refused(tmp_path: Path) -> None:
    with pytest.raises(BadInput):
        read_sound(tmp_path / "song.mp3")
