"""Regional presets: nominal frequency, currency, rules and example systems, read from `v2gbook/data/presets/*.toml`.

A chapter's `parameters` cell starts with `region = presets.current()`; nothing else in a notebook names a region.
"""

import os
import tomllib
from dataclasses import dataclass
from pathlib import Path

FOLDER = Path(__file__).parents[1] / "data" / "presets"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One region. `tables` holds a table of plain values for each topic: `region.frequency["loss_mw"]`."""

    key: str
    label: str
    f0_hz: float
    currency: str
    energy_price_unit: str
    market_price_unit: str
    settlement_min: int
    names: list
    tables: dict

    def __getattr__(self, topic):
        if topic.startswith("_") or topic not in self.tables:
            raise AttributeError(f"preset {self.key!r} has no table [{topic}]; it has {', '.join(self.tables)}")
        return self.tables[topic]


def names():
    """Names of all presets."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(key):
    """Read one preset. Raises ValueError, with the list of presets, if there is none of that name."""
    if key not in names():
        raise ValueError(f"there is no preset {key!r}; known presets are {', '.join(names())} (files in v2gbook/data/presets)")
    raw = tomllib.loads((FOLDER / f"{key}.toml").read_text(encoding="utf-8"))
    tables = {name: table for name, table in raw.items() if isinstance(table, dict)}
    return Preset(key=key, tables=tables, **{name: value for name, value in raw.items() if name not in tables})


def course_root():
    """Folder of the course: the nearest one upwards that holds course.toml, else the working folder."""
    here = Path.cwd()
    return next((folder for folder in (here, *here.parents) if (folder / "course.toml").exists()), here)


def course():
    """What the instructor set in course.toml (preset, course), with defaults where the file is missing."""
    settings = {"preset": "na-60hz", "course": "v2gbook"}
    path = course_root() / "course.toml"
    if path.exists():
        try:
            settings |= tomllib.loads(path.read_text(encoding="utf-8"))
        except tomllib.TOMLDecodeError as error:
            raise ValueError(f"course.toml cannot be read: {error}; a line looks like  preset = \"na-60hz\"") from None
    return settings


def current():
    """The preset of this course: the environment's V2GBOOK_PRESET if set, else course.toml's."""
    return load(os.environ.get("V2GBOOK_PRESET") or course()["preset"])
