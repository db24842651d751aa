//! [`RecordSplitter`]: a stream of JSON bytes -> the bytes of one record after another.
//!
//! The outer structure (an array, a document that holds an array, or what else lies on a [`JsonPath`] to the records) is
//! walked byte by byte and never held; what is held is one record, up to [`RECORD_BYTES_MAX`]. Strings and escapes are respected, so a bracket or a newline inside a
//! string ends nothing. Whether a record is well-formed is for the [`super::cursor::Cursor`] to say.

use super::cursor::Cursor;
use super::path::{JsonPath, Step};
use crate::scan::format::position::Position;
use crate::{Error, ErrorCode, Result};

/// Largest record. A row is decoded from one piece of memory; a larger "row" is nearly always a file that is not what
/// its table says, and a hostile one would be held in full.
pub const RECORD_BYTES_MAX: usize = 64 << 20;

/// How records lie in a file.
#[derive(Debug, Clone, PartialEq, Eq, serde::Serialize, serde::Deserialize)]
pub enum Layout {
    /// Values one after another, one a line or spread over several.
    Lines,
    /// One array of values.
    Array,
    /// One object that holds the array under this key, or that is itself the one record.
    Document(Option<String>),
    /// What lies at the end of a path, in one document.
    Path(JsonPath),
    /// An array if the first character is `[`, else lines.
    Detect,
}

impl Layout {
    /// The way from the document to the records; `None` for those that lie one after another.
    fn steps(&self) -> Option<Vec<Step>> {
        match self {
            Self::Lines | Self::Detect => None,
            Self::Array => Some(vec![Step::Each]),
            Self::Document(None) => Some(Vec::new()),
            Self::Document(Some(key)) => Some(vec![Step::Key(key.clone()), Step::Each]),
            Self::Path(path) => Some(path.steps().to_vec()),
        }
    }
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Before the first character that means something.
    Start,
    /// `Lines`: between records.
    Between,
    /// In an array on the way: an item, or its end if none came yet, is next.
    ItemOrEnd,
    /// In an array on the way: an item is next.
    Item,
    /// In an array on the way: a comma or the end is next.
    CommaOrEnd,
    /// In a record.
    Record,
    /// `Lines`, where broken records are given up: in a line that is none.
    Line,
    /// In what is left of a line that was given up.
    Discard,
    /// In an object on the way: a key or its end is next.
    KeyOrEnd,
    /// In an object on the way: the key's characters.
    Key,
    /// In an object on the way: the colon is next.
    Colon,
    /// In an object on the way: the value is next.
    Value,
    /// In a value that isn't on the way.
    Skip,
    /// In an object on the way: a comma or the end is next.
    MemberCommaOrEnd,
    /// Everything was read; only white space may follow.
    Done,
}

/// Cuts a stream of bytes into records.
#[derive(Debug)]
pub struct RecordSplitter {
    layout: Layout,
    /// The way to the records; `None` where they lie one after another.
    steps: Option<Vec<Step>>,
    /// The arrays and objects on the way that are open, each of the step at its place; of an object, whether its key came.
    open: Vec<bool>,
    state: State,
    /// The bytes of the record, or of the document's current key.
    held: Vec<u8>,
    depth: usize,
    in_string: bool,
    escaped: bool,
    /// Of what is read next.
    position: Position,
    /// Of the record's first byte.
    record: Position,
    /// How many of the bytes at hand were used.
    used: usize,
    /// Whether broken records among lines are given up, and what is behind them read.
    recovers: bool,
    /// Whether a line that begins with a brace begins a record, wherever the last one seems to end: so once one was given up.
    cuts: bool,
    /// The last byte of the record ended a line.
    after_newline: bool,
    /// Records seen, this one included.
    record_number: u64,
    /// Whether the records' place was there, be it empty.
    is_found: bool,
}

impl RecordSplitter {
    /// Starts at a file's first byte.
    pub fn new(layout: Layout) -> Self {
        Self {
            steps: layout.steps(),
            layout,
            open: Vec::new(),
            state: State::Start,
            held: Vec::new(),
            depth: 0,
            in_string: false,
            escaped: false,
            position: Position::START,
            record: Position::START,
            used: 0,
            recovers: false,
            cuts: false,
            after_newline: false,
            record_number: 0,
            is_found: false,
        }
    }

    /// Goes on in the middle of a file of records one after another, at `position` and behind `count` of them.
    pub fn resume(&mut self, position: Position, count: u64) {
        (self.layout, self.steps, self.state) = (Layout::Lines, None, State::Between);
        (self.position, self.record, self.record_number) = (position, position, count);
    }

    /// Whether the file turned out to be one value that holds the records.
    pub fn is_one_document(&self) -> bool {
        self.steps.is_some()
    }

    /// The record that [`Self::push`] or [`Self::finish`] completed.
    pub fn record(&self) -> &[u8] {
        &self.held
    }

    /// The same, for who gives up broken records among lines ([`Self::give_up_line`]): what isn't an object is a record up to the
    /// end of its line.
    #[must_use]
    pub fn recovering(mut self) -> Self {
        self.recovers = true;
        self
    }

    /// Whether a broken record can be given up: there are more behind it, each on lines of its own.
    pub fn can_give_up(&self) -> bool {
        self.recovers && self.steps.is_none()
    }

    /// How many bytes of the last [`Self::push`] were used, be it that it failed.
    pub fn used(&self) -> usize {
        self.used
    }

    /// Where the next byte is.
    pub fn position(&self) -> Position {
        self.position
    }

    /// Where the record began.
    pub fn record_position(&self) -> Position {
        self.record
    }

    /// Gives up the line on which the record began, be the record complete or not, with lines behind it that go on with it:
    /// that are indented, or begin with a closing bracket. Returns that and what was read of the lines behind, which is to be
    /// read again, before anything else. Where nothing is behind it yet, the rest of the line is passed over.
    pub fn give_up_line(&mut self) -> (Vec<u8>, Vec<u8>) {
        let mut line = std::mem::take(&mut self.held);
        let goes_on = |next: &u8| matches!(next, b' ' | b'\t' | b'\r' | b'\n' | b'}' | b']');
        let ends = line.iter().enumerate().filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end + 1);
        let end = ends.into_iter().find(|end| line.get(*end).is_some_and(|next| !goes_on(next)));
        (self.depth, self.in_string, self.escaped) = (0, false, false);
        let Some(end) = end else {
            if self.state != State::Between {
                self.state = State::Discard;
            }
            return (line, Vec::new());
        };
        let rest = line.split_off(end);
        self.position = self.record.behind(&line);
        self.state = State::Between;
        self.cuts = true;
        (line, rest)
    }

    /// The line of its first character, from 1.
    pub fn record_line(&self) -> u64 {
        self.record.line_number()
    }

    /// Its number in the file, from 1.
    pub fn record_number(&self) -> u64 {
        self.record_number
    }

    /// The line being read, from 1.
    pub fn line(&self) -> u64 {
        self.position.line_number()
    }

    /// Reads on until a record is complete (then the flag is true) or `bytes` are used up. Returns how many were used.
    ///
    /// # Errors
    /// Where the outer structure isn't what the layout says, and for a record that is too large. The error has no
    /// file; the line is [`Self::line`].
    pub fn push(&mut self, bytes: &[u8]) -> Result<(usize, bool)> {
        if self.state == State::Between || self.state == State::CommaOrEnd || self.state == State::Start {
            self.held.clear();
        }
        self.used = 0;
        let pushed = self.advance(bytes);
        self.position.offset += self.used as u64;
        pushed.map(|complete| (self.used, complete))
    }

    /// As [`Self::push`], leaving in `used` how many bytes were used.
    fn advance(&mut self, bytes: &[u8]) -> Result<bool> {
        while self.used < bytes.len() {
            match self.state {
                State::Record | State::Skip => {
                    let (used, complete) = self.inside(&bytes[self.used..])?;
                    self.used += used;
                    if complete && self.leave_value() {
                        return Ok(true);
                    }
                }
                State::Line | State::Discard => {
                    let rest = self.with_room(&bytes[self.used..])?;
                    let end = rest.iter().position(|byte| *byte == b'\n');
                    let used = end.unwrap_or(rest.len());
                    self.used += used;
                    if self.state == State::Line {
                        self.held.extend_from_slice(&rest[..used]);
                    }
                    // The newline belongs to what is between records.
                    if end.is_some() && self.leave_value() {
                        return Ok(true);
                    }
                }
                _ => {
                    let byte = bytes[self.used];
                    if self.outside(byte)? {
                        self.used += 1;
                        if byte == b'\n' {
                            self.position.next_line();
                        }
                    }
                }
            }
        }
        Ok(false)
    }

    /// Says that the file ends here; true if that completed a record.
    ///
    /// # Errors
    /// A file that ends too early.
    pub fn finish(&mut self) -> Result<bool> {
        match self.state {
            // An empty file has no rows, whatever its layout.
            State::Start | State::Between | State::Done => {
                match &self.layout {
                    _ if self.is_found || self.state != State::Done => {}
                    Layout::Document(Some(key)) => {
                        return Err(malformed(&format!("the document has no array \"{key}\"")));
                    }
                    Layout::Path(path) => {
                        return Err(malformed(&format!("the document has nothing at \"{path}\"")));
                    }
                    _ => {}
                }
                Ok(false)
            }
            State::Discard => Ok(false),
            State::Line => Ok(self.leave_value()),
            // A bare scalar has no closing character of its own.
            State::Record if self.depth == 0 && !self.in_string => Ok(self.leave_value()),
            _ => Err(malformed("the file ends in the middle of a record")),
        }
    }

    /// As much of `bytes` as the record has room for.
    fn with_room<'b>(&self, bytes: &'b [u8]) -> Result<&'b [u8]> {
        if !matches!(self.state, State::Record | State::Line) {
            return Ok(bytes);
        }
        let room = RECORD_BYTES_MAX.saturating_sub(self.held.len());
        if room == 0 {
            return Err(Error::new(
                ErrorCode::ProgramLimitExceeded,
                format!("a JSON record is larger than {} MB", RECORD_BYTES_MAX >> 20),
            )
            .with_hint("Check the property \"limnos.json.layout\": the file may hold one array or one document."));
        }
        Ok(&bytes[..bytes.len().min(room)])
    }

    /// Takes bytes of a value up to its end. A scalar ends before the character that follows it.
    fn inside(&mut self, bytes: &[u8]) -> Result<(usize, bool)> {
        let bytes = self.with_room(bytes)?;
        let mut index = 0;
        let mut complete = false;
        while index < bytes.len() && !complete {
            let byte = bytes[index];
            if self.cuts && self.after_newline && byte == b'{' && self.state == State::Record {
                (self.depth, self.in_string, self.escaped) = (0, false, false);
                complete = true;
                break;
            }
            if self.in_string {
                if self.escaped {
                    self.escaped = false;
                } else if byte == b'\\' {
                    self.escaped = true;
                } else if byte == b'"' {
                    self.in_string = false;
                    complete = self.depth == 0;
                }
            } else {
                match byte {
                    b'"' => self.in_string = true,
                    b'{' | b'[' => self.depth += 1,
                    b'}' | b']' if self.depth > 0 => {
                        self.depth -= 1;
                        complete = self.depth == 0;
                    }
                    b' ' | b'\t' | b'\r' | b'\n' | b',' | b'}' | b']' if self.depth == 0 => {
                        complete = true;
                        // The character belongs to what is around the value.
                        break;
                    }
                    _ => (),
                }
            }
            self.after_newline = byte == b'\n';
            if self.after_newline {
                self.position.next_line();
            }
            index += 1;
        }
        if self.state == State::Record {
            self.held.extend_from_slice(&bytes[..index]);
        }
        Ok((index, complete))
    }

    /// Behind a value; true if it was a record.
    fn leave_value(&mut self) -> bool {
        let was_record = matches!(self.state, State::Record | State::Line);
        self.state = self.behind_value();
        was_record
    }

    /// Where a value's end leads to.
    fn behind_value(&self) -> State {
        let Some(steps) = &self.steps else { return State::Between };
        match self.open.len().checked_sub(1).map(|innermost| &steps[innermost]) {
            None => State::Done,
            Some(Step::Each) => State::CommaOrEnd,
            Some(Step::Key(_)) => State::MemberCommaOrEnd,
        }
    }

    /// At the first byte of a value on the way; as [`Self::outside`]. A value that is no part of the way is skipped, but the
    /// document itself must be one.
    fn enter(&mut self, byte: u8) -> Result<bool> {
        let step = self.steps.as_ref().and_then(|steps| steps.get(self.open.len()));
        match (step, byte) {
            (None, _) => {
                self.is_found = true;
                self.begin_record(byte);
                return Ok(false);
            }
            (Some(Step::Each), b'[') => {
                self.is_found = true;
                self.state = State::ItemOrEnd;
            }
            (Some(Step::Key(_)), b'{') => self.state = State::KeyOrEnd,
            (Some(Step::Each), _) if self.open.is_empty() => return Err(malformed("an array was expected")),
            (Some(Step::Key(_)), _) if self.open.is_empty() => return Err(malformed("an object was expected")),
            _ => {
                self.state = State::Skip;
                return Ok(false);
            }
        }
        self.open.push(false);
        Ok(true)
    }

    /// Looks at one byte outside all records; false if it has to be looked at again in the new state.
    fn outside(&mut self, byte: u8) -> Result<bool> {
        if self.state == State::Key {
            if self.held.len() > RECORD_BYTES_MAX {
                return Err(malformed("a key is too long"));
            }
            self.held.push(byte);
            if self.escaped {
                self.escaped = false;
            } else if byte == b'\\' {
                self.escaped = true;
            } else if byte == b'"' {
                self.state = State::Colon;
            }
            return Ok(true);
        }
        if byte.is_ascii_whitespace() {
            return Ok(true);
        }
        match (self.state, byte) {
            // A byte order mark.
            (State::Start, 0xef | 0xbb | 0xbf) => Ok(true),
            (State::Start, 0xfe | 0xff) => Err(super::super::utf16_refused()),
            (State::Start, _) => {
                if self.layout == Layout::Detect {
                    self.layout = if byte == b'[' { Layout::Array } else { Layout::Lines };
                    self.steps = self.layout.steps();
                }
                if self.layout == Layout::Document(None) && byte != b'{' {
                    return Err(malformed("an object was expected"));
                }
                self.enter(byte)
            }
            (State::Between, _) => {
                self.begin_record(byte);
                Ok(false)
            }
            (State::ItemOrEnd | State::CommaOrEnd, b']') | (State::KeyOrEnd | State::MemberCommaOrEnd, b'}') => {
                self.open.pop();
                self.state = self.behind_value();
                Ok(true)
            }
            (State::CommaOrEnd, b',') => {
                self.state = State::Item;
                Ok(true)
            }
            (State::ItemOrEnd | State::Item, b'{' | b'[' | b'"' | b'-' | b'0'..=b'9' | b't' | b'f' | b'n') => {
                self.enter(byte)
            }
            (State::KeyOrEnd, b'"') => {
                self.held.clear();
                self.held.push(byte);
                self.state = State::Key;
                Ok(true)
            }
            (State::MemberCommaOrEnd, b',') => {
                self.state = State::KeyOrEnd;
                Ok(true)
            }
            (State::Colon, b':') => {
                self.state = State::Value;
                Ok(true)
            }
            (State::Value, b',' | b'}' | b']' | b':') => Err(malformed("a value was expected")),
            (State::Value, _) if self.is_our_key() => {
                let object = self.open.len() - 1;
                let used = self.enter(byte)?;
                // Of two keys of that name the first that leads on counts.
                self.open[object] = self.state != State::Skip;
                Ok(used)
            }
            (State::Value, _) => {
                self.state = State::Skip;
                Ok(false)
            }
            // One array after the other, each on its line, as some write them.
            (State::Done, b'[') if self.layout == Layout::Array => self.enter(byte),
            (State::Done, _) => Err(malformed("there is text behind the end of the document")),
            (State::CommaOrEnd, _) => Err(malformed("a comma or a closing bracket was expected")),
            _ => Err(malformed(&format!("\"{}\" was not expected", char::from(byte).escape_default()))),
        }
    }

    fn begin_record(&mut self, byte: u8) {
        self.held.clear();
        self.state = if byte != b'{' && self.can_give_up() { State::Line } else { State::Record };
        self.record = self.position.after(self.used);
        self.after_newline = false;
        self.record_number += 1;
    }

    fn is_our_key(&self) -> bool {
        let (Some(steps), Some(false)) = (&self.steps, self.open.last()) else { return false };
        let Step::Key(wanted) = &steps[self.open.len() - 1] else { return false };
        std::str::from_utf8(&self.held).is_ok_and(|key| Cursor::new(key).string().is_ok_and(|key| key == *wanted))
    }
}

/// An error in the JSON itself.
pub fn malformed(reason: &str) -> Error {
    Error::new(ErrorCode::DataException, format!("malformed JSON: {reason}"))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Splits `text`, handed over in pieces of `size` bytes.
    fn split(layout: &Layout, text: &str, size: usize) -> Result<Vec<String>> {
        let mut splitter = RecordSplitter::new(layout.clone());
        let mut records = Vec::new();
        let mut take = |splitter: &RecordSplitter| {
            let record = std::str::from_utf8(splitter.record()).unwrap();
            records.push(format!("{}:{record}", splitter.record_line()));
        };
        for mut chunk in text.as_bytes().chunks(size) {
            while !chunk.is_empty() {
                let (used, complete) = splitter.push(chunk)?;
                if complete {
                    take(&splitter);
                }
                chunk = &chunk[used..];
            }
        }
        if splitter.finish()? {
            take(&splitter);
        }
        Ok(records)
    }

    #[test]
    fn records_come_out_whole_however_the_bytes_arrive() {
        let features = Layout::Document(Some("features".to_owned()));
        let path = |text: &str| Layout::Path(text.parse().unwrap());
        for (layout, text, expected) in [
            (path("$"), "{\"a\":1}", "1:{\"a\":1}"),
            (path("$[*]"), "[{},{\"a\":[]}]", "1:{}|1:{\"a\":[]}"),
            (path("$.r[*]"), "{\"r\":1,\"x\":{\"r\":[9]},\"r\":[{}],\"r\":[9]}", "1:{}"),
            (path("$.a.b"), "{\"a\":{\"c\":[{}],\"b\":{\"d\":1}}}", "1:{\"d\":1}"),
            (
                path("$[*].a['b c'][*]"),
                "[{\"a\":{\"b c\":[{\"n\":1},{\"n\":2}]}},5,{\"a\":[1]},\n{\"a\":{\"b c\":[{\"n\":3}]}}]",
                "1:{\"n\":1}|1:{\"n\":2}|2:{\"n\":3}",
            ),
            (path("$.a[*].b[*]"), "{\"a\":[]}", ""),
            (path("$[*][*]"), "[[1,2],[],[3]]", "1:1|1:2|1:3"),
            (
                Layout::Lines,
                "{\"a\":1}\n{\"a\":\"}\\\"\\n{\"}\r\n\n{\"b\":\n[1]}",
                "1:{\"a\":1}|2:{\"a\":\"}\\\"\\n{\"}|4:{\"b\":\n[1]}",
            ),
            (Layout::Lines, "", ""),
            (Layout::Lines, "{}{}", "1:{}|1:{}"),
            (Layout::Lines, "\u{feff}{}\n12", "1:{}|2:12"),
            (Layout::Array, " [ {\"a\":[1]} ,\n{} ] \n", "1:{\"a\":[1]}|2:{}"),
            (Layout::Array, "[]", ""),
            (Layout::Array, "[1,null,\"x\"]", "1:1|1:null|1:\"x\""),
            (Layout::Detect, "[{}]", "1:{}"),
            (Layout::Detect, "{}\n", "1:{}"),
            (Layout::Document(None), "\n{\"a\":\n1}", "2:{\"a\":\n1}"),
            (
                features.clone(),
                "{\"type\":\"]\",\"m\":{\"features\":[0]},\"features\":[{\"x\":1},\n{}],\"n\":1}",
                "1:{\"x\":1}|2:{}",
            ),
            (features.clone(), "{\"n\":1,\"f\\u0065atures\":[]}", ""),
        ] {
            for size in [1, 2, 3, 7, 1000] {
                assert_eq!(split(&layout, text, size).unwrap().join("|"), expected, "{text} by {size}");
            }
        }
    }

    #[test]
    fn what_ends_early_or_goes_on_is_an_error() {
        let features = Layout::Document(Some("features".to_owned()));
        for (layout, text, expected) in [
            (Layout::Lines, "{\"a\":1", "the file ends in the middle of a record"),
            (Layout::Lines, "{\"a\":\"1", "the file ends in the middle of a record"),
            (Layout::Array, "[{}", "the file ends in the middle of a record"),
            (Layout::Array, "[{},", "the file ends in the middle of a record"),
            (Layout::Array, "[{},]", "\"]\" was not expected"),
            (Layout::Array, "{}", "an array was expected"),
            (Layout::Array, "[{}] x", "there is text behind the end of the document"),
            (Layout::Array, "[{} {}]", "a comma or a closing bracket was expected"),
            (features.clone(), "{\"features\":[{}]", "the file ends in the middle of a record"),
            (features, "{\"a\":1}", "the document has no array \"features\""),
            (
                Layout::Path("$.a.b[*]".parse().unwrap()),
                "{\"a\":{\"c\":1}}",
                "the document has nothing at \"$.a.b[*]\"",
            ),
            (Layout::Path("$.a[*]".parse().unwrap()), "[1]", "an object was expected"),
            (Layout::Path("$.a[*]".parse().unwrap()), "{\"a\":[{}}", "a comma or a closing bracket was expected"),
        ] {
            for size in [1, 1000] {
                let error = split(&layout, text, size).unwrap_err();
                assert_eq!(error.message, format!("malformed JSON: {expected}"), "{text}");
            }
        }
    }
}
