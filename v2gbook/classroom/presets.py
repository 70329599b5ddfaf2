"""Regional presets: nominal frequency, currency, rules and example systems.

They are read from `v2gbook/classroom/data/presets/*.toml`. A chapter's `parameters` cell starts
with `region = presets.current()`; nothing else in a notebook names a region.
"""

import difflib
import math
import os
import re
import tomllib
import warnings
from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

from . import _notebook

FOLDER = Path(__file__).parent / "data" / "presets"
DEFAULTS = {"preset": "na-60hz", "course": "v2gbook"}
EXAMPLE = 'a line looks like  preset = "na-60hz"'


class Table(dict[str, Any]):
    """A table of a preset; a key that it lacks is named together with its file and table.

    Parameters
    ----------
    values : dict
        The entries.
    where : str
        File and table, for a message.
    """

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
    """One region: a few facts, and a table of plain values for each topic.

    A table is read as an attribute: `region.frequency["loss_mw"]`.

    Attributes
    ----------
    key, label : str
        Name of the file, and of the region.
    f0_hz : float
        Nominal frequency [Hz].
    currency : str
        ISO code, such as "USD".
    energy_price_unit, market_price_unit : str
        How prices of energy are written for customers, and in markets.
    settlement_min : int
        Length of a settlement period [min].
    names : list of str
        What the region calls its services.
    tables : dict
        A `Table` for each topic.
    """

    key: str
    label: str
    f0_hz: float
    currency: str
    energy_price_unit: str
    market_price_unit: str
    settlement_min: int
    names: list[str]
    tables: dict[str, Any]

    def __getattr__(self, topic):
        if topic.startswith("_"):  # asked for while a copy is made and has no fields yet
            raise AttributeError(topic)
        if topic not in self.tables:
            raise AttributeError(
                f"preset {self.key!r} has no table [{topic}]; it has {', '.join(self.tables)}"
            )
        return self.tables[topic]


def names() -> list[str]:
    """Names of all presets.

    Returns
    -------
    list of str
        In alphabetical order.

    Examples
    --------
    >>> names()
    ['eu-50hz', 'gb-50hz', 'na-60hz']
    """
    return sorted(path.stem for path in FOLDER.glob("*.toml"))


def load(key: str) -> Preset:
    """Read one preset.

    Parameters
    ----------
    key : str
        One of `names()`.

    Returns
    -------
    Preset
        The region.

    Raises
    ------
    ValueError
        If there is no preset of that name, or its file has a missing, unknown or impossible entry.

    Examples
    --------
    >>> load("gb-50hz").f0_hz
    50.0
    """
    if key not in names():
        raise ValueError(
            f"there is no preset {key!r}; known presets are {', '.join(names())} "
            "(files in v2gbook/classroom/data/presets)"
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
_FITS: dict[Any, Any] = {
    str: (_text, "text in quotes"),
    float: (_above_zero, "a number above 0"),
    int: (_above_zero, "a number above 0"),
    list[str]: (_texts, "a list of texts"),
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


def course_root() -> Path:
    """Folder of the course: the nearest one that holds course.toml, else the working folder.

    It is looked for upwards of the working folder, then upwards of the notebook's own folder.

    Returns
    -------
    Path
        The folder.

    Examples
    --------
    >>> course_root().is_dir()
    True
    """
    here = Path.cwd()
    notebook = _notebook.path()
    places = [here, *here.parents, *(notebook.parents if notebook else [])]
    return next((folder for folder in places if (folder / "course.toml").exists()), here)


def course() -> dict[str, str]:
    """What the instructor set in course.toml, with defaults for the rest.

    Returns
    -------
    dict
        The entries `preset` and `course`.

    Examples
    --------
    >>> sorted(course())
    ['course', 'preset']
    """
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


def current() -> Preset:
    """The preset that holds here.

    It is named by the environment's V2GBOOK_PRESET, else by course.toml, else by the notebook as it
    was stored. If nobody names one, it is na-60hz, and a warning says so.

    Returns
    -------
    Preset
        The region.

    Examples
    --------
    >>> current().key in names()
    True
    """
    found = _named((_from_environment, _from_course, _from_notebook))
    if found is None:
        warnings.warn(fallback_words(), stacklevel=2)
        return load(DEFAULTS["preset"])
    return found


def of_sheet() -> Preset | None:
    """The preset of an exercise sheet, or None if nobody names one.

    The numbers of a sheet must not depend on the folder in which it runs, so the preset that the
    notebook was stored with comes before course.toml.

    Returns
    -------
    Preset or None
        The region.

    Examples
    --------
    >>> of_sheet().key in names()
    True
    """
    return _named((_from_environment, _from_notebook, _from_course))


def fallback_words() -> str:
    """What is said where nobody names a region.

    Returns
    -------
    str
        A sentence.

    Examples
    --------
    >>> fallback_words().split(".")[0][:16]
    'No region is set'
    """
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
                f"{', '.join(names())} (files in v2gbook/classroom/data/presets)"
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
