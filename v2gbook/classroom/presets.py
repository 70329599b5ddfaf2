"""Regional presets: nominal frequency, currency, rules and example systems.

They are read from `v2gbook/data/presets/*.toml`. A chapter's `parameters` cell starts with
`region = presets.current()`; nothing else in a notebook names a region.
"""

import difflib
import math
import os
import re
import tomllib
import warnings
from dataclasses import dataclass, fields
from pathlib import Path

from . import _notebook

FOLDER = Path(__file__).parents[1] / "data" / "presets"
DEFAULTS = {"preset": "na-60hz", "course": "v2gbook"}
EXAMPLE = 'a line looks like  preset = "na-60hz"'


class Table(dict):
    """A table of a preset; a key that it lacks is named together with its file and table."""

    def __init__(self, values, where):
        super().__init__(
            {key: _tables(value, f"{where}, [{key}]") for key, value in values.items()}
        )
        self.where = where

    def __missing__(self, key):
        raise Lacking(f"{self.where}: the key {key!r} is missing; there are {', '.join(self)}")


class Lacking(KeyError):
    """A key that a preset's table lacks; shown as the sentence that it carries."""

    def __str__(self):
        return self.args[0]


def _tables(value, where):
    """The value of a preset, with a Table for each plain dict in it."""
    return Table(value, where) if isinstance(value, dict) else value


@dataclass(frozen=True, kw_only=True)
class Preset:
    """One region. `tables` holds a table of plain values for each topic.

    An example is `region.frequency["loss_mw"]`.
    """

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
        if topic.startswith("_"):  # asked for while a copy is made and has no fields yet
            raise AttributeError(topic)
        if topic not in self.tables:
            raise AttributeError(
                f"preset {self.key!r} has no table [{topic}]; it has {', '.join(self.tables)}"
            )
        return self.tables[topic]


def names():
    """Names of all presets."""
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(key):
    """Read one preset.

    Raises
    ------
    ValueError
        If there is no preset of that name, or its file has a missing, unknown or impossible entry.
    """
    if key not in names():
        raise ValueError(
            f"there is no preset {key!r}; known presets are {', '.join(names())} "
            "(files in v2gbook/data/presets)"
        )
    path = FOLDER / f"{key}.toml"
    raw = _read(path)
    tables = {name: value for name, value in raw.items() if isinstance(value, dict)}
    plain = {name: value for name, value in raw.items() if name not in tables}
    _check_preset(path, plain)
    tables = {name: Table(value, f"{path.name}, [{name}]") for name, value in tables.items()}
    return Preset(key=key, tables=tables, **plain)


def _read(path):
    """A TOML file as a dict, or a sentence that names the file."""
    try:
        return tomllib.loads(path.read_text(encoding="utf-8-sig"))
    except UnicodeDecodeError:
        raise ValueError(
            f"{path} cannot be read: it is not UTF-8 text; save it again with the encoding UTF-8"
        ) from None
    except (tomllib.TOMLDecodeError, RecursionError) as error:
        raise ValueError(f"{path} cannot be read: {error}; {EXAMPLE}") from None
    except OSError as error:
        raise ValueError(f"{path} cannot be read: {error.strerror}") from None


def _check_keys(path, given, wanted):
    """Refuse a key that nobody reads; most often it is a typing error."""
    for key in given:
        if key not in wanted:
            near = difflib.get_close_matches(key, wanted, 1)
            meant = f"; did you mean {near[0]!r}?" if near else ""
            raise ValueError(
                f"{path}: the key {key!r} is unknown{meant} (allowed are {', '.join(wanted)})"
            )


def _text(value):
    return isinstance(value, str) and value.strip() != ""


def _above_zero(value):
    is_number = isinstance(value, (int, float)) and not isinstance(value, bool)
    return is_number and math.isfinite(value) and value > 0


def _texts(value):
    return isinstance(value, list) and all(map(_text, value))


# What an entry must be, by the type that the dataclass gives it.
_FITS = {
    str: (_text, "text in quotes"),
    float: (_above_zero, "a number above 0"),
    int: (_above_zero, "a number above 0"),
    list: (_texts, "a list of texts"),
}


def _check_preset(path, plain):
    """Refuse a preset with a missing, unknown or impossible entry outside of its tables."""
    wanted = {
        field.name: field.type for field in fields(Preset) if field.name not in ("key", "tables")
    }
    _check_keys(path, plain, list(wanted))
    for name, kind in wanted.items():
        fits, allowed = _FITS[kind]
        if name not in plain:
            raise ValueError(f"{path}: the key {name!r} is missing; it must be {allowed}")
        if not fits(plain[name]):
            raise ValueError(f"{path}: {name} = {plain[name]!r}; it must be {allowed}")
    if not re.fullmatch("[A-Z]{3}", plain["currency"]):
        raise ValueError(
            f"{path}: currency = {plain['currency']!r}; it must be an ISO code of "
            'three capital letters, such as "USD"'
        )


def course_root():
    """Folder of the course: the nearest one that holds course.toml, else the working folder.

    It is looked for upwards of the working folder, then upwards of the notebook's own folder.
    """
    here, notebook = Path.cwd(), _notebook.path()
    places = [here, *here.parents, *(notebook.parents if notebook else [])]
    return next((folder for folder in places if (folder / "course.toml").exists()), here)


def course():
    """What the instructor set in course.toml (preset, course), with defaults for the rest."""
    return DEFAULTS | _course_file()


def _course_file():
    """The entries of course.toml; none if there is no such file."""
    path = course_root() / "course.toml"
    if not path.exists():
        return {}
    settings = _read(path)
    _check_keys(path, settings, list(DEFAULTS))
    for name, value in settings.items():
        if not _text(value):
            raise ValueError(f"{path}: {name} = {value!r}; it must be text in quotes")
    return settings


def current():
    """The preset that holds here.

    It is named by the environment's V2GBOOK_PRESET, else by course.toml, else by the notebook as it
    was stored. If nobody names one, it is na-60hz, and a warning says so.
    """
    found = _named((_from_environment, _from_course, _from_notebook))
    if found is None:
        warnings.warn(fallback_words(), stacklevel=2)
        return load(DEFAULTS["preset"])
    return found


def of_sheet():
    """The preset of an exercise sheet, or None if nobody names one.

    The numbers of a sheet must not depend on the folder in which it runs, so the preset that the
    notebook was stored with comes before course.toml.
    """
    return _named((_from_environment, _from_notebook, _from_course))


def fallback_words():
    """What is said where nobody names a region."""
    default = load(DEFAULTS["preset"])
    return (
        "No region is set (there is no course.toml here or above, and this notebook names "
        f"none), so the numbers are those of {default.label} ({default.key})."
    )


def _named(sources):
    """The first preset that one of the sources names; a wrong name says where it stands."""
    for source in sources:
        key, where = source()
        if key and key not in names():
            raise ValueError(
                f"{where}: there is no preset {key!r}; known presets are "
                f"{', '.join(names())} (files in v2gbook/data/presets)"
            )
        if key:
            return load(key)
    return None


def _from_environment():
    return os.environ.get("V2GBOOK_PRESET"), "environment variable V2GBOOK_PRESET"


def _from_course():
    return _course_file().get("preset"), f"{course_root() / 'course.toml'}, preset"


def _from_notebook():
    return _notebook.stored_preset(), "preset in the metadata of this notebook"
