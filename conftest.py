"""How stored notebooks are compared with a fresh run: a thin policy around nbval's own comparison.

Numbers in text may differ by one part in a million; figures are compared by what they show (trace
types, names, axis titles, smallest, mean and largest value within a ten-thousandth of the range,
less than the eye can see), drawings by their text and by how many shapes of each kind they have;
everything else must be equal, and widgets and PNGs are not compared. Where two outputs say the
same, the stored one is handed to nbval, which then finds no difference.
"""

import atexit
import base64
import gc
import json
import re
import shutil
import tempfile
import warnings
from collections import Counter
from xml.etree import ElementTree

import nbval.plugin
import numpy as np

NUMBER = re.compile(r"[-+−]?\d+(?:\.\d+)?(?:[eE][-+]?\d+)?")
# In JSON: the number of a living part, new in every session and not stored.
PART = r' data-part=\\"[^"\\]*\\"'
PLOTLY, SVG = "application/vnd.plotly.v1+json", "image/svg+xml"
# The same as it is stored in chapters and solutions, where its PNG is shown.
FIGURE = "application/vnd.v2gbook.figure+json"


def same_text(fresh, stored):
    """Equal but for the last digits of numbers."""
    if NUMBER.sub("#", fresh) != NUMBER.sub("#", stored):
        return False
    ours, theirs = (NUMBER.findall(text.replace("−", "-")) for text in (fresh, stored))
    return all(np.isclose(float(a), float(b), rtol=1e-6, atol=1e-12) for a, b in zip(ours, theirs))


def values(data):
    """Numbers of a plotly array, also where plotly stored it in binary."""
    if isinstance(data, dict) and "bdata" in data:
        data = np.frombuffer(base64.b64decode(data["bdata"]), dtype=data["dtype"])
    try:
        return np.asarray(data, dtype=float)
    except (TypeError, ValueError):
        return np.array([])


def same_figure(fresh, stored):
    """Equal in what a reader sees."""

    def facts(figure):
        traces = [(trace.get("type"), trace.get("name")) for trace in figure["data"]]
        axes = {
            name: axis.get("title")
            for name, axis in figure["layout"].items()
            if re.match("[xy]axis", name)
        }
        return json.dumps([traces, axes], sort_keys=True)

    return facts(fresh) == facts(stored) and all(map(same_trace, fresh["data"], stored["data"]))


def same_trace(fresh, stored):
    """Equal but for what the eye cannot tell apart.

    A long curve may have been thinned at other points.
    """
    for axis in "xyz":
        new, old = values(fresh.get(axis, [])), values(stored.get(axis, []))
        if abs(new.size - old.size) > (0.05 * old.size if old.size > 50 else 0):
            return False
        new, old = (
            extent(array, values(trace.get("x", [])))
            for array, trace in ((new, fresh), (old, stored))
        )
        if len(new) != len(old) or not np.allclose(
            new, old, rtol=1e-6, atol=1e-9 + 1e-4 * np.ptp(old or [0])
        ):
            return False
    return True


def extent(array, x):
    """Smallest, mean and largest value.

    Along a curve the mean does not depend on where its points lie.
    """
    rising = x.size > 1 and np.isfinite(x).all() and (np.diff(x) > 0).all()
    if rising and array.size == x.size and np.isfinite(array).all():
        return [array.min(), np.trapezoid(array, x) / np.ptp(x), array.max()]
    array = array[np.isfinite(array)]
    return [array.min(), array.mean(), array.max()] if array.size else []


def same_drawing(fresh, stored):
    """Equal in what is written in it, and in how many lines, circles and so on it has.

    Places may differ.
    """

    def facts(svg):
        parts = list(ElementTree.fromstring(svg).iter())
        words = [
            " ".join(part.itertext())
            for part in parts
            if part.tag.endswith(("}text", "}title", "}desc"))
        ]
        return Counter(part.tag for part in parts), "\n".join(words)

    (fresh_shapes, fresh_words), (stored_shapes, stored_words) = facts(fresh), facts(stored)
    return fresh_shapes == stored_shapes and same_text(fresh_words, stored_words)


def same_output(kind, fresh, stored):
    """Equal in what a reader takes from an output of this kind (a MIME type)."""
    if kind in (PLOTLY, FIGURE):
        return same_figure(fresh, stored)
    if kind == SVG:
        return same_drawing(fresh, stored)
    return isinstance(fresh, str) and isinstance(stored, str) and same_text(fresh, stored)


def settled(fresh, stored):
    """Fresh outputs, with the stored value wherever both say the same."""
    if len(fresh) != len(stored):
        return fresh
    result = [
        nbval.plugin.NotebookNode(json.loads(re.sub(PART, "", json.dumps(output))))
        for output in fresh
    ]
    for new, old in zip(result, stored):
        new_values, old_values = new.get("data", new), old.get("data", old)
        if FIGURE in old_values and PLOTLY in new_values:
            new_values[FIGURE] = new_values.pop(PLOTLY)
        for kind in new_values.keys() & old_values.keys():
            if same_output(kind, new_values[kind], old_values[kind]):
                new_values[kind] = old_values[kind]
    return result


_strict = nbval.plugin.IPyNbCell.compare_outputs
_setup, _teardown = nbval.plugin.IPyNbFile.setup, nbval.plugin.IPyNbFile.teardown


def _compare(self, test, ref, skip_compare=None):
    widget = {"application/vnd.jupyter.widget-view+json"}
    shown = [
        output
        for output in nbval.plugin.coalesce_streams(test)
        if set(output.get("data", {"text": ""})) != widget
    ]
    return _strict(self, settled(shown, ref), ref, skip_compare)


# What stands between two notebooks in one kernel: no name of the other is left, and the reader's
# progress is left alone.
BLANK = """%reset -f
import os
os.chdir({folder!r})
os.environ["V2GBOOK_PRESET"] = {preset!r}
os.environ["V2GBOOK_PROGRESS"] = {progress!r}
os.environ["JPY_SESSION_NAME"] = {name!r}
del os"""
_idle = []  # a kernel that has imported the libraries and waits for the next notebook


def _start(self):
    """A notebook runs with the preset it was stored with, in a kernel without any name of others.

    It is a new kernel, or one that has forgotten everything: importing takes most of the time.
    """
    progress = tempfile.mkdtemp(prefix="v2gbook-")
    atexit.register(shutil.rmtree, progress, ignore_errors=True)
    if _idle:
        self.kernel = _idle.pop()
    else:
        _fresh(self)
    preset = self.nb.metadata.get("v2gbook", {}).get("preset", "")
    asked = self.kernel.execute_cell_input(
        BLANK.format(
            folder=str(self.path.parent), preset=preset, progress=progress, name=str(self.path)
        )
    )
    self.kernel.await_reply(asked, timeout=60)
    self.kernel.await_idle(asked, timeout=60)


def _fresh(self):
    """Start a kernel: between choosing its ports and taking them it may lose one to a neighbour."""
    for _ in range(2):
        try:
            return _setup(self)
        except RuntimeError as died:
            warnings.warn(f"{self.path.name}: {died}; started again", stacklevel=1)
    return _setup(self)


def _stop(self):
    """Keep the kernel for the next notebook, unless it died or is busy for ever."""
    if self.kernel is None or self.timed_out or not self.kernel.is_alive():
        _teardown(self)
    else:
        _idle.append(self.kernel)


def pytest_collection_modifyitems(items):
    """The files that take longest come first: no worker is left alone with one at the end."""
    longest = "test_browser.py", "test_presets.py", "test_exercises.py"
    items.sort(key=lambda item: item.path.name not in longest)


def pytest_collection_finish():
    """Thousands of collected tests live until the end: the collector need not visit them again."""
    gc.collect()
    gc.freeze()


def pytest_sessionfinish():
    while _idle:
        _idle.pop().stop()


def _unformatted(message):
    """A message as it is: nbval formats each for its log, which takes as long as running cells."""
    return message


nbval.kernel.pformat = _unformatted
nbval.plugin.IPyNbCell.compare_outputs = _compare
nbval.plugin.IPyNbFile.setup, nbval.plugin.IPyNbFile.teardown = _start, _stop
