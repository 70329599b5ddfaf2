"""What every topic shares: how a wrong argument is refused."""

import dataclasses

import numpy as np
import pandas as pd
import pytest

from v2gbook import _check, frequency

HOURS = pd.date_range("2025-10-26", periods=3, freq="h")


@pytest.mark.parametrize(
    "value, limits, words",
    [
        ("a", {}, "must be a number"),
        ([], {}, "is empty"),
        (np.nan, {}, "contains NaN"),
        (np.inf, {}, "is infinite"),
        (0.0, {"gt": 0}, "x is 0 MW; it must be above 0$"),
        ([1, -2], {"ge": 0}, "x is -2 MW; it must be at least 0$"),
        (1.0, {"lt": 1}, "is 1 MW; it must be below 1$"),
        (1.0000001, {"le": 1}, "is 1.0000001 MW; it must be at most 1$"),
        (1e300, {}, "x is beyond 1e[+]30"),
        (None, {}, "must be a number"),
        ("500", {}, "must be a number"),
        (b"5", {}, "must be a number"),
        (1 + 2j, {}, "must be a number"),
        ([[1], [2, 3]], {}, "must be a number"),
        ({"a": 1}, {}, "must be a number"),
        (np.ma.masked_array([1.0, 2.0], mask=[False, True]), {}, "masked"),
    ],
)
def test_checked_says_what_is_allowed(value, limits, words):
    with pytest.raises(ValueError, match=words):
        _check.checked("x", value, "MW", **limits)


def test_a_hint_stands_behind_the_limit():
    with pytest.raises(ValueError, match=r"x is 3; it must be at most 1 \(a share\)$"):
        _check.checked("x", 3, "(a share)", le=1)


def test_checked_passes_a_number_through():
    assert _check.checked("x", 3) == 3.0


def test_checked_passes_infinity_through_where_it_is_allowed():
    assert _check.checked("x", np.inf, finite=False) == np.inf


def test_checked_gives_a_copy():
    given = np.array([1.0, 2.0])
    kept = _check.checked("x", given)
    kept[0] = 5.0
    assert given[0] == 1.0


@pytest.mark.parametrize("value", [1.5, 85, [0.2, 100]])
def test_a_fraction_in_per_cent_is_asked_about(value):
    with pytest.raises(ValueError, match=r"soc is .*: is it in per cent\?"):
        _check.fraction("soc", value)


@pytest.mark.parametrize("value", [-0.1, 1.01, 101])
def test_no_fraction(value):
    with pytest.raises(ValueError, match="soc is"):
        _check.fraction("soc", value)


def test_a_fraction_at_its_limit_is_not_below_it():
    with pytest.raises(ValueError, match="must be below 2"):
        _check.fraction("reverse", 2, lt=2, le=None)


@pytest.mark.parametrize("value", [1.5, True, 0, 10**9, [3, 4], "3", np.nan])
def test_no_whole_number(value):
    with pytest.raises(ValueError, match="n_cars"):
        _check.whole("n_cars", value)


def test_a_whole_number_may_be_written_with_a_point():
    assert _check.whole("n_cars", 3.0) == 3


@pytest.mark.parametrize("end, dt", [(1e9, 1e-3), (0.001, 1.0)])
def test_too_many_steps_or_none(end, dt):
    with pytest.raises(ValueError, match="t_end_s"):
        _check.steps("t_end_s", end, dt)


def test_shapes_that_do_not_fit_are_named():
    with pytest.raises(ValueError, match=r"a \(2,\), b \(3,\)"):
        _check.together(a=[1, 2], b=[1, 2, 3])


def test_shapes_that_are_not_the_same_are_named():
    with pytest.raises(ValueError, match=r"a \(2,\), b \(\)"):
        _check.alike(a=[1, 2], b=1.0)


@pytest.mark.parametrize("value", [1.0, [[1.0, 2.0]]])
def test_no_series(value):
    with pytest.raises(ValueError, match="x has shape"):
        _check.row("x", value)


@pytest.mark.parametrize("value", ["Monthly", None, 1, ["M"]])
def test_none_of_the_words(value):
    with pytest.raises(ValueError, match="every is .*; it must be one of 'M', 'W'"):
        _check.one_of("every", value, ("M", "W"))


def test_an_object_of_another_kind_is_named_with_its_topic():
    loss = frequency.Loss(t_s=0.0, p_mw=1.0)
    with pytest.raises(TypeError, match="grid is a frequency.Loss; it must be a frequency.Grid"):
        _check.instance("grid", loss, frequency.Grid)


@pytest.mark.parametrize("values", [frequency.Loss(t_s=0.0, p_mw=1.0), "text", 5, [None]])
def test_no_list_of_losses(values):
    with pytest.raises(TypeError, match="losses"):
        _check.instances("losses", values, frequency.Loss)


def test_a_missing_column_is_named():
    with pytest.raises(ValueError, match="trace has no column v_pu; it has f_hz"):
        _check.columns("trace", pd.DataFrame({"f_hz": [50.0]}), ["f_hz", "v_pu"])


def test_columns_of_numbers_keep_their_index_and_name_what_is_wrong():
    hours = pd.DataFrame({"p_kw": [1, 2], "car": ["A", "B"]}, index=[7, 8])
    kept = _check.number_columns("hours", hours, {"p_kw": {"unit": "kW", "ge": 0}})
    assert kept.to_dict() == {"p_kw": {7: 1.0, 8: 2.0}}
    with pytest.raises(ValueError, match="hours.p_kw is 1 kW; it must be at least 2"):
        _check.number_columns("hours", hours, {"p_kw": {"unit": "kW", "ge": 2}})


@pytest.mark.parametrize(
    "index, kind, words",
    [
        (pd.Index(["2025-01-01"]), TypeError, "pd.to_datetime"),
        (pd.DatetimeIndex([]), ValueError, "empty"),
        (HOURS.insert(1, pd.NaT), ValueError, "NaT"),
        (HOURS[::-1], ValueError, "comes after"),
        (HOURS.repeat(2), ValueError, "comes after"),
    ],
)
def test_no_time_stamps(index, kind, words):
    with pytest.raises(kind, match=words):
        _check.stamps("time", index)


def test_a_record_keeps_what_was_checked():
    @dataclasses.dataclass(frozen=True)
    class Record:
        share: float
        count: int
        series: list

        def __post_init__(self):
            _check.keep(self, share={"fraction": True}, count={"whole": True}, series={"row": True})

    record = Record(share=0, count=2.0, series=[1, 2])
    assert (record.share, record.count) == (0.0, 2)
    assert isinstance(record.series, np.ndarray)


def test_a_file_that_does_not_exist_is_told_with_those_that_do():
    with pytest.raises(ValueError, match="code is 'us'; it must be one of 'en50549_1', 'g99'"):
        _check.read("gridcodes", "us", "code")


def test_a_file_that_cannot_be_read_is_named(tmp_path, monkeypatch):
    (tmp_path / "rules").mkdir()
    (tmp_path / "rules" / "broken.toml").write_text("a = ", encoding="utf-8")
    monkeypatch.setattr(_check, "FOLDER", tmp_path)
    with pytest.raises(ValueError, match="broken.toml in .* cannot be read"):
        _check.read("rules", "broken")


# ------------------------------------------------------------------ numbers that pass at once


@pytest.mark.parametrize("number", [0.0, -1.5, 3, 10**6, np.float64(2.0), np.int64(4), True])
@pytest.mark.parametrize("limits", [{}, {"ge": -2}, {"gt": -2, "lt": 1e7}, {"le": 1e7}])
def test_a_plain_number_comes_through_as_an_array_of_one_does(number, limits):
    alone = _check.checked("x", number, **limits)
    assert type(alone) is float
    assert alone == _check.checked("x", [number], **limits)[0]


@pytest.mark.parametrize("number", [np.nan, np.inf, -np.inf, 1e31, 5, 5.0])
def test_a_plain_number_is_refused_in_the_same_words_as_an_array_of_one(number):
    with pytest.raises(ValueError) as alone:
        _check.checked("x", number, "kW", lt=5)
    with pytest.raises(ValueError) as in_a_row:
        _check.checked("x", [number], "kW", lt=5)
    assert str(alone.value) == str(in_a_row.value)


# ------------------------------------------------------------------------- what is no quantity


@pytest.mark.parametrize("value", [1, 0, "yes", None, [True], np.array(True), 1.0])
def test_what_resembles_a_flag_is_refused(value):
    with pytest.raises(TypeError, match="cut is .*; it must be True or False"):
        _check.flag("cut", value)


def test_a_flag_is_pythons_own():
    assert _check.flag("cut", np.False_) is False
    assert _check.flag("cut", True) is True


@pytest.mark.parametrize(("step", "span", "count"), [(15, 1440, 96), (0.1, 0.3, 3), (4.0, 4.0, 1)])
def test_equal_steps_are_counted(step, span, count):
    assert _check.equal_steps("dt_s", step, "s", of="a day", span=span) == count


@pytest.mark.parametrize(("step", "span"), [(7, 1440), (0.3, 1.0), (5.0, 4.0), (9.0, 4.0)])
def test_steps_that_leave_a_rest_are_refused(step, span):
    with pytest.raises(ValueError, match="dt_s is .* s; it must divide a day, .* into equal steps"):
        _check.equal_steps("dt_s", step, "s", of="a day", span=span)


def test_how_large_a_rest_may_be_is_the_callers_choice():
    assert _check.equal_steps("dt_h", 0.08333333, "h", of="a night", span=8.0, within=1e-5) == 96
    with pytest.raises(ValueError, match="it must divide a night"):
        _check.equal_steps("dt_h", 0.08333333, "h", of="a night", span=8.0)


def test_a_field_that_is_one_fraction_refuses_arrays_and_per_cent():
    @dataclasses.dataclass(frozen=True)
    class Promise:
        share: float

        def __post_init__(self):
            _check.keep(self, share={"one_fraction": True, "lt": 1})

    assert Promise(0).share == 0.0
    with pytest.raises(ValueError, match=r"share has shape \(2,\)"):
        Promise([0.1, 0.2])
    with pytest.raises(ValueError, match="share is 50; .*per cent"):
        Promise(50)


def test_a_table_that_would_fill_the_memory_is_refused():
    _check.refuse_large(n_cars=5000, trials=10_000)
    with pytest.raises(ValueError, match=r"n_cars \(5,001\) times trials \(10,000\) makes"):
        _check.refuse_large(n_cars=5001, trials=10_000)


@pytest.mark.parametrize(
    "value",
    ["2020-03-01", "2020-03-01 17:45", pd.Timestamp("2020-03-01 23:59", tz="US/Pacific")],
)
def test_a_day_is_its_midnight_wherever_it_is(value):
    assert _check.calendar_day("day", value) == pd.Timestamp("2020-03-01")


@pytest.mark.parametrize(
    ("value", "words"),
    [
        ("soon", "day is 'soon'; give a date such as"),
        ("1815-06-18", "from 1900 to 2100"),
        (np.datetime64("NaT"), "day is a missing date"),
    ],
)
def test_what_is_no_day_is_refused(value, words):
    with pytest.raises(ValueError, match=words):
        _check.calendar_day("day", value)


def test_a_number_is_no_day():
    with pytest.raises(TypeError, match="day is 20200301"):
        _check.calendar_day("day", 20200301)
