"""Which cells of a notebook are needed for something: the others need not run to try it."""

import ast
import builtins
from functools import cache

SCOPES = (
    ast.FunctionDef,
    ast.AsyncFunctionDef,
    ast.Lambda,
    ast.ListComp,
    ast.SetComp,
    ast.DictComp,
    ast.GeneratorExp,
)
# Methods that change the object to which they belong.
CHANGING = {"add", "append", "clear", "extend", "insert", "pop", "remove", "setdefault", "sort"}
CHANGING |= {"update", "drop", "fill", "shuffle"}
BUILT_IN = frozenset(dir(builtins))


@cache
def parsed(source):
    """The syntax tree of a cell, which may await something outside of a function; leave it be."""
    flags = ast.PyCF_ONLY_AST | ast.PyCF_ALLOW_TOP_LEVEL_AWAIT
    return compile(source, "cell", "exec", flags)


def until_explorer(cells):
    """The code cells that the first explorer needs, itself included."""
    code = [cell for cell in cells if cell.cell_type == "code"]
    first = next(place for place, cell in enumerate(code) if cell.source.startswith("explore("))
    return with_needed(code[: first + 1], {code[first].id})


def with_needed(code, wanted):
    """The code cells whose ids are wanted, and those that they need.

    A cell is needed if it made or changed what a later one of them uses.
    """
    trees = [parsed(cell.source) for cell in code]
    random = generators(trees)
    needed = set()
    kept = []
    for cell, tree in zip(code[::-1], trees[::-1]):
        made, used = names_of(tree)
        if (made | changed(tree, random)) & needed or cell.id in wanted:
            kept.insert(0, cell)
            needed = (needed - made) | used
    return kept


def reached(code, names):
    """Ids of the code cells whose results some names can reach.

    They use one of these names, or what a cell before them made or changed with one of them.
    """
    trees = [parsed(cell.source) for cell in code]
    random = generators(trees)
    reach = set(names)
    behind = {}  # what each function reads when it is called
    found = set()
    for cell, tree in zip(code, trees):
        made, _ = names_of(tree)
        used = wanted_by(tree.body)
        used |= set().union(*(behind.get(name, set()) for name in used))
        for line in tree.body:
            if isinstance(line, ast.FunctionDef | ast.AsyncFunctionDef):
                free = _of_line(line)[1]
                behind[line.name] = free.union(*(behind.get(name, set()) for name in free))
        if used & reach:
            found.add(cell.id)
            reach |= made | changed(tree, random)
        else:
            reach -= made
    return found


@cache
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
    elif isinstance(tree, ast.AugAssign) and isinstance(tree.target, ast.Name):
        used.add(tree.target.id)
    elif isinstance(tree, ast.arg):
        made.add(tree.arg)
    elif isinstance(tree, ast.alias):
        made.add(tree.asname or tree.name.split(".")[0])
    return frozenset(made), frozenset(used) - BUILT_IN


def wanted_by(lines, made=()):
    """Names that some lines use before they have made them themselves."""
    made = set(made)
    wanted = set()
    for line in lines:
        here, used = _of_line(line)
        if isinstance(line, ast.For | ast.AsyncFor):
            inside = made | names_of(line.target)[0]
            wanted |= names_of(line.iter)[1] - made
            wanted |= wanted_by(line.body, inside) | wanted_by(line.orelse, inside)
        elif isinstance(line, ast.With | ast.AsyncWith):
            inside = made | set().union(*(names_of(item)[0] for item in line.items))
            wanted |= set().union(*(names_of(item)[1] for item in line.items)) - made
            wanted |= wanted_by(line.body, inside)
        else:
            wanted |= used - made
        if not isinstance(line, ast.If | ast.While | ast.Try | ast.For | ast.AsyncFor):
            made |= here  # what another branch would not make is not counted on
    return wanted


def _of_line(line):
    """Names that a line of code makes and uses; of a function its own name, and what it reads."""
    made, used = names_of(line)
    return ({line.name}, used - made) if isinstance(line, SCOPES) else (made, used)


def changed(tree, random):
    """Names whose value a piece of code may change without making them anew."""
    found = set()
    for node in ast.walk(tree):
        if isinstance(node, ast.Subscript | ast.Attribute) and isinstance(node.ctx, ast.Store):
            found.add(_root(node))
        elif isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute):
            found |= {_root(node.func)} if node.func.attr in CHANGING else set()
    return (found | (names_of(tree)[1] & random)) - {None}


def generators(trees):
    """Names of random generators, which change whenever they are used."""
    made = set()
    for tree in trees:
        for node in ast.walk(tree):
            if isinstance(node, ast.Assign) and "default_rng" in ast.dump(node.value):
                made |= names_of(node)[0]
    return made


def _root(node):
    """The name to which an attribute or an item belongs."""
    while isinstance(node, ast.Subscript | ast.Attribute | ast.Call):
        node = node.func if isinstance(node, ast.Call) else node.value
    return node.id if isinstance(node, ast.Name) else None
