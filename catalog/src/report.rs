//! [`Report`]: queries whose answers are written to files, and who is told of them.
//!
//! What derives serde here is the form on disk, too: a field may be added only with a default, anything else is a new format.

use std::collections::HashSet;

use serde::{Deserialize, Serialize};

use crate::name::validate_name;
use crate::object::{Definition, Objects};
use crate::{Error, Object, Result, Snapshot, crawler_record};

/// The most queries, outputs, charts, parameters and recipients of one report.
pub const REPORT_LIST_MAX: usize = 100;

/// The most bytes of a report's query, as of any statement.
const SQL_BYTES_MAX: usize = 1 << 20;

/// The most bytes of a location, title and the like.
const TEXT_BYTES_MAX: usize = 8192;

/// A report as it is in one [`Snapshot`].
pub type Report = Object<ReportDefinition>;

/// What a user says of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportDefinition {
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
    /// The text of `COMMENT`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub comment: Option<String>,
    /// What a run may be given.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub parameters: Vec<ReportParameter>,
    /// In the order of sheets and sections.
    pub queries: Vec<ReportQuery>,
    /// `None` leaves the choice to the columns' types.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub charts: Option<Vec<ReportChart>>,
    /// The files.
    pub outputs: Vec<ReportOutput>,
    /// Who gets them by e-mail.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub email: Option<ReportEmail>,
    /// Names of webhooks in the server's configuration.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub webhooks: Vec<String>,
    /// The zone of dates in names and of instants in documents.
    pub time_zone: String,
    /// The database that unqualified names are looked up in.
    pub database: String,
    /// The dialect that the queries are in.
    pub dialect: String,
    /// The role that made it, and with whose rights it runs.
    pub owner: String,
}

/// A parameter: `{{name}}` in queries, `{name}` in locations.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportParameter {
    /// Lower case.
    pub name: String,
    /// A type of SQL.
    pub data_type: String,
    /// As text; without one a run must give a value.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub default: Option<ReportValue>,
}

/// A value of a parameter, as text; NULL is `None`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportValue(pub Option<String>);

/// A query of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportQuery {
    /// Lower case; that of an only query is the report's.
    pub name: String,
    /// Its text, with `{{name}}` where parameters are.
    pub sql: String,
}

/// A chart of a query's rows.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportChart {
    /// `LINE` and so on, as SQL has it.
    pub kind: String,
    /// The query; `None` is the first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub query: Option<String>,
    /// The columns in brackets.
    pub columns: Vec<String>,
    /// For people.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub title: Option<String>,
}

/// A file of a report.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportOutput {
    /// A URL with `{scheduled_time:%Y}` and the like.
    pub location: String,
    /// `xlsx` and so on.
    pub format: String,
    /// `gzip` and so on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub compression: Option<String>,
}

/// Who gets a report by e-mail.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct ReportEmail {
    /// Addresses.
    pub to: Vec<String>,
    /// With `{scheduled_date}` and the like; `None` is the title.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub subject: Option<String>,
    /// Whether the report's HTML is the mail's body.
    #[serde(default)]
    pub html_body: bool,
    /// Whether the files go with it.
    pub attach: bool,
}

fn invalid<T>(message: impl Into<String>) -> Result<T> {
    Err(Error::Invalid { message: message.into(), hint: None })
}

impl Definition for ReportDefinition {
    const KIND: &'static str = "report";

    fn validate(&self) -> Result<()> {
        if self.queries.is_empty() {
            return invalid("a report needs at least one query");
        }
        if self.outputs.is_empty() {
            return invalid("a report needs at least one output");
        }
        let counts = [
            ("parameters", self.parameters.len()),
            ("queries", self.queries.len()),
            ("charts", self.charts.as_ref().map_or(0, Vec::len)),
            ("outputs", self.outputs.len()),
            ("recipients", self.email.as_ref().map_or(0, |email| email.to.len())),
            ("webhooks", self.webhooks.len()),
        ];
        if let Some((what, count)) = counts.into_iter().find(|(_, count)| *count > REPORT_LIST_MAX) {
            return invalid(format!("a report can have at most {REPORT_LIST_MAX} {what}, this one has {count}"));
        }
        let mut seen = HashSet::new();
        for query in &self.queries {
            validate_name("query", &query.name)?;
            if query.sql.len() > SQL_BYTES_MAX {
                return invalid(format!("query \"{}\" is too long", query.name));
            }
            if !seen.insert(query.name.as_str()) {
                return invalid(format!("query \"{}\" specified more than once", query.name));
            }
        }
        let mut seen = HashSet::new();
        for parameter in &self.parameters {
            validate_name("parameter", &parameter.name)?;
            if !seen.insert(parameter.name.as_str()) {
                return invalid(format!("parameter \"{}\" specified more than once", parameter.name));
            }
        }
        let mut seen = HashSet::new();
        if let Some(output) = self.outputs.iter().find(|output| !seen.insert(output.location.as_str())) {
            return invalid(format!("output \"{}\" specified more than once", output.location));
        }
        let texts = (self.title.iter())
            .chain(&self.comment)
            .chain(self.outputs.iter().map(|output| &output.location))
            .chain(self.email.iter().flat_map(|email| email.to.iter().chain(&email.subject)));
        match texts.into_iter().find(|text| text.len() > TEXT_BYTES_MAX) {
            Some(text) => invalid(format!("a text of the report has {} bytes of at most {TEXT_BYTES_MAX}", text.len())),
            None => Ok(()),
        }
    }

    fn encode(&self) -> Result<String> {
        crawler_record::encode(Self::KIND, self)
    }

    fn decode(text: &str) -> Result<Self> {
        crawler_record::decode(Self::KIND, text)
    }

    fn objects(snapshot: &Snapshot) -> &Objects<Self> {
        &snapshot.reports
    }

    fn objects_mut(snapshot: &mut Snapshot) -> &mut Objects<Self> {
        &mut snapshot.reports
    }
}
