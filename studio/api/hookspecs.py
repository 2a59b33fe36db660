"""The pluggy hooks of a plugin."""

from __future__ import annotations

import pluggy

from studio.api.tool import Tool

API_VERSION = 1
"""Version of this interface. A plugin module may set `api_version`; one for a newer version is refused."""

PROJECT = "studio"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """The hooks that a plugin may implement. Errors in one plugin do not affect the others."""

    @hookspec
    def studio_tools(self) -> list[type[Tool]]:  # type: ignore[empty-body]
        """Return the tools of this plugin."""
