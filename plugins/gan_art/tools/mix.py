"""The tool that mixes the layers of images."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Literal

from studio import api

from ..models.gan_model import GanModel, load_gan
from ..sampling import crossing, images, latents, layers
from ..sampling.estimates import estimate_images
from ..sampling.latents import Latent
from ..sampling.params import SamplingParams, read_parents


class Mix(api.Tool):
    """Gives one image the shapes, parts or colours of others, and shows it while you move the sliders."""

    id = "gan.mix"
    title = "Mix"
    live = True
    icon = "mdi6.layers-triple-outline"

    class Params(SamplingParams):
        field_order = (
            *("images", "seeds", "coarse", "middle", "fine", "model", "class_name", "truncation"),
            *("weights", "layers", "enlarge"),
        )
        images: list[api.ImageInput] = api.param([], max_items=16)
        """Creations of GAN tools. The first is the one that changes, the others give."""
        seeds: list[int] = api.param([], max_items=16)
        """Seeds, which count after the images. If there is one image or seed in all, the job's seed is the other."""
        coarse: api.Unit = 0.0
        """How much of the others is in the coarse layers: pose, outline, large shapes."""
        middle: api.Unit = 0.0
        """How much of the others is in the middle layers: parts and their shapes."""
        fine: api.Unit = 1.0
        """How much of the others is in the fine layers: colours and texture."""
        weights: list[float] = api.param([], max_items=15, advanced=True)
        """Weights of the others, in their order. Empty: all give the same."""
        layers: str = api.param("", advanced=True)
        """Numbers of layers, such as 0-3, 7, that are those of the others; replaces the three sliders."""
        enlarge: Literal[1, 2, 4] = api.param(1, labels=("1×", "2×", "4×"), advanced=True)
        """Enlarges the image (Lanczos). The network's own size is 1×."""

    def estimate(self, params: Params, ctx: api.EstimateContext) -> api.Estimate | None:
        return estimate_images(ctx, params.model, 1, "image")

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        import torch

        yield api.Progress(0, 1, "Loading the model")
        model = load_gan(ctx, params.model)
        amounts = _choose_amounts(model, params)
        parents = read_parents(ctx, model, params, params.images, params.seeds)
        if not parents:
            raise api.BadInput("There is nothing to mix.", "Add a creation of a GAN tool, or a seed.")
        if len(parents) == 1:
            parents += params.draw(model, [ctx.seed])
        base, *others = parents
        weights = _check_weights(params.weights, len(others))
        styles = crossing.mix_layers(base.styles, [other.styles for other in others], weights, torch.tensor(amounts))
        mixed = Latent(latents.round_styles(styles), base.class_number)
        yield from images.render_one(ctx, model, mixed, params.noise, ctx.seed, factor=params.enlarge)


def _choose_amounts(model: GanModel, params: Mix.Params) -> list[float]:
    """Return how much of the others is in each layer; in a single one, the mean of the three sliders.

    Raises BadInput for layers that do not exist.
    """
    count = model.generator.layer_count
    if params.layers.strip():
        chosen = layers.parse_layers(params.layers, count)
        return [float(number in chosen) for number in range(count)]
    sliders = params.coarse, params.middle, params.fine
    if count == 1:
        return [sum(sliders) / len(sliders)]
    return [amount for amount, numbers in zip(sliders, layers.split_layers(count), strict=True) for _ in numbers]


def _check_weights(weights: list[float], count: int) -> list[float]:
    """Return a weight for each of the others. Raises BadInput for another number of them, or a sum of 0."""
    if not weights:
        return [1.0] * count
    if len(weights) != count:
        others = "1 other" if count == 1 else f"{count} others"
        raise api.BadInput(f"There are {len(weights)} weights for {others}.", "Give each one a weight, or none.")
    if min(weights) < 0 or not sum(weights):
        raise api.BadInput("The weights must not be negative, and one must be more than 0.", "Change them.")
    return weights
