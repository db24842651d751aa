//! Reads the text of a type: a recursive-descent parser over Hive's, Athena's and PostgreSQL's spellings.
//!
//! ```text
//! type   := ( array '<' type '>' | map '<' type ',' type '>' | struct '<' field, ... '>' | word [ '(' n, ... ')' ] ) { '[' [n] ']' }
//! field  := name [ ':' ] type [ COMMENT 'text' ]       -- brackets may be ( ) wherever they are < >
//! ```

use super::{CHARACTER_LENGTH_MAX, DECIMAL_PRECISION_MAX, DataType, StructField, TYPE_DEPTH_MAX};
use crate::{Error, Result, near};

/// The words that a misspelt type is compared with.
const TYPE_WORDS: &[&str] = &[
    "boolean",
    "tinyint",
    "smallint",
    "int",
    "integer",
    "bigint",
    "real",
    "float",
    "double",
    "decimal",
    "numeric",
    "string",
    "text",
    "varchar",
    "char",
    "character",
    "binary",
    "varbinary",
    "bytea",
    "date",
    "time",
    "timestamp",
    "timestamptz",
    "json",
    "jsonb",
    "array",
    "map",
    "struct",
    "row",
];

/// How much of a wrong text an error repeats.
const SHOWN_CHARACTERS_MAX: usize = 200;

/// Reads a whole text as one type.
pub(super) fn parse(text: &str) -> Result<DataType> {
    let mut parser = Parser { text, at: 0 };
    let (data_type, _) = parser.data_type(1)?;
    parser.skip_space();
    if parser.rest().is_empty() { Ok(data_type) } else { Err(parser.expected("the end of the type")) }
}

struct Parser<'a> {
    text: &'a str,
    /// The byte that is read next.
    at: usize,
}

impl<'a> Parser<'a> {
    /// Reads a type that sits `depth` levels deep; returns it and its own height.
    fn data_type(&mut self, depth: usize) -> Result<(DataType, usize)> {
        if depth > TYPE_DEPTH_MAX {
            return Err(self.too_deep());
        }
        self.skip_space();
        let start = self.at;
        let word = self.word().to_ascii_lowercase();
        let (mut data_type, mut height) = match word.as_str() {
            "array" | "list" => {
                let close = self.open_bracket()?;
                let (element, height) = self.data_type(depth + 1)?;
                self.expect(close)?;
                (DataType::Array(Box::new(element)), height + 1)
            }
            "map" => {
                let close = self.open_bracket()?;
                let (key, key_height) = self.data_type(depth + 1)?;
                self.expect(',')?;
                let (value, value_height) = self.data_type(depth + 1)?;
                self.expect(close)?;
                (DataType::Map(Box::new(key), Box::new(value)), key_height.max(value_height) + 1)
            }
            "struct" | "row" => {
                let close = self.open_bracket()?;
                let (fields, height) = self.fields(close, depth)?;
                (DataType::Struct(fields), height + 1)
            }
            _ => (self.scalar(start, &word)?, 1),
        };
        while self.accept('[') {
            // PostgreSQL takes a size there and does not enforce it; neither do we.
            if self.peek().is_some_and(|character| character.is_ascii_digit()) {
                self.number()?;
            }
            self.expect(']')?;
            data_type = DataType::Array(Box::new(data_type));
            height += 1;
            if depth + height - 1 > TYPE_DEPTH_MAX {
                return Err(self.too_deep());
            }
        }
        Ok((data_type, height))
    }

    /// Reads the fields of a struct and its closing bracket; returns them and the height of the highest.
    fn fields(&mut self, close: char, depth: usize) -> Result<(Vec<StructField>, usize)> {
        let mut fields: Vec<StructField> = Vec::new();
        let mut seen = std::collections::HashSet::new();
        let mut height_max = 0;
        if self.accept(close) {
            return Ok((fields, height_max));
        }
        loop {
            self.skip_space();
            let start = self.at;
            let name = self.field_name()?;
            if !seen.insert(name.clone()) {
                return Err(self.error_at(start, format!("field \"{name}\" specified more than once"), None));
            }
            self.accept(':');
            let (data_type, height) = self.data_type(depth + 1)?;
            height_max = height_max.max(height);
            fields.push(StructField { name, data_type });
            // Hive's own comments on fields; there is no place to keep them.
            if self.accept_word("comment") {
                self.skip_space();
                match self.peek() {
                    Some(quote @ ('\'' | '"')) => self.quoted(quote)?,
                    _ => return Err(self.expected("a comment in quotes")),
                };
            }
            if !self.accept(',') {
                self.expect_either(',', close)?;
                return Ok((fields, height_max));
            }
        }
    }

    /// A field's name: quoted, or all up to a space, a colon or a bracket (Glue writes `struct<user-agent:string>`).
    fn field_name(&mut self) -> Result<String> {
        if let Some(quote @ ('`' | '"')) = self.peek() {
            return self.quoted(quote);
        }
        let rest = self.rest();
        let length = rest
            .find(|character: char| character.is_whitespace() || ":,<>()[]`\"'".contains(character))
            .unwrap_or(rest.len());
        if length == 0 {
            return Err(self.expected("a field name"));
        }
        self.at += length;
        Ok(rest[..length].to_owned())
    }

    /// A type that is one word, or a few, and perhaps numbers in parentheses.
    fn scalar(&mut self, start: usize, word: &str) -> Result<DataType> {
        let data_type = match word {
            "boolean" | "bool" => DataType::Boolean,
            "tinyint" | "byte" => DataType::TinyInt,
            "smallint" | "int2" | "short" => DataType::SmallInt,
            "int" | "integer" | "int4" => DataType::Int,
            "bigint" | "int8" | "long" => DataType::BigInt,
            "real" | "float4" => DataType::Float,
            "float8" => DataType::Double,
            "double" => {
                self.accept_word("precision");
                DataType::Double
            }
            "float" => match self.arguments()?.as_deref() {
                None | Some([1..=24]) => DataType::Float,
                Some([25..=53]) => DataType::Double,
                Some(_) => {
                    return Err(self.error_at(
                        start,
                        "precision for type float must be between 1 and 53".to_owned(),
                        None,
                    ));
                }
            },
            "decimal" | "dec" => self.decimal(start, DataType::Decimal(10, 0))?,
            "numeric" => self.decimal(start, DataType::Decimal(DECIMAL_PRECISION_MAX, 9))?,
            "string" | "text" => DataType::String,
            "varchar" => self.character_varying(start)?,
            "char" | "character" | "bpchar" => {
                if self.accept_word("varying") {
                    self.character_varying(start)?
                } else {
                    DataType::Char(self.length(start, "char")?.unwrap_or(1))
                }
            }
            "binary" | "bytea" | "varbinary" => DataType::Binary,
            "date" => DataType::Date,
            "time" => {
                self.fraction_digits(start, word)?;
                if self.zone()? {
                    return Err(self.unsupported(start, "time with time zone"));
                }
                DataType::Time
            }
            "timestamp" => {
                self.fraction_digits(start, word)?;
                if self.zone()? { DataType::TimestampTz } else { DataType::Timestamp }
            }
            "timestamptz" => {
                self.fraction_digits(start, word)?;
                DataType::TimestampTz
            }
            "json" | "jsonb" => DataType::Json,
            "" => return Err(self.expected("a type")),
            "uniontype" | "interval" | "timetz" | "uuid" => return Err(self.unsupported(start, word)),
            _ => {
                let hint = near::hint(near::nearest(word, TYPE_WORDS.iter().copied()));
                return Err(self.error_at(start, format!("type \"{word}\" does not exist"), hint));
            }
        };
        self.skip_space();
        if self.peek() == Some('(') {
            return Err(self.error_at(start, format!("type modifier is not allowed for type \"{word}\""), None));
        }
        Ok(data_type)
    }

    fn decimal(&mut self, start: usize, default: DataType) -> Result<DataType> {
        let Some(arguments) = self.arguments()? else { return Ok(default) };
        let (precision, scale) = match arguments.as_slice() {
            [precision] => (*precision, 0),
            [precision, scale] => (*precision, *scale),
            _ => return Err(self.error_at(start, "type decimal takes a precision and a scale".to_owned(), None)),
        };
        match (u8::try_from(precision), u8::try_from(scale)) {
            (Ok(precision @ 1..=DECIMAL_PRECISION_MAX), Ok(scale)) if scale <= precision => {
                Ok(DataType::Decimal(precision, scale))
            }
            (Ok(1..=DECIMAL_PRECISION_MAX), _) => {
                let problem = format!("decimal scale {scale} must be between 0 and precision {precision}");
                Err(self.error_at(start, problem, None))
            }
            _ => {
                let problem = format!("decimal precision {precision} must be between 1 and {DECIMAL_PRECISION_MAX}");
                Err(self.error_at(start, problem, None))
            }
        }
    }

    fn character_varying(&mut self, start: usize) -> Result<DataType> {
        Ok(self.length(start, "varchar")?.map_or(DataType::String, DataType::Varchar))
    }

    /// The n of `varchar(n)`, if there is one.
    fn length(&mut self, start: usize, type_name: &str) -> Result<Option<u32>> {
        match self.arguments()?.as_deref() {
            None => Ok(None),
            Some([0]) => Err(self.error_at(start, format!("length for type {type_name} must be at least 1"), None)),
            Some([length]) => match u32::try_from(*length) {
                Ok(length) if length <= CHARACTER_LENGTH_MAX => Ok(Some(length)),
                _ => {
                    let problem = format!("length for type {type_name} cannot exceed {CHARACTER_LENGTH_MAX}");
                    let hint = Some("Use string for text without a limit.".to_owned());
                    Err(self.error_at(start, problem, hint))
                }
            },
            Some(_) => Err(self.error_at(start, format!("type {type_name} takes one length"), None)),
        }
    }

    /// The p of `timestamp(p)`. Values are kept in microseconds whatever it is, as wide as Trino lets it be.
    fn fraction_digits(&mut self, start: usize, type_name: &str) -> Result<()> {
        match self.arguments()?.as_deref() {
            None | Some([0..=12]) => Ok(()),
            Some(_) => {
                Err(self.error_at(start, format!("precision for type {type_name} must be between 0 and 12"), None))
            }
        }
    }

    /// Reads `with [local] time zone` or `without time zone`; says whether there is a zone.
    fn zone(&mut self) -> Result<bool> {
        let with = self.accept_word("with");
        if !with && !self.accept_word("without") {
            return Ok(false);
        }
        if with {
            self.accept_word("local");
        }
        if self.accept_word("time") && self.accept_word("zone") {
            Ok(with)
        } else {
            Err(self.expected("\"time zone\""))
        }
    }

    /// Numbers in parentheses, if a parenthesis follows.
    fn arguments(&mut self) -> Result<Option<Vec<u64>>> {
        if !self.accept('(') {
            return Ok(None);
        }
        let mut arguments = vec![self.number()?];
        while self.accept(',') {
            arguments.push(self.number()?);
        }
        self.expect_either(',', ')')?;
        Ok(Some(arguments))
    }

    fn number(&mut self) -> Result<u64> {
        self.skip_space();
        let rest = self.rest();
        let length = rest.find(|character: char| !character.is_ascii_digit()).unwrap_or(rest.len());
        let Ok(number) = rest[..length].parse() else { return Err(self.expected("a number")) };
        self.at += length;
        Ok(number)
    }

    /// The text in quotes that starts here; a doubled quote stands for one.
    fn quoted(&mut self, quote: char) -> Result<String> {
        let start = self.at;
        let mut text = String::new();
        self.at += quote.len_utf8();
        loop {
            let rest = self.rest();
            let Some(length) = rest.find(quote) else {
                return Err(self.error_at(start, format!("unterminated {quote} quote"), None));
            };
            text.push_str(&rest[..length]);
            self.at += length + quote.len_utf8();
            if !self.rest().starts_with(quote) {
                return Ok(text);
            }
            text.push(quote);
            self.at += quote.len_utf8();
        }
    }

    /// The word that starts here; empty if none does.
    fn word(&mut self) -> &'a str {
        let rest = self.rest();
        let length =
            rest.find(|character: char| !character.is_alphanumeric() && character != '_').unwrap_or(rest.len());
        self.at += length;
        &rest[..length]
    }

    /// Takes `wanted` if it is the next word.
    fn accept_word(&mut self, wanted: &str) -> bool {
        let before = self.at;
        self.skip_space();
        let found = self.word().eq_ignore_ascii_case(wanted);
        if !found {
            self.at = before;
        }
        found
    }

    /// Takes `wanted` if it is the next character but spaces.
    fn accept(&mut self, wanted: char) -> bool {
        self.skip_space();
        let found = self.peek() == Some(wanted);
        if found {
            self.at += wanted.len_utf8();
        }
        found
    }

    fn expect(&mut self, wanted: char) -> Result<()> {
        if self.accept(wanted) { Ok(()) } else { Err(self.expected(&format!("\"{wanted}\""))) }
    }

    /// Takes `wanted`; the error says that `other` could have stood there too.
    fn expect_either(&mut self, other: char, wanted: char) -> Result<()> {
        if self.accept(wanted) { Ok(()) } else { Err(self.expected(&format!("\"{other}\" or \"{wanted}\""))) }
    }

    /// Takes `<` or `(` and returns what closes it.
    fn open_bracket(&mut self) -> Result<char> {
        if self.accept('<') {
            Ok('>')
        } else if self.accept('(') {
            Ok(')')
        } else {
            Err(self.expected("\"<\""))
        }
    }

    fn skip_space(&mut self) {
        let rest = self.rest();
        self.at += rest.len() - rest.trim_start().len();
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn rest(&self) -> &'a str {
        &self.text[self.at..]
    }

    fn expected(&mut self, what: &str) -> Error {
        self.skip_space();
        let found =
            self.peek().map_or_else(|| "the text ends".to_owned(), |character| format!("found \"{character}\""));
        self.error_at(self.at, format!("expected {what} but {found}"), None)
    }

    fn unsupported(&self, start: usize, type_name: &str) -> Error {
        let hint = Some("Declare the column as string and cast it in queries.".to_owned());
        self.error_at(start, format!("type \"{type_name}\" is not supported"), hint)
    }

    fn too_deep(&self) -> Error {
        self.error_at(self.at, format!("types nest deeper than {TYPE_DEPTH_MAX} levels"), None)
    }

    fn error_at(&self, at: usize, problem: String, hint: Option<String>) -> Error {
        let position = self.text[..at].chars().count() + 1;
        let mut shown: String = self.text.chars().take(SHOWN_CHARACTERS_MAX).collect();
        if shown.len() < self.text.len() {
            shown.push_str("...");
        }
        Error::Invalid { message: format!("{problem}, at character {position} of type \"{shown}\""), hint }
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    #[test]
    fn reads_the_synonyms_of_three_dialects() {
        let cases = [
            ("boolean bool BOOLEAN", "boolean"),
            ("tinyint byte", "tinyint"),
            ("smallint int2 short", "smallint"),
            ("int integer int4 INTEGER", "int"),
            ("bigint int8 long", "bigint"),
            ("real float4 float float(24)", "float"),
            ("double double_precision float8 float(25)", "double"),
            ("decimal dec decimal(10) numeric(10,0)", "decimal(10,0)"),
            ("numeric", "decimal(38,9)"),
            ("numeric(15,2) DECIMAL(_15_,_2_) dec(15,2)", "decimal(15,2)"),
            ("string text varchar character_varying", "string"),
            ("varchar(10) character_varying(10) VARCHAR_(_10_)", "varchar(10)"),
            ("char character bpchar char(1)", "char(1)"),
            ("character(3) bpchar(3)", "char(3)"),
            ("binary bytea varbinary", "binary"),
            ("date", "date"),
            ("time time(3) time_without_time_zone", "time"),
            ("timestamp timestamp(3) timestamp_without_time_zone timestamp(6)_without_time_zone", "timestamp"),
            (
                "timestamptz timestamptz(3) timestamp_with_time_zone timestamp_(3)_WITH_TIME_ZONE timestamp_with_local_time_zone",
                "timestamp with time zone",
            ),
            ("json jsonb", "json"),
            ("array<int> array(int) int[] int4_[_] int[3] ARRAY<_INTEGER_>", "array<int>"),
            ("int[][] array<int>[] array(int[])", "array<array<int>>"),
            ("varchar(3)[]", "array<varchar(3)>"),
            ("timestamp_with_time_zone[]", "array<timestamp with time zone>"),
            ("map<string,int> map(varchar,integer) MAP<string,_int>", "map<string,int>"),
            ("struct<> row()", "struct<>"),
            (
                "struct<a:int,B:string> row(a_int,B_varchar) struct<a_:_int,_`B`_string> row(\"a\"_int,B:text)",
                "struct<a:int,B:string>",
            ),
            ("struct<user-agent:string,@type:int,é:int>", "struct<`user-agent`:string,`@type`:int,`é`:int>"),
            ("struct<a:int_comment_'it''s,_>',b:int>", "struct<a:int,b:int>"),
            ("struct<timestamp:timestamp,map:map<int,int>>", "struct<timestamp:timestamp,map:map<int,int>>"),
            (
                "row(x_double_precision,y_row(z_timestamp_with_time_zone))",
                "struct<x:double,y:struct<z:timestamp with time zone>>",
            ),
        ];
        for (texts, wanted) in cases {
            // `_` stands for a space inside one text.
            for text in texts.split(' ').map(|text| text.replace('_', " ")) {
                assert_eq!(text.parse::<DataType>().map(|data_type| data_type.to_string()).unwrap(), wanted, "{text}");
            }
        }
        let quoted: DataType = "struct<`a b`:int,\"c\"\"d\":int,`:,<>()`:int,\"\":int>".parse().unwrap();
        assert_eq!(quoted.to_string(), "struct<`a b`:int,`c\"d`:int,`:,<>()`:int,``:int>");
    }

    #[test]
    fn says_what_is_wrong_and_where() {
        let cases = [
            ("", "expected a type but the text ends, at character 1 of type \"\""),
            ("array<inte>", "type \"inte\" does not exist, at character 7 of type \"array<inte>\""),
            ("array<int", "expected \">\" but the text ends, at character 10 of type \"array<int\""),
            ("array", "expected \"<\" but the text ends, at character 6 of type \"array\""),
            ("map<int>", "expected \",\" but found \">\", at character 8 of type \"map<int>\""),
            ("int int", "expected the end of the type but found \"i\", at character 5 of type \"int int\""),
            ("int(11)", "type modifier is not allowed for type \"int\", at character 1 of type \"int(11)\""),
            (
                "decimal(39,2)",
                "decimal precision 39 must be between 1 and 38, at character 1 of type \"decimal(39,2)\"",
            ),
            ("decimal(0)", "decimal precision 0 must be between 1 and 38, at character 1 of type \"decimal(0)\""),
            (
                "decimal(5,6)",
                "decimal scale 6 must be between 0 and precision 5, at character 1 of type \"decimal(5,6)\"",
            ),
            ("decimal(5,-1)", "expected a number but found \"-\", at character 11 of type \"decimal(5,-1)\""),
            ("decimal(5 6)", "expected \",\" or \")\" but found \"6\", at character 11 of type \"decimal(5 6)\""),
            ("varchar(0)", "length for type varchar must be at least 1, at character 1 of type \"varchar(0)\""),
            (
                "char(99999999999)",
                "length for type char cannot exceed 10485760, at character 1 of type \"char(99999999999)\"",
            ),
            (
                "timestamp(13)",
                "precision for type timestamp must be between 0 and 12, at character 1 of type \"timestamp(13)\"",
            ),
            (
                "timestamp with zone",
                "expected \"time zone\" but found \"z\", at character 16 of type \"timestamp with zone\"",
            ),
            (
                "time with time zone",
                "type \"time with time zone\" is not supported, at character 1 of type \"time with time zone\"",
            ),
            (
                "struct<é:int,é:int>",
                "field \"é\" specified more than once, at character 14 of type \"struct<é:int,é:int>\"",
            ),
            ("struct<:int>", "expected a field name but found \":\", at character 8 of type \"struct<:int>\""),
            ("struct<`a:int>", "unterminated ` quote, at character 8 of type \"struct<`a:int>\""),
            (
                "struct<a:int b:int>",
                "expected \",\" or \">\" but found \"b\", at character 14 of type \"struct<a:int b:int>\"",
            ),
        ];
        for (text, wanted) in cases {
            assert_eq!(text.parse::<DataType>().unwrap_err().to_string(), wanted, "{text}");
        }
        assert_eq!("strng".parse::<DataType>().unwrap_err().hint(), Some("Did you mean \"string\"?"));
        assert_eq!("geometry".parse::<DataType>().unwrap_err().hint(), None);
    }

    #[test]
    fn nests_only_so_deep() {
        let nested = |depth: usize| format!("{}int{}", "array<".repeat(depth - 1), ">".repeat(depth - 1));
        let postfix = |depth: usize| format!("int{}", "[]".repeat(depth - 1));
        let mixed = |depth: usize| format!("array<{}>", postfix(depth - 1));
        for text in [nested(TYPE_DEPTH_MAX), postfix(TYPE_DEPTH_MAX), mixed(TYPE_DEPTH_MAX)] {
            let data_type: DataType = text.parse().unwrap();
            assert_eq!(data_type.to_string(), nested(TYPE_DEPTH_MAX));
        }
        for text in
            [nested(TYPE_DEPTH_MAX + 1), postfix(TYPE_DEPTH_MAX + 1), mixed(TYPE_DEPTH_MAX + 1), nested(100_000)]
        {
            let error = text.parse::<DataType>().unwrap_err().to_string();
            assert!(error.starts_with("types nest deeper than 64 levels"), "{error}");
            assert!(error.len() < 400, "{error}");
        }
    }
}
