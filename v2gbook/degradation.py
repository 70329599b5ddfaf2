r"""Topic 09, degradation: what a kilowatt-hour through the battery costs.

Five models of one battery, from a line of arithmetic to electrochemistry fitted to cells: `Throughput` (and `kempton_tomic_wear`),
`Woehler` with Miner's sum, `Xu` (rainflow, 2016), `Wang` (2011, LFP) and `Schmalstieg` (2014, NMC). Each of them reads a `Profile`, the state of charge over some days,
and tells the capacity lost after some years of it; `compare` puts them side by side, because they disagree. `wear_price` turns the
difference between two profiles into the cost per kWh that a schedule needs.

Temperatures are given in degrees Celsius and used in kelvin. Losses are fractions of the first capacity. Throughput says whether it counts one
direction or both.
"""

from dataclasses import dataclass
from functools import cached_property

import numpy as np
import pandas as pd
import rainflow as counter
from scipy.optimize import brentq

from ._check import checked, plain
from .charger import checked_soc

KELVIN = 273.15
GAS_J_PER_MOL_K = 8.314


def kelvin(temp_c):
    """Absolute temperature [K] of one in degrees Celsius; ValueError where it looks like kelvin already."""
    temp_c = checked("temp_c", temp_c, "°C", gt=-KELVIN)
    if np.any(np.asarray(temp_c) > 150):
        raise ValueError(
            f"temp_c is {np.max(temp_c):g} °C; batteries do not live there. Was it given in kelvin?"
        )
    return plain(np.asarray(temp_c) + KELVIN)


# ----------------------------------------------------------------------------------------------------- throughput


def throughput_price(pack_per_kwh, cycles, depth, *, directions):
    r"""Cost per kWh of throughput if a battery lives for so many cycles.

    .. math:: w = \frac{c_{bat}}{k\,N\,D}            (9.1)

    Parameters
    ----------
    pack_per_kwh : float or array
        Price of a kWh of battery. [per kWh]
    cycles : float or array
        Cycles until it is replaced.
    depth : float or array
        Depth of those cycles. 0..1
    directions : int
        What the throughput counts: 1 for energy taken out only, 2 for energy in and out. There is no default: a
        forgotten factor of two is the commonest mistake of this subject.

    Returns
    -------
    float or array
        [per kWh of throughput]

    Examples
    --------
    >>> round(42.222222 * throughput_price(130.0, 1000, 0.8, directions=2), 2)
    3.43
    """
    if directions not in (1, 2):
        raise ValueError(
            f"directions is {directions!r}; 1 counts energy taken out, 2 counts energy in and out"
        )
    lifetime = (
        directions
        * np.asarray(checked("cycles", cycles, gt=0))
        * checked("depth", depth, "(a fraction)", gt=0, le=1)
    )
    return plain(checked("pack_per_kwh", pack_per_kwh, "per kWh", ge=0) / lifetime)  # eq. (9.1)


@dataclass(frozen=True, kw_only=True)
class PackWear:
    """Cost of replacing a pack, energy it delivers in its life (one way), and the cost of a kWh of it."""

    pack_cost: float
    lifetime_kwh: float
    per_kwh: float


def kempton_tomic_wear(energy_kwh, pack_per_kwh, *, labour, cycles, depth, shallow=1.0):
    r"""Wear after Kempton and Tomic: the pack, and the work of changing it, over the energy it delivers.

    .. math:: c_d = \frac{E\,c_b + c_l}{N\,E\,D\,\kappa}            (9.2)

    Parameters
    ----------
    energy_kwh : float
        [kWh]
    pack_per_kwh : float
        [per kWh]
    labour : float
        Cost of the replacement itself.
    cycles, depth : float
        Life in cycles, and their depth (0..1).
    shallow : float
        Factor on lifetime energy for shallow cycles; the paper uses 3.

    Returns
    -------
    PackWear

    References
    ----------
    .. [1] Kempton and Tomic, J. Power Sources 144, 268-279, 2005, eqs (9)-(11).
    """
    energy = checked("energy_kwh", energy_kwh, "kWh", gt=0)
    cost = energy * checked("pack_per_kwh", pack_per_kwh, "per kWh", ge=0) + checked(
        "labour", labour, ge=0
    )
    lifetime = (
        checked("cycles", cycles, gt=0)
        * energy
        * checked("depth", depth, "(a fraction)", gt=0, le=1)
        * checked("shallow", shallow, gt=0)
    )
    return PackWear(pack_cost=cost, lifetime_kwh=lifetime, per_kwh=cost / lifetime)  # eq. (9.2)


# ------------------------------------------------------------------------------------------------ what happened to it


def rainflow(soc):
    """Take a state of charge apart into cycles (ASTM E1049-85, the `rainflow` package).

    Parameters
    ----------
    soc : array, shape (steps,)
        Any series; for a battery 0..1.

    Returns
    -------
    DataFrame
        One row a cycle: `depth` (its range), `mean`, `count` (1, or 0.5 for half a cycle), `start` and `end` (steps).
    """
    series = np.atleast_1d(checked("soc", soc))
    found = counter.extract_cycles(
        np.append(series, series[-1])
    )  # the package wants three points; the last one twice adds nothing
    table = pd.DataFrame(found, columns=["depth", "mean", "count", "start", "end"])
    return (
        table[table.depth > 0]
        .reset_index(drop=True)
        .assign(end=lambda t: np.minimum(t.end, series.size - 1))
    )


@dataclass(frozen=True, kw_only=True, eq=False)
class Profile:
    """What a battery goes through: state of charge over some days, which then repeat.

    Attributes
    ----------
    soc : array, shape (steps,)
        0..1
    dt_h : float
        Length of a step. [h]
    temp_c : float or array, shape (steps,)
        Temperature of the cells. [°C]
    c_rate : float
        Typical current over capacity, for models that ask for it (`Wang`, measured from 0.5). [1/h]
    """

    soc: np.ndarray
    dt_h: float
    temp_c: float
    c_rate: float = 0.2

    def __post_init__(self):
        soc = np.asarray(checked_soc("soc", self.soc))
        if soc.ndim != 1 or soc.size < 2:
            raise ValueError(
                f"soc must be a series of at least two steps, of one car; its shape is {soc.shape}"
            )
        temp = np.asarray(kelvin(self.temp_c))
        if temp.size not in (1, soc.size):
            raise ValueError(f"temp_c has {temp.size} steps and soc {soc.size}")
        checked("dt_h", self.dt_h, "h", gt=0)
        checked("c_rate", self.c_rate, "1/h", gt=0)

    @cached_property
    def cycles(self):
        """Rainflow cycles, see `rainflow`, of the profile taken round from its highest point: at whatever hour it begins."""
        top, steps = int(np.argmax(self.soc)), len(self.soc)
        found = rainflow(np.append(np.roll(self.soc, -top), np.max(self.soc)))
        return found.assign(start=(found.start + top) % steps, end=(found.end + top) % steps)

    @property
    def temp_k(self):
        """Temperature, absolute. [K]"""
        return kelvin(self.temp_c)

    @property
    def years(self):
        """Length of the profile. [years of 8,760 h]"""
        return len(self.soc) * self.dt_h / 8760

    @property
    def full_cycles(self):
        """Equivalent full cycles: energy taken out over capacity."""
        return float(np.maximum(-np.diff(self.soc, append=self.soc[0]), 0).sum())


@dataclass(frozen=True, kw_only=True)
class Loss:
    """Share of the first capacity that is gone, by cause; `total` need not be the sum."""

    calendar: float
    cycling: float
    total: float


# --------------------------------------------------------------------------------------------------- five models


@dataclass(frozen=True, kw_only=True)
class Throughput:
    """The simplest: a battery delivers so many full cycles, whatever their depth, and time does nothing.

    `full_cycles` until the loss reaches `end_loss`.
    """

    full_cycles: float
    end_loss: float = 0.2

    def __post_init__(self):
        checked("full_cycles", self.full_cycles, gt=0)
        checked("end_loss", self.end_loss, "(a fraction)", gt=0, lt=1)

    def loss(self, profile, years):
        """Loss after `years` of the profile."""
        cycling = (
            self.end_loss * profile.full_cycles / profile.years * _span(years) / self.full_cycles
        )
        return Loss(calendar=0.0, cycling=cycling, total=cycling)


def _depth(depth):
    """A depth as an array; a solver's 1 + 1e-9 is taken for 1."""
    return np.minimum(checked("depth", depth, "(a fraction)", ge=0, le=1 + 1e-6), 1.0)


def _span(years):
    return checked("years", years, "years", ge=0)


@dataclass(frozen=True, kw_only=True)
class Woehler:
    r"""Cycles to the end of life against depth, a straight line on logarithmic paper, with Miner's sum.

    .. math:: N(D) = N_0\,D^{-k}            (9.3)
    .. math:: M = \sum_i \frac{n_i}{N(D_i)}            (9.4)
    """

    n0: float
    k: float
    end_loss: float = 0.2

    def __post_init__(self):
        checked("n0", self.n0, gt=0)
        checked("k", self.k, ge=0)
        checked("end_loss", self.end_loss, "(a fraction)", gt=0, lt=1)

    @classmethod
    def through(cls, depth_1, cycles_1, depth_2, cycles_2, end_loss=0.2):
        """The line through two measured points."""
        depths = [checked("depth", d, "(a fraction)", gt=0, le=1) for d in (depth_1, depth_2)]
        lives = [checked("cycles", n, gt=0) for n in (cycles_1, cycles_2)]
        if depths[0] == depths[1]:
            raise ValueError("the two points have the same depth; no line goes through them")
        k = np.log(lives[1] / lives[0]) / np.log(depths[0] / depths[1])
        return cls(n0=float(lives[0] * depths[0] ** k), k=float(k), end_loss=end_loss)

    def cycles(self, depth):
        """Cycles of this depth that a new battery survives."""
        return plain(
            self.n0 * np.asarray(checked("depth", depth, "(a fraction)", gt=0, le=1)) ** -self.k
        )  # eq. (9.3)

    def miner(self, depth, count):
        """Share of the life used up by `count` cycles of each `depth`; 1 is the end."""
        depth, count = _depth(depth), np.asarray(checked("count", count, ge=0))
        return float(np.sum(count * depth**self.k / self.n0))  # eq. (9.4)

    def loss(self, profile, years):
        """Loss after `years` of the profile."""
        used = (
            self.miner(profile.cycles.depth, profile.cycles["count"])
            if len(profile.cycles)
            else 0.0
        )
        cycling = self.end_loss * used / profile.years * _span(years)
        return Loss(calendar=0.0, cycling=cycling, total=cycling)


@dataclass(frozen=True, kw_only=True)
class Xu:
    r"""Cycle and calendar ageing on a film that grows fast at first (Xu and others, 2016; fitted to LMO cells).

    .. math:: f = \sum_i n_i\,S_d(D_i)\,S_\sigma(\bar s_i)\,S_T + k_t\,t\,\overline{S_\sigma S_T}            (9.5)
    .. math:: S_d = \big(k_{d1} D^{k_{d2}} + k_{d3}\big)^{-1},\quad S_\sigma = e^{k_\sigma (s - 0.5)},\quad S_T = e^{k_T (T - T_{ref})\,T_{ref}/T}            (9.6)
    .. math:: L = 1 - \alpha\,e^{-\beta f} - (1 - \alpha)\,e^{-f}            (9.7)

    T in kelvin: the ratio T_ref / T is meaningless in degrees Celsius.

    References
    ----------
    .. [1] Xu, Oudalov, Ulbig, Andersson, Kirschen, "Modeling of lithium-ion battery degradation for cell life assessment",
       IEEE Trans. Smart Grid 9(2), 1131-1140 (online 2016).
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

    def depth_stress(self, depth):
        """Damage of one cycle of this depth at 25 °C around half charge. [1/cycle]"""
        depth = _depth(depth)
        with np.errstate(divide="ignore"):
            return plain(
                np.where(
                    depth > 0,
                    1 / (self.k_d1 * np.where(depth > 0, depth, 1.0) ** self.k_d2 + self.k_d3),
                    0.0,
                )
            )  # eq. (9.6)

    def soc_stress(self, soc):
        """Factor for the state of charge; 1 at one half."""
        return plain(np.exp(self.k_sigma * (np.asarray(checked_soc("soc", soc)) - self.soc_ref)))

    def temp_stress(self, temp_c):
        """Factor for the temperature; 1 at 25 °C."""
        temp, ref = np.asarray(kelvin(temp_c)), kelvin(self.temp_ref_c)
        return plain(np.exp(self.k_temp * (temp - ref) * ref / temp))

    def damage(self, profile):
        """Damage by cycles and by time in one run of the profile: the two terms of eq. (9.5)."""
        cycles = profile.cycles
        heat = np.asarray(self.temp_stress(profile.temp_c))
        cycling = (
            float(
                np.sum(
                    cycles["count"]
                    * self.depth_stress(cycles.depth)
                    * self.soc_stress(cycles["mean"])
                )
                * heat.mean()
            )
            if len(cycles)
            else 0.0
        )
        calendar = (
            self.k_time_per_s
            * 3600
            * profile.dt_h
            * len(profile.soc)
            * float(np.mean(self.soc_stress(profile.soc) * heat))
        )
        return calendar, cycling  # eq. (9.5)

    def lost(self, damage):
        """Capacity lost at a damage."""
        f = np.asarray(checked("damage", damage, ge=0))
        return plain(
            1 - self.alpha * np.exp(-self.beta * f) - (1 - self.alpha) * np.exp(-f)
        )  # eq. (9.7)

    def damage_at(self, lost):
        """Damage at which so much capacity is lost: eq. (9.7) solved for f."""
        lost = checked("lost", lost, "(a fraction)", ge=0, le=0.99)
        return 0.0 if lost == 0 else brentq(lambda f: self.lost(f) - lost, 0.0, 60.0, xtol=1e-14)

    def loss(self, profile, years):
        """Loss after `years` of the profile. The causes are told in proportion to their damage."""
        calendar, cycling = (part / profile.years * _span(years) for part in self.damage(profile))
        total = self.lost(calendar + cycling)
        share = calendar / (calendar + cycling) if calendar + cycling else 0.0
        return Loss(calendar=share * total, cycling=(1 - share) * total, total=total)


@dataclass(frozen=True, kw_only=True)
class Wang:
    r"""Cycle ageing of a 2.2 Ah lithium iron phosphate (LFP) cell; time alone does nothing.

    .. math:: L = \tfrac{1}{100}\,B(C)\,\exp\!\Big(\frac{-31700 + 370.3\,C}{R\,T}\Big)\,A^{0.55}            (9.8)

    A is the charge delivered by one cell [Ah], C the current over capacity, B falls from 31,630 at C/2 to 21,681 at 2 C.

    References
    ----------
    .. [1] Wang and others, "Cycle-life model for graphite-LiFePO4 cells", J. Power Sources 196, 3942-3948, 2011.
    """

    cell_ah: float = 2.2

    def __post_init__(self):
        checked("cell_ah", self.cell_ah, "Ah", gt=0)

    def lost(self, charge_ah, c_rate, temp_c):
        """Capacity lost after a charge through one cell.

        Parameters
        ----------
        charge_ah : float or array
            Delivered by one cell of 2.2 Ah, not by a pack. [Ah]
        c_rate : float or array
            From 0.5 to 2, where the prefactor was measured; below 0.5 the prefactor is held, above 2 refused. [1/h]
        temp_c : float or array
            [°C]

        Returns
        -------
        float or array
            A fraction (the paper gives per cent).
        """
        charge = np.asarray(checked("charge_ah", charge_ah, "Ah", ge=0))
        c_rate = np.asarray(checked("c_rate", c_rate, "1/h", gt=0, le=2))
        prefactor = np.interp(c_rate, [0.5, 2.0], [31630.0, 21681.0])
        energy = (-31700 + 370.3 * c_rate) / (GAS_J_PER_MOL_K * np.asarray(kelvin(temp_c)))
        return plain(prefactor * np.exp(energy) * charge**0.55 / 100)  # eq. (9.8)

    def loss(self, profile, years):
        """Loss after `years` of the profile, at its mean temperature."""
        charge = self.cell_ah * profile.full_cycles / profile.years * _span(years)
        cycling = self.lost(charge, profile.c_rate, float(np.mean(profile.temp_c)))
        return Loss(calendar=0.0, cycling=cycling, total=cycling)


@dataclass(frozen=True, kw_only=True)
class Schmalstieg:
    r"""Calendar and cycle ageing of a nickel manganese cobalt (NMC) cell, both seen through its voltage.

    .. math:: L = \alpha\,t^{0.75} + \beta\,\sqrt{Q},\qquad \alpha = (7.543\,V - 23.75)\cdot 10^6\,e^{-6976/T}            (9.9)
    .. math:: \beta = 7.348\cdot 10^{-3}\,(\bar V - 3.667)^2 + 7.60\cdot 10^{-4} + 4.081\cdot 10^{-3}\,D            (9.10)

    t in days, Q the charge through one cell of 2.15 Ah in both directions [Ah], V its resting voltage, V bar the quadratic mean, D the
    depth of the cycles (here weighted by the charge they move).

    References
    ----------
    .. [1] Schmalstieg, Käbitz, Ecker, Sauer, "A holistic aging model for Li(NiMnCo)O2 based 18650 lithium-ion batteries",
       J. Power Sources 257, 325-334, 2014.
    """

    cell_ah: float = 2.15

    def __post_init__(self):
        checked("cell_ah", self.cell_ah, "Ah", gt=0)

    def voltage(self, soc):
        """Resting voltage of the cell (table at steps of 0.1, read in NREL's BLAST-Lite). [V]"""
        table = [3.331, 3.491, 3.581, 3.627, 3.655, 3.697, 3.775, 3.869, 3.965, 4.073, 4.162]
        return plain(np.interp(checked_soc("soc", soc), np.linspace(0, 1, 11), table))

    def calendar_rate(self, soc, temp_c):
        """alpha of eq. (9.9). [1/day^0.75]"""
        return plain(
            (7.543 * np.asarray(self.voltage(soc)) - 23.75)
            * 1e6
            * np.exp(-6976 / np.asarray(kelvin(temp_c)))
        )

    def cycle_rate(self, voltage, depth):
        """beta of eq. (9.10). [1/sqrt(Ah)]"""
        volts = np.asarray(checked("voltage", voltage, "V", gt=0))
        return plain(
            7.348e-3 * np.square(volts - 3.667) + 7.60e-4 + 4.081e-3 * _depth(depth)
        )  # eq. (9.10)

    def loss(self, profile, years):
        """Loss after `years` of the profile."""
        days, cycles = 365 * _span(years), profile.cycles
        calendar = float(np.mean(self.calendar_rate(profile.soc, profile.temp_c))) * days**0.75
        moved = cycles.depth * cycles["count"]
        depth = float((cycles.depth * moved).sum() / moved.sum()) if moved.sum() > 0 else 0.0
        volts = float(np.sqrt(np.mean(np.square(self.voltage(profile.soc)))))
        charge = 2 * self.cell_ah * profile.full_cycles / profile.years * years
        cycling = self.cycle_rate(volts, depth) * charge**0.5
        return Loss(calendar=calendar, cycling=cycling, total=calendar + cycling)  # eq. (9.9)


# ------------------------------------------------------------------------------------------------- what it means


def compare(models, profiles, years):
    """Several models on several profiles.

    Parameters
    ----------
    models, profiles : dict
        Name to model, name to Profile.
    years : float
        [years]

    Returns
    -------
    DataFrame
        One row for each pair: `model`, `profile`, `calendar`, `cycling`, `total` (fractions of the first capacity).
    """
    rows = []
    for model_name, model in models.items():
        for profile_name, profile in profiles.items():
            loss = model.loss(profile, years)
            rows.append((model_name, profile_name, loss.calendar, loss.cycling, loss.total))
    return pd.DataFrame(rows, columns=["model", "profile", "calendar", "cycling", "total"])


def wear_price(extra_loss, pack_cost, discharged_kwh, *, end_loss=0.2):
    r"""Cost of a kWh taken out of the battery, from the capacity that it cost.

    .. math:: w = \frac{C_{pack}}{L_{end}}\,\frac{L_{with} - L_{without}}{E_{out}}            (9.11)

    Parameters
    ----------
    extra_loss : float or array
        Capacity lost with the service minus without; negative if the service slows ageing. [fraction]
    pack_cost : float or array
        Of a new pack. A pack is worn out at `end_loss`, and worth nothing then.
    discharged_kwh : float or array
        Taken out of the battery for the service in the same time. [kWh]
    end_loss : float
        0..1

    Returns
    -------
    float or array
        [per kWh]
    """
    per_share = checked("pack_cost", pack_cost, ge=0) / np.asarray(
        checked("end_loss", end_loss, "(a fraction)", gt=0, lt=1)
    )
    return plain(
        per_share
        * checked("extra_loss", extra_loss)
        / checked("discharged_kwh", discharged_kwh, "kWh", gt=0)
    )  # eq. (9.11)


def break_even_spread(price_buy, wear_per_kwh, *, eta_charge, eta_discharge):
    r"""Selling price at which a kWh through the battery earns nothing.

    .. math:: \pi_{sell} = \frac{\pi_{buy}}{\eta_{c}\,\eta_{d}} + \frac{w}{\eta_{d}}            (9.12)

    Parameters
    ----------
    price_buy : float or array
        [per kWh]
    wear_per_kwh : float or array
        Per kWh taken out of the battery.
    eta_charge, eta_discharge : float or array
        Grid to battery, battery to grid. 0..1

    Returns
    -------
    float or array
        The spread is this minus `price_buy`. [per kWh]
    """
    eta_c, eta_d = (
        np.asarray(checked(name, eta, "(a fraction)", gt=0, le=1))
        for name, eta in (("eta_charge", eta_charge), ("eta_discharge", eta_discharge))
    )
    return plain(
        checked("price_buy", price_buy, "per kWh") / (eta_c * eta_d)
        + checked("wear_per_kwh", wear_per_kwh, "per kWh") / eta_d
    )  # eq. (9.12)
