"""What a quantity may be, where several topics use it: keywords of the checks in `_check`.

The limits are generous. Beyond them a unit has slipped, and far below them results are rounding.
"""

from typing import Any, TypeAlias

Limits: TypeAlias = dict[str, Any]

NOMINAL_HZ: Limits = {"unit": "Hz", "ge": 1, "le": 1000}
DEVIATION_HZ: Limits = {"unit": "Hz", "ge": 0, "le": 1000}  # its size

TIME_S: Limits = {"unit": "s", "ge": 0, "le": 1e9}
PERIOD_S: Limits = {"unit": "s", "gt": 0, "ge": 1e-6, "le": 1e9}

POWER_MW: Limits = {"unit": "MW", "ge": -1e9, "le": 1e9}  # with a sign
SIZE_MW: Limits = {"unit": "MW", "ge": 0, "le": 1e9}
ABOVE_0_MW: Limits = {"unit": "MW", "gt": 0, "ge": 1e-6, "le": 1e9}
STORE_MWH: Limits = {"unit": "MWh", "ge": 0, "finite": False}

POWER_KW: Limits = {"unit": "kW", "ge": -1e9, "le": 1e9}  # with a sign
REACTIVE_KVAR: Limits = {"unit": "kvar", "ge": -1e9, "le": 1e9}
SIZE_KW: Limits = {"unit": "kW", "ge": 0, "le": 1e9}
ABOVE_0_KW: Limits = {"unit": "kW", "gt": 0, "ge": 1e-6, "le": 1e9}
CAPACITY_KWH: Limits = {"unit": "kWh", "gt": 0, "ge": 1e-6, "le": 1e12}

ETA: Limits = {"gt": 0, "ge": 1e-6}  # of `fraction`
