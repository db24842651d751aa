//! The examples at the end of every `--help`. Each is accepted by the parser (a test here) and those that can be are run
//! (`server/tests/examples.rs`): a line that no longer works fails a build.

use clap::Command;

/// What it is for, and the line.
type Example = (&'static str, &'static str);

/// The examples of each subcommand, by its path.
const EXAMPLES: [(&str, &[Example]); 26] = [
    (
        "demo",
        &[
            ("Make the demo lake in ./lake and serve it", "limnos demo"),
            ("A larger one, elsewhere, and stop when it is made", "limnos demo --dir /tmp/lake --scale 1 --make-only"),
        ],
    ),
    (
        "serve",
        &[
            ("Serve a folder", "limnos serve --data-dir /var/lib/limnos --root /data/lake"),
            ("A bucket, with settings in a file", "limnos serve --config limnos.toml --root s3://lake/"),
        ],
    ),
    (
        "query",
        &[
            ("Files are tables", "limnos query \"select count(*) from 'lake/tpch/nation/*.parquet'\""),
            (
                "On a server, to a file",
                "limnos query --server http://127.0.0.1:8439 \"select * from nation\" --output nation.csv",
            ),
            ("JSON, one object a line", "limnos query --data-dir lake/data \"select * from region\" --format ndjson"),
        ],
    ),
    (
        "shell",
        &[
            ("On files in this folder", "limnos shell"),
            ("On a data directory, or a demo lake", "limnos shell lake"),
            ("On a server", "limnos shell --server postgres://limnos@127.0.0.1:5439/lake"),
            ("One statement, for a script", "limnos shell lake -c 'select count(*) from nation' --format csv"),
            ("A file of statements", "limnos shell lake --file report.sql"),
        ],
    ),
    (
        "crawl",
        &[
            ("See what is there; nothing is kept", "limnos crawl lake"),
            (
                "Keep the tables in a server's catalog",
                "limnos crawl lake --database found --server http://127.0.0.1:8439",
            ),
        ],
    ),
    (
        "catalog export",
        &[("The whole catalog, as lines of JSON", "limnos catalog export catalog.ndjson --data-dir lake/data")],
    ),
    (
        "catalog import",
        &[("Put it in the place of another", "limnos catalog import catalog.ndjson --data-dir other/data --replace")],
    ),
    (
        "crawler create",
        &[(
            "Look at a folder every night",
            "limnos crawler create nightly --path lake --database found --cron '0 2 * * *' --time-zone Europe/Berlin --server http://127.0.0.1:8439",
        )],
    ),
    ("crawler run", &[("Run it now", "limnos crawler run nightly --server http://127.0.0.1:8439")]),
    ("crawler list", &[("All of them", "limnos crawler list --server http://127.0.0.1:8439")]),
    ("crawler show", &[("The statement that makes it", "limnos crawler show nightly --server http://127.0.0.1:8439")]),
    (
        "crawler history",
        &[("What its last runs found", "limnos crawler history nightly --server http://127.0.0.1:8439")],
    ),
    ("crawler pause", &[("Until it is resumed", "limnos crawler pause nightly --server http://127.0.0.1:8439")]),
    ("crawler resume", &[("From now on again", "limnos crawler resume nightly --server http://127.0.0.1:8439")]),
    ("crawler drop", &[("Its tables stay", "limnos crawler drop nightly --server http://127.0.0.1:8439")]),
    (
        "user create",
        &[
            ("A user, whose password is asked for", "limnos user create ann --password --data-dir lake/data"),
            ("A group", "limnos user create analysts --no-login --server http://127.0.0.1:8439"),
        ],
    ),
    ("user list", &[("Who there is", "limnos user list --server http://127.0.0.1:8439")]),
    (
        "user alter",
        &[("May make databases now", "limnos user alter analysts --createdb --server http://127.0.0.1:8439")],
    ),
    ("user password", &[("Asked for twice", "limnos user password ann --data-dir lake/data")]),
    ("user drop", &[("Who owns nothing", "limnos user drop analysts --server http://127.0.0.1:8439")]),
    (
        "status",
        &[
            ("Live, as top is", "limnos status"),
            ("Once, as text", "limnos status --server postgres://limnos@127.0.0.1:5439/lake --once"),
            ("Once, for a program", "limnos status --once --format json"),
        ],
    ),
    (
        "config show",
        &[
            ("What a server would be started with", "limnos config show --data-dir lake/data --memory-limit 256MiB"),
            ("For a program", "limnos config show --format json"),
        ],
    ),
    ("config check", &[("Before a server is started with it", "limnos config check limnos.toml")]),
    (
        "completions",
        &[
            ("For bash, in this session", "limnos completions bash"),
            ("For zsh", "limnos completions zsh"),
            ("For fish", "limnos completions fish"),
        ],
    ),
    ("catalog", &[("All of it to a file", "limnos catalog export catalog.ndjson --data-dir lake/data")]),
    ("config", &[("Where each setting comes from", "limnos config show")]),
];

/// `command` with its examples.
pub(super) fn add(command: Command) -> Command {
    EXAMPLES.iter().fold(command, |command, (path, examples)| {
        let text = examples
            .iter()
            .fold("Examples:".to_owned(), |text, (about, line)| format!("{text}\n  # {about}\n  {line}"));
        match path.split_once(' ') {
            None => command.mut_subcommand(path, |inner| inner.after_help(text)),
            Some((outer, inner)) => {
                command.mut_subcommand(outer, |outer| outer.mut_subcommand(inner, |inner| inner.after_help(text)))
            }
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A line as a shell cuts it, of quotes and blanks only.
    fn words(line: &str) -> Vec<String> {
        let (mut words, mut word, mut quote, mut has_begun) = (Vec::new(), String::new(), None, false);
        for character in line.chars() {
            match (quote, character) {
                (Some(open), character) if open == character => quote = None,
                (None, '\'' | '"') => (quote, has_begun) = (Some(character), true),
                (None, ' ') => {
                    if has_begun {
                        words.push(std::mem::take(&mut word));
                    }
                    has_begun = false;
                }
                (_, character) => {
                    word.push(character);
                    has_begun = true;
                }
            }
        }
        if has_begun {
            words.push(word);
        }
        words
    }

    #[test]
    fn every_example_is_understood() {
        for (path, examples) in EXAMPLES {
            for (_, line) in examples {
                assert!(line.starts_with(&format!("limnos {path}")), "{line}");
                let parsed = crate::cli::command().try_get_matches_from(words(line));
                assert!(parsed.is_ok(), "{line}: {:?}", parsed.err());
            }
        }
    }

    #[test]
    fn every_command_has_examples() {
        for command in crate::cli::command().get_subcommands() {
            let inner: Vec<&Command> = command.get_subcommands().filter(|inner| inner.get_name() != "help").collect();
            let leaves = if inner.is_empty() { vec![command] } else { inner };
            for leaf in
                leaves.into_iter().filter(|leaf| OURS.contains(&command.get_name()) && leaf.get_name() != "help")
            {
                assert!(leaf.get_after_help().is_some(), "{} {} has no example", command.get_name(), leaf.get_name());
            }
        }
    }

    /// Commands whose examples are here; others bring their own.
    const OURS: [&str; 10] =
        ["demo", "serve", "query", "shell", "crawl", "catalog", "crawler", "user", "status", "config"];
}
