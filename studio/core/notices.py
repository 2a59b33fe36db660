"""Notices: sentences that the artist should read."""

from __future__ import annotations

from enum import StrEnum


class NoticeLevel(StrEnum):
    """The severity of a notice. Plugins may give the value, such as ``"warning"``, in place of the member."""

    INFO = "info"
    WARNING = "warning"
    ERROR = "error"

    @classmethod
    def _missing_(cls, _value: object) -> NoticeLevel:
        """Show a notice of an unknown level as information."""
        return cls.INFO
