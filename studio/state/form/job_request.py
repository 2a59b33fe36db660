"""Everything that one press of Generate asks for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from studio.core.descriptor import ToolDescriptor


@dataclass(frozen=True)
class JobRequest:
    """A tool with its values. A value that is missing follows the tool's default."""

    tool: ToolDescriptor
    values: Mapping[str, Any]
    seed: int = 0
    count: int = 1
    format: str = ""
