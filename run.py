#!/usr/bin/env python3
"""The one door to the course.

`python run.py` sets everything up, once, and opens JupyterLab; `python run.py --help` says more.
"""

import sys

if sys.version_info < (3, 11):
    sys.exit(
        "The course needs Python 3.11 or newer; this is Python %d.%d. "
        "Get a newer one from python.org and run it again." % sys.version_info[:2]
    )

import argparse
import contextlib
import errno
import hashlib
import importlib.metadata
import importlib.util
import json
import os
import re
import shutil
import signal
import socket
import subprocess
from pathlib import Path

ROOT = Path(__file__).resolve().parent
VENV = ROOT / ".venv"
STAMP = VENV / "v2gbook-stamp.json"
BUSY = ROOT / ".venv.lock"
BIN = VENV / ("Scripts" if os.name == "nt" else "bin")
PYTHON = BIN / ("python.exe" if os.name == "nt" else "python")

VERBS = {
    "lab": "set up and open JupyterLab on START_HERE.md (also without a verb)",
    "test": "run all tests; arguments go to pytest",
    "check": "say in plain words whether this machine and the set-up are fine; changes nothing",
    "notebooks": "execute chapters and solutions and store them tidily; arguments choose by name",
    "exercises": "make the exercises and their checks from the solutions",
    "bench": "measure speed; arguments go to tools/bench.py",
}
TOOLS = {"notebooks": "tidy_notebooks.py", "exercises": "make_exercises.py", "bench": "bench.py"}
EXAMPLES = """examples:
  python run.py                           open the course
  python run.py --no-browser --port 9000  the same, for a browser that you point there yourself
  python run.py --here                    the same in an activated conda environment, without .venv
  python run.py test                      everything must pass
  python run.py test -k frequency         only tests with this word in their name
  python run.py check                     when something does not work, start here"""
AGAIN = "Nothing half-made is kept in use: run the same command again and it starts clean."


def stop(sentence, code=1):
    """Say why, and end."""
    print(sentence, file=sys.stderr, flush=True)
    raise SystemExit(code)


# ------------------------------------------------------------------------------------------- set-up


def facts():
    """What the set-up depends on; it is made again when one of these changes."""
    files = {
        name: hashlib.sha256((ROOT / name).read_bytes()).hexdigest()
        for name in ("requirements.lock", "pyproject.toml")
    }
    return files | {
        "the Python version": "%d.%d.%d" % sys.version_info[:3],
        "the folder": str(ROOT),
    }


def trouble():
    """Why .venv cannot be used as it is; an empty string if it can."""
    if VENV.is_symlink():
        return ".venv is a link"
    if not VENV.exists():
        return "there is no .venv yet"
    try:
        stamp = dict(json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return "the last set-up was not finished"
    changed = [name for name, value in facts().items() if stamp.get(name) != value]
    if changed:
        return f"changed since the last set-up: {', '.join(changed)}"
    return "" if PYTHON.exists() else "the Python that .venv was made with is gone"


def set_up():
    """Make .venv, unless a stamp shows that it is complete and up to date."""
    if not trouble():
        return
    if Path(sys.prefix).resolve() == VENV:
        stop(
            "The set-up must be made again, but this is its own Python. "
            "Type  deactivate  (or open a new terminal) and run the same command."
        )
    with alone():
        reason = trouble()  # another run.py may have finished just now
        if reason:
            clear()
            print(f"Setting up .venv ({reason}; this takes a minute or two)...", flush=True)
            build()


@contextlib.contextmanager
def alone():
    """Keep a second run.py from setting up at the same time."""
    try:
        if BUSY.exists() and not alive(BUSY):
            BUSY.unlink(missing_ok=True)
        lock = os.open(BUSY, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        stop(
            "Another run.py is setting up .venv now. Wait until it is done and run the same "
            f"command. (If none is running, delete {BUSY.name}.)"
        )
    try:
        os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        os.close(lock)
        BUSY.unlink(missing_ok=True)


def alive(busy):
    """Is the run.py that wrote this lock still at work? When in doubt, yes."""
    try:
        if os.name == "nt":
            busy.unlink()  # Windows refuses while the file is open
            return False
        os.kill(int(busy.read_text(encoding="utf-8")), 0)
    except (ProcessLookupError, FileNotFoundError):
        return False
    except (OSError, ValueError):
        return True
    return True


def clear():
    """Remove an old .venv, but only what a set-up made, and never what a link points to."""
    if VENV.is_symlink():
        stop(
            f".venv is a link to {os.readlink(VENV)}; the course does not touch what it points "
            "to. Remove the link and run the same command."
        )
    if not VENV.exists():
        return
    ours = {
        "bin",
        "include",
        "lib",
        "lib64",
        "man",
        "scripts",
        "share",
        "etc",
        ".gitignore",
        ".lock",
        "cachedir.tag",
        STAMP.name,
    }
    if not VENV.is_dir() or (
        not (VENV / "pyvenv.cfg").exists() and {path.name.lower() for path in VENV.iterdir()} - ours
    ):
        stop(
            ".venv holds something that no set-up made. Move it away and run the same command; "
            "nothing was deleted."
        )
    STAMP.unlink(missing_ok=True)
    shutil.rmtree(VENV)


def build():
    """Make .venv from nothing.

    The stamp is written last: whatever goes wrong before leaves none.
    """
    uv = shutil.which("uv")
    if not uv and not importlib.util.find_spec("ensurepip"):
        stop(
            "This Python cannot make a virtual environment: its venv part is not installed.\n"
            "On Debian and Ubuntu type  sudo apt install python3-venv  and run the same command."
        )
    run(
        *(
            [uv, "venv", "--quiet", "--python", sys.executable]
            if uv
            else [sys.executable, "-m", "venv"]
        ),
        str(VENV),
    )
    install = (
        [uv, "pip", "install", "--quiet", "--python", str(PYTHON)]
        if uv
        else [str(PYTHON), "-m", "pip", "install", "--quiet", "--no-compile"]
    )
    print(
        f"  installing the packages of requirements.lock with {'uv' if uv else 'pip'}...",
        flush=True,
    )
    # The lock is complete; left to itself pip would look for newer ones.
    install.append("--no-deps")
    run(*install, "--require-hashes", "-r", "requirements.lock")
    run(*install, "--no-build-isolation", "-e", ".")
    write_stamp()
    print("  done.", flush=True)


def write_stamp():
    """Declare .venv complete."""
    spare = STAMP.with_suffix(".new")
    spare.write_text(json.dumps(facts(), indent=1), encoding="utf-8")
    os.replace(spare, STAMP)


# ----------------------------------------------------------------------------------- other programs


def environment():
    """Variables for programs that we start: .venv first on PATH, nothing of another Python.

    Python keeps what it has compiled in .venv: without that JupyterLab and each kernel compile all
    packages anew.
    """
    other = (
        "PYTHONPATH",
        "PYTHONHOME",
        "VIRTUAL_ENV",
        "__PYVENV_LAUNCHER__",
        "PYTHONDONTWRITEBYTECODE",
    )
    env = {name: value for name, value in os.environ.items() if name not in other}
    path = os.pathsep.join([str(BIN), env.get("PATH", os.defpath)])
    return env | {
        "PATH": path,
        "PYTHONUTF8": "1",
        "PIP_USER": "0",
        "PIP_DISABLE_PIP_VERSION_CHECK": "1",
    }


def run(*command):
    """One step of the set-up."""
    subprocess.run(command, cwd=ROOT, env=environment(), check=True)


def hand_over(*arguments, here=False, **variables):
    """Run the course's Python, or with `here` this one, until it ends.

    Returns the exit code. Ctrl-C is for that program to handle.
    """
    stopped = []
    python = sys.executable if here else str(PYTHON)
    env = os.environ | {"PYTHONUTF8": "1"} if here else environment()
    with subprocess.Popen([python, *arguments], cwd=ROOT, env=env | variables) as child:
        signal.signal(signal.SIGINT, lambda *_: stopped.append(True))
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        code = child.wait()
    if stopped and code:
        stop("Stopped.", 130)
    return code if code >= 0 else 128 - code


def test(*arguments):
    """Run pytest with one worker more than cores: a browser or a kernel is often waited for.

    A notebook or test file stays with one worker. Linear algebra keeps to one thread, since the
    workers share the cores already.
    """
    workers = str(1 + min(4, os.cpu_count() or 1))
    spread = ("-n", workers, "--dist", "loadfile", "--no-loadscope-reorder")
    one_thread = {f"{library}_NUM_THREADS": "1" for library in ("OMP", "OPENBLAS", "MKL")}
    return hand_over("-m", "pytest", *spread, *arguments, **one_thread)


def tool(name, *arguments):
    """Run a file of tools/ as `python file` would, but without a traceback after Ctrl-C."""
    quietly = (
        "import os, runpy, sys\ndel sys.argv[0]\nsys.path[0] = os.path.dirname(sys.argv[0])\n"
        "try: runpy.run_path(sys.argv[0], run_name='__main__')\n"
        "except KeyboardInterrupt: sys.exit(130)"
    )
    return hand_over("-c", quietly, str(ROOT / "tools" / name), *arguments)


def lab(port, browser, here=False):
    """JupyterLab on START_HERE.md, for this machine only, with the course's settings.

    With `here` that of this Python, without .venv.
    """
    if port and taken(port):
        stop(
            f"--port {port}: another program uses this port. "
            "Choose another from 1024 to 65535, or leave --port out.",
            2,
        )
    if here:
        look_around()
    else:
        set_up()
    progress = ROOT / "MY_PROGRESS.md"
    if not progress.exists():
        progress.write_text(
            "# My progress\n\n"
            "Nothing checked yet: solve a question in an exercise and run its check.\n",
            encoding="utf-8",
        )
    options = [
        "--ServerApp.ip=127.0.0.1",
        f"--ServerApp.root_dir={ROOT}",
        "--LabApp.default_url=/lab/tree/START_HERE.md",
    ]
    options += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"] if port else []
    options += [] if browser else ["--no-browser"]
    # Containers; Jupyter refuses otherwise.
    options += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []
    settings = os.pathsep.join(
        filter(None, [str(ROOT / "tools" / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH")])
    )
    print("Opening JupyterLab. Leave this window open; Ctrl-C here ends it.", flush=True)
    return hand_over("-m", "jupyterlab", *options, here=here, JUPYTER_CONFIG_PATH=settings)


def look_around():
    """Stop with a sentence unless this Python has every package that a chapter needs."""
    import tomllib

    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    names = [re.match(r"[A-Za-z0-9._-]+", line)[0] for line in project["dependencies"]]
    missing = [name for name in [*names, project["name"]] if not installed(name)]
    if missing:
        stop(
            f"--here: {sys.executable} is a Python without {', '.join(missing)}. "
            "Type  conda activate v2gbook  and run the same command, or leave --here out.",
            2,
        )


def installed(name):
    """Is this distribution installed in the Python that runs this?"""
    try:
        return bool(importlib.metadata.version(name))
    except importlib.metadata.PackageNotFoundError:
        return False


def taken(port):
    """Does another program use this port?"""
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


# -------------------------------------------------------------------------------------------- check


def check():
    """Print what is fine and what is not; returns 1 if something stands in the way."""
    blocked = 0
    for good, sentence in findings():
        print("ok  " if good else "!!  ", sentence, sep="", flush=True)
        blocked += good is False
    print(
        f"\n{blocked} of these must be put right first."
        if blocked
        else "\nNothing stands in the way."
    )
    return 1 if blocked else 0


def findings():
    """Pairs (True: fine, None: worth knowing, False: in the way; a sentence)."""
    yield True, "Python %d.%d.%d; 3.11 or newer is needed" % sys.version_info[:3]
    reason, free_gb = trouble(), shutil.disk_usage(ROOT).free / 1e9
    need_gb = 2.0 if reason else 0.2
    yield (
        free_gb >= need_gb,
        f"{free_gb:.1f} GB free on the disk"
        + ("" if free_gb >= need_gb else f"; make {need_gb} GB free"),
    )
    yield (
        (True, f"{ROOT} can be written")
        if os.access(ROOT, os.W_OK)
        else (False, f"{ROOT} cannot be written; move the course to a folder of your own")
    )
    if VENV.is_symlink():
        yield False, ".venv is a link; remove the link and run  python run.py"
    elif reason:
        yield None, f"not set up: {reason}; the next  python run.py  does it"
    else:
        yield True, "set up and up to date"
        yield packages()
    yield preset()
    yield (
        True,
        "port 8888 is " + ("taken; JupyterLab will take the next" if taken(8888) else "free"),
    )
    browser = next(
        filter(
            None,
            map(
                shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge")
            ),
        ),
        None,
    )
    yield (
        (True, f"Chromium: {browser}")
        if browser
        else (None, "Chromium was not found; only the browser tests and `notebooks` need it")
    )
    progress = ROOT / "progress"
    kept = not progress.exists() or (progress.is_dir() and os.access(progress, os.W_OK))
    yield (
        (True, "progress: fine")
        if kept
        else (
            None,
            f"{progress} is no folder that can be written, so no mark is kept; move it away",
        )
    )


def packages():
    """Do the packages that a chapter needs start?"""
    wanted = [
        "jupyterlab",
        "ipywidgets",
        "anywidget",
        "plotly",
        "numpy",
        "scipy",
        "pandas",
        "v2gbook",
    ]
    script = (
        "import importlib, sys\nfor name in sys.argv[1:]:\n"
        "    try: importlib.import_module(name)\n"
        "    except Exception as error: print(f'{name} ({type(error).__name__}: {error})')"
    )
    told = subprocess.run(
        [str(PYTHON), "-P", "-c", script, *wanted],
        env=environment(),
        capture_output=True,
        text=True,
        encoding="utf-8",
    )
    if told.returncode or told.stdout:
        return (
            False,
            f"packages that do not start: {' '.join((told.stdout or told.stderr).split())}; "
            "delete .venv and run  python run.py",
        )
    return True, f"packages start: {', '.join(wanted)}"


def preset():
    """Can course.toml be read, and is there a preset of that name?"""
    import tomllib

    known = sorted(
        path.stem for path in (ROOT / "v2gbook" / "classroom" / "data" / "presets").glob("*.toml")
    )
    try:
        name = tomllib.loads((ROOT / "course.toml").read_text(encoding="utf-8"))["preset"]
    except (OSError, ValueError, KeyError) as error:
        return (
            False,
            f"course.toml names no preset ({type(error).__name__}: {error}); "
            f'write a line  preset = "{known[-1]}"',
        )
    return name in known, f"course.toml: preset {name!r}" + (
        "" if name in known else f" does not exist; choose one of {', '.join(known)}"
    )


# ------------------------------------------------------------------------------------- command line


def port_number(text):
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(
            f"{text!r} is not a port; allowed are whole numbers from 1024 to 65535"
        )
    return int(text)


def main(argv):
    verb, rest = (argv[0], argv[1:]) if argv and not argv[0].startswith("-") else ("lab", argv)
    parser = argparse.ArgumentParser(
        prog="python run.py",
        usage="python run.py [verb] [options]",
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        description="The one door to the course: sets up .venv once, then does what the verb says.",
        epilog="verbs:\n"
        + "".join(f"  {name:<10} {line}\n" for name, line in VERBS.items())
        + "\n"
        + EXAMPLES,
    )
    parser.add_argument("--no-browser", action="store_true", help="lab: only print the address")
    parser.add_argument(
        "--here",
        action="store_true",
        help="lab: use the Python that runs this, such as a conda environment's; make no .venv",
    )
    parser.add_argument(
        "--port", type=port_number, help="lab: the port (if not given: 8888, or the next free one)"
    )
    if verb not in VERBS:
        parser.error(f"there is no verb {verb!r}; choose one of {', '.join(VERBS)}")
    if verb in ("lab", "check") or rest in (["-h"], ["--help"]):
        asked = parser.parse_args(rest)
    # Being ended from outside is like Ctrl-C.
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        if verb == "lab":
            return lab(asked.port, not asked.no_browser, asked.here)
        if verb == "check":
            return check()
        set_up()
        return test(*rest) if verb == "test" else tool(TOOLS[verb], *rest)
    except KeyboardInterrupt:
        stop(f"\nStopped. {AGAIN}", 130)
    except subprocess.CalledProcessError as error:
        likely = (
            "The disk is full: free 2 GB."
            if shutil.disk_usage(ROOT).free < 2e8
            else "Most often the network is missing, or a download broke."
        )
        stop(
            f"The set-up did not work: {Path(error.cmd[0]).name} ended with code "
            f"{error.returncode}; its message stands above. {likely} {AGAIN}"
        )
    except OSError as error:
        advice = {
            errno.ENOSPC: "Free 2 GB.",
            errno.EACCES: "Close programs that use it, or move the course to a folder of your own.",
        }.get(error.errno, "")
        stop(f"This did not work: {error.strerror} ({error.filename or ROOT}). {advice} {AGAIN}")


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
