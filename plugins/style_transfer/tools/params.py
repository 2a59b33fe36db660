"""Parameters that the tools for images, folders and videos share."""

from __future__ import annotations

from studio import api

from ..inference.color_blend import ColorBlend
from ..inference.stylizer import Options, WeightedStyle
from ..models.style import MODEL_KIND, load_style


class StyleChoice(api.Params):
    """The style and how it is blended with the original."""

    style: api.ModelChoice = api.param("", model=MODEL_KIND, tiles=True)
    """A starter, a style that you trained, or a file of another program."""
    strength: float = api.param(1.0, ge=0.0, le=1.5, step=0.05)
    """Strength of the style. Above 1 it is exaggerated."""
    keep_colours: api.Unit = 0.0
    """Blends in the colours of the original."""
    keep_luminance: api.Unit = api.param(0.0, title="Keep luminance")
    """Blends in the light and dark of the original, so that only the colours change."""
    resolution: int = api.param(1024, ge=0, le=20_000, step=64, unit="px", title="Processing resolution")
    """Long side at which the style is applied. Lower values give larger strokes; 0 keeps the size of the image. The
    preview has the same resolution, so that it looks like the result."""
    original_size: bool = api.param(False, title="Resize to original size")
    """Enlarges the result to the size of the original."""


class SecondStyle(api.Params):
    """A second style to mix in."""

    second_style: api.ModelChoice | None = api.param(None, model=MODEL_KIND, advanced=True, group="Second style")
    """Style that is applied as well and mixed with the first."""
    blend: api.Unit = api.param(0.5, advanced=True, group="Second style", title="Second style weight")
    """At 0 only the first style is used, at 1 only the second."""


class CheckerboardRemoval(api.Params):
    """The removal of artefacts from the result."""

    even: bool = api.param(False, title="Remove checkerboard", advanced=True)
    """Removes the fine grid of 2 and 4 px that some older styles leave."""


class StyleParams(CheckerboardRemoval, SecondStyle, StyleChoice):
    """The parameters of a stylization."""

    @property
    def mixed_styles(self) -> str:
        """Names of the styles that are applied, as a key for measured times."""
        second = self.second_style if self.second_style and 0 < self.blend < 1 else ""
        return f"{self.style} {second}"

    def to_options(self, *, draft: bool) -> Options:
        """Return the settings of the stylization; a draft is not enlarged."""
        return Options(
            max_side=self.resolution,
            restore_size=self.original_size and not draft,
            remove_checkerboard=self.even,
            blend=ColorBlend(self.strength, self.keep_colours, self.keep_luminance),
        )

    def load_styles(self, ctx: api.Context) -> list[WeightedStyle]:
        """Load the chosen styles. Raises BadInput as `load_style` does."""
        if self.second_style is None or not self.blend:
            return [(load_style(ctx, self.style), 1.0)]
        if self.blend == 1:
            return [(load_style(ctx, self.second_style), 1.0)]
        first, second = load_style(ctx, self.style), load_style(ctx, self.second_style)
        return [(first, 1.0 - self.blend), (second, self.blend)]
