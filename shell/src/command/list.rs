//! Shows what [`describe`] asks for.

use std::sync::Arc;

use arrow::array::{ArrayRef, RecordBatch, StringArray};
use arrow::datatypes::{DataType, Field, Schema};

use super::describe::{self, Listing};
use super::{Done, Refusal};
use crate::backend::Column;
use crate::shell::Shell;
use crate::table::{strings, value};

/// An answer's rows as vectors.
type Rows = Vec<Vec<String>>;

fn rows_of(batches: &[RecordBatch]) -> Rows {
    let mut rows = Vec::new();
    for batch in batches {
        for row in 0..batch.num_rows() {
            rows.push((0..batch.num_columns()).map(|column| value(batch, column, row, "").to_owned()).collect());
        }
    }
    rows
}

impl Shell {
    pub(super) fn list(&mut self, listing: &Listing, pattern: Option<&str>) -> Done {
        let (columns, rows) = self.ask(&listing.sql).ok_or(Refusal::Told)?;
        let is_empty = rows.iter().all(|rows| rows.num_rows() == 0);
        if is_empty && listing.title == "List of relations" {
            return Err(match pattern {
                Some(pattern) => format!("Did not find any relation named \"{pattern}\".").into(),
                None => "Did not find any relations.".into(),
            });
        }
        self.show(listing.title, &columns, &rows, None);
        Ok(())
    }

    /// `\d name`: each relation that fits, with its columns.
    pub(super) fn describe_relations(&mut self, pattern: &str, is_verbose: bool) -> Done {
        let (_, found) = self.ask(&describe::named(pattern)?).ok_or(Refusal::Told)?;
        let found = rows_of(&found);
        if found.is_empty() {
            return Err(format!("Did not find any relation named \"{pattern}\".").into());
        }
        for relation in found {
            let [oid, schema, name, kind] = relation.as_slice() else { continue };
            self.describe_relation(oid, schema, name, kind, is_verbose)?;
        }
        Ok(())
    }

    fn describe_relation(&mut self, oid: &str, schema: &str, name: &str, kind: &str, is_verbose: bool) -> Done {
        let (_, answer) = self.ask(&describe::columns(oid, is_verbose)).ok_or(Refusal::Told)?;
        let mut names = vec!["Column", "Type", "Collation", "Nullable", "Default"];
        if is_verbose {
            names.extend(["Storage", "Description"]);
        }
        let rows = rows_of(&answer).into_iter().map(|row| {
            let get = |at: usize| row.get(at).cloned().unwrap_or_default();
            let nullable = if get(3) == "t" { "not null" } else { "" };
            let mut shown = vec![get(0), get(1), get(4), nullable.to_owned(), get(2)];
            if is_verbose {
                shown.extend([describe::storage_name(&get(5)).to_owned(), get(6)]);
            }
            shown
        });
        let (columns, rows) = table(&names, rows.collect());
        let mut below = Vec::new();
        if is_verbose && (kind == "v" || kind == "m") {
            let (_, answer) = self.ask(&describe::view_definition(oid)).ok_or(Refusal::Told)?;
            if let Some(definition) = rows_of(&answer).first().and_then(|row| row.first()) {
                below.push(format!("View definition:\n{definition}"));
            }
        }
        let title = format!("{} \"{schema}.{name}\"", describe::kind_name(kind));
        self.show(&title, &columns, &[rows], Some(&below));
        Ok(())
    }

    /// `\sv`
    pub(super) fn show_view(&mut self, name: Option<&str>) -> Done {
        let name = name.ok_or("view name is required")?;
        let (_, found) = self.ask(&describe::named(name)?).ok_or(Refusal::Told)?;
        let found = rows_of(&found);
        let Some([oid, schema, view, kind]) = found.first().map(Vec::as_slice) else {
            return Err(format!("ERROR:  relation \"{name}\" does not exist").into());
        };
        if kind != "v" {
            return Err(format!("\"{schema}.{view}\" is not a view").into());
        }
        let (_, answer) = self.ask(&describe::view_definition(oid)).ok_or(Refusal::Told)?;
        let definition = answer.first().map(|rows| strings(rows, 0).value(0).to_owned()).unwrap_or_default();
        self.page(&format!("CREATE OR REPLACE VIEW {schema}.{view} AS\n{}\n", definition.trim_end_matches(';')));
        Ok(())
    }
}

/// Text rows as an answer.
fn table(names: &[&str], rows: Rows) -> (Vec<Column>, RecordBatch) {
    let columns: Vec<Column> = names.iter().map(|name| Column { name: (*name).to_owned(), is_number: false }).collect();
    let fields: Vec<Field> = names.iter().map(|name| Field::new(*name, DataType::Utf8, true)).collect();
    let arrays: Vec<ArrayRef> = (0..names.len())
        .map(|column| Arc::new(StringArray::from_iter_values(rows.iter().map(|row| row[column].as_str()))) as ArrayRef)
        .collect();
    let batch = RecordBatch::try_new(Arc::new(Schema::new(fields)), arrays).expect("each row has each column");
    (columns, batch)
}
