"""libpq 17, which psycopg's own wheels bring: TLS from the first byte, and channel binding."""

import os
import subprocess

import psycopg

assert psycopg.pq.version() >= 170000, psycopg.pq.version()
check = r"""
set -euo pipefail
source tests/clients/tls_server.sh
echo "$TLS_PORT $TLS_DIR"
read -r _ || true
"""
environment = {key: value for key, value in os.environ.items() if not key.startswith("PG")}
server = subprocess.Popen(
    ["bash", "-c", check], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=environment
)
try:
    port, folder = server.stdout.readline().split()
    for name in list(os.environ):
        if name.startswith("PG"):
            del os.environ[name]
    base = f"host=localhost hostaddr=127.0.0.1 port={port} dbname=lake sslrootcert={folder}/ca.pem sslmode=verify-full"
    query = "SELECT ssl, version FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    for negotiation in ("direct", "postgres"):
        for binding in ("require", "prefer", "disable"):
            text = f"{base} user=limnos password='correct horse' sslnegotiation={negotiation} channel_binding={binding}"
            with psycopg.connect(text) as connection:
                assert connection.execute(query).fetchone() == (True, "TLSv1.3"), (negotiation, binding)
                # A large answer and a cancel over the same kind of connection.
                rows = connection.execute("SELECT repeat('x', 1000) FROM generate_series(1, 5000)").fetchall()
                assert len(rows) == 5000
                connection.cancel_safe()
        with psycopg.connect(f"{base} user=ann sslnegotiation={negotiation} sslcert={folder}/ann.pem sslkey={folder}/ann.key") as connection:
            assert connection.execute("SELECT current_user").fetchone() == ("ann",)
    try:
        psycopg.connect(f"{base} user=limnos password=wrong sslnegotiation=direct")
        raise AssertionError("a wrong password was taken")
    except psycopg.OperationalError as error:
        assert 'password authentication failed for user "limnos"' in str(error), error
finally:
    server.stdin.close()
    server.wait(timeout=30)
