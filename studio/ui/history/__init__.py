"""The history: everything that was made or taken in, searched, starred, traced and kept."""

from studio.ui.history.panel import HistoryPanel

__all__ = ["HistoryPanel"]
