//! `\copy`: COPY between the session and a file here.

use std::fs::File;
use std::io::{BufRead, BufReader, Cursor};

use super::{Done, Refusal};
use crate::lex::{self, Kind};
use crate::output::Output;
use crate::shell::Shell;

/// A line of `\copy` taken apart.
#[derive(Debug, PartialEq, Eq)]
struct Copying {
    /// `COPY t FROM STDIN (...)`
    sql: String,
    is_from: bool,
    /// `None` is standard input or output.
    file: Option<String>,
}

fn parse(line: &str) -> Result<Copying, String> {
    const FORM: &str = "\\copy: write it as \\copy TABLE|(QUERY) from|to 'FILE'|stdin|stdout [OPTIONS]";
    let mut depth = 0_usize;
    let tokens = lex::tokens(line);
    let mut found = None;
    for (at, token) in tokens.iter().enumerate() {
        match token.kind {
            Kind::Open => depth += 1,
            Kind::Close => depth = depth.saturating_sub(1),
            Kind::Word if depth == 0 && at > 0 => {
                let word = token.text(line);
                if word.eq_ignore_ascii_case("from") || word.eq_ignore_ascii_case("to") {
                    found = Some((token, word.eq_ignore_ascii_case("from")));
                    break;
                }
            }
            _ => {}
        }
    }
    let (word, is_from) = found.ok_or(FORM)?;
    let what = line[..word.start].trim();
    let rest = line[word.end..].trim().trim_end_matches(';').trim_end();
    let end = match rest.strip_prefix('\'') {
        // A doubled quote belongs to the name.
        Some(quoted) => {
            let mut at = 0;
            loop {
                let close = at + quoted[at..].find('\'').ok_or(FORM)?;
                if quoted[close + 1..].starts_with('\'') {
                    at = close + 2;
                } else {
                    break close + 2;
                }
            }
        }
        None => rest.find(char::is_whitespace).unwrap_or(rest.len()),
    };
    let (target, options) = rest.split_at(end);
    if what.is_empty() || target.is_empty() {
        return Err(FORM.to_owned());
    }
    let file = match target.strip_prefix('\'') {
        Some(quoted) => Some(quoted[..quoted.len() - 1].replace("''", "'")),
        None if ["stdin", "stdout", "pstdin", "pstdout"].contains(&target.to_ascii_lowercase().as_str()) => None,
        None if target.eq_ignore_ascii_case("program") => {
            return Err("\\copy: program is not supported; pipe into the shell".to_owned());
        }
        None => Some(target.to_owned()),
    };
    let direction = if is_from { "FROM STDIN" } else { "TO STDOUT" };
    Ok(Copying { sql: format!("COPY {what} {direction}{options}"), is_from, file })
}

impl Shell {
    pub(super) fn copy(&mut self, line: &str, input: &mut (dyn BufRead + Send)) -> Done {
        let copying = parse(line)?;
        let manner = self.manner();
        let is_well = match (copying.file, copying.is_from) {
            (None, _) => self.execute(&copying.sql, manner, None, input),
            (Some(file), true) => {
                let opened = File::open(&file).map_err(|error| format!("{file}: {error}"))?;
                self.execute(&copying.sql, manner, None, &mut WholeFile(BufReader::new(opened)))
            }
            (Some(file), false) => {
                let output = Output::open(Some(&file))?;
                self.execute(&copying.sql, manner, Some(output), &mut Cursor::new(Vec::new()))
            }
        };
        if is_well { Ok(()) } else { Err(Refusal::Told) }
    }
}

/// A file's bytes.
struct WholeFile(BufReader<File>);

impl std::io::Read for WholeFile {
    fn read(&mut self, buffer: &mut [u8]) -> std::io::Result<usize> {
        self.0.read(buffer)
    }
}

impl BufRead for WholeFile {
    fn fill_buf(&mut self) -> std::io::Result<&[u8]> {
        self.0.fill_buf()
    }

    fn consume(&mut self, amount: usize) {
        self.0.consume(amount);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_taken_apart() {
        let copying = |sql: &str, is_from, file: Option<&str>| {
            Ok(Copying { sql: sql.to_owned(), is_from, file: file.map(str::to_owned) })
        };
        assert_eq!(
            parse("t (a, b) from 'it''s.csv' (format csv, header)"),
            copying("COPY t (a, b) FROM STDIN (format csv, header)", true, Some("it's.csv"))
        );
        assert_eq!(
            parse("(select 'to' from x) to out.csv csv"),
            copying("COPY (select 'to' from x) TO STDOUT csv", false, Some("out.csv"))
        );
        assert_eq!(parse("t to stdout;"), copying("COPY t TO STDOUT", false, None));
        assert!(parse("t").is_err() && parse("t from 'x").is_err() && parse("t from").is_err());
    }
}
