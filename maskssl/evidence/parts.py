"""What each table has: its settings, and all of them by name."""

from .byol_study import STUDY as STUDIED
from .sets import FROZEN, LENGTH, SMALL, STUDY, TRAINED, YARDSTICK
from .settings import LENGTHS, OWN, SETTINGS, Setting
from .settings import SMALL as SMALL_ONES

EVERY: dict[str, Setting] = {**SETTINGS, **LENGTHS, **OWN, **STUDIED, **SMALL_ONES}
_SETTINGS_OF = {
    FROZEN: SETTINGS,
    TRAINED: {name: one for name, one in SETTINGS.items() if one.trained},
    STUDY: STUDIED,
    SMALL: SMALL_ONES,
    LENGTH: LENGTHS,
    YARDSTICK: {},
}


def settings_of(part: str) -> dict[str, Setting]:
    """The settings that a part is asked for by name; a trained one brings its own pictures'."""
    return _SETTINGS_OF[part]
