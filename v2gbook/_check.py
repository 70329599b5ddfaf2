"""What every topic shares: one way to refuse a bad number, and floats where an array has no dimension."""

import numpy as np


def checked(name, value, unit="", *, gt=None, ge=None, lt=None, le=None, finite=True):
    """Return `value` as a float (or float array), or raise a ValueError that a student can read.

    Parameters
    ----------
    name, unit : str
        What the message calls the argument, and the unit it adds to the limit.
    value : float or array
        The argument. Empty arrays, text, NaN and (unless `finite=False`) infinity are refused.
    gt, ge, lt, le : float, optional
        Limits: greater than, at least, less than, at most.
    """
    try:
        array = np.asarray(value)
    except ValueError:
        array = np.asarray("uneven lists")
    if array.size and array.dtype.kind not in "biuf":
        raise ValueError(f"{name} must be a number or an array of numbers, not {value!r}")
    array = array.astype(float)
    if array.size == 0:
        raise ValueError(f"{name} is empty; give at least one number")
    if np.isnan(array).any():
        raise ValueError(f"{name} contains NaN (not a number); every value must be known")
    if finite and np.isinf(array).any():
        raise ValueError(f"{name} is infinite; give a finite number{f' in {unit}' if unit else ''}")
    for limit, broken, words in (
        (gt, lambda a: a <= gt, "above"),
        (ge, lambda a: a < ge, "at least"),
        (lt, lambda a: a >= lt, "below"),
        (le, lambda a: a > le, "at most"),
    ):
        if limit is not None and broken(array).any():
            culprit = array[broken(array)].flat[0]
            after = f" {unit}" if unit else ""
            raise ValueError(
                f"{name} is {culprit:g}{'' if unit.startswith('(') else after}; it must be {words} {limit:g}{after}"
            )
    return plain(array)


def plain(value):
    """Return a float where an array has no dimension, else the array."""
    array = np.asarray(value)
    return float(array) if array.ndim == 0 else array
