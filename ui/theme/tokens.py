"""Colours and sizes of both themes, by the role they play. No widget names a colour of its own."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Theme:
    """The colours of one theme, as ``#rrggbb``."""

    name: str
    canvas: str
    panel: str
    raised: str
    border: str
    text: str
    muted: str
    accent: str
    good: str
    warn: str
    bad: str
    families: dict[str, str]


DARK = Theme(
    "dark", canvas="#14161A", panel="#1B1E24", raised="#242831", border="#323844", text="#E7EAF0", muted="#98A2B3",
    accent="#4C9BFF", good="#36B37E", warn="#F0A93B", bad="#F26D6D",
    families={
        "data": "#98A2B3", "convolution": "#5AA2FF", "normalisation": "#2FC1B0", "activation": "#F0A93B",
        "pooling": "#A98BFF", "linear": "#58C27D", "merge": "#8FA3BF", "shape": "#8FA3BF", "attention": "#E879C7",
        "regularisation": "#F0A93B", "loss": "#F26D6D", "other": "#98A2B3",
    },
)  # fmt: skip
LIGHT = Theme(
    "light", canvas="#F6F7F9", panel="#FFFFFF", raised="#F0F2F5", border="#D9DEE6", text="#1B1F27", muted="#5F6B7C",
    accent="#1769E0", good="#14804A", warn="#9A5C00", bad="#C62828",
    families={
        "data": "#5F6B7C", "convolution": "#1769E0", "normalisation": "#0B7A6F", "activation": "#9A5C00",
        "pooling": "#6B46D9", "linear": "#14804A", "merge": "#4A5A70", "shape": "#4A5A70", "attention": "#B0208A",
        "regularisation": "#9A5C00", "loss": "#C62828", "other": "#5F6B7C",
    },
)  # fmt: skip

#: Grid and corner radius, in pixels at font scale 1.
GRID = 8
RADIUS = 6
#: Text sizes in pixels at font scale 1: small, normal, large.
SMALL, NORMAL, LARGE = 11, 13, 16

#: An icon of each family (names of qtawesome's Material Design set), so that colour is never the only signal.
FAMILY_ICONS = {
    "data": "mdi6.database", "convolution": "mdi6.grid", "normalisation": "mdi6.chart-bell-curve",
    "activation": "mdi6.chart-line-variant", "pooling": "mdi6.arrow-collapse", "linear": "mdi6.matrix",
    "merge": "mdi6.call-merge", "shape": "mdi6.vector-square", "attention": "mdi6.eye-outline",
    "regularisation": "mdi6.water-outline", "loss": "mdi6.target", "other": "mdi6.cube-outline",
}  # fmt: skip
