"""Every colour pair that carries meaning, measured again from the stylesheet itself."""

import re
from pathlib import Path

import pytest

import bursa.web

CSS = (Path(bursa.web.__file__).parent / "static/css/bursa.css").read_text()
GROUNDS = ("page", "sunk", "panel", "raised", "hover", "nila-wash")

# WCAG 2 contrast, the lowest over GROUNDS.
TEXTS = {
    "dark": {
        "text": 12.6, "muted": 6.9, "faint": 4.8, "nila": 7.3, "up": 7.2, "down": 5.9,
        "flat": 6.4, "warn": 7.6, "gap": 6.4, "bad": 6.0, "sogan": 7.3, "edge": 3.1,
    },
    "light": {
        "text": 14.6, "muted": 6.3, "faint": 4.8, "nila": 7.0, "up": 5.3, "down": 4.8,
        "flat": 5.2, "warn": 5.4, "gap": 5.7, "bad": 5.4, "sogan": 5.4, "edge": 3.3,
    },
}  # fmt: skip
ON_FILL = {"dark": 5.0, "light": 8.4}
IDX_ON_HOVER = {"dark": (6.9, 5.5, 9.2), "light": (4.8, 4.8, 4.9)}
ON_OWN_WASH = {"dark": (6.7, 5.9), "light": (5.4, 4.8)}


NEAR = 0.06  # the figures above are to one decimal


def tokens(theme: str, updown: str = "safe") -> dict[str, str]:
    """Token -> `#rrggbb` as the cascade leaves them for a theme and a direction choice."""
    selectors = [
        f':root[data-theme="{theme}"]',
        f':root[data-theme="{theme}"][data-updown="{updown}"]',
    ]
    found: dict[str, str] = {}
    for head, body in re.findall(r"([^{}]+)\{([^{}]*)\}", CSS):
        names = [part.strip() for part in head.rpartition("*/")[2].split(",")]
        if any(name in selectors for name in names):
            found |= dict(re.findall(r"--([\w-]+):\s*(#[0-9a-f]{6})", body))
    return found


def luminance(color: str) -> float:
    parts = (int(color[at : at + 2], 16) / 255 for at in (1, 3, 5))
    red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in parts)
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    low, high = sorted((luminance(one), luminance(other)))
    return (high + 0.05) / (low + 0.05)


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_text_and_shapes_stand_out_from_every_ground(theme: str) -> None:
    have = tokens(theme)
    measured = {
        name: min(contrast(have[name], have[ground]) for ground in GROUNDS) for name in TEXTS[theme]
    }
    assert measured == pytest.approx(TEXTS[theme], abs=NEAR)
    assert contrast(have["on-nila"], have["nila-fill"]) == pytest.approx(ON_FILL[theme], abs=NEAR)


@pytest.mark.parametrize("theme", ["dark", "light"])
@pytest.mark.parametrize("updown", ["safe", "idx", "asia"])
def test_directions_can_be_read_in_every_choice(theme: str, updown: str) -> None:
    have = tokens(theme, updown)
    assert all(
        contrast(have[name], have[ground]) >= 4.5
        for name in ("up", "down", "flat")
        for ground in GROUNDS
    )
    assert all(contrast(have[name], have[f"{name}-wash"]) >= 4.5 for name in ("up", "down"))


@pytest.mark.parametrize("theme", ["dark", "light"])
def test_directions_on_hover_and_on_their_washes(theme: str) -> None:
    jakarta, safe = tokens(theme, "idx"), tokens(theme)
    hover = [contrast(jakarta[name], jakarta["hover"]) for name in ("up", "down", "flat")]
    wash = [contrast(safe[name], safe[f"{name}-wash"]) for name in ("up", "down")]
    assert hover == pytest.approx(IDX_ON_HOVER[theme], abs=NEAR)
    assert wash == pytest.approx(ON_OWN_WASH[theme], abs=NEAR)


def test_red_rises_with_the_same_two_colours() -> None:
    for theme in ("dark", "light"):
        safe, asia = tokens(theme), tokens(theme, "asia")
        assert (asia["up"], asia["down"]) == (safe["down"], safe["up"])
        assert asia["live"] == safe["live"]
