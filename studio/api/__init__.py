"""All that a plugin may import: ``from studio import api``."""

from studio.api import datasets, images, model_card, model_files
from studio.api.context import Context, ContextProxy, Models, SavesState
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
from studio.api.hub import HubFile, HubFiles, download_hub_model
from studio.api.model_files import read_tensors, write_tensors
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
from studio.api.training import NotFiniteError, Training, format_time_left
from studio.core.errors import BadInput, Cancelled, OutOfMemory, Paused, StudioError, is_out_of_memory
from studio.core.files import atomic_write
from studio.core.humanize import format_memory, format_size
from studio.core.images import open_picture
from studio.core.licences import describe_licence
from studio.core.model_files.gguf_header import GgufHeader, gguf_header
from studio.core.model_files.safetensors_header import weight_shapes
from studio.core.page.token_budget import TokenBudget

__all__ = [
    "API_VERSION",
    "Animation",
    "BadInput",
    "Cancelled",
    "Colour",
    "Context",
    "ContextProxy",
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
    "Paused",
    "Picture",
    "Preview",
    "Progress",
    "Prompt",
    "SavesState",
    "StudioError",
    "Text",
    "TokenBudget",
    "Tool",
    "Trained",
    "Training",
    "Unit",
    "atomic_write",
    "datasets",
    "describe_licence",
    "download_hub_model",
    "format_memory",
    "format_size",
    "format_time_left",
    "gguf_header",
    "hookimpl",
    "images",
    "is_out_of_memory",
    "mixed_precision",
    "model_card",
    "model_files",
    "open_picture",
    "param",
    "read_tensors",
    "weight_shapes",
    "write_tensors",
]
