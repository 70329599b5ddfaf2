"""What moves on a page: `explore(draw, loss_mw=slider(...), ...)`, `animate(...)`, `live(words, fig)` and `progress(label, total)`."""

import json
from dataclasses import dataclass
from itertools import pairwise

from IPython.display import display

from . import _page
from .figures import PLOTLY, TEMPLATE, add_patterns, add_units, captioned, checked_alt, stored

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
    value: object
    unit: str = ""
    low: float | None = None
    high: float | None = None
    step: float | None = None
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


def slider(label, low, high, value, *, step, unit, continuous=True):
    """A slider that shows its unit. Whole numbers give whole steps. `continuous=False`: redraw on release (slow models)."""
    if not low <= value <= high:
        raise ValueError(f"{label}: value {value} must lie between {low} and {high}")
    if step <= 0:
        raise ValueError(f"{label}: step {step} must be above 0")
    return Control(
        label=label, low=low, high=high, value=value, step=step, unit=unit, continuous=continuous
    )


def choice(label, options, value):
    """A drop-down of named options."""
    if value not in options:
        raise ValueError(f"{label}: value {value!r} must be one of {', '.join(options)}")
    return Control(label=label, options=tuple(options), value=value)


def explore(draw, *, alt, caption="", play=None, positions=None, **controls):
    """Show `draw(**values)`, and let the reader move its controls; the figure follows every move.

    The notebook stores the figure at the start, as `show` does, and below it an invitation. Where the course runs, the
    explorer takes the place of both.

    Parameters
    ----------
    draw : function
        Takes one keyword for each control; returns a plotly figure, or a figure and a sentence (HTML). The figure keeps its
        number of traces: hide one with `x=[]`.
    alt, caption : str
        As in `show`; they describe the figure at the start.
    play : str, optional
        Name of a slider that gets a play button.
    positions : dict, optional
        Named positions, each a dict of some controls' values: {"Great Britain 2019": {"loss_mw": 1500}}.
    **controls : slider(...) or choice(...)

    Raises
    ------
    ValueError
        If `alt` is not a sentence, or `play` or a position names something that is not there or out of range.
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


def animate(draw, times, *, alt, caption="", unit="s"):
    """Show `draw(time)` as a film: a play button and a slider over time, computed once.

    Parameters
    ----------
    draw : function
        Takes one time; returns a plotly figure, always with the same traces, or a figure and a sentence (HTML).
    times : sequence of float
        The moments that are drawn, ascending. [unit]
    alt, caption : str
        As in `show`; the first moment is the stored picture.
    unit : str, optional
        Unit of the times.

    Raises
    ------
    ValueError
        If there are fewer than two times, if the kinds of traces change with time, or if the frames
        take more than 300 kB.
    """
    checked_alt(alt)
    times = [float(time) for time in times]
    if len(times) < 2 or any(after <= before for before, after in pairwise(times)):
        raise ValueError(f"times = {times}: at least two ascending times are needed")
    shots = [_page.parted(draw(time=time)) for time in times]
    first, words = shots[0]
    trims = [_trimmed(fig) for fig, _ in shots][0]
    bundle = stored(first.update_layout(template=TEMPLATE), alt)
    film = bundle[PLOTLY]
    film["frames"] = _frames(times, [stored(fig, alt)[PLOTLY]["data"] for fig, _ in shots])
    size = _stored_bytes(film["frames"])
    if size > FILM_BYTES:
        raise ValueError(
            f"the film has {size / 1000:.0f} kB, at most {FILM_BYTES / 1000:.0f} are stored: fewer times or points"
        )
    display(bundle, raw=True)
    step = Control(label="Time", unit=unit, value=0, low=0, high=len(times) - 1, step=1)
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
            f'<p class="v2g-words">{words}</p><p><b>Film</b> from {times[0]:g} to {times[-1]:g} {_page.text(unit)}. '
            "Run this cell, then press Play, or move through time with the arrow keys.</p>"
        ),
        answer,
    )
    captioned(caption, alt)


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
                f"draw({time:g}) has the traces {', '.join(here)}, and the first {', '.join(kinds)}: "
                "a film keeps its traces; hide one with x=[]"
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


def live(words, fig=None, *, alt="What this machine has just measured."):
    """Show what this machine has just measured; the notebook does not keep it, since no other run repeats it."""
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
        "<p><b>Live</b> Run this cell: what it measures is true of your machine, today, and is not stored.</p>",
        lambda: (fig, words) if fig else words,
    )


def progress(label, total):
    """A bar on the page; call what comes back whenever one more is done, or with how many more."""
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
            f"positions: there is no control {', '.join(sorted(strangers))}; there are {', '.join(controls)}"
        )
    return {name: controls[name].checked(name, value) for name, value in position.items()}


def _trimmed(fig):
    """Give a figure units in its hover and patterns in its areas; returns what each trace got, for the page to repeat."""
    add_units(fig)
    add_patterns(fig)
    traces = [trace.to_plotly_json() for trace in fig.data]
    return [
        {name: trace[name] for name in ("hovertemplate", "fillpattern") if name in trace}
        for trace in traces
    ]
