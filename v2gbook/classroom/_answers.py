"""The right answers of the sheets as they are stored, and how an answer is compared with them.

An answer is a number or a few of them. Each number is stored as a keyed digest of its sign and of
the narrow logarithmic bucket in which it lies. That hides it from the eye, not from a determined
search. Every entry of an array has a digest of its own, so no order of entries passes for another,
and nothing cancels out as it can in a sum.
"""

import functools
import hashlib
import json
import math
from pathlib import Path

import numpy as np

from ._student import attempt, quoted_error, quoted_type

CHECKS = Path(__file__).parent / "data" / "checks"
MOST = 100  # entries of an array that can be checked
FINE = 50  # buckets within one tolerance: 1 % accepts what is at most 1.02 % away
NOTHING = 1e-12  # below this a number counts as zero
ROUNDING = 1e-9  # an entry that is so much smaller than the largest one counts as zero
_COMPLEX = (complex, np.complexfloating)


def topics():
    """Numbers and names of all exercise sheets."""
    return sorted(path.stem for path in CHECKS.glob("*.json"))


@functools.cache
def sheet(topic):
    """Title and questions of a sheet, as they are stored. Shared, so nobody may change it."""
    return json.loads((CHECKS / f"{topic}.json").read_text(encoding="utf-8"))


def marks(topic):
    """Marks of each question of a sheet, by its name."""
    return {name: asked["marks"] for name, asked in sheet(topic)["questions"].items()}


# ------------------------------------------------------------------------------ reading an answer


def numbers(answer):
    """An answer as an array of real numbers, and a sentence on what is wrong with it.

    The sentence is empty if nothing is wrong. The answer may be any object; nothing that it does
    while it is read comes through.
    """
    if callable(answer):
        return None, "this question wants a number, not a function; call it and give the result"
    array, error = attempt(np.asarray, answer)
    if error is not None:
        return None, _unreadable(answer, error)
    if np.ma.isMaskedArray(answer) and np.ma.is_masked(answer):
        return None, "the answer has masked entries; fill them or leave them out"
    trouble = _wrong_kind(answer, array)
    if trouble:
        return None, trouble
    array, error = attempt(np.array, array, dtype=float)
    if error is not None:
        return None, _unreadable(answer, error)
    return array, _wrong_values(array)


def _unreadable(answer, error):
    if isinstance(error, (TypeError, ValueError)):
        return _not_numbers(answer)
    return f"this answer could not be read as a number: {quoted_error(error)}"


def _wrong_kind(answer, array):
    """A sentence on numbers of a kind that no question asks for; empty if there are none."""
    mixed = array.dtype.kind == "O"
    if array.dtype.kind == "c" or (mixed and any(isinstance(x, _COMPLEX) for x in array.flat)):
        return "this question wants a real number; take its magnitude or its real part"
    if array.dtype.kind not in "iufO":
        return _not_numbers(answer)
    return ""


def _not_numbers(answer):
    if isinstance(answer, (list, tuple)):
        return "this question wants a number or one flat list of numbers, with nothing else in it"
    return f"this question wants a number, not {quoted_type(answer)}"


def _wrong_values(array):
    if array.size == 0:
        return "the answer is empty"
    if np.isnan(array).any():
        return "the answer contains NaN (not a number); look where it comes from"
    return ""


def summary(answer):
    """An answer as a flat list of numbers; in it, mere rounding errors are zero."""
    flat = np.array(answer, dtype=float).ravel()
    size = np.abs(flat)
    largest = size[np.isfinite(size)].max(initial=0.0)
    return np.where(size < ROUNDING * largest, 0.0, flat).tolist()


# ------------------------------------------------------------------------------ storing, comparing


def bucket(value, tol):
    """Sign and logarithmic bucket of a number; infinity and zero have one of their own."""
    if abs(value) < NOTHING:
        return 0, 0
    if math.isinf(value):
        return math.copysign(9, value), 0
    return math.copysign(1, value), math.floor(math.log(abs(value)) * FINE / tol)


def digest(label, place):
    """Keyed digest of one bucket; `label` names question, preset, variant and position."""
    return _finished(_keyed(label), place)


def _keyed(label):
    """The digest of no bucket yet, to be finished with one."""
    return hashlib.blake2b(key=label.encode()[:64], digest_size=6)


def _finished(keyed, place):
    """A digest that began with `_keyed`; a copy is five times as quick as beginning anew."""
    copy = keyed.copy()
    copy.update(b"%.0f|%d" % place)
    return copy.hexdigest()


def digests(label, values, tol):
    """Digests of a list of numbers as they are stored."""
    return [digest(f"{label}|{i}", bucket(value, tol)) for i, value in enumerate(values)]


def matches(label, values, stored, tol):
    """True where every value differs by at most the share `tol` from the one that was stored."""
    return len(values) == len(stored) and all(agreeing(label, values, stored, tol))


def agreeing(label, values, stored, tol):
    """For each value whether it differs by at most the share `tol` from the one that was stored."""
    for i, (value, want) in enumerate(zip(values, stored)):
        yield _within(f"{label}|{i}", value, want, tol)


def alike(values, others, tol):
    """What `matches` would say if the others were stored; much quicker than by their digests."""
    if len(values) != len(others):
        return False
    if any(_far(value, other, tol) for value, other in zip(values, others)):
        return False
    return all(_next_to(value, other, tol) for value, other in zip(values, others))


def _far(value, other, tol):
    """Are two numbers too far apart for one bucket? This tells most of them apart, and quickly."""
    size = max(abs(value), abs(other))
    return abs(value - other) > 2 * tol * size > NOTHING


def _next_to(value, other, tol):
    """Does the other number lie in one of the buckets around a value?"""
    sign, places = _around(value, tol)
    other_sign, place = bucket(other, tol)
    return other_sign == sign and place in places


def _within(label, value, want, tol):
    """Does the stored number lie in one of the buckets around a value?"""
    keyed = _keyed(label)
    sign, places = _around(value, tol)
    return any(_finished(keyed, (sign, place)) == want for place in places)


def _around(value, tol):
    """The buckets of all numbers that differ from a value by at most the share `tol`.

    Their sign, and a range of places.
    """
    sign, place = bucket(value, tol)
    if sign not in (1, -1):
        return sign, range(place, place + 1)
    lowest = bucket(abs(value) / (1 + tol), tol)[1]
    highest = bucket(abs(value) / (1 - tol), tol)[1]
    return sign, range(lowest, highest + 1)
