"""A wrong argument of any public function ends in a refusal that names it, never in a wrong number.

The example in each docstring is the valid call. It is run once, and what each function was called
with is kept. Then one argument after another is replaced by something wrong. Each such call must
soon end in a ValueError or a TypeError with the argument's name in it, or in a result without NaN.
"""

import contextlib
import copy
import dataclasses
import doctest
import importlib
import inspect
import signal
import sys
import warnings

import numpy as np
import pandas as pd
import pytest
from test_help import EVERYTHING, MODULES

NAN, INF = float("nan"), float("inf")
SECONDS = 5.0  # a refusal takes milliseconds; this only ends what would never end
IN_PER_CENT = ("soc", "eta", "share", "reliability", "presence", "probability", "correlation")
TIMES = ("t_end", "dt_", "duration", "hours", "years", "period", "until", "trials", "steps")
CALLABLES = {
    name: value
    for name, value in EVERYTHING.items()
    if (inspect.isfunction(value) or inspect.isclass(value))
    and not inspect.iscoroutinefunction(value)
    and not (inspect.isclass(value) and not dataclasses.is_dataclass(value))
}


def code_of(value):
    """The code object that runs when this is called."""
    return (value.__init__ if inspect.isclass(value) else inspect.unwrap(value)).__code__


@pytest.fixture(scope="module")
def calls():
    """Arguments of the first call of each function, and of each class, in the examples."""
    owners = {id(code_of(value)): name for name, value in CALLABLES.items()}
    found = {}

    def watch(frame, event, _):
        name = owners.get(id(frame.f_code)) if event == "call" else None
        if name and name not in found:
            given = inspect.signature(CALLABLES[name]).parameters
            with contextlib.suppress(Exception):  # what cannot be copied cannot be tried again
                found[name] = copy.deepcopy({key: frame.f_locals[key] for key in given})

    for module in map(importlib.import_module, (f"v2gbook.{name}" for name in MODULES)):
        runner = doctest.DocTestRunner(verbose=False)
        for test in doctest.DocTestFinder().find(module):
            sys.setprofile(watch)
            try:
                runner.run(test, out=lambda _: None)
            finally:
                sys.setprofile(None)
    return found


def wrongs(name, value):
    """Things of a wrong kind, size or shape for an argument that had this value."""
    if value is None or isinstance(value, bool) or callable(value):
        return
    yield from {"None": None, "a text": "a lot", "an object": object()}.items()
    if isinstance(value, str):
        yield "a number", 3.5
        return
    if isinstance(value, (pd.DataFrame, pd.Series)):
        yield from tables(value)
        return
    if isinstance(value, (list, tuple)) and not numbers(value):
        yield "one alone", value[0] if value else 3.5
        return
    if not numbers(value):
        yield "a number", 3.5
        return
    array = np.asarray(value, float)
    yield "NaN", spoiled(array, NAN)
    yield "infinity", spoiled(array, INF)
    yield "minus infinity", spoiled(array, -INF)
    yield "nothing", []
    yield "negative", -np.abs(value) - 1
    yield "huge", 1e300
    yield "another shape", np.broadcast_to(array.flat[0] if array.size else 1.0, (7, 3, 5)).copy()
    yield "masked", np.ma.masked_array(np.atleast_1d(array), mask=True)
    if isinstance(value, int) or any(word in name for word in TIMES):
        yield "endless", 10**13
    if any(part.startswith(IN_PER_CENT) for part in name.split("_")):
        yield "per cent", 50.0


def tables(frame):
    """Tables like this one that nobody can use."""
    yield "an empty table", frame.iloc[:0]
    if isinstance(frame, pd.DataFrame):
        yield "no columns", frame[[]]
    spoilt = frame.copy()
    floats = isinstance(frame, pd.Series) or [c for c in frame if frame[c].dtype.kind == "f"]
    if isinstance(frame, pd.Series) and frame.dtype.kind in "fi":
        yield "NaN", frame.astype(float).where(np.arange(len(frame)) > 0)
    elif isinstance(frame, pd.DataFrame) and floats:
        spoilt.iloc[0, list(frame).index(floats[0])] = NAN
        yield "NaN", spoilt
    if isinstance(frame.index, pd.DatetimeIndex):
        yield "an index of text", frame.set_axis(frame.index.astype(str))


def numbers(value):
    """Is this a number, or an array of numbers?"""
    if isinstance(value, (int, float, np.number)):
        return True
    with contextlib.suppress(ValueError, TypeError):
        return np.asarray(value).dtype.kind in "biuf" and np.size(value) > 0
    return False


def spoiled(array, wrong):
    """One entry is wrong."""
    if array.ndim == 0:
        return wrong
    array = array.copy()
    array.flat[-1] = wrong
    return array


def loose(result):
    """All numbers in a result, whatever it is made of."""
    if isinstance(result, (float, np.floating)):
        yield float(result)
    elif isinstance(result, np.ndarray) and result.dtype.kind == "f":
        yield from result.ravel()
    elif isinstance(result, (pd.DataFrame, pd.Series, pd.Index)):
        for column in [result] if not isinstance(result, pd.DataFrame) else result.items():
            values = np.asarray(column[1] if isinstance(column, tuple) else column)
            yield from values[np.isnan(values)] if values.dtype.kind == "f" else ()
    elif dataclasses.is_dataclass(result) and not isinstance(result, type):
        for field in dataclasses.fields(result):
            yield from loose(getattr(result, field.name))
    elif isinstance(result, (tuple, list)):
        for each in result:
            yield from loose(each)
    elif isinstance(result, dict):
        for each in result.values():
            yield from loose(each)


@contextlib.contextmanager
def soon():
    """Ends what takes too long, where the system can."""
    if not hasattr(signal, "setitimer"):
        yield
        return

    def late(*_):
        raise TimeoutError(f"no end in {SECONDS:g} s")

    before = signal.signal(signal.SIGALRM, late)
    signal.setitimer(signal.ITIMER_REAL, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, before)


def attempt(name, arguments, changed):
    """What is wrong with the answer to these arguments, of which one is changed; "" if nothing."""
    call = CALLABLES[name]
    given = copy.deepcopy(arguments)
    try:
        with soon(), warnings.catch_warnings():
            warnings.simplefilter("error")
            result = called(call, given)
    except (ValueError, TypeError) as refusal:
        named = changed.lstrip("_") in str(refusal)
        return "" if named else f"{type(refusal).__name__} without the name: {refusal}"
    except Exception as raw:
        return f"{type(raw).__name__}: {raw}"
    if any(number != number for number in loose(result)):
        return "NaN comes out"
    return ""


def called(call, arguments):
    """Call with arguments by name, whatever kind each parameter is of."""
    positional, by_name = [], {}
    for key, parameter in inspect.signature(call).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += arguments[key]
        elif parameter.kind is parameter.VAR_KEYWORD:
            by_name |= arguments[key]
        elif parameter.kind is parameter.KEYWORD_ONLY:
            by_name[key] = arguments[key]
        else:
            positional.append(arguments[key])
    return call(*positional, **by_name)


def short(text):
    return text if len(text) < 200 else f"{text[:200]}..."


@pytest.fixture(autouse=True)
def elsewhere(monkeypatch, tmp_path):
    """What a call may write goes into a folder of the test."""
    monkeypatch.chdir(tmp_path)


@pytest.mark.parametrize("name", CALLABLES)
def test_every_function_has_an_example_that_calls_it(name, calls):
    assert name in calls or is_result(CALLABLES[name]) or name.count(".") > 1


def is_result(value):
    """A record that only functions of the book build."""
    return inspect.isclass(value) and ">>>" not in (value.__doc__ or "")


@pytest.mark.parametrize("name", CALLABLES)
def test_wrong_arguments_are_refused_by_name(name, calls):
    faults = []
    arguments = calls.get(name, {})
    for key, value in arguments.items():
        if key == "self" or is_result(CALLABLES[name]):
            continue
        for kind, wrong in wrongs(key, value):
            fault = attempt(name, arguments | {key: wrong}, key)
            if fault:
                faults.append(f"{key} {kind}: {short(fault)}")
    assert "\n".join(faults) == ""


@pytest.mark.parametrize("name", CALLABLES)
def test_inputs_stay_as_they_were(name, calls):
    if name not in calls:  # a result, or a method
        return
    before = copy.deepcopy(calls[name])
    given = copy.deepcopy(calls[name])
    with soon():
        called(CALLABLES[name], given)
    generators = {key for key, value in given.items() if isinstance(value, np.random.Generator)}
    for key in given.keys() - generators:
        assert same(given[key], before[key]), key


def same(a, b):
    """Equal, also for arrays, tables, and records that hold them."""
    if isinstance(a, (pd.DataFrame, pd.Series, pd.Index)):
        return a.equals(b)
    if isinstance(a, np.ndarray):
        return np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
    if dataclasses.is_dataclass(a) and not isinstance(a, type):
        return all(
            same(getattr(a, field.name), getattr(b, field.name)) for field in dataclasses.fields(a)
        )
    if isinstance(a, dict):
        return a.keys() == b.keys() and all(same(a[key], b[key]) for key in a)
    if isinstance(a, (list, tuple)):
        return len(a) == len(b) and all(map(same, a, b))
    return callable(a) or type(a).__eq__ is object.__eq__ or a == b


def careful(p_kw):
    """Refuses what is no finite number."""
    if not np.isfinite(np.asarray(p_kw, float)).all():
        raise ValueError(f"p_kw is {p_kw}; it must be finite")
    return 2 * np.asarray(p_kw, float)


def careless(p_kw):
    """Lets anything through."""
    return 2 * np.asarray(p_kw, float)


def endless(p_kw):
    """Never comes back."""
    while True:
        p_kw = p_kw


def mute(p_kw):
    """Refuses without saying what."""
    raise ValueError("no")


@pytest.mark.parametrize(
    ("function", "wrong", "fault"),
    [
        (careful, NAN, ""),
        (careless, NAN, "NaN comes out"),
        (careless, None, "NaN comes out"),
        (careless, "a lot", "ValueError without the name"),
        (mute, 1.0, "ValueError without the name"),
        (endless, 1.0, "TimeoutError"),
    ],
)
def test_canary_of_an_attempt(monkeypatch, function, wrong, fault):
    monkeypatch.setitem(CALLABLES, "canary", function)
    monkeypatch.setitem(globals(), "SECONDS", 0.2)
    found = attempt("canary", {"p_kw": wrong}, "p_kw")
    assert found.startswith(fault)
    assert bool(found) == bool(fault)
