"""Pictures made some steps ago, for a discriminator to look back at."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from torch import Generator, Tensor


class Pool:
    """Holds `count` pictures [3, size, size]; half of what is asked for comes out of it, and new ones go in
    (Shrivastava and others 2017).

    What it holds lies in the buffers of `kept`, as numbers of 16 bits, so that a checkpoint can take it along.
    """

    def __init__(self, count: int, size: int, device: str = "cpu") -> None:
        import torch

        self.count = count
        self.kept: Any = torch.nn.Module()
        self.kept.register_buffer("pictures", torch.zeros(count, 3, size, size, dtype=torch.float16))
        self.kept.register_buffer("filled", torch.zeros(1, dtype=torch.int64))
        self.kept.to(device)

    def exchanged(self, made: Tensor, chance: Generator) -> Tensor:
        """Like `made`, [n, 3, size, size], with some older pictures in place of new ones."""
        import torch

        if not self.count:
            return made.detach()
        chosen = []
        for picture in made.detach():
            filled = int(self.kept.filled)
            if filled < self.count:
                self.kept.pictures[filled] = picture
                self.kept.filled += 1
                chosen.append(picture)
                continue
            swap, place = torch.rand((), generator=chance), torch.randint(self.count, (), generator=chance)
            if swap < 0.5:
                chosen.append(self.kept.pictures[place].to(picture.dtype))
                self.kept.pictures[place] = picture
            else:
                chosen.append(picture)
        return torch.stack(chosen)
