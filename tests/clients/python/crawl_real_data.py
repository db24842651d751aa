"""`limnos crawl` on real files, then questions over the wire: types as a person would declare them, numbers as DuckDB's.

The files are those of the vega-datasets collection; LIMNOS_REAL_DATA names the folder. Without it there is nothing to do.
"""

import math
import os
import socket
import subprocess
import sys
import tempfile
import time

import duckdb
import psycopg

DATA = os.environ.get("LIMNOS_REAL_DATA")
LIMNOS = os.environ.get("LIMNOS_BINARY", "limnos")

# What `\d` shows of each table.
TYPES = {
    "airports": "iata text, name text, city text, state text, country text, latitude double precision, longitude double precision",
    "birdstrikes": "airport name text, aircraft make model text, effect amount of damage text, flight date date, "
    "aircraft airline operator text, origin state text, phase of flight text, wildlife size text, wildlife species text, "
    "time of day text, cost other bigint, cost repair bigint, cost total $ bigint, speed ias in knots bigint",
    "earthquakes": "type text, properties json, geometry json, id text",
    "flights_200k": "delay smallint, distance smallint, time real",
    "flights_20k": "date timestamp without time zone, delay bigint, distance bigint, origin text, destination text",
    "github": "time timestamp without time zone, count bigint",
    "movies": "title text, us gross bigint, worldwide gross bigint, us dvd sales bigint, production budget bigint, "
    "release date date, mpaa rating text, running time min bigint, distributor text, source text, major genre text, "
    "creative type text, director text, rotten tomatoes rating bigint, imdb rating double precision, imdb votes bigint",
    "seattle_weather": "date date, precipitation double precision, temp_max double precision, temp_min double precision, "
    "wind double precision, weather text",
    "sp500_2000": "date date, open double precision, high double precision, low double precision, close double precision, "
    "adjclose double precision, volume bigint",
    "unemployment": "id bigint, rate double precision",
}

# The same files as DuckDB reads them.
VIEWS = """
create view airports as from read_csv('{data}/airports.csv');
create view birdstrikes as from read_csv('{data}/birdstrikes.csv');
create view earthquakes as select unnest(f) from
    (select unnest(features) f from read_json('{data}/earthquakes.json', maximum_object_size = 99999999));
create view flights_20k as select strptime(date, '%Y/%m/%d %H:%M') as date, * exclude (date) from
    read_json('{data}/flights-20k.json', columns = {{date: 'varchar', delay: 'bigint', distance: 'bigint',
    origin: 'varchar', destination: 'varchar'}});
create view github as select strptime(time, '%Y/%m/%d %H:%M:%S') as time, count from
    read_csv('{data}/github.csv', types = {{'time': 'varchar'}});
create view movies as select * exclude ("Release Date"),
    strptime(case when length("Release Date") > 8 then "Release Date" end, '%b %d %Y')::date as "Release Date" from
    read_json('{data}/movies.json', columns = {{'Title': 'varchar', 'US Gross': 'bigint', 'Production Budget': 'bigint',
    'Major Genre': 'varchar', 'IMDB Rating': 'double', 'IMDB Votes': 'bigint', 'Director': 'varchar',
    'Release Date': 'varchar', 'Running Time min': 'bigint'}});
create view seattle_weather as from read_csv('{data}/seattle-weather.csv');
create view sp500_2000 as from read_csv('{data}/sp500-2000.csv');
create view unemployment as from read_csv('{data}/unemployment.tsv', delim = '\t');
"""

# One text asked of both, or a pair.
QUESTIONS = [
    "select count(*), count(distinct state), min(latitude), max(longitude), avg(latitude) from airports",
    "select state, count(*) from airports group by state order by count(*) desc, state nulls last limit 10",
    "select name, city from airports where iata = 'JFK'",
    "select count(*) from airports where name like '%\"%' or city is null",
    'select count(*), sum("Cost Total $"), max("Speed IAS in knots"), count("Speed IAS in knots") from birdstrikes',
    'select min("Flight Date"), max("Flight Date"), count(distinct "Origin State") from birdstrikes',
    'select extract(year from "Flight Date"), count(*), sum("Cost Repair") from birdstrikes group by 1 order by 1',
    'select "Wildlife Size", "Time of day", count(*) from birdstrikes group by 1, 2 order by 3 desc, 1, 2 limit 10',
    "select count(*), max(properties.mag), min(properties.mag), avg(properties.mag) from earthquakes",
    ("select (properties).magType, count(*) from earthquakes group by (properties).magType order by 2 desc, 1 limit 5",
     "select properties.magType, count(*) from earthquakes group by 1 order by 2 desc, 1 limit 5"),
    ("select id, (e.properties).place, e.properties['mag'] from earthquakes e where properties.mag > 5 order by id",
     "select id, properties.place, properties.mag from earthquakes where properties.mag > 5 order by id"),
    ("select sum(geometry.coordinates[1]), min((geometry).coordinates[2]), max(geometry['coordinates'][3]) from earthquakes",
     "select sum(geometry.coordinates[1]), min(geometry.coordinates[2]), max(geometry.coordinates[3]) from earthquakes"),
    ("select date_trunc('day', to_timestamp(properties.time / 1000) at time zone 'UTC')::date, count(*) from earthquakes group by 1 order by 1",
     "select date_trunc('day', make_timestamp(properties.time * 1000))::date, count(*) from earthquakes group by 1 order by 1"),
    "select count(*), count(properties.felt), sum(properties.felt), count(properties.alert) from earthquakes",
    "select count(*), sum(delay), avg(distance), min(date), max(date) from flights_20k",
    "select origin, count(*), max(delay) from flights_20k group by origin order by 2 desc, 1 limit 10",
    "select date_trunc('month', date), count(*), sum(distance) from flights_20k group by 1 order by 1",
    "select extract(hour from date), avg(delay) from flights_20k group by 1 order by 1",
    "select count(*), sum(count), min(time), max(time), max(count) from github",
    "select extract(dow from time), sum(count) from github group by 1 order by 1",
    'select count(*), count("Title"), sum("US Gross"), max("IMDB Votes"), avg("IMDB Rating") from movies',
    'select "Major Genre", count(*), max("Production Budget") from movies group by 1 order by 2 desc, 1 nulls last limit 12',
    'select "Title", "Running Time min" from movies where "Director" = \'Stanley Kubrick\' order by 1',
    """select count(*) from movies where "Title" in ('300', '2012', '12 Monkeys')""",
    "select count(*), min(date), max(date), sum(precipitation), avg(temp_max), min(temp_min) from seattle_weather",
    "select weather, count(*), avg(wind) from seattle_weather group by weather order by weather",
    "select extract(month from date), avg(temp_max) from seattle_weather group by 1 order by 1",
    "select count(*), min(date), max(date), sum(volume), max(close), min(low) from sp500_2000",
    "select date_trunc('year', date)::date, avg(close), max(high) from sp500_2000 group by 1 order by 1",
    "select date, close - lag(close) over (order by date) from sp500_2000 order by date limit 5",
    "select count(*), sum(rate), max(id), min(rate), max(rate) from unemployment",
]

# Rows, then the sum of `delay`, the greatest `distance`, the least `delay`, the greatest `time`.
FLIGHTS_200K = [200_000, 1_500_159, 4962, -86, 23.983334]


def free_port():
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        return listener.getsockname()[1]


def same(ours, theirs):
    if isinstance(ours, str) or ours is None or theirs is None or not hasattr(theirs, "__float__"):
        return str(ours) == str(theirs) or str(ours) == str(theirs).removesuffix(" 00:00:00")
    return math.isclose(float(ours), float(theirs), rel_tol=1e-9, abs_tol=1e-9)


def check(connection):
    failures = []
    for table, wanted in TYPES.items():
        rows = connection.execute(
            "select a.attname || ' ' || format_type(a.atttypid, a.atttypmod) from pg_attribute a "
            "where a.attrelid = %s::regclass and a.attnum > 0 order by a.attnum".replace("%s", f"'{table}'")
        ).fetchall()
        found = ", ".join(row[0] for row in rows)
        if found != wanted:
            failures.append(f"types of {table}:\n  {found}\n  wanted {wanted}")
    duck = duckdb.connect()
    duck.execute(VIEWS.format(data=DATA))
    for question in QUESTIONS:
        ours_sql, theirs_sql = question if isinstance(question, tuple) else (question, question)
        theirs = duck.execute(theirs_sql).fetchall()
        try:
            ours = connection.execute(ours_sql).fetchall()
        except psycopg.Error as error:
            failures.append(f"{ours_sql}\n  {error}")
            continue
        equal = len(ours) == len(theirs) and all(
            len(a) == len(b) and all(map(same, a, b)) for a, b in zip(ours, theirs)
        )
        if not equal:
            failures.append(f"{ours_sql}\n  Limnos {ours[:12]}\n  DuckDB {theirs[:12]}")
    # Arrow IPC, which DuckDB reads with an extension only; counted with pyarrow.
    row = connection.execute("select count(*), sum(delay), max(distance), min(delay), max(time) from flights_200k").fetchone()
    if not all(map(same, row, FLIGHTS_200K)):
        failures.append(f"flights_200k: {row}")
    return failures


def main():
    if not DATA:
        return 0
    with tempfile.TemporaryDirectory() as work:
        data_dir = os.path.join(work, "data")
        crawl = [LIMNOS, "crawl", DATA, "--data-dir", data_dir]
        for attempt in ("first", "second"):
            answer = subprocess.run(crawl, capture_output=True, text=True, timeout=300)
            if answer.returncode != 0:
                print(f"the {attempt} crawl failed\n{answer.stdout}{answer.stderr}")
                return 1
        port = free_port()
        serve = [LIMNOS, "serve", "--data-dir", data_dir, "--root", DATA, "--pg", f"127.0.0.1:{port}"]
        server = subprocess.Popen([*serve, "--http", f"127.0.0.1:{free_port()}"], stderr=subprocess.DEVNULL)
        try:
            address = f"host=127.0.0.1 port={port} user=limnos dbname=lake"
            for _ in range(150):
                try:
                    connection = psycopg.connect(address, autocommit=True)
                    break
                except psycopg.OperationalError:
                    time.sleep(0.2)
            else:
                print("the server does not listen")
                return 1
            with connection:
                failures = check(connection)
        finally:
            server.terminate()
            server.wait(60)
    print("\n".join(failures))
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
