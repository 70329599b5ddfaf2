"""What a running cell can find out about its own notebook.

The file, the preset it was stored with, and which cell it is.
"""

import asyncio
import json
import os
from pathlib import Path


def path():
    """File of the notebook that this kernel belongs to; None if nobody says it.

    Jupyter Server says it, and so do our own tools.
    """
    told = os.environ.get("JPY_SESSION_NAME", "")
    return Path(told) if told.endswith(".ipynb") else None


def stored_preset():
    """Preset in the metadata of the notebook file; None if there is no file, or nothing in it."""
    try:
        return json.loads(path().read_text(encoding="utf-8"))["metadata"]["v2gbook"]["preset"]
    except (AttributeError, OSError, ValueError, KeyError, TypeError):
        return None


def cell():
    """Something that is the same whenever the same cell runs.

    Its id, where the front end tells it, else its text. None outside of a kernel.
    """
    try:
        from IPython import get_ipython

        request = get_ipython().get_parent()
    except (AttributeError, ImportError):
        return None
    return request.get("metadata", {}).get("cellId") or request.get("content", {}).get("code")


def run():
    """A number that is new each time a cell runs; None outside of IPython."""
    try:
        from IPython import get_ipython

        return get_ipython().execution_count
    except (AttributeError, ImportError):
        return None


def after(seconds, work):
    """Do some work later, in a front end that names its cells as JupyterLab does.

    Elsewhere nobody looks, and nothing is done.
    """
    try:
        from IPython import get_ipython

        if get_ipython().get_parent().get("metadata", {}).get("cellId"):
            asyncio.get_running_loop().call_later(seconds, work)
    except (AttributeError, ImportError, RuntimeError):
        return
