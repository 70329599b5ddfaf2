"""The student's side of an exercise: own numbers, instant checks that never show the answer, a page of progress.

    book = Workbook("01_frequency", student="...")
    given = book.given("Q1")          # this student's numbers
    book.check("Q1", answer)          # says in words what is right or wrong

Right answers and typical slips are stored as keyed digests of logarithmic buckets in `v2gbook/data/checks`: hidden from the
eye, not from a determined search. Marks are made elsewhere, with other numbers.
"""

import hashlib
import json
import math
import os
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
from IPython.display import Markdown, display

from . import presets
from .figures import escaped

CHECKS = Path(__file__).parents[1] / "data" / "checks"
NOTHING = "your function returns nothing yet"
VARIANTS = 64  # and the book's own numbers, variant 0

# What a constant factor between answer and right value gives away; tried in this order, with both signs.
FACTORS = {
    1.0: "", 1e3: "a factor of 1000 (k against M?)", 1e-3: "a factor of 1000 (k against M?)", 1e6: "a factor of a million (units?)",
    1e-6: "a factor of a million (units?)", 3600.0: "a factor of 3600 (hours against seconds?)", 1 / 3600: "a factor of 3600 (hours against seconds?)",
    100.0: "a factor of 100 (per cent against a fraction?)", 0.01: "a factor of 100 (per cent against a fraction?)",
    60.0: "a factor of 60 (minutes?)", 1 / 60: "a factor of 60 (minutes?)", 10.0: "a factor of 10 (samples per second: the time step dt?)",
    0.1: "a factor of 10 (samples per second: the time step dt?)", 2.0: "a factor of 2", 0.5: "a factor of 2",
}


@dataclass(frozen=True, kw_only=True)
class Key:
    """What a solution says about one question; only the generator, the tests and the marker see it."""

    marks: int
    unit: str = ""
    tol: float = 0.01
    draw: object = None        # draw(rng, region) -> given numbers; names that start with "_" stay hidden
    reference: object = None   # reference(given) -> right value; for a function question: the right function
    probes: list = field(default_factory=list)  # keyword arguments of a function question
    slips: dict = field(default_factory=dict)   # hint -> wrong value (or wrong function) as reference
    also: list = field(default_factory=list)    # other right ways
    score: object = None       # score(design) -> (0..1, sentence) of a design question
    rises_with: tuple = ()     # arguments of a function question in which the answer must not fall
    shares: str = ""           # question whose numbers this one uses too

    @property
    def kind(self):
        return "design" if self.score else "function" if self.probes else "value"


def summary(answer):
    """An answer as a flat list of numbers: a scalar as itself, an array by length, first, last, mean, minimum and maximum."""
    array = np.asarray(answer, dtype=float)
    if array.ndim == 0:
        return [float(array)]
    if array.size == 0:
        return [0.0]
    return [float(array.size), float(array.flat[0]), float(array.flat[-1]), float(array.mean()), float(array.min()), float(array.max())]


def bucket(value, tol):
    """Sign and logarithmic bucket of a number; infinity and zero have one of their own."""
    if value == 0 or math.isinf(value):
        return (0 if value == 0 else math.copysign(9, value)), 0
    return math.copysign(1, value), math.floor(math.log(abs(value)) / (tol / 5))


def digest(label, place):
    """Keyed digest of one bucket; `label` names question, preset, variant and position."""
    return hashlib.blake2b(f"{place[0]:.0f}|{place[1]}".encode(), key=label.encode()[:64], digest_size=6).hexdigest()


def digests(label, values, tol):
    """Digests of a list of numbers as they are stored."""
    return [digest(f"{label}|{i}", bucket(value, tol)) for i, value in enumerate(values)]


def matches(label, values, stored, tol):
    """True where every value lies within `tol` of what was stored."""
    if len(values) != len(stored):
        return False
    width = math.ceil(-math.log(1 - tol) / (tol / 5)) + 1
    for i, (value, want) in enumerate(zip(values, stored)):
        sign, place = bucket(value, tol)
        near = [0] if sign in (0, 9, -9) else sorted(range(-width, width + 1), key=abs)
        if not any(digest(f"{label}|{i}", (sign, place + step)) == want for step in near):
            return False
    return True


class Workbook:
    """An exercise sheet in the hands of one student.

    Parameters
    ----------
    topic : str
        Number and name of the topic, such as "01_frequency".
    student : str
        Name or number; decides the student's own numbers. Empty: the book's numbers.
    preset : str, optional
        Region; the course's own if left out.
    """

    def __init__(self, topic, student="", preset=None):
        known = sorted(path.stem for path in CHECKS.glob("*.json"))
        if topic not in known:
            raise ValueError(f"there is no exercise {topic!r}; there are {', '.join(known)}")
        if not isinstance(student, str):
            raise ValueError(f"student is {student!r}; give a name or number in quotes, such as student=\"s123456\"")
        self.topic, self.student = topic, student.strip()
        self.region = presets.load(preset) if preset else presets.current()
        self.questions = json.loads((CHECKS / f"{topic}.json").read_text(encoding="utf-8"))
        self.results, self.keys = {}, {}

    def variant(self, question):
        """Which of the stored sets of numbers this student gets; 0 is the book's."""
        if not self.student:
            return 0
        text = f"{presets.course()['course']}|{self.student}|{question}"
        return 1 + int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") % VARIANTS

    def given(self, question):
        """This student's numbers for a question, as a dict."""
        numbers = self._question(question)["numbers"]
        sets = self.questions[numbers]["given"]
        return dict(sets[self.region.key][self.variant(numbers)]) if sets else {}

    def key(self, question, **facts):
        """In a solution only: what counts as right, and the typical slips (see Key)."""
        self.keys[question] = Key(**facts)

    def check(self, question, answer=None, score=None):
        """Say whether an answer is right, or what seems wrong with it. Never raises, never shows the right value."""
        marks, of, words = 0, 0, ""
        try:
            asked = self._question(question)
            of = asked["marks"]
            if answer is None or answer is Ellipsis:
                words = None
            else:
                share, words = self._judge(question, asked, answer, score)
                marks = round(share * of * 2) / 2
        except Exception as error:  # a check must never stop the notebook
            words = f"the check could not read this answer: {type(error).__name__}: {error}"
        self.results[question] = (marks, of)
        attempted = words is not None and words != NOTHING
        state = "not attempted" if not attempted else "✓" if marks == of else "partly" if marks else "✗"
        display(Markdown(f"**{question}** {state} {marks:g}/{of}" + (f": {escaped(words)}" if words else "")))
        if attempted:
            self._record()

    def score(self):
        """Marks of this sheet so far."""
        open_questions = [name for name in self.questions if name not in self.results]
        got = sum(marks for marks, _ in self.results.values())
        of = sum(asked["marks"] for asked in self.questions.values())
        rest = f" Not run yet: {', '.join(open_questions)}." if open_questions else ""
        display(Markdown(f"**{self.topic}** {got:g}/{of} by checks; written answers are marked by hand.{rest}"))

    # ------------------------------------------------------------------------------------------------- judging

    def _question(self, name):
        if name not in self.questions:
            raise ValueError(f"there is no question {name!r}; this sheet has {', '.join(self.questions)}")
        return self.questions[name]

    def _judge(self, question, asked, answer, score):
        if asked["kind"] == "design":
            if score is None:
                return 0.0, "give the score function too: check(question, design, score)"
            share, words = score(answer)
            return min(1.0, max(0.0, float(share))), words
        if asked["kind"] == "function":
            if not callable(answer):
                return 0.0, f"this question wants a function, not {type(answer).__name__}; give its name without brackets"
            values, trouble = _probe(answer, asked["probes"])
            if trouble:
                return 0.0, trouble
            label, stored = f"{self.topic}|{question}", asked
            scaled = lambda factor: [factor * value for value in values]  # noqa: E731
        else:
            trouble = _unfit(answer)
            if trouble:
                return 0.0, trouble
            values = summary(answer)
            scaled = lambda factor: summary(factor * np.asarray(answer, dtype=float))  # noqa: E731
            numbers = self.variant(asked["numbers"])
            label = f"{self.topic}|{question}|{self.region.key}|{numbers}"
            stored = asked["answers"][self.region.key][numbers]
        tol = asked["tol"]
        if matches(label, values, stored["right"], tol):
            return (1.0, "") if asked["kind"] == "value" else _lawful(answer, asked)
        for hint, wrong in zip(asked["hints"], stored["wrong"]):
            if matches(label, values, wrong, tol):
                return 0.0, hint
        return 0.0, self._factor(label, values, scaled, stored["right"], asked)

    def _factor(self, label, values, scaled, right, asked):
        """A shape, unit or sign slip, if one explains the answer; `scaled(factor)` gives its values times a factor."""
        tol = asked["tol"]
        unit = f" The answer is wanted in {asked['unit']}." if asked["unit"] else ""
        if len(values) != len(right) and asked["kind"] == "value":
            return f"the shape is wrong: the answer should be {'a single number' if len(right) == 1 else 'an array'}.{unit}"
        if len(values) > 1 and asked["kind"] == "value" and not matches(label, values[:1], right[:1], tol):
            return f"the array has {values[0]:.0f} entries; the answer has another number of them.{unit}"
        for factor, words in FACTORS.items():
            for sign in (1, -1):
                if (factor, sign) != (1.0, 1) and matches(label, scaled(factor * sign), right, tol):
                    return "it is off by " + " and ".join(filter(None, [words, "the sign" if sign < 0 else ""])) + f".{unit}"
        return f"not within {100 * tol:g} % yet.{unit}"

    # ------------------------------------------------------------------------------------------------ progress

    def _record(self):
        try:
            notice = save_progress(self.topic, self.results, sum(asked["marks"] for asked in self.questions.values()))
        except OSError as error:
            notice = f"progress could not be saved ({error.strerror or error}); your answer was checked all the same"
        if notice:
            display(Markdown(f"*{notice}*"))


def _unfit(answer):
    """Why an answer cannot be a number or an array of numbers; an empty string if it can."""
    if callable(answer):
        return "this question wants a number, not a function; call it and give the result"
    try:
        array = np.asarray(answer, dtype=float)
    except (TypeError, ValueError):
        return f"this question wants a number, not {type(answer).__name__}"
    if array.size == 0:
        return "the answer is empty"
    return "the answer contains NaN (not a number); look where it comes from" if np.isnan(array).any() else ""


def _probe(function, probes):
    """Values of a student's function on the public examples, or what went wrong."""
    values = []
    for arguments in probes:
        call = ", ".join(f"{name}={value!r}" for name, value in arguments.items())
        try:
            result = function(**arguments)
        except Exception as error:
            return [], f"on the example ({call}) your function raised {type(error).__name__}: {error}"
        if result is None or result is Ellipsis:
            return [], NOTHING
        trouble = _unfit(result)
        if trouble:
            return [], f"on the example ({call}): {trouble}"
        values += summary(result)
    return values, ""


def _lawful(function, asked):
    """Full marks, or half if the function breaks a law that must hold for all numbers."""
    for name in asked["rises_with"]:
        base = asked["probes"][0]
        values = [float(function(**{**base, name: base[name] * factor})) for factor in (1.0, 1.05, 1.1)]
        if sorted(values) != values:
            return 0.5, f"right on the examples, but the result falls when {name} rises; should it?"
    return 1.0, ""


def save_progress(topic, results, of):
    """Add one sheet's results to progress.json and rewrite MY_PROGRESS.md; returns a notice if something had to be set aside.

    Both are replaced whole or not at all. A progress file that cannot be read is kept under another name.
    """
    progress, notice = _load_progress()
    best = progress.get(topic, {"marks": {}})["marks"]
    for name, (marks, _) in results.items():
        best[name] = max(marks, best.get(name, 0))
    progress[topic] = {"marks": best, "of": of}
    _save(progress)
    return notice


def save_inventory(stage, right, of):
    """Note the result of the concept inventory; returns the results of all stages so far."""
    progress, _ = _load_progress()
    results = {**progress.get("inventory", {"marks": {}})["marks"], stage: right}
    progress["inventory"] = {"marks": results, "of": of}
    _save(progress)
    return results


def _folder():
    return Path(os.environ.get("V2GBOOK_PROGRESS") or presets.course_root())


def _load_progress():
    """What is stored, and a notice if it could not be read (it is then kept under another name)."""
    path = _folder() / "progress.json"
    if not path.exists():
        return {}, ""
    try:
        progress = json.loads(path.read_text(encoding="utf-8"))
        numbers = [mark for sheet in progress.values() for mark in (sheet["of"], *sheet["marks"].values())]
        if not all(isinstance(number, (int, float)) for number in numbers):
            raise ValueError
        return progress, ""
    except (ValueError, KeyError, AttributeError, TypeError):
        spare = next(path.with_name(f"{path.name}.bad{n}") for n in range(1, 1000) if not path.with_name(f"{path.name}.bad{n}").exists())
        os.replace(path, spare)
        return {}, f"progress.json could not be read; it was kept as {spare.name} and a new one begun"


def _save(progress):
    """Write progress.json and the page that shows it."""
    _replace(_folder() / "progress.json", json.dumps(progress, indent=1, sort_keys=True))
    lines = ["# My progress", "", "Best result of each question so far, from the checks in the exercises.", "",
             "| topic | marks | questions |", "|---|---|---|"]
    for name, sheet in sorted(progress.items()):
        each = ", ".join(f"{question} {marks:g}" for question, marks in sorted(sheet["marks"].items()))
        if name == "inventory":
            lines.append(f"| questions before and after the course | of {sheet['of']} | {each} |")
        else:
            lines.append(f"| [{name}](exercises/{name}.ipynb) | {sum(sheet['marks'].values()):g} of {sheet['of']} | {each} |")
    _replace(_folder() / "MY_PROGRESS.md", "\n".join(lines) + "\n")


def _replace(path, text):
    """Write a file whole or not at all."""
    spare = path.with_name(f"{path.name}.{os.getpid()}.new")
    try:
        spare.write_text(text, encoding="utf-8")
        os.replace(spare, path)
    finally:
        spare.unlink(missing_ok=True)
