"""Applies trigger word, dropout and tag shuffling to the caption of a training image, each time that it is used."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class CaptionOptions:
    """The artist's choices for captions. Tags are the parts of a caption between commas."""

    trigger: str = ""
    """Word that is put in front of captions without it."""
    dropout: float = 0.1
    """Fraction of captions that are left empty, for classifier-free guidance."""
    shuffle: bool = False
    """Whether the order of the tags is drawn at random."""
    keep_tokens: int = 1
    """Number of tags at the beginning that keep their place."""
    templates: Sequence[str] = ()
    """Captions for images without one, with braces in the place of the trigger word, such as ``a photo of {}``; none to
    leave them without. They are used where the caption is dropped as well."""

    @property
    def _word(self) -> str:
        return " ".join(self.trigger.split())

    def complete(self, caption: str, *, is_regularisation: bool = False) -> str:
        """Return a caption with the trigger word, which captions of regularisation images do without."""
        trigger = self._word
        if self.templates and not caption and not is_regularisation:
            return self.templates[0].replace("{}", trigger)
        if not trigger or is_regularisation or compile_words(trigger).search(caption):
            return caption
        return f"{trigger}, {caption}" if caption else trigger

    def draw(self, caption: str, rng: np.random.Generator, *, is_regularisation: bool = False) -> str:
        """Return what the network is told: the complete caption with its tags shuffled, or sometimes nothing."""
        is_dropped = rng.uniform() < self.dropout
        if self.templates and (is_dropped or not caption) and not is_regularisation:
            template = self.templates[int(rng.integers(len(self.templates)))]
            return template.replace("{}", self._word)
        if is_dropped:
            return ""
        caption = self.complete(caption, is_regularisation=is_regularisation)
        if not self.shuffle:
            return caption
        tags = split_tags(caption)
        kept, others = tags[: self.keep_tokens], tags[self.keep_tokens :]
        return ", ".join([*kept, *(others[place] for place in rng.permutation(len(others)))])


def split_tags(caption: str) -> list[str]:
    """Split a caption at its commas."""
    return [tag for part in caption.split(",") if (tag := part.strip())]


def compile_words(words: str) -> re.Pattern[str]:
    """Return a pattern that finds whole words of any case."""
    return re.compile(rf"(?<!\w){re.escape(words)}(?!\w)", re.IGNORECASE)
