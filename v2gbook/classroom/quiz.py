"""Check-yourself questions: every answer, right or wrong, is explained."""

import html

import ipywidgets as widgets
from IPython.display import Markdown, display


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
    letters = "ABCDEFGH"[: len(answers)]
    lines = [f"**Check yourself.** {question}", *(f"- **{letter}** {answer}" for letter, answer in zip(letters, answers))]
    display(Markdown("\n\n".join([lines[0], "\n".join(lines[1:])])))

    verdict = widgets.HTML(value="", layout={"min_height": "1.6em"})

    def button(letter, answer, why):
        def answered(_):
            mark, colour = ("✓ Right.", "#00694e") if answer == right else ("✗ Not quite.", "#a33f00")
            verdict.value = f'<div role="status"><b style="color:{colour}">{letter} {mark}</b> {html.escape(why)}</div>'
        key = widgets.Button(description=letter, tooltip=f"Choose answer {letter}", layout={"width": "4em"})
        key.on_click(answered)
        return key

    keys = [button(letter, answer, why) for letter, (answer, why) in zip(letters, answers.items())]
    box = widgets.VBox([widgets.HBox(keys), verdict])
    display({"application/vnd.jupyter.widget-view+json": {"version_major": 2, "version_minor": 0, "model_id": box.model_id}}, raw=True)
