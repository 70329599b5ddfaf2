"""`help()` of every public name: numpydoc's validation, types, fields, examples that run."""

import ast
import contextlib
import dataclasses
import doctest
import importlib
import inspect
import re
import tomllib
from pathlib import Path

import api_page
import pytest
import shelf
from numpydoc.docscrape import ClassDoc, get_doc_object
from numpydoc.validate import validate

ROOT = Path(__file__).resolve().parents[1]
CODES = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["tool"][
    "numpydoc_validation"
]["checks"]
RECORD_CODES = {"PR01", "PR02", "EX01"}  # fields are looked at below; a result needs no example
TOPICS = [name for name in api_page.modules() if name != "classroom"]


def documented(modules):
    """Every public function and class, its methods and properties too: dotted name, object."""
    for topic in modules:
        module = importlib.import_module(f"v2gbook.{topic}")
        for name in api_page.names(module):
            value = getattr(module, name)
            if inspect.isfunction(value) or inspect.isclass(value):
                yield f"{topic}.{name}", value
            if inspect.isclass(value):
                for inner, member in vars(value).items():
                    described = inspect.isfunction(member) or isinstance(
                        member, (property, classmethod)
                    )
                    if described and not inner.startswith("_"):
                        bound = isinstance(member, classmethod)
                        yield f"{topic}.{name}.{inner}", getattr(value, inner) if bound else member


EVERYTHING = dict(documented(TOPICS))
WITH_CLASSROOM = EVERYTHING | dict(documented(["classroom", "classroom.presets"]))
FUNCTIONS = {name: value for name, value in WITH_CLASSROOM.items() if inspect.isfunction(value)}
RECORDS = {name: value for name, value in EVERYTHING.items() if dataclasses.is_dataclass(value)}
MODULES = [*TOPICS, "_check", "_presence"]


def used(path):
    """Names that a module imports from others or takes as an attribute."""
    nodes = list(ast.walk(shelf.tree_of(path)))
    imports = [node for node in nodes if isinstance(node, ast.ImportFrom)]
    taken = {node.attr for node in nodes if isinstance(node, ast.Attribute)}
    return taken | {alias.name for node in imports for alias in node.names}


def test_every_function_is_shown_in_a_notebook_or_used_by_another_module():
    notebooks = [*ROOT.glob("chapters/*.ipynb"), *ROOT.glob("solutions/*.ipynb")]
    shown = "\n".join(shelf.code_of(path) for path in notebooks)
    used_by = {path.stem: used(path) for path in ROOT.glob("v2gbook/*.py")}
    inside = set().union(*map(used, ROOT.glob("v2gbook/*/*.py")))
    unused = []
    for name in FUNCTIONS:
        topic, _, plain = name.partition(".")
        if topic not in TOPICS or "." in plain:
            continue
        others = [names for stem, names in used_by.items() if stem != topic]
        if plain not in inside.union(*others) and not re.search(rf"\b{re.escape(name)}\b", shown):
            unused.append(name)
    assert ", ".join(unused) == ""


@pytest.mark.parametrize("name", WITH_CLASSROOM)
def test_numpydoc_finds_nothing(name):
    value = WITH_CLASSROOM[name]
    ignored = RECORD_CODES if inspect.isclass(value) else set()
    if isinstance(value, property):
        ignored = ignored | {"EX01", "RT01", "RT03"}
    elif "." in value.__qualname__:  # a method
        ignored = ignored | {"EX01"}
    errors = validate(get_doc_object(value))["errors"]
    assert [text for code, text in errors if code in CODES and code not in ignored] == []


@pytest.mark.parametrize("name", RECORDS)
def test_every_field_is_described_in_its_order(name):
    page = ClassDoc(RECORDS[name])
    told = [part.name for part in [*page["Parameters"], *page["Attributes"]] if part.type]
    described = [each.strip() for names in told for each in names.split(",")]
    fields = [field.name for field in dataclasses.fields(RECORDS[name])]
    assert [each for each in described if each in fields] == fields


@pytest.mark.parametrize("name", FUNCTIONS)
def test_types_are_told(name):
    signature = inspect.signature(FUNCTIONS[name])
    untold = [
        parameter.name
        for parameter in signature.parameters.values()
        if parameter.annotation is parameter.empty and parameter.name not in ("self", "cls")
    ]
    if signature.return_annotation is signature.empty:
        untold.append("the result")
    assert untold == []


@pytest.mark.parametrize("name", MODULES)
def test_examples_run(name):
    module = importlib.import_module(f"v2gbook.{name}")
    words = []
    runner = doctest.DocTestRunner(verbose=False)
    finder = doctest.DocTestFinder(exclude_empty=True)
    for test in finder.find(module):
        with contextlib.suppress(doctest.DocTestFailure):
            runner.run(test, out=words.append)
    assert "".join(words) == ""
    assert runner.tries > 0


def test_the_page_of_all_names_is_up_to_date():
    told = (ROOT / "docs" / "API.md").read_text(encoding="utf-8")
    assert told == api_page.page(), "python run.py notebooks renews it"
