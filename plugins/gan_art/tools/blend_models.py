"""The tool that makes one GAN of the layers of two."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, Literal

from studio import api
from studio.api.model_card import ModelCard

from ..models.gan_model import MODEL_KIND, STARTER, GanConfig, GanModel, load_gan, save_gan
from ..models.thumbnail import save_thumbnail

if TYPE_CHECKING:
    from torch import Tensor


class BlendModels(api.Tool):
    """Makes a GAN of the coarse layers of one and the fine layers of another that was trained further from it."""

    id = "gan.blend_models"
    title = "Blend models"
    output = "model"
    icon = "mdi6.set-merge"

    class Params(api.Params):
        model: api.ModelChoice = api.param(STARTER, model=MODEL_KIND, title="Coarse layers of")
        """The GAN that decides the shapes. Its mapping network is used."""
        other: api.ModelChoice = api.param(STARTER, model=MODEL_KIND, title="Fine layers of")
        """The GAN that decides colours and textures. Both must be of one family: one trained further from the other."""
        swap_at: Literal[8, 16, 32, 64, 128, 256, 512] = api.param(16, title="Swap at", unit="px")
        """Size of the first layers that are taken from the second GAN."""
        sharpness: api.Unit = api.param(1.0)
        """At 100 % layers are swapped at once; lower values pass over gradually, around the size."""
        title: str = api.param("My blend", title="Name")
        """Name of the new GAN."""

    def run(self, params: Params, ctx: api.Context) -> Iterator[api.Event]:
        yield api.Progress(0, 0, "Loading the models")
        first, second = load_gan(ctx, params.model), load_gan(ctx, params.other)
        weights = blend_weights(first, second, params.swap_at, params.sharpness)
        folder = ctx.scratch / "gan"
        config = GanConfig(first.config.architecture, first.config.class_names, first.config.clamp)
        save_gan(folder, weights, config)
        save_thumbnail(folder, ctx.seed)
        ModelCard(
            title=params.title,
            summary=f"A blend of {first.title} (below {params.swap_at} px) and {second.title}.",
            rows_title="Blend",
            rows={"Coarse layers": first.title, "Fine layers": second.title, "Swapped at": f"{params.swap_at} px"},
        ).write(folder)
        yield api.Trained(folder, params.title, MODEL_KIND, is_derived=True)


def blend_weights(first: GanModel, second: GanModel, swap_at: int, sharpness: float) -> dict[str, Tensor]:
    """Return the weights of `first` below a size in px and of `second` from it on.

    Raises BadInput for models whose layers do not fit.
    """
    networks: tuple[Any, Any] = (first.generator, second.generator)
    one, other = (network.state_dict() for network in networks)
    if any(model.config.architecture != "stylegan2" for model in (first, second)):
        raise api.BadInput("Only StyleGAN2 models can be blended.", "Choose others.")
    if {name: value.shape for name, value in one.items()} != {name: value.shape for name, value in other.items()}:
        raise api.BadInput(
            f"{first.title} and {second.title} have different layers.",
            "Choose two GANs of one family: one that was trained further from the other.",
        )
    sizes = [size for size, _ in networks[0].list_feature_layers()]
    if swap_at not in sizes:
        raise api.BadInput(f"{first.title} has no layer of {swap_at} px.", f"The largest is {sizes[-1]} px.")
    blended = dict(one)
    for number, block in enumerate(networks[0].synthesis.names):
        distance = number - sizes.index(swap_at) + 0.5
        share = min(1.0, max(0.0, 0.5 + distance * sharpness))
        prefix = f"synthesis.{block}."
        for name in (name for name in one if name.startswith(prefix)):
            blended[name] = one[name] + share * (other[name] - one[name])
    return blended
