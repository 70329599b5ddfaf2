"""The presets of regions, the course's own settings, and the checker of arguments."""

import numpy as np
import pytest

from v2gbook import _check
from v2gbook.classroom import presets

# ------------------------------------------------------------------------------------------------------- presets


def test_unknown_preset(monkeypatch):
    monkeypatch.setenv("V2GBOOK_PRESET", "mars-42hz")
    with pytest.raises(
        ValueError, match="no preset 'mars-42hz'; known presets are eu-50hz, gb-50hz, na-60hz"
    ):
        presets.current()


def test_unknown_table():
    with pytest.raises(AttributeError, match=r"no table \[cheese\]"):
        presets.load("na-60hz").cheese


def test_course_file_with_a_typing_error(tmp_path, monkeypatch):
    (tmp_path / "course.toml").write_text("preset = na")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(ValueError, match="course.toml cannot be read"):
        presets.course()


def test_course_root_is_found_from_a_chapter(tmp_path, monkeypatch):
    (tmp_path / "course.toml").write_text('preset = "gb-50hz"')
    (tmp_path / "chapters").mkdir()
    monkeypatch.chdir(tmp_path / "chapters")
    monkeypatch.delenv("V2GBOOK_PRESET", raising=False)
    assert presets.course_root() == tmp_path and presets.current().key == "gb-50hz"


# ---------------------------------------------------------------------------------------------------- the checker


@pytest.mark.parametrize(
    "value, limits, words",
    [
        ("a", {}, "must be a number"),
        ([], {}, "is empty"),
        (np.nan, {}, "contains NaN"),
        (np.inf, {}, "is infinite"),
        (0.0, {"gt": 0}, "x is 0 MW; it must be above 0 MW"),
        ([1, -2], {"ge": 0}, "x is -2 MW; it must be at least 0 MW"),
        (1.0, {"lt": 1}, "must be below 1 MW"),
        (2.0, {"le": 1}, "must be at most 1 MW"),
        (None, {}, "must be a number"),
        ("500", {}, "must be a number"),
        (b"5", {}, "must be a number"),
        (1 + 2j, {}, "must be a number"),
        ([[1], [2, 3]], {}, "must be a number"),
        ({"a": 1}, {}, "must be a number"),
    ],
)
def test_checked_says_what_is_allowed(value, limits, words):
    with pytest.raises(ValueError, match=words):
        _check.checked("x", value, "MW", **limits)


def test_checked_passes_numbers_through():
    assert _check.checked("x", 3) == 3.0 and _check.checked("x", np.inf, finite=False) == np.inf
    assert (_check.checked("x", [1, 2]) == np.array([1.0, 2.0])).all()
