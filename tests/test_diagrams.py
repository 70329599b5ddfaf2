"""Drawings: what `diagram` stores, what it refuses, and how stored drawings look to a reader."""

import base64
import itertools
import re
import struct
import sys
from pathlib import Path
from xml.etree import ElementTree

import pytest
import schemdraw
import shelf
from schemdraw import dsp, elements, flow

from v2gbook.classroom import COLOURS, diagram, diagrams, sketch
from v2gbook.classroom.diagrams import GREY, INK, SVG, WIDTH, Car, House, Transformer, as_svg

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

import pictures

ALT = "A battery feeds a filter, which takes out the steps."
NAME = "{http://www.w3.org/2000/svg}"
FOLDERS = ("chapters", "solutions", "exercises")


def stored_drawings():
    """Every output with a drawing in the stored notebooks, by notebook and cell."""
    for path in sorted(path for name in FOLDERS for path in (ROOT / name).glob("*.ipynb")):
        for cell in shelf.notebook(path).cells:
            for output in cell.get("outputs", []):
                if SVG in output.get("data", {}):
                    yield f"{path.parent.name}-{path.stem}-{cell.id}", output


STORED = dict(stored_drawings())


def drawn(fill, alt=ALT, **style):
    """The SVG of a drawing that `fill` has filled, parsed."""
    with sketch(**style) as d:
        fill()
    return ElementTree.fromstring(as_svg(d, alt))


def circuit():
    """Something with words, indices, colours, dashes, arrows and a filled dot."""
    elements.Battery().up().label("$v_{dc}$")
    elements.Inductor2().right().color(COLOURS[1]).label("$L_f$ of the filter")
    elements.Capacitor().down().label("$x^{2}$ and $p^{a}$")
    elements.Arrow().linestyle("--").left().dot().label("remark", color=GREY)


def parts(svg, *tags):
    return [part for part in svg.iter() if part.tag in {NAME + tag for tag in tags}]


# ----------------------------------------------------------------------------------- what is stored


def test_the_drawing_says_in_words_what_it_shows():
    svg = drawn(circuit, alt="A circuit of 2.5 kW is shown. Its filter has two parts.")
    assert svg.get("role") == "img"
    assert [part.tag for part in svg[:3]] == [NAME + "title", NAME + "desc", NAME + "rect"]
    assert svg[0].text == "A circuit of 2.5 kW is shown."
    assert svg[1].text == "A circuit of 2.5 kW is shown. Its filter has two parts."


def test_it_lies_on_a_white_card_of_its_own_size():
    svg = drawn(circuit)
    x, y, width, height = map(float, svg.get("viewBox").split())
    card = [float(svg[2].get(name)) for name in ("x", "y", "width", "height")]
    assert svg[2].get("fill") == "white"
    assert card == pytest.approx([x + 0.5, y + 0.5, width - 1, height - 1])
    assert [int(svg.get(side)) for side in ("width", "height")] == [round(width), round(height)]


def test_the_same_drawing_gives_the_same_bytes():
    """Also after others, and nothing in it is an id that another drawing on the page could have."""

    def once():
        with sketch() as d:
            circuit()
        return as_svg(d, ALT)

    first = once()
    drawn(House)
    assert once() == first
    assert " id=" not in first


def test_places_have_two_decimals():
    svg = drawn(circuit)
    places = " ".join(part.get(name, "") for part in svg.iter() for name in diagrams._PLACES)
    assert re.findall(r"\d\.\d{3}|-0(?![.\d])|nan|e-", places) == []


def test_text_is_text_without_what_some_browsers_do_not_know():
    svg = drawn(circuit)
    assert svg.get("font-family").endswith("sans-serif")
    words = ["".join(text.itertext()) for text in parts(svg, "text")]
    assert sorted(words) == ["Lf of the filter", "remark", "vdc", "x² and pa"]
    written = ElementTree.tostring(svg, encoding="unicode")
    assert written.count("font-family") == 1
    assert not re.search("baseline|dasharray:-;|smaller", written)


def test_an_index_is_moved_and_the_rest_of_the_line_moved_back():
    with sketch() as d:
        elements.Label("$L_f$ and $x^a$ here")
    text = parts(ElementTree.fromstring(as_svg(d, ALT)), "text")[0]
    moved = [(part.text, float(part.get("dy"))) for part in text[0]]
    assert moved == [("f", 3.5), (" and x", -3.5), ("a", -4.9), (" here", 4.9)]


def test_labels_are_dark_whatever_the_colour_of_their_element():
    fills = {"".join(text.itertext()): text.get("fill") for text in parts(drawn(circuit), "text")}
    assert fills.pop("remark") == GREY
    assert set(fills.values()) == {INK}


def test_settings_of_schemdraw_stay_as_they_were():
    config = schemdraw.svgconfig
    before = config.text, config.useBatik
    drawn(circuit)
    with pytest.raises(ValueError), sketch() as d:
        elements.Line().at((0, 0)).color("no colour")
    with pytest.raises(AttributeError):
        as_svg(None, ALT)
    assert (config.text, config.useBatik) == before
    assert d.show is False


def test_diagram_shows_one_bundle_and_then_the_caption(monkeypatch):
    seen = []
    monkeypatch.setattr(diagrams, "display", lambda data, raw: seen.append((data, raw)))
    monkeypatch.setattr(diagrams, "captioned", lambda caption, alt: seen.append((caption, alt)))
    with sketch() as d:
        circuit()
    diagram(d, alt=ALT, caption="What to see.")
    assert seen == [({SVG: as_svg(d, ALT), "text/plain": ALT}, True), ("What to see.", ALT)]


# ---------------------------------------------------------------------------------- what is refused


@pytest.mark.parametrize("alt", ["", "A circuit.", "a circuit that has no full stop"])
def test_alt_is_a_whole_sentence(alt):
    with sketch() as d:
        circuit()
    with pytest.raises(ValueError, match="alt is .*; say in one whole sentence"):
        diagram(d, alt=alt)


def test_a_drawing_fits_on_the_page():
    assert int(drawn(lambda: elements.Line().right(20)).get("width")) <= WIDTH
    with pytest.raises(ValueError, match=r"drawing is 926 pixels wide; it must be at most 760"):
        drawn(lambda: elements.Line().right(25))


# ------------------------------------------------------------------------------- what can be drawn


def test_symbols_stand_on_their_place():
    with sketch():
        house, car = House().at((2, 1)), Car().at((4, 1))
        transformer = Transformer().at((5, 1)).to((8, 1))
        elements.Dot()
    assert (house.S, house.N) == ((2, 1), (2, 1.75))
    assert (car.W.x, car.E.x) == pytest.approx((3.58, 4.42))
    assert (transformer.start, transformer.end) == ((5, 1), (8, 1))


def block_diagram():
    total = dsp.Sum()
    elements.Arrow()
    box = flow.Box(w=2, h=1).label("1 / 2Hs")
    elements.Wire("n", k=-1, arrow="->").at(box.E).to(total.S)


def decisions():
    first = flow.RoundBox(w=3, h=1).at((0, 0)).label("car arrives")
    second = flow.Decision(w=3, h=2).at((5, 0)).label("full?")
    elements.Arrow().at(first.E).to(second.W)


def phasors():
    elements.Arrow().at((0, 0)).to((3, 1)).color(COLOURS[0]).label("V")
    elements.Line().linestyle("--").at((3, 1)).to((3, 0))


@pytest.mark.parametrize(
    "draw, words",
    [
        (block_diagram, ["1 / 2Hs"]),
        (decisions, ["car arrives", "full?"]),
        (phasors, ["V"]),
    ],
)
def test_the_other_kinds_of_drawing_work_too(draw, words):
    assert ["".join(text.itertext()) for text in parts(drawn(draw), "text")] == words


# ------------------------------------------------------------------------------ the stored drawings


def luminance(colour):
    """Relative luminance of "#rrggbb" (WCAG 2.2)."""
    shares = [int(colour[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in shares]
    return sum(weight * c for weight, c in zip((0.2126, 0.7152, 0.0722), linear))


def contrast(colour, ground):
    light, dark = sorted((luminance(colour), luminance(ground)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def colours(part, what):
    """The colours that a shape has as "stroke" or "fill"."""
    return re.findall(rf"(?<![\w-]){what}:(#\w{{6}})", part.get("style", ""))


def test_the_physics_chapters_have_drawings():
    topics = {name.split("-")[1] for name in STORED}
    physics = {"01_frequency", "02_agc", "03_voltage", "05_interconnection", "07_inverter"}
    assert physics <= topics


@pytest.mark.parametrize("name", STORED)
def test_stored_drawing_has_its_words(name):
    data = STORED[name].data
    assert data["text/plain"] == ElementTree.fromstring(data[SVG])[1].text


@pytest.mark.parametrize("name", [name for name in STORED if not name.startswith("exercises")])
def test_stored_drawing_has_its_picture(name):
    data, about = STORED[name].data, STORED[name].metadata["image/png"]
    svg = ElementTree.fromstring(data[SVG])
    shown = [int(svg.get(side)) for side in ("width", "height")]
    stored = struct.unpack(">II", base64.b64decode(data["image/png"])[16:24])
    assert about == {
        "figure": pictures.fingerprint(data[SVG]),
        "alt": svg[1].text,
        "width": shown[0],
    }
    assert stored == pytest.approx([2 * side for side in shown], abs=4)


@pytest.mark.parametrize("name", STORED)
def test_stored_drawing_can_be_read(name):
    svg = ElementTree.fromstring(STORED[name].data[SVG])
    texts = parts(svg, "text")
    assert min(float(text.get("font-size")) for text in texts) >= 12
    assert min(contrast(text.get("fill"), "#ffffff") for text in texts) >= 4.5
    lines = [colour for part in svg.iter() for colour in colours(part, "stroke")]
    assert min(contrast(colour, "#ffffff") for colour in lines) >= 3


# Boxes of what is written, and of the whole drawing, as the browser has drawn it.
BOXES = """svg => {
    const box = part => {
        const {left, top, right, bottom} = part.getBoundingClientRect();
        return [left, top, right, bottom];
    };
    const texts = [...svg.querySelectorAll('text')];
    return [box(svg), texts.map(part => [part.textContent, box(part)])];
}"""


@pytest.fixture(scope="module")
def page(chromium):
    """A page in a browser, with two pixels of the screen for each pixel of the page."""
    return chromium.new_page(device_scale_factor=2)


def overlap(a, b):
    """Pixels by which two boxes run into each other, in the direction in which it is less."""
    return min(min(a[side + 2], b[side + 2]) - max(a[side], b[side]) for side in (0, 1))


def within(box, card):
    return all(box[i] > card[i] and box[i + 2] < card[i + 2] for i in (0, 1))


@pytest.mark.parametrize("name", STORED)
def test_labels_stand_apart_and_on_the_card(name, page):
    """Line boxes are higher than letters, so that a few pixels of overlap do not meet the eye."""
    page.set_content(STORED[name].data[SVG])
    card, texts = page.locator("svg").evaluate(BOXES)
    pairs = itertools.combinations(texts, 2)
    assert [(a, b) for (a, box_a), (b, box_b) in pairs if overlap(box_a, box_b) > 3] == []
    assert [words for words, box in texts if not within(box, card)] == []


def test_a_drawing_is_a_picture_by_itself(page):
    """JupyterLab shows it as an image, so the file must be whole without the page around it."""
    with sketch() as d:
        circuit()
    svg = as_svg(d, ALT)
    source = "data:image/svg+xml;base64," + base64.b64encode(svg.encode()).decode()
    page.set_content(f"<img src='{source}'>")
    page.wait_for_function("document.querySelector('img').complete")
    width = page.locator("img").evaluate("image => image.naturalWidth")
    assert width == int(ElementTree.fromstring(svg).get("width"))


def test_its_png_is_twice_as_sharp(page):
    with sketch() as d:
        circuit()
    svg = as_svg(d, ALT)
    png = pictures.picture(page, page, svg)
    assert png.startswith(b"\x89PNG")
    drawing = ElementTree.fromstring(svg)
    sides = tuple(2 * int(drawing.get(side)) for side in ("width", "height"))
    assert struct.unpack(">II", png[16:24]) == sides
