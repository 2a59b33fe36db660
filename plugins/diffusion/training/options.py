"""The parameters of a training in groups: images, captions, adapter, textual inversion, optimization, loss."""

from __future__ import annotations

from typing import Literal

from studio import api

from .adapter import ADAPTER_LABELS, AdapterType
from .frozen_weights import STORAGE_LABELS
from .objective import TimestepSampling
from .optimizers import OPTIMIZER_LABELS, OptimizerName

IMAGES_GROUP, CAPTIONS_GROUP, LORA_GROUP = "Training images", "Captions", "LoRA"
INVERSION_GROUP = "Textual inversion"
OPTIMIZATION_GROUP, LOSS_GROUP = "Optimization", "Loss"
LAYER_LABELS = ("Attention", "Attention + feed-forward", "Attention + convolutions")
Purpose = Literal["none", "person", "style", "concept"]


class PresetParams(api.Params):
    """Options of a preset: the purpose of a LoRA or a textual inversion, and the card that trains it."""

    purpose: Purpose = api.param("none", title="Preset", labels=("None", "A person or thing", "A style", "A concept"))
    """Values for the fields that are left empty, for LoRAs and textual inversions. A LoRA of a person or thing: 1,500
    steps, rank 16, text encoder. A style: 2,500 steps, rank 32, convolutions. A concept: 2,000 steps, rank 16, text
    encoder. All: alpha half the rank, min-SNR."""
    card: Literal["big", "small"] = api.param("big", title="Graphics card", labels=("12 GB or more", "8 GB or less"))
    """A small card computes each step in four parts with gradient checkpointing, which takes about a third longer."""


class ImageParams(api.Params):
    """Options for reading the training images, and for the use of each."""

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
    """Weight of the rest of a masked image. Usual are 0 % to 20 %."""
    regularisation: api.FolderInput | None = api.param(
        None, title="Regularisation images", advanced=True, group=IMAGES_GROUP
    )
    """Folder of images of the general kind, such as other people, which keep the model from forgetting it."""
    regularisation_weight: float = api.param(
        1.0, ge=0, le=10, title="Regularisation weight", advanced=True, group=IMAGES_GROUP
    )
    """Weight of a regularisation image. Usual are 0.3 to 1."""
    held_out: float | None = api.param(None, ge=0, le=0.5, title="Held-out fraction", advanced=True, group=IMAGES_GROUP)
    """Fraction of images that are kept for the held-out loss, which early stopping follows. Leave it empty for a tenth
    with early stopping, and none without."""


class CaptionParams(api.Params):
    """Options that change the captions."""

    trigger: str = api.param("", title="Trigger word")
    """Words that call what a LoRA has learned, such as `ohwx fox`. They are put in front of captions without them. A
    textual inversion needs one word that is no token of the model, such as `wtrclr`."""
    caption_dropout: api.Unit = api.param(0.1, title="Caption dropout", advanced=True, group=CAPTIONS_GROUP)
    """Fraction of images that are shown without their caption; for a textual inversion, with its word alone. Usual are
    5 % to 15 %."""
    shuffle_tags: bool = api.param(False, title="Shuffle tags", advanced=True, group=CAPTIONS_GROUP)
    """Changes the order of the tags, which are the parts of a caption between commas. For captions of many tags."""
    keep_tokens: int = api.param(1, ge=0, le=50, title="Keep tokens", advanced=True, group=CAPTIONS_GROUP)
    """Number of tags at the beginning that shuffling leaves in place, the trigger word among them. Usual is 1."""


class AdapterParams(api.Params):
    """The form of a LoRA."""

    adapter: AdapterType = api.param("lora", title="LoRA type", labels=ADAPTER_LABELS, advanced=True, group=LORA_GROUP)
    """DoRA learns lengths and directions apart, LoHa and LoKr are smaller for what they can learn. Every program reads
    plain LoRAs."""
    rank: int | None = api.param(None, ge=1, le=256, title="LoRA rank", advanced=True, group=LORA_GROUP)
    """A higher rank can learn finer detail and needs more images. Usual are 4 to 32; empty means the preset's."""
    alpha: float | None = api.param(None, ge=0.01, le=512, title="LoRA alpha", advanced=True, group=LORA_GROUP)
    """The LoRA is scaled by alpha / rank. Usual are half the rank to the rank; empty means the preset's."""
    dropout: float = api.param(0.0, ge=0, le=0.9, title="LoRA dropout", advanced=True, group=LORA_GROUP)
    """Fraction of values that are left out at random, against memorising. Usual are 0 to 0.1."""
    layers: Literal["preset", "attention", "blocks", "convolutions"] = api.param(
        "preset",
        title="LoRA layers",
        labels=("Preset", *LAYER_LABELS),
        advanced=True,
        group=LORA_GROUP,
    )
    """Layers that are changed. Convolutions help with styles and textures, and make the file larger."""
    conv_rank: int | None = api.param(None, ge=1, le=256, title="Convolution rank", advanced=True, group=LORA_GROUP)
    """Rank of convolutions over several pixels, where they are trained. Usual are a quarter of the rank to the rank;
    empty means the rank."""
    conv_alpha: float | None = api.param(
        None, ge=0.01, le=512, title="Convolution alpha", advanced=True, group=LORA_GROUP
    )
    """Alpha of these convolutions. Leave it empty for the same fraction of their rank."""
    text_encoder: Literal["preset", "on", "off"] = api.param(
        "preset",
        title="Train the text encoder",
        labels=("Preset", "On", "Off"),
        advanced=True,
        group=LORA_GROUP,
    )
    """Learns the meaning of a new word faster, and forgets others faster. Of Stable Diffusion 1, 2 and XL alone."""
    text_encoder_rate: float | None = api.param(
        None, ge=1e-8, le=1.0, title="Text encoder learning rate", advanced=True, group=LORA_GROUP
    )
    """Usual is half the learning rate, which an empty field means."""
    start_from: api.ModelChoice | None = api.param(
        None, model="lora embedding", title="Go on from a LoRA or embedding", advanced=True, group=LORA_GROUP
    )
    """Training begins with this LoRA, and keeps its type, rank, alpha and layers; or with this textual inversion, and
    keeps its number of vectors."""


class InversionParams(api.Params):
    """The form of a textual inversion."""

    vectors: int | None = api.param(None, ge=1, le=32, title="Vectors", advanced=True, group=INVERSION_GROUP)
    """More vectors learn finer detail, need more images, and leave less room in the prompt. Usual are 1 to 8; empty
    means the preset's."""
    init_word: str = api.param("", title="Initial word", advanced=True, group=INVERSION_GROUP)
    """A word of the model for something similar, such as `fox` or `painting`, with which the vectors begin. Several
    words are for as many vectors. Leave it empty to begin at random."""
    keep_norm: bool = api.param(True, title="Keep the length of vectors", advanced=True, group=INVERSION_GROUP)
    """Learns the direction of each vector alone, so that the new word does not outweigh the others in a prompt."""


class OptimizationParams(api.Params):
    """Options of the optimizer."""

    optimizer: OptimizerName = api.param("adamw", labels=OPTIMIZER_LABELS, advanced=True, group=OPTIMIZATION_GROUP)
    """AdamW suits most. Adafactor and AdamW 8-bit need less memory, Lion a lower learning rate, and Prodigy finds the
    learning rate itself."""
    schedule: Literal["cosine", "linear", "constant"] = api.param(
        "cosine",
        title="Learning rate schedule",
        labels=("Cosine", "Linear", "Constant"),
        advanced=True,
        group=OPTIMIZATION_GROUP,
    )
    """Shape in which the learning rate falls to 0; Constant keeps it."""
    warm_up: float | None = api.param(None, ge=0, le=0.5, title="Warm-up", advanced=True, group=OPTIMIZATION_GROUP)
    """Fraction of the steps in which the learning rate rises. Usual are 0 to 0.1; empty means 0.1, up to 200 steps."""
    weight_decay: float = api.param(0.01, ge=0, le=1, title="Weight decay", advanced=True, group=OPTIMIZATION_GROUP)
    """Pulls the weights towards 0. Usual are 0.01 to 0.1."""
    accumulation: int | None = api.param(
        None, ge=1, le=256, title="Gradient accumulation", advanced=True, group=OPTIMIZATION_GROUP
    )
    """Batches of one step, one after the other: a larger batch in the memory of a small one. Usual are 1 to 8."""
    checkpointing: Literal["preset", "on", "off"] = api.param(
        "preset",
        title="Gradient checkpointing",
        labels=("Preset", "On", "Off"),
        advanced=True,
        group=OPTIMIZATION_GROUP,
    )
    """Needs much less memory and about a third more time. The preset of a small card turns it on."""
    precision: Literal["auto", "bfloat16", "float32"] = api.param(
        "auto",
        title="Precision",
        labels=("Automatic", "Mixed (bfloat16)", "Full (float32)"),
        advanced=True,
        group=OPTIMIZATION_GROUP,
    )
    """Mixed precision computes in bfloat16 and keeps the weights in float32. Automatic uses it where it is faster."""
    base_precision: Literal["auto", "full", "8bit", "4bit", "offload"] = api.param(
        "auto",
        title="Base model in memory",
        labels=("Automatic", *STORAGE_LABELS),
        advanced=True,
        group=OPTIMIZATION_GROUP,
    )
    """Sets how a LoRA's base model is kept: in 8 bits it needs half the memory, offloaded nearly none and much more
    time. Automatic keeps it in full where that fits."""


class LossParams(api.Params):
    """Options of the loss."""

    weighting: Literal["preset", "none", "min_snr", "debiased"] = api.param(
        "preset",
        title="Loss weighting",
        labels=("Preset", "None", "Min-SNR", "Debiased estimation"),
        advanced=True,
        group=LOSS_GROUP,
    )
    """Min-SNR counts nearly clean images less and learns faster; debiased estimation counts noisy ones more. The preset
    has none for models that learn by flow matching."""
    snr_gamma: float = api.param(5.0, ge=0.1, le=100, title="Min-SNR gamma", advanced=True, group=LOSS_GROUP)
    """A lower value has a stronger effect. Usual are 1 to 5."""
    timesteps: TimestepSampling = api.param(
        "shifted",
        title="Timestep sampling",
        labels=("Shifted by the image size", "Logit-normal", "Uniform"),
        advanced=True,
        group=LOSS_GROUP,
    )
    """Noise levels for models that learn by flow matching, such as FLUX.1. Logit-normal prefers the middle; Shifted
    moves them up as the sampler does. Other models have even ones in any case."""
    noise_offset: float = api.param(0.0, ge=0, le=1, title="Noise offset", advanced=True, group=LOSS_GROUP)
    """Lets a model learn darker and brighter images. Usual are 0 to 0.1."""


class DiffusionTrainingParams(
    LossParams,
    OptimizationParams,
    InversionParams,
    AdapterParams,
    CaptionParams,
    ImageParams,
    api.training.TrainingParams,
    PresetParams,
):
    """The parameters of a training, without those of its base model."""
