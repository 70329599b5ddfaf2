"""Execute and tidy the stored notebooks: `python run.py notebooks [names]`.

Chapters and solutions are executed top to bottom with the course's preset and stored small: no widget views, no timings, a
PNG beside every figure for places that cannot draw plotly (needs Chromium; a picture is kept while its figure is unchanged).
Exercises come from their solutions; `python run.py exercises` makes them.
"""

import base64
import contextlib
import hashlib
import json
import os
import re
import sys
import tempfile
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from v2gbook.classroom import presets, workbook

ROOT = Path(__file__).resolve().parents[1]
PLOTLY, WIDGET = "application/vnd.plotly.v1+json", "application/vnd.jupyter.widget-view+json"


def figure_hash(figure):
    """Fingerprint of a stored figure; its PNG carries it, so that a stale picture is noticed."""
    return hashlib.blake2b(json.dumps(figure, sort_keys=True).encode(), digest_size=8).hexdigest()


def read(path):
    """A notebook, or a sentence that says why it cannot be read."""
    try:
        return nbformat.read(path, as_version=4)
    except (ValueError, nbformat.reader.NotJSONError) as error:
        raise SystemExit(f"{path} is not a readable notebook ({str(error).splitlines()[0]}); restore it with git, nothing was changed") from None


def execute(notebook, folder, preset=None):
    """Run all cells in a fresh kernel, with progress kept out of the way; a cell's error stops with a sentence."""
    preset = preset or presets.course()["preset"]
    notebook.metadata["v2gbook"] = {"preset": preset}
    with tempfile.TemporaryDirectory() as scratch:
        env = {**os.environ, "V2GBOOK_PRESET": preset, "V2GBOOK_PROGRESS": scratch}
        client = NotebookClient(notebook, timeout=120, resources={"metadata": {"path": str(folder)}})
        try:
            client.execute(env=env)
        except CellExecutionError as error:
            cell = next(c for c in notebook.cells if any(o.output_type == "error" for o in c.get("outputs", [])))
            raise SystemExit(f"cell {cell.id} stopped with {error.ename}: {error.evalue}; nothing was written\n\n{cell.source}") from None
    return notebook


def tidy(notebook, pictures=None):
    """The notebook as it is stored. `pictures` maps fingerprints to PNGs that already exist."""
    notebook.metadata = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"}, "v2gbook": notebook.metadata.get("v2gbook", {}),
    }
    missing = {}
    for cell in notebook.cells:
        cell.metadata = {name: value for name, value in cell.metadata.items() if name in ("tags", "jupyter", "editable", "deletable")}
        if cell.cell_type != "code":
            continue
        if cell.source.startswith("quiz("):
            cell.metadata["jupyter"] = {"source_hidden": True}
        cell.outputs = [output for output in cell.outputs if set(output.get("data", {"text": ""})) != {WIDGET}]
        for output in cell.outputs:
            figure = output.get("data", {}).get(PLOTLY)
            if figure and pictures is not None:
                mark = figure_hash(figure)
                output.metadata = {"image/png": {"figure": mark}}
                output.data["image/png"] = pictures.get(mark)
                if not pictures.get(mark):
                    missing[mark] = figure
    if missing:
        pictures.update(draw_pictures(missing))
        return tidy(notebook, pictures)
    return notebook


def stored_pictures(path):
    """PNGs of a stored notebook by the fingerprint of their figure."""
    if not path.exists():
        return {}
    outputs = [output for cell in nbformat.read(path, as_version=4).cells for output in cell.get("outputs", [])]
    return {output.metadata["image/png"]["figure"]: output.data["image/png"] for output in outputs if "image/png" in output.get("metadata", {})}


def draw_pictures(figures):
    """Draw figures in headless Chromium with the plotly.js that the plotly package ships."""
    import plotly
    from browser import launch
    from playwright.sync_api import sync_playwright
    script = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    with sync_playwright() as playwright, contextlib.closing(launch(playwright)) as browser:
        page = browser.new_page()
        page.set_content("<div></div>")
        page.add_script_tag(path=str(script))
        return {mark: base64.b64encode(base64.b64decode(page.evaluate(
            "async f => (await Plotly.toImage({data: f.data, layout: {...f.layout, width: 760}}, {format: 'png'})).split(',')[1]", figure,
        ))).decode() for mark, figure in figures.items()}


def write(path, notebook):
    """Store a notebook byte-stably, whole or not at all."""
    workbook._replace(path, nbformat.writes(notebook) + "\n")


def course_map():
    """The table of chapters for README and START_HERE, taken from the chapters themselves."""
    rows = ["| chapter | the question | time | helps to know | exercise |", "|---|---|---|---|---|"]
    for path in sorted((ROOT / "chapters").glob("*.ipynb")):
        text = "\n".join(cell.source for cell in read(path).cells if cell.cell_type == "markdown")
        found = [re.search(pattern, text, re.MULTILINE) for pattern in (r"^# (.+)$", r"^\*\*(.+\?.*)\*\*$", r"\*\*Time\*\* (.+?)\.", r"\*\*Helps to know\*\* (.+)$")]
        if not all(found):
            raise SystemExit(f"{path.name} needs a title, a bold question, **Time** and **Helps to know**")
        title, question, time, helps = (match[1].strip() for match in found)
        rows.append(f"| [{title}](chapters/{path.name}) | {question} | {time} | {helps} | [exercise](exercises/{path.name}) |")
    return "\n".join(rows)


def with_map(page):
    """A page's text with a fresh map between its two markers."""
    return re.sub(r"(<!-- map -->\n).*?(<!-- /map -->)", lambda m: f"{m[1]}{course_map()}\n{m[2]}", page, flags=re.DOTALL)


def main(names):
    paths = [path for folder in ("chapters", "solutions") for path in sorted((ROOT / folder).glob("*.ipynb"))
             if not names or any(name in str(path) for name in names)]
    for path in paths:
        notebook = execute(read(path), path.parent)
        write(path, tidy(notebook, stored_pictures(path)))
        print(f"{path.relative_to(ROOT)}: {len(notebook.cells)} cells, {path.stat().st_size // 1000} kB")
    for page in (ROOT / "README.md", ROOT / "START_HERE.md"):
        workbook._replace(page, with_map(page.read_text(encoding="utf-8")))


if __name__ == "__main__":
    main(sys.argv[1:])
