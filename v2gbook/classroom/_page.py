"""The widget behind a page: it brings explorers, films, bars and forms to life.

Its other half is `static/page.js`.

Nothing of it is stored. A cell's output holds a placeholder with an invitation; the module finds it
by its number, which is new in each session, and builds the part in it. Python keeps for each part a
function that answers its questions.
"""

import functools
import html
import itertools
import math
import secrets
import time
from pathlib import Path
from typing import Any

import numpy as np
from IPython.display import display

from . import _notebook

HERE = Path(__file__).parent
PATIENCE_S = 3.0  # a widget that has not been heard of for so long is taken for lost
# So that a placeholder of another session is never taken for one of this.
_SESSION = secrets.token_hex(4)
_numbers = itertools.count(1)


def place(spec, invitation, answer=None):
    """Leave a placeholder among the cell's outputs, and tell the page how to build the part.

    Parameters
    ----------
    spec : dict
        What `page.js` needs: at least its `kind` ("explorer", "film", "bar" or "form"). Plain
        values only.
    invitation : str
        HTML that is seen wherever the part does not run: on a code host, before the first run, the
        next day.
    answer : function, optional
        Takes the part's values as keywords; returns a sentence (HTML) or a figure and a sentence.

    Returns
    -------
    function
        Call it with keywords to change the part's description later.
    """
    part = f"{_SESSION}-{next(_numbers)}"
    shown = f'<div class="v2g-part" data-part="{part}">{invitation}</div>'
    display(
        {"text/html": shown, "text/plain": "a part of the page that runs in JupyterLab"}, raw=True
    )
    _answers[part] = answer
    wake()

    def update(**changes):
        _parts[part] = {**_parts.get(part, {}), **changes}
        for page in _pages:
            page.parts = dict(_parts)

    update(**spec, id=part)
    return update


# Of this session, by number.
_parts: dict[str, Any] = {}
_answers: dict[str, Any] = {}
_pages: list[Any] = []  # widgets, the newest last


def wake(tries=3):
    """Bring the page to life, unless it is.

    Parts, colours and text alternatives all come with one widget.

    JupyterLab may lose a widget while it still connects to the kernel. So one that has not been
    heard of after some seconds is made anew, and so is one that a cell needs again.
    """
    if _pages and (_pages[-1].heard or time.monotonic() - _pages[-1].born_s < PATIENCE_S):
        return
    _pages.append(_kind()(parts=dict(_parts)))
    if tries > 1:
        _notebook.after(PATIENCE_S, lambda: wake(tries - 1))


@functools.cache
def _kind():
    """Class of the widget, made when the first part is placed: importing anywidget takes 0.25 s."""
    import anywidget
    import traitlets

    class Page(anywidget.AnyWidget):
        """Hears what the parts ask, and answers."""

        _esm = HERE / "static" / "page.js"
        _css = HERE / "static" / "page.css"
        parts = traitlets.Dict().tag(sync=True)

        def __init__(self, **traits):
            super().__init__(**traits)
            self.heard, self.born_s = False, time.monotonic()
            self.on_msg(self._hear)

        def _hear(self, _, asked, __):
            self.heard = True
            told, buffers = reply(_answers, asked)
            self.send({**told, "turn": asked.get("turn")}, buffers)

    return Page


def reply(answers, asked):
    """Answer to one question of the page: a message and its buffers. It never raises."""
    try:
        if asked["want"] == "nothing":
            return {}, []
        if asked["want"] == "library":
            return {}, [plotly_js()]
        start = time.perf_counter()
        words, figure = drawn(answers[asked["part"]], asked["values"])
        draw_ms = 1000 * (time.perf_counter() - start)
        chunks: list[bytes] = []
        return {"words": words, "figure": packed(figure, chunks), "draw_ms": draw_ms}, [
            b"".join(chunks)
        ]
    except Exception as error:  # whatever a draw function raises belongs on the page, not in a log
        return {"trouble": f"{type(error).__name__}: {error}"[:300]}, []


@functools.cache
def plotly_js():
    """The drawing library that the plotly package ships."""
    import plotly

    return (Path(plotly.__file__).parent / "package_data" / "plotly.min.js").read_bytes()


def drawn(answer, values):
    """What a part's function returns, as a sentence and a figure's plain values (or None)."""
    figure, words = parted(answer(**values))
    if figure is not None:  # each part by itself: the figure's own way would write arrays as text
        layout = figure.layout.to_plotly_json()
        layout.pop("template", None)
        figure = {"data": [trace.to_plotly_json() for trace in figure.data], "layout": layout}
    return words, figure


def parted(result):
    """What a part's function returned, always as a figure (or None) and a sentence."""
    if isinstance(result, str):
        return None, result
    return result if isinstance(result, tuple) else (result, "")


def packed(value, chunks):
    """A figure's values in which every array of numbers is a note of where it lies among `chunks`.

    A note says at which byte it begins, how many numbers it has and, for a table, how many each row
    has. Numbers travel as 8-byte floats.
    """
    if isinstance(value, dict):
        return {name: packed(one, chunks) for name, one in value.items()}
    if isinstance(value, np.ndarray):
        return (
            _noted(value, chunks)
            if value.dtype.kind in "fiub"
            else packed(value.astype(str).tolist(), chunks)
        )
    if isinstance(value, (list, tuple)):
        if len(value) > 8 and all(type(one) in (int, float) for one in value):
            return _noted(np.array(value), chunks)
        return [packed(one, chunks) for one in value]
    if isinstance(value, np.generic):
        value = value.item()
    return None if isinstance(value, float) and not math.isfinite(value) else value


def _noted(array, chunks):
    numbers = np.ascontiguousarray(array, dtype=float)
    start = sum(map(len, chunks))
    chunks.append(numbers.tobytes())
    width = numbers.shape[1] if numbers.ndim == 2 else 0
    return {"v2g": [start, numbers.size, width]}


def text(words):
    """Plain words as HTML."""
    return html.escape(words, quote=False)
