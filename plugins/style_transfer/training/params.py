"""The parameters of a style training."""

from __future__ import annotations

from typing import Literal, TypeAlias

from studio import api

from ..effects import registry

TrainingKind: TypeAlias = Literal["effect", "paintings", "cut", "cyclegan"]
NetworkSize: TypeAlias = Literal["small", "medium", "large", "tiny"]


class TrainingSources(api.Params):
    """The images of a style training and the method."""

    folder: api.FolderInput  # These two are declared here, too, so that they stand first in the form.
    more_folders: list[api.FolderInput]
    kind: TrainingKind = api.param(
        "effect",
        title="Training type",
        labels=("Effect (pix2pix)", "A few paintings", "Many paintings (CUT)", "Many paintings (CycleGAN)"),
    )
    """An effect needs photos only. A few paintings give their colours and strokes within an hour. With a hundred or
    more paintings, CUT learns how a painter depicts things; CycleGAN keeps the photo more strictly and takes three
    times as long."""
    effect: registry.Effect = api.param("ink", labels=registry.LABELS)
    """Effect to learn. Used by the method Effect only."""
    paintings: api.FolderInput | None = api.param(None, title="Paintings")
    """Folder of paintings to learn from. Not used by the method Effect."""
    only: list[str] = api.param([], max_items=50, title="Filter paintings")
    """Use only paintings with one of these words in the file name or in their line of captions.jsonl, such as the
    names of painters."""


class StyleTrainingParams(api.training.TrainingParams, TrainingSources):
    """The form of *Train a style*."""

    folder: api.FolderInput
    """Folder of photos, subfolders included. Use some hundreds of photos like those that you will restyle."""
    more_folders: list[api.FolderInput] = api.param([], max_items=8, title="More photos")
    """Further folders of photos."""
    title: str = api.param("My style", title="Name")
    """Name of the style's tile."""
    steps: int | None = api.param(None, ge=1, le=1_000_000, title="Steps")
    """Empty uses 6,000 for an effect, 3,000 for a few paintings, 10,000 for many."""
    batch: int | None = api.param(None, ge=1, le=256, title="Batch size", advanced=True)
    """Crops per step. Empty uses 4 for an effect and a few paintings, 2 for CUT, 1 for CycleGAN."""
    learning_rate: float | None = api.param(None, ge=1e-7, le=1.0, title="Learning rate", advanced=True)
    """Empty uses 0.001 for an effect and a few paintings, 0.0002 for many. It falls to zero in the second half."""
    size: Literal[64, 128, 256] = api.param(128, title="Crop size", unit="px")
    """Side of the training crops. Larger crops teach larger forms and take longer."""
    closer: float = api.param(2.0, ge=1, le=8, title="Painting zoom", unit="×")
    """Enlarges the strokes of the paintings relative to the photos. High values need large scans."""
    network: NetworkSize = api.param("small", title="Network size", labels=("Small", "Medium", "Large", "Tiny"))
    """Small is fastest, with less than 1 MB. Large is the network of the CycleGAN authors. Tiny is for trials."""
    flips: bool = api.param(True, title="Random horizontal flip")
    """Mirrors half of the crops."""
    start_from: api.ModelChoice | None = api.param(None, model="style", title="Base style", advanced=True)
    """Continues the training of a style; the size of its network is kept. Effect and A few paintings go on from each
    other's styles, and so do CUT and CycleGAN, whose way back from paintings to photos begins anew."""
    style: float = api.param(3.0, ge=0, le=100, title="Style loss weight", advanced=True, group="A few paintings")
    """Weight of the paintings' strokes and colours."""
    content: float = api.param(1.0, ge=0, le=100, title="Content loss weight", advanced=True, group="A few paintings")
    """Weight of the photo's light and dark."""
    patches: float = api.param(1.0, ge=0, le=100, title="PatchNCE weight", advanced=True, group="CUT")
    """Weight of the loss that keeps each patch like the same place in the photo."""
    cycle: float = api.param(10.0, ge=0, le=100, title="Cycle loss weight", advanced=True, group="CycleGAN")
    """Weight of the difference between a photo and its reconstruction from the painting, and the reverse."""
    identity: float = api.param(0.5, ge=0, le=10, title="Identity loss weight", advanced=True, group="CycleGAN")
    """Weight of the changes to images that are paintings already, as a fraction of the cycle loss weight. 0 saves a
    third of the time."""
    pool: int = api.param(50, ge=0, le=500, title="Image pool size", unit="pictures", advanced=True, group="CycleGAN")
    """Number of earlier results that the discriminators also learn from."""
    adversarial: float | None = api.param(
        None, ge=0, le=10, title="Adversarial loss weight", advanced=True, group="Effect"
    )
    """Weight of the discriminator. Empty uses what suits the effect: 1 for stained glass, 0.2 for ink wash and pencil,
    else 0."""
