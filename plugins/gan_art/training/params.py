"""The parameters of a GAN training."""

from __future__ import annotations

from typing import Literal, TypeAlias

from studio import api

Aspect: TypeAlias = Literal["1:1", "3:2", "2:3"]
Width: TypeAlias = Literal["tiny", "small", "medium", "large"]
Augmentation: TypeAlias = Literal["adaptive", "fixed", "off"]
Architecture: TypeAlias = Literal["stylegan2", "fastgan"]
Loss: TypeAlias = Literal["relativistic", "logistic"]

SIZES = (32, 64, 128, 256, 512, 1024)


class GanTrainingParams(api.training.TrainingParams):
    """The form of *Train a GAN*."""

    field_order = (
        *(
            "folder",
            "more_folders",
            "title",
            "size",
            "aspect",
            "architecture",
            "width",
            "steps",
            "label_by",
            "labels",
            "filters",
        ),
        *("mirror", "start_from", "frozen_layers", "batch", "learning_rate", "loss", "gamma", "augmentation"),
        *("augmentation_probability", "ema", "preview_every", "keep_every", "patience"),
    )
    folder: api.FolderInput
    """Images of one kind, such as fruits on paper or faces from the front. Some thousands are good; with a hundred,
    start from a trained GAN."""
    title: str = api.param("My GAN", title="Name")
    """Name of the model in the other tools."""
    size: Literal[32, 64, 128, 256, 512, 1024] = api.param(64, title="Image size", unit="px")
    """Shorter side of the images. Twice the size takes about four times as long."""
    aspect: Aspect = api.param("1:1", title="Aspect ratio", labels=("Square", "3:2, landscape", "2:3, portrait"))
    """Images are cropped to it at the centre."""
    width: Width = api.param("small", title="Network size", labels=("Tiny", "Small", "Medium", "Large"))
    """Small has about a million weights at 64 px and suits a processor. Large is that of the StyleGAN2 authors. Tiny
    is for trials."""
    architecture: Architecture = api.param("stylegan2", labels=("StyleGAN2", "FastGAN"))
    """StyleGAN2 has layers that can be mixed and bred. FastGAN learns faster from few images, such as a hundred; it is
    square and has no classes."""
    steps: int | None = api.param(None, ge=1, le=10_000_000, title="Steps")
    """Empty uses 30,000 steps, which is half a million images."""
    label_by: str = api.param("", title="Class by")
    """Makes the GAN conditional: “folder” uses the names of the subfolders; any other word is a key in the lines of
    captions.jsonl, such as name. Empty trains without classes."""
    labels: list[str] = api.param([], max_items=1000, title="Classes")
    """Only images of these classes are used. Empty uses all."""
    filters: list[str] = api.param([], max_items=50, title="Filter images", advanced=True)
    """Conditions on the lines of captions.jsonl, such as objects=2. Several for one key are alternatives."""
    transparent: bool = api.param(False, title="Transparency")
    """Learns the transparency of the images as well, for stickers and cut-outs."""
    mirror: bool = api.param(True, title="Random horizontal flip")
    """Mirrors half of the images. Turn it off if text must stay readable."""
    start_from: api.ModelChoice | None = api.param(None, model="gan", title="Base model", advanced=True)
    """Continues the training of a GAN of the same size. Its network size is kept; classes may differ."""
    frozen_layers: int = api.param(0, ge=0, le=8, title="Frozen layers of the discriminator", advanced=True)
    """With a base model and few images, 2 or 3 keep what the discriminator knows of fine detail (FreezeD)."""
    batch: int | None = api.param(None, ge=2, le=256, title="Batch size", advanced=True)
    """Empty uses 16."""
    learning_rate: float | None = api.param(None, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
    """Empty uses 0.002."""
    loss: Loss = api.param("relativistic", title="Loss", labels=("Relativistic", "Logistic"), advanced=True)
    """Relativistic compares each generated image with a real one, with penalties on both (R1 and R2). Logistic is that
    of StyleGAN2, with R1."""
    gamma: float | None = api.param(None, ge=0, le=1000, title="R1 gamma", advanced=True)
    """Weight of the gradient penalty. Empty uses 0.2 · (size / 32)². Raise it when images break up, lower it when they
    stay soft."""
    augmentation: Augmentation = api.param(
        "adaptive", title="Augmentation", labels=("Adaptive", "Fixed", "Off"), advanced=True
    )
    """Changes colours, moves and cuts what the discriminator sees, so that it does not learn few images by heart.
    Adaptive raises the probability when it knows its images better than held-out ones."""
    augmentation_probability: api.Unit = api.param(0.2, title="Augmentation probability", advanced=True)
    """Where adaptive augmentation begins, and what fixed augmentation uses."""
    noise_from: Literal[4, 8, 16, 32, 64, 128] = api.param(32, title="Noise from", unit="px", advanced=True)
    """Size of the first layers that add noise, for detail that is not in the latent."""
    ema: float = api.param(0.999, ge=0, le=0.99999, title="EMA decay", advanced=True)
    """Fraction of the averaged weights that is kept at each step."""
    preview_every: int = api.param(500, ge=1, le=100_000, title="Preview interval", unit="steps", advanced=True)
    """Number of steps between two sheets of images and measurements."""
