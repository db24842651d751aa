//! `limnos user`: short forms of the statements about roles, sent to a server or run on a data directory. Passwords are made
//! verifiers here: neither a server nor its logs see them.

use std::io::{BufRead as _, IsTerminal as _, Write as _};

use clap::Subcommand;

use super::statement::{self, identifier, string};
use super::target::TargetArguments;
use super::terminal::Quiet;
use super::{CommandResult, Failure};
use crate::auth::scram;

#[derive(clap::Args)]
pub(super) struct User {
    #[command(subcommand)]
    action: Action,
}

#[derive(Subcommand)]
#[allow(clippy::large_enum_variant, reason = "made once")]
enum Action {
    /// Make a user; with --password it asks for one
    Create(Definition),
    /// List users and groups, and what they may do
    List(All),
    /// Change what a user may do
    Alter(Definition),
    /// Remove a user that owns nothing and has no rights on anything
    Drop(Named),
    /// Set a user's password: asked for twice on a terminal, read from standard input elsewhere
    Password(Named),
}

#[derive(clap::Args)]
struct Named {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,

    #[command(flatten)]
    target: TargetArguments,
}

#[derive(clap::Args)]
struct All {
    #[command(flatten)]
    target: TargetArguments,
}

#[derive(clap::Args)]
#[allow(clippy::struct_excessive_bools, reason = "flags of a command line")]
struct Definition {
    /// The user
    #[arg(value_name = "NAME")]
    name: String,

    /// May do everything
    #[arg(long, overrides_with = "no_superuser")]
    superuser: bool,

    /// May do what was granted, and no more
    #[arg(long)]
    no_superuser: bool,

    /// May make databases
    #[arg(long, overrides_with = "no_createdb")]
    createdb: bool,

    /// May make no databases
    #[arg(long)]
    no_createdb: bool,

    /// May make other users
    #[arg(long, overrides_with = "no_createrole")]
    createrole: bool,

    /// May make no other users
    #[arg(long)]
    no_createrole: bool,

    /// May log in; the default of new ones
    #[arg(long, overrides_with = "no_login")]
    login: bool,

    /// May not log in: a group
    #[arg(long)]
    no_login: bool,

    /// Most connections at a time; -1 is no limit
    #[arg(long, value_name = "COUNT", allow_negative_numbers = true)]
    connection_limit: Option<i32>,

    /// When the password ends to be valid: "2030-01-01 00:00:00+00", infinity
    #[arg(long, value_name = "TIME")]
    valid_until: Option<String>,

    /// The groups that it is in; repeated for several
    #[arg(long = "in", value_name = "GROUP")]
    groups: Vec<String>,

    /// Ask for a password
    #[arg(long)]
    password: bool,

    #[command(flatten)]
    target: TargetArguments,
}

/// What `limnos user list` shows.
/// What can't be made of nothing but files.
const KEPT: &str = "users are";

const LIST: &str = "SELECT rolname AS name, rolcanlogin AS login, rolsuper AS superuser, rolcreatedb AS createdb, \
                    rolcreaterole AS createrole, rolconnlimit AS connection_limit, rolvaliduntil AS valid_until \
                    FROM pg_roles WHERE rolname NOT LIKE 'pg\\_%' ORDER BY rolname";

impl User {
    pub(super) fn run(self) -> CommandResult {
        match self.action {
            Action::Create(user) => {
                let verifier = user.password.then(ask).transpose()?;
                let sql = user.statement("CREATE ROLE", verifier.as_deref());
                statement::send(user.target, KEPT, &sql, &[])
            }
            Action::Alter(user) => {
                let verifier = user.password.then(ask).transpose()?;
                let sql = user.statement("ALTER ROLE", verifier.as_deref());
                statement::send(user.target, KEPT, &sql, &[])
            }
            Action::List(all) => statement::send(all.target, KEPT, LIST, &[]),
            Action::Drop(user) => {
                statement::send(user.target, KEPT, &format!("DROP ROLE {}", identifier(&user.name)), &[])
            }
            Action::Password(user) => {
                let verifier = ask()?;
                statement::send(
                    user.target,
                    KEPT,
                    &format!("ALTER ROLE {} PASSWORD {}", identifier(&user.name), string(&verifier)),
                    &[],
                )
            }
        }
    }
}

impl Definition {
    fn statement(&self, verb: &str, verifier: Option<&str>) -> String {
        let name = identifier(&self.name);
        let mut sql = format!("{verb} {name}");
        let is_new = verb.starts_with("CREATE");
        for (yes, no, word) in [
            (self.superuser, self.no_superuser, "SUPERUSER"),
            (self.createdb, self.no_createdb, "CREATEDB"),
            (self.createrole, self.no_createrole, "CREATEROLE"),
            (self.login || is_new && !self.no_login, self.no_login, "LOGIN"),
        ] {
            if yes {
                sql += &format!(" {word}");
            } else if no {
                sql += &format!(" NO{word}");
            }
        }
        if let Some(limit) = self.connection_limit {
            sql += &format!(" CONNECTION LIMIT {limit}");
        }
        if let Some(until) = &self.valid_until {
            sql += &format!(" VALID UNTIL {}", string(until));
        }
        if let Some(verifier) = verifier {
            sql += &format!(" PASSWORD {}", string(verifier));
        }
        if !self.groups.is_empty() {
            let groups = self.groups.iter().map(|group| identifier(group)).collect::<Vec<_>>().join(", ");
            sql += &match is_new {
                true => format!(" IN ROLE {groups}"),
                false => format!("; GRANT {groups} TO {name}"),
            };
        }
        sql
    }
}

/// The verifier of a password that somebody gives.
fn ask() -> Result<String, Failure> {
    let password = if std::io::stdin().is_terminal() { ask_twice()? } else { read_line()? };
    if password.is_empty() {
        return Err(Failure::new("the password is empty", None));
    }
    scram::verifier_of(&password).map_err(|reason| Failure::new(reason, None))
}

fn ask_twice() -> Result<String, Failure> {
    let _quiet = Quiet::start().ok_or_else(|| {
        Failure::new(
            "the terminal cannot be kept from showing the password",
            Some("Give the password on standard input: limnos user password NAME < FILE".to_owned()),
        )
    })?;
    let mut answers = Vec::new();
    for prompt in ["Password: ", "Again: "] {
        let mut error = std::io::stderr();
        let _ = write!(error, "{prompt}").and_then(|()| error.flush());
        let line = read_line();
        let _ = writeln!(error);
        let line = line?;
        // Control-C, which is a character as long as nothing is echoed.
        if line.contains('\x03') {
            return Err(Failure::new("cancelled", None));
        }
        answers.push(line);
    }
    if answers[0] != answers[1] {
        return Err(Failure::new("the passwords differ", None));
    }
    Ok(answers.swap_remove(0))
}

fn read_line() -> Result<String, Failure> {
    let mut line = String::new();
    std::io::stdin().lock().read_line(&mut line).map_err(|error| Failure::new(error, None))?;
    Ok(line.trim_end_matches(['\n', '\r']).to_owned())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use clap::Parser;
    use limnos_engine::parse::{Dialect, parse};

    use super::*;

    #[derive(Parser)]
    struct Line {
        #[command(flatten)]
        user: User,
    }

    fn statement(arguments: &[&str]) -> String {
        let line = Line::try_parse_from(["user"].iter().chain(arguments)).unwrap();
        let sql = match line.user.action {
            Action::Create(user) => user.statement("CREATE ROLE", None),
            Action::Alter(user) => user.statement("ALTER ROLE", Some("SCRAM-SHA-256$x")),
            _ => LIST.to_owned(),
        };
        parse(&sql, Dialect::Postgres).unwrap();
        sql
    }

    #[test]
    fn arguments_become_statements() {
        assert_eq!(statement(&["create", "Ann \"A\""]), "CREATE ROLE \"Ann \"\"A\"\"\" LOGIN");
        assert_eq!(
            statement(&[
                "create",
                "g",
                "--no-login",
                "--superuser",
                "--connection-limit",
                "-1",
                "--in",
                "a",
                "--in",
                "b"
            ]),
            "CREATE ROLE \"g\" SUPERUSER NOLOGIN CONNECTION LIMIT -1 IN ROLE \"a\", \"b\""
        );
        assert_eq!(
            statement(&["alter", "g", "--no-createdb", "--valid-until", "infinity", "--in", "a"]),
            "ALTER ROLE \"g\" NOCREATEDB VALID UNTIL 'infinity' PASSWORD 'SCRAM-SHA-256$x'; GRANT \"a\" TO \"g\""
        );
        statement(&["list"]);
    }
}
