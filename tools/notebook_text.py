"""A notebook as plain text, for `git diff`: its cells' sources, without outputs and counts."""

import json
import sys
from pathlib import Path


def text(notebook):
    """Each cell as a line with its kind, id and tags, then its source."""
    parts = []
    for cell in notebook["cells"]:
        tags = " ".join(cell.get("metadata", {}).get("tags", []))
        head = f"--- {cell['cell_type']} {cell.get('id', '')} {tags}".rstrip()
        parts.append(f"{head}\n{''.join(cell['source'])}\n")
    return "\n".join(parts)


if __name__ == "__main__":
    sys.stdout.reconfigure(encoding="utf-8")
    print(text(json.loads(Path(sys.argv[1]).read_text(encoding="utf-8"))))
