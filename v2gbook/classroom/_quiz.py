"""Questions: `quiz` explains every answer at once, `inventory` asks before and after the course."""

import html
import tomllib
from pathlib import Path

from IPython.display import Markdown, display

from . import _notebook, _page
from ._progress import save_inventory

DATA = Path(__file__).parent / "data"
INVENTORY = DATA / "inventory.toml"
QUIZZES = DATA / "quizzes"


def quiz(name: str, topic: str | None = None) -> None:
    """Ask a question of this chapter; each answer opens, and says why it is right or wrong.

    The questions stand in `v2gbook/classroom/data/quizzes/<topic>.toml`, so that the notebook's
    source does not give the answer away. What the cell shows is plain text that needs neither a
    kernel nor a script.

    Parameters
    ----------
    name : str
        Name of the question in its file.
    topic : str, optional
        Number and name of a chapter, such as "01_frequency"; this notebook's own if left out.

    Raises
    ------
    ValueError
        If there is no such file or question, or the question is not complete.

    Examples
    --------
    >>> quiz("nadir", "01_frequency")  # doctest: +ELLIPSIS
    <...Markdown...>
    """
    topic = topic or _own_topic()
    asked = _questions(topic).get(name)
    if asked is None:
        raise ValueError(
            f"name = {name!r}: {topic}.toml has the questions {', '.join(_questions(topic))}"
        )
    display(Markdown(as_markdown(checked(asked, name))))


def as_markdown(asked):
    """A question as Markdown: each answer is a button that opens, with its verdict behind it."""
    parts = [f"**Check yourself** (choose an answer to open it). {asked['ask']}"]
    for answer in asked["answers"]:
        good = answer["text"] == asked["right"]
        verdict = (
            '<span class="v2g-right">✓ Right.</span>'
            if good
            else '<span class="v2g-wrong">✗ Not quite.</span>'
        )
        parts.append(
            '<details class="v2g-answer">'
            f"<summary>{html.escape(answer['text'], quote=False)}</summary>\n\n"
            f"{verdict} {answer['why']}\n\n</details>"
        )
    return "\n\n".join(parts)


def checked(asked, name):
    """The question, if its right answer is among the answers and each has an explanation."""
    answers = asked.get("answers", [])
    if asked.get("right") not in [answer["text"] for answer in answers]:
        raise ValueError(
            f"question {name!r}: right = {asked.get('right')!r} must be one of its answers"
        )
    for answer in answers:
        if len(answer["why"].split()) < 4:
            raise ValueError(
                f"question {name!r}: the answer {answer['text']!r} needs an explanation, "
                f"not {answer['why']!r}"
            )
    return asked


def _questions(topic):
    """Questions of a chapter by their names."""
    path = QUIZZES / f"{topic}.toml"
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in QUIZZES.glob("*.toml")))
        raise ValueError(f"topic = {topic!r}: there are questions for {known}")
    return tomllib.loads(path.read_text(encoding="utf-8"))


def _own_topic():
    """Topic of the notebook that this cell belongs to."""
    notebook = _notebook.path()
    if notebook is None:
        raise ValueError(
            "this notebook cannot tell its own name here; "
            'give the topic: quiz("name", "01_frequency")'
        )
    return notebook.stem


def inventory(stage: str) -> None:
    """Ask the course's twenty questions, before it and after it.

    Nothing is explained before. The result goes to the reader's own progress page. After the
    course the gain is told, the share of what was open before, and a file
    `progress/inventory.json` holds both results for an instructor.

    Parameters
    ----------
    stage : str
        Either "before" or "after".

    Raises
    ------
    ValueError
        If `stage` is neither.

    Examples
    --------
    >>> inventory("before")  # doctest: +ELLIPSIS
    <...HTML...>
    """
    if stage not in ("before", "after"):
        raise ValueError(f'stage = {stage!r}: it must be "before" or "after"')
    questions = tomllib.loads(INVENTORY.read_text(encoding="utf-8"))["question"]
    spec = {
        "kind": "form",
        "label": f"{len(questions)} questions {stage} the course",
        "submit": "Count my answers",
        "questions": [{"ask": asked["ask"], "answers": asked["answers"]} for asked in questions],
    }
    _page.place(
        spec,
        (
            f"<p><b>{len(questions)} questions {stage} the course</b>, about ten minutes. Run this "
            "cell, then answer with the mouse, or with Tab and the arrow keys. The result is kept "
            "on this machine only.</p>"
        ),
        lambda chosen: counted(stage, questions, chosen),
    )


def counted(stage, questions, chosen):
    """Save an inventory's result and say it; after the course with a reason for each error."""
    right = [choice == asked["right"] for choice, asked in zip(chosen, questions, strict=True)]
    try:
        results = save_inventory(stage, sum(right), len(questions))
        told = gain_words(results, len(questions))
    except OSError as error:
        told = f"This could not be saved ({error.strerror})."
    words = f"<b>{sum(right)} of {len(questions)} right.</b> {html.escape(told)}"
    if stage == "before":
        return words
    reasons = [
        reason(asked, choice) for good, choice, asked in zip(right, chosen, questions) if not good
    ]
    return words + (f"<ol>{''.join(reasons)}</ol>" if reasons else "")


def reason(asked, choice):
    """Why a chosen answer is wrong, as an entry of a list."""
    ask, answer, why = map(
        html.escape, (asked["ask"], asked["answers"][choice], asked["why"][choice])
    )
    return f"<li>{ask} <b>{answer}</b>: {why}</li>"


def gain_words(results, of):
    """What before and after say together: the share of what was open before that is right after."""
    if {"before", "after"} <= results.keys() and results["before"] < of:
        gain = (results["after"] - results["before"]) / (of - results["before"])
        return (
            f"Before {results['before']}, after {results['after']}: "
            f"you gained {gain:.0%} of what was open."
        )
    if "after" in results:
        return "There is no result from before the course to compare it with."
    return "You will meet these questions again at the end of the course."
