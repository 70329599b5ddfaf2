"""What makes the notebooks interactive and gradable; knows nothing about V2G physics."""

from . import presets
from .explore import choice, explore, live, progress, slider
from .figures import COLOURS, LIMIT, MEASURED, figure, money, say, show
from .quiz import inventory, quiz
from .workbook import Workbook

__all__ = ["COLOURS", "LIMIT", "MEASURED", "Workbook", "choice", "explore", "figure", "inventory", "live", "money", "presets", "progress", "quiz", "say", "show",
           "slider"]
