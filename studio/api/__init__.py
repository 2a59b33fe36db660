"""The public interface for plugins: ``from studio import api``.

The names below are those that every plugin needs. Further functions are in modules: `api.images`, `api.animations`,
`api.characters`, `api.data_report`, `api.datasets`, `api.int8_weights`, `api.training`,
`api.model_card`, `api.model_files`, `api.sounds` and `api.hub`.
"""

from studio.api import (
    animations,
    characters,
    data_report,
    datasets,
    hub,
    images,
    int8_weights,
    model_card,
    model_files,
    sounds,
    tiny_autoencoders,
    training,
)
from studio.api.consents import Consent, Consents, Ground
from studio.api.context import Context, ContextProxy, Models, SavesState, pause_if_requested
from studio.api.estimate import Estimate, EstimateContext
from studio.api.events import (
    Animation,
    Caption,
    Event,
    Image,
    Notice,
    Picture,
    Preview,
    Progress,
    Text,
    Trained,
    WorkDone,
)
from studio.api.hookspecs import API_VERSION, hookimpl
from studio.api.params import (
    ArrowInput,
    Colour,
    Count,
    FileInput,
    FolderInput,
    ImageInput,
    MaskInput,
    ModelChoice,
    PageText,
    Params,
    Prompt,
    Unit,
    param,
)
from studio.api.tool import Tool
from studio.core.animations import Frame
from studio.core.errors import BadInput, Cancelled, OutOfMemory, Paused, StudioError, is_out_of_memory
from studio.core.files import atomic_write
from studio.core.humanize import format_memory, format_size
from studio.core.page.token_budget import TokenBudget
from studio.core.point_pairs import PointPair
from studio.core.point_pairs import parse_pair as parse_point_pair
from studio.core.text_encoding import decode_text

__all__ = [
    "API_VERSION",
    "Animation",
    "ArrowInput",
    "BadInput",
    "Cancelled",
    "Caption",
    "Colour",
    "Consent",
    "Consents",
    "Context",
    "ContextProxy",
    "Count",
    "Estimate",
    "EstimateContext",
    "Event",
    "FileInput",
    "FolderInput",
    "Frame",
    "Ground",
    "Image",
    "ImageInput",
    "MaskInput",
    "ModelChoice",
    "Models",
    "Notice",
    "OutOfMemory",
    "PageText",
    "Params",
    "Paused",
    "Picture",
    "PointPair",
    "Preview",
    "Progress",
    "Prompt",
    "SavesState",
    "StudioError",
    "Text",
    "TokenBudget",
    "Tool",
    "Trained",
    "Unit",
    "WorkDone",
    "animations",
    "atomic_write",
    "characters",
    "data_report",
    "datasets",
    "decode_text",
    "format_memory",
    "format_size",
    "hookimpl",
    "hub",
    "images",
    "int8_weights",
    "is_out_of_memory",
    "model_card",
    "model_files",
    "param",
    "parse_point_pair",
    "pause_if_requested",
    "sounds",
    "tiny_autoencoders",
    "training",
]
