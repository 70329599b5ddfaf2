"""Check-yourself questions: every answer, right or wrong, is explained."""

import html
import tomllib
from pathlib import Path

import ipywidgets as widgets
from IPython.display import Markdown, display

from .workbook import save_inventory

INVENTORY = Path(__file__).parents[1] / "data" / "inventory.toml"
LETTERS = "ABCDEFGH"


def quiz(question, answers, *, right):
    """Ask a question.

    Parameters
    ----------
    question : str
        Markdown.
    answers : dict
        Each answer (Markdown) with the sentence that explains why it is right or wrong.
    right : str
        The right one among the answers.

    Raises
    ------
    ValueError
        If `right` is not among the answers, or one of them has no explanation.
    """
    if right not in answers:
        raise ValueError(f"right is {right!r}; it must be one of {list(answers)}")
    for answer, why in answers.items():
        if len(why.split()) < 4:
            raise ValueError(f"the answer {answer!r} needs an explanation, not {why!r}")
    options = "\n".join(f"- **{letter}** {answer}" for letter, answer in zip(LETTERS, answers))
    display(Markdown(f"**Check yourself** (run this cell, then choose a letter). {question}\n\n{options}"))

    verdict = widgets.HTML(value="", layout={"min_height": "1.6em"})

    def key(letter, answer, why):
        def answered(_):
            mark, colour = ("✓ Right.", "#00694e") if answer == right else ("✗ Not quite.", "#a33f00")
            verdict.value = f'<div role="status"><b style="color:{colour}">{letter} {mark}</b> {html.escape(why)}</div>'
        return _key(letter, answered)

    keys = [key(letter, answer, why) for letter, (answer, why) in zip(LETTERS, answers.items())]
    box = widgets.VBox([widgets.HBox(keys), verdict])
    display({"application/vnd.jupyter.widget-view+json": {"version_major": 2, "version_minor": 0, "model_id": box.model_id}}, raw=True)


def _key(letter, answered):
    """One answer's button."""
    button = widgets.Button(description=letter, tooltip=f"Choose answer {letter}", layout={"width": "4em"})
    button.on_click(answered)
    return button


def inventory(stage):
    """The course's twenty questions, asked `"before"` it and `"after"` it; nothing is explained before.

    The result goes to the reader's own progress page; after the course the gain is told, the share of what was open before.

    Raises
    ------
    ValueError
        If `stage` is neither.
    """
    if stage not in ("before", "after"):
        raise ValueError(f'stage is {stage!r}; it must be "before" or "after"')
    questions = tomllib.loads(INVENTORY.read_text(encoding="utf-8"))["question"]
    chosen = []
    text, keys, verdict = widgets.HTML(), widgets.HBox(), widgets.HTML(layout={"min_height": "1.6em"})

    def ask():
        asked = questions[len(chosen)]
        options = "".join(f"<li><b>{letter}</b> {html.escape(answer)}</li>" for letter, answer in zip(LETTERS, asked["answers"]))
        text.value = f"<p><b>{len(chosen) + 1} of {len(questions)}.</b> {html.escape(asked['ask'])}</p><ul style='list-style:none'>{options}</ul>"
        keys.children = [_key(letter, lambda _, i=i: answered(i)) for i, letter in enumerate(LETTERS[: len(asked["answers"])])]

    def answered(i):
        asked = questions[len(chosen)]
        chosen.append(i == asked["right"])
        if stage == "after":
            verdict.value = f"<div role='status'>{'✓' if chosen[-1] else '✗'} {html.escape(asked['why'][i])}</div>"
        if len(chosen) < len(questions):
            ask()
            keys.children[0].focus()
        else:
            finish()

    def finish():
        keys.children = []
        try:
            results = save_inventory(stage, sum(chosen), len(questions))
        except OSError as error:
            results = {stage: sum(chosen)}
            verdict.value = f"<div role='status'>This could not be saved ({error.strerror}).</div>"
        text.value = f"<p><b>{sum(chosen)} of {len(questions)} right.</b> {html.escape(gain_words(results, len(questions)))}</p>"

    ask()
    box = widgets.VBox([text, keys, verdict])
    display(Markdown(f"**{len(questions)} questions {stage} the course**, about ten minutes. Run this cell, then answer with the mouse, or with Tab and Enter. "
                     "The result is kept on this machine only."))
    display({"application/vnd.jupyter.widget-view+json": {"version_major": 2, "version_minor": 0, "model_id": box.model_id}}, raw=True)


def gain_words(results, of):
    """What before and after say together: the gain is the share of the questions still open before that are right after."""
    if {"before", "after"} <= results.keys() and results["before"] < of:
        gain = (results["after"] - results["before"]) / (of - results["before"])
        return f"Before {results['before']}, after {results['after']}: you gained {gain:.0%} of what was open."
    return "You will meet these questions again at the end of the course."
