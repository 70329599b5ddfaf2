"""What every topic shares: one way to refuse a wrong argument.

A refusal is a ValueError, or a TypeError where something of another kind was given. It names the
argument, says what was given and what is allowed.
"""

import datetime
import math
import tomllib
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any, TypeAlias, TypeGuard

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike

FloatOrArray: TypeAlias = float | np.ndarray
"""A number, or an array of numbers: what functions that broadcast give back."""

Date: TypeAlias = str | datetime.date | np.datetime64
"""A calendar day, as `calendar_day` reads it."""

DATES = (str, datetime.date, np.datetime64)
FOLDER = Path(__file__).parent / "data"
CONFIDENCE = ("read", "from memory", "chosen")  # how a fact in the book's data is known
MOST_STEPS = 50_000_000  # numbers that one call may make; a hundred times a year of minutes
LARGEST = 1e30  # beyond any quantity here; a product of several still is a number

_LIMITS = {
    "gt": (np.less_equal, "above"),
    "ge": (np.less, "at least"),
    "lt": (np.greater_equal, "below"),
    "le": (np.greater, "at most"),
}


# ------------------------------------------------------------------------------------ numbers


def checked(
    name: str,
    value: ArrayLike,
    unit: str = "",
    *,
    gt: float | None = None,
    ge: float | None = None,
    lt: float | None = None,
    le: float | None = None,
    finite: bool = True,
) -> Any:
    """Return a number, or an array of numbers, as floats, or raise a ValueError.

    Parameters
    ----------
    name, unit : str
        What the message calls the argument, and the unit that it adds to the value; a hint in
        round brackets stands behind the limit instead.
    value : float or array
        The argument. Empty or masked arrays, text, NaN and infinity are refused.
    gt, ge, lt, le : float, optional
        Limits: greater than, at least, less than, at most.
    finite : bool
        False allows infinity.

    Returns
    -------
    float or array
        A copy: what is done with it does not reach the caller.

    Raises
    ------
    ValueError
        If the value is not a number, or lies outside of the limits.

    Examples
    --------
    >>> checked("price_per_kwh", [0, 1], ge=0)
    array([0., 1.])
    """
    if _plainly_right(value, gt, ge, lt, le):
        return float(value)
    array = _numbers(name, value)
    if np.isnan(array).any():
        raise ValueError(f"{name} contains NaN (not a number); every value must be known")
    if finite and np.isinf(array).any():
        asked = f"a finite number in {unit}" if unit else "a finite number"
        raise ValueError(f"{name} is infinite; give {asked}")
    if (np.abs(array[np.isfinite(array)]) > LARGEST).any():
        raise ValueError(f"{name} is beyond {LARGEST:g}; no quantity here is that large")
    for kind, limit in {"gt": gt, "ge": ge, "lt": lt, "le": le}.items():
        if limit is not None:
            _within(name, array, unit, kind, limit)
    return plain(array)


def _plainly_right(value: Any, gt, ge, lt, le) -> TypeGuard[float]:
    """Whether this is one number of Python's own that no limit refuses: the quick way through."""
    return (
        type(value) in (float, int)
        and -LARGEST <= value <= LARGEST  # neither NaN nor infinite
        and (gt is None or value > gt)
        and (ge is None or value >= ge)
        and (lt is None or value < lt)
        and (le is None or value <= le)
    )


def _numbers(name, value):
    """The value as a new array of floats with at least one entry."""
    if np.ma.isMaskedArray(value) and np.ma.is_masked(value):
        raise ValueError(f"{name} has masked entries; every value must be known")
    try:
        array = np.asarray(value)
    except ValueError as error:  # lists of different lengths
        raise ValueError(f"{name} must be a number or an even array of numbers") from error
    if array.size and array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be a number or an array of numbers, not {short(value)}")
    if array.size == 0:
        raise ValueError(f"{name} is empty; give at least one number")
    return array.astype(float)


def _within(name, array, unit, kind, limit):
    outside, words = _LIMITS[kind]
    broken = outside(array, limit)
    if broken.any():
        given = repr(float(array[broken].flat[0])).removesuffix(".0")  # 1.0000001 is not 1
        hint = unit.startswith("(")
        given += f" {unit}" if unit and not hint else ""
        allowed = f"{words} {limit:g}" + (f" {unit}" if hint else "")
        raise ValueError(f"{name} is {given}; it must be {allowed}")


def fraction(
    name: str,
    value: ArrayLike,
    *,
    gt: float | None = None,
    ge: float | None = 0.0,
    lt: float | None = None,
    le: float | None = 1.0,
) -> Any:
    """Return a fraction (an efficiency, a state of charge, a probability), as `checked` does.

    Parameters
    ----------
    name : str
        What the message calls the argument.
    value : float or array
        The argument.
    gt, ge, lt, le : float, optional
        Limits; 0 and 1 unless others are given.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError
        If the value is no fraction; for one from 1.5 to 100 the message asks whether it is in
        per cent.

    Examples
    --------
    >>> fraction("soc", 0.85)
    0.85
    """
    if _plainly_right(value, gt, ge, lt, le):
        return float(value)
    array = np.asarray(checked(name, value))
    highest = float(array.max())
    top = le if lt is None else lt
    if top is not None and top < highest and 1.5 <= highest <= 100:
        words = "at most" if lt is None else "below"
        raise ValueError(
            f"{name} is {highest:g}; it must be a fraction, {words} {top:g}: is it in per cent?"
        )
    return checked(name, array, "(a fraction)", gt=gt, ge=ge, lt=lt, le=le)


def whole(name: str, value: Any, unit: str = "", *, ge: int = 1, le: int = MOST_STEPS) -> int:
    """Return a whole number as an int.

    Parameters
    ----------
    name, unit : str
        As in `checked`.
    value : int
        The argument; 3.0 is as good as 3.
    ge, le : int
        Least and most. Without an upper limit a slip of the pen could fill the memory.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the value is not one whole number within the limits.

    Examples
    --------
    >>> whole("n_cars", 100)
    100
    """
    number = one(name, value, unit, ge=ge, le=le)
    if isinstance(value, (bool, np.bool_)) or number != int(number):
        raise ValueError(f"{name} is {value!r}; it must be a whole number")
    return int(number)


def one(name: str, value: Any, unit: str = "", **limits: Any) -> float:
    """Return a single number as a float: as `checked`, but arrays are refused.

    Parameters
    ----------
    name, unit : str
        As in `checked`.
    value : float
        The argument.
    **limits : float or bool
        Those of `checked`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the value is an array, or not within the limits.

    Examples
    --------
    >>> one("dt_h", 0.25, "h", gt=0)
    0.25
    """
    number = checked(name, value, unit, **limits)
    if not isinstance(number, float):
        raise ValueError(f"{name} has shape {np.shape(number)}; give a single number")
    return number


def one_fraction(name: str, value: Any, **limits: Any) -> float:
    """Return a single fraction as a float: as `fraction`, but arrays are refused.

    Parameters
    ----------
    name : str
        What the message calls the argument.
    value : float
        The argument.
    **limits : float
        Those of `fraction`.

    Returns
    -------
    float

    Raises
    ------
    ValueError
        If the value is an array, or no fraction within the limits.

    Examples
    --------
    >>> one_fraction("reliability", 0.9, gt=0, lt=1)
    0.9
    """
    return fraction(name, one(name, value), **limits)


def steps(name: str, end: float, dt: float, *, most: int = MOST_STEPS) -> int:
    """How many steps of `dt` fit into a time that ends at `end`.

    Parameters
    ----------
    name : str
        The argument that sets the end, such as "t_end_s".
    end, dt : float
        End and step, in the same unit, both checked to be above 0 before.
    most : int
        More are refused.

    Returns
    -------
    int
        Rounded to the nearest.

    Raises
    ------
    ValueError
        If there are too many, or none.

    Examples
    --------
    >>> steps("t_end_s", 20.0, 0.02)
    1000
    """
    count = end / dt
    if not 0.5 < count <= most:
        raise ValueError(f"{name} is {end:g}, with steps of {dt:g}; give 1 to {most:g} steps")
    return round(count)


def refuse_large(**counts: int) -> None:
    """Refuse a table whose sides are so long that it would fill the memory.

    Parameters
    ----------
    **counts : int
        Entries along each side, by the argument that they come from.

    Raises
    ------
    ValueError
        If there are more than 50 million in all.

    Examples
    --------
    >>> refuse_large(n_cars=1000, trials=100)
    """
    product = math.prod(counts.values())
    if product > MOST_STEPS:
        told = " times ".join(f"{name} ({count:,})" for name, count in counts.items())
        raise ValueError(f"{told} makes {product:g} numbers; give at most {MOST_STEPS:g}")


def equal_steps(
    name: str, step: float, unit: str, *, of: str, span: float, within: float = 1e-6
) -> int:
    """How many steps make up a span of time, if they do so exactly.

    Parameters
    ----------
    name : str
        What the message calls the step.
    step, span : float
        Lengths of both, above 0.
    unit : str
        The unit of both.
    of : str
        What the message calls the span.
    within : float
        A rest of this share of a step counts as a rounding error.

    Returns
    -------
    int

    Raises
    ------
    ValueError
        If the step does not divide the span.

    Examples
    --------
    >>> equal_steps("dt_min", 15, "min", of="a day", span=1440)
    96
    """
    count = span / step
    if round(count) < 1 or abs(count - round(count)) > within:
        raise ValueError(
            f"{name} is {step:g} {unit}; it must divide {of}, {span:g} {unit}, into equal steps"
        )
    return round(count)


def row(name: str, value: ArrayLike, unit: str = "", **limits: Any) -> np.ndarray:
    """Return a series: as `checked`, but the result has exactly one dimension.

    Parameters
    ----------
    name, unit : str
        As in `checked`.
    value : array, shape (n,)
        The argument.
    **limits : float or bool
        Those of `checked`.

    Returns
    -------
    array, shape (n,)

    Raises
    ------
    ValueError
        If the value is a single number or a table.

    Examples
    --------
    >>> row("soc", [0.2, 0.8])
    array([0.2, 0.8])
    """
    array = np.asarray(checked(name, value, unit, **limits))
    if array.ndim != 1:
        raise ValueError(f"{name} has shape {array.shape}; give one series of numbers")
    return array


def together(**values: ArrayLike) -> tuple[int, ...]:
    """Return the shape that these arguments have together, or say whose shapes do not fit.

    Parameters
    ----------
    **values : float or array
        Arguments by name.

    Returns
    -------
    tuple of int
        The shape to which they broadcast.

    Raises
    ------
    ValueError
        If they do not.

    Examples
    --------
    >>> together(p_kw=[1.0, 2.0], q_kvar=0.5)
    (2,)
    """
    try:
        return np.broadcast_shapes(*map(np.shape, values.values()))
    except ValueError:
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in values.items())
        raise ValueError(f"these shapes do not fit each other: {shapes}") from None


def alike(**values: ArrayLike) -> None:
    """Refuse arguments whose shapes are not exactly the same.

    Parameters
    ----------
    **values : array
        Arguments by name.

    Raises
    ------
    ValueError
        If two shapes differ.

    Examples
    --------
    >>> alike(asked=[1.0, 2.0], delivered=[1.0, 1.5])
    """
    if len({np.shape(value) for value in values.values()}) > 1:
        shapes = ", ".join(f"{name} {np.shape(value)}" for name, value in values.items())
        raise ValueError(f"these shapes must be the same: {shapes}")


def flag(name: str, value: Any) -> bool:
    """Return True or False, and refuse what merely resembles them, such as 1 or "yes".

    Parameters
    ----------
    name : str
        What the message calls the argument.
    value : bool
        The argument; NumPy's own kind is as good.

    Returns
    -------
    bool

    Raises
    ------
    TypeError
        If it is anything else.

    Examples
    --------
    >>> flag("keep_going", np.True_)
    True
    """
    if not isinstance(value, (bool, np.bool_)):
        raise TypeError(f"{name} is {short(value)}; it must be True or False")
    return bool(value)


def keep(record: Any, **limits: Mapping[str, Any]) -> None:
    """Check fields of a frozen dataclass, and keep them as `checked` returns them.

    Parameters
    ----------
    record : dataclass instance
        Whose `__post_init__` calls this.
    **limits : dict
        By field, the keywords of `checked`; with `fraction=True`, `one_fraction=True`,
        `whole=True`, `one=True`, `row=True` or `flag=True` those of that check.

    Raises
    ------
    ValueError
        If a field is refused.

    Examples
    --------
    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Battery:
    ...     energy_kwh: float
    ...     soc: float
    ...     def __post_init__(self):
    ...         keep(self, energy_kwh=dict(unit="kWh", gt=0), soc=dict(fraction=True))
    >>> Battery(energy_kwh=60, soc=0.5)
    Battery(energy_kwh=60.0, soc=0.5)
    """
    for name, limit in limits.items():
        options = dict(limit)
        kind = next((kind for kind in _FIELD_CHECKS if options.pop(kind, False)), "number")
        check = _FIELD_CHECKS[kind]
        object.__setattr__(record, name, check(name, getattr(record, name), **options))


def keep_single(record: Any, **limits: Mapping[str, Any]) -> None:
    """Check and keep fields as `keep` does, and refuse arrays in them.

    Parameters
    ----------
    record : dataclass instance
        Whose `__post_init__` calls this.
    **limits : dict
        By field, as in `keep`.

    Raises
    ------
    ValueError
        If a field is refused.

    Examples
    --------
    >>> import dataclasses
    >>> @dataclasses.dataclass(frozen=True, kw_only=True)
    ... class Promise:
    ...     reliability: float
    ...     def __post_init__(self):
    ...         keep_single(self, reliability=dict(fraction=True))
    >>> Promise(reliability=1)
    Promise(reliability=1.0)
    """
    for name, limit in limits.items():
        options = dict(limit)
        kind = "one_fraction" if options.pop("fraction", False) else "one"
        keep(record, **{name: {kind: True, **options}})


_FIELD_CHECKS: dict[str, Any] = {
    "fraction": fraction,
    "one_fraction": one_fraction,
    "whole": whole,
    "one": one,
    "row": row,
    "flag": flag,
    "number": checked,
}


def plain(value: ArrayLike) -> Any:
    """Return a float where an array has no dimension, else the array.

    Parameters
    ----------
    value : float or array
        Any numbers.

    Returns
    -------
    float or array

    Examples
    --------
    >>> plain(np.array(0.3))
    0.3
    """
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array


def finite_result(name: str, value: ArrayLike) -> Any:
    """Return a result, unless an argument is so extreme that it has none.

    Parameters
    ----------
    name : str
        The argument that is to blame.
    value : float or array
        What was computed.

    Returns
    -------
    float or array

    Raises
    ------
    ValueError
        If the result is NaN or infinite.

    Examples
    --------
    >>> finite_result("rate", 0.5)
    0.5
    """
    if not np.isfinite(value).all():
        raise ValueError(f"{name} is so extreme here that the result is no finite number")
    return plain(value)


def first_of(broken: np.ndarray, *values: ArrayLike) -> list[float]:
    """Return the values at the first place where something is broken: what a message tells.

    Parameters
    ----------
    broken : array of bool
        True at one place at least.
    *values : float or array
        Values that broadcast to it.

    Returns
    -------
    list of float

    Examples
    --------
    >>> first_of(np.array([False, True, True]), [1.0, 2.0, 3.0], 9.0)
    [2.0, 9.0]
    """
    place = np.unravel_index(np.argmax(broken), np.shape(broken))
    return [float(np.broadcast_to(value, np.shape(broken))[place]) for value in values]


# -------------------------------------------------------------------------- words and objects


def one_of(name: str, value: Any, allowed: Iterable[Any]) -> Any:
    """Return the value if it is one of those allowed.

    Parameters
    ----------
    name : str
        What the message calls the argument.
    value : str
        The argument.
    allowed : iterable of str
        What it may be.

    Returns
    -------
    str

    Raises
    ------
    ValueError
        If it is none of them.

    Examples
    --------
    >>> one_of("every", "M", ("M", "W", "D"))
    'M'
    """
    known = list(allowed)
    if not any(type(value) is type(each) and value == each for each in known):
        words = ", ".join(map(repr, known))
        raise ValueError(f"{name} is {short(value)}; it must be one of {words}")
    return value


def instance(name: str, value: Any, kind: type | tuple[type, ...]) -> Any:
    """Return the value if it is of this kind.

    Parameters
    ----------
    name : str
        What the message calls the argument.
    value : object
        The argument.
    kind : type or tuple of types
        What it must be.

    Returns
    -------
    object

    Raises
    ------
    TypeError
        If it is of another kind.

    Examples
    --------
    >>> instance("name", "GB", str)
    'GB'
    """
    if not isinstance(value, kind):
        words = " or ".join(_of_topic(each) for each in _kinds(kind))
        raise TypeError(f"{name} is {short(value)}; it must be {_with_article(words)}")
    return value


def _kinds(kind):
    return kind if isinstance(kind, tuple) else (kind,)


def instances(name: str, values: Any, kind: type | tuple[type, ...]) -> tuple[Any, ...]:
    """Return several objects as a tuple, if each is of this kind.

    Parameters
    ----------
    name : str
        What the message calls the argument.
    values : iterable
        The argument: a list or tuple, even if it has one entry only.
    kind : type or tuple of types
        What each entry must be.

    Returns
    -------
    tuple

    Raises
    ------
    TypeError
        If it is no list, or an entry is of another kind.

    Examples
    --------
    >>> instances("names", ["a", "b"], str)
    ('a', 'b')
    """
    if isinstance(values, (*_kinds(kind), str, Mapping)):
        raise TypeError(f"{name} is {short(values)}; put it into a list: [...]")
    try:
        listed = tuple(values)
    except TypeError:
        raise TypeError(f"{name} is {short(values)}; it must be a list") from None
    for place, value in enumerate(listed):
        instance(f"{name}[{place}]", value, kind)
    return listed


def columns(name: str, frame: Any, wanted: Iterable[str]) -> pd.DataFrame:
    """Return a table if it has these columns.

    Parameters
    ----------
    name : str
        What the message calls the argument.
    frame : DataFrame
        The argument.
    wanted : iterable of str
        Columns that it must have.

    Returns
    -------
    DataFrame

    Raises
    ------
    TypeError
        If it is no DataFrame.
    ValueError
        If a column is missing.

    Examples
    --------
    >>> len(columns("trace", pd.DataFrame({"f_hz": [50.0]}), ["f_hz"]))
    1
    """
    instance(name, frame, pd.DataFrame)
    missing = [column for column in wanted if column not in frame.columns]
    if missing:
        has = ", ".join(map(str, frame.columns)) or "none"
        raise ValueError(f"{name} has no column {', '.join(missing)}; it has {has}")
    return frame


def number_columns(name: str, frame: Any, limits: Mapping[str, Mapping[str, Any]]) -> pd.DataFrame:
    """Return these columns of a table as checked floats, on the table's own index.

    Parameters
    ----------
    name : str
        What the message calls the argument.
    frame : DataFrame
        The argument.
    limits : dict
        By column, the keywords of `row`.

    Returns
    -------
    DataFrame

    Raises
    ------
    TypeError
        If it is no DataFrame.
    ValueError
        If a column is missing or empty, or holds a value outside its limits.

    Examples
    --------
    >>> hours = pd.DataFrame({"offered_mw": [1, 2]}, index=[7, 8])
    >>> number_columns("hours", hours, {"offered_mw": {"unit": "MW", "ge": 0}}).loc[8].to_dict()
    {'offered_mw': 2.0}
    """
    columns(name, frame, limits)
    values = {}
    for column, limit in limits.items():
        values[column] = row(f"{name}.{column}", frame[column].to_numpy(), **limit)
    return pd.DataFrame(values, index=frame.index)


def stamps(name: str, index: Any) -> pd.DatetimeIndex:
    """Return an index of time stamps, in order and without doubles.

    Parameters
    ----------
    name : str
        What the message calls the argument.
    index : DatetimeIndex
        The argument.

    Returns
    -------
    DatetimeIndex

    Raises
    ------
    TypeError
        If it holds something else, such as the text of a CSV file.
    ValueError
        If it is empty, has a missing entry, or does not rise.

    Examples
    --------
    >>> len(stamps("time", pd.date_range("2025-01-01", periods=3, freq="h")))
    3
    """
    if not isinstance(index, pd.DatetimeIndex):
        raise TypeError(
            f"{name} must be time stamps (a DatetimeIndex), not {type(index).__name__}; "
            "for text from a file use pd.to_datetime(..., utc=True).tz_convert(zone)"
        )
    if not len(index):
        raise ValueError(f"{name} is empty; give at least one time stamp")
    if index.hasnans:
        raise ValueError(f"{name} has a missing time stamp (NaT)")
    if not index.is_monotonic_increasing or not index.is_unique:
        late = int(np.argmax(np.diff(index.asi8) <= 0)) + 1
        raise ValueError(f"{name} must rise: {index[late]} comes after {index[late - 1]}")
    return index


def calendar_day(name: str, value: Any) -> pd.Timestamp:
    """Return a day, as the time stamp of its midnight without a time zone.

    Parameters
    ----------
    name : str
        What the message calls the argument.
    value : str, date or datetime64
        The argument. Of a time of day, its day counts.

    Returns
    -------
    Timestamp

    Raises
    ------
    TypeError
        If it is of another kind.
    ValueError
        If it is no date from 1900 to 2100.

    Examples
    --------
    >>> calendar_day("first_test", "2020-03-01")
    Timestamp('2020-03-01 00:00:00')
    """
    instance(name, value, DATES)
    try:
        day = pd.Timestamp(value)
    except (ValueError, OverflowError) as error:
        raise ValueError(f"{name} is {short(value)}; give a date such as '2026-06-01'") from error
    if pd.isna(day):
        raise ValueError(f"{name} is a missing date (NaT)")
    if not 1900 <= day.year <= 2100:
        raise ValueError(f"{name} is {value}; give a date from 1900 to 2100")
    return day.tz_localize(None).normalize()


def short(value: Any) -> str:
    """What was given, in a few words.

    Parameters
    ----------
    value : object
        Anything.

    Returns
    -------
    str

    Examples
    --------
    >>> short("together"), short(None), short([1.0] * 1000)
    ("'together'", 'None', 'a list')
    """
    if value is None or isinstance(value, (str, int, float, complex)):
        text = repr(value)
        return text if len(text) <= 60 else f"{text[:57]}..."
    return _with_article(_of_topic(type(value)))


def _with_article(words):
    return f"an {words}" if words[0].lower() in "aeio" else f"a {words}"


def _of_topic(kind):
    """`frequency.Loss`, but plain `list` and `DataFrame`."""
    module = kind.__module__
    return f"{module.split('.')[-1]}.{kind.__name__}" if "v2gbook" in module else kind.__name__


# -------------------------------------------------------------------------- files of the book


def names_in(kind: str) -> list[str]:
    """Names of the TOML files in a folder of the book's data.

    Parameters
    ----------
    kind : str
        The folder, such as "feeders".

    Returns
    -------
    list of str
        In alphabetical order.

    Examples
    --------
    >>> names_in("gridcodes")
    ['en50549_1', 'g99', 'ieee1547_2018']
    """
    return sorted(path.stem for path in (FOLDER / kind).glob("*.toml"))


def read(kind: str, name: str, what: str = "name") -> dict[str, Any]:
    """Read one TOML file of the book's data.

    Parameters
    ----------
    kind : str
        The folder, such as "feeders".
    name : str
        The file, without its ending.
    what : str
        What the message calls the argument.

    Returns
    -------
    dict

    Raises
    ------
    ValueError
        If there is no such file (the message lists those that exist), or it cannot be read.

    Examples
    --------
    >>> read("gridcodes", "g99")["name"]
    'Engineering Recommendation G99'
    """
    one_of(what, name, names_in(kind))
    path = FOLDER / kind / f"{name}.toml"
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ValueError(f"{path.name} in {path.parent} cannot be read: {error}") from error
