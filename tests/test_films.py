"""Films as they are stored: their frames, and the physics of what moves in each.

How a film plays, and that of chapter 1 under every region, are in test_animation.py; what a film
says in words under every region is read in test_presets.py.
"""

from itertools import pairwise

import numpy as np
import pictures
import pytest
import shelf
from scipy.integrate import solve_ivp
from test_animation import numbers, same
from test_presets import NOTEBOOKS
from tidy_notebooks import FIGURE

from v2gbook import interconnection, inverter, voltage
from v2gbook.classroom import _explore, presets


def films_of(path):
    """The films that a notebook stores."""
    figures = [
        output.get("data", {}).get(FIGURE, {})
        for cell in shelf.notebook(path).cells
        for output in cell.get("outputs", [])
    ]
    return [figure for figure in figures if figure.get("frames")]


FILMS = {
    f"{path.stem}-{place}": film for path in NOTEBOOKS for place, film in enumerate(films_of(path))
}


def scenes(name):
    """Each frame's time and its whole traces: the stored ones, with what the frame changes."""
    film = FILMS[name]
    for frame in film["frames"]:
        whole = [dict(trace) for trace in film["data"]]
        for place, changes in zip(frame["traces"], frame["data"], strict=True):
            whole[place].update(changes)
        yield float(frame["name"]), whole


def only(traces, **wanted):
    """The one trace with these entries."""
    (found,) = (
        trace for trace in traces if all(trace.get(key) == value for key, value in wanted.items())
    )
    return found


# -------------------------------------------------------------------------------------- every film


def test_a_chapter_has_at_most_one_film_and_each_on_physics_has_one():
    chapters = [name[:2] for name in FILMS]
    assert len(set(chapters)) == len(chapters)
    assert {"01", "02", "03", "05", "07"} <= set(chapters)


@pytest.mark.parametrize("name", FILMS)
def test_times_rise_and_are_enough_for_a_film(name):
    times = [time for time, _ in scenes(name)]
    assert (np.diff(times) > 0).all()
    assert 20 <= len(times) <= 61


@pytest.mark.parametrize("name", FILMS)
def test_stored_data_are_those_of_the_first_frame(name):
    film = FILMS[name]
    first = film["frames"][0]
    for place, changes in zip(first["traces"], first["data"], strict=True):
        for entry, value in changes.items():
            assert same(value, film["data"][place][entry]), f"trace {place}, {entry}"


@pytest.mark.parametrize("name", FILMS)
def test_each_frame_sets_all_that_any_frame_sets(name):
    first, *others = FILMS[name]["frames"]
    for frame in others:
        assert frame["traces"] == first["traces"]
        for here, there in zip(frame["data"], first["data"], strict=True):
            assert here.keys() == there.keys()


@pytest.mark.parametrize("name", FILMS)
def test_picture_shows_a_moment_in_which_something_has_happened(name):
    film = FILMS[name]
    assert 0 < film["still"] < len(film["frames"])
    _, whole = list(scenes(name))[film["still"]]
    assert pictures.still(film) == {"data": whole, "layout": film["layout"]}


@pytest.mark.parametrize("name", FILMS)
def test_something_moves_between_any_two_frames(name):
    frames = [str(frame["data"]) for frame in FILMS[name]["frames"]]
    assert all(one != other for one, other in pairwise(frames))


@pytest.mark.parametrize("name", FILMS)
def test_film_is_small(name):
    assert _explore._stored_bytes(FILMS[name]["frames"]) < 150_000


# -------------------------------------------------------------------- chapter 2: who carries a loss

LAYERS = ["rotors", "tie", "governors", "plant"]


def loss_of(whole):
    """The loss that the film's grey line stands at [MW]."""
    return numbers(only(whole, text=["", "loss"])["x"])[0]


def test_bars_are_stairs_from_zero_to_the_loss():
    for time, whole in scenes("02_agc-0"):
        bars = only(whole, type="bar")
        powers_mw, begins_mw = numbers(bars["x"]), numbers(bars["base"])
        assert powers_mw.sum() == pytest.approx(loss_of(whole)), f"at {time} s"
        ends_mw = powers_mw.cumsum()
        assert begins_mw == pytest.approx(np.append(0, ends_mw[:-1])), f"at {time} s"


def test_the_loss_passes_from_rotors_over_the_tie_to_the_plant():
    shares = {
        time: numbers(only(whole, type="bar")["x"]) / loss_of(whole)
        for time, whole in scenes("02_agc-0")
    }
    most = [LAYERS[share.argmax()] for share in shares.values()]
    in_order = list(dict.fromkeys(most))
    assert in_order[0] == "rotors"
    assert in_order[-1] == "plant"
    assert "tie" in in_order
    *_, last = shares.values()
    assert last == pytest.approx([0, 0, 0, 1], abs=0.01)


def test_both_areas_come_back_to_nominal_frequency():
    for time, whole in scenes("02_agc-0"):
        now = only(whole, name="now")
        assert numbers(now["x"]) == pytest.approx([time, time])
        for deviation_mhz, area in zip(numbers(now["y"]), ("home", "neighbour"), strict=True):
            curve = only(whole, name=area)
            drawn = np.interp(np.log(time), np.log(numbers(curve["x"])), numbers(curve["y"]))
            span_mhz = np.ptp(numbers(curve["y"]))
            assert deviation_mhz == pytest.approx(drawn, abs=0.1 * span_mhz), f"{area} at {time} s"
    assert numbers(now["y"]) == pytest.approx([0, 0], abs=0.2)


# ------------------------------------------------------------------ chapter 3: a street, one night


def flow_of(street, whole, plan, ends):
    """Voltages at the houses by a power flow of the bars that a frame shows [pu]."""
    homes_kw = numbers(only(whole, type="bar", name="homes")["y"])
    cars_kw = numbers(only(whole, type="bar", name=f"cars charging {plan}")["y"])
    share = -homes_kw.sum() / street.load_kw[ends].sum()  # R1, which has no bar, draws as much
    active_kw, reactive_kvar = -share * street.load_kw, -share * street.load_kvar
    active_kw[ends] += cars_kw
    return voltage.power_flow(street, active_kw, reactive_kvar, v0_pu=1.03).v_pu[ends]


def test_voltages_are_those_of_the_bars():
    street = voltage.feeder("cigre-lv-residential")
    ends = [street.buses.index(bus) for bus in street.loads.bus if bus != "R1"]
    for time, whole in scenes("03_voltage-0"):
        for plan in ("at once", "by price"):
            curve = only(whole, type="scatter", name=f"cars charging {plan}")
            is_house = np.array(curve["marker"]["size"]) > 0
            drawn_pu = np.sort(numbers(curve["y"])[is_house].astype(float))
            wanted_pu = np.sort(flow_of(street, whole, plan, ends))
            assert drawn_pu == pytest.approx(wanted_pu, abs=5e-4), f"{plan}, {time} h after noon"


# ------------------------------------------------------- chapter 5: a point on the chart of duties


def test_point_restarts_after_the_first_dip_and_is_off_at_the_clearing_time():
    choices = presets.load("na-60hz").interconnection
    rules = interconnection.settings(choices["code"], choices["category"])
    under = [s for s in rules.stages if s.quantity == "v" and s.side == "under"][-1]
    seen = {
        time: only(whole, name="operating point") for time, whole in scenes("05_interconnection-0")
    }
    normal = [time for time, point in seen.items() if numbers(point["y"])[0] == 1.0]
    assert len(normal) == 2, "before the first dip and between the two"
    for time, point in seen.items():
        elapsed_s = numbers(point["x"])[0]
        is_off = point["marker"]["symbol"] == "x"
        assert is_off == (elapsed_s >= under.clear_s - 1e-6), f"at {time} s"
    between = normal[1]
    before = max(time for time in seen if time < between)
    after = min(time for time in seen if time > between)
    assert numbers(seen[after]["x"])[0] < numbers(seen[before]["x"])[0], "the clock starts anew"
    assert seen[max(seen)]["marker"]["symbol"] == "x"


# --------------------------------------------------------------------- chapter 7: a frame locks on


def test_gap_between_the_arrows_obeys_the_equation_of_the_loop():
    pll = inverter.pll_gains(0.04, 0.7, 0.05)

    def slopes(_, state):
        error, integral = state
        v_q = np.sin(error)
        return -pll.kp_per_s * v_q - integral, pll.ki_per_s2 * v_q

    run = solve_ivp(slopes, (0, 0.08), [np.pi / 3, 0.0], rtol=1e-9, atol=1e-9, dense_output=True)
    for time, whole in scenes("07_inverter-0"):
        angles = []
        for name in ("voltage of the grid", "axis d of the frame"):
            arrow = only(whole, name=name)
            x, y = numbers(arrow["x"])[-1], numbers(arrow["y"])[-1]
            angles.append(np.arctan2(y, x))
        gap = (angles[0] - angles[1] + np.pi) % (2 * np.pi) - np.pi
        assert gap == pytest.approx(run.sol(time)[0], abs=0.004), f"at {time} s"


def test_reported_frequency_is_drawn_up_to_now_and_comes_back():
    for time, whole in scenes("07_inverter-0"):
        curve = only(whole, name="reported frequency")
        assert numbers(curve["x"])[-1] == pytest.approx(1000 * time, abs=2.1)
    nominal_hz = numbers(only(whole, name="nominal frequency")["y"])[0]
    assert numbers(curve["y"])[-1] == pytest.approx(nominal_hz, abs=0.2)
