"""The colours of the dark and the light theme."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Colours:
    """The colours of a theme, as `#rrggbb` or `#aarrggbb`.

    `raised` is for buttons and chips, `chosen` for selected ones, `faint` for hints, `machine` for text that a
    model wrote, `groove` and `knob` for sliders and switches, `scroll` for the handle of a scroll bar. `shadow`
    is painted in several layers.
    """

    window: str
    panel: str
    canvas: str
    field: str
    raised: str
    hover: str
    chosen: str
    border: str
    text: str
    dim: str
    faint: str
    accent: str
    accent_hover: str
    on_accent: str
    danger: str
    warning: str
    good: str
    groove: str
    knob: str
    machine: str
    scroll: str
    shadow: str


DARK = Colours(
    window="#1e1e1e",
    panel="#242424",
    canvas="#141414",
    field="#1a1a1a",
    raised="#2e2e2e",
    hover="#383838",
    chosen="#4a4a4a",
    border="#333333",
    text="#e6e6e6",
    dim="#a6a6a6",
    faint="#8c8c8c",
    accent="#e8a33d",
    accent_hover="#f0b355",
    on_accent="#1a1206",
    danger="#f0837a",
    warning="#e6cb6c",
    good="#8fc98f",
    groove="#3a3a3a",
    knob="#ececec",
    machine="#9fc6ee",
    scroll="#444444",
    shadow="#0e000000",
)
LIGHT = Colours(
    window="#ececec",
    panel="#f6f6f6",
    canvas="#d4d4d4",
    field="#ffffff",
    raised="#e2e2e2",
    hover="#d8d8d8",
    chosen="#c4c4c4",
    border="#cccccc",
    text="#1c1c1c",
    dim="#565656",
    faint="#6a6a6a",
    accent="#e09a2f",
    accent_hover="#eaa640",
    on_accent="#1a1206",
    danger="#b3261e",
    warning="#7a5900",
    good="#2e6b2e",
    groove="#c2c2c2",
    knob="#4a4a4a",
    machine="#0f4c81",
    scroll="#adadad",
    shadow="#05000000",
)
