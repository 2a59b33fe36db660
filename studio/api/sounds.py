"""Read the sound of audio files and videos."""

from __future__ import annotations

from studio.core.sounds import SOUND_SUFFIXES, read_sound

__all__ = ["SOUND_SUFFIXES", "read_sound"]
