"""A pool of earlier generated images, from which a discriminator is trained."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from torch import Generator, Tensor


class ImagePool:
    """Holds up to `count` images [3, size, size]; half of the queries return one of them (Shrivastava and others 2017).

    The images are float16 buffers of the module `buffers`, so that a checkpoint can hold them.
    """

    def __init__(self, count: int, size: int, device: str = "cpu") -> None:
        import torch

        self.count = count
        self.buffers = torch.nn.Module()
        self.buffers.register_buffer("pictures", torch.zeros(count, 3, size, size, dtype=torch.float16))
        self.buffers.register_buffer("filled", torch.zeros(1, dtype=torch.int64))
        self.buffers.to(device)

    def query(self, images: Tensor, rng: Generator) -> Tensor:
        """Return `images`, [n, 3, size, size], with some replaced by earlier ones, and add them to the pool."""
        import torch

        if not self.count:
            return images.detach()
        stored, filled = self.buffers.get_buffer("pictures"), self.buffers.get_buffer("filled")
        chosen = []
        for image in images.detach():
            if (number := int(filled)) < self.count:
                stored[number] = image
                filled += 1
                chosen.append(image)
                continue
            swap, index = torch.rand((), generator=rng), torch.randint(self.count, (), generator=rng)
            if swap < 0.5:
                chosen.append(stored[index].to(image.dtype))
                stored[index] = image
            else:
                chosen.append(image)
        return torch.stack(chosen)
