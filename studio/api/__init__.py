"""All that a plugin may import: ``from studio import api``."""

from studio.api.context import Context, Models, Parkable
from studio.api.estimate import Estimate, EstimateContext
from studio.api.events import (
    Animation,
    Event,
    Image,
    Notice,
    Picture,
    Preview,
    Progress,
    Text,
    Trained,
)
from studio.api.hookspecs import API_VERSION, hookimpl
from studio.api.hub import HubFile, HubFiles, hub_folder, in_words
from studio.api.params import (
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
from studio.api.precision import mixed_precision
from studio.api.tool import Tool
from studio.api.training import NotFiniteError, Training, read_tensors, time_left, write_tensors
from studio.core.errors import BadInput, Cancelled, OutOfMemory, Paused, StudioError, is_out_of_memory
from studio.core.files import written_whole
from studio.core.images import open_picture
from studio.core.licences import licence_in_words
from studio.core.model_files.gguf_header import GgufHeader, gguf_header
from studio.core.model_files.safetensors_header import weight_shapes
from studio.core.page.token_budget import Budget

__all__ = [
    "API_VERSION",
    "Animation",
    "BadInput",
    "Budget",
    "Cancelled",
    "Colour",
    "Context",
    "Count",
    "Estimate",
    "EstimateContext",
    "Event",
    "FileInput",
    "FolderInput",
    "GgufHeader",
    "HubFile",
    "HubFiles",
    "Image",
    "ImageInput",
    "MaskInput",
    "ModelChoice",
    "Models",
    "NotFiniteError",
    "Notice",
    "OutOfMemory",
    "PageText",
    "Params",
    "Parkable",
    "Paused",
    "Picture",
    "Preview",
    "Progress",
    "Prompt",
    "StudioError",
    "Text",
    "Tool",
    "Trained",
    "Training",
    "Unit",
    "gguf_header",
    "hookimpl",
    "hub_folder",
    "in_words",
    "is_out_of_memory",
    "licence_in_words",
    "mixed_precision",
    "open_picture",
    "param",
    "read_tensors",
    "time_left",
    "weight_shapes",
    "write_tensors",
    "written_whole",
]
