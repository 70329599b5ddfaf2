"""One idea has one name: the table of docs/NOTATION.md holds in the whole library."""

import ast
import dataclasses
import inspect
import re
import tomllib
from collections import defaultdict
from pathlib import Path

import pytest
import shelf
from test_help import EVERYTHING

ROOT = Path(__file__).resolve().parents[1]
TABLE = (ROOT / "docs" / "NOTATION.md").read_text(encoding="utf-8").split("## Symbols")[0]
TOPICS = sorted((ROOT / "v2gbook").glob("*.py"))
PRESETS = sorted((ROOT / "v2gbook" / "classroom" / "data" / "presets").glob("*.toml"))
# The same name in several topics means the same kind of thing there.
SHARED = {
    "cars_needed": "how many cars a promise needs",
    "droop_power": "the power that a droop asks for at a frequency",
    "follow": "a battery follows a wish as far as it can",
    "markets": "names of the markets that a loader knows",
    "simulate": "a simulation in the time domain",
    "step": "one step of a state",
}


def refused():
    """Names that stand alone in the last column of the table, with the name to use instead."""
    for line in TABLE.splitlines():
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        if len(cells) == 3:
            for word in cells[2].split(","):
                alone = re.fullmatch(r"`(\w+)`", word.strip())
                if alone:
                    yield alone[1], cells[1]


REFUSED = dict(refused())


def named():
    """Every parameter and field of the library: where it stands, and its name."""
    for where, value in EVERYTHING.items():
        if dataclasses.is_dataclass(value):
            yield from ((where, field.name) for field in dataclasses.fields(value))
        elif inspect.isfunction(value):
            yield from ((where, name) for name in inspect.signature(value).parameters)


def keys(table):
    """All keys of a preset, those of inner tables too."""
    for key, value in table.items():
        yield key
        if isinstance(value, dict):
            yield from keys(value)


def test_the_table_is_read():
    assert {"at_s", "soc_promise", "damping_pu", "rho", "p"} <= REFUSED.keys()


def test_no_parameter_and_no_field_has_a_refused_name():
    found = [
        f"{where}: {name}, better {REFUSED[name]}" for where, name in named() if name in REFUSED
    ]
    assert found == []


@pytest.mark.parametrize("path", PRESETS, ids=lambda path: path.stem)
def test_no_preset_has_a_refused_name(path):
    table = tomllib.loads(path.read_text(encoding="utf-8"))
    assert [key for key in keys(table) if key in REFUSED] == []


def test_a_random_generator_is_given_by_name():
    positional = [
        where
        for where, value in EVERYTHING.items()
        if inspect.isfunction(value)
        for parameter in inspect.signature(value).parameters.values()
        if parameter.name == "rng" and parameter.kind is not parameter.KEYWORD_ONLY
    ]
    assert positional == []


def test_a_name_in_two_topics_means_one_thing():
    topics = defaultdict(list)
    for where in EVERYTHING:
        if where.count(".") == 1:
            topic, name = where.split(".")
            topics[name].append(topic)
    several = {name: found for name, found in topics.items() if len(found) > 1}
    assert {name: found for name, found in several.items() if name not in SHARED} == {}


def column_names(path):
    """Every text of a module that may name a column or a key, and its line."""
    for node in ast.walk(shelf.tree_of(path)):
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            yield node.value, node.lineno


@pytest.mark.parametrize("path", TOPICS, ids=lambda path: path.stem)
def test_no_column_has_a_refused_name(path):
    found = [
        f"line {line}: {name!r}, better {REFUSED[name]}"
        for name, line in column_names(path)
        if name in REFUSED
    ]
    assert found == []
