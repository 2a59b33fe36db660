"""The pluggy hooks. A plugin implements `studio_tools`; the rest is optional."""

from __future__ import annotations

import pluggy

from studio.api.tool import Tool

API_VERSION = 1
"""A plugin module may state `api_version = 1`; one made for a newer API is refused."""

PROJECT = "studio"
hookspec = pluggy.HookspecMarker(PROJECT)
hookimpl = pluggy.HookimplMarker(PROJECT)


class Hooks:
    """Each is called once per plugin, in a `try` of its own."""

    @hookspec
    def studio_tools(self) -> list[type[Tool]]:  # type: ignore[empty-body]
        """The tools that this plugin brings."""
