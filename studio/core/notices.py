"""Notices: sentences that the artist should read."""

from __future__ import annotations

from enum import StrEnum


class NoticeLevel(StrEnum):
    """How a notice is shown. Plugins may give the value, such as ``"warning"``, in place of the member."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @classmethod
    def _missing_(cls, _value: object) -> NoticeLevel:
        """Show a notice of an unknown level as information."""
        return cls.INFO
