"""Behind PgBouncer in transaction mode: plain, and with TLS and SCRAM to the server; psql and psycopg through it."""

import concurrent.futures
import os
import pwd
import shutil
import signal
import socket
import subprocess
import tempfile
import time

import psycopg

program = shutil.which("pgbouncer") or "/usr/sbin/pgbouncer"
if not os.path.exists(program):
    if os.environ.get("LIMNOS_TEST_REQUIRE_POSTGRES"):
        raise SystemExit("pgbouncer is not installed")
    print("skipped: pgbouncer is not installed")
    raise SystemExit(0)


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
check = 'set -euo pipefail; source tests/clients/tls_server.sh; echo "$TLS_PORT $TLS_DIR"; read -r _ || true'
server = subprocess.Popen(["bash", "-c", check], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment)
folder = tempfile.mkdtemp()
bouncer = None
try:
    tls_port, tls_folder = server.stdout.readline().split()
    port = free_port()
    shutil.copy(f"{tls_folder}/ca.pem", folder)
    with open(f"{folder}/users.txt", "w") as users:
        users.write('"limnos" "correct horse"\n"bob" "staple"\n')
    with open(f"{folder}/bouncer.ini", "w") as config:
        config.write(
            f"""[databases]
plain = host=127.0.0.1 port={os.environ["PGPORT"]} dbname=lake user=limnos
lake = host=127.0.0.1 port={tls_port} dbname=lake
[pgbouncer]
listen_addr = 127.0.0.1
listen_port = {port}
unix_socket_dir =
auth_type = scram-sha-256
auth_file = {folder}/users.txt
pool_mode = transaction
max_client_conn = 200
default_pool_size = 3
server_reset_query = DISCARD ALL
server_reset_query_always = 1
server_check_query = select 1
server_check_delay = 0
server_tls_sslmode = prefer
server_tls_ca_file = {folder}/ca.pem
ignore_startup_parameters = extra_float_digits
logfile = {folder}/log
"""
        )
    command = [program, "-q", f"{folder}/bouncer.ini"]
    if os.geteuid() == 0:
        # It refuses to be root.
        nobody = pwd.getpwnam("nobody")
        for path in [folder] + [f"{folder}/{name}" for name in os.listdir(folder)]:
            os.chown(path, nobody.pw_uid, nobody.pw_gid)
        command[1:1] = ["-u", "nobody"]
    bouncer = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    base = f"host=127.0.0.1 port={port} user=limnos password='correct horse' sslmode=disable"
    for attempt in range(100):
        try:
            psycopg.connect(f"{base} dbname=lake").close()
            break
        except psycopg.OperationalError as error:
            if attempt == 99:
                raise
            time.sleep(0.1)

    for database, encrypted in (("plain", False), ("lake", True)):
        text = f"{base} dbname={database}"
        with psycopg.connect(text, autocommit=True, prepare_threshold=None) as connection:
            found = connection.execute("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()").fetchone()
            assert found == (encrypted,), (database, found)
            # The next transaction may be another server connection, which DISCARD ALL has cleaned.
            connection.execute("SET application_name = 'left behind'")
            for _ in range(10):
                assert connection.execute("SELECT %s::int + 1", (41,)).fetchone() == (42,)
            with connection.transaction():
                connection.execute("SET LOCAL statement_timeout = '7s'")
                assert connection.execute("SHOW statement_timeout").fetchone() == ("7s",)
            assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
            try:
                connection.execute("SELECT 1 / 0")
                raise AssertionError("no error")
            except psycopg.errors.DivisionByZero:
                pass
            rows = connection.execute("SELECT x, repeat('x', 100) FROM generate_series(1, 20000) AS t(x)", binary=True)
            assert len(rows.fetchall()) == 20000

        # More clients than connections to the server, in transactions of their own.
        def client(number):
            with psycopg.connect(text, prepare_threshold=None) as connection:
                for _ in range(5):
                    with connection.transaction():
                        connection.execute(f"SET LOCAL application_name = 'client {number}'")
                        name = connection.execute("SHOW application_name").fetchone()[0]
                        assert name == f"client {number}", name
                        assert connection.execute("SELECT %s::int", (number,)).fetchone() == (number,)
            return number

        with concurrent.futures.ThreadPoolExecutor(30) as pool:
            assert sorted(pool.map(client, range(60))) == list(range(60))

        # psql: several statements in one text, a transaction, \d, and Ctrl-C through the pooler.
        psql = ["psql", "-X", "-At", text]
        run = lambda *arguments: subprocess.run([*psql, *arguments], capture_output=True, text=True, env=environment)
        done = run("-c", "BEGIN; SELECT 1; SELECT 2; COMMIT", "-c", r"\dn", "-c", "SELECT current_database()")
        assert done.returncode == 0 and "lake" in done.stdout, done
        endless = "SELECT count(*) FROM generate_series(1, 1000000) AS a(x), generate_series(1, 1000000) AS b(x) WHERE a.x % 7 = b.x % 11"
        running = subprocess.Popen([*psql, "-c", endless], stderr=subprocess.PIPE, text=True, env=environment)
        time.sleep(1.5)
        running.send_signal(signal.SIGINT)
        _, error = running.communicate(timeout=20)
        assert "canceling statement due to user request" in error, error
    # Passwords are the pooler's affair, and a role's name is handed on.
    with psycopg.connect(f"host=127.0.0.1 port={port} user=bob password=staple dbname=lake", prepare_threshold=None) as connection:
        assert connection.execute("SELECT current_user").fetchone() == ("bob",)
    # Nothing that the server said in the pooler's log.
    with open(f"{folder}/log") as log:
        bad = [line for line in log if "server" in line and ("ERROR" in line or "WARNING" in line) and "cancel" not in line]
    assert not bad, bad
finally:
    if bouncer is not None:
        bouncer.terminate()
        bouncer.wait(timeout=30)
    server.stdin.close()
    server.wait(timeout=30)
    shutil.rmtree(folder, ignore_errors=True)
