//! [`CopyOptions`]: what the options of a COPY say, checked as `ProcessCopyOptions` of PostgreSQL 15 does, in its order and
//! words. ON_ERROR, REJECT_LIMIT and LOG_VERBOSITY are those of 17 and 18.

use limnos_engine::parse::CopyOption;
use limnos_engine::{Error, ErrorCode, Result};

/// Which way the rows go.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Direction {
    /// TO STDOUT.
    Out,
    /// FROM STDIN.
    In,
}

/// How rows are laid out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Layout {
    Text,
    Csv { quote: u8, escape: u8 },
    Binary,
}

/// The first line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Header {
    None,
    /// It is there.
    Present,
    /// It has the columns' names.
    Match,
}

/// Columns that an option names.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub(super) enum Columns {
    #[default]
    None,
    All,
    Named(Vec<String>),
}

/// What becomes of values that aren't their column's, as COPY itself says it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum OnError {
    Stop,
    Ignore,
}

/// How much is told of rows that are left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub(super) enum Verbosity {
    Silent,
    #[default]
    Default,
    Verbose,
}

/// See the module.
#[derive(Debug, Clone)]
pub(super) struct CopyOptions {
    pub(super) layout: Layout,
    pub(super) delimiter: u8,
    pub(super) null: String,
    pub(super) header: Header,
    pub(super) force_quote: Columns,
    pub(super) force_not_null: Columns,
    pub(super) force_null: Columns,
    /// `None`: as the table says.
    pub(super) on_error: Option<OnError>,
    pub(super) reject_limit: Option<u64>,
    pub(super) verbosity: Verbosity,
}

#[derive(Default)]
struct Given {
    format: Option<String>,
    delimiter: Option<String>,
    null: Option<String>,
    quote: Option<String>,
    escape: Option<String>,
}

impl CopyOptions {
    /// # Errors
    /// As PostgreSQL words them.
    pub(super) fn read(options: &[CopyOption], direction: Direction) -> Result<Self> {
        let mut given = Given::default();
        let mut read = Self {
            layout: Layout::Text,
            delimiter: b'\t',
            null: String::new(),
            header: Header::None,
            force_quote: Columns::None,
            force_not_null: Columns::None,
            force_null: Columns::None,
            on_error: None,
            reject_limit: None,
            verbosity: Verbosity::Default,
        };
        for option in options {
            read.take(option, &mut given, direction)?;
        }
        read.check(given, direction)?;
        Ok(read)
    }

    fn take(&mut self, option: &CopyOption, given: &mut Given, direction: Direction) -> Result<()> {
        let CopyOption { name, value, list, position } = option;
        let invalid = |message: String| Error::new(ErrorCode::InvalidParameterValue, message).at(*position);
        let text = || value.clone().ok_or_else(|| Error::syntax(format!("{name} requires a parameter")).at(*position));
        let columns = |all_allowed: bool| match (list, value.as_deref()) {
            (Some(list), _) => Ok(Columns::Named(list.clone())),
            (None, Some("*")) if all_allowed => Ok(Columns::All),
            _ => Err(invalid(format!("argument to option \"{name}\" must be a list of column names"))),
        };
        match name.as_str() {
            "format" => {
                let format = text()?;
                if !["text", "csv", "binary"].contains(&format.as_str()) {
                    return Err(invalid(format!("COPY format \"{format}\" not recognized")));
                }
                given.format = Some(format);
            }
            // That the table was made in the same transaction would make it cheaper in PostgreSQL; rows are seen as ever.
            "freeze" => {
                boolean(option, "a Boolean value")?;
            }
            "delimiter" => given.delimiter = Some(text()?),
            "null" => given.null = Some(text()?),
            "quote" => given.quote = Some(text()?),
            "escape" => given.escape = Some(text()?),
            "header" => {
                self.header = match value.as_deref() {
                    Some(word) if word.eq_ignore_ascii_case("match") => {
                        if direction == Direction::Out {
                            return Err(Error::unsupported(format!("cannot use \"{word}\" with HEADER in COPY TO")));
                        }
                        Header::Match
                    }
                    _ if boolean(option, "a Boolean value or \"match\"")? => Header::Present,
                    _ => Header::None,
                };
            }
            "force_quote" => self.force_quote = columns(true)?,
            // `*` is PostgreSQL 17's.
            "force_not_null" => self.force_not_null = columns(true)?,
            "force_null" => self.force_null = columns(true)?,
            "encoding" => {
                let encoding = value.as_deref().unwrap_or_default();
                let plain: String = encoding.chars().filter(char::is_ascii_alphanumeric).collect();
                match plain.to_ascii_lowercase().as_str() {
                    "utf8" | "unicode" => {}
                    plain if is_encoding(plain) => {
                        return Err(Error::unsupported(format!("COPY with encoding \"{encoding}\" is not supported"))
                            .with_hint("Use UTF8.")
                            .at(*position));
                    }
                    _ => {
                        let message = format!("argument to option \"{name}\" must be a valid encoding name");
                        return Err(invalid(message));
                    }
                }
            }
            "on_error" => {
                if direction == Direction::Out {
                    return Err(Error::syntax("COPY ON_ERROR cannot be used with COPY TO").at(*position));
                }
                self.on_error = Some(match text()?.to_ascii_lowercase().as_str() {
                    "stop" => OnError::Stop,
                    "ignore" => OnError::Ignore,
                    other => return Err(invalid(format!("COPY ON_ERROR \"{other}\" not recognized"))),
                });
            }
            "reject_limit" => {
                let limit: i64 = text()?.parse().map_err(|_| Error::syntax("reject_limit requires a numeric value"))?;
                if limit <= 0 {
                    let message = format!("REJECT_LIMIT ({limit}) must be greater than zero");
                    return Err(Error::new(ErrorCode::InvalidParameterValue, message));
                }
                self.reject_limit = Some(limit.unsigned_abs());
            }
            "log_verbosity" => {
                self.verbosity = match text()?.to_ascii_lowercase().as_str() {
                    "silent" => Verbosity::Silent,
                    "default" => Verbosity::Default,
                    "verbose" => Verbosity::Verbose,
                    other => return Err(invalid(format!("COPY LOG_VERBOSITY \"{other}\" not recognized"))),
                };
            }
            _ => return Err(Error::syntax(format!("option \"{name}\" not recognized")).at(*position)),
        }
        Ok(())
    }

    fn check(&mut self, given: Given, direction: Direction) -> Result<()> {
        let is_csv = given.format.as_deref() == Some("csv");
        let is_binary = given.format.as_deref() == Some("binary");
        let unsupported = |message: &str| Err(Error::unsupported(message));
        let invalid = |message: &str| Err(Error::new(ErrorCode::InvalidParameterValue, message));
        if is_binary && given.delimiter.is_some() {
            return Err(Error::syntax("cannot specify DELIMITER in BINARY mode"));
        }
        if is_binary && given.null.is_some() {
            return Err(Error::syntax("cannot specify NULL in BINARY mode"));
        }
        let delimiter = given.delimiter.unwrap_or_else(|| if is_csv { "," } else { "\t" }.to_owned());
        self.null = given.null.unwrap_or_else(|| if is_csv { "" } else { "\\N" }.to_owned());
        let &[delimiter] = delimiter.as_bytes() else {
            return unsupported("COPY delimiter must be a single one-byte character");
        };
        self.delimiter = delimiter;
        if matches!(delimiter, b'\r' | b'\n') {
            return invalid("COPY delimiter cannot be newline or carriage return");
        }
        if self.null.contains(['\r', '\n']) {
            return invalid("COPY null representation cannot use newline or carriage return");
        }
        if !is_csv
            && (matches!(delimiter, b'\\' | b'.') || delimiter.is_ascii_lowercase() || delimiter.is_ascii_digit())
        {
            return invalid(&format!("COPY delimiter cannot be \"{}\"", char::from(delimiter)));
        }
        if is_binary && self.header != Header::None {
            return unsupported("cannot specify HEADER in BINARY mode");
        }
        self.layout = if is_binary { Layout::Binary } else { Layout::Text };
        match (is_csv, &given.quote, &given.escape) {
            (false, Some(_), _) => return unsupported("COPY quote available only in CSV mode"),
            (false, None, Some(_)) => return unsupported("COPY escape available only in CSV mode"),
            (false, None, None) => {}
            (true, quote, escape) => {
                let &[quote] = quote.as_deref().unwrap_or("\"").as_bytes() else {
                    return unsupported("COPY quote must be a single one-byte character");
                };
                if quote == delimiter {
                    return invalid("COPY delimiter and quote must be different");
                }
                let escape = match escape.as_deref().map(str::as_bytes) {
                    None => quote,
                    Some(&[escape]) => escape,
                    Some(_) => return unsupported("COPY escape must be a single one-byte character"),
                };
                self.layout = Layout::Csv { quote, escape };
            }
        }
        let is_out = direction == Direction::Out;
        for (columns, name, way, fits) in [
            (&self.force_quote, "force quote", "COPY TO", is_out),
            (&self.force_not_null, "force not null", "COPY FROM", !is_out),
            (&self.force_null, "force null", "COPY FROM", !is_out),
        ] {
            if *columns == Columns::None {
                continue;
            }
            if !is_csv {
                return unsupported(&format!("COPY {name} available only in CSV mode"));
            }
            if !fits {
                return unsupported(&format!("COPY {name} only available using {way}"));
            }
        }
        if !is_binary && self.null.contains(char::from(delimiter)) {
            return unsupported("COPY delimiter must not appear in the NULL specification");
        }
        if let Layout::Csv { quote, .. } = self.layout
            && self.null.contains(char::from(quote))
        {
            return unsupported("CSV quote character must not appear in the NULL specification");
        }
        if is_binary && self.on_error == Some(OnError::Ignore) {
            return Err(Error::syntax("only ON_ERROR STOP is allowed in BINARY mode"));
        }
        if self.reject_limit.is_some() && self.on_error != Some(OnError::Ignore) {
            return Err(Error::syntax("COPY REJECT_LIMIT requires ON_ERROR to be set to IGNORE"));
        }
        Ok(())
    }
}

impl Columns {
    /// For each of `names`, whether it is meant. `option` is the option's name, for messages.
    ///
    /// # Errors
    /// `42703` for a column that isn't there, `42P10` for one that isn't copied.
    pub(super) fn flags(
        &self,
        names: &[String],
        all: &[String],
        option: &str,
        table: Option<&str>,
    ) -> Result<Vec<bool>> {
        let named = match self {
            Self::None => return Ok(vec![false; names.len()]),
            Self::All => return Ok(vec![true; names.len()]),
            Self::Named(named) => named,
        };
        let mut flags = vec![false; names.len()];
        for name in named {
            if let Some(index) = names.iter().position(|known| known == name) {
                flags[index] = true;
                continue;
            }
            if all.contains(name) {
                let message = format!("{option} column \"{name}\" not referenced by COPY");
                return Err(Error::new(ErrorCode::InvalidColumnReference, message));
            }
            let message = match table {
                Some(table) => format!("column \"{name}\" of relation \"{table}\" does not exist"),
                None => format!("column \"{name}\" does not exist"),
            };
            return Err(Error::new(ErrorCode::UndefinedColumn, message));
        }
        Ok(flags)
    }
}

fn boolean(option: &CopyOption, wanted: &str) -> Result<bool> {
    match option.value.as_deref().map(str::to_ascii_lowercase).as_deref() {
        None if option.list.is_none() => Ok(true),
        Some("true" | "on" | "1") => Ok(true),
        Some("false" | "off" | "0") => Ok(false),
        _ => Err(Error::syntax(format!("{} requires {wanted}", option.name))),
    }
}

/// Whether PostgreSQL knows an encoding by this name, of which letters and digits are left.
fn is_encoding(plain: &str) -> bool {
    let numbered = |prefix: &str| plain.strip_prefix(prefix).is_some_and(|rest| rest.parse::<u16>().is_ok());
    ["latin", "iso8859", "win", "windows", "euc", "johab", "sjis", "big5", "gbk", "gb18030", "uhc", "koi8"]
        .iter()
        .any(|prefix| numbered(prefix))
        || matches!(
            plain,
            "sqlascii"
                | "abc"
                | "alt"
                | "koi8"
                | "koi8r"
                | "koi8u"
                | "mskanji"
                | "shiftjis"
                | "sjis"
                | "uhc"
                | "gbk"
                | "johab"
                | "euccn"
                | "eucjp"
                | "euckr"
                | "euctw"
                | "eucjis2004"
                | "shiftjis2004"
                | "big5"
                | "muleinternal"
                | "tcvn"
                | "tcvn5712"
                | "vscii"
        )
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// The options as the parser gives them: `name=value`, `name=(a b)`.
    fn read(options: &str, direction: Direction) -> Result<CopyOptions> {
        let one = |text: &str| {
            let (name, value) = text.split_once('=').map_or((text, None), |(name, value)| (name, Some(value)));
            let list = value.and_then(|value| value.strip_prefix('(')?.strip_suffix(')'));
            CopyOption {
                name: name.to_owned(),
                value: value.filter(|_| list.is_none()).map(str::to_owned),
                list: list.map(|list| list.split('+').map(str::to_owned).collect()),
                position: 1,
            }
        };
        CopyOptions::read(&options.split(' ').filter(|text| !text.is_empty()).map(one).collect::<Vec<_>>(), direction)
    }

    /// Each error is what PostgreSQL 15 says to the same options.
    #[test]
    fn options_are_checked_as_postgresql_does() {
        use Direction::{In, Out};
        for (options, direction, message) in [
            ("format=binary delimiter=,", Out, "42601: cannot specify DELIMITER in BINARY mode"),
            ("format=binary null=,", Out, "42601: cannot specify NULL in BINARY mode"),
            ("format=binary header", Out, "0A000: cannot specify HEADER in BINARY mode"),
            ("header=match", Out, "0A000: cannot use \"match\" with HEADER in COPY TO"),
            ("header=2", Out, "42601: header requires a Boolean value or \"match\""),
            ("delimiter=ab", Out, "0A000: COPY delimiter must be a single one-byte character"),
            ("delimiter=\u{e4}", Out, "0A000: COPY delimiter must be a single one-byte character"),
            ("delimiter=\n", Out, "22023: COPY delimiter cannot be newline or carriage return"),
            ("delimiter=a", Out, "22023: COPY delimiter cannot be \"a\""),
            ("null=a\n", Out, "22023: COPY null representation cannot use newline or carriage return"),
            ("null=a\tb", Out, "0A000: COPY delimiter must not appear in the NULL specification"),
            ("quote=a", Out, "0A000: COPY quote available only in CSV mode"),
            ("escape=a", Out, "0A000: COPY escape available only in CSV mode"),
            ("format=csv quote=aa", Out, "0A000: COPY quote must be a single one-byte character"),
            ("format=csv quote=,", Out, "22023: COPY delimiter and quote must be different"),
            ("format=csv escape=aa", Out, "0A000: COPY escape must be a single one-byte character"),
            ("force_quote=*", Out, "0A000: COPY force quote available only in CSV mode"),
            ("format=csv force_quote=*", In, "0A000: COPY force quote only available using COPY TO"),
            ("force_not_null=(a)", Out, "0A000: COPY force not null available only in CSV mode"),
            ("format=csv force_not_null=(a)", Out, "0A000: COPY force not null only available using COPY FROM"),
            ("format=csv force_null=(a)", Out, "0A000: COPY force null only available using COPY FROM"),
            ("format=csv null=a,b", Out, "0A000: COPY delimiter must not appear in the NULL specification"),
            ("format=csv null=a\"b", Out, "0A000: CSV quote character must not appear in the NULL specification"),
            (
                "format=csv force_quote=a",
                Out,
                "22023: argument to option \"force_quote\" must be a list of column names",
            ),
            ("format=xml", Out, "22023: COPY format \"xml\" not recognized"),
            ("encoding=latin1x", Out, "22023: argument to option \"encoding\" must be a valid encoding name"),
            ("encoding=latin1", In, "0A000: COPY with encoding \"latin1\" is not supported"),
            ("foo", Out, "42601: option \"foo\" not recognized"),
            ("on_error=ignore", Out, "42601: COPY ON_ERROR cannot be used with COPY TO"),
            ("format=binary on_error=ignore", In, "42601: only ON_ERROR STOP is allowed in BINARY mode"),
            ("reject_limit=3", In, "42601: COPY REJECT_LIMIT requires ON_ERROR to be set to IGNORE"),
            ("on_error=ignore reject_limit=0", In, "22023: REJECT_LIMIT (0) must be greater than zero"),
        ] {
            let error = read(options, direction).unwrap_err();
            assert_eq!(format!("{}: {}", error.code.sqlstate(), error.message), message, "{options}");
        }
        let csv = read("format=csv header encoding=UTF-8 escape=\\ delimiter=a", Out).unwrap();
        assert_eq!((csv.layout, csv.delimiter), (Layout::Csv { quote: b'"', escape: b'\\' }, b'a'));
        let names = ["a".to_owned(), "b".to_owned()];
        let flags = Columns::Named(vec!["b".to_owned()]).flags(&names, &names, "FORCE_QUOTE", None);
        assert_eq!(flags.unwrap(), [false, true]);
    }
}
