//! [`Settings`]: what `\pset` sets.

use std::fmt::Write as _;

/// How answers are written.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Format {
    /// Columns under each other.
    #[default]
    Aligned,
    /// Values with a separator between them.
    Unaligned,
    /// RFC 4180.
    Csv,
    /// One array of objects.
    Json,
    /// An object a line.
    Ndjson,
    /// A Markdown table.
    Markdown,
}

impl Format {
    /// All, with their names.
    pub const ALL: [(&'static str, Self); 6] = [
        ("aligned", Self::Aligned),
        ("unaligned", Self::Unaligned),
        ("csv", Self::Csv),
        ("json", Self::Json),
        ("ndjson", Self::Ndjson),
        ("markdown", Self::Markdown),
    ];

    /// By a name, or its beginning if no other begins so.
    pub fn find(name: &str) -> Option<Self> {
        if name == "table" {
            return Some(Self::Aligned);
        }
        let mut found = Self::ALL.iter().filter(|(known, _)| !name.is_empty() && known.starts_with(name));
        let first = found.next()?;
        found.next().is_none().then_some(first.1)
    }

    /// Its name.
    pub fn name(self) -> &'static str {
        Self::ALL.iter().find(|(_, format)| *format == self).map_or("aligned", |(name, _)| name)
    }
}

/// Whether each value has a line of its own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Expanded {
    /// No.
    #[default]
    Off,
    /// Yes.
    On,
    /// Where lines would be wider than the terminal.
    Auto,
}

/// What lines are drawn with.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum LineStyle {
    /// `-`, `|`, `+`
    #[default]
    Ascii,
    /// `─`, `│`, `┼`
    Unicode,
}

/// Whether long answers are shown in a pager.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Pager {
    /// Never.
    Off,
    /// Those that don't fit the terminal.
    #[default]
    On,
    /// All.
    Always,
}

/// See the module.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Settings {
    /// How answers are written.
    pub format: Format,
    /// 0, 1 or 2: no lines, lines between columns, lines around all.
    pub border: u8,
    /// What stands for NULL.
    pub null: String,
    /// See [`Expanded`].
    pub expanded: Expanded,
    /// See [`Pager`].
    pub pager: Pager,
    /// See [`LineStyle`].
    pub line_style: LineStyle,
    /// Rows only: no names, no count.
    pub tuples_only: bool,
    /// Whether the count of rows stands below.
    pub footer: bool,
    /// Between values of the format `unaligned`.
    pub field_separator: String,
    /// What stands above answers.
    pub title: Option<String>,
}

impl Default for Settings {
    fn default() -> Self {
        Self {
            format: Format::Aligned,
            border: 1,
            null: String::new(),
            expanded: Expanded::Off,
            pager: Pager::On,
            line_style: LineStyle::Ascii,
            tuples_only: false,
            footer: true,
            field_separator: "|".to_owned(),
            title: None,
        }
    }
}

/// The names that `\pset` knows.
pub const NAMES: [&str; 10] =
    ["border", "expanded", "fieldsep", "footer", "format", "linestyle", "null", "pager", "title", "tuples_only"];

/// `on`, `off`; nothing is the opposite of what it was.
fn switch(name: &str, value: Option<&str>, was: bool) -> Result<bool, String> {
    match value.map(str::to_ascii_lowercase).as_deref() {
        None => Ok(!was),
        Some("on" | "true" | "yes" | "1") => Ok(true),
        Some("off" | "false" | "no" | "0") => Ok(false),
        Some(other) => Err(format!("unrecognized value \"{other}\" for \"{name}\": Boolean expected")),
    }
}

fn on_off(is_on: bool) -> &'static str {
    if is_on { "on" } else { "off" }
}

impl Settings {
    /// `\pset name value`; says what it is then, in psql's words.
    ///
    /// # Errors
    /// A name or a value that isn't known.
    pub fn set(&mut self, name: &str, value: Option<&str>) -> Result<String, String> {
        match name {
            "format" => {
                if let Some(value) = value {
                    self.format = Format::find(value).ok_or_else(|| {
                        let known: Vec<&str> = Format::ALL.iter().map(|(name, _)| *name).collect();
                        format!("\\pset: allowed formats are {}", known.join(", "))
                    })?;
                }
                Ok(format!("Output format is {}.", self.format.name()))
            }
            "border" => {
                if let Some(value) = value {
                    self.border = match value {
                        "0" => 0,
                        "1" => 1,
                        "2" => 2,
                        _ => return Err("\\pset: border must be 0, 1 or 2".to_owned()),
                    };
                }
                Ok(format!("Border style is {}.", self.border))
            }
            "null" => {
                if let Some(value) = value {
                    value.clone_into(&mut self.null);
                }
                Ok(format!("Null display is \"{}\".", self.null))
            }
            "x" | "expanded" | "vertical" => {
                self.expanded = match value {
                    Some("auto") => Expanded::Auto,
                    value => match switch("expanded", value, self.expanded != Expanded::Off)? {
                        true => Expanded::On,
                        false => Expanded::Off,
                    },
                };
                Ok(match self.expanded {
                    Expanded::On => "Expanded display is on.".to_owned(),
                    Expanded::Off => "Expanded display is off.".to_owned(),
                    Expanded::Auto => "Expanded display is used automatically.".to_owned(),
                })
            }
            "pager" => {
                self.pager = match value {
                    Some("always") => Pager::Always,
                    value if switch("pager", value, self.pager != Pager::Off)? => Pager::On,
                    _ => Pager::Off,
                };
                Ok(match self.pager {
                    Pager::On => "Pager is used for long output.".to_owned(),
                    Pager::Always => "Pager is always used.".to_owned(),
                    Pager::Off => "Pager usage is off.".to_owned(),
                })
            }
            "linestyle" => {
                self.line_style = match value {
                    None => self.line_style,
                    Some("ascii" | "old-ascii") => LineStyle::Ascii,
                    Some("unicode") => LineStyle::Unicode,
                    Some(_) => return Err("\\pset: allowed line styles are ascii, unicode".to_owned()),
                };
                Ok(format!("Line style is {}.", self.line_style_name()))
            }
            "t" | "tuples_only" => {
                self.tuples_only = switch("tuples_only", value, self.tuples_only)?;
                Ok(format!("Tuples only is {}.", on_off(self.tuples_only)))
            }
            "footer" => {
                self.footer = switch("footer", value, self.footer)?;
                Ok(format!("Default footer is {}.", on_off(self.footer)))
            }
            "fieldsep" => {
                if let Some(value) = value {
                    value.clone_into(&mut self.field_separator);
                }
                Ok(format!("Field separator is \"{}\".", self.field_separator))
            }
            "C" | "title" => {
                self.title = value.map(str::to_owned);
                Ok(match &self.title {
                    Some(title) => format!("Title is \"{title}\"."),
                    None => "Title is unset.".to_owned(),
                })
            }
            other => Err(format!("\\pset: unknown option: {other}\nKnown are {}.", NAMES.join(", "))),
        }
    }

    fn line_style_name(&self) -> &'static str {
        match self.line_style {
            LineStyle::Ascii => "ascii",
            LineStyle::Unicode => "unicode",
        }
    }

    /// All settings, a line each.
    pub fn describe(&self) -> String {
        let expanded = match self.expanded {
            Expanded::Off => "off",
            Expanded::On => "on",
            Expanded::Auto => "auto",
        };
        let pager = match self.pager {
            Pager::Off => "off",
            Pager::On => "on",
            Pager::Always => "always",
        };
        let rows = [
            ("border", self.border.to_string()),
            ("expanded", expanded.to_owned()),
            ("fieldsep", format!("'{}'", self.field_separator)),
            ("footer", on_off(self.footer).to_owned()),
            ("format", self.format.name().to_owned()),
            ("linestyle", self.line_style_name().to_owned()),
            ("null", format!("'{}'", self.null)),
            ("pager", pager.to_owned()),
            ("title", self.title.clone().unwrap_or_default()),
            ("tuples_only", on_off(self.tuples_only).to_owned()),
        ];
        rows.iter().fold(String::new(), |mut out, (name, value)| {
            // Writing to a String can't fail.
            let _ = writeln!(out, "{name:<12} {value}");
            out
        })
    }
}
