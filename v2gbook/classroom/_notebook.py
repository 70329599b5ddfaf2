"""What a running cell can find out about its own notebook: the file, the preset it was stored with, and which cell it is."""

import json
import os
from pathlib import Path


def path():
    """File of the notebook that this kernel belongs to (Jupyter Server says so, and so do our own tools); None if nobody says it."""
    told = os.environ.get("JPY_SESSION_NAME", "")
    return Path(told) if told.endswith(".ipynb") else None


def stored_preset():
    """Preset in the metadata of the notebook file; None if there is no file, or nothing in it."""
    try:
        return json.loads(path().read_text(encoding="utf-8"))["metadata"]["v2gbook"]["preset"]
    except (AttributeError, OSError, ValueError, KeyError, TypeError):
        return None


def cell():
    """Something that is the same whenever the same cell runs: its id, where the front end tells it, else its text. None outside of a kernel."""
    try:
        from IPython import get_ipython
        request = get_ipython().get_parent()
    except (AttributeError, ImportError):
        return None
    return request.get("metadata", {}).get("cellId") or request.get("content", {}).get("code")
