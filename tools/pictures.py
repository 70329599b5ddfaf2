"""Pictures of figures and drawings, for places that cannot draw them.

Headless Chromium draws, a small PNG comes out.

A picture has twice the pixels that it is shown with, and at most 256 colours, which makes it a
third as large as Chromium's own PNG and looks the same: figures have few colours.
"""

import base64
import hashlib
import json
import struct
import zlib
from pathlib import Path

import numpy as np

WIDTH = 760  # of a figure on the page [pixels]; a drawing has its own

# The pixels of a picture (its address as data) on white, as one base64 text.
PIXELS = """async address => {
    const image = new Image();
    image.src = address;
    await image.decode();
    const canvas = new OffscreenCanvas(image.width, image.height), pen = canvas.getContext('2d');
    pen.fillStyle = 'white';
    pen.fillRect(0, 0, image.width, image.height);
    pen.drawImage(image, 0, 0);
    const reader = new FileReader();
    const pixels = pen.getImageData(0, 0, image.width, image.height).data;
    const text = new Promise(ready => reader.onload = () => ready(reader.result.split(',')[1]));
    reader.readAsDataURL(new Blob([pixels]));
    return [image.width, image.height, await text];
}"""
FIGURE = "f => Plotly.toImage({data: f.data, layout: f.layout}, {format: 'png', scale: 2})"


def fingerprint(figure):
    """Fingerprint of a figure (plotly's plain values) or a drawing (SVG text).

    A picture carries that of what it shows.
    """
    return hashlib.blake2b(json.dumps(figure, sort_keys=True).encode(), digest_size=8).hexdigest()


def draw(figures):
    """PNGs, as bytes, of figures (plain values of plotly) and drawings (SVG text), in order."""
    import plotly
    from browser import chromium

    library = Path(plotly.__file__).parent / "package_data" / "plotly.min.js"
    with chromium() as started:
        page, sheet = started.new_page(), started.new_page(device_scale_factor=2)
        page.set_content("<div></div>")
        page.add_script_tag(path=str(library))
        return [picture(page, sheet, figure) for figure in figures]


def picture(page, sheet, figure):
    """One PNG, drawn on a page that has plotly.js, or photographed on a sheet for SVG."""
    if isinstance(figure, dict) and "frames" in figure:
        figure = still(figure)
    if isinstance(figure, str):
        sheet.set_content(figure)
        address = (
            f"data:image/png;base64,{base64.b64encode(sheet.locator('svg').screenshot()).decode()}"
        )
    else:
        address = page.evaluate(FIGURE, {**figure, "layout": {"width": WIDTH, **figure["layout"]}})
    width, height, text = page.evaluate(PIXELS, address)
    pixels = np.frombuffer(base64.b64decode(text), dtype=np.uint8).reshape(height, width, 4)
    return png(*few_colours(pixels[..., :3]))


def still(film):
    """The moment of a film that its picture shows, as a figure."""
    frame = film["frames"][film["still"]]
    traces = [dict(trace) for trace in film["data"]]
    for place, changes in zip(frame["traces"], frame["data"], strict=True):
        traces[place].update(changes)
    return {"data": traces, "layout": film["layout"]}


def few_colours(pixels):
    """An image with at most 256 colours: the number of each pixel's colour, and the colours.

    Channels are rounded to 32 levels; beyond the 256 most frequent colours the nearest of these is
    taken.
    """
    levels = np.round(pixels / 255 * 31).astype(np.int64)
    codes, places, counts = np.unique(
        levels @ [1024, 32, 1], return_inverse=True, return_counts=True
    )
    colours = np.stack([codes // 1024, codes // 32 % 32, codes % 32], axis=1)
    kept = np.sort(np.argsort(-counts, kind="stable")[:256])
    away = ((colours[:, None, :] - colours[None, kept, :]) ** 2).sum(axis=2)
    nearest = away.argmin(axis=1)
    numbers = nearest[places].reshape(pixels.shape[:2]).astype(np.uint8)
    return numbers, np.round(colours[kept] / 31 * 255).astype(np.uint8)


def png(numbers, colours):
    """A PNG file with a palette (PNG specification, third edition, colour type 3)."""

    def chunk(kind, data):
        return (
            struct.pack(">I", len(data)) + kind + data + struct.pack(">I", zlib.crc32(kind + data))
        )

    height, width = numbers.shape
    # Each row begins with its filter: none.
    rows = np.hstack([np.zeros((height, 1), dtype=np.uint8), numbers])
    return b"\x89PNG\r\n\x1a\n" + b"".join(
        [
            chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 3, 0, 0, 0)),
            chunk(b"PLTE", colours.tobytes()),
            chunk(b"IDAT", zlib.compress(rows.tobytes(), 9)),
            chunk(b"IEND", b""),
        ]
    )
