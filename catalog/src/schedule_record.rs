//! The frozen form of schedules, as [`crate::record`] has that of tables: a field may be added only with a default, anything else is
//! a new format.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::schedule::{CatchUp, Overlap, Retry, ScheduleDefinition, Status, When};
use crate::{Error, Result, Schedule, TableName, crawler_record};

#[derive(Serialize, Deserialize)]
struct ScheduleRecord {
    when: WhenRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start_ms: Option<i64>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end_ms: Option<i64>,
    retry: RetryRecord,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    timeout_ms: Option<i64>,
    catch_up: String,
    overlap: String,
    suspend_after: u32,
    statements: String,
    database: String,
    dialect: String,
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    settings: BTreeMap<String, String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    comment: Option<String>,
    owner: String,
    #[serde(default)]
    is_paused: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    suspended: Option<String>,
    since_ms: i64,
}

#[derive(Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
enum WhenRecord {
    Cron { cron: String, time_zone: String },
    Every { interval_ms: i64, anchor_ms: i64 },
    OnChange { database: String, table: String, minimum_interval_ms: i64 },
}

#[derive(Serialize, Deserialize)]
struct RetryRecord {
    count: u32,
    backoff_ms: i64,
    factor: u32,
    backoff_max_ms: i64,
}

pub(crate) fn encode(definition: &ScheduleDefinition) -> Result<String> {
    let definition = definition.clone();
    let when = match definition.when {
        When::Cron(Schedule { cron, time_zone }) => WhenRecord::Cron { cron, time_zone },
        When::Every { interval_ms, anchor_ms } => WhenRecord::Every { interval_ms, anchor_ms },
        When::OnChange { table, minimum_interval_ms } => {
            WhenRecord::OnChange { database: table.database, table: table.name, minimum_interval_ms }
        }
    };
    let Retry { count, backoff_ms, factor, backoff_max_ms } = definition.retry;
    let (is_paused, suspended) = match definition.status {
        Status::Active => (false, None),
        Status::Paused => (true, None),
        Status::Suspended(reason) => (false, Some(reason)),
    };
    let record = ScheduleRecord {
        when,
        start_ms: definition.start_ms,
        end_ms: definition.end_ms,
        retry: RetryRecord { count, backoff_ms, factor, backoff_max_ms },
        timeout_ms: definition.timeout_ms,
        catch_up: definition.catch_up.word().to_owned(),
        overlap: definition.overlap.word().to_owned(),
        suspend_after: definition.suspend_after,
        statements: definition.statements,
        database: definition.database,
        dialect: definition.dialect,
        settings: definition.settings,
        comment: definition.comment,
        owner: definition.owner,
        is_paused,
        suspended,
        since_ms: definition.since_ms,
    };
    crawler_record::encode("schedule", &record)
}

pub(crate) fn decode(text: &str) -> Result<ScheduleDefinition> {
    let record: ScheduleRecord = crawler_record::decode("schedule", text)?;
    let unknown = |what: &str, word: &str| Error::Invalid {
        message: format!("schedule cannot be read: {what} is \"{word}\""),
        hint: None,
    };
    let when = match record.when {
        WhenRecord::Cron { cron, time_zone } => When::Cron(Schedule { cron, time_zone }),
        WhenRecord::Every { interval_ms, anchor_ms } => When::Every { interval_ms, anchor_ms },
        WhenRecord::OnChange { database, table, minimum_interval_ms } => {
            When::OnChange { table: TableName { database, name: table }, minimum_interval_ms }
        }
    };
    let RetryRecord { count, backoff_ms, factor, backoff_max_ms } = record.retry;
    let status = match (record.suspended, record.is_paused) {
        (Some(reason), _) => Status::Suspended(reason),
        (None, true) => Status::Paused,
        (None, false) => Status::Active,
    };
    Ok(ScheduleDefinition {
        when,
        start_ms: record.start_ms,
        end_ms: record.end_ms,
        retry: Retry { count, backoff_ms, factor, backoff_max_ms },
        timeout_ms: record.timeout_ms,
        catch_up: CatchUp::parse(&record.catch_up).ok_or_else(|| unknown("catch_up", &record.catch_up))?,
        overlap: Overlap::parse(&record.overlap).ok_or_else(|| unknown("overlap", &record.overlap))?,
        suspend_after: record.suspend_after,
        statements: record.statements,
        database: record.database,
        dialect: record.dialect,
        settings: record.settings,
        comment: record.comment,
        owner: record.owner,
        status,
        since_ms: record.since_ms,
    })
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use super::*;

    /// Written by format 1. These texts may never change: they lie on users' disks.
    #[test]
    fn reads_what_format_1_wrote() {
        for text in [
            r#"{"format":1,"when":{"cron":{"cron":"0 8 * * MON-FRI","time_zone":"Asia/Seoul"}},"start_ms":1,"end_ms":2,"retry":{"count":3,"backoff_ms":60000,"factor":2,"backoff_max_ms":3600000},"timeout_ms":5000,"catch_up":"ALL","overlap":"QUEUE","suspend_after":5,"statements":"SELECT 1","database":"default","dialect":"postgres","settings":{"TimeZone":"UTC"},"comment":"c","owner":"ada","is_paused":true,"since_ms":7}"#,
            r#"{"format":1,"when":{"every":{"interval_ms":900000,"anchor_ms":4}},"retry":{"count":0,"backoff_ms":60000,"factor":2,"backoff_max_ms":3600000},"catch_up":"NONE","overlap":"SKIP","suspend_after":0,"statements":"SELECT 1","database":"d","dialect":"athena","owner":"ada","is_paused":false,"since_ms":7}"#,
            r#"{"format":1,"when":{"on_change":{"database":"d","table":"t","minimum_interval_ms":10000}},"retry":{"count":0,"backoff_ms":60000,"factor":2,"backoff_max_ms":3600000},"catch_up":"LAST","overlap":"QUEUE","suspend_after":0,"statements":"SELECT 1","database":"d","dialect":"postgres","owner":"ada","is_paused":false,"suspended":"it failed","since_ms":7}"#,
        ] {
            assert_eq!(encode(&decode(text).unwrap()).unwrap(), text);
        }
    }

    #[test]
    fn refuses_what_it_does_not_know() {
        let text = r#"{"format":1,"when":{"every":{"interval_ms":1,"anchor_ms":4}},"retry":{"count":0,"backoff_ms":1,"factor":2,"backoff_max_ms":1},"catch_up":"SOME","overlap":"SKIP","suspend_after":0,"statements":"x","database":"d","dialect":"postgres","owner":"ada","since_ms":7}"#;
        assert_eq!(decode(text).unwrap_err().to_string(), "schedule cannot be read: catch_up is \"SOME\"");
        assert!(decode(r#"{"format":2}"#).unwrap_err().to_string().contains("has format 2"));
    }
}
