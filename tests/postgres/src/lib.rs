//! A PostgreSQL server for tests, of its own: made with the machine's `initdb` in a temporary folder, on a free port of
//! the loopback address, gone with the test process however that ends.
//!
//! ```text
//! test process ── pipe ──> sh: pg_ctl start; cat >/dev/null; pg_ctl stop; rm -r folder
//! ```
//! The shell reads the pipe until it ends, and it ends when the test process does: by a return, a panic or `kill -9`.
//!
//! This crate knows nothing of Limnos, so that the catalog's own tests and the end-to-end tests can both use it. On a
//! machine without PostgreSQL the tests are skipped, which is printed; where [`REQUIRE`] is set they fail instead.
#![allow(clippy::disallowed_methods, reason = "tests are steered by the environment, not by a configuration")]

use std::fs::Permissions;
use std::io::{self, BufRead, BufReader, Write};
use std::net::TcpListener;
use std::os::unix::fs::{MetadataExt, PermissionsExt, chown};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::sync::atomic::{AtomicU32, Ordering};

/// Set to 1 where a skipped test would be a lie: in CI.
pub const REQUIRE: &str = "LIMNOS_TEST_REQUIRE_POSTGRES";

/// The superuser of the server, who needs no password.
pub const USER: &str = "limnos";

/// Who PostgreSQL runs as when the tests run as root, which it refuses: the first of these that the machine knows.
const UNPRIVILEGED: [&str; 2] = ["postgres", "nobody"];

/// How often another port is tried: somebody may take the one that was found free before PostgreSQL does.
const START_ATTEMPTS: u32 = 5;

/// A running server. Dropping it stops it and removes its folder.
#[derive(Debug)]
pub struct PostgresServer {
    bin: PathBuf,
    folder: PathBuf,
    user: Option<(u32, u32)>,
    port: u16,
    /// Its standard input is the pipe that keeps the server alive.
    keeper: Child,
}

/// The server that all tests of a process share, and a schema in it that no other test has. `None` where PostgreSQL isn't
/// installed.
pub fn fresh_schema() -> Option<String> {
    static SHARED: OnceLock<Option<PostgresServer>> = OnceLock::new();
    static COUNT: AtomicU32 = AtomicU32::new(0);
    // Never dropped: the end of the process ends it.
    let server = SHARED.get_or_init(PostgresServer::start).as_ref()?;
    let count = COUNT.fetch_add(1, Ordering::Relaxed);
    Some(format!("{}?schema=test_{count}", server.url()))
}

impl PostgresServer {
    /// Starts one. `None`, which is printed, where there is no `initdb`.
    ///
    /// # Panics
    /// Where it is installed and doesn't start, or [`REQUIRE`] is set and it isn't installed.
    pub fn start() -> Option<Self> {
        let Some(bin) = find_bin() else {
            let required = std::env::var_os(REQUIRE).is_some_and(|value| value == "1");
            assert!(!required, "{REQUIRE} is set, but there is no initdb on this machine: install PostgreSQL");
            // Past the test harness, which keeps what passing tests print to itself.
            let _ = writeln!(io::stderr(), "\nskipped: tests on PostgreSQL, since no initdb was found on this machine");
            return None;
        };
        let folder = tempfile::Builder::new().prefix("limnos-pg-").tempdir().expect("a temporary folder");
        let is_root = folder.path().metadata().expect("the folder's owner").uid() == 0;
        // Root's own folder for temporary files may be closed to others.
        let folder = if is_root { folder_for_others() } else { folder };
        let folder = folder.keep();
        let user = is_root.then(|| unprivileged_user().expect("a user who is not root"));
        if let Some((uid, gid)) = user {
            chown(&folder, Some(uid), Some(gid)).expect("a folder for PostgreSQL");
        }
        let initdb = command(&bin, "initdb", user)
            .args(["--auth=trust", "--no-sync", "--encoding=UTF8", "--locale=C", "--username", USER, "--pgdata"])
            .arg(folder.join("data"))
            .output()
            .expect("initdb");
        assert!(initdb.status.success(), "initdb: {}", String::from_utf8_lossy(&initdb.stderr));
        for _ in 0..START_ATTEMPTS {
            let port = free_port();
            if let Some(keeper) = start_keeper(&bin, &folder, user, port) {
                return Some(Self { bin, folder, user, port, keeper });
            }
        }
        let log = std::fs::read_to_string(folder.join("log")).unwrap_or_default();
        panic!("PostgreSQL does not start: {log}");
    }

    /// Its database.
    pub fn url(&self) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/postgres", self.port)
    }

    /// Its port on 127.0.0.1.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Has it speak TLS, as `localhost`; returns the file of the authority that says so.
    pub fn serve_tls(&self) -> PathBuf {
        let source = Path::new(env!("CARGO_MANIFEST_DIR")).join("tls");
        for name in ["server.pem", "server.key"] {
            let path = self.folder.join("data").join(name);
            std::fs::copy(source.join(name), &path).expect("a file of the server");
            std::fs::set_permissions(&path, Permissions::from_mode(0o600)).expect("a file of the server");
            self.own(&path);
        }
        let settings = "ssl = on\nssl_cert_file = 'server.pem'\nssl_key_file = 'server.key'\n";
        self.append("postgresql.conf", settings);
        self.control(&["reload"]);
        source.join("ca.pem")
    }

    /// Gives [`USER`] a password and lets nobody in without one.
    pub fn require_password(&self, password: &str) {
        let sql = format!("ALTER USER {USER} PASSWORD '{}'", password.replace('\'', "''"));
        let status = command(&self.bin, "psql", self.user)
            .args(["--quiet", "--command", &sql, &self.url()])
            .status()
            .expect("psql");
        assert!(status.success(), "psql: {status}");
        self.rewrite("pg_hba.conf", "host all all 127.0.0.1/32 scram-sha-256\n");
        self.control(&["reload"]);
    }

    fn append(&self, name: &str, more: &str) {
        let path = self.folder.join("data").join(name);
        let text = std::fs::read_to_string(&path).expect("a file of the server");
        self.rewrite(name, &format!("{text}{more}"));
    }

    fn rewrite(&self, name: &str, text: &str) {
        let path = self.folder.join("data").join(name);
        std::fs::write(&path, text).expect("a file of the server");
        self.own(&path);
    }

    fn own(&self, path: &Path) {
        if let Some((uid, gid)) = self.user {
            chown(path, Some(uid), Some(gid)).expect("a file for PostgreSQL");
        }
    }

    /// Stops it as an administrator in a hurry does: connections are broken, nothing that was committed is lost.
    pub fn stop(&self) {
        self.control(&["stop", "--mode=immediate"]);
    }

    /// Starts it again after [`Self::stop`], on the same port.
    pub fn start_again(&self) {
        let options = server_options(&self.folder, self.port);
        let log = self.folder.join("log");
        self.control(&["start", "--wait", "--log", &log.to_string_lossy(), "--options", &options]);
    }

    fn control(&self, arguments: &[&str]) {
        let status = command(&self.bin, "pg_ctl", self.user)
            .args(arguments)
            .arg("--pgdata")
            .arg(self.folder.join("data"))
            // What it starts would keep a pipe of ours open.
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .status()
            .expect("pg_ctl");
        assert!(status.success(), "pg_ctl {}: {status}", arguments[0]);
    }
}

impl Drop for PostgresServer {
    fn drop(&mut self) {
        drop(self.keeper.stdin.take());
        let _ = self.keeper.wait();
    }
}

fn folder_for_others() -> tempfile::TempDir {
    tempfile::Builder::new().prefix("limnos-pg-").tempdir_in("/tmp").expect("a temporary folder")
}

/// Starts the shell that keeps the server; `None` if the server doesn't come up.
fn start_keeper(bin: &Path, folder: &Path, user: Option<(u32, u32)>, port: u16) -> Option<Child> {
    const KEEP: &str = r#"
        "$1/pg_ctl" start --silent --wait --pgdata "$2/data" --log "$2/log" --options "$3" >/dev/null 2>&1 </dev/null || exit 1
        echo ready
        cat >/dev/null
        "$1/pg_ctl" stop --silent --mode=immediate --pgdata "$2/data" >/dev/null 2>&1
        rm -rf "$2"
    "#;
    let mut keeper = as_user(Command::new("/bin/sh"), user)
        .args(["-c", KEEP, "sh"])
        .args([bin, folder])
        .arg(server_options(folder, port))
        .current_dir("/")
        // Ctrl-C in a terminal ends the tests; this one has to clean up first.
        .process_group(0)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .expect("a shell");
    let mut line = String::new();
    let output = keeper.stdout.take().expect("it is piped");
    let _ = BufReader::new(output).read_line(&mut line);
    if line.trim() == "ready" {
        return Some(keeper);
    }
    let _ = keeper.wait();
    None
}

/// Fast, since only the client's crashes are tested, never the machine's.
fn server_options(folder: &Path, port: u16) -> String {
    format!(
        "-c listen_addresses=127.0.0.1 -c port={port} -c unix_socket_directories={} -c fsync=off -c max_connections=300",
        folder.display()
    )
}

fn command(bin: &Path, program: &str, user: Option<(u32, u32)>) -> Command {
    let mut command = as_user(Command::new(bin.join(program)), user);
    command.current_dir("/").stdin(Stdio::null());
    command
}

fn as_user(mut command: Command, user: Option<(u32, u32)>) -> Command {
    if let Some((uid, gid)) = user {
        command.uid(uid).gid(gid);
    }
    command.env("LC_ALL", "C").env_remove("PGDATA").env_remove("PGPORT");
    command
}

/// The user and group id of the first of [`UNPRIVILEGED`] that there is.
fn unprivileged_user() -> Option<(u32, u32)> {
    let users = std::fs::read_to_string("/etc/passwd").ok()?;
    let find = |name: &str| {
        let fields: Vec<&str> =
            users.lines().map(|line| line.split(':').collect::<Vec<_>>()).find(|fields| fields[0] == name)?;
        Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
    };
    UNPRIVILEGED.into_iter().find_map(find)
}

/// The folder with `initdb`: on the `PATH`, or where packages put it, the newest version first.
fn find_bin() -> Option<PathBuf> {
    let path = std::env::var_os("PATH").unwrap_or_default();
    let on_path = std::env::split_paths(&path).collect::<Vec<_>>();
    let mut packaged: Vec<(u32, PathBuf)> = Vec::new();
    for (parent, prefix) in [("/usr/lib/postgresql", ""), ("/usr", "pgsql-"), ("/opt/homebrew/opt", "postgresql@")] {
        for entry in std::fs::read_dir(parent).into_iter().flatten().flatten() {
            let name = entry.file_name();
            let version = name.to_str().and_then(|name| name.strip_prefix(prefix)?.parse().ok());
            packaged.extend(version.map(|version| (version, entry.path().join("bin"))));
        }
    }
    packaged.sort_by(|a, b| b.cmp(a));
    on_path
        .into_iter()
        .chain(packaged.into_iter().map(|(_, bin)| bin))
        .find(|bin| ["initdb", "pg_ctl", "postgres", "psql"].iter().all(|program| bin.join(program).is_file()))
}

fn free_port() -> u16 {
    let listener = TcpListener::bind(("127.0.0.1", 0)).expect("a free port");
    listener.local_addr().expect("its address").port()
}
