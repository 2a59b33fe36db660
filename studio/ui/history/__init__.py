"""The history panel: every creation, with search, stars, ratings, lineage and trash."""

from studio.ui.history.panel import HistoryPanel

__all__ = ["HistoryPanel"]
