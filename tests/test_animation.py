"""Films: what a notebook keeps of them, that of chapter 1 in every region, and how they play."""

import base64
import functools
import json
import re
from pathlib import Path

import nbformat
import numpy as np
import pytest
import shelf
from IPython.core.interactiveshell import InteractiveShell
from IPython.utils.capture import capture_output

from v2gbook.classroom import _explore, _page, animate, figure, figures, presets

ROOT = Path(__file__).resolve().parents[1]
CHAPTER = ROOT / "chapters" / "01_frequency.ipynb"
PLOTLY = "application/vnd.plotly.v1+json"
ALT = "A line grows from left to right while a bar beside it falls."


def numbers(values):
    """Numbers of a plotly array, also where plotly wrote it in binary."""
    if isinstance(values, dict) and "bdata" in values:
        values = np.frombuffer(base64.b64decode(values["bdata"]), dtype=values["dtype"])
    return np.asarray(values)


def same(one, other):
    """True where two values of plotly are equal."""
    return np.array_equal(numbers(one), numbers(other))


# --------------------------------------------------------------------------------- what is stored


@pytest.fixture
def shown(monkeypatch):
    """Everything that a cell would show; no widget is made."""
    seen = []
    for module in (_explore, figures):
        monkeypatch.setattr(module, "display", lambda *things, raw=False: seen.extend(things))
    monkeypatch.setattr(_page, "place", lambda *_: None)
    return seen


def growing(time):
    """A line that grows, a bar that falls, and a limit that stays."""
    fig = figure("time [s]", "power [MW]")
    fig.add_scatter(x=np.arange(time + 1), y=np.ones(int(time) + 1), name="line")
    fig.add_bar(x=[0.0], y=[10.0 - time], name="bar")
    return fig.add_scatter(x=[0, 3], y=[5, 5], name="limit")


def test_slider_says_what_it_moves(shown, monkeypatch):
    placed = []
    monkeypatch.setattr(_page, "place", lambda spec, *_: placed.append(spec))
    animate(growing, [0, 1, 2], alt=ALT, unit="MW", label="Batteries")
    animate(growing, [0, 1, 2], alt=ALT)
    assert [film["controls"][0]["label"] for film in placed] == ["Batteries", "Time"]


def test_frames_keep_only_what_changes_but_all_of_that(shown):
    animate(growing, [0, 1, 2], alt=ALT)
    frames = shown[0][PLOTLY]["frames"]
    assert [frame["traces"] for frame in frames] == [[0, 1]] * 3, "the limit never moves"
    for frame in frames:
        assert [sorted(changes) for changes in frame["data"]] == [["x", "y"], ["y"]]
    assert numbers(frames[2]["data"][0]["x"]).tolist() == [0, 1, 2]
    assert numbers(frames[0]["data"][0]["x"]).tolist() == [0], "the first frame can follow the last"


def test_traces_must_stay(shown):
    def draw(time):
        fig = growing(time)
        return fig.add_scatter(x=[0], y=[0]) if time > 1 else fig

    with pytest.raises(ValueError, match=r"draw\(2\) has the traces .*a film keeps its traces"):
        animate(draw, [0, 1, 2], alt=ALT)


def test_times_must_rise(shown):
    with pytest.raises(ValueError, match="ascending times"):
        animate(growing, [0, 1, 1], alt=ALT)


def test_still_must_be_one_of_the_times(shown):
    with pytest.raises(ValueError, match="still = 0.5 is none of the times"):
        animate(growing, [0, 1], alt=ALT, still=0.5)
    animate(growing, [0, 1], alt=ALT, still=1)
    assert shown[0][PLOTLY]["still"] == 1


def test_size_is_that_in_a_notebook():
    frames = [{"name": "0", "traces": [0], "data": [{"x": [1.0, 2.0], "text": ["a"]}]}]
    film = {"data": [], "frames": frames, "layout": {}}
    output = nbformat.v4.new_output("display_data", data={PLOTLY: film})
    cell = nbformat.v4.new_code_cell("", outputs=[output])
    stored = nbformat.writes(nbformat.v4.new_notebook(cells=[cell]))
    text = re.search(r'"frames": (\[.*?\n {7}\])', stored, re.DOTALL)[1]
    assert _explore._stored_bytes(frames) == len(text)


# -------------------------------------------------------------------------- the film of chapter 1


def cells():
    """The cells of chapter 1 that the film needs, up to the film itself."""
    for cell in shelf.notebook(CHAPTER).cells:
        idle = {"figure", "quiz"} & set(cell.metadata.get("tags", []))
        if cell.cell_type == "code" and (cell.id.startswith("film") or not idle):
            yield cell
        if cell.id == "film":
            return


@pytest.fixture(scope="module", params=presets.names())
def film(request, tmp_path_factory):
    """The chapter's film under one preset: its stored figure, and the names of its cells."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("V2GBOOK_PRESET", request.param)
        patch.setenv("V2GBOOK_PROGRESS", str(tmp_path_factory.mktemp("progress")))
        patch.setenv("JPY_SESSION_NAME", str(CHAPTER))
        patch.chdir(CHAPTER.parent)
        InteractiveShell.clear_instance()
        shell = InteractiveShell.instance(colors="nocolor")
        try:
            for cell in cells():
                with capture_output() as captured:
                    result = shell.run_cell(cell.source)
                error = result.error_before_exec or result.error_in_exec
                assert error is None, f"cell {cell.id}: {type(error).__name__}: {error}"
            shown = [output.data for output in captured.outputs]
            names = shell.user_ns
            names["moment"] = functools.cache(names["moment"])  # two tests draw all moments
            yield next(data[PLOTLY] for data in shown if PLOTLY in data), names
        finally:
            InteractiveShell.clear_instance()


def traces(film):
    """Each frame's time and its whole traces: the stored ones, with what the frame changes."""
    stored, _ = film
    for frame in stored["frames"]:
        whole = [dict(trace) for trace in stored["data"]]
        for number, changes in zip(frame["traces"], frame["data"]):
            whole[number].update(changes)
        yield float(frame["name"]), whole


def test_film_has_a_fitting_number_of_rising_times(film):
    times = [time for time, _ in traces(film)]
    assert (np.diff(times) > 0).all()
    assert 40 <= len(times) <= 61
    assert times[0] == 0
    assert 10 <= times[-1] <= 15


def test_power_is_conserved_in_every_frame(film):
    _, names = film
    for time, whole in traces(film):
        (bars,) = (trace for trace in whole if trace["type"] == "bar")
        powers_mw, begins_mw = numbers(bars["x"]), numbers(bars["base"])
        assert powers_mw.sum() == pytest.approx(names["loss_mw"]), f"at {time} s"
        ends_mw = powers_mw.cumsum()
        assert begins_mw == pytest.approx(np.append(0, ends_mw[:-1])), "where the one below ends"


def test_bars_are_those_of_the_simulation(film):
    _, names = film
    run = names["helped"]
    for time, whole in traces(film):
        (bars,) = (trace for trace in whole if trace["type"] == "bar")
        load_mw, governors_mw, cars_mw, _ = numbers(bars["x"])
        now = run.iloc[np.abs(run.index - time).argmin()]
        wanted = now.p_damping_mw, now.p_governor_mw, now.p_ev_fleet_mw
        assert (load_mw, governors_mw, cars_mw) == pytest.approx(wanted, abs=0.51)


def test_frequency_is_drawn_up_to_now(film):
    _, names = film
    run = names["helped"]
    for time, whole in traces(film):
        (curve,) = (trace for trace in whole if trace.get("name") == "with cars")
        t_s = numbers(curve["x"])
        assert t_s[0] == 0
        assert t_s[-1] == pytest.approx(time)
        assert numbers(curve["y"]) == pytest.approx(np.interp(t_s, run.index, run.f_hz))


def test_rotor_falls_behind_by_the_cycles_that_are_lost(film):
    _, names = film
    run = names["helped"]
    for time, whole in traces(film):
        hand, text = whole[-2:]
        past = run.f_hz[run.index <= time + 1e-6]
        turns = np.trapezoid(names["f0_hz"] - past, past.index)
        angle = np.arctan2(numbers(hand["y"])[-2], numbers(hand["x"])[-2]) / (2 * np.pi) - 0.25
        assert abs((angle - turns + 0.5) % 1 - 0.5) < 0.01, f"at {time} s"
        assert float(re.search(r"[\d.]+", text["text"][0])[0]) == pytest.approx(turns, abs=0.01)


def test_every_frame_has_all_that_moves(film):
    stored, names = film
    for time, whole in traces(film):
        drawn = json.loads(names["moment"](time)[0].to_json())["data"]
        assert [trace["type"] for trace in drawn] == [trace["type"] for trace in stored["data"]]
        for trace, wanted in zip(whole, drawn):
            for name in {"x", "y", "base", "text"} & wanted.keys():
                assert same(trace[name], wanted[name])


def test_words_of_every_frame_agree_with_it(film):
    _, names = film
    for time, whole in traces(film):
        _, words = names["moment"](time)
        (bars,) = (trace for trace in whole if trace["type"] == "bar")
        load_mw, governors_mw, cars_mw, rotors_mw = numbers(bars["x"])
        assert f"<b>{time:.1f} s</b>" in words
        assert re.search(r"<b>\d\d\.\d\d Hz</b>", words)
        assert f"The load draws {load_mw:z.0f} MW less" in words
        assert f"governors give {governors_mw:.0f} MW and the cars {cars_mw:.0f} MW" in words
        if rotors_mw > 0:
            assert f"the rest, {rotors_mw:.0f} MW, and slow down" in words
        if rotors_mw < 0:
            assert f"{-rotors_mw:.0f} MW more than the loss" in words
        assert "-" not in words
        assert "nan" not in words


# ------------------------------------------------------------------------------- how it is played

# A kernel that answers at once and notes what it is asked, and a library that draws nothing.
KERNEL = """async ([source, spec]) => {
    const address = URL.createObjectURL(new Blob([source], {type: 'text/javascript'}));
    const page = (await import(address)).default;
    const draws = "module.exports = {react: async stage => { stage.textContent = 'drawn'; }};";
    const library = new TextEncoder().encode(draws), nothing = new DataView(new ArrayBuffer(0));
    const figure = {data: [], layout: {height: 300}};
    let hear;
    window.asked = [];
    page.initialize({model: {
        get: () => ({p: spec}),
        on: (name, listener) => { if (name === 'msg:custom') hear = listener; },
        send: async ({want, turn, values}) => {
            await null;
            if (want === 'library') return hear({turn}, [library]);
            asked.push(values.step);
            hear({turn, words: `This is step ${values.step}.`, figure}, [nothing]);
        },
    }});
}"""
CONTROL = {
    "name": "step",
    "label": "Time",
    "unit": "s",
    "value": 0,
    "low": 0,
    "high": 60,
    "step": 1,
    "digits": 0,
    "options": [],
    "continuous": True,
    "texts": [f"{step / 10:g} s" for step in range(61)],
}
FILM = {
    "id": "p",
    "kind": "film",
    "label": "Film",
    "alt": ALT,
    "words": "",
    "trims": [],
    "ghost": False,
    "controls": [CONTROL],
    "reset": {"step": 0},
    "template": {},
    "play": {"name": "step", "text": "Play"},
}
PLACE = '<div class="jp-OutputArea-child"><div class="v2g-part" data-part="p">Film</div></div>'
PAGE = ROOT / "v2gbook" / "classroom" / "static" / "page.js"


class Player:
    """A film on a page whose clock stands still until it is told to run."""

    def __init__(self, page):
        self.page, self.slider = page, page.locator("input[type=range]")

    def steps(self):
        """What has been asked for since the last call."""
        return self.page.evaluate("asked.splice(0)")

    def pressed(self, key, ms=0):
        """Press a key and let so much time pass; what was asked for meanwhile."""
        self.page.keyboard.press(key)
        return self.passed(ms)

    def passed(self, ms):
        """Let so much time pass; what was asked for meanwhile."""
        for _ in range(max(1, ms // 20)):
            self.page.clock.run_for(20 if ms else 1)
        return self.steps()

    def focused(self):
        """Text of the button that has the focus."""
        return self.page.evaluate("document.activeElement.textContent")


@pytest.fixture
def player(request, chromium):
    """A film that a reader has reached with Tab; the focus is on its Play button."""
    page = chromium.new_page(reduced_motion=getattr(request, "param", "no-preference"))
    page.clock.install(time=0)
    page.clock.pause_at(1000)
    page.set_content(PLACE)
    page.evaluate(KERNEL, [PAGE.read_text(encoding="utf-8"), FILM])
    page.clock.run_for(100)
    page.wait_for_function("document.querySelector('.v2g-plot')?.textContent === 'drawn'")
    player = Player(page)
    page.keyboard.press("Tab")
    page.keyboard.press("Tab")
    assert player.focused() == "Play"
    assert player.steps() == [0]
    yield player
    page.close()


@pytest.mark.parametrize("key", ["Enter", "Space"])
def test_play_by_keyboard_shows_every_step_and_stops_at_the_end(player, key):
    played = player.pressed(key, 3000)
    assert player.focused() == "Pause", "ten steps a second"
    assert played == list(range(1, 31)), "ten steps a second"
    played += player.passed(3100)
    assert played == list(range(1, 61))
    assert player.focused() == "Play"
    assert player.page.locator("output").inner_text() == "6 s"
    assert player.page.locator(".v2g-words").inner_text() == "This is step 60."


def test_pause_holds_and_play_goes_on(player):
    player.pressed("Enter", 1000)
    player.pressed("Enter")
    assert player.focused() == "Play"
    assert player.passed(1000) == []
    assert player.slider.input_value() == "10"
    assert player.pressed("Enter", 500) == [11, 12, 13, 14, 15]


def test_at_the_end_play_begins_again(player):
    player.slider.press("End")
    player.steps()
    player.page.keyboard.press("Tab")
    assert player.pressed("Enter", 300) == [0, 1, 2, 3]


def test_arrow_keys_move_one_step_and_the_read_out_follows(player):
    output = player.page.locator("output")
    keys = "ArrowRight", "ArrowRight", "ArrowLeft", "End", "ArrowLeft", "Home"
    for key, step in zip(keys, (1, 2, 1, 60, 59, 0)):
        player.slider.press(key)
        assert player.steps() == [step]
        assert output.inner_text() == f"{step / 10:g} s"
        assert player.slider.get_attribute("aria-valuetext") == f"{step / 10:g} s"


@pytest.mark.parametrize("player", ["reduce"], indirect=True)
def test_with_reduced_motion_it_takes_strides_of_a_second(player):
    assert player.pressed("Enter", 900) == []
    assert player.passed(200) == [6]
    assert player.passed(1000) == [12]
    assert player.passed(9000) == [18, 24, 30, 36, 42, 48, 54, 60]
    assert player.focused() == "Play"


def test_a_screen_reader_is_left_alone_while_it_plays(player):
    words = player.page.locator(".v2g-words")
    player.pressed("Enter", 300)
    assert words.get_attribute("aria-busy") == "true"
    assert words.get_attribute("role") == "status"
    player.pressed("Enter")
    assert words.get_attribute("aria-busy") == "false"


def test_a_slow_browser_leaves_out_steps_but_never_many(player):
    player.page.keyboard.press("Enter")
    player.page.clock.fast_forward(200)
    assert player.steps() == [2]
    player.page.clock.fast_forward(1000)
    assert player.steps() == [5]
