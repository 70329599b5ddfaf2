"""Models for a course on Vehicle-to-Grid: one module a topic, `from v2gbook import frequency`.

Everywhere: p > 0 flows from the vehicle to the grid; a name carries its unit; `soc` is 0..1 (docs/NOTATION.md).
"""

__version__ = "0.1.0"
