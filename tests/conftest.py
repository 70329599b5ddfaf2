"""What several test files need: headless Chromium, or a test that is skipped with the reason."""

import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "tools"))

import browser


@pytest.fixture(scope="session")
def has_chromium():
    """There is a Chromium on this machine."""
    try:
        browser.find()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))


@pytest.fixture(scope="module")
def chromium(has_chromium):
    """Headless Chromium; one at a time can run in a process."""
    with browser.chromium() as started:
        yield started
