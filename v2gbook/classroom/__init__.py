"""What makes the notebooks interactive and gradable; knows nothing about V2G physics."""

from . import presets
from ._explore import animate, choice, explore, live, progress, slider
from ._quiz import inventory, quiz
from .charts import tornado, waterfall
from .diagrams import diagram, sketch
from .figures import COLOURS, LIMIT, MEASURED, figure, show
from .words import money, say
from .workbook import Workbook

__all__ = [
    "COLOURS",
    "LIMIT",
    "MEASURED",
    "Workbook",
    "animate",
    "choice",
    "diagram",
    "explore",
    "figure",
    "inventory",
    "live",
    "money",
    "presets",
    "progress",
    "quiz",
    "say",
    "show",
    "sketch",
    "slider",
    "tornado",
    "waterfall",
]
