"""What moves on a page: `explore(draw, loss_mw=slider("Loss", 100, 1000, 500, unit="MW"), ...)`, `live(words, fig)`, `progress(label, total)`."""

import anywidget
import ipywidgets as widgets
import plotly.graph_objects as go
from IPython.display import Markdown, display

from .figures import dressed, escaped

_WIDE = {"style": {"description_width": "14.5em"}, "layout": {"width": "31em"}}
_COLUMNS = {"grid_template_columns": "repeat(auto-fill, 31.5em)", "width": "100%", "overflow": "hidden"}


class _Fit(anywidget.AnyWidget):
    """Lets the plot take the width of the page: it is drawn before it is attached, and then listens to the window only."""

    _esm = """
    export default { render({ el }) {
        new ResizeObserver(() => window.dispatchEvent(new Event("resize"))).observe(el);
    } };
    """


def slider(label, low, high, value, *, step, unit, continuous=True):
    """A slider that shows its unit. Whole numbers give whole steps. `continuous=False`: redraw on release (slow models)."""
    if not low <= value <= high:
        raise ValueError(f"{label}: value {value} must lie between {low} and {high}")
    whole = all(isinstance(number, int) for number in (low, high, value, step))
    kind = widgets.IntSlider if whole else widgets.FloatSlider
    extra = {} if whole else {"readout_format": f".{max(0, len(str(step).partition('.')[2]))}f"}
    return kind(value=value, min=low, max=high, step=step, description=f"{label} [{unit}]", tooltip=label, continuous_update=continuous,
                **extra, **_WIDE)


def choice(label, options, value):
    """A drop-down of named options."""
    return widgets.Dropdown(options=list(options), value=value, description=label, **_WIDE)


def explore(draw, **controls):
    """Show `draw(**values)` with its controls; the figure follows every move.

    Parameters
    ----------
    draw : function
        Takes one keyword for each control; returns a complete plotly figure, or a figure and a Markdown-free sentence.
        Its traces never change in number or type: hide one with `x=[]`.
    **controls : slider(...) or choice(...)
        Any ipywidget with a value.
    """
    start = {name: control.value for name, control in controls.items()}
    figure, words = _drawn(draw, start)
    canvas = go.FigureWidget(dressed(figure))
    canvas.layout.autosize, canvas._config = True, {**canvas._config, "responsive": True}
    readout = widgets.HTML(value=words, layout={"min_height": "2.6em"})
    reset = widgets.Button(description="Reset", tooltip="Back to the values at the start", icon="undo")
    held = []  # while resetting, one redraw at the end instead of one for each control

    def redraw(_=None):
        if not held:
            figure, readout.value = _drawn(draw, {name: control.value for name, control in controls.items()})
            _copy(figure, canvas)

    def restore(_):
        held.append(True)
        for name, control in controls.items():
            control.value = start[name]
        held.clear()
        redraw()

    for control in controls.values():
        control.observe(redraw, names="value")
    reset.on_click(restore)
    board = widgets.GridBox([*controls.values(), reset], layout=_COLUMNS)
    labels = ", ".join(control.description for control in controls.values())
    display(Markdown(f"**Explore** {escaped(labels)}. Run this cell, then drag a slider, or reach it with Tab and press the arrow keys."))
    _view(widgets.VBox([board, readout, _Fit(), canvas]))


def live(words, fig=None):
    """Show what this machine has just measured, in a widget: the notebook does not keep it, since no other run repeats it."""
    display(Markdown("**Live** Run this cell: what it measures is true of your machine, today, and is not stored."))
    parts = [widgets.HTML(value=words)]
    if fig is not None:
        canvas = go.FigureWidget(dressed(fig))
        canvas.layout.autosize, canvas._config = True, {**canvas._config, "responsive": True}
        parts += [_Fit(), canvas]
    _view(widgets.VBox(parts))


def progress(label, total):
    """A bar on the page; call what comes back whenever one more is done, or with how many more."""
    bar = widgets.IntProgress(value=0, min=0, max=total, description=label, **_WIDE)
    count = widgets.HTML(value=f"0 of {total}")
    _view(widgets.HBox([bar, count]))

    def done(more=1):
        bar.value += more
        count.value = f"{bar.value} of {total}"
    return done


def _view(box):
    """Show a widget and nothing else: the tidier drops it, and a fresh run need not repeat it."""
    display({"application/vnd.jupyter.widget-view+json": {"version_major": 2, "version_minor": 0, "model_id": box.model_id}}, raw=True)


def _drawn(draw, values):
    """What draw returns, always as a figure and a sentence."""
    drawn = draw(**values)
    return drawn if isinstance(drawn, tuple) else (drawn, "")


def _copy(new, canvas):
    """Bring the figure on the page to the state of `new` in one message; what `new` lacks goes back to its default."""
    kinds = [trace.type for trace in new.data], [trace.type for trace in canvas.data]
    if kinds[0] != kinds[1]:
        raise ValueError(f"draw returned traces {kinds[0]}, first it returned {kinds[1]}; keep them, and hide one with x=[]")
    with canvas.batch_update():
        for source, target in zip(new.data, canvas.data):
            _update(target, source.to_plotly_json())
        layout = new.layout.to_plotly_json()
        layout.pop("template", None)
        _update(canvas.layout, layout, keep=("template", "autosize"))


def _update(target, properties, keep=("type", "uid")):
    present = target.to_plotly_json()
    for name in present.keys() - properties.keys() - set(keep):
        target[name] = None
    for name, value in properties.items():
        if name not in keep and not _same(value, present.get(name)):
            target[name] = value


def _same(a, b):
    """Equal, also for arrays, whose == gives an array."""
    try:
        return bool(a == b)
    except ValueError:
        return len(a) == len(b) and bool((a == b).all())
