"""What can go wrong before the studio runs, and what was asked for in vain."""


class LaunchError(Exception):
    """Why the studio cannot start, as a plain sentence and what to do about it."""
