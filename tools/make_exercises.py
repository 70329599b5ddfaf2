"""Generate exercises/NN_topic.ipynb and v2gbook/data/checks/NN_topic.json from solutions/NN_topic.ipynb.

The solution is the single source. Its cells tagged `key` say what is right; they do not reach the exercise. Between
### BEGIN SOLUTION and ### END SOLUTION stands what the student is to write; Markdown cells tagged `solution` are written answers.
"""

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

from tidy_notebooks import execute, read, tidy, write  # noqa: E402
from v2gbook.classroom import presets, workbook  # noqa: E402

BLOCK = re.compile(r"^([ \t]*)### BEGIN SOLUTION\n.*?^[ \t]*### END SOLUTION[ \t]*\n?", re.DOTALL | re.MULTILINE)


class _Collector(workbook.Workbook):
    """A workbook that only takes down keys while the generator runs a solution's key cells."""

    def __init__(self, topic, student="", preset=None):
        self.region, self.keys = presets.load(preset or "na-60hz"), {}


def keys_of(solution, preset):
    """Keys of a solution notebook, from its cells tagged `imports` and `key`, as {question: Key}."""
    book = _Collector("", preset=preset)
    names = {"book": book, "region": book.region}
    for cell in solution.cells:
        if cell.cell_type == "code" and {"imports", "key"} & set(cell.metadata.get("tags", [])):
            try:
                exec(compile(cell.source, f"<{preset} {cell.id}>", "exec"), names)
            except Exception as error:
                raise SystemExit(f"cell {cell.id} stopped with {type(error).__name__}: {error}; nothing was written") from None
    return book.keys


class Unfit(Exception):
    """Numbers of which a check could not be made; others are drawn."""


def draw(topic, question, key, variant, region, attempt=0):
    """The numbers of one variant: the same on every machine, whatever the course is called."""
    seed = blake2b(f"{topic}|{question}|{variant}{f'|{attempt}' if attempt else ''}".encode(), digest_size=8).digest()
    return key.draw(np.random.default_rng(int.from_bytes(seed, "big") if variant or attempt else 0), region) if key.draw else {}


def checks_of(topic, solution):
    """Everything the student's check needs, as plain values."""
    checks = {}
    for preset in presets.names():
        region = presets.load(preset)
        keys = keys_of(solution, preset)
        for question, key in keys.items():
            entry = checks.setdefault(question, {
                "kind": key.kind, "marks": key.marks, "unit": key.unit, "tol": key.tol, "numbers": key.shares or question, "hints": list(key.slips),
                "probes": key.probes, "rises_with": list(key.rises_with), "given": {}, "answers": {},
            })
            if key.kind == "function":
                label = f"{topic}|{question}"
                right, wrong = _probe_all(key)
                try:
                    _distinct(question, right, wrong, key)
                except Unfit as trouble:
                    raise SystemExit(str(trouble)) from None
                entry |= {"right": workbook.digests(label, right, key.tol), "wrong": [workbook.digests(label, w, key.tol) for w in wrong]}
        for owner, key in keys.items():
            if not key.shares and (key.draw or key.kind == "value"):
                for variant in range(workbook.VARIANTS + 1):
                    given, answers = fit(topic, owner, keys, variant, region)
                    if key.draw:
                        checks[owner]["given"].setdefault(preset, []).append({k: v for k, v in given.items() if not k.startswith("_")})
                    for question, answer in answers.items():
                        checks[question]["answers"].setdefault(preset, []).append(answer)
    return checks


def fit(topic, owner, keys, variant, region, attempts=12):
    """The first numbers with which every question that uses them can be checked, and the digests of its answers."""
    key, sharing = keys[owner], {question: k for question, k in keys.items() if (k.shares or question) == owner}
    for attempt in range(attempts if key.draw else 1):
        given = draw(topic, owner, key, variant, region, attempt)
        try:
            return given, {question: _value_digests(topic, question, region.key, variant, given, k)
                           for question, k in sharing.items() if k.kind == "value"}
        except Unfit as trouble:
            last = trouble
    raise SystemExit(f"{last}; {attempts} draws were tried")


def _value_digests(topic, question, preset, variant, given, key):
    label = f"{topic}|{question}|{preset}|{variant}"
    right = workbook.summary(key.reference(given))
    wrong = [workbook.summary(slip(given)) for slip in key.slips.values()]
    if not all(math.isfinite(value) and abs(value) > 1e-9 for value in right):
        raise Unfit(f"{label}: the right answer {right} is degenerate; draw other numbers")
    _distinct(label, right, wrong, key)
    return {"right": workbook.digests(label, right, key.tol), "wrong": [workbook.digests(label, w, key.tol) for w in wrong]}


def _probe_all(key):
    right, trouble = workbook._probe(key.reference, key.probes)
    if trouble:
        raise SystemExit(f"the reference fails: {trouble}")
    return right, [workbook._probe(slip, key.probes)[0] for slip in key.slips.values()]


def _distinct(label, right, wrong, key):
    """A slip must not be taken for the answer, nor for another slip."""
    answers = {"the right answer": right, **dict(zip(key.slips, wrong))}
    names = list(answers)
    for i, one in enumerate(names):
        for other in names[i + 1:]:
            if workbook.matches("x", answers[one], workbook.digests("x", answers[other], key.tol), key.tol):
                raise Unfit(f"{label}: {one!r} and {other!r} cannot be told apart ({answers[one]}); draw other numbers")


def exercise_of(topic, solution):
    """The student's notebook: solution blocks replaced by `...`, key cells gone, outputs empty."""
    exercise = nbformat.from_dict(json.loads(json.dumps(solution)))
    kept = [cell for cell in exercise.cells if "key" not in cell.metadata.get("tags", [])]
    for cell in kept:
        if cell.cell_type == "code":
            cell.source = re.sub(r"(= \.\.\.\n)\.\.\.\n", r"\1", BLOCK.sub(lambda match: f"{match[1]}...\n", cell.source)).rstrip("\n")
            cell.outputs, cell.execution_count = [], None
        elif "solution" in cell.metadata.get("tags", []):
            cell.source = "*Your words here.*"
        cell.source = cell.source.replace(f"# {topic} solution", f"# {topic} exercise")
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
    checks = json.dumps(checks_of(path.stem, solution), separators=(",", ":"), ensure_ascii=False).replace('{"kind"', '\n{"kind"')
    return {ROOT / "v2gbook/data/checks" / f"{path.stem}.json": checks + "\n",
            ROOT / "exercises" / path.name: exercise_of(path.stem, solution)}


def main(names=()):
    for path in sorted((ROOT / "solutions").glob("*.ipynb")):
        if names and not any(name in path.stem for name in names):
            continue
        (checks, text), (target, exercise) = generate(path).items()
        workbook._replace(checks, text)
        write(target, tidy(execute(exercise, ROOT / "exercises")))
        print(f"{path.stem}: {target.relative_to(ROOT)} and {checks.relative_to(ROOT)}")


if __name__ == "__main__":
    main(sys.argv[1:])
