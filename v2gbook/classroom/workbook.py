"""The student's side of an exercise: own numbers, instant checks, a page of progress.

    book = Workbook("01_frequency", student="...")
    given = book.given("Q1")          # this student's numbers
    book.check("Q1", answer)          # says in words what is right or wrong

A check never shows the answer, and never stops the notebook. Right answers and typical slips are
stored as keyed digests in `v2gbook/classroom/data/checks`. Marks are made elsewhere, with other
numbers.
"""

import bisect
import copy
import hashlib
import itertools
import math
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from IPython.display import Markdown, display

from . import _answers, _notebook, _page, _progress, _score, presets
from ._student import attempt, quoted, quoted_error, quoted_repr, quoted_type, same_name

VARIANTS = 64  # sets of numbers, and the book's own, variant 0
NOTHING = "your function returns nothing yet"
EXACT = 1e-6  # a tolerance below this asks for the number itself
OF_THE_BOOK = (
    "this is right for the book's numbers, not for yours; "
    "run the cells again from the top, so that all of them use your name"
)
FOREIGN = (
    "this was measured with another score function than the sheet's, "
    "so it is not recorded; run the sheet's own cells again to go back to it"
)
HIDDEN = (
    "{name} is hidden while a design is measured: it gives what a design must not know; "
    "use the function's own arguments"
)

# How a verdict is told: a sign and a word, in a colour that the classroom's style sheet gives.
STATES = {
    "right": "✓ right",
    "wrong": "✗ not right",
    "partly": "◐ partly",
    "open": "○ not attempted",
}

# What a constant factor between answer and right value gives away; tried in this order.
_THOUSAND = "a factor of 1000 (a prefix: milli, kilo, mega?)"
_HOURS = "a factor of 3600 (hours against seconds?)"
_CENT = "a factor of 100 (per cent against a fraction?)"
_SAMPLES = "a factor of 10 (samples per second: the time step dt?)"
FACTORS = {
    1.0: "",
    1e3: _THOUSAND,
    1e-3: _THOUSAND,
    1e6: "a factor of a million (units?)",
    1e-6: "a factor of a million (units?)",
    3600.0: _HOURS,
    1 / 3600: _HOURS,
    100.0: _CENT,
    0.01: _CENT,
    60.0: "a factor of 60 (minutes?)",
    1 / 60: "a factor of 60 (minutes?)",
    10.0: _SAMPLES,
    0.1: _SAMPLES,
    2.0: "a factor of 2",
    0.5: "a factor of 2",
}


@dataclass(frozen=True, kw_only=True)
class Key:
    """What a solution says about one question; only generator, tests and marker see it.

    Parameters
    ----------
    marks : int
        Marks of the question.
    unit : str
        Unit in which the answer is wanted.
    tol : float
        Largest difference from the right value, as a share of it.
    draw : function, optional
        `draw(rng, region)` gives the numbers, `draw(rng)` those that are the same in every region;
        names that begin with "_" stay hidden.
    reference : function, optional
        `reference(given)` is the right value; for a function question the right function itself.
    probes : list of dict
        The examples of a function question, as keyword arguments.
    slips : dict
        Hint and typical wrong value, or wrong function, in the form of `reference`.
    also : list
        Other right ways, in the same form.
    score : bool, optional
        True for a design question, which the sheet's own `score(design)` measures.
    hides : tuple
        Names of the sheet that a design does not find while it is measured, because they hold or
        give what it must not know.
    rises_with : tuple
        Arguments of a function question with which the answer must not fall.
    shares : str
        The question whose numbers this one uses too.
    """

    marks: int
    unit: str = ""
    tol: float = 0.01
    draw: object = None
    reference: object = None
    probes: list = field(default_factory=list)
    slips: dict = field(default_factory=dict)
    also: list = field(default_factory=list)
    score: object = None
    hides: tuple = ()
    rises_with: tuple = ()
    shares: str = ""

    @property
    def kind(self):
        if self.score:
            return "design"
        return "function" if self.probes else "value"


def apart(answers: Iterable[Any], share: float = 0.017, least: float = 0.0) -> bool:
    """Do all answers of some numbers differ, so that a check can tell them from one another?

    For the `draw` of a `Key`, which draws again until the right way and all wrong ones lead to
    different answers.

    Parameters
    ----------
    answers : iterable of numbers or arrays
        One each way. A generator is left at the first answer that is like another.
    share : float
        Every two answers must differ somewhere by more than this share of the larger one.
    least : float
        Every answer must hold a number of at least this size.

    Returns
    -------
    bool
        True if they do.

    Examples
    --------
    >>> apart([100.0, 98.0]), apart([100.0, 99.0]), apart([[1.0, 2.0], [1.0, 3.0]])
    (True, False, True)
    """
    known: list[list[float]] = []  # in ascending order
    for answer in answers:
        values = [answer] if isinstance(answer, float) else np.ravel(answer).tolist()
        if least and max(map(abs, values)) < least:
            return False
        place = bisect.bisect(known, values)
        if _near(values, reversed(known[:place]), share) or _near(values, known[place:], share):
            return False
        known.insert(place, values)
    return True


def _near(values, nearest_first, share):
    """Is an answer like one of these? The first one that begins differently ends the search."""
    for others in nearest_first:
        if _differ(values[0], others[0], share):
            return False
        if _like(values, others, share):
            return True
    return False


def _like(values, others, share):
    """Are two answers nowhere further apart than a share?"""
    for value, other in zip(values, others, strict=True):
        if _differ(value, other, share):
            return False
    return True


def _differ(value, other, share):
    """Do two numbers differ by more than a share of the larger one?"""
    return abs(value - other) > share * max(abs(value), abs(other))


@dataclass(frozen=True, kw_only=True)
class Verdict:
    """What a check has found; `words` is Markdown in which a student's own text is quoted."""

    question: str
    state: str
    marks: float
    of: float
    words: str = ""
    counts: bool = True  # False: not to be recorded

    def markdown(self):
        """The verdict as it is shown."""
        told = f"{STATES[self.state]} {self.marks:g}/{self.of:g}"
        words = f": {self.words}" if self.words else ""
        return f'**{self.question}** <span class="v2g-{self.state}">{told}</span>{words}'


class Workbook:
    """An exercise sheet in the hands of one student.

    Parameters
    ----------
    topic : str
        Number and name of the topic, such as "01_frequency".
    student : str
        Name or number; decides the student's own numbers. Empty: the book's numbers. Names that
        look the same count as the same.
    preset : str, optional
        Region. If left out: what the environment's V2GBOOK_PRESET says, else the preset that this
        notebook was stored with, else the one of course.toml.

    Raises
    ------
    ValueError
        If there is no such sheet, no such preset, or the student is not given as text.

    Examples
    --------
    >>> book = Workbook("01_frequency", preset="na-60hz")
    >>> sorted(book.given("Q2"))[0]
    'f0_hz'
    """

    def __init__(self, topic: str, student: str = "", preset: str | None = None) -> None:
        if topic not in _answers.topics():
            raise ValueError(
                f"there is no exercise {topic!r}; there are {', '.join(_answers.topics())}"
            )
        if not isinstance(student, str):
            raise ValueError(
                f"student is {student!r}; give a name or number in quotes, "
                'such as student="s123456"'
            )
        self.topic = topic
        self.student = student.strip()
        self.questions = _answers.sheet(topic)["questions"]
        self.region = presets.load(preset) if preset else _region()
        self.course = presets.course()["course"]
        self.results: dict[str, tuple[float, float]] = {}
        self.keys: dict[str, Key] = {}
        self._check_region()
        if _notebook.cell() is not None:
            _page.wake()  # for the colours of verdicts and the text alternatives of figures

    def _check_region(self):
        """Refuse a region for which this sheet has no numbers."""
        for asked in self.questions.values():
            known = asked["answers"] or asked["given"]
            if known and self.region.key not in known:
                raise ValueError(
                    f"the sheet {self.topic} has no numbers for the preset {self.region.key!r}, "
                    f"only for {', '.join(known)}; run  python run.py exercises  to make them"
                )

    def variant(self, question: str) -> int:
        """Which of the stored sets of numbers this student gets; 0 is the book's.

        Parameters
        ----------
        question : str
            Name of the question, such as "Q1".

        Returns
        -------
        int
            From 0 to 64.
        """
        name = same_name(self.student)
        if not name:
            return 0
        text = f"{self.course}|{name}|{question}"
        number = int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big")
        return 1 + number % VARIANTS

    def given(self, question: str) -> dict[str, Any]:
        """This student's numbers for a question, as a dict of one's own.

        Parameters
        ----------
        question : str
            Name of the question, such as "Q1".

        Returns
        -------
        dict
            The numbers by their names; empty if the question has none.

        Raises
        ------
        ValueError
            If the sheet has no such question.
        """
        name = self._name_of(question)
        if name is None:
            raise ValueError(
                f"this sheet has no question {question!r}; it has {', '.join(self.questions)}"
            )
        numbers = self.questions[name]["numbers"]
        sets = self.questions[numbers]["given"]
        return copy.deepcopy(sets[self.region.key][self.variant(numbers)]) if sets else {}

    def key(self, question: str, **facts: Any) -> None:
        """In a solution only: what counts as right, and the typical slips.

        Parameters
        ----------
        question : str
            Name of the question, such as "Q1".
        **facts : object
            The fields of `Key`.
        """
        self.keys[question] = Key(**facts)

    def check(self, question: Any = None, answer: Any = None, score: Any = None) -> None:
        """Say whether an answer is right, or what seems wrong with it.

        It never raises, whatever is asked and answered, and never shows the right value. The marks
        of a known question are kept in the student's progress; a design counts only if it was
        measured with the sheet's own score.

        Parameters
        ----------
        question : str
            Name of the question, such as "Q1".
        answer : number, array, function or dict
            What the question asks for; None and ... stand for an answer that is still open.
        score : function, optional
            The sheet's score function, for the open question.
        """
        _, error = attempt(self._check, question, answer, score)
        if error is not None:  # somebody pressed "interrupt" while the verdict was being told
            attempt(_say, f"This check was cut short by {quoted_error(error)}. Run the cell again.")

    def score(self) -> None:
        """Show the marks of this sheet so far."""
        rest = [name for name in self.questions if name not in self.results]
        got = sum(marks for marks, _ in self.results.values())
        of = sum(asked["marks"] for asked in self.questions.values())
        not_run = f" Not run yet: {', '.join(rest)}." if rest else ""
        name = "" if self.student else " No name was given, so these are the book's numbers."
        _say(
            f"**{_progress.title(self.topic)}** {got:g}/{of} by checks; "
            f"written answers are marked by hand.{not_run}{name}"
        )

    # ------------------------------------------------------------------------------------ judging

    def _check(self, question, answer, score):
        name = self._name_of(question)
        if name is None:
            _say(
                '<span class="v2g-wrong">✗ no such question</span>: this sheet has no question '
                f"{quoted_repr(question)}; it has {', '.join(self.questions)} "
                "(written answers are marked by hand)"
            )
            return
        verdict = self._verdict(name, answer, score)
        _say(verdict.markdown())
        if verdict.counts:
            self.results[name] = (verdict.marks, verdict.of)
            if verdict.state != "open":
                self._record(verdict)

    def _name_of(self, question):
        """The name under which this sheet has a question; None if it has none of that name."""
        if not isinstance(question, str):
            return None
        names, error = attempt(lambda: [name for name in self.questions if name == question])
        return names[0] if error is None and names else None

    def _verdict(self, name, answer, score):
        """What is to be said about an answer to a question of this sheet."""
        asked = self.questions[name]
        if answer is None or answer is Ellipsis:
            return Verdict(question=name, state="open", marks=0, of=asked["marks"])
        judged, error = attempt(self._judge, name, asked, answer, score)
        if error is not None:
            judged = 0.0, f"the check could not read this answer: {quoted_error(error)}"
        share, words = judged
        own = asked["kind"] != "design" or score is None or _is_own(score, asked["score"])
        return _told(name, asked["marks"], share, words, own)

    def _judge(self, question, asked, answer, score):
        """Share of the marks (0 to 1) of an answer, and a sentence in Markdown."""
        if asked["kind"] == "design":
            if score is None or not _is_own(score, asked["score"]):
                return _measured(answer, score)
            fresh = _score.fresh(asked["score"], self.region.key)
            with _score.hidden(asked["hides"], score.__globals__):
                share, words = _measured(answer, fresh)
            return share, words + _looked_for(asked["hides"], words)
        if asked["kind"] == "function":
            return self._judge_function(question, asked, answer)
        return self._judge_value(question, asked, answer)

    def _judge_function(self, question, asked, function):
        if not callable(function):
            return 0.0, (
                f"this question wants a function, not {quoted_type(function)}; "
                "give its name without brackets"
            )
        values, trouble = _probe(function, asked["probes"])
        if trouble:
            return 0.0, trouble
        answers = list(itertools.chain(*values))
        label = f"{self.topic}|{question}"
        share, words = _compared(label, answers, asked, asked, [len(one) for one in values])
        return _lawful(function, asked) if share == 1.0 else (share, words)

    def _judge_value(self, question, asked, answer):
        array, trouble = _answers.numbers(answer)
        if trouble:
            return 0.0, trouble
        values = _answers.summary(array)
        variant = self.variant(asked["numbers"])
        label = f"{self.topic}|{question}|{self.region.key}"
        sets = asked["answers"][self.region.key]
        share, words = _compared(f"{label}|{variant}", values, asked, sets[variant])
        unexplained = share < 1 and words not in asked["hints"]
        if unexplained and _answers.matches(f"{label}|0", values, sets[0]["right"], asked["tol"]):
            return 0.0, OF_THE_BOOK
        return share, words

    def _record(self, verdict):
        """Keep the marks, and say so if that does not work."""
        notice, error = attempt(_progress.record, self.topic, verdict.question, verdict.marks)
        if error is not None:
            reason = quoted_error(error)
            if isinstance(error, OSError) and error.strerror:
                reason = quoted(error.strerror)
            notice = f"progress could not be saved ({reason}); your answer was checked all the same"
        if notice:
            _say(f"*{notice}*")


def _region():
    """The preset of the sheet; where nobody names one, a line says whose numbers are used."""
    region = presets.of_sheet()
    if region is None:
        _say(presets.fallback_words())
        region = presets.load(presets.DEFAULTS["preset"])
    return region


def _say(text):
    display(Markdown(text))


def _told(name, of, share, words, own):
    """The verdict on a share of the marks."""
    marks = round(share * of * 2) / 2
    if words == NOTHING:
        state = "open"
    elif marks == of:
        state = "right"
    else:
        state = "partly" if marks else "wrong"
    if not own:
        words = f"{words} ({FOREIGN})"
    return Verdict(question=name, state=state, marks=marks, of=of, words=words, counts=own)


def _compared(label, values, asked, stored, sizes=()):
    """Share and sentence for a list of numbers, against the right one and the typical slips.

    `sizes` are the lengths of its parts: how many numbers a function returned on each example.
    """
    if _answers.matches(label, values, stored["right"], asked["tol"]):
        return 1.0, ""
    for hint, wrong in zip(asked["hints"], stored["wrong"]):
        if _answers.matches(label, values, wrong, asked["tol"]):
            return 0.0, hint
    unit = f" The answer is wanted in {asked['unit']}." if asked["unit"] else ""
    trouble = _wrong_shape(asked["kind"], len(values), len(stored["right"]))
    trouble = trouble or _wrong_factor(label, values, stored["right"], asked["tol"])
    if not trouble:
        agreeing = list(_answers.agreeing(label, values, stored["right"], asked["tol"]))
        near = f"within {100 * asked['tol']:g} %" if asked["tol"] > EXACT else "exactly right"
        trouble = f"not {near} yet{_some_right(agreeing, sizes)}."
    return 0.0, trouble + unit


def _some_right(agreeing, sizes):
    """How many of some examples, or of some numbers, are right; empty if none is."""
    noun = "examples" if sizes else "numbers"
    entries = iter(agreeing)
    parts = [all(list(itertools.islice(entries, size))) for size in sizes or [1] * len(agreeing)]
    return f"; {sum(parts)} of {len(parts)} {noun} are right" if any(parts) else ""


def _wrong_shape(kind, here, wanted):
    """A sentence on how many numbers were given; empty if it is as many as wanted."""
    if here == wanted:
        return ""
    if kind == "function":
        return "on some example your function returns too many or too few numbers."
    if wanted == 1:
        return "the shape is wrong: the answer should be a single number."
    if here == 1:
        return "the shape is wrong: the answer should be an array."
    return f"the array has {here} entries; the answer has another number of them."


def _wrong_factor(label, values, right, tol):
    """A sentence on a unit or sign slip that explains the answer; empty if there is none."""
    for factor, words in FACTORS.items():
        for sign in (1, -1):
            scaled = [sign * factor * value for value in values]
            if _answers.matches(label, scaled, right, tol):
                reasons = [words, "the sign" if sign < 0 else ""]
                return f"it is off by {' and '.join(filter(None, reasons))}."
    return ""


# ------------------------------------------------------------------------ a student's functions


def _call(function, arguments):
    """What a function returns on an example of its own, as an array, or what went wrong."""
    result, error = attempt(function, **copy.deepcopy(arguments))
    if error is not None:
        names = " (keep the names of its arguments)" if _is_about_arguments(error) else ""
        return None, f"your function raised {quoted_error(error)}{names}"
    if result is None or result is Ellipsis:
        return None, NOTHING
    return _answers.numbers(result)


def _is_about_arguments(error):
    """Was a function called with arguments that it does not have?"""
    return isinstance(error, TypeError) and "keyword argument" in quoted_error(error)


def _probe(function, probes):
    """Values of a function on each public example, or what went wrong."""
    values = []
    silent = []  # examples on which it returns nothing
    for arguments in probes:
        array, trouble = _call(function, arguments)
        if trouble == NOTHING:
            silent.append(arguments)
        elif trouble:
            return [], f"on the example ({_example(arguments)}): {trouble}"
        else:
            values.append(_answers.summary(array))
    if not silent:
        return values, ""
    if not values:
        return [], NOTHING
    return [], f"on the example ({_example(silent[0])}): your function returns nothing here"


def _example(arguments):
    """The arguments of a call, as they are written."""
    return quoted(", ".join(f"{name}={value!r}" for name, value in arguments.items()))


def _lawful(function, asked):
    """Full marks, or half if the function breaks a law that must hold for all numbers."""
    for name in asked["rises_with"]:
        values = []
        for factor in (1.0, 1.05, 1.1):
            base = asked["probes"][0]
            arguments = {**base, name: base[name] * factor}
            array, trouble = _call(function, arguments)
            if trouble:
                return 0.5, (
                    f"right on the examples, but not on ({_example(arguments)}): {trouble}"
                )
            values.append(float(array.flat[0]))
        if not _never_falls(values):
            return 0.5, (
                f"right on the examples, but the result falls when `{name}` rises; should it?"
            )
    return 1.0, ""


def _never_falls(values):
    return all(
        after >= before or math.isclose(after, before, rel_tol=1e-9)
        for before, after in itertools.pairwise(values)
    )


def _measured(design, score):
    """Share of the marks of a design, and what the score function says about it."""
    if score is None:
        return 0.0, "give the score function too: check(question, design, score)"
    own_copy, error = attempt(copy.deepcopy, design)
    result, error = attempt(score, design if error is not None else own_copy)
    if error is not None:
        return 0.0, f"the score could not be measured: {quoted_error(error)}"
    fitting, error = attempt(_share_and_words, result)
    if error is not None:
        return 0.0, (
            f"the score function returned {quoted_repr(result)}; "
            "it must return a share from 0 to 1 and a sentence"
        )
    return fitting


def _looked_for(hides, words):
    """A sentence on the hidden name for which a design has looked; empty if there is none."""
    for name in hides:
        if quoted(f"name '{name}' is not defined") in words:
            return f" ({HIDDEN.format(name=quoted(name))})"
    return ""


def _share_and_words(result):
    """A score's result as a share from 0 to 1 and quoted words; an error if it is anything else."""
    share, words = result
    share = float(share)
    if not (-1e-9 <= share <= 1 + 1e-9 and isinstance(words, str)):
        raise ValueError("not a share and a sentence")
    return min(1.0, max(0.0, share)), quoted(words, 400)


def _is_own(score, stored):
    """Is a score function the sheet's own, as far as that can be told?"""
    own, error = attempt(_score.is_own, score, stored)
    return error is None and own
