"""Make each exercise from its solution, with everything that its checks need.

`exercises/NN_topic.ipynb` and `v2gbook/classroom/data/checks/NN_topic.json` come from
`solutions/NN_topic.ipynb`, which is the single source. Its cells tagged `key` say what is right;
they do not reach the exercise. Between ### BEGIN SOLUTION and ### END SOLUTION stands what the
student is to write. Markdown cells tagged `solution` are written answers.
"""

import copy
import inspect
import itertools
import json
import math
import re
import sys
from hashlib import blake2b
from pathlib import Path

import nbformat
import numpy as np

ROOT = Path(__file__).resolve().parents[1]
sys.path.insert(0, str(ROOT / "tools"))

from tidy_notebooks import execute, read, tidy, write

from v2gbook.classroom import _answers, _progress, presets, workbook

TITLE = re.compile(r"^# Solution (\d+ · \S.*)$", re.MULTILINE)
BLOCK = re.compile(
    r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[ \t]*\n?", re.DOTALL | re.MULTILINE
)
DOTS = re.compile(r"(= \.\.\.\n)\n*\.\.\.\n")  # `answer = ...`, and once more for its block


class _Collector(workbook.Workbook):
    """A workbook that only takes down keys while a solution's key cells run."""

    def __init__(self, topic, student="", preset=None):
        self.region, self.keys = presets.load(preset or "na-60hz"), {}


def keys_of(solution, preset):
    """Keys of a solution notebook, from its cells tagged `imports` and `key`, as {question.

    Key}.
    """
    book = _Collector("", preset=preset)
    names = {"book": book, "region": book.region}
    for cell in solution.cells:
        if cell.cell_type == "code" and {"imports", "key"} & set(cell.metadata.get("tags", [])):
            try:
                exec(compile(cell.source, f"<{preset} {cell.id}>", "exec"), names)
            except Exception as error:
                raise SystemExit(
                    f"cell {cell.id} stopped with {type(error).__name__}: {error}; "
                    "nothing was written"
                ) from None
    return book.keys


_everywhere = {}  # numbers that are the same in every region, by the name of their variant


class Unfit(Exception):
    """Numbers of which a check could not be made; others are drawn."""


def draw(topic, question, key, variant, region, attempt=0):
    """The numbers of one variant: the same on every machine, whatever the course is called."""
    if not key.draw:
        return {}
    name = f"{topic}|{question}|{variant}" + (f"|{attempt}" if attempt else "")
    seed = int.from_bytes(blake2b(name.encode(), digest_size=8).digest(), "big")
    rng = np.random.default_rng(seed if variant or attempt else 0)
    if len(inspect.signature(key.draw).parameters) > 1:
        return key.draw(rng, region)
    if name not in _everywhere:
        _everywhere[name] = key.draw(rng)
    return copy.deepcopy(_everywhere[name])


def title_of(solution):
    """What the sheet is called: "1 · Frequency", from the title "# Solution 1 · Frequency"."""
    text = "\n".join(cell.source for cell in solution.cells if cell.cell_type == "markdown")
    match = TITLE.search(text)
    if not match:
        raise SystemExit(
            "the solution has no title like '# Solution 1 · Frequency', with the "
            "chapter's own words; nothing was written"
        )
    return match[1]


def score_of(solution):
    """The text of all cells tagged `score`, and of the imports that they need."""
    return "\n\n\n".join(
        cell.source
        for cell in solution.cells
        if cell.cell_type == "code" and {"imports", "score"} & set(cell.metadata.get("tags", []))
    )


def checks_of(topic, solution):
    """Everything that the student's check of each question needs, as plain values."""
    checks = {}
    for preset in presets.names():
        keys = keys_of(solution, preset)
        for question, key in keys.items():
            if question not in checks:
                checks[question] = _entry(topic, question, key, solution)
        for owner, key in keys.items():
            if not key.shares and (key.draw or key.kind == "value"):
                _add_variants(checks, topic, owner, keys, presets.load(preset))
    return checks


def _entry(topic, question, key, solution):
    """What is the same for every student and preset."""
    entry = {
        "kind": key.kind,
        "marks": key.marks,
        "unit": key.unit,
        "tol": key.tol,
        "numbers": key.shares or question,
        "hints": list(key.slips),
        "probes": key.probes,
        "rises_with": list(key.rises_with),
        "given": {},
        "answers": {},
        "score": score_of(solution) if key.kind == "design" else "",
        "hides": list(key.hides),
    }
    if key.kind != "function":
        return entry
    right, wrong = _probe_all(key)
    try:
        _distinct(question, right, wrong, key)
    except Unfit as trouble:
        raise SystemExit(str(trouble)) from None
    return entry | _digests(f"{topic}|{question}", right, wrong, key.tol)


def _add_variants(checks, topic, owner, keys, region):
    """The numbers of each variant under one preset, and the answers that go with them."""
    for variant in range(workbook.VARIANTS + 1):
        given, answers = fit(topic, owner, keys, variant, region)
        if keys[owner].draw:
            open_numbers = {name: value for name, value in given.items() if name[0] != "_"}
            checks[owner]["given"].setdefault(region.key, []).append(open_numbers)
        for question, answer in answers.items():
            checks[question]["answers"].setdefault(region.key, []).append(answer)


def fit(topic, owner, keys, variant, region, attempts=12):
    """The first numbers with which every question that uses them can be checked.

    They come with the digests of the answers of these questions.
    """
    key = keys[owner]
    sharing = {
        question: one
        for question, one in keys.items()
        if (one.shares or question) == owner and one.kind == "value"
    }
    for attempt in range(attempts if key.draw else 1):
        given = draw(topic, owner, key, variant, region, attempt)
        try:
            return given, {
                question: _value_digests(topic, question, region.key, variant, given, one)
                for question, one in sharing.items()
            }
        except Unfit as trouble:
            last = trouble
    raise SystemExit(f"{last}; {attempts} draws were tried")


def _value_digests(topic, question, preset, variant, given, key):
    label = f"{topic}|{question}|{preset}|{variant}"
    right = _answers.summary(key.reference(given))
    if not all(math.isfinite(value) and abs(value) > 1e-9 for value in right):
        raise Unfit(
            f"{label}: the right answer {right} holds a zero or is not finite; draw other numbers"
        )
    slips = (_answers.summary(slip(given)) for slip in key.slips.values())
    wrong = _distinct(label, right, slips, key)
    return _digests(label, right, wrong, key.tol)


def _digests(label, right, wrong, tol):
    """The right answer and the typical wrong ones as they are stored."""
    if len(right) > _answers.MOST:
        raise SystemExit(
            f"{label}: an answer of {len(right)} numbers is too long to check; "
            f"ask for at most {_answers.MOST}"
        )
    return {
        "right": _answers.digests(label, right, tol),
        "wrong": [_answers.digests(label, values, tol) for values in wrong],
    }


def _probe_all(key):
    right, trouble = workbook._probe(key.reference, key.probes)
    if trouble:
        raise SystemExit(f"the reference fails: {trouble}")
    wrong = [workbook._probe(slip, key.probes)[0] for slip in key.slips.values()]
    return list(itertools.chain(*right)), [list(itertools.chain(*values)) for values in wrong]


def _distinct(label, right, wrong, key):
    """The typical wrong answers, none of which is taken for the right one or for another.

    A check compares with the right answer first, then with the slips in their order. `wrong` may be
    computed as it is read: what follows the first two that look alike is not.
    """
    answers = {"the right answer": right}
    for slip, values in zip(key.slips, wrong):
        for name, before in answers.items():
            if _answers.alike(values, before, key.tol):
                raise Unfit(
                    f"{label}: {name!r} and {slip!r} cannot be told apart "
                    f"({before}); draw other numbers"
                )
        answers[slip] = values
    return list(answers.values())[1:]


def exercise_of(topic, solution):
    """The student's notebook: solution blocks replaced by `...`, key cells gone, outputs empty."""
    exercise = nbformat.from_dict(json.loads(json.dumps(solution)))
    kept = [cell for cell in exercise.cells if "key" not in cell.metadata.get("tags", [])]
    for cell in kept:
        if cell.cell_type == "code":
            emptied = BLOCK.sub(lambda match: f"{match[1]}...\n", cell.source)
            cell.source = DOTS.sub(r"\1", emptied).rstrip("\n")
            cell.outputs, cell.execution_count = [], None
        elif "solution" in cell.metadata.get("tags", []):
            cell.source = "*Your words here.*"
        cell.source = TITLE.sub(r"# Exercise \1", cell.source, count=1)
    exercise.cells = kept
    _refuse_leaks(topic, solution, exercise)
    return exercise


def _refuse_leaks(topic, solution, exercise):
    """Stop if a line that stands only inside solutions survives in the exercise."""

    def lines(text):
        return {re.sub(r"\s+", "", line) for line in text.splitlines()}

    secret, public = set(), set()
    for cell in solution.cells:
        tags = set(cell.metadata.get("tags", []))
        if tags & {"key", "solution"}:
            secret |= lines(cell.source)
        elif cell.cell_type == "code":
            secret |= lines("\n".join(match[0] for match in BLOCK.finditer(cell.source)))
            public |= lines(BLOCK.sub("", cell.source))
        else:
            public |= lines(cell.source)
    secret = {line for line in secret - public if len(line) >= 12 and not line.startswith("###")}
    leaked = secret & set().union(*(lines(cell.source) for cell in exercise.cells))
    if leaked:
        raise SystemExit(f"{topic}: solution lines survive in the exercise: {sorted(leaked)}")


def generate(path):
    """Both files of one topic, as {path: text}; the exercise is not executed yet."""
    solution = read(path)
    _everywhere.clear()
    sheet = {"title": title_of(solution), "questions": checks_of(path.stem, solution)}
    checks = json.dumps(sheet, separators=(",", ":"), ensure_ascii=False)
    checks = checks.replace('{"kind"', '\n{"kind"')  # a line for each question
    return {
        ROOT / "v2gbook/classroom/data/checks" / f"{path.stem}.json": checks + "\n",
        ROOT / "exercises" / path.name: exercise_of(path.stem, solution),
    }


def main(names=()):
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        if names and not any(name in path.stem for name in names):
            continue
        (checks, text), (target, exercise) = generate(path).items()
        _progress.replace(checks, text)
        write(target, tidy(execute(exercise, target)))
        print(f"{path.stem}: {target.relative_to(ROOT)} and {checks.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
