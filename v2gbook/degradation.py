r"""Topic 09, degradation: what a kilowatt-hour through the battery costs.

Six models of one battery, from a line of arithmetic to laws fitted to cells: `Throughput` (and
`kempton_tomic_wear`), `Woehler` with Miner's sum, `Xu` (rainflow, 2016), `Wang` (2011, LFP),
`Naumann` (2018 and 2020, LFP) and `Schmalstieg` (2014, NMC). Each of them reads a `Profile`, the
state of charge over some days, and returns the capacity lost after some years of it; `compare` puts
them side by side, because they disagree. `wear_price` turns the difference between two profiles
into the cost per kWh that a schedule needs.

Temperatures are given in degrees Celsius and used in kelvin. Losses are fractions of the first
capacity. Throughput says whether it counts one direction or both.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, partial
from typing import Protocol

import numpy as np
import pandas as pd
import rainflow as counter
from numpy.typing import ArrayLike
from scipy.optimize import brentq

from ._check import (
    FloatOrArray,
    checked,
    fraction,
    instance,
    keep,
    keep_single,
    one,
    one_fraction,
    plain,
    row,
    short,
    together,
    whole,
)
from ._limits import CAPACITY_KWH, ETA, Limits

KELVIN = 273.15
GAS_J_PER_MOL_K = 8.314

# What each quantity may be. The limits are generous: beyond them a unit has slipped.
_HOTTEST_C = 150.0  # no cell works above it; room temperature in kelvin is about 298
_PACK_PRICE: Limits = {"unit": "per kWh", "ge": 0, "le": 1e9}
_PRICE: Limits = {"unit": "per kWh", "ge": -1e9, "le": 1e9}  # with a sign
_COST: Limits = {"ge": 0, "le": 1e12}
_CHARGE: Limits = {"unit": "Ah", "ge": 0, "le": 1e12}
_CELL: Limits = {"unit": "Ah", "gt": 0, "ge": 1e-6, "le": 1e6}
_CYCLES: Limits = {"gt": 0, "ge": 1e-6, "le": 1e12}
_COUNT: Limits = {"ge": 0, "le": 1e12}
_STEP: Limits = {"unit": "h", "gt": 0, "ge": 1e-6, "le": 8760}
_CURRENT: Limits = {"unit": "1/h", "gt": 0, "le": 1000}
_YEARS: Limits = {"unit": "years", "ge": 0, "le": 1e6}
_DEPTH: Limits = {"gt": 0, "ge": 1e-6}  # of `fraction`, as are the next two
_END: Limits = {"gt": 0, "ge": 1e-6, "lt": 1}


def _absolute(name, temp_c):
    """Absolute temperature [K], where the argument has this name."""
    celsius = np.asarray(checked(name, temp_c, "°C", gt=-KELVIN))
    highest = float(celsius.max())
    if highest > _HOTTEST_C:
        raise ValueError(
            f"{name} is {highest:g} °C, outside the models' range (at most {_HOTTEST_C:g} °C). "
            "Was it given in kelvin?"
        )
    return plain(celsius + KELVIN)


def kelvin(temp_c: ArrayLike) -> FloatOrArray:
    """Absolute temperature of one in degrees Celsius.

    Parameters
    ----------
    temp_c : float or array
        Temperature, above -273.15 and at most 150 [°C].

    Returns
    -------
    float or array
        The same temperature, absolute [K].

    Raises
    ------
    ValueError
        If a temperature lies outside that range. One of 298 was probably in kelvin already.

    Examples
    --------
    >>> kelvin([-40.0, 25.0]).round(2).tolist()
    [233.15, 298.15]
    """
    return _absolute("temp_c", temp_c)


# --------------------------------------------------------------------------------- throughput


def throughput_price(
    pack_cost_per_kwh: ArrayLike, cycles: ArrayLike, depth: ArrayLike, *, directions: int
) -> FloatOrArray:
    r"""Cost per kWh of throughput if a battery lives for so many cycles.

    .. math:: w = \frac{c_{bat}}{n_{dir}\,N\,D}            (9.1)

    Parameters
    ----------
    pack_cost_per_kwh : float or array
        Price of a kWh of battery [per kWh].
    cycles : float or array
        Cycles until it is replaced [-].
    depth : float or array
        Depth of those cycles, a fraction above 0 and at most 1 [-].
    directions : int
        What the throughput counts: 1 for energy taken out only, 2 for energy in and out. There is
        no default: a forgotten factor of two is the commonest mistake of this subject.

    Returns
    -------
    float or array, broadcast of the inputs
        Cost of a kWh of throughput [per kWh].

    Raises
    ------
    ValueError
        If the price is negative, cycles or depth are not positive, `directions` is neither 1 nor
        2, or shapes do not fit.

    Examples
    --------
    >>> round(42.222222 * throughput_price(130.0, 1000, 0.8, directions=2), 2)
    3.43
    """
    price = checked("pack_cost_per_kwh", pack_cost_per_kwh, **_PACK_PRICE)
    lives = checked("cycles", cycles, **_CYCLES)
    depths = fraction("depth", depth, **_DEPTH)
    counts = "(1 counts energy taken out, 2 counts energy in and out)"
    directions = whole("directions", directions, counts, ge=1, le=2)
    together(pack_cost_per_kwh=price, cycles=lives, depth=depths)
    return plain(price / (directions * np.asarray(lives) * depths))  # eq. (9.1)


@dataclass(frozen=True, kw_only=True)
class PackWear:
    """Cost of replacing a pack, shared out over the energy that it delivers in its life.

    Attributes
    ----------
    pack_cost : float
        Cost of the pack and of the work to change it, 0 or more.
    lifetime_kwh : float
        Energy that it delivers in its life, counted one way, above 0 [kWh].
    per_kwh : float
        Cost of a kWh taken out [per kWh].
    """

    pack_cost: float
    lifetime_kwh: float
    per_kwh: float

    def __post_init__(self):
        keep_single(
            self,
            pack_cost={"ge": 0},
            lifetime_kwh={"unit": "kWh", "gt": 0},
            per_kwh={"unit": "per kWh", "ge": 0},
        )


def kempton_tomic_wear(
    energy_kwh: float,
    pack_cost_per_kwh: float,
    *,
    labour: float,
    cycles: float,
    depth: float,
    shallow: float = 1.0,
) -> PackWear:
    r"""Wear after Kempton and Tomic: the pack and its change, over the energy it delivers.

    .. math:: c_d = \frac{E\,c_b + c_l}{N\,E\,D\,\kappa}            (9.2)

    Parameters
    ----------
    energy_kwh : float
        Energy of the pack [kWh].
    pack_cost_per_kwh : float
        Price of a kWh of battery [per kWh].
    labour : float
        Cost of the replacement itself, in the currency of the price.
    cycles : float
        Life in cycles [-].
    depth : float
        Depth of those cycles, a fraction above 0 and at most 1 [-].
    shallow : float
        Factor on lifetime energy for shallow cycles; the paper uses 3 [-].

    Returns
    -------
    PackWear
        Cost of the pack, energy of its life [kWh], and cost of a kWh of it [per kWh].

    Raises
    ------
    ValueError
        If a price or cost is negative, or one of the other values is not positive.

    References
    ----------
    .. [1] Kempton and Tomic, J. Power Sources 144, 268-279, 2005, eqs (9)-(11).

    Examples
    --------
    >>> wear = kempton_tomic_wear(
    ...     27.4, 350.0, labour=300.0, cycles=2000, depth=0.8, shallow=3.0
    ... )
    >>> round(wear.pack_cost), round(wear.lifetime_kwh), round(wear.per_kwh, 4)
    (9890, 131520, 0.0752)
    """
    energy = one("energy_kwh", energy_kwh, **CAPACITY_KWH)
    price = one("pack_cost_per_kwh", pack_cost_per_kwh, **_PACK_PRICE)
    labour = one("labour", labour, **_COST)
    cycles = one("cycles", cycles, **_CYCLES)
    depth = one_fraction("depth", depth, **_DEPTH)
    shallow = one("shallow", shallow, gt=0, ge=1e-6, le=1e6)
    cost = energy * price + labour
    lifetime = cycles * energy * depth * shallow
    return PackWear(pack_cost=cost, lifetime_kwh=lifetime, per_kwh=cost / lifetime)  # eq. (9.2)


# --------------------------------------------------------------------------- what happened to it


def _refuse_per_cent(soc):
    """A series without negative values that goes beyond 1.5, up to 100, is a soc in per cent."""
    highest = float(soc.max())
    if soc.min() >= 0 and 1.5 <= highest <= 100:
        raise ValueError(
            f"soc is {highest:g}; a state of charge is a fraction, at most 1: is it in per cent? "
            "(If it is another quantity, subtract its mean: the cycles stay the same.)"
        )


def rainflow(soc: ArrayLike) -> pd.DataFrame:
    """Cycles of which a state of charge is made (ASTM E1049-85, the `rainflow` package).

    Parameters
    ----------
    soc : array, shape (steps,)
        State of charge, a fraction [-]. Other quantities are counted too; but a series that lies
        between 0 and 100 and goes beyond 1.5 is taken for a state of charge in per cent. If it is
        something else, subtract its mean before, which changes neither depths nor counts.

    Returns
    -------
    DataFrame
        One row for each cycle, numbered from 0. Columns: `depth` (range of the cycle) and `mean`,
        both in the unit of the series, `count` (1, or 0.5 for half a cycle), and `start` and `end`
        (the steps between which it lies).

    Raises
    ------
    ValueError
        If `soc` is not one series of known numbers, or seems to be in per cent.

    References
    ----------
    .. [1] ASTM E1049-85, Standard practices for cycle counting in fatigue analysis, 5.4.4.

    Examples
    --------
    >>> cycles = rainflow([0.9, 0.4, 0.6, 0.3, 0.9])
    >>> cycles[["depth", "count"]].to_numpy().round(3).tolist()
    [[0.2, 1.0], [0.6, 0.5], [0.6, 0.5]]
    """
    series = row("soc", np.atleast_1d(checked("soc", soc)))
    _refuse_per_cent(series)
    last_twice = np.append(series, series[-1])  # the package wants three points; this adds nothing
    found = counter.extract_cycles(last_twice)
    table = pd.DataFrame(found, columns=["depth", "mean", "count", "start", "end"])
    cycles = table[table.depth > 0].reset_index(drop=True)
    return cycles.assign(end=np.minimum(cycles.end, series.size - 1))


def _soc(soc):
    """A state of charge; what a solver overshoots, such as 1 + 1e-9, is let through as it is."""
    given = checked("soc", soc)
    fraction("soc", np.round(given, 8))
    return given


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """What a battery goes through: state of charge over some days, which then repeat.

    Attributes
    ----------
    soc : array, shape (steps,)
        State of charge at each step, two steps at least, a fraction from 0 to 1 [-].
    dt_h : float
        Length of a step, above 0 and at most 8,760 [h].
    temp_c : float or array, shape (steps,)
        Temperature of the cells, above -273.15 and at most 150 [°C].
    c_rate : float
        Typical current over capacity, above 0, for models that ask for it (`Wang`, which was
        measured from 0.5 to 2, and `Naumann`) [1/h].

    Raises
    ------
    ValueError
        If a field is out of range, or there are not as many temperatures as steps.

    Examples
    --------
    >>> day = Profile(soc=[0.9, 0.4, 0.6, 0.3, 0.9, 0.9], dt_h=4.0, temp_c=25.0, c_rate=0.2)
    >>> round(day.full_cycles, 3), round(365 * day.years, 3)
    (0.8, 1.0)
    """

    soc: np.ndarray
    dt_h: float
    temp_c: FloatOrArray
    c_rate: float = 0.2

    def __post_init__(self):
        soc = np.asarray(_soc(self.soc))
        if soc.ndim != 1 or soc.size < 2:
            raise ValueError(
                f"soc must be a series of at least two steps, of one car; its shape is {soc.shape}"
            )
        _absolute("temp_c", self.temp_c)
        keep(self, soc={"row": True}, temp_c={"unit": "°C"})
        keep_single(self, dt_h=_STEP, c_rate=_CURRENT)
        shape = np.shape(self.temp_c)
        if shape not in ((), (1,), soc.shape):
            raise ValueError(
                f"temp_c has {np.size(self.temp_c)} steps (its shape is {shape}) and soc "
                f"{soc.size}; give one temperature, or one for each step"
            )

    @cached_property
    def cycles(self) -> pd.DataFrame:
        """Cycles of the profile, taken round from its highest point: at whatever hour it begins.

        Returns
        -------
        DataFrame
            As that of `rainflow`; a cycle that closes over the end of the profile has an `end`
            before its `start`.
        """
        top = int(np.argmax(self.soc))
        steps = len(self.soc)
        from_the_top = np.append(np.roll(self.soc, -top), np.max(self.soc))
        found = rainflow(from_the_top)
        return found.assign(start=(found.start + top) % steps, end=(found.end + top) % steps)

    @property
    def temp_k(self) -> FloatOrArray:
        """Absolute temperature of the cells [K].

        Returns
        -------
        float or array, shape (steps,)
            As `temp_c` was given [K].
        """
        return kelvin(self.temp_c)

    @property
    def years(self) -> float:
        """Length of the profile [years of 8,760 h].

        Returns
        -------
        float
            Steps by their length [years].
        """
        return len(self.soc) * self.dt_h / 8760

    @property
    def full_cycles(self) -> float:
        """Equivalent full cycles: energy taken out over capacity [-].

        Returns
        -------
        float
            In one run of the profile, the way from its last step to its first included [-].
        """
        falls = -np.diff(self.soc, append=self.soc[0])
        return float(np.maximum(falls, 0).sum())


@dataclass(frozen=True, kw_only=True)
class CapacityLoss:
    """Share of the first capacity that is gone, by cause; `total` need not be the sum.

    Models that grow without end pass 1, beyond which they mean nothing.

    Attributes
    ----------
    calendar : float
        By time, 0 or more, a fraction [-].
    cycling : float
        By cycles, 0 or more, a fraction [-].
    total : float
        By both, 0 or more, a fraction [-].
    """

    calendar: float
    cycling: float
    total: float

    def __post_init__(self):
        keep_single(self, calendar={"ge": 0}, cycling={"ge": 0}, total={"ge": 0})


# -------------------------------------------------------------------------------- six models


def _span(profile, years):
    """The years of a loss, if they and the profile are what they should be."""
    instance("profile", profile, Profile)
    return one("years", years, **_YEARS)


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """The simplest model: so many full cycles, whatever their depth, and time does nothing.

    Attributes
    ----------
    full_cycles : float
        Equivalent full cycles until the loss reaches `end_loss`, above 0 [-].
    end_loss : float
        Loss at which the battery is worn out, a fraction above 0 and below 1 [-].

    Raises
    ------
    ValueError
        If a field is out of range.

    Examples
    --------
    >>> day = Profile(soc=[0.9, 0.4, 0.6, 0.3, 0.9, 0.9], dt_h=4.0, temp_c=25.0)
    >>> round(Throughput(full_cycles=1500, end_loss=0.2).loss(day, 4.0).total, 4)
    0.1557
    """

    full_cycles: float
    end_loss: float = 0.2

    def __post_init__(self):
        keep_single(self, full_cycles=_CYCLES, end_loss={"fraction": True, **_END})

    def loss(self, profile: Profile, years: float) -> CapacityLoss:
        """Capacity lost after some years of a profile.

        Parameters
        ----------
        profile : Profile
            What the battery goes through, again and again.
        years : float
            For how long [years].

        Returns
        -------
        CapacityLoss
            All of it by cycling, in proportion to the energy taken out [-].

        Raises
        ------
        TypeError
            If `profile` is something else.
        ValueError
            If `years` is negative or above a million.

        Examples
        --------
        >>> day = Profile(soc=[0.9, 0.4, 0.9], dt_h=8.0, temp_c=25.0)
        >>> round(Throughput(full_cycles=1500).loss(day, 4.0).cycling, 4)
        0.0973
        """
        span = _span(profile, years)
        cycling = self.end_loss * profile.full_cycles / profile.years * span / self.full_cycles
        return CapacityLoss(calendar=0.0, cycling=cycling, total=cycling)


def _depth(depth):
    """A depth as an array; what a solver overshoots, such as 1 + 1e-9, is taken for 1."""
    return np.minimum(fraction("depth", depth, le=1 + 1e-6), 1.0)


@dataclass(frozen=True, kw_only=True)
class Woehler:
    r"""Cycles to the end of life against depth, a straight line on logarithmic paper.

    Miner's sum M of all cycles is the share of the life that they have used up.

    .. math:: N(D) = N_0\,D^{-k}            (9.3)
    .. math:: M = \sum_i \frac{n_i}{N(D_i)}            (9.4)

    Attributes
    ----------
    n0 : float
        Cycles of full depth that a new battery survives, above 0 [-].
    k : float
        Slope of the line, from 0 (depth does not matter) to 1,000 [-].
    end_loss : float
        Loss at which the battery is worn out, a fraction above 0 and below 1 [-].

    Raises
    ------
    ValueError
        If a field is out of range.

    Examples
    --------
    >>> line = Woehler(n0=3000, k=1.66, end_loss=0.2)
    >>> round(line.cycles(0.5)), round(line.miner(0.5, 1000), 3)
    (9480, 0.105)
    """

    n0: float
    k: float
    end_loss: float = 0.2

    def __post_init__(self):
        keep_single(
            self,
            n0={"gt": 0, "ge": 1e-200, "le": 1e15},  # a steep line leaves next to nothing at D = 1
            k={"ge": 0, "le": 1000},
            end_loss={"fraction": True, **_END},
        )

    @classmethod
    def through(
        cls, depth_1: float, cycles_1: float, depth_2: float, cycles_2: float, end_loss: float = 0.2
    ) -> "Woehler":
        """The line through two measured points.

        Parameters
        ----------
        depth_1 : float
            Depth of the first point, a fraction above 0 and at most 1 [-].
        cycles_1 : float
            Cycles of that depth until the end of life [-].
        depth_2 : float
            Another depth [-].
        cycles_2 : float
            Cycles of that depth until the end of life [-].
        end_loss : float
            Loss at which the battery was called worn out, a fraction [-].

        Returns
        -------
        Woehler
            Line on which both points lie.

        Raises
        ------
        ValueError
            If both depths are the same, or deeper cycles last longer than shallow ones.

        Examples
        --------
        >>> line = Woehler.through(1.0, 3000, 0.03, 1e6, end_loss=0.2)
        >>> round(line.n0), round(line.k, 3)
        (3000, 1.657)
        """
        depth_1 = one_fraction("depth_1", depth_1, **_DEPTH)
        cycles_1 = one("cycles_1", cycles_1, **_CYCLES)
        depth_2 = one_fraction("depth_2", depth_2, **_DEPTH)
        cycles_2 = one("cycles_2", cycles_2, **_CYCLES)
        if depth_1 == depth_2:
            raise ValueError(
                f"depth_1 and depth_2 are the same depth, {depth_1:g}; no line goes through them"
            )
        k = float(np.log(cycles_2 / cycles_1) / np.log(depth_1 / depth_2))
        if k < 0:
            raise ValueError(
                f"cycles_1 is {cycles_1:g} at depth_1 = {depth_1:g}, and cycles_2 is {cycles_2:g} "
                f"at depth_2 = {depth_2:g}: then k is {k:.3f}; it must be at least 0. Deep cycles "
                "never last longer."
            )
        return cls(n0=float(cycles_1 * depth_1**k), k=k, end_loss=end_loss)

    def cycles(self, depth: ArrayLike) -> FloatOrArray:
        """Cycles of one depth that a new battery survives: eq. (9.3).

        Parameters
        ----------
        depth : float or array
            Depth of each cycle, a fraction above 0 and at most 1 [-].

        Returns
        -------
        float or array
            Cycles until the end of life [-].

        Raises
        ------
        ValueError
            If the depth is not such a fraction, or so small that the cycles cannot be counted.

        Examples
        --------
        >>> Woehler(n0=3000, k=2.0).cycles([1.0, 0.5]).tolist()
        [3000.0, 12000.0]
        """
        depths = np.asarray(fraction("depth", depth, gt=0))
        with np.errstate(over="ignore"):  # refused below
            lives = self.n0 * depths**-self.k  # eq. (9.3)
        if not np.isfinite(lives).all():
            raise ValueError(
                f"depth is {depths.min():g}; with k = {self.k:g} a battery survives more of such "
                "cycles than any number can tell. Give a larger depth"
            )
        return plain(lives)

    def miner(self, depth: ArrayLike, count: ArrayLike) -> float:
        """Share of the life used up by cycles of some depths: Miner's sum, eq. (9.4).

        Parameters
        ----------
        depth : float or array, shape (cycles,)
            Depth of each cycle, a fraction from 0 to 1 [-].
        count : float or array, shape (cycles,)
            How many of that depth; 0.5 is half a cycle [-].

        Returns
        -------
        float
            Sum over all cycles; 1 is the end of life [-].

        Raises
        ------
        ValueError
            If a depth is no fraction, a count is negative, or shapes do not fit.

        Examples
        --------
        >>> round(Woehler(n0=3000, k=2.0).miner([1.0, 0.5], [750.0, 3000.0]), 3)
        0.5
        """
        depths = _depth(depth)
        counts = np.asarray(checked("count", count, **_COUNT))
        together(depth=depths, count=counts)
        return float(np.sum(counts * depths**self.k / self.n0))  # eq. (9.4)

    def loss(self, profile: Profile, years: float) -> CapacityLoss:
        """Capacity lost after some years of a profile.

        Parameters
        ----------
        profile : Profile
            What the battery goes through, again and again.
        years : float
            For how long [years].

        Returns
        -------
        CapacityLoss
            All of it by cycling: `end_loss` times Miner's sum [-].

        Raises
        ------
        TypeError
            If `profile` is something else.
        ValueError
            If `years` is negative or above a million.

        Examples
        --------
        >>> day = Profile(soc=[0.9, 0.4, 0.9], dt_h=8.0, temp_c=25.0)
        >>> round(Woehler(n0=3000, k=1.66).loss(day, 4.0).cycling, 4)
        0.0308
        """
        span = _span(profile, years)
        cycles = profile.cycles
        used = self.miner(cycles.depth, cycles["count"]) if len(cycles) else 0.0
        cycling = self.end_loss * used / profile.years * span
        return CapacityLoss(calendar=0.0, cycling=cycling, total=cycling)


@dataclass(frozen=True, kw_only=True)
class Xu:
    r"""Cycle and calendar ageing on a film that grows fast at first, fitted to LMO cells.

    .. math:: f = \sum_i n_i\,S_d(D_i)\,S_\sigma(\bar s_i)\,S_T
              + k_t\,t\,\overline{S_\sigma S_T}            (9.5)
    .. math:: S_d = \big(k_{d1} D^{k_{d2}} + k_{d3}\big)^{-1},\quad
              S_\sigma = e^{k_\sigma (s - s_{ref})},\quad
              S_T = e^{k_T (T - T_{ref})\,T_{ref}/T}            (9.6)
    .. math:: L = 1 - \alpha\,e^{-\beta f} - (1 - \alpha)\,e^{-f}            (9.7)

    T in kelvin: the ratio T_ref / T is meaningless in degrees Celsius.
    The second bar is over all steps; the paper takes both stresses at the mean charge and the mean
    temperature, which is the same while these are constant.

    Attributes
    ----------
    k_d1 : float
        Scale of the stress of depth, above 0 [cycles].
    k_d2 : float
        Exponent of the stress of depth, from -10 to 0 [-].
    k_d3 : float
        Offset of the stress of depth, above -`k_d1` [cycles].
    k_sigma : float
        Growth of the stress with the state of charge, 0 to 100 [-].
    soc_ref : float
        State of charge at which its stress is 1, a fraction from 0 to 1 [-].
    k_temp : float
        Growth of the stress with the temperature, 0 to 1 [1/K].
    temp_ref_c : float
        Temperature at which its stress is 1, above -273.15 and at most 150 [°C].
    k_time_per_s : float
        Damage by time at those references, 0 to 1 [1/s].
    alpha : float
        Capacity that the film takes in the end, a fraction from 0 to 1 [-].
    beta : float
        How many times faster than the rest that share is lost, 1 to 1,000,000 [-].

    Raises
    ------
    ValueError
        If a field is out of range.

    References
    ----------
    .. [1] Xu, Oudalov, Ulbig, Andersson, Kirschen, "Modeling of lithium-ion battery degradation
       for cell life assessment", IEEE Trans. Smart Grid 9(2), 1131-1140 (online 2016).

    Examples
    --------
    >>> day = Profile(soc=[0.9, 0.4, 0.6, 0.3, 0.9, 0.9], dt_h=4.0, temp_c=25.0)
    >>> loss = Xu().loss(day, 8.0)
    >>> round(loss.calendar, 4), round(loss.cycling, 4), round(loss.total, 4)
    (0.1466, 0.0815, 0.2281)
    """

    k_d1: float = 1.40e5
    k_d2: float = -0.501
    k_d3: float = -1.23e5
    k_sigma: float = 1.04
    soc_ref: float = 0.5
    k_temp: float = 0.0693
    temp_ref_c: float = 25.0
    k_time_per_s: float = 4.14e-10
    alpha: float = 0.0575
    beta: float = 121.0

    def __post_init__(self):
        keep_single(
            self,
            k_d1={"gt": 0, "ge": 1e-6, "le": 1e12},
            k_d2={"ge": -10, "le": 0},
            k_d3={"ge": -1e12, "le": 1e12},
            k_sigma={"ge": 0, "le": 100},
            soc_ref={"fraction": True},
            k_temp={"unit": "1/K", "ge": 0, "le": 1},
            temp_ref_c={"unit": "°C"},
            k_time_per_s={"unit": "1/s", "ge": 0, "le": 1},
            alpha={"fraction": True},
            beta={"ge": 1, "le": 1e6},
        )
        _absolute("temp_ref_c", self.temp_ref_c)
        if self.k_d1 + self.k_d3 < 1e-6:
            raise ValueError(
                f"k_d1 = {self.k_d1:g} and k_d3 = {self.k_d3:g} make the damage of a full cycle "
                "negative or infinite; their sum must be above 0"
            )

    def depth_stress(self, depth: ArrayLike) -> FloatOrArray:
        """Damage of one cycle of this depth at both references: S_d of eq. (9.6).

        Parameters
        ----------
        depth : float or array
            Depth of the cycle, a fraction from 0 to 1 [-].

        Returns
        -------
        float or array
            Damage, 0 at depth 0 [1/cycle].

        Raises
        ------
        ValueError
            If the depth is no such fraction.

        Examples
        --------
        >>> round(1e6 * Xu().depth_stress(0.8), 2)
        29.8
        """
        depths = _depth(depth)
        moves = depths > 0
        deep = np.where(moves, depths, 1.0)
        with np.errstate(over="ignore"):  # next to no depth, so next to no damage
            stress = 1 / (self.k_d1 * deep**self.k_d2 + self.k_d3)  # eq. (9.6)
        return plain(np.where(moves, stress, 0.0))

    def soc_stress(self, soc: ArrayLike) -> FloatOrArray:
        """Factor for the state of charge: S_sigma of eq. (9.6).

        Parameters
        ----------
        soc : float or array
            State of charge, a fraction from 0 to 1 [-].

        Returns
        -------
        float or array
            Factor on the damage; 1 at `soc_ref` [-].

        Raises
        ------
        ValueError
            If `soc` is no such fraction.

        Examples
        --------
        >>> Xu().soc_stress([0.5, 0.9]).round(3).tolist()
        [1.0, 1.516]
        """
        return plain(np.exp(self.k_sigma * (np.asarray(_soc(soc)) - self.soc_ref)))

    def temp_stress(self, temp_c: ArrayLike) -> FloatOrArray:
        """Factor for the temperature: S_T of eq. (9.6), computed in kelvin.

        Parameters
        ----------
        temp_c : float or array
            Temperature of the cells [°C].

        Returns
        -------
        float or array
            Factor on the damage; 1 at `temp_ref_c` [-].

        Raises
        ------
        ValueError
            If a temperature is outside the range of `kelvin`.

        Examples
        --------
        >>> Xu().temp_stress([15.0, 25.0, 35.0]).round(3).tolist()
        [0.488, 1.0, 1.955]
        """
        temp = np.asarray(kelvin(temp_c))
        ref = kelvin(self.temp_ref_c)
        return plain(np.exp(self.k_temp * (temp - ref) * ref / temp))

    def damage(self, profile: Profile) -> tuple[float, float]:
        """Damage by time and by cycles in one run of the profile: the terms of eq. (9.5).

        Parameters
        ----------
        profile : Profile
            What the battery goes through.

        Returns
        -------
        tuple of two floats
            By time first, then by cycles [-].

        Raises
        ------
        TypeError
            If `profile` is something else.

        Examples
        --------
        >>> day = Profile(soc=[0.9, 0.4, 0.9], dt_h=8.0, temp_c=25.0)
        >>> [round(1e6 * part, 2) for part in Xu().damage(day)]
        [46.89, 15.56]
        """
        instance("profile", profile, Profile)
        heat = np.asarray(self.temp_stress(profile.temp_c))
        return self._by_time(profile, heat), self._by_cycles(profile, heat)  # eq. (9.5)

    def _by_time(self, profile, heat):
        """Second term of eq. (9.5)."""
        seconds = 3600 * profile.dt_h * len(profile.soc)
        stress = float(np.mean(self.soc_stress(profile.soc) * heat))
        return self.k_time_per_s * seconds * stress

    def _by_cycles(self, profile, heat):
        """First term of eq. (9.5); for heat its mean, since a cycle takes many steps."""
        cycles = profile.cycles
        if not len(cycles):
            return 0.0
        stress = self.depth_stress(cycles.depth) * self.soc_stress(cycles["mean"])
        return float(np.sum(cycles["count"] * stress) * heat.mean())

    def lost(self, damage: ArrayLike) -> FloatOrArray:
        """Capacity lost at a damage: eq. (9.7).

        Parameters
        ----------
        damage : float or array
            Damage f, 0 or more [-].

        Returns
        -------
        float or array
            Share of the first capacity that is gone [-].

        Raises
        ------
        ValueError
            If the damage is negative.

        Examples
        --------
        >>> round(Xu().lost(0.03), 4)
        0.0838
        """
        f = np.asarray(checked("damage", damage, ge=0))
        film = self.alpha * np.exp(-self.beta * f)
        rest = (1 - self.alpha) * np.exp(-f)
        return plain(1 - film - rest)  # eq. (9.7)

    def damage_at(self, lost: float) -> float:
        """Damage at which so much capacity is lost: eq. (9.7) solved for f.

        Parameters
        ----------
        lost : float
            Share of the first capacity that is gone, a fraction from 0 to 0.99 [-].

        Returns
        -------
        float
            Damage f [-].

        Raises
        ------
        ValueError
            If `lost` is no such fraction.

        Examples
        --------
        >>> round(Xu().damage_at(0.2), 4)
        0.1639
        """
        lost = one_fraction("lost", lost, le=0.99)
        if lost == 0:
            return 0.0
        return float(brentq(lambda f: self.lost(f) - lost, 0.0, 60.0, xtol=1e-14))

    def loss(self, profile: Profile, years: float) -> CapacityLoss:
        """Capacity lost after some years of a profile.

        Parameters
        ----------
        profile : Profile
            What the battery goes through, again and again.
        years : float
            For how long [years].

        Returns
        -------
        CapacityLoss
            The total of eq. (9.7), shared between the causes in proportion to their damage [-].

        Raises
        ------
        TypeError
            If `profile` is something else.
        ValueError
            If `years` is negative or above a million.

        Examples
        --------
        >>> parked = Profile(soc=[0.9, 0.9], dt_h=12.0, temp_c=25.0)
        >>> round(Xu().loss(parked, 4.0).calendar, 4)
        0.1292
        """
        span = _span(profile, years)
        once_by_time, once_by_cycles = self.damage(profile)
        by_time = once_by_time / profile.years * span
        by_cycles = once_by_cycles / profile.years * span
        damage = by_time + by_cycles
        total = float(self.lost(damage))
        share = by_time / damage if damage else 0.0
        return CapacityLoss(calendar=share * total, cycling=(1 - share) * total, total=total)


@dataclass(frozen=True, kw_only=True)
class Wang:
    r"""Cycle ageing of a 2.2 Ah lithium iron phosphate (LFP) cell; time alone does nothing.

    .. math:: L = \tfrac{1}{100}\,B(C)\,
              \exp\!\Big(\frac{-31700 + 370.3\,C}{R\,T}\Big)\,A^{0.55}            (9.8)

    A is the charge delivered by one cell [Ah], C the current over capacity [1/h]. B falls from
    31,630 at C = 0.5 to 21,681 at C = 2.

    Attributes
    ----------
    cell_ah : float
        Capacity of one cell, above 0 [Ah].

    Raises
    ------
    ValueError
        If the capacity is out of range.

    References
    ----------
    .. [1] Wang and others, "Cycle-life model for graphite-LiFePO4 cells", J. Power Sources 196,
       3942-3948, 2011.

    Examples
    --------
    >>> day = Profile(soc=[0.9, 0.4, 0.9], dt_h=8.0, temp_c=25.0, c_rate=0.5)
    >>> round(Wang(cell_ah=2.2).loss(day, 8.0).total, 4)
    0.0808
    """

    cell_ah: float = 2.2

    def __post_init__(self):
        keep_single(self, cell_ah=_CELL)

    def lost(self, charge_ah: ArrayLike, c_rate: ArrayLike, temp_c: ArrayLike) -> FloatOrArray:
        """Capacity lost after a charge through one cell: eq. (9.8).

        Parameters
        ----------
        charge_ah : float or array
            Delivered by one cell of 2.2 Ah, not by a pack [Ah].
        c_rate : float or array
            Current over capacity. The prefactor was measured from 0.5 to 2; below 0.5 it is held,
            above 2 the current is refused [1/h].
        temp_c : float or array
            Temperature of the cell [°C].

        Returns
        -------
        float or array, broadcast of the inputs
            A fraction (the paper gives per cent) [-].

        Raises
        ------
        ValueError
            If the charge is negative, the current not above 0 and at most 2, the temperature
            outside the range of `kelvin`, or shapes do not fit.

        Examples
        --------
        >>> Wang().lost([1000.0, 8000.0], 0.5, 25.0).round(4).tolist()
        [0.0425, 0.1335]
        """
        charge = np.asarray(checked("charge_ah", charge_ah, **_CHARGE))
        current = np.asarray(checked("c_rate", c_rate, "1/h", gt=0, le=2))
        temp = np.asarray(kelvin(temp_c))
        together(charge_ah=charge, c_rate=current, temp_c=temp)
        prefactor = np.interp(current, [0.5, 2.0], [31630.0, 21681.0])
        exponent = (-31700 + 370.3 * current) / (GAS_J_PER_MOL_K * temp)
        return plain(prefactor * np.exp(exponent) * charge**0.55 / 100)  # eq. (9.8)

    def loss(self, profile: Profile, years: float) -> CapacityLoss:
        """Capacity lost after some years of a profile, at its mean temperature.

        Parameters
        ----------
        profile : Profile
            What the battery goes through, again and again; its `c_rate` is at most 2.
        years : float
            For how long [years].

        Returns
        -------
        CapacityLoss
            All of it by cycling [-].

        Raises
        ------
        TypeError
            If `profile` is something else.
        ValueError
            If `years` is negative, or the current of the profile is above what was measured.

        Examples
        --------
        >>> day = Profile(soc=[0.9, 0.4, 0.9], dt_h=8.0, temp_c=25.0, c_rate=0.5)
        >>> round(Wang().loss(day, 4.0).cycling, 4)
        0.0552
        """
        span = _span(profile, years)
        charge_ah = self.cell_ah * profile.full_cycles / profile.years * span
        cycling = float(self.lost(charge_ah, profile.c_rate, np.mean(profile.temp_c)))
        return CapacityLoss(calendar=0.0, cycling=cycling, total=cycling)


@dataclass(frozen=True, kw_only=True)
class Naumann:
    r"""Calendar and cycle ageing of a 3 Ah lithium iron phosphate (LFP) cell of the 2010s.

    .. math:: L = g_T\,g_s\,\sqrt{t} + g_C\,g_D\,\sqrt{n_{full}}            (9.9)

    t in days, :math:`n_{full}` full equivalent cycles (energy taken out over capacity); :math:`g_T`
    grows with temperature, :math:`g_s` with the state of charge (`calendar_rate`), :math:`g_C` with
    the current and :math:`g_D` with the depth of the cycles (`cycle_rate`), here weighted by the
    charge that they move. In this fit temperature does not act on the second term.

    References
    ----------
    .. [1] Naumann, Schimpe, Keil, Hesse, Jossen, "Analysis and modeling of calendar aging of a
       commercial LiFePO4/graphite cell", J. Energy Storage 17, 153-169, 2018,
       doi:10.1016/j.est.2018.01.019.
    .. [2] Naumann, Spingler, Jossen, "Analysis and modeling of cycle aging of a commercial
       LiFePO4/graphite cell", J. Power Sources 451, 227666, 2020,
       doi:10.1016/j.jpowsour.2019.227666.

    Examples
    --------
    >>> day = Profile(soc=[0.9, 0.4, 0.6, 0.3, 0.9, 0.9], dt_h=4.0, temp_c=25.0)
    >>> loss = Naumann().loss(day, 8.0)
    >>> round(loss.calendar, 4), round(loss.cycling, 4), round(loss.total, 4)
    (0.1378, 0.0545, 0.1922)
    """

    def calendar_rate(self, soc: ArrayLike, temp_c: ArrayLike) -> FloatOrArray:
        """Rate of calendar ageing: the product of the first two factors of eq. (9.9).

        Parameters
        ----------
        soc : float or array
            State of charge, a fraction from 0 to 1 [-].
        temp_c : float or array
            Temperature of the cell [°C].

        Returns
        -------
        float or array, broadcast of the inputs
            Capacity lost on the first day, as a fraction [1/sqrt(day)].

        Raises
        ------
        ValueError
            If `soc` is no such fraction, a temperature is outside the range of `kelvin`, or shapes
            do not fit.

        Examples
        --------
        >>> (1e3 * Naumann().calendar_rate([0.5, 0.9], 25.0)).round(2).tolist()
        [2.23, 2.9]
        """
        level = np.asarray(_soc(soc))
        temp = np.asarray(kelvin(temp_c))
        together(soc=level, temp_c=temp)
        warmth = np.exp(-17126 / GAS_J_PER_MOL_K * (1 / temp - 1 / 298.15))
        per_root_day = 1.2571e-5 * 86400**0.5 * warmth  # the paper counts seconds
        return plain(per_root_day * (2.8575 * (level - 0.5) ** 3 + 0.60225))

    def cycle_rate(self, c_rate: ArrayLike, depth: ArrayLike) -> FloatOrArray:
        """Rate of cycle ageing: the product of the last two factors of eq. (9.9).

        Parameters
        ----------
        c_rate : float or array
            Current over capacity, above 0 and at most 2 [1/h].
        depth : float or array
            Depth of the cycles, a fraction from 0 to 1 [-].

        Returns
        -------
        float or array, broadcast of the inputs
            Capacity lost with the first full equivalent cycle, as a fraction [-].

        Raises
        ------
        ValueError
            If the current is out of range, the depth no fraction, or shapes do not fit.

        Examples
        --------
        >>> (1e3 * Naumann().cycle_rate(0.2, [0.1, 0.8])).round(3).tolist()
        [0.646, 1.234]
        """
        current = np.asarray(checked("c_rate", c_rate, "1/h", gt=0, le=2))
        depths = _depth(depth)
        together(c_rate=current, depth=depths)
        strain = 4.0253 * (depths - 0.6) ** 3 + 1.0923
        return plain((0.0630 * current + 0.0971) * strain / 100)

    def loss(self, profile: Profile, years: float) -> CapacityLoss:
        """Capacity lost after some years of a profile.

        Parameters
        ----------
        profile : Profile
            What the battery goes through, again and again; its `c_rate` is at most 2.
        years : float
            For how long [years].

        Returns
        -------
        CapacityLoss
            The two terms of eq. (9.9) and their sum [-].

        Raises
        ------
        TypeError
            If `profile` is something else.
        ValueError
            If `years` is negative or above a million, or the current of the profile is above 2.

        Examples
        --------
        >>> parked = Profile(soc=[0.9, 0.9], dt_h=12.0, temp_c=25.0)
        >>> round(Naumann().loss(parked, 4.0).calendar, 4)
        0.1109
        """
        span = _span(profile, years)
        per_root_day = float(np.mean(self.calendar_rate(profile.soc, profile.temp_c)))
        calendar = per_root_day * (365 * span) ** 0.5
        full_cycles = profile.full_cycles / profile.years * span
        rate = _mean_by_charge(profile.cycles, partial(self.cycle_rate, profile.c_rate))
        cycling = rate * full_cycles**0.5
        total = calendar + cycling  # eq. (9.9)
        return CapacityLoss(calendar=calendar, cycling=cycling, total=total)


@dataclass(frozen=True, kw_only=True)
class Schmalstieg:
    r"""Calendar and cycle ageing of a nickel manganese cobalt (NMC) cell, through its voltage.

    .. math:: L = \alpha_{cal}\,t^{0.75} + \beta_{cyc}\,\sqrt{Q},\qquad
              \alpha_{cal} = (7.543\,V - 23.75)\cdot 10^6\,e^{-6976/T}            (9.10)
    .. math:: \beta_{cyc} = 7.348\cdot 10^{-3}\,(\bar V - 3.667)^2 + 7.60\cdot 10^{-4}
              + 4.081\cdot 10^{-3}\,D            (9.11)

    t in days, Q the charge through one cell of 2.15 Ah in both directions [Ah], V its resting
    voltage, V bar the quadratic mean of that, D the depth of the cycles (here weighted by the
    charge that they move).

    Attributes
    ----------
    cell_ah : float
        Capacity of one cell, above 0 [Ah].

    Raises
    ------
    ValueError
        If the capacity is out of range.

    References
    ----------
    .. [1] Schmalstieg, Käbitz, Ecker, Sauer, "A holistic aging model for Li(NiMnCo)O2 based 18650
       lithium-ion batteries", J. Power Sources 257, 325-334, 2014.

    Examples
    --------
    >>> day = Profile(soc=[0.9, 0.4, 0.6, 0.3, 0.9, 0.9], dt_h=4.0, temp_c=25.0)
    >>> loss = Schmalstieg(cell_ah=2.15).loss(day, 8.0)
    >>> round(loss.calendar, 4), round(loss.cycling, 4), round(loss.total, 4)
    (0.151, 0.3155, 0.4665)
    """

    cell_ah: float = 2.15

    def __post_init__(self):
        keep_single(self, cell_ah=_CELL)

    def voltage(self, soc: ArrayLike) -> FloatOrArray:
        """Resting voltage of the cell, from a table in steps of 0.1.

        Parameters
        ----------
        soc : float or array
            State of charge, a fraction from 0 to 1 [-].

        Returns
        -------
        float or array
            Voltage after a long rest [V].

        Raises
        ------
        ValueError
            If `soc` is no such fraction.

        References
        ----------
        .. [1] NREL, BLAST-Lite, table of the resting voltage of this cell.

        Examples
        --------
        >>> Schmalstieg().voltage([0.0, 0.5, 1.0]).round(3).tolist()
        [3.331, 3.697, 4.162]
        """
        table = [3.331, 3.491, 3.581, 3.627, 3.655, 3.697, 3.775, 3.869, 3.965, 4.073, 4.162]
        return plain(np.interp(_soc(soc), np.linspace(0, 1, 11), table))

    def calendar_rate(self, soc: ArrayLike, temp_c: ArrayLike) -> FloatOrArray:
        """Rate of calendar ageing: alpha_cal of eq. (9.10).

        Parameters
        ----------
        soc : float or array
            State of charge, a fraction from 0 to 1 [-].
        temp_c : float or array
            Temperature of the cell [°C].

        Returns
        -------
        float or array, broadcast of the inputs
            Capacity lost on the first day, as a fraction [1/day^0.75].

        Raises
        ------
        ValueError
            If `soc` is no such fraction, a temperature is outside the range of `kelvin`, or shapes
            do not fit.

        Examples
        --------
        >>> (1e4 * Schmalstieg().calendar_rate([0.5, 0.9], 25.0)).round(2).tolist()
        [2.85, 4.81]
        """
        volts = np.asarray(self.voltage(soc))
        temp = np.asarray(kelvin(temp_c))
        together(soc=volts, temp_c=temp)
        return plain((7.543 * volts - 23.75) * 1e6 * np.exp(-6976 / temp))

    def cycle_rate(self, voltage: ArrayLike, depth: ArrayLike) -> FloatOrArray:
        """Rate of cycle ageing: beta_cyc of eq. (9.11).

        Parameters
        ----------
        voltage : float or array
            Quadratic mean of the resting voltage, above 0 and at most 10 [V].
        depth : float or array
            Depth of the cycles, a fraction from 0 to 1 [-].

        Returns
        -------
        float or array, broadcast of the inputs
            Capacity lost with the first ampere-hour, as a fraction [1/sqrt(Ah)].

        Raises
        ------
        ValueError
            If the voltage is not that of one cell, the depth no fraction, or shapes do not fit.

        Examples
        --------
        >>> (1e3 * Schmalstieg().cycle_rate(3.7, [0.1, 0.8])).round(3).tolist()
        [1.176, 4.033]
        """
        volts = np.asarray(checked("voltage", voltage, "V", gt=0, le=10))
        depths = _depth(depth)
        together(voltage=volts, depth=depths)
        off_rest = np.square(volts - 3.667)
        return plain(7.348e-3 * off_rest + 7.60e-4 + 4.081e-3 * depths)  # eq. (9.11)

    def loss(self, profile: Profile, years: float) -> CapacityLoss:
        """Capacity lost after some years of a profile.

        Parameters
        ----------
        profile : Profile
            What the battery goes through, again and again.
        years : float
            For how long [years].

        Returns
        -------
        CapacityLoss
            The two terms of eq. (9.10) and their sum [-].

        Raises
        ------
        TypeError
            If `profile` is something else.
        ValueError
            If `years` is negative or above a million.

        Examples
        --------
        >>> parked = Profile(soc=[0.9, 0.9], dt_h=12.0, temp_c=25.0)
        >>> round(Schmalstieg().loss(parked, 4.0).calendar, 4)
        0.1136
        """
        span = _span(profile, years)
        alpha = float(np.mean(self.calendar_rate(profile.soc, profile.temp_c)))
        calendar = alpha * (365 * span) ** 0.75
        volts = float(np.sqrt(np.mean(np.square(self.voltage(profile.soc)))))
        charge_ah = 2 * self.cell_ah * profile.full_cycles / profile.years * span
        depth = _mean_by_charge(profile.cycles, np.asarray)
        beta = float(self.cycle_rate(volts, depth))
        cycling = beta * charge_ah**0.5
        total = calendar + cycling  # eq. (9.10)
        return CapacityLoss(calendar=calendar, cycling=cycling, total=total)


def _mean_by_charge(cycles, of_depth):
    """Mean of a function of depth over some cycles, weighted by the charge that they move."""
    moved = cycles.depth * cycles["count"]
    return float((of_depth(cycles.depth) * moved).sum() / moved.sum()) if moved.sum() > 0 else 0.0


# ---------------------------------------------------------------------------- what it means


class _Model(Protocol):
    """One of the six above, or another that answers the same question."""

    def loss(self, profile: Profile, years: float) -> CapacityLoss: ...


def _named(name, value):
    """Names and objects of a dictionary."""
    if not isinstance(value, Mapping):
        raise TypeError(f"{name} is {short(value)}; it must be a dictionary, names to objects")
    return value.items()


def _check_models(models):
    """Refuse what is not a dictionary of models."""
    for name, model in _named("models", models):
        if isinstance(model, type) or not callable(getattr(model, "loss", None)):
            raise TypeError(
                f"models[{name!r}] must be a model with a method loss(profile, years), such as Xu()"
            )


def compare(
    models: Mapping[str, _Model], profiles: Mapping[str, Profile], years: float
) -> pd.DataFrame:
    """Capacity lost by several models on several profiles.

    Parameters
    ----------
    models : dict
        Name to model: `Throughput`, `Woehler`, `Xu`, `Wang`, `Naumann`, `Schmalstieg`, or another
        object with a method `loss` like theirs.
    profiles : dict
        Name to `Profile`.
    years : float
        For how long each profile repeats [years].

    Returns
    -------
    DataFrame
        One row for each pair, numbered from 0. Columns: `model`, `profile` (names), `calendar`,
        `cycling`, `total` (fractions of the first capacity).

    Raises
    ------
    TypeError
        If `models` or `profiles` is no dictionary, or holds something else.
    ValueError
        If `years` is negative.

    Examples
    --------
    >>> parked = Profile(soc=[0.9, 0.9], dt_h=12.0, temp_c=25.0)
    >>> table = compare({"Xu": Xu(), "Wang": Wang()}, {"parked": parked}, 8.0)
    >>> table[["model", "total"]].round(3).to_numpy().tolist()
    [['Xu', 0.196], ['Wang', 0.0]]
    """
    _check_models(models)
    for name, profile in _named("profiles", profiles):
        instance(f"profiles[{name!r}]", profile, Profile)
    years = one("years", years, **_YEARS)
    rows = []
    for model_name, model in models.items():
        for profile_name, profile in profiles.items():
            loss = model.loss(profile, years)
            rows.append((model_name, profile_name, loss.calendar, loss.cycling, loss.total))
    return pd.DataFrame(rows, columns=["model", "profile", "calendar", "cycling", "total"])


def wear_price(
    extra_loss: ArrayLike,
    pack_cost: ArrayLike,
    discharged_kwh: ArrayLike,
    *,
    end_loss: ArrayLike = 0.2,
) -> FloatOrArray:
    r"""Cost of a kWh taken out of the battery, from the capacity that it cost.

    .. math:: w = \frac{C_{pack}}{L_{end}}\,
              \frac{L_{with} - L_{without}}{E_{out}}            (9.12)

    Parameters
    ----------
    extra_loss : float or array
        Capacity lost with the service minus without, a fraction from -1 to 1; negative if the
        service slows ageing [-].
    pack_cost : float or array
        Of a new pack. A pack is worn out at `end_loss`, and worth nothing then.
    discharged_kwh : float or array
        Taken out of the battery for the service in the same time [kWh].
    end_loss : float or array
        Loss at which the pack is worn out, a fraction above 0 and below 1 [-].

    Returns
    -------
    float or array, broadcast of the inputs
        Cost of a kWh taken out; negative if the service slows ageing [per kWh].

    Raises
    ------
    ValueError
        If a loss is no such fraction, the cost is negative, no energy was discharged, or shapes do
        not fit.

    Examples
    --------
    >>> round(wear_price(0.01, 12_000.0, 1000.0, end_loss=0.2), 3)
    0.6
    """
    extra = np.asarray(fraction("extra_loss", extra_loss, ge=-1))
    cost = np.asarray(checked("pack_cost", pack_cost, **_COST))
    energy = checked("discharged_kwh", discharged_kwh, **CAPACITY_KWH)
    end = np.asarray(fraction("end_loss", end_loss, **_END))
    together(extra_loss=extra, pack_cost=cost, discharged_kwh=energy, end_loss=end)
    return plain(cost / end * extra / energy)  # eq. (9.12)


def break_even_price(
    buy_per_kwh: ArrayLike,
    wear_per_kwh: ArrayLike,
    *,
    eta_charge: ArrayLike,
    eta_discharge: ArrayLike,
) -> FloatOrArray:
    r"""Selling price at which a kWh through the battery earns nothing.

    .. math:: \pi_{sell} = \frac{\pi_{buy}}{\eta_{c}\,\eta_{d}}
              + \frac{w}{\eta_{d}}            (9.13)

    Parameters
    ----------
    buy_per_kwh : float or array
        Price of a kWh bought [per kWh].
    wear_per_kwh : float or array
        Cost of wear, for each kWh taken out of the battery [per kWh].
    eta_charge : float or array
        Efficiency from the grid to the battery, a fraction above 0 and at most 1 [-].
    eta_discharge : float or array
        Efficiency from the battery to the grid, a fraction above 0 and at most 1 [-].

    Returns
    -------
    float or array, broadcast of the inputs
        Selling price; the spread is this minus `buy_per_kwh` [per kWh].

    Raises
    ------
    ValueError
        If an efficiency is no such fraction, or shapes do not fit.

    Examples
    --------
    >>> round(break_even_price(0.18, 0.09, eta_charge=0.9, eta_discharge=0.8), 4)
    0.3625
    """
    buy = np.asarray(checked("buy_per_kwh", buy_per_kwh, **_PRICE))
    wear = np.asarray(checked("wear_per_kwh", wear_per_kwh, **_PRICE))
    eta_c = fraction("eta_charge", eta_charge, **ETA)
    eta_d = fraction("eta_discharge", eta_discharge, **ETA)
    together(buy_per_kwh=buy, wear_per_kwh=wear, eta_charge=eta_c, eta_discharge=eta_d)
    return plain(buy / (eta_c * eta_d) + wear / eta_d)  # eq. (9.13)
