"""Errors that prevent the studio from starting."""


class LaunchError(Exception):
    """The studio cannot start. The message is a plain sentence with a hint."""

    status = 1


class NoDisplay(LaunchError):
    """The window cannot be opened because there is no display."""

    status = 2
