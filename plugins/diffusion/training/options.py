"""The parameters of a training in groups: images, captions, adapter, optimization, loss."""

from __future__ import annotations

from typing import Literal

from studio import api

IMAGES_GROUP, CAPTIONS_GROUP = "Training images", "Captions"


class ImageParams(api.Params):
    """How the training images are read, and how often each is used."""

    image_shape: Literal["square", "buckets"] = api.param(
        "square", title="Image shape", labels=("Square crop", "Aspect-ratio buckets"), advanced=True, group=IMAGES_GROUP
    )
    """Buckets keep wide and tall images whole: each is scaled to the nearest shape with the area of the image size."""
    epochs: int | None = api.param(None, ge=1, le=100_000, title="Epochs", advanced=True, group=IMAGES_GROUP)
    """Times that all images are used, instead of a number of steps. Usual are 10 to 50 for a dozen images."""
    repeats: int = api.param(1, ge=1, le=1000, title="Repeats", advanced=True, group=IMAGES_GROUP)
    """Uses of an image in an epoch. A folder named 10_fox sets 10 for the images in it. Usual are 1 to 20."""
    masks: Literal["none", "alpha", "folder"] = api.param(
        "none",
        title="Masks",
        labels=("None", "From transparency", "From a folder"),
        advanced=True,
        group=IMAGES_GROUP,
    )
    """A mask says which part of an image is learned: what is opaque, or what is white in an image of the same name."""
    mask_folder: api.FolderInput | None = api.param(None, title="Folder of masks", advanced=True, group=IMAGES_GROUP)
    """Masks with the names of the training images; used where Masks is From a folder."""
    unmasked_weight: api.Unit = api.param(0.1, title="Weight outside of masks", advanced=True, group=IMAGES_GROUP)
    """How much the rest of a masked image counts. Usual are 0 % to 20 %."""
    regularisation: api.FolderInput | None = api.param(
        None, title="Regularisation images", advanced=True, group=IMAGES_GROUP
    )
    """Folder of images of the general kind, such as other people, which keep the model from forgetting it."""
    regularisation_weight: float = api.param(
        1.0, ge=0, le=10, title="Regularisation weight", advanced=True, group=IMAGES_GROUP
    )
    """How much a regularisation image counts. Usual are 0.3 to 1."""
    held_out: float | None = api.param(None, ge=0, le=0.5, title="Held-out fraction", advanced=True, group=IMAGES_GROUP)
    """Fraction of images that are kept for the held-out loss, which early stopping follows. Leave it empty for a tenth
    with early stopping, and none without."""


class CaptionParams(api.Params):
    """What is done with the captions."""

    trigger: str = api.param("", title="Trigger word")
    """A word that calls what a LoRA has learned, such as `ohwx fox`. It is put in front of captions without it."""
    caption_dropout: api.Unit = api.param(0.1, title="Caption dropout", advanced=True, group=CAPTIONS_GROUP)
    """Fraction of images that are shown without their caption. Usual are 5 % to 15 %."""
    shuffle_tags: bool = api.param(False, title="Shuffle tags", advanced=True, group=CAPTIONS_GROUP)
    """Changes the order of the tags, which are the parts of a caption between commas. For captions of many tags."""
    keep_tokens: int = api.param(1, ge=0, le=50, title="Keep tokens", advanced=True, group=CAPTIONS_GROUP)
    """Number of tags at the beginning that shuffling leaves in place, the trigger word among them. Usual is 1."""
