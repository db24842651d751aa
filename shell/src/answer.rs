//! [`Answer`]: takes what a statement answers and shows it as it comes.
//!
//! ```text
//! rows ── the first ones are gathered ── widths, pager or not ── the rest is written as it comes
//!      └─ the first ones are kept, for \chart
//! ```

use std::io::{self, BufRead, Write as _};
use std::sync::Arc;

use arrow::array::{Array as _, RecordBatch};

use crate::backend::{Column, Notice, Receiver};
use crate::bar::Bar;
use crate::output::{self, Output, Program};
use crate::table::{self, Settings, Table};

/// Rows and bytes that are gathered before the first is shown: widths follow from them. Later ones may stick out.
const SAMPLE_ROWS: usize = 1000;
const SAMPLE_BYTES: usize = 4 << 20;

/// Rows and bytes of an answer that are kept for `\chart`.
const KEPT_ROWS: usize = 10_000;
const KEPT_BYTES: usize = 16 << 20;

/// The first rows of an answer.
#[derive(Debug, Clone, Default)]
pub struct Kept {
    /// Its columns.
    pub columns: Vec<Column>,
    /// The rows.
    pub rows: Vec<RecordBatch>,
    /// Whether there were more.
    pub has_more: bool,
}

impl Kept {
    /// How many rows there are.
    pub fn row_count(&self) -> usize {
        self.rows.iter().map(RecordBatch::num_rows).sum()
    }
}

/// How an answer is to be shown.
#[derive(Debug, Clone, Default)]
pub struct Manner {
    /// `\pset`.
    pub settings: Settings,
    /// What stands above it.
    pub title: Option<String>,
    /// The program for long answers.
    pub pager: String,
    /// Whether tags of statements without rows are told.
    pub tells_tags: bool,
    /// Whether errors and notices have colours.
    pub has_colors: bool,
}

/// See the module.
pub struct Answer<'a> {
    output: &'a mut Output,
    manner: Manner,
    bar: Arc<Bar>,
    input: &'a mut (dyn BufRead + Send),
    columns: Vec<Column>,
    sample: Vec<RecordBatch>,
    sample_rows: usize,
    sample_bytes: usize,
    table: Option<Box<dyn Table>>,
    pager: Option<Program>,
    /// What came last, for `\chart`.
    pub kept: Option<Kept>,
    kept_bytes: usize,
    copies_out: bool,
    /// The tag of a COPY whose rows went to the output: as in psql, it is told only where they are not.
    pub copied: Option<String>,
}

impl<'a> Answer<'a> {
    /// An answer to be shown; `input` is where the rows of COPY FROM STDIN come from.
    pub fn new(output: &'a mut Output, input: &'a mut (dyn BufRead + Send), manner: Manner, bar: Arc<Bar>) -> Self {
        Self {
            output,
            manner,
            bar,
            input,
            columns: Vec::new(),
            sample: Vec::new(),
            sample_rows: 0,
            sample_bytes: 0,
            table: None,
            pager: None,
            kept: None,
            kept_bytes: 0,
            copies_out: false,
            copied: None,
        }
    }

    /// Lays out what was gathered and shows it.
    fn show_sample(&mut self, more_comes: bool) -> io::Result<()> {
        let screen = self.output.screen();
        let answer = table::Answer {
            columns: &self.columns,
            sample: &self.sample,
            title: self.manner.title.as_deref(),
            screen_width: screen.map(|size| size.columns),
        };
        let mut table = table::make(&self.manner.settings, &answer);
        let mut text = String::new();
        table.begin(&mut text);
        for rows in self.sample.drain(..) {
            table.rows(&rows, &mut text);
        }
        if !more_comes {
            table.end(&mut text);
        }
        self.bar.end();
        if output::needs_pager(self.manner.settings.pager, screen, &text, more_comes) {
            // Without its pager an answer is shown all the same.
            self.pager = Program::start(&self.manner.pager).ok();
        }
        self.table = more_comes.then_some(table);
        self.write(&text)
    }

    fn write(&mut self, text: &str) -> io::Result<()> {
        match &mut self.pager {
            Some(pager) => pager.write_all(text.as_bytes()),
            None => self.output.write_all(text.as_bytes()),
        }
    }

    fn keep(&mut self, rows: &RecordBatch, bytes: usize) {
        let Some(kept) = &mut self.kept else { return };
        if kept.row_count() >= KEPT_ROWS || self.kept_bytes + bytes > KEPT_BYTES {
            kept.has_more = true;
            return;
        }
        let room = (KEPT_ROWS - kept.row_count()).min(rows.num_rows());
        kept.has_more |= room < rows.num_rows();
        kept.rows.push(rows.slice(0, room));
        self.kept_bytes += bytes;
    }

    /// Ends what was begun: an answer that broke off shows what came of it.
    pub fn finish(&mut self) {
        if self.sample_rows > 0 && self.table.is_none() {
            let _ = self.show_sample(true);
        }
        (self.table, self.sample_rows) = (None, 0);
        self.pager = None;
        let _ = self.output.flush();
        self.bar.end();
    }
}

impl Receiver for Answer<'_> {
    fn columns(&mut self, columns: &[Column]) -> io::Result<()> {
        self.columns = columns.to_vec();
        (self.sample, self.sample_rows, self.sample_bytes, self.table) = (Vec::new(), 0, 0, None);
        self.kept = Some(Kept { columns: columns.to_vec(), ..Kept::default() });
        self.kept_bytes = 0;
        Ok(())
    }

    fn rows(&mut self, rows: &RecordBatch) -> io::Result<()> {
        let bytes = rows.columns().iter().map(|column| column.get_array_memory_size()).sum::<usize>();
        self.keep(rows, bytes);
        if let Some(table) = &mut self.table {
            let mut text = String::new();
            table.rows(rows, &mut text);
            return self.write(&text);
        }
        self.sample_rows += rows.num_rows();
        self.sample_bytes += bytes;
        self.sample.push(rows.clone());
        if self.sample_rows >= SAMPLE_ROWS || self.sample_bytes >= SAMPLE_BYTES {
            self.show_sample(true)?;
        }
        Ok(())
    }

    fn done(&mut self, tag: &str) -> io::Result<()> {
        self.bar.end();
        if self.columns.is_empty() && !self.has_rows() {
            if std::mem::take(&mut self.copies_out) {
                self.copied = Some(tag.to_owned());
            } else if self.manner.tells_tags {
                self.write(&format!("{tag}\n"))?;
            }
        } else if let Some(mut table) = self.table.take() {
            let mut text = String::new();
            table.end(&mut text);
            self.write(&text)?;
        } else {
            self.show_sample(false)?;
        }
        (self.columns, self.sample_rows) = (Vec::new(), 0);
        // Waits until the reader has seen enough.
        self.pager = None;
        self.output.flush()
    }

    fn notice(&mut self, notice: &Notice) {
        self.bar.hide();
        let mut text = format!("{}:  {}\n", notice.severity, notice.message);
        if let Some(detail) = &notice.detail {
            text.push_str(&format!("DETAIL:  {detail}\n"));
        }
        if let Some(hint) = &notice.hint {
            text.push_str(&format!("HINT:  {hint}\n"));
        }
        eprint!("{text}");
    }

    fn copy_out(&mut self, bytes: &[u8]) -> io::Result<()> {
        self.bar.end();
        self.copies_out = true;
        self.output.write_all(bytes)
    }

    fn copy_in(&mut self) -> io::Result<Option<Vec<u8>>> {
        self.bar.end();
        let mut line = Vec::new();
        let length = self.input.read_until(b'\n', &mut line)?;
        let text = line.strip_suffix(b"\n").unwrap_or(&line);
        let is_end = length == 0 || text.strip_suffix(b"\r").unwrap_or(text) == b"\\.";
        Ok((!is_end).then_some(line))
    }
}

impl Answer<'_> {
    /// An answer may have rows and no columns: `SELECT`.
    fn has_rows(&self) -> bool {
        self.sample_rows > 0 || self.table.is_some()
    }
}
