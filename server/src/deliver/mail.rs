//! A letter with a report's files, by SMTP.

use std::time::Duration;

use bytes::Bytes;
use lettre::message::header::ContentType;
use lettre::message::{Attachment, Mailbox, Message, MultiPart, SinglePart};
use lettre::transport::smtp::authentication::Credentials;
use lettre::{AsyncSmtpTransport, AsyncTransport, Tokio1Executor};
use limnos_catalog::{Report, ReportEmail, ReportFile, ReportRun, RunState};

use super::{Refusal, SmtpOptions, SmtpTls};

/// How long a server may be silent.
const TIMEOUT: Duration = Duration::from_secs(30);

/// What a letter is made of.
pub(super) struct Letter<'a> {
    pub(super) report: &'a Report,
    pub(super) run: &'a ReportRun,
    pub(super) email: &'a ReportEmail,
    pub(super) files: &'a [(&'a ReportFile, Bytes)],
    /// Why some files don't go along.
    pub(super) left_out: &'a [String],
    pub(super) id: &'a str,
}

pub(super) async fn send(options: &SmtpOptions, letter: &Letter<'_>) -> Result<(), Refusal> {
    let message = letter.message(options)?;
    let refused =
        |error: &lettre::transport::smtp::Error| Refusal { again: !error.is_permanent(), reason: told(error) };
    let host = options.host.as_str();
    let builder = match options.tls {
        SmtpTls::Tls => AsyncSmtpTransport::<Tokio1Executor>::relay(host).map_err(|error| refused(&error))?,
        SmtpTls::Starttls => {
            AsyncSmtpTransport::<Tokio1Executor>::starttls_relay(host).map_err(|error| refused(&error))?
        }
        SmtpTls::None => AsyncSmtpTransport::<Tokio1Executor>::builder_dangerous(host),
    };
    let mut builder = builder.port(options.port).timeout(Some(TIMEOUT));
    if let (Some(user), Some(password)) = (&options.user, &options.password) {
        builder = builder.credentials(Credentials::new(user.clone(), password.clone()));
    }
    builder.build().send(message).await.map(|_| ()).map_err(|error| refused(&error))
}

/// An error with what it came from.
fn told(error: &lettre::transport::smtp::Error) -> String {
    let cause = std::error::Error::source(error).map(ToString::to_string).unwrap_or_default();
    let text = error.to_string();
    if cause.is_empty() || text.contains(&cause) { text } else { format!("{text}: {cause}") }
}

impl Letter<'_> {
    fn message(&self, options: &SmtpOptions) -> Result<Message, Refusal> {
        let address = |text: &str| {
            text.parse::<Mailbox>().map_err(|error| Refusal::forever(format!("\"{text}\" is not an address: {error}")))
        };
        let mut builder = Message::builder()
            .from(address(&options.from)?)
            .subject(self.subject())
            .message_id(Some(format!("<{}@limnos>", self.id)));
        for to in &self.email.to {
            builder = builder.to(address(to)?);
        }
        let text = SinglePart::plain(self.text());
        let html = (self.email.html_body)
            .then(|| self.files.iter().find(|(file, _)| file.format == "html"))
            .flatten()
            .map(|(_, bytes)| SinglePart::html(String::from_utf8_lossy(bytes).into_owned()));
        let body = match html {
            Some(html) => MultiPart::alternative().singlepart(text).singlepart(html),
            None => MultiPart::mixed().singlepart(text),
        };
        let mut mixed = MultiPart::mixed().multipart(body);
        if self.email.attach {
            for (file, bytes) in self.files {
                mixed = mixed.singlepart(attachment(file, bytes)?);
            }
        }
        builder.multipart(mixed).map_err(|error| Refusal::forever(format!("the letter cannot be written: {error}")))
    }

    fn subject(&self) -> String {
        let title = self.report.title.as_deref().unwrap_or(&self.run.report);
        let zone: chrono_tz::Tz = self.report.time_zone.parse().unwrap_or(chrono_tz::UTC);
        let at = chrono::DateTime::from_timestamp_millis(self.run.scheduled_at_ms).unwrap_or_default();
        let at = at.with_timezone(&zone);
        let subject = match &self.email.subject {
            Some(subject) => {
                let mut out = subject.clone();
                for (name, value) in &self.run.parameters {
                    out = out.replace(&format!("{{{name}}}"), value.as_deref().unwrap_or(""));
                }
                out.replace("{scheduled_date}", &at.format("%Y-%m-%d").to_string())
                    .replace("{scheduled_time}", &at.format("%Y-%m-%d %H:%M").to_string())
                    .replace("{report}", &self.run.report)
            }
            None => format!("{title}, {}", at.format("%Y-%m-%d %H:%M")),
        };
        // A head is one line, whatever a value holds.
        let subject: String = subject.chars().map(|c| if c.is_control() { ' ' } else { c }).take(250).collect();
        if self.run.state == RunState::Succeeded { subject } else { format!("FAILED: {subject}") }
    }

    fn text(&self) -> String {
        let title = self.report.title.as_deref().unwrap_or(&self.run.report);
        let at = chrono::DateTime::from_timestamp_millis(self.run.scheduled_at_ms).unwrap_or_default();
        let mut text = format!("{title}\n\nReport of {}\n", at.format("%Y-%m-%d %H:%M:%S UTC"));
        for (name, value) in &self.run.parameters {
            text += &format!("{name}: {}\n", value.as_deref().unwrap_or("NULL"));
        }
        if self.run.state == RunState::Succeeded {
            text += &format!("Rows: {}\n\nFiles:\n", self.run.row_count);
            for file in &self.run.outputs {
                text += &format!("  {} ({} bytes)\n", file.location, file.size);
            }
            for why in self.left_out {
                text += &format!("Not attached: {why}.\n");
            }
        } else {
            text += &format!("\nIt could not be made: {}\n", self.run.message.as_deref().unwrap_or("unknown"));
        }
        text += &format!("\nRun {} (see system.report_runs).\n", self.run.id);
        text
    }
}

fn attachment(file: &ReportFile, bytes: &Bytes) -> Result<SinglePart, Refusal> {
    let kind = match file.format.as_str() {
        "csv" => "text/csv; charset=utf-8",
        "tsv" => "text/tab-separated-values; charset=utf-8",
        "json" => "application/json",
        "html" => "text/html; charset=utf-8",
        "markdown" => "text/markdown; charset=utf-8",
        "xlsx" => "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet",
        _ => "application/octet-stream",
    };
    let name = file.location.rsplit('/').next().unwrap_or("report").to_owned();
    // A packed file is no text.
    let is_packed = [".gz", ".zst", ".bz2", ".xz", ".lz4", ".sz"].iter().any(|end| name.ends_with(end));
    let kind = if is_packed { "application/octet-stream" } else { kind };
    let kind = ContentType::parse(kind).map_err(|error| Refusal::forever(error.to_string()))?;
    Ok(Attachment::new(name).body(bytes.to_vec(), kind))
}
