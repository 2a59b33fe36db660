"""Pictures painted in the style of others."""
