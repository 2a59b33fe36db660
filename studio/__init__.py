"""A local creative studio for artists."""

__version__ = "0.1.0"
