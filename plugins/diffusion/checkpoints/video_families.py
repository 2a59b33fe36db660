"""What is peculiar to families of video."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Film:
    """`words` and `picture` are the pipelines of diffusers that start from these, by name, where there are any."""

    words: str = ""
    picture: str = ""
    size: tuple[int, int] = (832, 480)
    """Width and height in pixels of what the family was made for; others with as many pixels will do."""
    frames: int = 81
    """How many there are when nothing else is said."""
    group: int = 4
    """All frames but the first come in groups of this many."""
    most: int | None = None
    """Frames, where there is an end."""
    fps: float = 16.0
    fps_name: str = ""
    """The argument that tells the model, where it wants to know."""
    frames_first: bool = False
    """Whether latents are [n, frames, channels, h, w] and not [n, channels, frames, h, w]."""
    own_sampler: bool = False
    """Whether the model works with its own sampler alone."""

    def counted(self, frames: float) -> int:
        """The nearest number of frames that can be made, at least one group and the first."""
        most = ((self.most or 10**6) - 1) // self.group
        return min(max(1, round((frames - 1) / self.group)), most) * self.group + 1
