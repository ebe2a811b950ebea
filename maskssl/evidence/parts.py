"""What each table has: its settings, and all of them by name."""

from .byol_study import STUDY as STUDIED
from .sets import FROZEN, STUDY, TRAINED, YARDSTICK
from .settings import OWN, SETTINGS, Setting

EVERY: dict[str, Setting] = {**SETTINGS, **OWN, **STUDIED}
_SETTINGS_OF = {
    FROZEN: SETTINGS,
    TRAINED: {name: one for name, one in SETTINGS.items() if one.trained},
    STUDY: STUDIED,
    YARDSTICK: {},
}


def settings_of(part: str) -> dict[str, Setting]:
    """The settings that a part is asked for by name; a trained one brings its own pictures'."""
    return _SETTINGS_OF[part]
