"""Fits the colours of a face to those of another one, in CIE Lab."""

from __future__ import annotations

from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    Colours = NDArray[np.float32]

ColourMethod = Literal["covariance", "histogram", "none"]
MIN_GAIN, MAX_GAIN = 0.4, 1.8
"""Limits of the change of contrast along any axis of colour, so that noise is not amplified."""
DARK = 8.0
"""Lightness (Lab) below which sRGB has little chroma."""
MIN_PIXELS = 20


def match_colours(
    face: Colours, skin: NDArray[np.bool_], target: Colours, target_skin: NDArray[np.bool_], method: ColourMethod
) -> Colours:
    """Fit the colours of `face` [h, w, 3] (RGB, 0..1) so that its skin looks like the skin of `target`.

    `covariance` fits mean and covariance (linear Monge-Kantorovich map, Pitié and Kokaram 2007), `histogram` each
    channel's distribution.
    """
    import cv2
    import numpy as np

    if method == "none" or min(skin.sum(), target_skin.sum()) < MIN_PIXELS:
        return face
    lab = np.asarray(cv2.cvtColor(face, cv2.COLOR_RGB2LAB), np.float32)
    own = lab[skin].astype(np.float64)
    wanted = cv2.cvtColor(target, cv2.COLOR_RGB2LAB)[target_skin].astype(np.float64)
    if method == "covariance":
        gain = compute_transport(np.cov(own.T), np.cov(wanted.T))
        fitted = (lab - own.mean(0)) @ gain.T + wanted.mean(0)
    else:
        fitted = np.stack([_match_channel(lab[..., axis], own[:, axis], wanted[:, axis]) for axis in range(3)], -1)
    rgb = cv2.cvtColor(_limit_lab(fitted), cv2.COLOR_LAB2RGB)
    return np.asarray(np.clip(rgb, 0, 1), np.float32)


def _limit_lab(lab: NDArray[np.float64]) -> Colours:
    """Limit the lightness to 0..100, and take the chroma from colours that are too dark to have any."""
    import numpy as np

    lightness = np.clip(lab[..., :1], 0, 100)
    chroma = lab[..., 1:] * np.clip(lightness / DARK, 0, 1)
    return np.concatenate([lightness, chroma], -1).astype(np.float32)


def compute_transport(own: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the symmetric matrix T with T · own · T = wanted, its eigenvalues limited."""
    import numpy as np

    floor = np.eye(3) * 0.05
    root, inverse = _root(own + floor), np.linalg.inv(_root(own + floor))
    transport = inverse @ _root(root @ (wanted + floor) @ root) @ inverse
    values, vectors = np.linalg.eigh(transport)
    limited: NDArray[np.float64] = (vectors * np.clip(values, MIN_GAIN, MAX_GAIN)) @ vectors.T
    return limited


def _root(matrix: NDArray[np.float64]) -> NDArray[np.float64]:
    import numpy as np

    values, vectors = np.linalg.eigh(matrix)
    root: NDArray[np.float64] = (vectors * np.sqrt(np.maximum(values, 0))) @ vectors.T
    return root


def _match_channel(channel: Colours, own: NDArray[np.float64], wanted: NDArray[np.float64]) -> NDArray[np.float64]:
    """Map values so that their quantiles become the wanted ones; values beyond them are moved along."""
    import numpy as np

    steps = np.linspace(0, 1, 65)
    before, after = np.quantile(own, steps), np.quantile(wanted, steps)
    before = before + np.arange(65) * 1e-6  # increasing, as interp needs
    inside = np.interp(channel, before, after)
    beyond = np.minimum(channel - before[0], 0) + np.maximum(channel - before[-1], 0)
    return np.asarray(inside + beyond, np.float64)
