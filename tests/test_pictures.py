"""Pictures: few colours, a valid PNG, and the same colours as before."""

import struct
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import browser
import pictures


def decoded(png):
    """Width, height and colours of a PNG with a palette and unfiltered rows."""
    assert png.startswith(b"\x89PNG\r\n\x1a\n")
    chunks, at = {}, 8
    while at < len(png):
        size, kind = struct.unpack(">I4s", png[at : at + 8])
        data = png[at + 8 : at + 8 + size]
        assert struct.unpack(">I", png[at + 8 + size : at + 12 + size])[0] == zlib.crc32(
            kind + data
        )
        chunks[kind] = data
        at += 12 + size
    width, height = struct.unpack(">II", chunks[b"IHDR"][:8])
    rows = np.frombuffer(zlib.decompress(chunks[b"IDAT"]), dtype=np.uint8).reshape(
        height, width + 1
    )
    return np.frombuffer(chunks[b"PLTE"], dtype=np.uint8).reshape(-1, 3)[rows[:, 1:]]


def test_a_picture_with_few_colours_stays_as_it_is():
    pixels = np.full((20, 30, 3), 255, dtype=np.uint8)
    pixels[5:9, 3:7] = [90, 90, 214]
    pixels[12:, :] = 0
    back = decoded(pictures.png(*pictures.few_colours(pixels)))
    assert np.abs(back.astype(int) - pixels).max() <= 5  # 32 levels of a channel
    assert (back[0, 0] == 255).all()
    assert (back[15, 0] == 0).all()


def test_many_colours_become_256_near_ones():
    pixels = np.random.default_rng(1).integers(0, 256, (60, 60, 3)).astype(np.uint8)
    numbers, colours = pictures.few_colours(pixels)
    assert len(colours) == 256
    assert np.abs(colours[numbers].astype(int) - pixels).mean() < 25


def test_fingerprints_follow_what_is_shown():
    figure = {"data": [{"y": [1, 2]}], "layout": {}}
    assert pictures.fingerprint(figure) == pictures.fingerprint(
        {"layout": {}, "data": [{"y": [1, 2]}]}
    )
    assert pictures.fingerprint(figure) != pictures.fingerprint(
        {"data": [{"y": [1, 3]}], "layout": {}}
    )


def test_figures_and_drawings_are_drawn_twice_as_large():
    try:
        browser.find()
    except FileNotFoundError as missing:
        pytest.skip(str(missing))
    svg = (
        '<svg xmlns="http://www.w3.org/2000/svg" width="120" height="40">'
        '<rect width="120" height="40" fill="#5A5AD2"/></svg>'
    )
    figure = {
        "data": [{"type": "scatter", "y": [0, 1], "line": {"color": "#5A5AD2"}}],
        "layout": {"height": 200},
    }
    drawn, drawing = (decoded(png) for png in pictures.draw([figure, svg]))
    assert drawn.shape == (400, 2 * pictures.WIDTH, 3)
    assert drawing.shape == (80, 240, 3)
    assert np.abs(drawing[40, 120].astype(int) - [90, 90, 214]).max() <= 5
    assert (np.abs(drawn.astype(int) - [90, 90, 214]).sum(axis=2) < 15).sum() > 200
