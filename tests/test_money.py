"""A dollar sign always means mathematics; amounts carry a code, and one function writes them.

All texts that a reader can see are read as JupyterLab and as nbconvert read them: Markdown cells
and the strings of code cells, stored outputs with the words of their figures, pages, and data.
"""

import ast
import html
import json
import re
import tomllib
from html.parser import HTMLParser
from pathlib import Path

import nbformat
import numpy as np
import pytest
import shelf
from nbconvert.filters.markdown import markdown2html

from v2gbook.classroom import presets
from v2gbook.classroom.words import money

ROOT = Path(__file__).resolve().parents[1]
FOLDERS = ("chapters", "solutions", "exercises")
NOTEBOOKS = sorted(path for folder in FOLDERS for path in (ROOT / folder).glob("*.ipynb"))
PAGES = sorted(
    page
    for folder in (".", "docs", "v2gbook/data")
    for page in (ROOT / folder).glob("*.md")
    if page.name != "MY_PROGRESS.md"
)
TABLES = sorted((ROOT / "v2gbook").rglob("*.toml"))
TOPICS = sorted((ROOT / "v2gbook").glob("*.py"))
CODES = "|".join(sorted({presets.load(key).currency for key in presets.names()}))


def names(paths):
    return [str(path.relative_to(ROOT)) for path in paths]


# ------------------------------------------------------------------ how programs find mathematics

HIDDEN = "\N{REPLACEMENT CHARACTER}"  # stands for a dollar sign in code
LAB_FENCE = re.compile(r"^(?P<fence>`{3,}|~{3,})[^`\n]*\n[\s\S]*?^(?P=fence)`*$", re.MULTILINE)
LAB_SPAN = re.compile(r"(?:^|[^\\])(?P<ticks>`+)[^\n]*?[^`\n](?P=ticks)(?!`)", re.MULTILINE)
LAB_TOKEN = re.compile(
    r"(\$\$?|\\(?:begin|end)\{[a-z]*\*?\}|\\[{}$]|[{}]|(?:\n\s*)+|@@\d+@@|\\\\[()[\]])", re.I
)
LAB_PAIRS = {"$": "$", "$$": "$$", r"\\(": r"\\)", r"\\[": r"\\]"}
DOM_MATH = re.compile(
    r"\\[\\$]|(?P<math>\$\$.+?\$\$|\$[^$]+\$|\\\(.+?\\\)|\\\[.+?\\\]"
    r"|\\begin\{(?P<env>[^}]*)\}.+?\\end\{(?P=env)\})",
    re.DOTALL,
)


def without_code(text):
    """Hide the dollar signs of code blocks and code spans; no program reads them as mathematics."""
    for code in (LAB_FENCE, LAB_SPAN):
        text = code.sub(lambda found: found[0].replace("$", HIDDEN), text)
    return text


def in_lab(text):
    """Mathematics that JupyterLab takes out of Markdown before it sets it, and what is left.

    This follows `removeMath` of @jupyterlab/rendermime step by step: a delimiter closes at the
    same depth of braces, a blank line ends the search, and an escaped dollar sign is no delimiter.
    MathJax sees the escaped ones later, without their backslash, so they stay in what is left.
    """
    pieces = LAB_TOKEN.split(without_code(text))
    found = []
    start = None
    last = None
    close = None
    depth = 0
    at = 1

    def take(end):
        found.append("".join(pieces[start : end + 1]))
        pieces[start : end + 1] = [""] * (end + 1 - start)

    while at < len(pieces):
        token = pieces[at]
        if start is None:
            close = LAB_PAIRS.get(token, token.replace("begin", "end"))
            start = at if token in LAB_PAIRS or token.startswith(r"\begin") else None
            depth = 0
        elif token == close and depth:
            last = at
        elif token == close:
            take(at)
            start = last = None
        elif re.search(r"\n.*\n", token):
            if last is not None:
                take(last)
                at = last
            start, last = None, None
        elif token in ("{", "}"):
            depth = max(0, depth + (1 if token == "{" else -1))
        at += 2
    if start is not None and last is not None:
        take(last)
    return found, "".join(pieces)


class Words(HTMLParser):
    """The pieces of text of a page that MathJax looks at: not in code, and never across a tag."""

    SKIPPED = frozenset({"code", "pre", "script", "style", "textarea"})

    def __init__(self, page):
        super().__init__()
        self.inside, self.pieces = [], []
        self.feed(page)
        self.close()

    def handle_starttag(self, tag, attrs):
        if tag in self.SKIPPED:
            self.inside.append(tag)

    def handle_endtag(self, tag):
        if tag in self.inside:
            self.inside.remove(tag)

    def handle_data(self, data):
        if not self.inside:
            self.pieces.append(data)


def in_page(page):
    """Mathematics that MathJax finds in a page of HTML, and the text that is left."""
    found, left = [], []
    for piece in Words(page).pieces:
        found += [match["math"] for match in DOM_MATH.finditer(piece) if match["math"]]
        left.append(DOM_MATH.sub(lambda match: "" if match["math"] else match[0], piece))
    return found, "\n".join(left)


# ------------------------------------------------------------------ what is wrong with a text

MEANT = re.compile(r"\\(?:text[a-z]*|math[a-z]+|mbox|operatorname|tag|begin|end)\*?\s*\{[^{}]*\}")
PROSE = re.compile(r"[^\W\d_]{3,}[\s,.;:!?*]+[^\W\d_]{3,}")
AMOUNT = re.compile(rf"\d[\s,.;:!?*]*\s(?:an?|[^\W\d_]{{2,}})\b|\b(?:{CODES})\b")
TORN = re.compile(r"^\$\s|\s\$$|\*\*|(?<![\^_{])[-+/(,=]\$$")
MISPLACED = re.compile(rf"[€£]|\d\s?(?:{CODES})\b|-(?:{CODES})\b")


PROGRAMS = {
    "markdown": {"JupyterLab": in_lab, "nbconvert": lambda text: in_page(markdown2html(text))},
    "plain": {"JupyterLab": in_lab},
    "html": {"MathJax": in_page},
}


def suspicious(formula):
    """Whether a formula holds words in a row or a number with a word, or is a torn phrase."""
    bare = re.sub(r"\\[A-Za-z]+", "|", MEANT.sub("|", formula))
    return any(pattern.search(bare) for pattern in (PROSE, AMOUNT, TORN))


def faults(text, kind="markdown"):
    """What is wrong with a text of a kind (a key of PROGRAMS), as a list of sentences."""
    wrong = [
        f"a currency is not a code before the number: {around(text, match)}"
        for match in MISPLACED.finditer(text)
    ]
    for program, read in PROGRAMS[kind].items():
        formulas, left = read(text)
        wrong += [
            f"{program} would set prose or money as mathematics: {formula!r}"
            for formula in formulas
            if suspicious(formula)
        ]
        wrong += [
            f"{program} leaves a dollar sign over: {around(left, match)}"
            for match in re.finditer(r"\$", left)
        ]
    return wrong


def around(text, match):
    return repr(text[max(0, match.start() - 30) : match.end() + 30])


# ------------------------------------------------------------------ all texts


SPOKEN = {"text", "name", "title", "ticktext", "hovertext", "hovertemplate", "label", "alt"}


def words_of(figure):
    """Titles, names, annotations and all other words in the JSON of a figure."""
    if isinstance(figure, list):
        return [text for part in figure for text in words_of(part)]
    if not isinstance(figure, dict):
        return []
    texts = []
    for key, value in figure.items():
        if key in SPOKEN:
            parts = value if isinstance(value, list) else [value]
            texts += [part for part in parts if isinstance(part, str)]
        texts += words_of(value)
    return texts


def shown(output):
    """The texts of a stored output, each with its kind."""
    if "text" in output:
        yield output.text, "plain"
    for mime, value in output.get("data", {}).items():
        if mime in ("text/html", "image/svg+xml"):
            yield value, "html"
        elif mime.startswith("text/"):
            yield value, "markdown" if mime == "text/markdown" else "plain"
        elif mime.endswith("json"):
            yield from ((text, "plain") for text in words_of(value))


def strings(source):
    """The strings of a program; a number stands for what an f-string computes."""
    tree = ast.parse(re.sub(r"^[%!].*$", "", source, flags=re.MULTILINE))
    nodes = list(ast.walk(tree))
    formatted = [node.values for node in nodes if isinstance(node, ast.JoinedStr)]
    for parts in formatted:
        yield "".join(part.value if isinstance(part, ast.Constant) else "1" for part in parts)
    inside = {id(part) for parts in formatted for part in parts}
    plain = [node for node in nodes if isinstance(node, ast.Constant) and id(node) not in inside]
    yield from (node.value for node in plain if isinstance(node.value, str))


def leaves(value):
    """All strings in a table."""
    if isinstance(value, str):
        return [value]
    if isinstance(value, dict):
        value = list(value.values())
    return [text for part in value for text in leaves(part)] if isinstance(value, list) else []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_source_of_a_notebook(path):
    for cell in shelf.notebook(path).cells:
        texts = strings(cell.source) if cell.cell_type == "code" else [cell.source]
        kind = "plain" if cell.cell_type == "code" else "markdown"
        assert [fault for text in texts for fault in faults(text, kind)] == [], f"cell {cell.id}"


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_stored_outputs_of_a_notebook(path):
    for cell in shelf.notebook(path).cells:
        for output in cell.get("outputs", []):
            found = [fault for text, kind in shown(output) for fault in faults(text, kind)]
            assert found == [], f"cell {cell.id}"


@pytest.mark.parametrize("path", PAGES, ids=names(PAGES))
def test_page(path):
    assert faults(path.read_text(encoding="utf-8")) == []


@pytest.mark.parametrize("path", TABLES, ids=names(TABLES))
def test_words_in_data(path):
    texts = leaves(tomllib.loads(path.read_text(encoding="utf-8")))
    assert [fault for text in texts for fault in faults(text)] == []


@pytest.mark.parametrize("path", TOPICS, ids=names(TOPICS))
def test_words_in_a_module(path):
    texts = strings(path.read_text(encoding="utf-8"))
    assert [fault for text in texts for fault in faults(text, "plain")] == []


@pytest.mark.parametrize("path", NOTEBOOKS, ids=names(NOTEBOOKS))
def test_amounts_of_a_notebook_are_made_by_one_function(path):
    for cell in shelf.notebook(path).cells:
        if cell.cell_type == "code":
            by_hand = re.search(rf"(?:\b(?:{CODES})|currency\}}) ?\{{", cell.source)
            assert by_hand is None, f"cell {cell.id}: {by_hand[0]!r} is the work of money()"


# ------------------------------------------------------------------ canaries


@pytest.mark.parametrize(
    "text",
    [
        r"\$2.22 a day or \$120 a month",
        r"**\$2.22 a day or \$120 a month?**",
        "costs $5 and then $6",
        "costs $5, not $6",
        "$2.22 a day or $120 a month",
        "it earns $5 a day",
        "a charger for 3,000 $",
        "0.04 $/kW h, and 11.98 $/kW for a peak",
        "| **$2.22** | -$3.43 |",
        "between $5-$6 and $5/$6",
        "US$5 and US$6",
        "$E = 5$ and it costs $5",
        "$USD 5$",
        "$the whole sentence$",
        r"$$\text{money} = 5\ \text{a day, and } so many words$$",
        "`$5` is code and $5 is not",
        "costs 5 € a day",
        "costs £5",
        "costs 5 USD",
        "loses -USD 5",
        "$x = 3\n\nand no more",
    ],
)
def test_canary_is_caught(text):
    assert faults(text) != []


@pytest.mark.parametrize(
    "text",
    [
        "costs USD 2.22 a day or USD 120 a month, USD 0.12 per kWh, in USD/kWh or [USD a year]",
        "USD -3.43 and EUR 1,250",
        r"$\Delta f = -\frac{f_0\,\Delta P}{D\,P_L}$ and $H = 5$ s, with $0 < g < 1$",
        r"$g^-$, $(1 - e^{-x})$ and $-1$",
        "$$P_{loss} = a + b\\,|p| \\tag{4.1}$$",
        r"$p = p_0\ \text{below the deadband},\qquad p = 0\ \text{above}$",
        r"$ACE = (E - E_0) + B\,\Delta f$ is the **area control error**",
        "$$\\begin{aligned}x &= 3\\,y,\\\\ y &= 4\\end{aligned}$$",
        r"$E_{min}$, $\max|c'|$, $\operatorname{Bin}(N_t, p)$, $10\,\mathrm{MW\ per\ hertz}$",
        "| $f,\\ f_0$ | `f_hz` | Hz |\n|---|---|---|\n| $\\pi$ | `x` | $1/s$ |",
        "`$5 and $6` is code, ``a ` $`` too",
        "```\ncosts $5 and then $6\n```\n",
        "two US dollars and five euros",
    ],
)
def test_canary_passes(text):
    assert faults(text) == []


def test_canary_of_every_place():
    """A planted amount is found in each kind of output, in a figure and in a cell's strings."""
    bad = "costs $5 and then $6"
    figure = {
        "data": [{"type": "bar", "name": bad}],
        "layout": {"xaxis": {"title": {"text": bad}}, "annotations": [{"text": bad}]},
    }
    data = {
        "text/markdown": bad,
        "text/plain": bad,
        "text/html": f"<p>{html.escape(bad)}</p>",
        "application/vnd.plotly.v1+json": json.loads(json.dumps(figure)),
    }
    output = nbformat.v4.new_output("display_data", data=data)
    assert [bool(faults(*text)) for text in shown(output)] == [True] * 6
    stream = nbformat.v4.new_output("stream", text=bad)
    assert [bool(faults(*text)) for text in shown(stream)] == [True]
    for source in ('f"costs ${x} and then ${y}"', 'say("costs $5")', '''f"{say('$5')}"'''):
        assert any(faults(text, "plain") for text in strings(source)), source
    assert not any(faults(text, "plain") for text in strings('f"{x:.2f} is $x$" + "fine"'))


def test_a_page_is_read_piece_by_piece():
    """MathJax does not look across a tag and skips code."""
    page = "<p>a $x$ <b>$5</b> and $6 <code>$7</code></p>"
    assert in_page(page) == (["$x$"], "a  \n$5\n and $6 ")


# ------------------------------------------------------------------ the function itself


@pytest.mark.parametrize(
    "amount, digits, text",
    [
        (2.22, 2, "USD 2.22"),
        (2.2249, 2, "USD 2.22"),
        (2.2251, 2, "USD 2.23"),
        (0.1484, 3, "USD 0.148"),
        (1250, 0, "USD 1,250"),
        (999.999, 2, "USD 1,000.00"),
        (1234567.891, 2, "USD 1,234,567.89"),
        (-3.43, 2, "USD -3.43"),
        (-1250.4, 0, "USD -1,250"),
        (0, 2, "USD 0.00"),
        (-0.0, 2, "USD 0.00"),
        (-0.001, 2, "USD 0.00"),
        (-0.4, 0, "USD 0"),
        (-0.006, 2, "USD -0.01"),
        (np.float64(2.5), 1, "USD 2.5"),
        (np.float32(0.5), 2, "USD 0.50"),
        (np.int64(7), 2, "USD 7.00"),
    ],
)
def test_money(amount, digits, text):
    assert money(amount, "USD", digits) == text


def test_money_carries_the_code_of_its_currency():
    assert (money(0.15, "GBP"), money(1250, "EUR", 0)) == ("GBP 0.15", "EUR 1,250")
    assert {money(1, presets.load(key).currency) for key in presets.names()} == {
        "EUR 1.00",
        "GBP 1.00",
        "USD 1.00",
    }


@pytest.mark.parametrize(
    "arguments, message",
    [
        ((float("nan"), "USD"), "amount = nan"),
        ((float("inf"), "USD"), "amount = inf"),
        (("5", "USD"), "amount = '5'"),
        ((None, "USD"), "amount = None"),
        (([1.0], "USD"), r"amount = \[1.0\]"),
        ((5, "$"), r"currency = '\$'"),
        ((5, "usd"), "currency = 'usd'"),
        ((5, None), "currency = None"),
        ((5, "USD", -1), "digits = -1"),
        ((5, "USD", 1.5), "digits = 1.5"),
    ],
)
def test_bad_input_is_told_in_words(arguments, message):
    with pytest.raises(ValueError, match=message):
        money(*arguments)
