"""limnos shell: on a terminal (prompt, completion, several lines, Ctrl-C, Ctrl-D), in scripts (exit codes), and its tables
against psql's own, character by character."""

import os
import pty
import re
import select
import signal
import subprocess
import tempfile
import time

LIMNOS = os.environ["LIMNOS_BINARY"]
SERVER = f"postgres://{os.environ['PGUSER']}@{os.environ['PGHOST']}:{os.environ['PGPORT']}/{os.environ['PGDATABASE']}"
ESCAPES = re.compile(r"\x1b(\[[0-9;?]*[a-zA-Z]|\][^\x07]*\x07|[=>])")


class Terminal:
    """A program on a terminal of its own. Nothing is timed: each step waits for what it expects."""

    def __init__(self, *arguments, home):
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.environ.update(TERM="xterm", HOME=home, PAGER="cat", XDG_STATE_HOME=home)
            os.execv(LIMNOS, [LIMNOS, *arguments])
        import fcntl, struct, termios
        fcntl.ioctl(self.fd, termios.TIOCSWINSZ, struct.pack("HHHH", 30, 100, 0, 0))
        self.seen = ""

    def expect(self, wanted, patience=60):
        end = time.monotonic() + patience
        while wanted not in self.seen:
            assert time.monotonic() < end, f"no {wanted!r} in {self.seen!r}"
            if not select.select([self.fd], [], [], 0.2)[0]:
                continue
            try:
                text = os.read(self.fd, 65536).decode(errors="replace")
            except OSError:
                raise AssertionError(f"the program ended without {wanted!r}: {self.seen!r}")
            # An editor asks the terminal where the cursor is.
            for _ in range(text.count("\x1b[6n")):
                os.write(self.fd, b"\x1b[1;1R")
            self.seen += ESCAPES.sub("", text)
        self.seen = self.seen.split(wanted, 1)[1]

    def type(self, text):
        os.write(self.fd, text.encode())

    def end(self):
        end = time.monotonic() + 60
        while time.monotonic() < end:
            if select.select([self.fd], [], [], 0.1)[0]:
                try:
                    os.read(self.fd, 65536)
                except OSError:
                    pass
            pid, status = os.waitpid(self.pid, os.WNOHANG)
            if pid:
                return os.waitstatus_to_exitcode(status)
        raise AssertionError("the program does not end")


def run(*arguments, stdin=None, **environment):
    return subprocess.run(
        [LIMNOS, "shell", *arguments], input=stdin, text=True, capture_output=True, timeout=300,
        env={**os.environ, **environment}, stdin=subprocess.DEVNULL if stdin is None else None,
    )


def same_as_psql(*commands):
    flags = [flag for command in commands for flag in ("-c", command)]
    ours, theirs = run("--server", SERVER, *flags), subprocess.run(["psql", "-X", *flags], text=True, capture_output=True)
    assert ours.stdout == theirs.stdout, f"{commands}\nours:\n{ours.stdout}{ours.stderr}\npsql's:\n{theirs.stdout}{theirs.stderr}"


for settings in ([], ["\\pset border 2"], ["\\pset border 0"], ["\\x on"], ["\\pset null -"], ["\\t on"], ["\\pset format csv"],
                 ["\\pset format unaligned"], ["\\pset linestyle unicode", "\\pset border 2"], ["\\x on", "\\pset border 2"]):
    for query in (
        "SELECT * FROM nation ORDER BY n_nationkey LIMIT 4",
        "SELECT 1 AS n, E'a\\nbc' AS \"two lines\", NULL AS nothing, '漢字' AS wide, -2.50 AS price",
        "SELECT E'tab\\there' AS t, 'x' AS y",
        "SELECT n_name FROM nation WHERE false",
        "SELECT true AS yes, ARRAY[1, 2] AS list, DATE '2024-02-29' AS day, 1.5::float8 AS f",
    ):
        # psql says what it set; a script of ours is not told.
        psql_settings = ["\\set QUIET on", *settings]
        same_as_psql(*psql_settings, query)
for command in ("\\dt", "\\d", "\\dn", "\\d nation", "\\dv", "\\conninfo", "\\echo :PGX a 'b c'"):
    same_as_psql(command)

# Exit codes, and where things are written.
failed = run("--server", SERVER, "-c", "select 1/0")
assert (failed.returncode, failed.stdout) == (1, "") and "ERROR:  division by zero" in failed.stderr, failed
assert "\x1b" not in failed.stderr, failed
assert run("--server", SERVER, "--format", "nonsense").returncode == 2
assert run("--server", "mysql://127.0.0.1/").returncode == 2
unreachable = run("--server", "postgres://limnos@127.0.0.1:1/lake", "-c", "select 1")
assert unreachable.returncode == 3 and "could not connect" in unreachable.stderr, unreachable
script = run("--server", SERVER, stdin="select 1 as a;\nselect nosuch;\nselect 2;\n")
assert script.returncode == 1 and "(1 row)" in script.stdout and " 2" not in script.stdout, script
script = run("--server", SERVER, stdin="\\set ON_ERROR_STOP off\nselect nosuch;\nselect 2 as two;\n")
assert script.returncode == 1 and "two" in script.stdout, script
here = run("-c", "select 'in this process' as place", "--format", "csv")
assert (here.returncode, here.stdout) == (0, "place\nin this process\n"), here
unknown = run("-c", "\\tming")
assert unknown.returncode == 1 and "Did you mean \\timing?" in unknown.stderr, unknown
with tempfile.TemporaryDirectory() as folder:
    copied = run("--server", SERVER, "-c", f"\\copy (select n_name from nation order by 1 limit 2) to '{folder}/n.csv' csv")
    assert copied.returncode == 0 and open(f"{folder}/n.csv").read() == "ALGERIA\nARGENTINA\n", copied
    assert copied.stdout == "COPY 2\n", copied
copied = run("--server", SERVER, "-c", "copy (select n_name from nation order by 1 limit 1) to stdout")
assert (copied.returncode, copied.stdout) == (0, "ALGERIA\n"), copied

# On a terminal.
with tempfile.TemporaryDirectory() as home:
    shell = Terminal("shell", "--server", SERVER, home=home)
    shell.expect("lake=# ")
    shell.type("select n_name\r")
    shell.expect("lake-# ")
    shell.type("from nation where n_nationkey = 0;\r")
    shell.expect("ALGERIA")
    shell.expect("(1 row)")
    shell.expect("lake=# ")
    # A quote that is open has its own prompt.
    shell.type("select 'a\r")
    shell.expect("lake'# ")
    shell.type("b' as two_lines;\r")
    shell.expect("two_lines")
    shell.expect("lake=# ")
    # Tab completes tables, and columns of the statement's table.
    shell.type("select count(*) from linei\t;\r")
    shell.expect("lineitem")
    shell.expect("(1 row)")
    shell.expect("lake=# ")
    # Ctrl-C takes back what is typed.
    shell.type("select nothing")
    shell.expect("select nothing")
    shell.type("\x03")
    shell.expect("lake=# ")
    # Ctrl-C cancels what runs, and the shell stays.
    shell.type("select count(*) from lineitem a, lineitem b, lineitem c where a.l_comment < b.l_comment || c.l_comment;\r")
    shell.expect("Ctrl-C cancels")
    shell.type("\x03")
    shell.expect("canceling statement due to user request")
    shell.expect("lake=# ")
    shell.type("ALTER ROLE nobody_here PASSWORD 'hidden';\r")
    shell.expect("ERROR:")
    shell.expect("lake=# ")
    shell.type("select n_name, n_nationkey from nation order by 2 limit 3;\r")
    shell.expect("(3 rows)")
    shell.expect("lake=# ")
    shell.type("\\chart bar\r")
    shell.expect("█")
    shell.expect("lake=# ")
    shell.type("\x04")
    assert shell.end() == 0
    history = os.path.join(home, "limnos/history")
    text = open(history).read()
    assert "n_nationkey = 0" in text and "hidden" not in text, text
    assert os.stat(history).st_mode & 0o777 == 0o600

# Ctrl-C in a script: 130, as shells have it.
script = subprocess.Popen(
    [LIMNOS, "shell", "--server", SERVER, "-c",
     "select count(*) from lineitem a, lineitem b, lineitem c where a.l_comment < b.l_comment || c.l_comment"],
    stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
)
while "lineitem a" not in subprocess.run(
    ["psql", "-XAtc", "SELECT sql FROM system.queries WHERE state = 'RUNNING' AND sql NOT LIKE '%system.queries%'"],
    text=True, capture_output=True,
).stdout:
    assert script.poll() is None, script.communicate()
script.send_signal(signal.SIGINT)
_, errors = script.communicate(timeout=60)
assert script.returncode == 130 and "canceling statement" in errors, (script.returncode, errors)

# The server's status, for people and for programs.
status = subprocess.run([LIMNOS, "status", "--server", SERVER, "--once"], text=True, capture_output=True)
assert status.returncode == 0 and "caches" in status.stdout and "footers" in status.stdout, status
print("shell: all as it should be")
