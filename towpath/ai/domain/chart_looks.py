"""How charts look: sizes, inks and palettes for light and dark pages."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

FONT = "Liberation Sans, Arial, Helvetica, sans-serif"
# Found by search: with normal sight, and without red or green cones, any two stay apart in lightness or hue (0.075 and
# more in OKLab), and each stands out from its ground.
LIGHT = (
    "#1f7ecc", "#f2b030", "#207371", "#66292a", "#6db3f2", "#68267e",
    "#b99232", "#2f7f32", "#ec9bba", "#82888e", "#1d1b51", "#794222",
)  # fmt: skip
DARK = (
    "#5597ff", "#efbd43", "#48b5a2", "#bf3032", "#93e1f3", "#99469e",
    "#feea6e", "#49ad45", "#ff8acf", "#7f83a3", "#6f5cca", "#a87265",
)  # fmt: skip
NARROW = 520
FRAME = 100
"""Pixels around the marks: title, axis and its title."""
LEGEND = 160
"""Pixels of a legend beside the marks."""


@dataclass(frozen=True, slots=True)
class Canvas:
    """A place of exact size to draw on; `width` and `height` in pixels."""

    width: int
    height: int
    dark: bool

    @property
    def palette(self) -> tuple[str, ...]:
        """Return twelve colours, to be taken from the front."""
        return DARK if self.dark else LIGHT

    @property
    def ground(self) -> str:
        """Return the colour behind the marks."""
        return "#15181d" if self.dark else "#ffffff"

    @property
    def ink(self) -> str:
        """Return the colour of titles and numbers."""
        return "#f2f4f7" if self.dark else "#1a1f26"

    @property
    def pale(self) -> str:
        """Return the colour of labels."""
        return "#b4bcc8" if self.dark else "#4d5763"

    @property
    def ruler(self) -> str:
        """Return the colour of grids and axes."""
        return "#323842" if self.dark else "#e3e7ec"

    @property
    def narrow(self) -> bool:
        """Return whether there is no room beside the marks."""
        return self.width < NARROW

    @property
    def legend_place(self) -> dict[str, Any]:
        """Return where a legend goes: beside the marks, or below when they would have no room."""
        if self.narrow:
            return {"orient": "bottom", "columns": max(1, self.width // 130), "labelLimit": 100}
        return {"orient": "right", "labelLimit": LEGEND - 30, "titleLimit": LEGEND}

    def config(self, *, legend: bool) -> dict[str, Any]:
        """Return Vega-Lite's config of all parts, for a chart with or without a legend."""
        frame = FRAME * 2 if legend and self.narrow else FRAME
        words = {"labelColor": self.pale, "titleColor": self.pale, "labelFont": FONT, "titleFont": FONT}
        return {
            "font": FONT,
            # Without aria, else each mark would be read aloud by the neutral names of its columns.
            # A null is a gap, but its place stays.
            "mark": {"aria": False, "invalid": "break-paths-show-domains"},
            "view": {"stroke": None},
            "axis": {
                **words,
                "labelFontSize": 11,
                "titleFontSize": 12,
                "titleFontWeight": "normal",
                "titlePadding": 10,
                "labelPadding": 6,
                "labelFlush": False,
                "gridColor": self.ruler,
                "domainColor": self.ruler,
                "tickColor": self.ruler,
            },
            "axisX": {"titleLimit": round(self.width * 0.8)},
            # A title longer than its axis would push the chart's own title out.
            "axisY": {"titleLimit": max(20, self.height - frame)},
            "axisQuantitative": {"domain": False, "ticks": False},
            "legend": {
                **words,
                "labelFontSize": 11,
                "titleFontSize": 11,
                "titleFontWeight": "normal",
                "symbolSize": 90,
            },
            "title": {
                "anchor": "start",
                "frame": "bounds",
                "font": FONT,
                "fontSize": 15,
                "fontWeight": 600,
                "color": self.ink,
                "subtitleFont": FONT,
                "subtitleFontSize": 11,
                "subtitleColor": self.pale,
                "subtitlePadding": 5,
                "offset": 16,
                "limit": max(self.width - 40, 20),
            },
        }
