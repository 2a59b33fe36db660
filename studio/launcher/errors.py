"""What can go wrong before the studio runs."""


class LaunchError(Exception):
    """Why the studio cannot start, as a plain sentence and what to do about it."""

    status = 1


class NoDisplay(LaunchError):
    """A window was asked for where none can be opened."""

    status = 2
