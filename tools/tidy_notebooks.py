"""Execute and tidy the stored notebooks: `python run.py notebooks [names]`.

Chapters and solutions are executed top to bottom with the course's preset and stored small: no
widget views, no timings, a PNG beside every figure for places that cannot draw plotly (needs
Chromium; a picture is kept while its figure is unchanged). Exercises come from their solutions;
`python run.py exercises` makes them.
"""

import base64
import os
import re
import sys
import tempfile
from pathlib import Path

import api_page
import nbformat
import pictures
import start_page
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from v2gbook.classroom import presets
from v2gbook.classroom._progress import replace

ROOT = Path(__file__).resolve().parents[1]
FOLDED = {
    "figure",
    "score",
    "quiz",
}  # cells whose source is one click away: they draw, score or ask
PLOTLY, SVG = "application/vnd.plotly.v1+json", "image/svg+xml"
# A figure at rest: the same values, shown as its PNG in the right size.
FIGURE = "application/vnd.v2gbook.figure+json"
WIDGET = "application/vnd.jupyter.widget-view+json"


def figure_of(output):
    """The plotly figure or the SVG drawing of an output, which gets a PNG beside it.

    None if it has neither.
    """
    data = output.get("data", {})
    return data.get(FIGURE) or data.get(SVG)


def read(path):
    """A notebook, or a sentence that says why it cannot be read."""
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, nbformat.reader.NotJSONError) as error:
        raise SystemExit(
            f"{path} is not a readable notebook ({str(error).splitlines()[0]}); "
            "restore it with git, nothing was changed"
        ) from None


def execute(notebook, path, preset=None):
    """Run all cells of the notebook at `path` in a fresh kernel, and keep no progress.

    A cell's error stops with a sentence.
    """
    preset = preset or presets.course()["preset"]
    notebook.metadata["v2gbook"] = {"preset": preset}
    with tempfile.TemporaryDirectory() as scratch:
        env = {
            **os.environ,
            "V2GBOOK_PRESET": preset,
            "V2GBOOK_PROGRESS": scratch,
            "JPY_SESSION_NAME": str(path),
        }
        client = NotebookClient(
            notebook, timeout=120, resources={"metadata": {"path": str(path.parent)}}
        )
        try:
            client.execute(env=env)
        except CellExecutionError as error:
            cell = next(
                c
                for c in notebook.cells
                if any(o.output_type == "error" for o in c.get("outputs", []))
            )
            raise SystemExit(
                f"cell {cell.id} stopped with {error.ename}: {error.evalue}; "
                f"nothing was written\n\n{cell.source}"
            ) from None
    return notebook


def tidy(notebook, known=None):
    """The notebook as it is stored.

    `known` maps fingerprints to PNGs (base64) that already exist.
    """
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
        "v2gbook": notebook.metadata.get("v2gbook", {}),
    }
    missing = {}
    for cell in notebook.cells:
        cell.metadata = {
            name: value
            for name, value in cell.metadata.items()
            if name in ("tags", "jupyter", "editable", "deletable")
        }
        if cell.cell_type != "code":
            continue
        cell.metadata.pop("jupyter", None)
        if FOLDED & set(cell.metadata.get("tags", [])):
            cell.metadata["jupyter"] = {"source_hidden": True}
        cell.outputs = [
            output for output in cell.outputs if set(output.get("data", {"text": ""})) != {WIDGET}
        ]
        for output in cell.outputs:
            asleep(output)
            if known is not None and PLOTLY in output.get("data", {}):
                output.data[FIGURE] = output.data.pop(PLOTLY)
            figure = figure_of(output)
            if figure and known is not None:
                mark = pictures.fingerprint(figure)
                output.metadata = {"image/png": about_picture(output.data, mark)}
                output.data["image/png"] = known.get(mark)
                if not known.get(mark):
                    missing[mark] = figure
    if missing:
        drawn = pictures.draw(missing.values())
        known.update({mark: base64.b64encode(png).decode() for mark, png in zip(missing, drawn)})
        return tidy(notebook, known)
    return notebook


def asleep(output):
    """Take the number of a living part out of its placeholder.

    It belongs to the session that has just ended.
    """
    data = output.get("data", {})
    if "v2g-part" in data.get("text/html", ""):
        data["text/html"] = re.sub(r' data-part="[^"]*"', "", data["text/html"])


def stored_pictures(path):
    """PNGs of a stored notebook by the fingerprint of their figure."""
    if not path.exists():
        return {}
    outputs = [
        output
        for cell in nbformat.read(path, as_version=4).cells
        for output in cell.get("outputs", [])
    ]
    return {
        output.metadata["image/png"]["figure"]: output.data["image/png"]
        for output in outputs
        if "image/png" in output.get("metadata", {})
    }


def about_picture(data, mark):
    """Metadata of a PNG.

    Fingerprint and words of its figure, and its width on the page (it is stored twice as large).
    """
    width = int(re.search(r'\bwidth="(\d+)', data[SVG])[1]) if SVG in data else pictures.WIDTH
    return {"figure": mark, "alt": data.get("text/plain", ""), "width": width}


def write(path, notebook):
    """Store a notebook byte-stably, whole or not at all."""
    replace(path, nbformat.writes(notebook) + "\n")


def main(names):
    paths = [
        path
        for folder in ("chapters", "solutions")
        for path in sorted((ROOT / folder).glob("*.ipynb"))
        if not names or any(name in str(path) for name in names)
    ]
    for path in paths:
        notebook = execute(read(path), path)
        write(path, tidy(notebook, stored_pictures(path)))
        print(
            f"{path.relative_to(ROOT)}: {len(notebook.cells)} cells, "
            f"{path.stat().st_size // 1000} kB"
        )
    start_page.renew()
    api_page.renew()


if __name__ == "__main__":
    main(sys.argv[1:])
