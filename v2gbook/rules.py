r"""Topic 13, rules: what may a fleet sell, to whom, and behind which meter?

Orders of regulators (`orders`) and the rules of markets (`markets`, `market`) are data; `eligible`
applies them to an `Aggregation`, and `cars_needed` tells how many cars its offer takes. Then comes
the meter: what a discharge is worth behind it and in front of it (`meter_value`, and for a car's
year `behind_year` and `market_year`), and what baselines make of it (`high_5_of_10`,
`regression_baseline`, `metering`). `double_counts` finds kilowatts that are sold twice. Last are
the queue for a connection (`Queue`, `simulate_queue`, `erlang_wait`, `pollaczek_wait`) and the
contract with a car's owner (`Contract`, `split_value`, `share_range`). What a project in front of
the meter is worth stands in `invest`.

p > 0 flows from the vehicle to the grid. A price says per what; money is in the currency of the
prices. `Product` comes from topic 11.
"""

import datetime
import heapq
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import ArrayLike
from scipy.special import gammaincc

from . import _presence
from ._check import (
    CONFIDENCE,
    DATES,
    Date,
    alike,
    calendar_day,
    checked,
    columns,
    instance,
    instances,
    keep,
    keep_single,
    names_in,
    number_columns,
    one,
    one_fraction,
    one_of,
    read,
    row,
    short,
    stamps,
    whole,
)
from .market import Product

# ----------------------------------------------------------------------------- who may sell what

_SERVICES = ("energy", "regulation", "reserve", "capacity")
_COUNTS = ("load_zones", "pricing_nodes", "suppliers", "aggregators_per_der")
_FLAGS = ("net_metered", "sub_metered", "small_utility", "opted_in")
_SIZES = ("power_kw", "largest_site_kw", "telemetry_s", *_COUNTS)


def _at_least(have, limit):
    return have >= limit


def _at_most(have, limit):
    return have <= limit


def _is(have, wanted):
    return have == wanted


def _excludes(have, unwanted):
    return not set(have) & set(unwanted)


_TESTS = {"at least": _at_least, "at most": _at_most, "is": _is, "excludes": _excludes}


@dataclass(frozen=True, kw_only=True)
class Aggregation:
    """Cars that want to be one seller, as the rules of markets see them.

    Attributes
    ----------
    power_kw : float
        Power that all cars offer together, above 0 [kW].
    sells : tuple of str
        Services that are sold, one or more of "energy", "regulation", "reserve" and "capacity".
    largest_site_kw : float
        Power offered by the largest site, above 0 and at most `power_kw` [kW].
    load_zones : int
        Number of load zones in which the cars are, at least 1.
    pricing_nodes : int
        Number of pricing nodes at which the cars are, at least 1.
    suppliers : int
        Number of suppliers from which the sites buy energy, at least 1.
    aggregators_per_der : int
        Largest number of aggregators that sell one and the same car, at least 1.
    telemetry_s : float
        Time between two measurements that the market receives, above 0; infinite if it receives
        none [s].
    net_metered : bool
        True if injections earn the retail rate.
    sub_metered : bool
        True if cars have meters of their own.
    small_utility : bool
        True if the utility distributes at most 4 million MWh a year.
    opted_in : bool
        True if the regulator of a small utility admits aggregations.

    Examples
    --------
    >>> cars = Aggregation(
    ...     power_kw=96.0,
    ...     sells=("energy", "regulation"),
    ...     largest_site_kw=40.0,
    ...     load_zones=1,
    ...     pricing_nodes=1,
    ...     suppliers=1,
    ...     aggregators_per_der=1,
    ...     telemetry_s=4.0,
    ...     net_metered=True,
    ... )
    >>> cars.sells
    ('energy', 'regulation')
    """

    power_kw: float
    sells: tuple[str, ...]
    largest_site_kw: float
    load_zones: int = 1
    pricing_nodes: int = 1
    suppliers: int = 1
    aggregators_per_der: int = 1
    telemetry_s: float = math.inf
    net_metered: bool = False
    sub_metered: bool = False
    small_utility: bool = False
    opted_in: bool = False

    def __post_init__(self):
        keep(
            self,
            power_kw=dict(one=True, unit="kW", gt=0),
            telemetry_s=dict(one=True, unit="s", gt=0, finite=False),
            **{name: dict(whole=True) for name in _COUNTS},
            **{name: dict(flag=True) for name in _FLAGS},
        )
        keep(self, largest_site_kw=dict(one=True, unit="kW", gt=0, le=self.power_kw))
        object.__setattr__(self, "sells", _services(self.sells))


def _services(sells):
    """The services of an aggregation, as a tuple of known words."""
    services = instances("sells", sells, str)
    if not services:
        raise ValueError(f"sells is empty; name one or more of {', '.join(_SERVICES)}")
    for place, service in enumerate(services):
        one_of(f"sells[{place}]", service, _SERVICES)
    return services


def _check_rule(where, rule):
    """Refuse a rule that `eligible` could not apply."""
    instance(where, rule, Mapping)
    needed = ("field", "test", "value", "says", "source", "confidence")
    missing = [key for key in needed if key not in rule]
    unknown = [key for key in rule if key not in (*needed, "when")]
    if missing or unknown:
        raise ValueError(
            f"{where} has the keys {', '.join(map(str, rule))}; it must have "
            f"{', '.join(needed)}, and it may have when"
        )
    one_of(f"{where}: field", rule["field"], (*_SIZES, *_FLAGS, "sells"))
    one_of(f"{where}: test", rule["test"], _TESTS)
    one_of(f"{where}: confidence", rule["confidence"], CONFIDENCE)
    for key in ("says", "source"):
        instance(f"{where}: {key}", rule[key], str)
    _check_limit(where, rule)
    _check_when(where, rule.get("when", {}))


def _check_limit(where, rule):
    """The value of a rule must suit its test and its field."""
    if rule["test"] == "excludes":
        one_of(f"{where}: field", rule["field"], ("sells",))
        instances(f"{where}: value", rule["value"], str)
    elif rule["test"] == "is":
        one_of(f"{where}: field", rule["field"], (*_SIZES, *_FLAGS))
        instance(f"{where}: value", rule["value"], (bool, int, float))
    else:
        one_of(f"{where}: field", rule["field"], _SIZES)
        one(f"{where}: value", rule["value"])


def _check_when(where, when):
    """Conditions of a rule: fields, and the values at which the rule applies."""
    instance(f"{where}: when", when, Mapping)
    for name, wanted in when.items():
        one_of(f"{where}: when", name, (*_SIZES, *_FLAGS, "sells"))
        instance(f"{where}: when {name}", wanted, str if name == "sells" else (bool, int, float))


@dataclass(frozen=True, kw_only=True)
class Market:
    """Rules of a market as data.

    Attributes
    ----------
    name : str
        Name of the market.
    region : str
        "North America", "Europe" or "Great Britain" for the markets of the book.
    currency : str
        ISO code of its currency, such as "EUR".
    date : datetime.date or None
        Day from which the rules hold.
    story : str
        What happened to the rules, in a few sentences.
    rules : list of dict
        Conditions that an aggregation must meet. Keys: `field` (of `Aggregation`), `test` ("at
        least", "at most", "is", "excludes"), `value`, `says` (the rule in words), `source`,
        `confidence` ("read", "from memory", "chosen"), and optionally `when`: fields and the values
        at which the rule applies.
    products : list of Product
        Reserves for limited batteries.
    families : dict
        Name of a thing that is paid for, and the list of services that are that thing.
    promises : dict
        `together` lists groups of families that share the charger's rating, as `double_counts` adds
        them up; in such a group the family "energy" is delivered, the others are promised.
    settlement : dict
        Constants of the settlement, such as `score_floor`.

    Examples
    --------
    >>> rule = {
    ...     "field": "power_kw",
    ...     "test": "at least",
    ...     "value": 100.0,
    ...     "says": "an aggregation offers at least 100 kW",
    ...     "source": "Order 2222",
    ...     "confidence": "read",
    ... }
    >>> rules = Market(
    ...     name="PJM",
    ...     region="North America",
    ...     currency="USD",
    ...     date=datetime.date(2025, 10, 1),
    ...     story="One signal since October 2025.",
    ...     rules=[rule],
    ...     products=[],
    ...     families={"energy": ["energy", "net metering"]},
    ...     promises={"together": [["energy", "regulation", "reserve"]]},
    ...     settlement={"score_floor": 0.25},
    ... )
    >>> len(rules.rules)
    1
    """

    name: str
    region: str
    currency: str
    date: datetime.date | None
    story: str
    rules: list[dict[str, Any]] = field(default_factory=list)
    products: list[Product] = field(default_factory=list)
    families: dict[str, list[str]] = field(default_factory=dict)
    promises: dict[str, list[list[str]]] = field(default_factory=dict)
    settlement: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self):
        for name in ("name", "region", "currency", "story"):
            instance(name, getattr(self, name), str)
        if self.date is not None:
            instance("date", self.date, datetime.date)
        rules = instances("rules", self.rules, dict)
        for place, rule in enumerate(rules):
            _check_rule(f"rules[{place}] of {self.name}", rule)
        object.__setattr__(self, "rules", list(rules))
        object.__setattr__(self, "products", list(instances("products", self.products, Product)))
        _family_of(instance("families", self.families, Mapping))
        _groups(instance("promises", self.promises, Mapping))
        instance("settlement", self.settlement, Mapping)

    def product(self, name: str) -> Product:
        """Return one of the market's products.

        Parameters
        ----------
        name : str
            Its name in the market, such as "FCR-D up".

        Returns
        -------
        Product
            What each megawatt of a bid binds.

        Raises
        ------
        ValueError
            If the market has no product of that name; the message lists those it has.

        Examples
        --------
        >>> market("nordic").product("FCR-N").factor
        1.34
        """
        found = {each.name: each for each in self.products}
        if not found:
            raise ValueError(
                f"name is {short(name)}, but {self.name} has no products for limited batteries"
            )
        return found[one_of("name", name, found)]


def _family_of(families):
    """For each service, the family of payments to which it belongs."""
    family_of: dict[str, str] = {}
    for family, services in families.items():
        for service in instances(f"families[{family!r}]", services, str):
            if service in family_of:
                raise ValueError(
                    f"families: {service} stands in {family_of[service]} and in {family}; "
                    "a service belongs to one family"
                )
            family_of[service] = family
    return family_of


def _groups(promises):
    """Groups of families that share the rating of a charger."""
    groups = instance("promises['together']", promises.get("together", []), (list, tuple))
    for place, group in enumerate(groups):
        instances(f"promises['together'][{place}]", group, str)
    return groups


def markets(region: str | None = None) -> list[str]:
    """Names of the markets whose rules the book holds.

    Parameters
    ----------
    region : str, optional
        Only markets of this region: "North America", "Europe" or "Great Britain".

    Returns
    -------
    list of str
        Names for `market`, in alphabetical order.

    Raises
    ------
    ValueError
        If there is no market in the region.

    Examples
    --------
    >>> markets("Europe")
    ['fcr_continental', 'nordic']
    """
    names = [name for name in names_in("rules") if "rules" in read("rules", name)]
    if region is None:
        return names
    region_of = {name: market(name).region for name in names}
    one_of("region", region, sorted(set(region_of.values())))
    return [name for name in names if region_of[name] == region]


def market(name: str) -> Market:
    """Read the rules of a market.

    Parameters
    ----------
    name : str
        One of `markets()`, such as "pjm".

    Returns
    -------
    Market
        Rules, products and payments; each rule names its source.

    Raises
    ------
    ValueError
        If the book has no rules of that name; the message lists those it has.

    Examples
    --------
    >>> market("ferc_2222").date.year
    2020
    """
    raw = read("rules", one_of("name", name, markets()))
    products = [Product(**each) for each in raw.get("products", [])]
    return Market(**{**raw, "products": products})


def orders() -> pd.DataFrame:
    """Laws and orders that decide what a car may sell.

    Returns
    -------
    DataFrame, index name
        One row an order, by date: `date`, `place`, `about` and `not_about` (what it says, and what
        it is often taken to say but does not), `outside` (where it does not hold), `source` and
        `confidence`.

    Examples
    --------
    >>> orders().loc["FERC Order 2222", "outside"].split(",")[0]
    'Texas (ERCOT)'
    """
    table = pd.DataFrame(read("rules", "orders")["orders"]).set_index("name")
    table["date"] = pd.to_datetime(table.date)
    return table.sort_values("date", kind="stable")


def _applies(rule, aggregation):
    """Whether all conditions of a rule are met; `sells` must contain the service."""
    for name, wanted in rule.get("when", {}).items():
        have = getattr(aggregation, name)
        met = wanted in have if name == "sells" else have == wanted
        if not met:
            return False
    return True


def _shown(value):
    """A field of an aggregation in words."""
    if isinstance(value, tuple):
        return ", ".join(value)
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}"


def eligible(aggregation: Aggregation, market: Market) -> list[str]:
    """Rules that stand between an aggregation and a market, as sentences.

    Parameters
    ----------
    aggregation : Aggregation
        The cars that want to sell.
    market : Market
        Where they want to sell, such as `market("pjm")`.

    Returns
    -------
    list of str
        One sentence for each rule that is broken; empty if the aggregation may sell.

    Raises
    ------
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> cars = Aggregation(power_kw=96.0, largest_site_kw=40.0, sells=("regulation",))
    >>> eligible(cars, market("ercot_ader"))[0]
    'ERCOT ADER pilot: an aggregation responds with at least 100 kW; here power_kw is 96.'
    """
    instance("aggregation", aggregation, Aggregation)
    instance("market", market, Market)
    broken = []
    for rule in market.rules:
        have = getattr(aggregation, rule["field"])
        passes = _TESTS[rule["test"]](have, rule["value"])
        if _applies(rule, aggregation) and not passes:
            doubt = "" if rule["confidence"] == "read" else f" ({rule['confidence']})"
            here = f"here {rule['field']} is {_shown(have)}{doubt}"
            broken.append(f"{market.name}: {rule['says']}; {here}.")
    return broken


_MOST_CARS = 1_000_000_000


@dataclass(frozen=True, kw_only=True)
class CarsNeeded:
    """Number of cars behind an offer.

    Attributes
    ----------
    n_present : int
        Cars that must be present, at least 1.
    n_cars : int
        Cars to sign up, at least 1.
    n_cars_by_mean : int
        Cars to sign up if their mean presence were enough, at least 1.
    """

    n_present: int
    n_cars: int
    n_cars_by_mean: int

    def __post_init__(self):
        number = dict(whole=True, le=1000 * _MOST_CARS)
        keep(self, n_present=number, n_cars=number, n_cars_by_mean=number)


def cars_needed(
    offer_kw: float, car_kw: float, presence: float, reliability: float = 0.9
) -> CarsNeeded:
    r"""Cars to sign up so that an offer holds with a given reliability.

    Each car is there with the same probability, independently of the others. Cars that have habits
    in common need more (chapter 10).

    .. math:: \min N:\ \Pr\big(\mathrm{Bin}(N, \chi) \ge \lceil P/P_1 \rceil\big) \ge q    (13.1)

    Parameters
    ----------
    offer_kw : float
        Power that is offered, P, above 0 [kW].
    car_kw : float
        Power of one car, P_1, above 0 [kW].
    presence : float
        Probability p that a car is there, above 0 and below 1 [-].
    reliability : float
        Probability q with which the offer shall hold, above 0 and below 1 [-].

    Returns
    -------
    CarsNeeded
        Cars that must be present, cars to sign up, and the number by the mean alone.

    Raises
    ------
    ValueError
        If an argument is outside its range, or more than a billion cars would be needed.

    Examples
    --------
    >>> cars_needed(100.0, 7.2, 0.5, 0.9)
    CarsNeeded(n_present=14, n_cars=35, n_cars_by_mean=28)
    """
    offer = one("offer_kw", offer_kw, "kW", gt=0)
    car = one("car_kw", car_kw, "kW", gt=0)
    p = one_fraction("presence", presence, gt=0, lt=1)
    q = one_fraction("reliability", reliability, gt=0, lt=1)
    n_present = max(1, math.ceil(offer / car - 1e-9))
    if n_present / p > _MOST_CARS:
        raise ValueError(
            f"offer_kw = {offer:g} from cars of car_kw = {car:g} with presence {p:g} takes "
            "more than a billion cars"
        )
    most = math.ceil((2 * n_present + 200) / p)
    return CarsNeeded(
        n_present=n_present,
        n_cars=_presence.fewest_cars(n_present, p, q, most=most),  # eq. (13.1)
        n_cars_by_mean=math.ceil(n_present / p - 1e-9),
    )


# ------------------------------------------------------------------ behind the meter, or in front


@dataclass(frozen=True, kw_only=True)
class MeterValue:
    """What the same energy earns behind a customer's meter, and in front of it.

    Attributes
    ----------
    behind : float
        Purchases avoided and energy sold behind the meter [currency].
    front : float
        Energy sold in the wholesale market [currency].
    """

    behind: float
    front: float

    def __post_init__(self):
        keep(self, behind=dict(one=True), front=dict(one=True))


def _per_step(name, price, load):
    """A price, or one price a step."""
    value = np.asarray(checked(name, price))
    if value.ndim:
        alike(load_kw=load, **{name: value})
    return value


def meter_value(
    load_kw: ArrayLike,
    p_kw: ArrayLike,
    dt_h: float,
    *,
    retail_per_kwh: ArrayLike,
    export_per_kwh: ArrayLike,
    wholesale_per_kwh: ArrayLike,
) -> MeterValue:
    r"""Value of the same discharge behind a customer's meter and in front of it.

    Behind the meter a discharge first avoids a purchase, and only the rest is sold. The site draws
    g = max(load - p, 0) and exports x = max(p - load, 0).

    .. math::

        V_{behind} = \sum_k \Delta t\,
        \big(\pi_r\,(g_k(0) - g_k(p)) + \pi_x\,(x_k(p) - x_k(0))\big),\quad
        V_{front} = \sum_k \Delta t\,\pi_w\,p_k            (13.2)

    Parameters
    ----------
    load_kw : array, shape (steps,)
        Load of the site without the cars; negative where it exports [kW].
    p_kw : array, shape (steps,)
        Power of the cars; positive discharges [kW].
    dt_h : float
        Length of a step, above 0 [h].
    retail_per_kwh : float or array, shape (steps,)
        Price of energy bought behind the meter [currency per kWh].
    export_per_kwh : float or array, shape (steps,)
        Price of energy exported from behind the meter [currency per kWh].
    wholesale_per_kwh : float or array, shape (steps,)
        Price in the market, in front of the meter [currency per kWh].

    Returns
    -------
    MeterValue
        Value behind and in front of the meter [currency].

    Raises
    ------
    ValueError
        If an argument is not a series of finite numbers, or lengths differ.

    Examples
    --------
    >>> prices = {"retail_per_kwh": 0.3, "export_per_kwh": 0.05, "wholesale_per_kwh": 0.1}
    >>> value = meter_value([4.0, 4.0, 4.0], [2.0, 4.0, 8.0], 1.0, **prices)
    >>> round(value.behind, 3), round(value.front, 3)
    (3.2, 1.4)
    """
    load = row("load_kw", load_kw, "kW")
    p = row("p_kw", p_kw, "kW")
    alike(load_kw=load, p_kw=p)
    dt = one("dt_h", dt_h, "h", gt=0)
    avoided_kw = np.maximum(load, 0) - np.maximum(load - p, 0)
    sold_kw = np.maximum(p - load, 0) - np.maximum(-load, 0)
    avoided = avoided_kw * _per_step("retail_per_kwh", retail_per_kwh, load)
    sold = sold_kw * _per_step("export_per_kwh", export_per_kwh, load)
    front = p * _per_step("wholesale_per_kwh", wholesale_per_kwh, load)
    return MeterValue(
        behind=float((avoided + sold).sum() * dt), front=float(front.sum() * dt)
    )  # eq. (13.2)


# --------------------------------------------------------- one car's year on either side of a meter


_HOURS_OF_A_YEAR = 8784


@dataclass(frozen=True, kw_only=True)
class Duty:
    """What one car gives in a year: so many kilowatts, for some hours, on some days.

    Attributes
    ----------
    p_kw : float
        Power at the meter while the car discharges, above 0 [kW].
    hours_per_day : float
        Time for which it discharges on such a day, above 0, at most 24 [h].
    days_per_year : float
        Days on which it does, 0 to 366 [1/year].
    eta_charge : float
        Efficiency from the meter to the battery, 0.01..1 [-].
    eta_discharge : float
        Efficiency from the battery to the meter, 0.01..1 [-].

    Examples
    --------
    >>> duty = Duty(
    ...     p_kw=4.0, hours_per_day=3.0, days_per_year=250.0, eta_charge=0.9, eta_discharge=0.9
    ... )
    >>> duty.given_kwh, round(duty.bought_kwh)
    (3000.0, 3704)
    """

    p_kw: float
    hours_per_day: float
    days_per_year: float
    eta_charge: float
    eta_discharge: float

    def __post_init__(self):
        keep(
            self,
            p_kw=dict(one=True, unit="kW", gt=0),
            hours_per_day=dict(one=True, unit="h", gt=0, le=24),
            days_per_year=dict(one=True, unit="1/year", ge=0, le=366),
        )
        efficiency = dict(fraction=True, ge=0.01)
        keep_single(self, eta_charge=efficiency, eta_discharge=efficiency)

    @property
    def hours(self) -> float:
        """Hours of a year in which the car discharges.

        Returns
        -------
        float
            Hours a day times days a year [h/year].
        """
        return self.hours_per_day * self.days_per_year

    @property
    def given_kwh(self) -> float:
        """Energy that reaches the meter.

        Returns
        -------
        float
            Power times hours [kWh/year].
        """
        return self.p_kw * self.hours

    @property
    def out_kwh(self) -> float:
        """Energy out of the battery for it.

        Returns
        -------
        float
            What reaches the meter, and the loss on the way there [kWh/year].
        """
        return self.given_kwh / self.eta_discharge

    @property
    def bought_kwh(self) -> float:
        """Energy that is bought for it.

        Returns
        -------
        float
            What leaves the battery, and the loss of charging it [kWh/year].
        """
        return self.out_kwh / self.eta_charge


def _battery_costs(duty, out_kwh, charge_per_kwh, wear_per_kwh):
    """Costs of energy that leaves the battery: it is bought back, and it wears."""
    return {
        "charging": -out_kwh / duty.eta_charge * one("charge_per_kwh", charge_per_kwh),
        "wear": -out_kwh * one("wear_per_kwh", wear_per_kwh),
    }


def _account(lines):
    """A year, line by line."""
    return pd.Series(lines, name="amount").rename_axis("line")


def behind_year(
    duty: Duty,
    load_kw: float,
    *,
    retail_per_kwh: float,
    export_per_kwh: float,
    charge_per_kwh: float,
    wear_per_kwh: float,
    demand_per_kw_year: float = 0.0,
    demand_share: float = 1.0,
) -> pd.Series:
    r"""One car's year behind a customer's meter, line by line.

    What the car gives first serves the load behind the meter and avoids a purchase; only the rest
    passes the meter and is sold. With the power p, the load L and T hours a year:

    .. math::

        V = T\,\big(\min(p, L)\,\pi_r + \max(p - L, 0)\,\pi_x\big) + s\,\pi_D \min(p, L)
        - \frac{p\,T}{\eta_d}\Big(\frac{\pi_b}{\eta_c} + w\Big)

    Parameters
    ----------
    duty : Duty
        What the car gives.
    load_kw : float
        Load L behind the meter in these hours, without the car, at least 0 [kW].
    retail_per_kwh, export_per_kwh : float
        Price of a purchase that is avoided, and of energy that passes the meter outward
        [currency per kWh].
    charge_per_kwh : float
        Price at which the energy is bought back [currency per kWh].
    wear_per_kwh : float
        Wear of the battery for each kWh out of it [currency per kWh].
    demand_per_kw_year : float
        Demand charge of a year, at least 0 [currency per kW].
    demand_share : float
        Share s of the demand charge that is avoided, 0..1: a month in which one peak is missed
        avoids nothing [-].

    Returns
    -------
    Series, index line
        "avoided purchases", "export", "demand charge", "charging" and "wear"; costs are negative
        [currency/year].

    Raises
    ------
    TypeError
        If `duty` is not a Duty.
    ValueError
        If an argument is not a finite number within its range.

    Examples
    --------
    >>> duty = Duty(
    ...     p_kw=4.0, hours_per_day=3.0, days_per_year=250.0, eta_charge=1.0, eta_discharge=1.0
    ... )
    >>> year = behind_year(
    ...     duty, 1.5, retail_per_kwh=0.2, export_per_kwh=0.1, charge_per_kwh=0.08,
    ...     wear_per_kwh=0.04, demand_per_kw_year=0.0, demand_share=1.0,
    ... )
    >>> year.round(2).tolist()
    [225.0, 187.5, 0.0, -240.0, -120.0]
    """
    instance("duty", duty, Duty)
    load = one("load_kw", load_kw, "kW", ge=0)
    own_kw = min(duty.p_kw, load)
    sold_kw = duty.p_kw - own_kw
    demand = one("demand_per_kw_year", demand_per_kw_year, ge=0)
    lines = {
        "avoided purchases": duty.hours * own_kw * one("retail_per_kwh", retail_per_kwh),
        "export": duty.hours * sold_kw * one("export_per_kwh", export_per_kwh),
        "demand charge": one_fraction("demand_share", demand_share) * demand * own_kw,
        **_battery_costs(duty, duty.out_kwh, charge_per_kwh, wear_per_kwh),
    }
    return _account(lines)


def market_year(
    duty: Duty,
    *,
    sell_per_kwh: float,
    charge_per_kwh: float,
    wear_per_kwh: float,
    reserve_per_kw_h: float,
    reserve_kw: float,
    reserve_h: float,
    call_ratio: float,
    aggregator_share: float,
    metering_per_year: float,
) -> pd.Series:
    r"""What a market pays for one car's year, line by line.

    All energy of the duty is sold. In other hours the charger stands ready for a reserve, and is
    called for a part of them. With the duty's power p in T hours, and the reserve's power P_r in
    T_r hours, of which a part c is called:

    .. math::

        E = p\,T + c\,P_r\,T_r,\qquad
        V = (1 - a)\,(E\,\pi_w + P_r\,T_r\,\pi_{res})
        - \frac{E}{\eta_d}\Big(\frac{\pi_b}{\eta_c} + w\Big) - M

    Parameters
    ----------
    duty : Duty
        Energy that is sold by plan, and the efficiencies.
    sell_per_kwh : float
        Price of the energy that is given [currency per kWh].
    charge_per_kwh : float
        Price at which the energy is bought back, with grid fees [currency per kWh].
    wear_per_kwh : float
        Wear of the battery for each kWh out of it [currency per kWh].
    reserve_per_kw_h : float
        Price of a reserve, for each kW and hour [currency per kW and h].
    reserve_kw : float
        Power P_r that is held ready, at least 0 [kW].
    reserve_h : float
        Hours T_r in which it is held ready; with those of the duty at most 8784 [h/year].
    call_ratio : float
        Energy that is called over power times hours, 0..1 [-].
    aggregator_share : float
        Share a of what the market pays that the aggregator keeps, 0..1 [-].
    metering_per_year : float
        Cost M of the car's own meter, its data and telemetry, at least 0 [currency/year].

    Returns
    -------
    Series, index line
        "energy", "reserve", "aggregator", "charging", "wear" and "metering"; costs are negative
        [currency/year].

    Raises
    ------
    TypeError
        If `duty` is not a Duty.
    ValueError
        If an argument is not a finite number within its range.

    Examples
    --------
    >>> duty = Duty(
    ...     p_kw=4.0, hours_per_day=3.0, days_per_year=250.0, eta_charge=1.0, eta_discharge=1.0
    ... )
    >>> year = market_year(
    ...     duty, sell_per_kwh=0.09, charge_per_kwh=0.04, wear_per_kwh=0.04,
    ...     reserve_per_kw_h=0.01, reserve_kw=4.0, reserve_h=3000.0, call_ratio=0.0,
    ...     aggregator_share=0.3, metering_per_year=100.0,
    ... )
    >>> year.round(2).tolist()
    [270.0, 120.0, -117.0, -120.0, -120.0, -100.0]
    """
    instance("duty", duty, Duty)
    ready_h = one("reserve_h", reserve_h, "h", ge=0)
    if ready_h + duty.hours > _HOURS_OF_A_YEAR:
        raise ValueError(
            f"reserve_h is {ready_h:g} h and the duty takes {duty.hours:g} h; together they must "
            f"fit into a year of {_HOURS_OF_A_YEAR} h, because the same power is not sold twice"
        )
    ready_kwh = one("reserve_kw", reserve_kw, "kW", ge=0) * ready_h
    given_kwh = duty.given_kwh + one_fraction("call_ratio", call_ratio) * ready_kwh
    out_kwh = given_kwh / duty.eta_discharge
    energy = given_kwh * one("sell_per_kwh", sell_per_kwh)
    reserve = ready_kwh * one("reserve_per_kw_h", reserve_per_kw_h)
    lines = {
        "energy": energy,
        "reserve": reserve,
        "aggregator": -one_fraction("aggregator_share", aggregator_share) * (energy + reserve),
        **_battery_costs(duty, out_kwh, charge_per_kwh, wear_per_kwh),
        "metering": -one("metering_per_year", metering_per_year, ge=0),
    }
    return _account(lines)


# ------------------------------------------------------- what was delivered: meters and baselines

_MOST_DAYS = 36_525  # a hundred years


def _days(name, values):
    """Several calendar days."""
    listed = instances(name, values, DATES)
    return pd.DatetimeIndex(
        [calendar_day(f"{name}[{place}]", day) for place, day in enumerate(listed)]
    )


def building(start: Date, days: int, *, rng: np.random.Generator) -> pd.DataFrame:
    """Load and outdoor temperature of a SYNTHETIC office, hour by hour.

    Parameters
    ----------
    start : str or date
        First day.
    days : int
        Number of days, 1 to 36,525.
    rng : numpy.random.Generator
        Source of chance, for weather and noise.

    Returns
    -------
    DataFrame, index time (hours)
        Columns `load_kw` [kW] and `temp_c` [°C].

    Raises
    ------
    TypeError
        If `rng` is not a generator, or `start` is no date.
    ValueError
        If `start` cannot be read or `days` is outside its range.

    Notes
    -----
    Recipe: the office draws 40 kW always, 60 kW more on weekdays from 8 to 18 o'clock, then also
    2.5 kW per kelvin above 18 °C, with 3 % of noise. The mean temperature is 21 °C, with a daily
    swing of 6 °C up and down and a weather of 3 °C standard deviation that keeps 70 % of its
    deviation from one day to the next.

    Examples
    --------
    >>> office = building("2026-06-01", 60, rng=np.random.default_rng(11))
    >>> len(office), round(float(office.load_kw.median()))
    (1440, 41)
    """
    first = calendar_day("start", start)
    count = whole("days", days, "days", le=_MOST_DAYS)
    instance("rng", rng, np.random.Generator)
    time = pd.date_range(first, periods=24 * count, freq="h", name="time")
    swing = 6 * np.cos(2 * np.pi * (time.hour - 15) / 24)
    temp = 21 + swing + np.repeat(_weather(count, rng), 24)
    busy = (time.day_of_week < 5) & (time.hour >= 8) & (time.hour < 18)
    planned = 40 + busy * (60 + 2.5 * np.maximum(temp - 18, 0))
    load = planned * (1 + 0.03 * rng.standard_normal(len(time)))
    return pd.DataFrame({"load_kw": load, "temp_c": temp}, index=time)


def _weather(days, rng):
    """Deviation of each day's mean temperature, of which 70 % stays until the next day."""
    shocks = rng.standard_normal(days)
    step_c = 3 * math.sqrt(1 - 0.7**2)  # keeps the standard deviation at 3 °C
    weather = np.empty(days)
    weather[0] = 3 * shocks[0]
    for day in range(1, days):
        weather[day] = 0.7 * weather[day - 1] + step_c * shocks[day]
    return weather


def _by_day(name, series):
    """Hours (0..23) as columns, calendar days as rows; NaN where a value is missing.

    Local years have a day of 23 hours, whose missing hour stays empty, and one of 25, whose double
    hour is averaged.
    """
    instance(name, series, pd.Series)
    stamps(name, series.index.unique())
    local = series.index.tz_localize(None)
    table = pd.DataFrame(
        {"day": local.normalize(), "hour": local.hour, "value": _readings(name, series)}
    )
    _one_an_hour(name, table)
    hours = table.groupby(["day", "hour"]).value.mean().unstack("hour")
    days = pd.date_range(hours.index[0], hours.index[-1], freq="D", name="day")
    return hours.reindex(index=days, columns=pd.RangeIndex(24, name="hour"))


def _readings(name, series):
    """Values of a series as floats; NaN, a missing value, is allowed."""
    if series.dtype.kind not in "iuf":
        raise ValueError(f"{name} must hold numbers, not {series.dtype}")
    values = series.to_numpy(dtype=float, na_value=np.nan)
    checked(name, values[~np.isnan(values)])  # refuses infinity, and a series without any value
    return values


def _one_an_hour(name, table):
    """Refuse more than one value an hour, save for the hour that a clock change repeats."""
    counts = table.groupby(["day", "hour"]).size()
    twice = counts[counts > 1].reset_index(name="values")
    by_night = (twice["values"] == 2) & (twice.hour < 4) & ~twice.duplicated("day")
    wrong = twice[~by_night]
    if len(wrong):
        day, hour, values = wrong.iloc[0]
        raise ValueError(
            f"{name} has {values} values on {day:%Y-%m-%d} at {hour} o'clock; give the 24 hours of "
            "a day, each of them once"
        )


def _clock(clock_h):
    """Hours of the clock within one day, in order."""
    listed = row("clock_h", clock_h, "(an hour of the clock)", ge=0, le=23)
    if (listed != np.floor(listed)).any() or (np.diff(listed) <= 0).any():
        raise ValueError(f"clock_h is {listed.tolist()}; give whole hours of one day that rise")
    return listed.astype(int).tolist()


def _like_days(table, event, event_days):
    """Days before an event, of its kind (weekday or weekend), without events."""
    days = table.index
    if event not in days:
        raise ValueError(
            f"there is no day {event:%Y-%m-%d} in the data, which run from {days[0]:%Y-%m-%d} to "
            f"{days[-1]:%Y-%m-%d}"
        )
    same_kind = (days.day_of_week >= 5) == (event.day_of_week >= 5)
    return days[(days < event) & same_kind & ~days.isin(event_days)]


def _ten_or_more(days, event):
    """Refuse a baseline from fewer than ten days."""
    if len(days) < 10:
        raise ValueError(
            f"only {len(days)} like days without an event lie before {event:%Y-%m-%d}; "
            "ten are needed"
        )


def _known(name, table, days, clock_h, event):
    """The cells of these days and hours, none of which may be missing."""
    cells = table.loc[days, clock_h]
    lost = cells.isna().to_numpy()
    if lost.any():
        place, column = np.argwhere(lost)[0]
        hint = "" if cells.index[place] == event else ", or leave the day out with event_days"
        raise ValueError(
            f"{name} has no value on {cells.index[place]:%Y-%m-%d} at {clock_h[column]} o'clock, "
            f"which the baseline of {event:%Y-%m-%d} needs; fill the gap{hint}"
        )
    return cells


def _high_5_of_10(name, table, event, clock_h, event_days, adjust_cap):
    """`high_5_of_10` of a table of days and hours."""
    last = _like_days(table, event, event_days)[-10:]
    _ten_or_more(last, event)
    loads = _known(name, table, last, clock_h, event)
    highest = loads.mean(axis=1).nlargest(5).index
    usual = loads.loc[highest].mean()
    factor = 1.0
    if adjust_cap is not None:
        cap = one_fraction("adjust_cap", adjust_cap, lt=1)
        factor = _same_day(name, table, event, clock_h[0], highest, cap)
    return (usual * factor).rename("baseline_kw")  # eq. (13.5)


def _same_day(name, table, event, first_hour, highest, cap):
    """Factor by which the morning of the event moves its baseline."""
    window = [first_hour - 4, first_hour - 3]
    if window[0] < 0:
        raise ValueError(
            f"clock_h begins at {first_hour}; an adjustment needs four hours of the same day "
            "before it"
        )
    today = _known(name, table, [event], window, event).loc[event].sum()
    usual = _known(name, table, highest, window, event).mean().sum()
    if usual < 1e-9:
        raise ValueError(
            f"{name} is {usual / 2:g} in the mean of the highest days at {window[0]} and "
            f"{window[1]} o'clock; the adjustment is a ratio and needs a positive load there"
        )
    return float(np.clip(today / usual, 1 - cap, 1 + cap))


def high_5_of_10(
    meter_kw: pd.Series,
    day: Date,
    clock_h: Sequence[int],
    *,
    event_days: Iterable[Date] = (),
    adjust_cap: float | None = None,
) -> pd.Series:
    r"""Baseline of a site: the mean of the five highest of the last ten like days.

    Like days are weekdays for a weekday and weekends for a weekend; the highest are those with the
    largest load in the hours of the event.

    .. math::

        \hat L_h = \alpha\,\tfrac15 \sum_{i \in H_5} L_{i,h},\qquad
        \alpha = \operatorname{clip}
        \Big(\frac{\sum_{m} L_m}{\sum_{m} \hat L^0_m},\ 1 \pm \kappa\Big)            (13.5)

    Parameters
    ----------
    meter_kw : Series, index of hours
        Load at the site's meter, in local time with or without a time zone. Days of 23 and 25 hours
        are allowed, and gaps where the baseline does not need a value [kW].
    day : str or date
        Day of the event.
    clock_h : list of int
        Hours of the event, 0..23, in order.
    event_days : list of str or date
        Days that do not count among the ten. A car that serves every day leaves no other days: give
        () then.
    adjust_cap : float, optional
        Cap c of the same-day adjustment, 0 to below 1, from the two hours w that begin four hours
        before the event. None: no adjustment, alpha = 1 [-].

    Returns
    -------
    Series, index hour
        What the site would have drawn without the event, `baseline_kw` [kW].

    Raises
    ------
    TypeError
        If `meter_kw` is not a Series with an index of time stamps, or a day is no date.
    ValueError
        If fewer than ten like days lie before the event, a value that the baseline needs is
        missing, or an argument is outside its range.

    References
    ----------
    .. [1] PG&E, Power Saver programme: high 5 of 10 weekdays, adjusted for the weather.
    .. [2] NYISO: same-day adjustment with the window w and a cap of 20 %.

    Examples
    --------
    >>> time = pd.date_range("2024-06-03", periods=24 * 19, freq="h")
    >>> meter = pd.Series(10.0 + time.day_of_year - 155, index=time)
    >>> line = high_5_of_10(
    ...     meter, "2024-06-21", [16, 17], event_days=["2024-06-20"], adjust_cap=0.2
    ... )
    >>> line.round(2).tolist()
    [27.84, 27.84]
    """
    table = _by_day("meter_kw", meter_kw)
    event = calendar_day("day", day)
    excluded = _days("event_days", event_days)
    return _high_5_of_10("meter_kw", table, event, _clock(clock_h), excluded, adjust_cap)


def _regression(names, loads, temps, event, clock_h, event_days, base_c):
    """`regression_baseline` of tables of days and hours; `names` are those of the tables."""
    warmth = (temps.reindex(loads.index) - base_c).clip(lower=0)
    now = _known(names[1], warmth, [event], clock_h, event).loc[event]
    past = _like_days(loads, event, event_days)
    result = {}
    for hour in clock_h:
        known = loads.loc[past, hour].notna() & warmth.loc[past, hour].notna()
        days = past[known]
        _ten_or_more(days, event)
        design = np.column_stack([np.ones(len(days)), warmth.loc[days, hour]])
        level, slope = np.linalg.lstsq(design, loads.loc[days, hour], rcond=None)[0]
        result[hour] = level + slope * now[hour]  # eq. (13.11)
    return pd.Series(result, name="baseline_kw").rename_axis("hour")


def _same_zone(**series):
    """Refuse series whose time stamps are in different time zones."""
    zones = {}
    for name, each in series.items():
        instance(name, each, pd.Series)
        stamps(name, each.index.unique())
        zones[name] = str(each.index.tz or "local time without a zone")
    if len(set(zones.values())) > 1:
        told = ", ".join(f"{name} is in {zone}" for name, zone in zones.items())
        raise ValueError(f"{told}; give them in the same time zone")


def regression_baseline(
    meter_kw: pd.Series,
    temp_c: pd.Series,
    day: Date,
    clock_h: Sequence[int],
    *,
    event_days: Iterable[Date] = (),
    base_c: float = 18.0,
) -> pd.Series:
    r"""Baseline of a site: a level, and a slope with the warmth of the air, for each hour.

    Both are fitted by least squares to all earlier like days without an event, ten or more.

    .. math:: \hat L_{i,h} = A_h + B_h\,\max(\theta_{i,h} - \theta_0,\ 0)            (13.11)

    Parameters
    ----------
    meter_kw : Series, index of hours
        Load at the site's meter, as in `high_5_of_10`. Days with a gap in an hour are left out of
        the fit of that hour [kW].
    temp_c : Series, index of hours
        Outdoor temperature, in the same time zone [°C].
    day : str or date
        Day of the event.
    clock_h : list of int
        Hours of the event, 0..23, in order.
    event_days : list of str or date
        Days that are left out of the fit.
    base_c : float
        Temperature T_0 above which cooling begins [°C].

    Returns
    -------
    Series, index hour
        What the site would have drawn without the event, `baseline_kw` [kW].

    Raises
    ------
    TypeError
        If a series is not a Series with an index of time stamps, or a day is no date.
    ValueError
        If fewer than ten like days lie before the event, the temperature of the event is missing,
        or an argument is outside its range.

    Examples
    --------
    >>> time = pd.date_range("2024-06-03", periods=24 * 19, freq="h")
    >>> temp = pd.Series(15.0 + time.day_of_year % 7, index=time)
    >>> line = regression_baseline(
    ...     40 + 2 * (temp - 18).clip(lower=0),
    ...     temp,
    ...     "2024-06-21",
    ...     [16],
    ...     event_days=["2024-06-20"],
    ...     base_c=18.0,
    ... )
    >>> float(temp["2024-06-21 16:00"]), line.round(2).tolist()
    (20.0, [44.0])
    """
    _same_zone(meter_kw=meter_kw, temp_c=temp_c)
    loads = _by_day("meter_kw", meter_kw)
    temps = _by_day("temp_c", temp_c)
    event = calendar_day("day", day)
    excluded = _days("event_days", event_days)
    base = one("base_c", base_c, "°C")
    names = ("meter_kw", "temp_c")
    return _regression(names, loads, temps, event, _clock(clock_h), excluded, base)


def _baselines(meter, temps, event, clock_h, event_days, adjust_cap):
    """What each method says that the site would have drawn."""
    name = "site.load_kw less car_kw"
    by_days = (name, meter, event, clock_h, event_days)
    by_weather = ((name, "site.temp_c"), meter, temps, event, clock_h, event_days, 18.0)
    return {
        "high 5 of 10": _high_5_of_10(*by_days, None),
        "high 5 of 10, adjusted": _high_5_of_10(*by_days, adjust_cap),
        "regression": _regression(*by_weather),
    }


def _metered_days(days):
    """The days that are paid: at least one, and each of them once."""
    listed = _days("days", days)
    if not len(listed):
        raise ValueError("days is empty; give at least one day")
    if not listed.is_unique:
        twice = listed[listed.duplicated()][0]
        raise ValueError(f"days names {twice:%Y-%m-%d} twice; each day is paid once")
    return listed


def metering(
    site: pd.DataFrame,
    car_kw: pd.Series,
    days: Iterable[Date],
    clock_h: Sequence[int],
    *,
    price_per_kwh: float,
    event_days: Iterable[Date] | None = None,
    adjust_cap: float = 0.2,
) -> pd.DataFrame:
    """Payments by four ways of metering for the same cars behind a building.

    Parameters
    ----------
    site : DataFrame, index of hours
        Columns `load_kw` without the cars [kW] and `temp_c` [°C], as `building` makes them.
    car_kw : Series, index of hours
        Power of the cars, positive discharges, in the time zone of `site` [kW].
    days : list of str or date
        Days of the events that are paid.
    clock_h : list of int
        Hours of the events, 0..23, in order.
    price_per_kwh : float
        Paid for a reduction, above 0; an increase costs nothing [currency per kWh].
    event_days : list of str or date, optional
        Days kept out of the baselines; `days` if None. Give () for a service of every day that
        nobody declares an event.
    adjust_cap : float
        Cap of the same-day adjustment, 0 to below 1 [-].

    Returns
    -------
    DataFrame, index method
        Columns `paid` [currency] and `lost`, the fraction of the true value that is not paid,
        negative if too much is [-].

    Raises
    ------
    TypeError
        If `site` is not a DataFrame, `car_kw` is not a Series, or a day is no date.
    ValueError
        If a value that a baseline needs is missing, the cars give nothing in these hours, or an
        argument is outside its range.

    Examples
    --------
    >>> office = building("2024-06-03", 30, rng=np.random.default_rng(11))
    >>> events = ["2024-06-24", "2024-06-26"]
    >>> called = office.index.strftime("%Y-%m-%d").isin(events) & (office.index.hour == 17)
    >>> table = metering(
    ...     office,
    ...     pd.Series(20.0 * called, index=office.index),
    ...     events,
    ...     [17],
    ...     price_per_kwh=0.5,
    ...     event_days=events,
    ...     adjust_cap=0.2,
    ... )
    >>> float(table.paid["sub-meter"].round(2))
    20.0
    """
    columns("site", site, ["load_kw", "temp_c"])
    _same_zone(**{"site.load_kw": site["load_kw"], "car_kw": car_kw})
    price = one("price_per_kwh", price_per_kwh, gt=0)
    loads = _by_day("site.load_kw", site["load_kw"])
    temps = _by_day("site.temp_c", site["temp_c"])
    cars = _by_day("car_kw", car_kw).reindex(loads.index)
    meter = loads - cars
    paid_days = _metered_days(days)
    excluded = paid_days if event_days is None else _days("event_days", event_days)
    clock_h = _clock(clock_h)
    kwh = dict.fromkeys(("sub-meter", "high 5 of 10", "high 5 of 10, adjusted", "regression"), 0.0)
    for day in paid_days:
        lines = _baselines(meter, temps, day, clock_h, excluded, adjust_cap)
        now = _known("site.load_kw less car_kw", meter, [day], clock_h, day).loc[day]
        kwh["sub-meter"] += cars.loc[day, clock_h].clip(lower=0).sum()
        for method, line in lines.items():
            kwh[method] += (line - now).clip(lower=0).sum()
    if kwh["sub-meter"] <= 0:
        raise ValueError("car_kw gives nothing in these hours; there is nothing to meter")
    paid = pd.Series(kwh) * price
    lost = 1 - paid / paid["sub-meter"]
    return pd.DataFrame({"paid": paid, "lost": lost}).rename_axis("method")


# -------------------------------------------------------------------- the same kilowatt twice

_PAYMENT: dict[str, dict[str, Any]] = {
    "kw": {"ge": 0},
    "metered_kw": {"ge": 0},
    "rating_kw": {"gt": 0},
}
_LABELS = ["car", "hour", "service", "payer", "aggregator"]
_BASE = "energy"  # the family that is delivered; the others of its group are promised


def _payments(lines, market):
    """The lines of a statement, checked, each with the family of its service."""
    columns("lines", lines, (*_LABELS, *_PAYMENT))
    amounts = number_columns("lines", lines, _PAYMENT)
    for label in _LABELS:
        lost = lines[label].isna().to_numpy()
        if lost.any():
            raise ValueError(f"lines.{label} is missing in row {lines.index[lost][0]!r}")
    family_of = _family_of(market.families)
    services = instances("lines.service", lines["service"], str)
    table = lines[_LABELS].copy()
    for name in amounts:
        table[name] = amounts[name].to_numpy()
    table["family"] = [family_of.get(service, service) for service in services]
    return table


def _sold_twice(rows):
    """One car, one hour: more than one aggregator?"""
    sellers = sorted(map(str, rows.aggregator.unique()))
    if len(sellers) > 1:
        yield f"it is sold by {' and by '.join(sellers)} at once."


def _paid_twice(rows, groups):
    """One car, one hour: is more paid for than its meter saw?"""
    promised = set().union(*groups) - {_BASE}
    for family, payments in rows[~rows.family.isin(promised)].groupby("family"):
        paid_kw = payments.kw.sum()
        seen_kw = payments.metered_kw.max()
        if paid_kw > seen_kw + 1e-9:
            payers = [f"{each.payer} ({each.service})" for each in payments.itertuples()]
            yield (
                f"{family} is paid for {paid_kw:g} kW by {' and '.join(payers)}, "
                f"but the car's meter saw {seen_kw:g} kW."
            )


def _base_kw(energy):
    """Power around which promises move: the energy sold, however often it is paid for."""
    if energy.empty:
        return 0.0
    return min(energy.kw.sum(), energy.metered_kw.max())


def _beyond_rating(rows, groups):
    """One car, one hour: are its base point and its promises more than its charger can give?"""
    for group in groups:
        shared = rows[rows.family.isin(group)]
        base_kw = _base_kw(shared[shared.family == _BASE])
        promises = shared[shared.family != _BASE]
        asked_kw = base_kw + promises.kw.sum()
        rating_kw = shared.rating_kw.max()
        if asked_kw > rating_kw + 1e-9:  # eq. (13.6)
            yield (
                f"it {_told(base_kw, promises)}, "
                f"but its charger can give only {rating_kw:g} of these {asked_kw:g} kW."
            )


def _told(base_kw, promises):
    """What a car delivers and promises, in words."""
    parts = [f"delivers {base_kw:g} kW of energy"] if base_kw > 0 else []
    names = [f"{each.kw:g} kW of {each.service} to {each.payer}" for each in promises.itertuples()]
    if names:
        parts.append(f"promises {' and '.join(names)}")
    return " and ".join(parts)


def double_counts(lines: pd.DataFrame, market: Market) -> list[str]:
    r"""Payments in a statement of many payers that pay for the same thing twice.

    A car has one aggregator in an hour, its meter sees what is paid for, and the base point b
    (energy sold) and all y_j that it promises upward (regulation, reserve) share the rating of its
    charger.

    .. math:: b + \sum_j y_j \le P_{max}            (13.6)

    Parameters
    ----------
    lines : DataFrame
        One row per payment, with the columns `car`, `hour`, `service`, `payer`, `aggregator`, `kw`
        (paid for; of energy, the mean over the hour), `metered_kw` (what the car's own meter saw)
        and `rating_kw` (of its charger) [kW].
    market : Market
        Its families of services decide which services are the same thing; a service in no family
        stands for itself. Its promises decide which families share the rating.

    Returns
    -------
    list of str
        One sentence for each double count, in order of hour and car. Several services at once are
        no double count, as long as they are not paid for the same kilowatts.

    Raises
    ------
    TypeError
        If an argument is of another kind.
    ValueError
        If a column is missing or empty, an entry is missing or outside its range, or the rules of
        the market do not say which services are the same thing.

    Notes
    -----
    Energy that is paid for twice stands in (13.6) once, with what the meter saw. Energy that flows
    because regulation or reserve was called belongs to that promise: leave it out of `lines`. A
    reduction (demand response, a demand charge) may come from a car that stops charging: it does
    not count as energy.

    A symmetric promise also needs room downward, u - b <= P_max for a charger that takes as much
    as it gives. As b >= 0 in a statement, (13.6) is the stricter of the two. Capacity is a group of
    its own in the book's rules: it is an obligation to offer energy or reserve, not power on top.

    Examples
    --------
    >>> lines = pd.DataFrame({"payer": ["PJM", "utility"], "kw": [6.0, 6.0]})
    >>> lines = lines.assign(service=["energy", "net metering"], metered_kw=6.0, rating_kw=7.0)
    >>> lines = lines.assign(car="B", hour=18, aggregator="one")
    >>> double_counts(lines, market("ferc_2222"))[0][:44]
    'Car B, hour 18: energy is paid for 12 kW by '
    """
    if not instance("market", market, Market).families:
        raise ValueError(
            f"the rules of {market.name} do not say which services are the same thing; give them "
            "families and promises, or ask market('ferc_2222')"
        )
    table = _payments(lines, market)
    groups = _groups(market.promises)
    found = []
    for (hour, car), rows in table.groupby(["hour", "car"], sort=True):
        told = [*_sold_twice(rows), *_paid_twice(rows, groups), *_beyond_rating(rows, groups)]
        found += [f"Car {car}, hour {hour}: {sentence}" for sentence in told]
    return found


# -------------------------------------------------------------------- the queue for a connection

_STEADY = 1e-6  # below this coefficient of variation all studies take the same time
_MOST_PROJECTS = 10_000_000


@dataclass(frozen=True, kw_only=True)
class Queue:
    """Projects that ask for a connection: some pass a screening, the others wait for a study.

    Projects arrive at random (Poisson). Those that fail the screens are studied first come, first
    served, by one of several teams; the times of the studies have a gamma distribution.

    Attributes
    ----------
    arrivals_per_year : float
        Projects that arrive in a year, at least 1e-6 [1/year].
    sizes_kw : tuple of float
        Sizes of the kinds of projects, above 0 [kW].
    size_share : tuple of float
        Share of each kind among the projects, 0..1; the shares add up to 1 [-].
    pass_share : tuple of float
        Probability with which each kind passes the screens, 0..1 [-].
    study_years : float
        Mean time of a study, above 0 [years].
    study_cv : float
        Standard deviation over mean of this time, 0 to 100: 1 is exponential, 0 always the same
        [-].
    teams : int
        Teams that study, 1 to 1,000,000.
    screen_years : float
        Time that the screens take, at least 0 [years].

    Examples
    --------
    >>> desk = Queue(
    ...     arrivals_per_year=40.0,
    ...     sizes_kw=(20.0, 200.0, 2000.0),
    ...     size_share=(0.5, 0.3, 0.2),
    ...     pass_share=(0.9, 0.5, 0.0),
    ...     study_years=0.1,
    ...     study_cv=1.0,
    ...     teams=2,
    ...     screen_years=0.06,
    ... )
    >>> round(desk.studied_per_year, 3), round(desk.utilisation, 3)
    (16.0, 0.8)
    """

    arrivals_per_year: float
    sizes_kw: tuple[float, ...]
    size_share: tuple[float, ...]
    pass_share: tuple[float, ...]
    study_years: float
    study_cv: float = 1.0
    teams: int = 1
    screen_years: float = 0.06

    def __post_init__(self):
        keep(
            self,
            arrivals_per_year=dict(one=True, unit="1/year", ge=1e-6),
            study_years=dict(one=True, unit="years", gt=0),
            study_cv=dict(one=True, ge=0, le=100),
            teams=dict(whole=True, le=1_000_000),
            screen_years=dict(one=True, unit="years", ge=0),
            sizes_kw=dict(row=True, unit="kW", gt=0),
            size_share=dict(fraction=True),
            pass_share=dict(fraction=True),
        )
        alike(sizes_kw=self.sizes_kw, size_share=self.size_share, pass_share=self.pass_share)
        total = float(np.sum(self.size_share))
        if abs(total - 1) > 1e-9:
            raise ValueError(f"size_share adds up to {total:g}; it must add up to 1")
        for name in ("sizes_kw", "size_share", "pass_share"):
            object.__setattr__(self, name, tuple(getattr(self, name).tolist()))

    @property
    def studied_per_year(self) -> float:
        """Projects that fail the screens and wait for a study [1/year].

        Returns
        -------
        float
            Arrivals times the probability to fail [1/year].
        """
        passed = float(np.dot(self.size_share, self.pass_share))
        return self.arrivals_per_year * max(0.0, 1 - passed)

    @property
    def utilisation(self) -> float:
        """Work that arrives over work that the teams can do [-].

        Returns
        -------
        float
            At 1 and above the queue grows without end [-].
        """
        return self.studied_per_year * self.study_years / self.teams


def _study_times(queue, count, rng):
    """Times of the studies: gamma distributed, or all the same [years]."""
    if queue.study_cv < _STEADY:
        return np.full(count, queue.study_years)
    shape = queue.study_cv**-2
    return rng.gamma(shape, queue.study_years / shape, count)


def _first_come(ready, study, teams):
    """Waits of projects, in the order in which they are ready, for one of the teams [years]."""
    free = [0.0] * teams  # when each team is free again, the earliest first
    wait = np.empty(len(ready))
    for place, (time, lasts) in enumerate(zip(ready, study)):
        begins = max(time, heapq.heappop(free))
        heapq.heappush(free, begins + lasts)
        wait[place] = begins - time
    return wait


def simulate_queue(queue: Queue, projects: int, *, rng: np.random.Generator) -> pd.DataFrame:
    """Arrivals, waits and connection dates of projects in a queue, drawn at random.

    Parameters
    ----------
    queue : Queue
        Arrivals, screens and teams.
    projects : int
        Number of projects that arrive, 1 to 10,000,000.
    rng : numpy.random.Generator
        Source of chance.

    Returns
    -------
    DataFrame, one row per project
        Columns `arrives_year` [years], `size_kw` [kW], `fast` (passed the screens), `wait_years`
        (until a team is free) [years] and `done_year` [years].

    Raises
    ------
    TypeError
        If `queue` is not a Queue or `rng` is not a generator.
    ValueError
        If `projects` is not a whole number in its range.

    Examples
    --------
    >>> desk = Queue(
    ...     arrivals_per_year=40.0,
    ...     sizes_kw=(20.0, 2000.0),
    ...     size_share=(0.8, 0.2),
    ...     pass_share=(0.9, 0.0),
    ...     study_years=0.07,
    ... )
    >>> projects = simulate_queue(desk, 1000, rng=np.random.default_rng(1))
    >>> len(projects), float(projects.wait_years[projects.fast].max())
    (1000, 0.0)
    """
    instance("queue", queue, Queue)
    count = whole("projects", projects, le=_MOST_PROJECTS)
    instance("rng", rng, np.random.Generator)
    arrives = np.cumsum(rng.exponential(1 / queue.arrivals_per_year, count))
    kind = rng.choice(len(queue.sizes_kw), count, p=queue.size_share)
    fast = rng.random(count) < np.asarray(queue.pass_share)[kind]
    study = np.where(fast, 0.0, _study_times(queue, count, rng))
    ready = arrives + queue.screen_years
    wait = np.zeros(count)
    wait[~fast] = _first_come(ready[~fast], study[~fast], queue.teams)
    return pd.DataFrame(
        {
            "arrives_year": arrives,
            "size_kw": np.asarray(queue.sizes_kw)[kind],
            "fast": fast,
            "wait_years": wait,
            "done_year": ready + wait + study,
        }
    )


def _busy(queue):
    """Utilisation, below 1."""
    instance("queue", queue, Queue)
    if queue.utilisation >= 1:
        raise ValueError(
            f"the teams of the queue are asked for {queue.utilisation:.2f} of what they can do; at "
            "1 and above the queue grows without end"
        )
    return queue.utilisation


def erlang_wait(queue: Queue) -> float:
    r"""Mean wait for one of c teams if studies are exponential (M/M/c) [years].

    .. math::

        W = \frac{C}{c\mu - \lambda},\qquad
        C = \frac{\frac{(c\rho)^c}{c!}}
        {(1 - \rho)\sum_{k<c} \frac{(c\rho)^k}{k!} + \frac{(c\rho)^c}{c!}},\quad
        \rho = \frac{\lambda}{c\,\mu}            (13.12)

    Parameters
    ----------
    queue : Queue
        Its `study_cv` is 1 and its utilisation is below 1.

    Returns
    -------
    float
        Mean wait of a project that is studied, until a team is free [years].

    Raises
    ------
    TypeError
        If `queue` is not a Queue.
    ValueError
        If studies are not exponential, or the utilisation is 1 or more.

    References
    ----------
    .. [1] A. K. Erlang, 1917: the delay formula (Erlang C).

    Examples
    --------
    >>> desk = Queue(
    ...     arrivals_per_year=16.0,
    ...     sizes_kw=(200.0,),
    ...     size_share=(1.0,),
    ...     pass_share=(0.0,),
    ...     study_years=0.1,
    ...     teams=2,
    ... )
    >>> round(erlang_wait(desk), 3)
    0.178
    """
    rho = _busy(queue)
    if queue.study_cv != 1:
        raise ValueError(
            f"study_cv of the queue is {queue.study_cv:g}; Erlang's formula is for exponential "
            "studies, study_cv = 1"
        )
    c = queue.teams
    load = rho * c
    blocked = math.exp(c * math.log(load) - load - math.lgamma(c + 1)) if load > 0 else 0.0
    delayed = blocked / ((1 - rho) * float(gammaincc(c, load)) + blocked)
    return delayed * queue.study_years / (c * (1 - rho))  # eq. (13.12)


def pollaczek_wait(queue: Queue) -> float:
    r"""Return the mean wait for one team, whatever the distribution of the studies (M/G/1).

    .. math:: W = \frac{\rho\,\tau\,(1 + v^2)}{2\,(1 - \rho)}            (13.7)

    Parameters
    ----------
    queue : Queue
        Of one team.

    Returns
    -------
    float
        Mean wait of those that are studied [years].

    Raises
    ------
    ValueError
        If there is more than one team, or it cannot keep up with the arrivals.
    TypeError
        If `queue` is no `Queue`.

    References
    ----------
    .. [1] Kleinrock, Queueing Systems, volume 1, 1975, section 5.6.

    Examples
    --------
    >>> desk = Queue(
    ...     arrivals_per_year=40.0, sizes_kw=(10.0,), size_share=(1.0,), pass_share=(0.5,),
    ...     study_years=0.04, study_cv=0.0, teams=1)
    >>> round(pollaczek_wait(desk), 3)
    0.08
    """
    rho = _busy(queue)
    if queue.teams != 1:
        raise ValueError(f"teams of the queue is {queue.teams}; the formula is for one team")
    return rho * queue.study_years * (1 + queue.study_cv**2) / (2 * (1 - rho))  # eq. (13.7)


# ------------------------------------------------------------------------------------ a contract


@dataclass(frozen=True, kw_only=True)
class Contract:
    """Contract between an aggregator and the owner of a car.

    Attributes
    ----------
    owner_share : float
        Share of the market's revenue that the owner gets, 0..1 [-].
    fixed_per_year : float
        Paid to the owner whatever happens, at least 0 [currency/year].
    opt_out : float
        Fraction of the time in which the owner takes the car back, 0..1 [-].
    floor : float
        State of charge below which the car is never emptied, 0..1 [-].
    warranty_kwh : float
        Energy for the grid that the maker's warranty allows in a year, at least 0; infinite without
        a limit [kWh/year].

    Examples
    --------
    >>> contract = Contract(
    ...     owner_share=0.5, fixed_per_year=20.0, opt_out=0.2, floor=0.3, warranty_kwh=2000.0
    ... )
    >>> contract.floor
    0.3
    """

    owner_share: float
    fixed_per_year: float = 0.0
    opt_out: float = 0.0
    floor: float = 0.2
    warranty_kwh: float = math.inf

    def __post_init__(self):
        shares = ("owner_share", "opt_out", "floor")
        keep_single(self, **{key: {"fraction": True} for key in shares})
        keep(
            self,
            fixed_per_year=dict(one=True, ge=0),
            warranty_kwh=dict(one=True, unit="kWh/year", ge=0, finite=False),
        )


@dataclass(frozen=True, kw_only=True)
class CarService:
    """What one car's service is worth if nothing limits it, and what it costs whom.

    Attributes
    ----------
    revenue_per_year : float
        Paid by the market, above 0 [currency/year].
    out_kwh : float
        Energy out of the battery for it, at least 0 [kWh/year].
    needs : float
        Fraction of the battery that the service needs, above 0, at most 1 [-].
    wear_per_kwh : float
        Wear of the battery, carried by the owner, at least 0 [currency per kWh].
    owner_per_year : float
        Other costs of the owner (bother, charger, insurance), at least 0 [currency/year].
    aggregator_per_year : float
        Costs of the aggregator (metering, telemetry, platform), at least 0 [currency/year].

    Examples
    --------
    >>> service = CarService(
    ...     revenue_per_year=500.0,
    ...     out_kwh=2000.0,
    ...     needs=0.6,
    ...     wear_per_kwh=0.05,
    ...     owner_per_year=40.0,
    ...     aggregator_per_year=90.0,
    ... )
    >>> service.needs
    0.6
    """

    revenue_per_year: float
    out_kwh: float
    needs: float
    wear_per_kwh: float
    owner_per_year: float
    aggregator_per_year: float

    def __post_init__(self):
        amounts = ("out_kwh", "wear_per_kwh", "owner_per_year", "aggregator_per_year")
        keep(
            self,
            revenue_per_year=dict(one=True, gt=0),
            **{name: dict(one=True, ge=0) for name in amounts},
        )
        keep_single(self, needs=dict(fraction=True, gt=0))


def usable_share(contract: Contract, service: CarService) -> float:
    r"""Part of the service that a contract leaves.

    .. math::

        u = \min\Big((1 - o)\,\min\big(1, \tfrac{1 - s_0}{n}\big),\ \frac{E_{max}}{E}\Big)    (13.9)

    Parameters
    ----------
    contract : Contract
        Opt-out o, floor s_0 and warranty E_max.
    service : CarService
        Need n of the battery, and energy E.

    Returns
    -------
    float
        Fraction y of revenue and energy, 0..1 [-].

    Raises
    ------
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> service = CarService(
    ...     revenue_per_year=500.0,
    ...     out_kwh=2000.0,
    ...     needs=0.6,
    ...     wear_per_kwh=0.05,
    ...     owner_per_year=40.0,
    ...     aggregator_per_year=90.0,
    ... )
    >>> round(usable_share(Contract(owner_share=0.6, opt_out=0.1, floor=0.55), service), 3)
    0.675
    """
    instance("contract", contract, Contract)
    instance("service", service, CarService)
    free = (1 - contract.opt_out) * min(1.0, (1 - contract.floor) / service.needs)
    if service.out_kwh == 0:
        return free
    return min(free, contract.warranty_kwh / service.out_kwh)  # eq. (13.9)


def split_value(contract: Contract, service: CarService) -> pd.DataFrame:
    r"""What owner and aggregator each earn in a year, line by line.

    .. math:: V_o = a\,u R + G - u\,w E - c_o,\qquad V_a = (1 - a)\,u R - G - c_a            (13.10)

    Parameters
    ----------
    contract : Contract
        Shares and limits.
    service : CarService
        Revenue and costs of the service.

    Returns
    -------
    DataFrame, index line
        Columns `owner` and `aggregator`; rows "revenue", "fixed", "wear" and "running" (costs are
        negative), and their sum "left". Whoever has less than zero left ends the contract
        [currency/year].

    Raises
    ------
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> service = CarService(
    ...     revenue_per_year=500.0,
    ...     out_kwh=2000.0,
    ...     needs=0.6,
    ...     wear_per_kwh=0.05,
    ...     owner_per_year=40.0,
    ...     aggregator_per_year=90.0,
    ... )
    >>> split_value(Contract(owner_share=0.6, opt_out=0.1), service).loc["left"].round(2).to_dict()
    {'owner': 140.0, 'aggregator': 90.0}
    """
    used = usable_share(contract, service)
    revenue = used * service.revenue_per_year
    owner = {
        "revenue": contract.owner_share * revenue,
        "fixed": contract.fixed_per_year,
        "wear": -used * service.wear_per_kwh * service.out_kwh,
        "running": -service.owner_per_year,
    }
    aggregator = {
        "revenue": (1 - contract.owner_share) * revenue,
        "fixed": -contract.fixed_per_year,
        "wear": 0.0,
        "running": -service.aggregator_per_year,
    }
    lines = pd.DataFrame({"owner": owner, "aggregator": aggregator})
    lines.loc["left"] = lines.sum()  # eq. (13.10)
    return lines.rename_axis("line")


def share_range(contract: Contract, service: CarService) -> tuple[float, float]:
    """Owner's shares of the revenue at which both sides stay.

    Parameters
    ----------
    contract : Contract
        Limits of the service; its own `owner_share` does not matter here.
    service : CarService
        Revenue and costs of the service.

    Returns
    -------
    tuple of float
        Least share for the owner and most for the aggregator [-]. Where the first is above the
        second there is no deal; it is (inf, -inf) if the contract leaves no revenue to share.

    Raises
    ------
    TypeError
        If an argument is of another kind.

    Examples
    --------
    >>> service = CarService(
    ...     revenue_per_year=500.0,
    ...     out_kwh=2000.0,
    ...     needs=0.6,
    ...     wear_per_kwh=0.05,
    ...     owner_per_year=40.0,
    ...     aggregator_per_year=90.0,
    ... )
    >>> low, high = share_range(Contract(owner_share=0.6, opt_out=0.2), service)
    >>> round(low, 3), round(high, 3)
    (0.3, 0.775)
    """
    used = usable_share(contract, service)
    revenue = used * service.revenue_per_year
    if revenue < 1e-12:
        return math.inf, -math.inf
    wear = used * service.wear_per_kwh * service.out_kwh
    least = (wear + service.owner_per_year - contract.fixed_per_year) / revenue
    most = 1 - (contract.fixed_per_year + service.aggregator_per_year) / revenue
    return max(0.0, least), most
