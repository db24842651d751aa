#!/usr/bin/env python3
"""Writes croniter_times.txt: when croniter (PyPI, 7.0.0) says that schedules are due in 2024, a leap year.

    python3 -m venv venv && venv/bin/pip install croniter==7.0.0 tzdata
    venv/bin/python tests/schedules/croniter_times.py > tests/schedules/croniter_times.txt

Each line: the expression, the time zone, the first time (minutes since 1970, UTC), and the minutes from each time to the next, a
count before those that repeat.
"""

from datetime import datetime, timezone
from itertools import groupby
from zoneinfo import ZoneInfo

from croniter import croniter

ZONES = ["Europe/Berlin", "America/New_York", "Australia/Lord_Howe"]
EXPRESSIONS = [
    "0 2 * * *",
    "30 2 * * *",
    "15 1-4 * * *",
    "0 8 * * MON-FRI",
    "45 1 * * SUN",
    "0 */6 * * *",
    "*/20 * * * *",
    "0 0 1 * *",
    "0 0 L * *",
    "0 22 13 * FRI",
    "30 12 * * MON#1",
    "5 3 29 2 *",
    "59 23 31 12 *",
    "@weekly",
]
START = datetime(2024, 1, 1, tzinfo=timezone.utc)
END = datetime(2025, 1, 1, tzinfo=timezone.utc)

for expression in EXPRESSIONS:
    for zone in ZONES:
        times = []
        following = croniter(expression, START.astimezone(ZoneInfo(zone)))
        while (at := following.get_next(datetime)) < END:
            times.append(int(at.timestamp()) // 60)
        steps = [later - earlier for earlier, later in zip(times, times[1:])]
        runs = [(len(list(run)), step) for step, run in groupby(steps)]
        words = [f"{count}*{step}" if count > 1 else str(step) for count, step in runs]
        print(expression, zone, times[0], " ".join(words), sep="|")
