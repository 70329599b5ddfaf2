"""Which cells of a notebook its explorer needs: the others need not run to try it."""

import ast
import builtins

SCOPES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)


def parsed(source):
    """The syntax tree of a cell, which may await something outside of a function."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(source, "cell", "exec", flags)


def until_explorer(cells):
    """The code cells that the first explorer needs, itself included.

    Those that made a name which a later one of them uses.
    """
    code = [cell for cell in cells if cell.cell_type == "code"]
    first = next(place for place, cell in enumerate(code) if cell.source.startswith("explore("))
    needed = set()
    kept = []
    for cell in code[first::-1]:
        made, used = names_of(parsed(cell.source))
        if made & needed or cell is code[first]:
            kept.insert(0, cell)
            needed = (needed - made) | used
    return kept


def names_of(tree):
    """Names that a piece of code makes, and names of others that it uses.

    What is local to a function is neither.
    """
    made = set()
    used = set()
    for node in ast.iter_child_nodes(tree):
        inner_made, inner_used = names_of(node)
        if isinstance(node, SCOPES):
            used |= inner_used - inner_made
            made |= {node.name} if hasattr(node, "name") else set()
        else:
            made |= inner_made
            used |= inner_used
    if isinstance(tree, ast.Name):
        (used if isinstance(tree.ctx, ast.Load) else made).add(tree.id)
    elif isinstance(tree, ast.arg):
        made.add(tree.arg)
    elif isinstance(tree, ast.alias):
        made.add(tree.asname or tree.name.split(".")[0])
    return made, used - set(dir(builtins))
