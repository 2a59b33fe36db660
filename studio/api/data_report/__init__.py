"""Inspect training data before a training: what can be used, what is wrong with the rest, and what to expect.

A tool implements `Tool.inspect_data` with `inspect_images` or `inspect_texts`, and adds its advice by `advise`. Its
`run` begins with `yield from check_data(self, params, ctx)`, so that the training refuses and warns in the same words.
"""

from studio.api.data_report.checks import Advice, InspectionContext, advise, check_data, refuse, with_advice
from studio.api.data_report.images import ImageSource, inspect_images, list_sources
from studio.api.data_report.masks import inspect_masks
from studio.api.data_report.texts import TextContent, TextSource, inspect_texts
from studio.core.data_report import CaptionSource, DataFile, DataFolder, DataReport, Fault, Finding

__all__ = [
    "Advice",
    "CaptionSource",
    "DataFile",
    "DataFolder",
    "DataReport",
    "Fault",
    "Finding",
    "ImageSource",
    "InspectionContext",
    "TextContent",
    "TextSource",
    "advise",
    "check_data",
    "inspect_images",
    "inspect_masks",
    "inspect_texts",
    "list_sources",
    "refuse",
    "with_advice",
]
