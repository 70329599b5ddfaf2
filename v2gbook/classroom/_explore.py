"""What moves on a page: explorers, films, what is measured live, and bars of progress."""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

from IPython.display import display

from . import _page
from .figures import (
    PLOTLY,
    TEMPLATE,
    add_patterns,
    add_units,
    captioned,
    checked_alt,
    stored,
)

FILM_BYTES = 300_000  # of the frames of a film at most, as a notebook stores them


@dataclass(frozen=True, kw_only=True)
class Control:
    """One slider or drop-down of an explorer.

    Attributes
    ----------
    label, unit : str
        What stands beside it.
    value : number or str
        Where it stands at the start.
    low, high, step : number, optional
        Range of a slider; whole numbers give whole values.
    options : tuple of str
        What a drop-down offers; empty for a slider.
    continuous : bool
        False where the figure follows only on release, since its model is slow.
    """

    label: str
    value: Any
    unit: str = ""
    low: Any = None
    high: Any = None
    step: Any = None
    options: tuple = ()
    continuous: bool = True

    @property
    def whole(self):
        """True for a slider of whole numbers."""
        return all(
            isinstance(number, int) for number in (self.low, self.high, self.step, self.value)
        )

    def cast(self, value):
        """A value from the page as `draw` expects it."""
        if self.options:
            return value
        return round(value) if self.whole else float(value)

    def checked(self, name, value):
        """A position for this control, or a ValueError that says what is allowed."""
        if self.options and value not in self.options:
            raise ValueError(
                f"{name} = {value!r}: {self.label} can be one of {', '.join(self.options)}"
            )
        if not self.options and not self.low <= value <= self.high:
            raise ValueError(
                f"{name} = {value!r}: {self.label} must lie between {self.low} and {self.high}"
            )
        return value

    def spec(self, name):
        """The control as plain values for the page."""
        digits = (
            0
            if self.options or self.whole
            else len(str(float(self.step)).partition(".")[2].rstrip("0"))
        )
        return {
            "name": name,
            "label": self.label,
            "unit": self.unit,
            "value": self.value,
            "low": self.low,
            "high": self.high,
            "step": self.step,
            "digits": digits,
            "options": list(self.options),
            "continuous": self.continuous,
        }


def slider(
    label: str,
    low: float,
    high: float,
    value: float,
    *,
    step: float,
    unit: str,
    continuous: bool = True,
) -> Control:
    """A slider that shows its unit.

    Parameters
    ----------
    label : str
        What stands beside it.
    low, high : float
        Its ends; where these, the step and the value are whole numbers, it gives whole numbers.
    value : float
        Where it stands at the start.
    step : float
        What one press of an arrow key changes, above 0.
    unit : str
        Unit of the value.
    continuous : bool, optional
        False: the figure is drawn anew only on release, for a slow model.

    Returns
    -------
    Control
        A control for `explore`.

    Raises
    ------
    ValueError
        If the value lies outside of the ends, or the step is not above 0.

    Examples
    --------
    >>> slider("Loss", 100, 2000, 500, step=50, unit="MW").value
    500
    """
    if not low <= value <= high:
        raise ValueError(f"{label}: value {value} must lie between {low} and {high}")
    if step <= 0:
        raise ValueError(f"{label}: step {step} must be above 0")
    return Control(
        label=label, low=low, high=high, value=value, step=step, unit=unit, continuous=continuous
    )


def choice(label: str, options: Sequence[str], value: str) -> Control:
    """A drop-down of named options.

    Parameters
    ----------
    label : str
        What stands beside it.
    options : sequence of str
        What it offers.
    value : str
        The option at the start.

    Returns
    -------
    Control
        A control for `explore`.

    Raises
    ------
    ValueError
        If the value is no option.

    Examples
    --------
    >>> choice("Rule", ["firm", "mean"], "firm").options
    ('firm', 'mean')
    """
    if value not in options:
        raise ValueError(f"{label}: value {value!r} must be one of {', '.join(options)}")
    return Control(label=label, options=tuple(options), value=value)


def explore(
    draw: Callable[..., Any],
    *,
    alt: str,
    caption: str = "",
    play: str | None = None,
    positions: dict[str, dict[str, Any]] | None = None,
    **controls: Control,
) -> None:
    """Show `draw(**values)`, and let the reader move its controls; the figure follows every move.

    The notebook stores the figure at the start, as `show` does, and below it an invitation. Where
    the course runs, the explorer takes the place of both.

    Parameters
    ----------
    draw : function
        Takes one keyword for each control; returns a plotly figure, or a figure and a sentence
        (HTML). The figure keeps its number of traces: hide one with `x=[]`.
    alt, caption : str
        As in `show`; they describe the figure at the start.
    play : str, optional
        Name of a slider that gets a play button.
    positions : dict, optional
        Named positions, each a dict of some controls' values: {"Great Britain 2019": {"loss_mw":
        1500}}.
    **controls : Control
        A `slider` or a `choice` for each keyword of `draw`.

    Raises
    ------
    ValueError
        If `alt` is not a sentence, or `play` or a position names something that is not there or out
        of range.

    Examples
    --------
    >>> def draw(loss_mw):
    ...     fig = figure("time [s]", "loss [MW]")
    ...     return fig.add_scatter(x=[0, 1], y=[0, loss_mw], name="loss")
    >>> explore(
    ...     draw,
    ...     loss_mw=slider("Loss", 100, 2000, 500, step=50, unit="MW"),
    ...     alt="The loss rises to the chosen value in a second.",
    ... )  # doctest: +ELLIPSIS
    {...
    """
    checked_alt(alt)
    start = {name: control.value for name, control in controls.items()}
    positions = {
        name: start | _checked(position, controls) for name, position in (positions or {}).items()
    }
    if play is not None and (play not in controls or controls[play].options):
        raise ValueError(f"play = {play!r}: it must name one of the sliders {', '.join(controls)}")
    fig, words = _page.parted(draw(**start))
    trims = _trimmed(fig)
    display(stored(fig.update_layout(template=TEMPLATE), alt), raw=True)
    labels = ", ".join(control.label for control in controls.values())
    spec = {
        "kind": "explorer",
        "label": f"Explorer: {labels}",
        "alt": alt,
        "words": words,
        "trims": trims,
        "ghost": True,
        "controls": [control.spec(name) for name, control in controls.items()],
        "reset": start,
        "positions": positions,
        "play": play and {"name": play, "text": f"Play {controls[play].label}"},
        "template": TEMPLATE.to_plotly_json(),
    }

    def answer(**values):
        return draw(**{name: controls[name].cast(value) for name, value in values.items()})

    _page.place(
        spec,
        (
            f'<p class="v2g-words">{words}</p><p><b>Explore</b> {_page.text(labels)}. '
            "Run this cell, then drag a slider, or reach it with Tab and press the arrow keys.</p>"
        ),
        answer,
    )
    captioned(caption, alt)


def animate(
    draw: Callable[..., Any],
    times: Sequence[float],
    *,
    alt: str,
    caption: str = "",
    unit: str = "s",
    label: str = "Time",
    still: float | None = None,
) -> None:
    """Show `draw(time)` as a film: a play button and a slider over time, computed once.

    Parameters
    ----------
    draw : function
        Takes one time; returns a plotly figure, always with the same traces, or a figure and a
        sentence (HTML).
    times : sequence of float
        The moments that are drawn, ascending.
    alt, caption : str
        As in `show`.
    unit : str, optional
        Unit of the times.
    label : str, optional
        What the slider moves, if it is something else than time.
    still : float, optional
        One of the times: the moment that the stored picture shows. The first if left out.

    Raises
    ------
    ValueError
        If there are fewer than two times, if `still` is none of them, if the kinds of traces change
        with time, or if the frames take more than 300 kB.

    Examples
    --------
    >>> def draw(time):
    ...     fig = figure("time [s]", "way [m]")
    ...     return fig.add_scatter(x=[0, time], y=[0, 2 * time], name="way")
    >>> animate(draw, [1.0, 2.0], alt="The way grows with time.")  # doctest: +ELLIPSIS
    {...
    """
    checked_alt(alt)
    times = _moments(times)
    place = _place_of(still, times)
    shots = [_page.parted(draw(time=time)) for time in times]
    first, words = shots[0]
    trims, *_ = (_trimmed(fig) for fig, _ in shots)
    bundle = stored(first.update_layout(template=TEMPLATE), alt)
    frames = _frames(times, [stored(fig, alt)[PLOTLY]["data"] for fig, _ in shots])
    _refuse_large(frames)
    bundle[PLOTLY] |= {"frames": frames, "still": place}
    display(bundle, raw=True)
    step = Control(label=label, unit=unit, value=0, low=0, high=len(times) - 1, step=1)
    spec = {
        "kind": "film",
        "label": "Film",
        "alt": alt,
        "words": words,
        "trims": trims,
        "ghost": False,
        "controls": [step.spec("step") | {"texts": [f"{time:g} {unit}" for time in times]}],
        "reset": {"step": 0},
        "play": {"name": "step", "text": "Play"},
        "template": TEMPLATE.to_plotly_json(),
    }

    def answer(step):
        return shots[round(step)]

    _page.place(
        spec,
        (
            f'<p class="v2g-words">{shots[place][1]}</p><p><b>Film</b> '
            f"from {times[0]:g} to {times[-1]:g} {_page.text(unit)}. "
            "Run this cell, then press Play, or move through time with the arrow keys.</p>"
        ),
        answer,
    )
    captioned(caption, alt)


def _moments(times):
    """The times of a film, at least two and ascending."""
    times = [float(time) for time in times]
    if len(times) < 2 or any(after <= before for before, after in pairwise(times)):
        raise ValueError(f"times = {times}: at least two ascending times are needed")
    return times


def _place_of(still, times):
    """Number of the frame that the stored picture shows."""
    if still is None:
        return 0
    if still not in times:
        raise ValueError(f"still = {still:g} is none of the times of the film")
    return times.index(still)


def _refuse_large(frames):
    """Stop if the frames would swell the notebook."""
    size = _stored_bytes(frames)
    if size > FILM_BYTES:
        raise ValueError(
            f"the film has {size / 1000:.0f} kB, at most {FILM_BYTES / 1000:.0f} are stored: "
            "fewer times or points"
        )


def _frames(times, shots):
    """Plotly's frames: of each trace that moves, all that ever changes in it.

    So each frame is complete, and any frame may follow any other.

    Parameters
    ----------
    times : list of float
        Names of the frames.
    shots : list of list of dict
        The traces at each time, as plain values of plotly.

    Raises
    ------
    ValueError
        If the kinds of traces differ from those at the first time.
    """
    kinds = [trace["type"] for trace in shots[0]]
    for time, shot in zip(times, shots):
        here = [trace["type"] for trace in shot]
        if here != kinds:
            raise ValueError(
                f"draw({time:g}) has the traces {', '.join(here)}, and the first "
                f"{', '.join(kinds)}: a film keeps its traces; hide one with x=[]"
            )
    changing = [_changing(takes) for takes in zip(*shots)]
    moving = [number for number, names in enumerate(changing) if names]

    def changes(shot):
        return [{name: shot[number].get(name) for name in changing[number]} for number in moving]

    return [
        {"name": f"{time:g}", "traces": moving, "data": changes(shot)}
        for time, shot in zip(times, shots)
    ]


def _stored_bytes(frames):
    """Bytes that frames take in a notebook: each value has its own line, indented by seven more."""
    text = json.dumps(frames, indent=1)
    return len(text) + 7 * text.count("\n")


def _changing(takes):
    """Names of what is not the same in all takes of one trace."""
    names = sorted(set().union(*takes))
    return [name for name in names if any(take.get(name) != takes[0].get(name) for take in takes)]


def live(words: str, fig: Any = None, *, alt: str = "What this machine has just measured.") -> None:
    """Show what this machine has just measured.

    The notebook does not keep it, since no other run repeats it.

    Parameters
    ----------
    words : str
        A sentence (HTML).
    fig : plotly.graph_objects.Figure, optional
        A figure below it.
    alt : str, optional
        The figure in words.

    Examples
    --------
    >>> live("The answer took <b>3 ms</b>.")  # doctest: +ELLIPSIS
    <...HTML...>
    """
    spec = {
        "kind": "explorer",
        "label": "Measured just now",
        "alt": alt,
        "words": "",
        "trims": _trimmed(fig) if fig else [],
        "ghost": False,
        "controls": [],
        "template": TEMPLATE.to_plotly_json(),
    }
    _page.place(
        spec,
        "<p><b>Live</b> Run this cell: what it measures is true of your machine, today, and is not "
        "stored.</p>",
        lambda: (fig, words) if fig else words,
    )


def progress(label: str, total: int) -> Callable[..., None]:
    """A bar on the page that counts while a cell runs.

    Parameters
    ----------
    label : str
        What is counted.
    total : int
        How many there will be.

    Returns
    -------
    function
        Call it whenever one more is done, or with how many more.

    Examples
    --------
    >>> done = progress("days", 2)  # doctest: +ELLIPSIS
    <...HTML...>
    >>> done()
    """
    count = 0
    update = _page.place(
        {"kind": "bar", "label": label, "total": total, "done": 0},
        f"<p>{_page.text(label)}: a bar counts to {total} while this cell runs.</p>",
    )

    def done(more=1):
        nonlocal count
        count += more
        update(done=count)

    return done


def _checked(position, controls):
    """A named position, each value within its control's range."""
    strangers = position.keys() - controls.keys()
    if strangers:
        raise ValueError(
            f"positions: there is no control {', '.join(sorted(strangers))}; "
            f"there are {', '.join(controls)}"
        )
    return {name: controls[name].checked(name, value) for name, value in position.items()}


def _trimmed(fig):
    """Give a figure units in its hover and patterns in its areas.

    Returns what each trace got, for the page to repeat.
    """
    add_units(fig)
    add_patterns(fig)
    traces = [trace.to_plotly_json() for trace in fig.data]
    return [
        {name: trace[name] for name in ("hovertemplate", "fillpattern") if name in trace}
        for trace in traces
    ]
