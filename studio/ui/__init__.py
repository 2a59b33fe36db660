"""Widgets only: they bind to the state and hold none."""
