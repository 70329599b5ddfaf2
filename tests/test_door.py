"""The one door.

Set-up that can be interrupted, clear sentences, and three lists of packages in step.
"""

import ast
import errno
import json
import re
import socket
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
from packaging.requirements import Requirement
from packaging.utils import canonicalize_name

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT))

import run as door


@pytest.fixture
def copy(tmp_path, monkeypatch):
    """run.py's functions on a small course of their own."""
    for name in ("requirements.lock", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    (tmp_path / "course.toml").write_text('preset = "na-60hz"')
    presets = tmp_path / "v2gbook" / "classroom" / "data" / "presets"
    presets.mkdir(parents=True)
    (presets / "na-60hz.toml").touch()
    for name, path in (
        ("ROOT", tmp_path),
        ("VENV", tmp_path / ".venv"),
        ("STAMP", tmp_path / ".venv" / "v2gbook-stamp.json"),
        ("BUSY", tmp_path / ".venv.lock"),
        ("BIN", tmp_path / ".venv" / "bin"),
        ("PYTHON", tmp_path / ".venv" / "bin" / "python"),
    ):
        monkeypatch.setattr(door, name, path)
    return tmp_path


@pytest.fixture
def installed(copy):
    """A course that believes itself set up."""
    door.BIN.mkdir(parents=True)
    door.PYTHON.symlink_to(sys.executable)
    (door.VENV / "pyvenv.cfg").touch()
    door.write_stamp()
    return copy


# ----------------------------------------------------------------------------------------- packages


def wanted():
    """Packages of pyproject with their ranges, and those that others bring and uv constrains."""
    pyproject = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    project = pyproject["project"]
    extras = project["optional-dependencies"].values()
    lines = [
        *project["dependencies"],
        *(line for extra in extras for line in extra),
        *pyproject["tool"]["uv"]["constraint-dependencies"],
    ]
    return {
        canonicalize_name(Requirement(line).name): Requirement(line).specifier for line in lines
    }


def test_environment_yml_is_in_step_with_pyproject():
    lines = re.findall(
        r"^ +- ([a-z][^#\n]*?) *(?:#.*)?$",
        (ROOT / "environment.yml").read_text(encoding="utf-8"),
        re.MULTILINE,
    )
    listed = {
        canonicalize_name(r.name): r.specifier
        for r in map(
            Requirement, (line for line in lines if line not in ("conda-forge", "pip", "pip:"))
        )
    }
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert str(listed.pop("python")) == project["requires-python"]
    assert listed == wanted()


def test_lock_holds_every_package_within_its_range():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    versions = {}
    for name, version in re.findall(r"^([A-Za-z0-9._-]+)==([^\s;]+)", lock, re.MULTILINE):
        versions.setdefault(canonicalize_name(name), []).append(version)
    for name, specifier in wanted().items():
        assert versions.get(name), name
        assert all(specifier.contains(version) for version in versions[name]), name


def test_lock_names_no_host_and_hashes_everything():
    lock = (ROOT / "requirements.lock").read_text(encoding="utf-8")
    assert "http:" not in lock
    assert "https:" not in lock
    assert "--index" not in lock
    pinned = re.split(r"^(?=[A-Za-z0-9])", lock, flags=re.MULTILINE)[1:]
    assert len(pinned) > 50
    assert all("--hash=sha256:" in block for block in pinned)


def test_door_needs_nothing_but_python():
    tree = ast.parse((ROOT / "run.py").read_text(encoding="utf-8"))
    names = {
        alias.name.split(".")[0]
        for node in ast.walk(tree)
        if isinstance(node, ast.Import)
        for alias in node.names
    }
    names |= {
        node.module.split(".")[0] for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)
    }
    assert names <= set(sys.stdlib_module_names)


# ------------------------------------------------------------------------------------------- set-up


def test_a_valid_stamp_starts_at_once(installed, monkeypatch):
    monkeypatch.setattr(door, "build", lambda: pytest.fail("set up again"))
    assert door.trouble() == ""
    door.set_up()


@pytest.mark.parametrize(
    "harm, reason",
    [
        (
            lambda root: (root / "requirements.lock").write_text("x"),
            "changed since the last set-up: requirements.lock",
        ),
        (
            lambda root: (root / "pyproject.toml").write_text("x"),
            "changed since the last set-up: pyproject.toml",
        ),
        (lambda root: door.STAMP.unlink(), "not finished"),
        (lambda root: door.STAMP.write_text("{"), "not finished"),
        (lambda root: door.STAMP.write_text("[]"), "requirements.lock"),
        (lambda root: door.PYTHON.unlink(), "is gone"),
    ],
)
def test_set_up_is_not_trusted_after(installed, harm, reason):
    harm(installed)
    assert reason in door.trouble()


@pytest.mark.parametrize(
    "accident, words, code",
    [
        (KeyboardInterrupt(), "Stopped.", 130),
        (subprocess.CalledProcessError(1, ["pip"]), "pip ended with code 1", 1),
        (OSError(errno.ENOSPC, "No space left on device"), "No space left on device", 1),
    ],
)
@pytest.mark.parametrize("step", [0, 1, 2])
def test_an_interrupted_set_up_leaves_no_stamp(
    installed, monkeypatch, capsys, accident, words, code, step
):
    """Whatever happens at whatever step.

    A clear sentence, no stamp, no lock, and the next call sets up again.
    """
    steps = []

    def run(*command):
        steps.append(command)
        if len(steps) == step + 1:
            raise accident

    monkeypatch.setattr(door, "run", run)
    monkeypatch.setattr(door, "hand_over", lambda *arguments: pytest.fail("went on"))
    monkeypatch.setattr(door.signal, "signal", lambda *arguments: None)
    (installed / "pyproject.toml").write_text("changed")
    with pytest.raises(SystemExit) as stopped:
        door.main(["test"])
    said = capsys.readouterr().err
    assert words in said
    assert "run the same command again" in said
    assert stopped.value.code == code
    assert not door.STAMP.exists()
    assert not door.BUSY.exists()
    assert door.trouble()


def test_a_finished_set_up_is_stamped(copy, monkeypatch):
    monkeypatch.setattr(door, "run", lambda *command: door.BIN.mkdir(parents=True, exist_ok=True))
    door.set_up()
    assert json.loads(door.STAMP.read_text(encoding="utf-8")) == door.facts()


def test_two_set_ups_at_once(copy, capsys):
    with door.alone(), pytest.raises(SystemExit), door.alone():
        pytest.fail("both at work")
    assert "Another run.py is setting up" in capsys.readouterr().err


def test_a_lock_left_by_a_dead_process_is_removed(copy):
    dead = subprocess.Popen([sys.executable, "-c", ""])
    dead.wait()
    door.BUSY.write_text(str(dead.pid))
    with door.alone():
        assert door.BUSY.exists()
    assert not door.BUSY.exists()


def test_a_linked_venv_is_never_emptied(copy, tmp_path_factory, capsys):
    elsewhere = tmp_path_factory.mktemp("precious")
    (elsewhere / "thesis.txt").write_text("years")
    door.VENV.symlink_to(elsewhere)
    with pytest.raises(SystemExit):
        door.set_up()
    assert "is a link" in capsys.readouterr().err
    assert (elsewhere / "thesis.txt").exists()


def test_a_folder_that_is_not_ours_is_never_emptied(copy, capsys):
    door.VENV.mkdir()
    (door.VENV / "thesis.txt").write_text("years")
    with pytest.raises(SystemExit):
        door.set_up()
    assert "no set-up made" in capsys.readouterr().err
    assert (door.VENV / "thesis.txt").exists()


# -------------------------------------------------------------------------------------------- verbs


def call(*arguments):
    return subprocess.run(
        [sys.executable, str(ROOT / "run.py"), *arguments], capture_output=True, text=True
    )


def test_help_lists_every_verb():
    said = call("--help").stdout
    assert all(re.search(rf"^  {verb} ", said, re.MULTILINE) for verb in door.VERBS)
    assert "examples:" in said


def test_unknown_verb():
    told = call("fly")
    assert told.returncode == 2
    assert "there is no verb 'fly'; choose one of lab, test" in told.stderr


@pytest.mark.parametrize("port", ["80", "70000", "x"])
def test_a_port_that_is_none(port):
    told = call("--port", port)
    assert told.returncode == 2
    assert "is not a port; allowed are whole numbers from 1024 to 65535" in told.stderr


def test_a_port_that_is_taken(installed, capsys):
    with socket.socket() as other:
        other.bind(("127.0.0.1", 0))
        other.listen()
        with pytest.raises(SystemExit) as stopped:
            door.lab(other.getsockname()[1], browser=False)
    assert stopped.value.code == 2
    assert "another program uses this port" in capsys.readouterr().err


def test_lab_opens_the_start_page_for_this_machine_only(installed, monkeypatch):
    given = {}
    monkeypatch.setattr(
        door, "hand_over", lambda *arguments, **more: given.update(arguments=arguments, **more)
    )
    door.lab(None, browser=True)
    assert "--ServerApp.ip=127.0.0.1" in given["arguments"]
    assert "--LabApp.default_url=/lab/tree/START_HERE.md" in given["arguments"]
    assert given["JUPYTER_CONFIG_PATH"].startswith(str(installed / "tools" / "jupyter"))
    assert (installed / "MY_PROGRESS.md").exists()


def test_lab_here_uses_this_python_and_leaves_venv_alone(copy, monkeypatch):
    given = {}
    monkeypatch.setattr(door, "set_up", lambda: pytest.fail("set up .venv"))
    monkeypatch.setattr(door, "installed", lambda name: True)
    monkeypatch.setattr(door, "hand_over", lambda *arguments, **more: given.update(more))
    door.lab(None, browser=True, here=True)
    assert given["here"]
    assert not door.VENV.exists()
    assert given["JUPYTER_CONFIG_PATH"].startswith(str(copy / "tools" / "jupyter"))


def test_here_names_the_packages_that_are_missing(copy, monkeypatch, capsys):
    monkeypatch.setattr(door, "installed", lambda name: name not in ("plotly", "v2gbook"))
    with pytest.raises(SystemExit) as stopped:
        door.lab(None, browser=True, here=True)
    assert stopped.value.code == 2
    assert "is a Python without plotly, v2gbook." in capsys.readouterr().err


def test_what_is_installed_here():
    assert door.installed("v2gbook")
    assert not door.installed("no-such-package")


@pytest.mark.parametrize("here", [True, False])
def test_the_python_that_is_handed_over_to(installed, monkeypatch, here):
    monkeypatch.setattr(door.signal, "signal", lambda *arguments: None)
    monkeypatch.setattr(door.sys, "executable", "/no/such/python")
    if here:
        with pytest.raises(FileNotFoundError, match="no/such/python"):
            door.hand_over("-c", "", here=here)
    else:
        assert door.hand_over("-c", "raise SystemExit(3)") == 3


def test_lab_settings():
    settings = json.loads(
        (ROOT / "tools" / "jupyter" / "labconfig" / "default_setting_overrides.json").read_text(
            encoding="utf-8"
        )
    )
    assert settings["@jupyterlab/docmanager-extension:plugin"]["defaultViewers"] == {
        "markdown": "Markdown Preview"
    }
    assert settings["@jupyter-widgets/jupyterlab-manager:plugin"] == {"saveState": False}


@pytest.mark.parametrize(
    "harm, words, code",
    [
        (lambda root: None, "ok  course.toml: preset 'na-60hz'", 0),
        (
            lambda root: (root / "course.toml").write_text('preset = "mars"'),
            "!!  course.toml: preset 'mars' does not exist; choose one of na-60hz",
            1,
        ),
        (
            lambda root: (root / "course.toml").write_text("preset = "),
            "!!  course.toml names no preset",
            1,
        ),
        (
            lambda root: (root / "progress").write_text(""),
            "is no folder that can be written, so no mark is kept",
            0,
        ),
        (lambda root: door.STAMP.unlink(), "!!  not set up: the last set-up was not finished", 0),
    ],
)
def test_check_says_what_is_wrong(installed, monkeypatch, capsys, harm, words, code):
    monkeypatch.setattr(door, "packages", lambda: (True, "packages start"))
    harm(installed)
    assert door.check() == code
    assert words in capsys.readouterr().out


def test_check_finds_packages_that_do_not_start(installed):
    (door.PYTHON).unlink()
    door.PYTHON.write_text("#!/bin/sh\necho 'numpy (ImportError: broken)'\n")
    door.PYTHON.chmod(0o755)
    (installed / "tools").mkdir()
    good, sentence = door.packages()
    assert not good
    assert "numpy (ImportError: broken)" in sentence
