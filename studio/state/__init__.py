"""The state that the window shows, as observable objects."""
