"""Published cases (cases.json): what goes in, and what came out, with the stated tolerance."""

import json
import math
from pathlib import Path

import pytest

CASES = {
    one["id"]: one
    for one in json.loads(Path(__file__).with_name("cases.json").read_text(encoding="utf-8"))[
        "cases"
    ]
}


def case(key):
    """Inputs of a published case, and its expected values to compare with."""
    return CASES[key]["inputs"], {name: near(out) for name, out in CASES[key]["expected"].items()}


def near(out):
    """A value as it was published: a number or a list of them with a tolerance, or a word."""
    value = out["value"]
    if isinstance(value, (bool, str)):
        return value
    if isinstance(value, list):
        value = [math.inf if one is None else one for one in value]  # JSON has no infinity
    return pytest.approx(value, **{out["tol_kind"]: out["tol"]})
