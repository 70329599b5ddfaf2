"""Number the equations of a chapter in order of appearance, everywhere they are named.

`python tools/renumber_equations.py 07` rewrites the chapter, its solution, its quizzes, its module
and its tests, and says where else such a number stands in brackets, for you to look at. Then run
make_exercises.py and tidy_notebooks.py for this topic.
"""

import json
import re
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]


def order(chapter):
    """New number of each equation, by its old one."""
    cells = json.loads(chapter.read_text(encoding="utf-8"))["cells"]
    texts = ["".join(cell["source"]) for cell in cells]
    tags = [tag for text in texts for tag in re.findall(r"\\tag\{(\d+\.\d+)\}", text)]
    if len(set(tags)) < len(tags):
        raise SystemExit(f"{chapter.name} has the number of an equation twice")
    return {old: f"{old.split('.')[0]}.{place}" for place, old in enumerate(tags, 1)}


def renumbered(text, new):
    """A text with the new numbers, in tags and in brackets."""
    pattern = re.compile(r"(?P<open>(?<![\w\]])\(|tag\{)(?P<number>\d+\.\d+)(?P<close>\)|\})")
    return pattern.sub(
        lambda found: found["open"] + new.get(found["number"], found["number"]) + found["close"],
        text,
    )


def main(number):
    chapter = next((ROOT / "chapters").glob(f"{number}_*.ipynb"))
    topic = chapter.stem
    name = topic.split("_", 1)[1]
    new = order(chapter)
    rooms = [
        chapter,
        ROOT / "solutions" / chapter.name,
        ROOT / "v2gbook" / f"{name}.py",
        ROOT / "v2gbook" / "classroom" / "data" / "quizzes" / f"{topic}.toml",
        ROOT / "tests" / f"test_{name}.py",
    ]
    for path in rooms:
        text = path.read_text(encoding="utf-8")
        path.write_text(renumbered(text, new), encoding="utf-8")
    moved = "|".join(re.escape(old) for old, now in new.items() if old != now)
    if not moved:
        return
    others = [
        path
        for kind in (
            "chapters/*.ipynb",
            "solutions/*.ipynb",
            "v2gbook/*.py",
            "tests/*.py",
            "docs/*",
        )
        for path in ROOT.glob(kind)
        if path not in rooms and path.suffix in (".ipynb", ".py", ".md")
    ]
    for path in others:
        for line in path.read_text(encoding="utf-8").splitlines():
            if re.search(rf"\(({moved})\)", line):
                print(f"{path.relative_to(ROOT)}: {line.strip()[:160]}")


if __name__ == "__main__":
    main(sys.argv[1])
