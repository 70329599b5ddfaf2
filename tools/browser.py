"""The course in a real browser: headless Chromium on a JupyterLab that serves a copy of the course.

`tests/test_browser.py` looks whether it works, `tools/bench.py` how fast. Nothing here sleeps:
every wait is for something that a reader would see.
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
DRAWN = """cell => [...cell.querySelectorAll('.v2g-plot .cartesianlayer path:not(.v2g-ghost)')]
    .map(path => path.getAttribute('d')).join()"""

# Ready when the plot has looked the same for ten frames in a row (it takes its width from the page
# after its first drawing).
SETTLED = """cell => new Promise(ready => {
    const drawn = DRAWN;
    let last = '', same = 0;
    const look = () => {
        const now = drawn(cell);
        same = now === last ? same + 1 : 0;
        last = now;
        same < 10 ? requestAnimationFrame(look) : ready();
    };
    look();
})""".replace("DRAWN", DRAWN)

# Time from key press to the first frame with a changed plot. The frame after the change is awaited,
# and a message posted in it is handled after it was painted; where plotly draws inside a frame
# callback this counts one frame (16 ms) too much.
STOPWATCH = """cell => {
    const drawn = DRAWN;
    const wire = new MessageChannel();
    const plot = cell.querySelector('.v2g-plot .cartesianlayer');
    let pressed = null, before = '';
    if (cell.paints) return void (cell.paints.length = 0);  // it is running already
    cell.paints = [];
    wire.port1.onmessage = event => cell.paints.push(performance.now() - event.data);
    cell.addEventListener('keydown', event => {
        pressed = event.timeStamp;
        before = drawn(cell);
    }, true);
    new MutationObserver(() => {
        if (pressed === null || drawn(cell) === before) return;
        const since = pressed;
        pressed = null;
        requestAnimationFrame(() => wire.port2.postMessage(since));
    }).observe(plot, {subtree: true, childList: true, attributeFilter: ['d']});
}""".replace("DRAWN", DRAWN)

# The words of a plot that lie over each other or out of it: axis titles and legend.
TANGLED = """cell => {
    const frame = cell.querySelector('.v2g-plot .main-svg').getBoundingClientRect();
    const titles = '.v2g-plot .infolayer text[class$=title], .v2g-plot .legend';
    const boxes = [...cell.querySelectorAll(titles)]
        .map(one => ({words: one.textContent, at: one.getBoundingClientRect()}));
    const outside = at => at.left < frame.left - 1 || at.right > frame.right + 1
        || at.top < frame.top - 1 || at.bottom > frame.bottom + 1;
    const over = (a, b) => a.left < b.right && b.left < a.right
        && a.top < b.bottom && b.top < a.bottom;
    const touched = one => boxes.some(other => other !== one && over(one.at, other.at));
    return boxes.filter(one => outside(one.at) || touched(one)).map(one => one.words);
}"""

# What painting takes without a kernel: the plot as it stands, drawn anew in a second place with
# nothing but Plotly.react, from the call to the next painted frame. Its numbers change a little
# each time, as they do when a slider moves.
FLOOR = """async (cell, times) => {
    const plotly = await globalThis.v2gPlotly;
    const stage = cell.querySelector('.v2g-plot');
    const copy = document.createElement('div');
    const larger = (one, turn) => typeof one === 'number' ? one * (1 + turn / 1000) : one;
    const moved = (values, turn) =>
        values && values.map ? values.map(one => larger(one, turn)) : values;
    const painted = () => new Promise(ready => requestAnimationFrame(() => {
        const wire = new MessageChannel();
        wire.port1.onmessage = ready;
        wire.port2.postMessage(0);
    }));
    stage.after(copy);
    const taken = [];
    for (let turn = 0; turn < times + 3; turn += 1) {
        const data = stage.data.map(trace => ({...trace, y: moved(trace.y, turn % 5)}));
        await new Promise(ready => setTimeout(ready, 100));
        const start = performance.now();
        plotly.react(copy, data, {...stage.layout}, {displayModeBar: false});
        await painted();
        taken.push(performance.now() - start);
    }
    copy.remove();
    return taken.slice(3);
}"""


# From now on, whether a cell of the notebook in front has waited for the kernel (its number is *).
WATCH = """notebook => {
    window.worked = false;
    window.watcher?.disconnect();
    window.watcher = new MutationObserver(records => {
        window.worked = window.worked || records.some(({target}) =>
            target.textContent.includes('*') && target.closest?.('.jp-InputArea-prompt'));
    });
    const panel = document.querySelector(notebook);
    window.watcher.observe(panel, {subtree: true, childList: true});
}"""

# The notebook has a kernel of its own, connected and at rest. (The status bar may still show the
# rest of the one before.)
READY = """async path => (await (await fetch('/api/sessions')).json())
    .some(one => one.path === path && one.kernel.execution_state === 'idle'
        && one.kernel.connections > 0)"""


def find():
    """Path of the machine's Chromium or Chrome.

    A sentence that says how to get one (FileNotFoundError) if there is none.
    """
    found = next(
        filter(
            None,
            map(
                shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
            ),
        ),
        None,
    )
    if not found:
        raise FileNotFoundError(
            "Chromium was not found; install it (Debian and Ubuntu: sudo apt-get install "
            "chromium) or Google Chrome"
        )
    return found


@contextlib.contextmanager
def chromium():
    """Headless Chromium, the machine's own, wherever it is; it ends with the block."""
    from playwright.sync_api import sync_playwright

    quiet = [
        "--disable-gpu",
        "--disable-quic",
        "--no-first-run",
        "--disable-background-networking",
        "--disable-component-update",
        "--disable-sync",
    ]
    root = ["--no-sandbox"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        started = playwright.chromium.launch(executable_path=find(), args=quiet + root)
        with contextlib.closing(started):
            yield started


@contextlib.contextmanager
def desk(folder, width=1280, height=900):
    """A `Desk`.

    JupyterLab on a copy of the course in `folder`, and a browser before it. Both end with the
    block.
    """
    course = Path(folder) / "course"
    course.mkdir()
    for name in ("START_HERE.md", "course.toml"):
        shutil.copy(ROOT / name, course)
    for name in ("chapters", "exercises", "docs"):
        shutil.copytree(
            ROOT / name, course / name, ignore=shutil.ignore_patterns(".ipynb_checkpoints")
        )
    with chromium() as started, _lab(course, Path(folder)) as (url, token):
        page = started.new_page(viewport={"width": width, "height": height})
        page.set_default_timeout(WAIT_MS)
        yield Desk(page, course, url, token)


@contextlib.contextmanager
def frames_held_back(page):
    """Give the page's scripts no frame for a while, as a busy browser does for moments."""
    page.evaluate("""() => {
        window.heldBack = [];
        window.ownFrames = window.requestAnimationFrame;
        window.requestAnimationFrame = work => window.heldBack.push(work);
    }""")
    try:
        yield
    finally:
        page.evaluate("""() => {
            window.requestAnimationFrame = window.ownFrames;
            window.heldBack.forEach(work => window.requestAnimationFrame(work));
        }""")


@contextlib.contextmanager
def slow_laptop(page, times=4, busy=True):
    """Make this machine a slow one for a while.

    The page's processor throttled, and every core busy with something else (or, with `busy=False`,
    with what it has to do anyway).
    """
    throttle = page.context.new_cdp_session(page)
    throttle.send("Emulation.setCPUThrottlingRate", {"rate": times})
    burners = [
        subprocess.Popen([sys.executable, "-c", "while True: pass"])
        for _ in range((os.cpu_count() or 1) if busy else 0)
    ]
    try:
        yield
    finally:
        for one in burners:
            one.kill()
            one.wait()
        throttle.send("Emulation.setCPUThrottlingRate", {"rate": 1})
        throttle.detach()


@contextlib.contextmanager
def _lab(course, folder):
    """A JupyterLab of its own (port, home, settings) on the folder `course`.

    Gives its address and token.
    """
    token = secrets.token_hex(16)
    env = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(("JUPYTER", "V2GBOOK", "IPYTHON"))
    }
    env |= {
        name: str(folder / name.lower())
        for name in (
            "HOME",
            "IPYTHONDIR",
            "JUPYTER_CONFIG_DIR",
            "JUPYTER_DATA_DIR",
            "JUPYTER_RUNTIME_DIR",
            "JUPYTERLAB_WORKSPACES_DIR",
            "JUPYTERLAB_SETTINGS_DIR",
        )
    }
    env |= {"JUPYTER_CONFIG_PATH": str(SETTINGS), "PYTHONPATH": str(ROOT)}
    Path(env["HOME"]).mkdir()
    options = [
        "--no-browser",
        "--allow-root",
        "--ip=127.0.0.1",
        "--port=0",
        f"--IdentityProvider.token={token}",
        f"--ServerApp.root_dir={course}",
    ]
    with open(folder / "lab.log", "wb") as log:
        server = subprocess.Popen(
            [sys.executable, "-m", "jupyterlab", *options],
            cwd=course,
            env=env,
            stdout=log,
            stderr=log,
        )
    try:
        deadline = time.monotonic() + WAIT_MS / 1000
        while not (told := _told(Path(env["JUPYTER_RUNTIME_DIR"]))):
            if server.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(
                    "JupyterLab did not start; it said:\n"
                    + (folder / "lab.log").read_text(errors="replace")[-3000:]
                )
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
    return None


class Desk:
    """What a reader has before them: the course's folder, and JupyterLab in one browser page."""

    def __init__(self, page, course, url, token):
        self.page = page
        self.course = course
        self.url = url
        self.token = token
        self.start()

    def start(self, reset=False):
        """Open the page that run.py opens; with `reset`, without what was open before."""
        self.page.goto(
            f"{self.url}/lab/tree/START_HERE.md?token={self.token}{'&reset' if reset else ''}"
        )
        self.page.locator(".jp-MarkdownViewer h1").or_(
            self.page.locator(".jp-FileEditor")
        ).wait_for()
        # Lab may have shown this page from its last layout already. It puts it in front once more,
        # before what was opened meanwhile; only then its file browser is ready.
        self.page.locator(".jp-FileBrowser:not(.jp-mod-restoring)").first.wait_for(state="attached")

    @contextlib.contextmanager
    def notebook(self, path, kernel=True):
        """Click on the link to `path` ("chapters/01_frequency.ipynb") in START_HERE.

        Gives its `Notebook`; then ends its kernel and closes it unsaved.

        Without `kernel` it does not wait until one is there. After an error in the block Lab starts
        anew with nothing open.
        """
        try:
            self._open(path, kernel)
            yield Notebook(self.page)
            self._end_kernels()
            self._close(path)
        except Exception:
            self._end_kernels()
            self.start(reset=True)
            raise

    def _open(self, path, kernel=True):
        """Click on a link in START_HERE, until its notebook is there and has a kernel at rest."""
        self.page.locator(".lm-TabBar-tab", has_text="START_HERE").click()
        self.page.locator(f".jp-MarkdownViewer a[href*='{path}']").first.click()
        self.page.locator(f"{OPEN} .jp-Cell").first.wait_for()
        if kernel:
            self.page.wait_for_function(READY, arg=path, polling=100)
            self.page.locator(f"{OPEN} {RESTS}").wait_for()

    def _close(self, path):
        """Close a notebook unsaved."""
        tab = self.page.locator(
            ".lm-DockPanel-tabBar .lm-TabBar-tab", has_text=Path(path).name
        ).last
        tab.click()
        tab.locator(".lm-TabBar-tabCloseIcon").click()
        self.page.wait_for_function(
            "open => !document.querySelector(open) || document.querySelector('.jp-Dialog')",
            arg=OPEN,
        )
        if (unsaved := self.page.locator(".jp-Dialog button", has_text="Discard")).is_visible():
            unsaved.click()
            self.page.locator(OPEN).wait_for(state="detached")

    def save(self):
        """Save the notebook in front by keyboard."""
        self.page.keyboard.press("Escape")
        self.page.locator(OPEN).locator(".jp-Notebook").focus()
        self.page.keyboard.press("Control+s")
        self.page.wait_for_function(
            "() => !document.querySelector('.lm-DockPanel-tabBar .lm-mod-current.jp-mod-dirty')",
            polling=100,
        )

    def save_and_reopen(self, path):
        """Save the notebook in front, end its kernel, load the page anew and open it again.

        So it is found on the next day.
        """
        self.save()
        self._end_kernels()
        self.start()
        self._open(path)
        return Notebook(self.page)

    def _end_kernels(self):
        self._api(
            "DELETE", *(f"sessions/{session['id']}" for session in self._api("GET", "sessions")[0])
        )

    def _api(self, method, *paths):
        """What the server answers to each path."""
        asked = [
            urllib.request.Request(
                f"{self.url}/api/{path}",
                method=method,
                headers={"Authorization": f"token {self.token}"},
            )
            for path in paths
        ]
        return [
            json.loads(urllib.request.urlopen(request, timeout=30).read() or "null")
            for request in asked
        ]


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
        return self.find(".jp-OutputArea-output").evaluate_all("""all => all
            .map(one => [one.dataset.mimeType || '', one.innerText])
            .filter(([kind, text]) => /error|stderr/.test(kind)
                || /model not found|error displaying widget|loading widget/i.test(text))
            .map(([kind, text]) => text)""")

    def figures(self, count):
        """Wait until `count` figures are to be seen, drawn by plotly or as their stored pictures.

        Width and height of each. [pixels]
        """
        return self.page.wait_for_function(
            """([open, count]) => {
            const figures = '.jp-RenderedImage img, .jp-RenderedPlotly img, '
                + '.jp-RenderedPlotly .main-svg:first-child';
            const boxes = [...(document.querySelector(open)?.querySelectorAll(figures) ?? [])]
                .map(one => one.getBoundingClientRect());
            const seen = boxes.filter(box => box.width && box.height);
            return seen.length >= count && seen.map(box => [box.width, box.height]);
        }""",
            arg=[OPEN, count],
        ).json_value()

    def wide_cells(self):
        """First lines of the open code cells that have to be scrolled sideways."""
        return self.find(".jp-CodeCell .jp-InputArea-editor .cm-scroller:visible").evaluate_all(
            """all => all.filter(one => one.scrollWidth > one.clientWidth + 1)
                .map(one => one.innerText.split('\\n')[0])"""
        )

    def explorer(self):
        """The first explorer, ready to be moved."""
        return Explorer(
            self.find(
                ".jp-CodeCell", has=self.page.locator(".v2g-explorer[aria-label^=Explorer]")
            ).first
        )

    def quizzes(self):
        """The quizzes of the notebook."""
        return [
            Quiz(cell)
            for cell in self.find(
                ".jp-CodeCell", has=self.page.locator(".v2g-answer, details")
            ).all()
        ]

    def run_all(self):
        """Run > Run All Cells, until every code cell has run (or one has failed)."""
        for _ in range(
            3
            # Lab drops what it is asked while it still shakes hands with the kernel; a reader would
            # click again
        ):
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
        """Take away the numbers of the last run, and watch whether a new one begins.

        A number alone does not tell of a new run: Lab may still write those of the last one.
        """
        prompts.evaluate_all("all => all.forEach(one => one.textContent = '')")
        self.page.evaluate(WATCH, OPEN)

    def _finished(self):
        """Wait until every cell that shows a number has one and the kernel rests.

        Or until a cell has failed. False if it rests, or is not connected, for 5 s and has not
        run all.
        """
        return (
            self.page.wait_for_function(
                """([open, rests]) => {
            const found = (selector) => document.querySelector(open + ' ' + selector);
            const prompts = document.querySelectorAll(open + ' .jp-CodeCell .jp-InputArea-prompt');
            const told = [...prompts].map(prompt => prompt.textContent);
            const resting = found(rests) && !told.some(one => one.includes('*'));
            const idle = resting || found('.jp-Notebook-ExecutionIndicator[data-status=unknown]');
            if (found('.jp-OutputArea-output[data-mime-type$=error]')) return 'failed';
            if (resting && window.worked && told.every(one => /[0-9]/.test(one))) return 'done';
            window.quiet = idle ? window.quiet || performance.now() : null;
            if (!window.quiet || performance.now() - window.quiet < 5000) return null;
            window.quiet = null;
            return 'dropped';
        }""",
                arg=[OPEN, RESTS],
                polling=100,
            ).json_value()
            != "dropped"
        )


class Quiz:
    """A quiz of a notebook: each answer opens."""

    def __init__(self, cell):
        self.cell, self.answers = cell, cell.locator("details")

    def answer_all(self):
        """Open every answer by keyboard; what the quiz says to each."""
        verdicts = []
        for answer in self.answers.all():
            answer.locator("summary").focus()
            self.cell.page.keyboard.press("Enter")
            verdict = answer.locator("p", has_text=re.compile("[✓✗]"))
            verdict.wait_for()
            verdicts.append(verdict.inner_text())
        return verdicts


class Explorer:
    """The explorer in a notebook that has run."""

    def __init__(self, cell):
        self.page, self.cell = cell.page, cell
        self.handle = self.cell.locator(".v2g-control input[type=range]").first
        self.note = self.cell.locator(".v2g-note")
        self.reset_button = self.cell.locator(".v2g-buttons button", has_text="Reset")
        self.cell.locator(".v2g-plot .cartesianlayer path").first.wait_for(state="attached")
        self.cell.locator(".v2g-explorer").scroll_into_view_if_needed()
        self.cell.evaluate(SETTLED)

    def drawn(self):
        """All outlines of the plot, as text: equal when, and only when, the plot looks the same."""
        return self.cell.evaluate(DRAWN)

    def value(self):
        """Where the first slider stands."""
        return float(self.handle.input_value())

    def changed(self, old):
        """Wait until the plot no longer looks like `old`; gives how it looks now."""
        self.page.wait_for_function(
            f"([cell, old]) => ({DRAWN})(cell) !== old", arg=[self.cell.element_handle(), old]
        )
        return self.drawn()

    def became(self, wanted):
        """Wait until the plot looks like `wanted`."""
        self.page.wait_for_function(
            f"([cell, wanted]) => ({DRAWN})(cell) === wanted",
            arg=[self.cell.element_handle(), wanted],
        )

    def follow(self):
        """Press an arrow key on the first slider and wait until the curves follow it.

        Gives how the plot looks now.
        """
        before = self.drawn()
        self.handle.press("ArrowRight")
        return self.changed(before)

    def drag(self, pixels):
        """Drag the first slider by mouse, from where its handle is."""
        box = self.handle.bounding_box()
        low, high = (float(self.handle.get_attribute(end)) for end in ("min", "max"))
        x = box["x"] + 8 + (self.value() - low) / (high - low) * (box["width"] - 16)
        y = box["y"] + box["height"] / 2
        self.page.mouse.move(x, y)
        self.page.mouse.down()
        self.page.mouse.move(x + pixels, y, steps=5)
        self.page.mouse.up()

    def tangled(self):
        """Axis titles and legends that lie over each other or stand out of the plot."""
        return self.cell.evaluate(TANGLED)

    def reset(self):
        """Press the button that takes everything back to the start."""
        self.reset_button.click()

    def reset_unseen(self):
        """Press that button by script: it asks at once, also where the page paints nothing."""
        self.reset_button.dispatch_event("click")

    def key_to_paint_ms(self, presses=20):
        """Press arrow keys on the first slider; time each from the press to a new plot. [ms]

        To the next painted frame that shows it.

        Raises TimeoutError, with what the explorer says, if a press is never painted.
        """
        # Looked up once: a look-up takes tens of milliseconds of the page's own time.
        cell = self.cell.element_handle()
        cell.evaluate(STOPWATCH)
        handle = self.handle.element_handle()
        handle.focus()
        key, turn = "ArrowRight", {"ArrowRight": "ArrowLeft", "ArrowLeft": "ArrowRight"}
        ends = {
            "ArrowRight": float(self.handle.get_attribute("max")),
            "ArrowLeft": float(self.handle.get_attribute("min")),
        }
        for press in range(presses):
            if float(handle.input_value()) == ends[key]:
                key = turn[key]
            self.page.keyboard.press(key)
            try:
                self.page.wait_for_function(
                    "([cell, press]) => cell.paints.length > press",
                    arg=[cell, press],
                    timeout=15_000,
                    polling=50,
                )
            except Exception as late:
                said = self.note.inner_text() if self.note.is_visible() else "nothing"
                raise TimeoutError(
                    f"press {press + 1} of {presses} was not painted within 15 s; "
                    f"the explorer says: {said}"
                ) from late
        return cell.evaluate("cell => cell.paints")

    def parts_ms(self, presses):
        """What the last `presses` were made of, as the page and the kernel measured it.

        Question to answer, model in it, plotly. [ms]
        """
        asked, painted = self.page.evaluate(
            """count => ['v2g-ask', 'v2g-paint'].map(name => performance.getEntriesByName(name)
                .slice(-count).map(one => [one.duration, one.detail]))""",
            presses,
        )
        return {
            "way": [took - draw for took, draw in asked],
            "draw": [draw for _, draw in asked],
            "plotly": [took for took, _ in painted],
        }

    def floor_ms(self, times=20):
        """What a bare Plotly.react of this plot takes until it is painted. [ms]"""
        return self.cell.evaluate(FLOOR, times)
