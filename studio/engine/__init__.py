"""Runs jobs somewhere, and remembers them across a kill."""
