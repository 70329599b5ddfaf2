#!/usr/bin/env python3
"""The one door to the course. `python run.py` sets everything up, once, and opens JupyterLab; `python run.py --help` says more."""

import sys

if sys.version_info < (3, 11):
    sys.exit("The course needs Python 3.11 or newer; this is Python %d.%d. Get a newer one from python.org and run it again." % sys.version_info[:2])

import argparse
import contextlib
import errno
import hashlib
import importlib.util
import json
import os
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
  python run.py test                      everything must pass
  python run.py test -k frequency         only tests with this word in their name
  python run.py check                     when something does not work, start here"""
AGAIN = "Nothing half-made is kept in use: run the same command again and it starts clean."

# Runs a tool as `python tool` would, but ends on Ctrl-C without a traceback.
TOOL = "import runpy, sys\ndel sys.argv[0]\ntry: runpy.run_path(sys.argv[0], run_name='__main__')\nexcept KeyboardInterrupt: sys.exit(130)"


def stop(sentence, code=1):
    """Say why, and end."""
    print(sentence, file=sys.stderr, flush=True)
    raise SystemExit(code)


def say(sentence):
    print(sentence, flush=True)


# ---------------------------------------------------------------------------------------------------------------- set-up

def facts():
    """What the set-up depends on; it is made again when one of these changes."""
    return {
        "requirements.lock": hashlib.sha256((ROOT / "requirements.lock").read_bytes()).hexdigest(),
        "pyproject.toml": hashlib.sha256((ROOT / "pyproject.toml").read_bytes()).hexdigest(),
        "the Python version": "%d.%d.%d" % sys.version_info[:3],
        "the folder": str(ROOT),
    }


def trouble():
    """Why .venv cannot be used as it is; an empty string if it can."""
    if not VENV.exists():
        return "there is no .venv yet"
    try:
        stamp = dict(json.loads(STAMP.read_text(encoding="utf-8")))
    except (OSError, ValueError, TypeError):
        return "the last set-up was not finished"
    if not PYTHON.exists():
        return "the Python that .venv was made with is gone"
    changed = [name for name, value in facts().items() if stamp.get(name) != value]
    return f"{' and '.join(changed)} changed since the last set-up" if changed else ""


def set_up():
    """Make .venv, unless a stamp shows that it is complete and up to date."""
    if not trouble():
        return
    if Path(sys.prefix).resolve() == VENV:
        stop("The set-up must be made again, but this is its own Python. Type  deactivate  (or open a new terminal) and run the same command.")
    with alone():
        reason = trouble()  # another run.py may have finished just now
        if reason:
            say(f"Setting up .venv (about a minute; {reason})...")
            build()


@contextlib.contextmanager
def alone():
    """Keep a second run.py from setting up at the same time."""
    try:
        if BUSY.exists() and not alive(BUSY):
            BUSY.unlink()
        lock = os.open(BUSY, os.O_CREAT | os.O_EXCL | os.O_WRONLY)
    except FileExistsError:
        stop(f"Another run.py is setting up .venv now. Wait until it is done and run the same command. (If none is running, delete {BUSY.name}.)")
    except OSError as error:
        stop(f"Cannot write in {ROOT} ({error.strerror}). Move the course to a folder of your own, on a disk with space, and run the same command.")
    try:
        os.write(lock, str(os.getpid()).encode())
        yield
    finally:
        os.close(lock)
        BUSY.unlink(missing_ok=True)


def alive(busy):
    """Is the run.py that wrote this lock still at work? When in doubt, yes."""
    try:
        if os.name == "nt":  # Windows does not delete a file that is open
            busy.unlink()
            return False
        os.kill(int(busy.read_text()), 0)
    except (ProcessLookupError, FileNotFoundError):
        return False
    except (OSError, ValueError):
        return True
    return True


def build():
    """Make .venv from nothing. The stamp is written last: whatever goes wrong before leaves none."""
    try:
        clear()
        uv = shutil.which("uv")
        if not uv and not importlib.util.find_spec("ensurepip"):
            stop("This Python cannot make a virtual environment: its venv part is not installed.\n"
                 "Debian and Ubuntu:  sudo apt install python3-venv  and run the same command.")
        quiet = ["--quiet", "--python", str(PYTHON)] if uv else ["--quiet"]
        pip = [uv, "pip", "install", *quiet] if uv else [str(PYTHON), "-m", "pip", "install", *quiet]
        run(*([uv, "venv", "--quiet", "--python", sys.executable] if uv else [sys.executable, "-m", "venv"]), str(VENV))
        say(f"  installing the packages of requirements.lock with {'uv' if uv else 'pip'}...")
        run(*pip, "--require-hashes", "-r", "requirements.lock")
        say("  installing the course's own library...")
        run(*pip, "--no-build-isolation", "--no-deps", "-e", ".")
        write_stamp()
    except KeyboardInterrupt:
        stop(f"\nThe set-up was stopped before its end. {AGAIN}", 130)
    except subprocess.CalledProcessError as error:
        full = shutil.disk_usage(ROOT).free < 2e8
        stop(f"The set-up did not work: {Path(error.cmd[0]).stem} ended with code {error.returncode}; what it said stands above.\n"
             f"{'The disk is full: free 2 GB.' if full else 'Most often the network is missing, or the download broke.'} {AGAIN}")
    except OSError as error:
        full = error.errno == errno.ENOSPC
        stop(f"The set-up did not work: {'the disk is full; free 2 GB' if full else error}. {AGAIN}")
    say("  done.")


def clear():
    """Remove an old .venv, but only what is ours and never what a link points to."""
    if VENV.is_symlink():
        stop(f".venv is a link to {os.readlink(VENV)}; the course does not touch what it points to. Remove the link and run the same command.")
    if not VENV.exists():
        return
    ours = {"bin", "include", "lib", "lib64", "man", "scripts", "share", "etc", ".gitignore", ".lock", "cachedir.tag", "pyvenv.cfg", STAMP.name}
    if not VENV.is_dir() or not (VENV / "pyvenv.cfg").exists() and {path.name.lower() for path in VENV.iterdir()} - ours:
        stop(".venv holds something that is not a virtual environment. Move it away and run the same command; nothing was deleted.")
    STAMP.unlink(missing_ok=True)
    try:
        shutil.rmtree(VENV)
    except OSError as error:
        stop(f"The old .venv could not be removed ({error.strerror}: {error.filename}). Close JupyterLab and programs that use it. {AGAIN}")


def write_stamp():
    """Declare .venv complete."""
    spare = STAMP.with_suffix(".new")
    spare.write_text(json.dumps(facts(), indent=1), encoding="utf-8")
    os.replace(spare, STAMP)


def environment():
    """Variables for programs that we start: ours first on PATH, nothing of another Python."""
    other = ("PYTHONPATH", "PYTHONHOME", "VIRTUAL_ENV", "__PYVENV_LAUNCHER__")
    env = {name: value for name, value in os.environ.items() if name not in other}
    return env | {"PYTHONUTF8": "1", "PIP_DISABLE_PIP_VERSION_CHECK": "1", "PIP_USER": "0",
                  "PATH": os.pathsep.join([str(BIN), env.get("PATH", os.defpath)])}


def run(*command):
    """One step of the set-up."""
    subprocess.run(command, cwd=ROOT, env=environment(), check=True)


def hand_over(*arguments, **more):
    """Run the course's Python until it ends; Ctrl-C is for it to handle. Returns its exit code, 130 after Ctrl-C."""
    stopped = []
    with subprocess.Popen([str(PYTHON), *arguments], cwd=ROOT, env=environment() | more) as child:
        signal.signal(signal.SIGINT, lambda *_: stopped.append(130))
        signal.signal(signal.SIGTERM, lambda *_: child.terminate())
        code = child.wait()
    if stopped and code:
        stop("Stopped.", 130)
    return code


# ----------------------------------------------------------------------------------------------------------------- verbs

def lab(port, browser):
    """JupyterLab on START_HERE.md, for this machine only, with the course's settings."""
    if port and taken(port):
        stop(f"--port {port}: another program uses this port. Choose another from 1024 to 65535, or leave --port out.", 2)
    set_up()
    progress = ROOT / "MY_PROGRESS.md"
    if not progress.exists():
        progress.write_text("# My progress\n\nNothing checked yet: solve a question in an exercise and run its check.\n", encoding="utf-8")
    options = ["--ServerApp.ip=127.0.0.1", f"--ServerApp.root_dir={ROOT}", "--LabApp.default_url=/lab/tree/START_HERE.md"]
    options += [f"--ServerApp.port={port}", "--ServerApp.port_retries=0"] if port else []
    options += [] if browser else ["--no-browser"]
    options += ["--allow-root"] if hasattr(os, "geteuid") and os.geteuid() == 0 else []  # in a container; Jupyter refuses otherwise
    settings = os.pathsep.join(filter(None, [str(ROOT / "tools" / "jupyter"), os.environ.get("JUPYTER_CONFIG_PATH")]))
    say("Opening JupyterLab. Leave this window open; Ctrl-C here ends it.")
    return hand_over("-m", "jupyterlab", *options, JUPYTER_CONFIG_PATH=settings)


def taken(port):
    """Does another program listen on this port?"""
    with socket.socket() as probe:
        if os.name != "nt":
            probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind(("127.0.0.1", port))
        except OSError:
            return True
    return False


def check():
    """Print what is fine and what is not; returns 1 if something stands in the way."""
    marks = {True: "ok  ", False: "!!  ", None: "!!  "}
    found = list(findings())
    for good, sentence in found:
        say(marks[good] + sentence)
    blocked = sum(good is False for good, _ in found)
    say(f"\n{blocked} of these stand in the way." if blocked else "\nNothing stands in the way: python run.py")
    return 1 if blocked else 0


def findings():
    """(True fine, None worth knowing, False in the way; a sentence) for each thing that the course needs."""
    import tomllib
    yield True, "Python %d.%d.%d (3.11 or newer is needed)" % sys.version_info[:3]
    reason = trouble()
    need_gb, free_gb = 2.0 if reason else 0.2, shutil.disk_usage(ROOT).free / 1e9
    yield free_gb >= need_gb, f"{free_gb:.1f} GB free on the disk" + ("" if free_gb >= need_gb else f"; make {need_gb} GB free")
    writable = os.access(ROOT, os.W_OK)
    yield writable, f"{ROOT} can {'' if writable else 'not '}be written" + ("" if writable else "; move the course to a folder of your own")
    if VENV.is_symlink():
        yield False, ".venv is a link; remove the link and run  python run.py"
    elif reason:
        yield None, f"not set up: {reason}; the next  python run.py  does it"
    else:
        yield True, "set up, and up to date"
        yield packages()
    try:
        preset = tomllib.loads((ROOT / "course.toml").read_text(encoding="utf-8")).get("preset", "na-60hz")
    except (OSError, ValueError) as error:
        yield False, f"course.toml cannot be read ({error}); restore it, or write one line:  preset = \"na-60hz\""
    else:
        known = sorted(path.stem for path in (ROOT / "v2gbook" / "data" / "presets").glob("*.toml"))
        yield preset in known, f"course.toml: preset {preset!r}" + ("" if preset in known else f" does not exist; choose one of {', '.join(known)}")
    yield True, "port 8888 is " + ("taken; JupyterLab takes the next free one" if taken(8888) else "free")
    chromium = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome", "chrome", "msedge"))), None)
    yield (True if chromium else None), "a browser for the browser tests: " + (chromium or "none; only tests and tools want Chromium, the course does not")
    try:
        progress = ROOT / "progress.json"
        text = progress.read_text(encoding="utf-8") if progress.exists() else "{}"
        if not isinstance(json.loads(text), dict):
            raise ValueError
        yield True, "progress.json " + ("can be read" if progress.exists() else "is not there yet; the first check in an exercise makes it")
    except (OSError, ValueError):
        yield None, "progress.json cannot be read; the next check in an exercise sets it aside under another name and begins a new one"


def packages():
    """Do the packages that a chapter needs start?"""
    wanted = "jupyterlab ipywidgets anywidget plotly numpy scipy pandas v2gbook"
    script = ("import importlib, sys\nfor name in sys.argv[1:]:\n"
              "    try: importlib.import_module(name)\n    except BaseException as error: print(f'{name} ({type(error).__name__}: {error})')")
    told = subprocess.run([str(PYTHON), "-c", script, *wanted.split()], cwd=ROOT / "tools", env=environment(), capture_output=True, text=True)
    broken = " ".join((told.stdout + told.stderr).split())
    if broken:
        return False, f"these packages do not start: {broken}; delete the folder .venv and run  python run.py"
    return True, f"packages start: {wanted.replace(' ', ', ')}"


def port_number(text):
    """A port from the command line."""
    if not text.isdecimal() or not 1024 <= int(text) <= 65535:
        raise argparse.ArgumentTypeError(f"{text!r} is not a port; allowed are whole numbers from 1024 to 65535")
    return int(text)


def arguments(argv):
    """The verb, its options, and what is passed on."""
    verb_list = "verbs:\n" + "".join(f"  {name:<10} {help}\n" for name, help in VERBS.items())
    parser = argparse.ArgumentParser(
        prog="python run.py", usage="python run.py [verb] [options]", description="The one door to the course: sets up .venv once, then does what the verb says.",
        epilog=f"{verb_list}\n{EXAMPLES}", formatter_class=argparse.RawDescriptionHelpFormatter, allow_abbrev=False)
    verb = argv[0] if argv and not argv[0].startswith("-") else "lab"
    if verb not in VERBS:
        parser.error(f"there is no verb {verb!r}; choose one of {', '.join(VERBS)}")
    if verb in ("test", *TOOLS) and argv[1:] not in (["-h"], ["--help"]):
        return argparse.Namespace(verb=verb, rest=argv[1:])
    if verb == "lab":
        parser.add_argument("--no-browser", action="store_true", help="lab: do not open a browser; the address is printed")
        parser.add_argument("--port", type=port_number, help="lab: the port to use (8888 or the next free one if not given)")
    return argparse.Namespace(verb=verb, **vars(parser.parse_args(argv[1:] if verb in argv[:1] else argv)))


def main(argv):
    asked = arguments(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # being ended from outside is like Ctrl-C
    try:
        if asked.verb == "lab":
            return lab(asked.port, not asked.no_browser)
        if asked.verb == "check":
            return check()
        set_up()
        if asked.verb == "test":
            return hand_over("-m", "pytest", *asked.rest)
        return hand_over("-c", TOOL, str(ROOT / "tools" / TOOLS[asked.verb]), *asked.rest)
    except KeyboardInterrupt:
        stop("\nStopped.", 130)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
