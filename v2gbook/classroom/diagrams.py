"""Drawings of the course: circuits, maps, block diagrams and flows, stored as SVG with a text
alternative.

A cell draws with schemdraw inside a `with` block and ends in `diagram`:

    from schemdraw import elements

    with sketch() as d:
        elements.Battery().up().label("$v_{dc}$")
        elements.Inductor2().right().label("$L_f$")
    diagram(d, alt="A battery feeds an inductor.", caption="What to look at.")

Each element begins where the one before it ended, or where `.at(...)` puts it. Give an element its
label before you make the next one. One unit is 36 pixels. A drawing is at most 760 pixels wide,
about 20 units, so that its text can be read on the page.

- Circuits: `schemdraw.elements`; the symbols that it lacks stand below (`Car`, `House`,
  `Transformer`).
- Block diagrams: `flow.Box(w=2, h=1).label("1 / 2Hs")` and `dsp.Sum()`, joined by
  `elements.Arrow()` and `elements.Wire("-|", arrow="->")`.
- Flows of money and messages, decisions: `flow.Box`, `flow.RoundBox` and `flow.Decision`, joined
  by `elements.Arrow().at(a.E).to(b.W)`.
- Phasors and sequences in time: `elements.Arrow().at(tail).to(tip).label("V")` and
  `elements.Line().linestyle("--")` at computed places.

Colours come from `figures.COLOURS` and mark lines. Text is always dark, and whatever a colour says
is also said by a word, a width or dashes. A filled area is white or light, so that text on it can
be read.
"""

import math
import re
from typing import Any
from xml.etree import ElementTree

import schemdraw
from IPython.display import display
from schemdraw.elements import Element, Element2Term
from schemdraw.segments import Segment, SegmentCircle, SegmentPoly

from .figures import GREY, WIDTH, captioned, checked_alt

SVG = "image/svg+xml"
INK = "#222222"  # of text and lines; GREY is for remarks
FONT = "Arial, Helvetica, sans-serif"  # schemdraw reckons with the widths of Arial's letters
BORDER = 12  # white space around a drawing [pixels]

_PLACES = {"cx", "cy", "d", "dy", "points", "r", "rx", "ry", "transform", "x", "y"}
_NUMBER = re.compile(r"-?\d+(?:\.\d+)?(?:e-?\d+)?")


def sketch(**style: Any) -> schemdraw.Drawing:
    """An empty drawing in the course's style, to be filled in a `with` block.

    Parameters
    ----------
    **style
        Anything that `schemdraw.Drawing` takes, such as `unit=3` for longer elements.

    Returns
    -------
    schemdraw.Drawing
        Without any element.

    Examples
    --------
    >>> with sketch() as drawing:
    ...     line = schemdraw.elements.Line()
    >>> len(drawing.elements)
    1
    """
    ours: dict[str, Any] = {
        "canvas": "svg",
        "show": False,
        "unit": 2,
        "inches_per_unit": 0.5,
        "margin": 0,
        "font": "sans-serif",
        "fontsize": 14,
        "color": INK,
        "lw": 1.6,
    }
    return schemdraw.Drawing(**(ours | style))


def diagram(drawing: schemdraw.Drawing, *, alt: str, caption: str = "") -> None:
    """Show a drawing with its number, one caption, and a text alternative.

    Parameters
    ----------
    drawing : schemdraw.Drawing
        Made with `sketch`.
    alt : str
        The drawing in words, for somebody who cannot see it: one whole sentence or more.
    caption : str, optional
        What to see in it (Markdown). If it is left out, the description is the caption.

    Raises
    ------
    ValueError
        If the description is not a whole sentence, or the drawing is too wide for a page.

    Examples
    --------
    >>> with sketch() as drawing:
    ...     line = schemdraw.elements.Line()
    >>> diagram(drawing, alt="One line runs to the right.")  # doctest: +ELLIPSIS
    {...
    """
    checked_alt(alt)
    display({SVG: as_svg(drawing, alt), "text/plain": alt}, raw=True)
    captioned(caption, alt)


def as_svg(drawing, alt):
    """A drawing as the text of an SVG file: on a white card, and the same bytes in every run."""
    shapes = _shapes(drawing)
    x, y, width, height = (float(number) for number in shapes.get("viewBox").split())
    x -= BORDER
    y -= BORDER
    width += 2 * BORDER
    height += 2 * BORDER
    if width > WIDTH:
        raise ValueError(
            f"drawing is {width:.0f} pixels wide; it must be at most {WIDTH} with its border, or "
            "its text becomes too small on the page"
        )
    svg = ElementTree.Element(
        "svg",
        {
            "xmlns": "http://www.w3.org/2000/svg",
            "role": "img",
            "font-family": FONT,
            "width": f"{width:.0f}",
            "height": f"{height:.0f}",
            "viewBox": f"{x:.2f} {y:.2f} {width:.2f} {height:.2f}",
        },
    )
    ElementTree.SubElement(svg, "title").text = re.split(r"(?<=\.)\s", alt)[0]
    ElementTree.SubElement(svg, "desc").text = alt
    ElementTree.SubElement(
        svg,
        "rect",
        {
            "x": f"{x + 0.5:.2f}",
            "y": f"{y + 0.5:.2f}",
            "rx": "6",
            "fill": "white",
            "width": f"{width - 1:.2f}",
            "height": f"{height - 1:.2f}",
            "stroke": "#cccccc",
        },
    )
    svg.extend([_tidied(shape) for shape in shapes])
    return ElementTree.tostring(svg, encoding="unicode")


def _shapes(drawing):
    """What schemdraw makes of a drawing, with text as text on every machine."""
    config = schemdraw.svgconfig
    before = config.text, config.useBatik
    config.text = "text"  # also where a package is installed that would turn it into outlines
    config.useBatik = True  # no `dominant-baseline`, which not every program knows
    try:
        return drawing.draw(show=False, canvas="svg").getsvg()
    finally:
        config.text, config.useBatik = before


def _tidied(shape):
    """A shape with places to a hundredth of a pixel, and its text in the font of the drawing."""
    for part in shape.iter():
        for name in _PLACES.intersection(part.keys()):
            part.set(name, _NUMBER.sub(lambda found: _short(float(found[0])), part.get(name)))
    if shape.tag == "text":
        del shape.attrib["font-family"]
        if shape.get("fill") != GREY:
            shape.set("fill", INK)  # schemdraw gives a label the colour of its element
        for line in shape:
            _place_indices(line, float(shape.get("font-size")))
    elif shape.get("style"):
        style = shape.get("style").replace("stroke-dasharray:-;", "")  # "no dashes", but not in CSS
        shape.set("style", style)
    return shape


def _short(number):
    """A number with at most two decimals."""
    text = f"{number:.2f}".rstrip("0").rstrip(".")
    return "0" if text == "-0" else text


def _place_indices(line, size):
    """Move subscripts and superscripts by `dy`, since not every browser knows `baseline-shift`."""
    for place, index in reversed(list(enumerate(line))):
        shift = index.attrib.pop("baseline-shift", None)
        if shift is None:
            continue
        down = -0.35 * size if shift == "super" else 0.25 * size
        index.attrib.update({"dy": _short(down), "font-size": _short(0.75 * size)})
        if index.tail:
            rest = ElementTree.Element("tspan", {"dy": _short(-down)})
            rest.text, index.tail = index.tail, None
            line.insert(place + 1, rest)


# ------------------------------------------------------------- symbols that schemdraw does not have


class Transformer(Element2Term):
    """A transformer in a single-line diagram: two circles that overlap."""

    def __init__(self, **options):
        super().__init__(**options)
        gap = (math.nan, math.nan)
        self.segments.append(Segment([(0, 0), (0, 0), gap, (1.5, 0), (1.5, 0)]))
        self.segments += [SegmentCircle((0.45, 0), 0.45), SegmentCircle((1.05, 0), 0.45)]


class _Picture(Element):
    """A small picture that stands on its place, with an anchor in the middle of each side."""

    def __init__(self, width, height, segments, **options):
        super().__init__(**options)
        self.segments += segments
        self.anchors["N"], self.anchors["S"] = (0, height), (0, 0)
        self.anchors["E"], self.anchors["W"] = (width / 2, height / 2), (-width / 2, height / 2)
        self.elmparams: dict[str, Any]
        self.elmparams |= {"theta": 0, "drop": (0, 0)}


class House(_Picture):
    """A home, or a building with several."""

    def __init__(self, **options):
        right = [(0, 0.75), (0.4, 0.4), (0.27, 0.4), (0.27, 0)]
        left = [(-x, y) for x, y in reversed(right[1:])]
        super().__init__(0.8, 0.75, [SegmentPoly(right + left)], **options)


class Car(_Picture):
    """A car, seen from its side."""

    def __init__(self, **options):
        body = SegmentPoly(
            [
                (-0.42, 0.09),
                (-0.42, 0.27),
                (-0.28, 0.3),
                (-0.17, 0.48),
                (0.12, 0.48),
                (0.27, 0.3),
                (0.42, 0.25),
                (0.42, 0.09),
            ]
        )
        wheels = [SegmentCircle((x, 0.09), 0.09, fill="white") for x in (-0.23, 0.23)]
        super().__init__(0.84, 0.48, [body, *wheels], **options)
