"""The course in a real browser: headless Chromium on a JupyterLab that serves a copy of the course.

`tests/test_browser.py` looks whether it works, `tools/bench.py` how fast. Nothing here sleeps: every wait is for something
that a reader would see.
"""

import contextlib
import json
import os
import re
import secrets
import shutil
import subprocess
import sys
import time
import urllib.request
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
SETTINGS = ROOT / "tools" / "jupyter"  # Lab settings, the same as run.py's
WAIT_MS = 60_000
OPEN = ".jp-NotebookPanel:not(.lm-mod-hidden)"  # the notebook in front
RESTS = ".jp-Notebook-ExecutionIndicator[data-status=idle]"  # in its toolbar

# One text for all that an explorer's plot shows: the outlines that plotly has drawn.
DRAWN = "cell => [...cell.querySelectorAll('.cartesianlayer path')].map(path => path.getAttribute('d')).join()"

# Ready when the plot has looked the same for ten frames in a row (it takes its width from the page after its first drawing).
SETTLED = """cell => new Promise(ready => {
    const drawn = %s;
    let last = '', same = 0;
    const look = () => {
        const now = drawn(cell);
        same = now === last ? same + 1 : 0;
        last = now;
        same < 10 ? requestAnimationFrame(look) : ready();
    };
    look();
})""" % DRAWN

# Time from key press to the first frame with a changed plot. The frame after the change is awaited, and a message posted in it is
# handled after it was painted; where plotly draws inside a frame callback this counts one frame (16 ms) too much.
STOPWATCH = """cell => {
    const drawn = %s, wire = new MessageChannel();
    let pressed = null, before = '';
    if (cell.paints) return void (cell.paints.length = 0);  // it is running already
    cell.paints = [];
    wire.port1.onmessage = event => cell.paints.push(performance.now() - event.data);
    cell.addEventListener('keydown', event => { pressed = event.timeStamp; before = drawn(cell); }, true);
    new MutationObserver(() => {
        if (pressed === null || drawn(cell) === before) return;
        const since = pressed;
        pressed = null;
        requestAnimationFrame(() => wire.port2.postMessage(since));
    }).observe(cell.querySelector('.cartesianlayer'), {subtree: true, childList: true, attributeFilter: ['d']});
}""" % DRAWN


# The notebook has a kernel of its own, connected and at rest. (The status bar may still show the rest of the one before.)
READY = """async path => (await (await fetch('/api/sessions')).json())
    .some(one => one.path === path && one.kernel.execution_state === 'idle' && one.kernel.connections > 0)"""


def find():
    """Path of the machine's Chromium or Chrome; a sentence that says how to get one (FileNotFoundError) if there is none."""
    found = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge"))), None)
    if not found:
        raise FileNotFoundError("Chromium was not found; install it (Debian and Ubuntu: sudo apt-get install chromium) or Google Chrome")
    return found


def launch(playwright):
    """Headless Chromium: the machine's own, wherever it is."""
    quiet = ["--disable-gpu", "--disable-quic", "--no-first-run", "--disable-background-networking", "--disable-component-update", "--disable-sync"]
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    return playwright.chromium.launch(executable_path=find(), args=quiet + root)


@contextlib.contextmanager
def desk(folder, width=1280, height=900):
    """A `Desk`: JupyterLab on a copy of the course in `folder`, and a browser before it. Both end with the block."""
    from playwright.sync_api import sync_playwright
    course = Path(folder) / "course"
    course.mkdir()
    for name in ("START_HERE.md", "course.toml"):
        shutil.copy(ROOT / name, course)
    for name in ("chapters", "exercises"):
        shutil.copytree(ROOT / name, course / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints"))
    with sync_playwright() as playwright, contextlib.closing(launch(playwright)) as chromium, _lab(course, Path(folder)) as (url, token):
        page = chromium.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(WAIT_MS)
        yield Desk(page, course, url, token)


@contextlib.contextmanager
def _lab(course, folder):
    """A JupyterLab of its own (port, home, settings) on the folder `course`; gives its address and token."""
    token = secrets.token_hex(16)
    env = {name: value for name, value in os.environ.items() if not name.startswith(("JUPYTER", "V2GBOOK", "IPYTHON"))}
    env |= {name: str(folder / name.lower()) for name in
            ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_RUNTIME_DIR", "JUPYTERLAB_WORKSPACES_DIR", "JUPYTERLAB_SETTINGS_DIR")}
    env |= {"JUPYTER_CONFIG_PATH": str(SETTINGS), "PYTHONPATH": str(ROOT)}
    Path(env["HOME"]).mkdir()
    options = ["--no-browser", "--allow-root", "--ip=127.0.0.1", "--port=0", f"--IdentityProvider.token={token}", f"--ServerApp.root_dir={course}"]
    with open(folder / "lab.log", "wb") as log:
        server = subprocess.Popen([sys.executable, "-m", "jupyterlab", *options], cwd=course, env=env, stdout=log, stderr=log)
    try:
        deadline = time.monotonic() + WAIT_MS / 1000
        while not (told := _told(Path(env["JUPYTER_RUNTIME_DIR"]))):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError("JupyterLab did not start; it said:\n" + (folder / "lab.log").read_text(errors="replace")[-3000:])
            time.sleep(0.05)
        yield told["url"].rstrip("/"), token
    finally:
        server.terminate()
        try:
            server.wait(15)
        except subprocess.TimeoutExpired:
            server.kill()


def _told(folder):
    """What a server wrote about itself; None until it has written all of it."""
    for path in folder.glob("jpserver-*.json"):
        with contextlib.suppress(json.JSONDecodeError):
            return json.loads(path.read_text())


class Desk:
    """What a reader has before them: the course's folder, and JupyterLab in one browser page."""

    def __init__(self, page, course, url, token):
        self.page, self.course, self.url, self.token = page, course, url, token
        self.start()

    def start(self):
        """Open the page that run.py opens."""
        self.page.goto(f"{self.url}/lab/tree/START_HERE.md?token={self.token}")
        self.page.locator(".jp-MarkdownViewer h1").or_(self.page.locator(".jp-FileEditor")).wait_for()

    @contextlib.contextmanager
    def notebook(self, path):
        """Click on the link to `path` ("chapters/01_frequency.ipynb") in START_HERE; gives its `Notebook`; then ends its kernel and closes it unsaved."""
        self.page.locator(".lm-TabBar-tab", has_text="START_HERE").click()
        self.page.locator(f".jp-MarkdownViewer a[href*='{path}']").first.click()
        self.page.locator(f"{OPEN} .jp-Cell").first.wait_for()
        self.page.wait_for_function(READY, arg=path, polling=100)
        self.page.locator(f"{OPEN} {RESTS}").wait_for()
        yield Notebook(self.page)
        self._api("DELETE", *(f"sessions/{session['id']}" for session in self._api("GET", "sessions")[0]))
        tab = self.page.locator(".lm-DockPanel-tabBar .lm-TabBar-tab", has_text=Path(path).name).last
        tab.click()
        tab.locator(".lm-TabBar-tabCloseIcon").click()
        self.page.wait_for_function("open => !document.querySelector(open) || document.querySelector('.jp-Dialog')", arg=OPEN)
        if (unsaved := self.page.locator(".jp-Dialog button", has_text="Discard")).is_visible():
            unsaved.click()
            self.page.locator(OPEN).wait_for(state="detached")

    def _api(self, method, *paths):
        """What the server answers to each path."""
        asked = [urllib.request.Request(f"{self.url}/api/{path}", method=method, headers={"Authorization": f"token {self.token}"}) for path in paths]
        return [json.loads(urllib.request.urlopen(request, timeout=30).read() or "null") for request in asked]


class Notebook:
    """An open notebook, seen and used as a reader does."""

    def __init__(self, page):
        self.page = page

    def find(self, selector, **conditions):
        """What matches in the notebook in front."""
        return self.page.locator(OPEN).locator(selector, **conditions)

    def cell(self, text):
        """The code cell that contains `text`."""
        return self.find(".jp-CodeCell", has_text=text)

    def text(self):
        """Everything that can be read."""
        return self.find(".jp-Notebook").inner_text()

    def errors(self):
        """Texts of tracebacks and of widgets that could not be shown."""
        return self.find(".jp-OutputArea-output").evaluate_all("""all => all.map(one => [one.dataset.mimeType || '', one.innerText])
            .filter(([kind, text]) => /error|stderr/.test(kind) || /model not found|error displaying widget|loading widget/i.test(text))
            .map(([kind, text]) => text)""")

    def figures(self, count):
        """Wait until `count` figures are to be seen, drawn by plotly or as their stored pictures; width and height of each. [pixels]"""
        seen = self.find(".jp-RenderedPlotly").locator("img, .main-svg:first-child")
        seen.nth(count - 1).wait_for()
        return [(box["width"], box["height"]) for box in (one.bounding_box() for one in seen.all())]

    def explorer(self):
        """The first explorer, ready to be moved."""
        return Explorer(self.find(".jp-CodeCell", has=self.page.locator(".widget-slider")).first)

    def quizzes(self):
        """The quizzes that wait for an answer."""
        return [Quiz(cell) for cell in self.find(".jp-CodeCell", has_text="Check yourself", has=self.page.locator(".widget-html")).all()]

    def run_all(self):
        """Run > Run All Cells, until every code cell has run (or one has failed)."""
        for _ in range(3):  # Lab drops what it is asked while it still shakes hands with the kernel; a reader would click again
            self._forget(self.find(".jp-InputArea-prompt"))
            self.page.locator(".lm-MenuBar-item", has_text="Run").click()
            self.page.locator(".lm-Menu-item[data-command='runmenu:run-all']").click()
            if self._finished():
                return

    def run(self, cell):
        """Run one cell by keyboard, until it has run or failed."""
        self._forget(cell.locator(".jp-InputArea-prompt"))
        cell.locator(".cm-content").press("Control+Enter")
        self._finished()

    def type(self, cell, old, new):
        """Replace the line of a cell that contains `old`."""
        cell.locator(".cm-line", has_text=old).first.click()
        self.page.keyboard.press("Home")
        self.page.keyboard.press("Shift+End")
        self.page.keyboard.insert_text(new)

    def _forget(self, prompts):
        """Take away the numbers of the last run, so that a new number means a new run."""
        prompts.evaluate_all("all => all.forEach(one => one.textContent = '')")

    def _finished(self):
        """Wait until every cell that shows a number has one and the kernel rests, or until a cell has failed. False if it rests for 5 s and has not run all."""
        return self.page.wait_for_function("""([open, rests]) => {
            const told = [...document.querySelectorAll(open + ' .jp-CodeCell .jp-InputArea-prompt')].map(prompt => prompt.textContent);
            const idle = document.querySelector(open + ' ' + rests) && !told.some(one => one.includes('*'));
            if (document.querySelector(open + ' .jp-OutputArea-output[data-mime-type$=error]')) return 'failed';
            if (idle && told.every(one => /[0-9]/.test(one))) return 'done';
            window.quiet = idle ? window.quiet || performance.now() : null;
            if (!window.quiet || performance.now() - window.quiet < 5000) return null;
            window.quiet = null;
            return 'dropped';
        }""", arg=[OPEN, RESTS], polling=100).json_value() != "dropped"


class Quiz:
    """A quiz in a notebook that has run."""

    def __init__(self, cell):
        self.cell, self.keys = cell, cell.locator("button.jupyter-button")

    def answer_all(self):
        """Give every answer by keyboard, from the first button on with Tab and Enter; what the quiz says to each."""
        self.keys.first.focus()
        verdicts = []
        for letter in self.keys.all_inner_texts():
            self.cell.page.keyboard.press("Enter")
            verdict = self.cell.locator("[role=status]", has_text=re.compile(rf"^\s*{letter} [✓✗]"))
            verdict.wait_for()
            verdicts.append(verdict.inner_text())
            self.cell.page.keyboard.press("Tab")
        return verdicts


class Explorer:
    """The explorer in a notebook that has run."""

    def __init__(self, cell):
        self.page, self.cell = cell.page, cell
        self.handle = self.cell.locator(".noUi-handle").first
        self.cell.locator(".js-plotly-plot .cartesianlayer path").first.wait_for(state="attached")
        self.cell.scroll_into_view_if_needed()
        self.cell.evaluate(SETTLED)

    def drawn(self):
        """All outlines of the plot, as text: equal when, and only when, the plot looks the same."""
        return self.cell.evaluate(DRAWN)

    def value(self):
        """Where the first slider stands."""
        return float(self.handle.get_attribute("aria-valuenow"))

    def changed(self, old):
        """Wait until the plot no longer looks like `old`; gives how it looks now."""
        self.page.wait_for_function(f"([cell, old]) => ({DRAWN})(cell) !== old", arg=[self.cell.element_handle(), old])
        return self.drawn()

    def became(self, wanted):
        """Wait until the plot looks like `wanted`."""
        self.page.wait_for_function(f"([cell, wanted]) => ({DRAWN})(cell) === wanted", arg=[self.cell.element_handle(), wanted])

    def drag(self, pixels):
        """Drag the first slider by mouse."""
        box = self.handle.bounding_box()
        x, y = box["x"] + box["width"] / 2, box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + pixels, y, steps=5)
        self.page.mouse.up()

    def reset(self):
        """Press the button that takes everything back to the start."""
        self.cell.locator("button.jupyter-button", has_text="Reset").click()

    def key_to_paint_ms(self, presses=20):
        """Press arrow keys on the first slider; the time of each from the press to the next painted frame with a new plot. [ms]"""
        self.cell.evaluate(STOPWATCH)
        self.handle.focus()
        for press in range(presses):
            self.page.keyboard.press("ArrowRight" if press < presses / 2 else "ArrowLeft")
            self.page.wait_for_function("([cell, press]) => cell.paints.length > press", arg=[self.cell.element_handle(), press])
        return self.cell.evaluate("cell => cell.paints")
