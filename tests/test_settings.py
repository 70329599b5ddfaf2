"""The presets of regions, and the course's own settings."""

import pytest

from v2gbook.classroom import presets

# ------------------------------------------------------------------------------------------ presets


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
    assert presets.course_root() == tmp_path
    assert presets.current().key == "gb-50hz"
