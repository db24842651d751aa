//! Log files that are told by their lines: web servers', load balancers', networks' and systems'. Each becomes a table with
//! the column names of its documentation (of AWS's own table definitions, where AWS writes the log).
//!
//! A log is claimed only if all of a sample's lines fit, but for a small share ([`FITTING_PERCENT_MIN`]): a line may be cut
//! off or come from a restart. Those are rows of NULLs afterwards, as the pattern's table reads them.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use limnos_catalog::{Column, FileFormat};
use regex::Regex;

use super::sniff::{Head, Known};

/// Of a hundred lines, how many must fit.
pub(super) const FITTING_PERCENT_MIN: usize = 95;

/// Lines of a file's beginning that are looked at.
pub(super) const LINES_MAX: usize = 1000;

const REGEX_SERDE: &str = "org.apache.hadoop.hive.serde2.RegexSerDe";
const LAZY_SERDE: &str = "org.apache.hadoop.hive.serde2.lazy.LazySimpleSerDe";

/// A log whose lines a pattern takes apart.
struct LineLog {
    classification: &'static str,
    /// For the whole line; a group for each column.
    regex: &'static str,
    /// `name type`, separated by commas.
    columns: &'static str,
    /// The strftime pattern of a column.
    format: Option<(&'static str, &'static str)>,
}

const HTTP_TIME: Option<(&str, &str)> = Some(("request_received_time", "%d/%b/%Y:%H:%M:%S %z"));

/// In the order in which they are tried: what says more of a line comes first.
const LINE_LOGS: [LineLog; 9] = [
    LineLog {
        classification: "alb",
        regex: r#"(https?|h2|grpcs|wss?) ([^ ]*) ([^ ]*) ([^ ]*):([0-9]*) ([^ ]*)[:-]([0-9]*) ([-.0-9]*) ([-.0-9]*) ([-.0-9]*) (|[-0-9]*) (-|[-0-9]*) ([-0-9]*) ([-0-9]*) "([^ ]*) (.*) (- |[^ ]*)" "([^"]*)" ([A-Za-z0-9_-]+) ([A-Za-z0-9.-]*) ([^ ]*) "([^"]*)" "([^"]*)" "([^"]*)" ([-.0-9]*) ([^ ]*) "([^"]*)" "([^"]*)" "([^ ]*)" "([^\s]+?)" "([^\s]+)" "([^ ]*)" "([^ ]*)"(?: ([^ ]*))?(?: .*)?"#,
        columns: "type string, time timestamp with time zone, elb string, client_ip string, client_port int, \
                  target_ip string, target_port int, request_processing_time double, target_processing_time double, \
                  response_processing_time double, elb_status_code int, target_status_code string, received_bytes bigint, \
                  sent_bytes bigint, request_verb string, request_url string, request_proto string, user_agent string, \
                  ssl_cipher string, ssl_protocol string, target_group_arn string, trace_id string, domain_name string, \
                  chosen_cert_arn string, matched_rule_priority string, request_creation_time timestamp with time zone, \
                  actions_executed string, redirect_url string, lambda_error_reason string, target_port_list string, \
                  target_status_code_list string, classification string, classification_reason string, conn_trace_id string",
        format: None,
    },
    LineLog {
        classification: "nlb",
        regex: r"(tls) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*):([0-9]*) ([^ ]*):([0-9]*) ([-.0-9]*) ([-.0-9]*) ([-0-9]*) ([-0-9]*) ([-0-9]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*) ([^ ]*)(?: ([^ ]*))?(?: .*)?",
        columns: "type string, version string, time timestamp, elb string, listener_id string, client_ip string, \
                  client_port int, target_ip string, target_port int, tcp_connection_time_ms double, \
                  tls_handshake_time_ms double, received_bytes bigint, sent_bytes bigint, incoming_tls_alert int, \
                  cert_arn string, certificate_serial string, tls_cipher_suite string, tls_protocol_version string, \
                  tls_named_group string, domain_name string, alpn_fe_protocol string, alpn_be_protocol string, \
                  alpn_client_preference_list string, tls_connection_creation_time timestamp",
        format: None,
    },
    LineLog {
        classification: "elb",
        regex: r#"([0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9:.]+Z) ([^ ]*) ([^ ]*):([0-9]*) ([^ ]*)[:-]([0-9]*) ([-.0-9]*) ([-.0-9]*) ([-.0-9]*) (|[-0-9]*) (-|[-0-9]*) ([-0-9]*) ([-0-9]*) "([^ ]*) ([^ ]*) (- |[^ ]*)"(?: "([^"]*)" ([A-Za-z0-9_-]+) ([A-Za-z0-9.-]*))?"#,
        columns: "timestamp timestamp with time zone, elb_name string, request_ip string, request_port int, \
                  backend_ip string, backend_port int, request_processing_time double, backend_processing_time double, \
                  client_response_time double, elb_response_code string, backend_response_code string, \
                  received_bytes bigint, sent_bytes bigint, request_verb string, url string, protocol string, \
                  user_agent string, ssl_cipher string, ssl_protocol string",
        format: None,
    },
    LineLog {
        classification: "s3_access",
        regex: r#"([^ ]+) ([^ ]+) \[([^\]]+)\] ([^ ]+) ([^ ]+) ([^ ]+) ((?:REST|WEBSITE|BATCH|SOAP|S3)\.[^ ]+) ([^ ]+) (?:"([^"]*)"|-) (-|[0-9]*) ([^ ]+) (-|[0-9]*) (-|[0-9]*) (-|[0-9]*) (-|[0-9]*) (?:"([^"]*)"|-) (?:"([^"]*)"|-) ([^ ]+)(?: ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+))?(?: ([^ ]+))?(?: ([^ ]+))?(?: ([^ ]+))?(?: .*)?"#,
        columns: "bucketowner string, bucket_name string, requestdatetime timestamp with time zone, remoteip string, \
                  requester string, requestid string, operation string, key string, request_uri string, httpstatus int, \
                  errorcode string, bytessent bigint, objectsize bigint, totaltime bigint, turnaroundtime bigint, \
                  referrer string, useragent string, versionid string, hostid string, sigv string, ciphersuite string, \
                  authtype string, endpoint string, tlsversion string, accesspointarn string, aclrequired string",
        format: Some(("requestdatetime", "%d/%b/%Y:%H:%M:%S %z")),
    },
    LineLog {
        classification: "combined_access_log",
        regex: r#"([^ ]+) ([^ ]+) ([^ ]+) \[([^\]]+)\] "((?:\\.|[^"\\])*)" ([0-9]{3}) ([0-9]+|-) "((?:\\.|[^"\\])*)" "((?:\\.|[^"\\])*)""#,
        columns: "client_ip string, client_id string, user_id string, request_received_time timestamp with time zone, \
                  client_request string, server_status int, returned_obj_size bigint, referrer string, user_agent string",
        format: HTTP_TIME,
    },
    LineLog {
        // nginx's "main" format, which its packages are configured with.
        classification: "nginx_access_log",
        regex: r#"([^ ]+) ([^ ]+) ([^ ]+) \[([^\]]+)\] "((?:\\.|[^"\\])*)" ([0-9]{3}) ([0-9]+|-) "((?:\\.|[^"\\])*)" "((?:\\.|[^"\\])*)" "((?:\\.|[^"\\])*)""#,
        columns: "client_ip string, client_id string, user_id string, request_received_time timestamp with time zone, \
                  client_request string, server_status int, returned_obj_size bigint, referrer string, user_agent string, \
                  x_forwarded_for string",
        format: HTTP_TIME,
    },
    LineLog {
        classification: "common_access_log",
        regex: r#"([^ ]+) ([^ ]+) ([^ ]+) \[([^\]]+)\] "((?:\\.|[^"\\])*)" ([0-9]{3}) ([0-9]+|-)"#,
        columns: "client_ip string, client_id string, user_id string, request_received_time timestamp with time zone, \
                  client_request string, server_status int, returned_obj_size bigint",
        format: HTTP_TIME,
    },
    LineLog {
        // RFC 5424.
        classification: "syslog_5424",
        regex: r#"<([0-9]{1,3})>([1-9][0-9]?) (-|[^ ]+T[^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) ([^ ]+) (-|(?:\[(?:"(?:\\.|[^"\\])*"|[^"\]])*\])+)(?: (.*))?"#,
        columns: "priority int, version int, timestamp timestamp with time zone, host string, program string, \
                  process_id string, message_id string, structured_data string, message string",
        format: None,
    },
    LineLog {
        // RFC 3164. The time has no year, so it stays text.
        classification: "syslog",
        regex: r"(?:<([0-9]{1,3})>)?((?:Jan|Feb|Mar|Apr|May|Jun|Jul|Aug|Sep|Oct|Nov|Dec) [ 0-3][0-9] [0-9]{2}:[0-9]{2}:[0-9]{2}) ([^ ]+) (?:([^ :\[]+)(?:\[([0-9]+)\])?: ?)?(.*)",
        columns: "priority int, timestamp string, host string, program string, process_id int, message string",
        format: None,
    },
];

static LINE_REGEXES: LazyLock<Vec<Regex>> = LazyLock::new(|| {
    let whole = |log: &LineLog| Regex::new(&format!("\\A(?:{})\\z", log.regex)).expect("a test compiles each of them");
    LINE_LOGS.iter().map(whole).collect()
});

/// The log whose lines these are.
pub(super) fn line_log(head: &Head<'_>) -> Option<Known> {
    let lines = head.lines();
    let first = lines.first()?;
    // A sample's first line may be the odd one; the second then stands for it.
    let tried = [Some(first), lines.get(1)];
    let (log, _) = LINE_LOGS.iter().zip(LINE_REGEXES.iter()).find(|(_, regex)| {
        tried.iter().flatten().any(|line| regex.is_match(line)) && are_fitting(&lines, |line| regex.is_match(line))
    })?;
    let mut properties = BTreeMap::from([("input.regex".to_owned(), log.regex.to_owned())]);
    properties.extend(log.format.map(|(column, format)| (format!("limnos.format.{column}"), format.to_owned())));
    Some(Known {
        classification: log.classification.to_owned(),
        format: FileFormat::Regex,
        serde: Some(REGEX_SERDE.to_owned()),
        columns: declared_columns(log.columns),
        properties,
        parameters: BTreeMap::new(),
    })
}

/// Whether enough of `lines` fit.
pub(super) fn are_fitting(lines: &[&str], mut fits: impl FnMut(&str) -> bool) -> bool {
    let count = lines.iter().filter(|line| fits(line)).count();
    count > 0 && count * 100 >= lines.len() * FITTING_PERCENT_MIN
}

/// Columns written as `name type, name type`; a type may have commas inside `<>`.
pub(super) fn declared_columns(text: &str) -> Vec<Column> {
    let mut depth = 0;
    let parts = text.split(|c| {
        depth += i32::from(c == '<') - i32::from(c == '>');
        c == ',' && depth == 0
    });
    let column = |part: &str| {
        let (name, data_type) = part.trim().split_once(' ').expect("a column is declared by name and type");
        Column::new(name, data_type.trim().parse().expect("a declared type is one"))
    };
    parts.map(column).collect()
}

/// The fields of VPC flow logs that aren't text. Their names are the header's, with `_` for `-`.
const VPC_TYPES: [(&str, &str); 10] = [
    ("version", "int"),
    ("srcport", "int"),
    ("dstport", "int"),
    ("protocol", "bigint"),
    ("packets", "bigint"),
    ("bytes", "bigint"),
    ("start", "bigint"),
    ("end", "bigint"),
    ("tcp-flags", "int"),
    ("traffic-path", "int"),
];

/// All other fields of VPC flow logs.
const VPC_TEXTS: [&str; 33] = [
    "account-id",
    "interface-id",
    "srcaddr",
    "dstaddr",
    "action",
    "log-status",
    "vpc-id",
    "subnet-id",
    "instance-id",
    "type",
    "pkt-srcaddr",
    "pkt-dstaddr",
    "region",
    "az-id",
    "sublocation-type",
    "sublocation-id",
    "pkt-src-aws-service",
    "pkt-dst-aws-service",
    "flow-direction",
    "ecs-cluster-arn",
    "ecs-cluster-name",
    "ecs-container-instance-arn",
    "ecs-container-instance-id",
    "ecs-container-id",
    "ecs-second-container-id",
    "ecs-service-name",
    "ecs-task-definition-arn",
    "ecs-task-arn",
    "ecs-task-id",
    "reject-reason",
    "resource-id",
    "encryption-status",
    "next-hop-type",
];

/// VPC flow logs: the first line names the fields, in whatever selection and order they were asked for.
pub(super) fn vpc_flow_log(head: &Head<'_>) -> Option<Known> {
    let lines = head.lines();
    let (header, rows) = lines.split_first()?;
    let names: Vec<&str> = header.split(' ').collect();
    let type_of = |name: &str| {
        let typed = VPC_TYPES.iter().find(|(known, _)| *known == name).map(|(_, data_type)| *data_type);
        typed.or_else(|| VPC_TEXTS.contains(&name).then_some("string"))
    };
    let is_log =
        names.len() >= 4 && names.iter().any(|name| matches!(*name, "srcaddr" | "pkt-srcaddr" | "interface-id"));
    if !is_log || !are_unlike(&names) {
        return None;
    }
    let columns = names.iter().map(|name| Some(format!("{} {}", name.replace('-', "_"), type_of(name)?)));
    let columns = columns.collect::<Option<Vec<_>>>()?.join(", ");
    if !rows.is_empty() && !are_fitting(rows, |line| line.split(' ').count() == names.len()) {
        return None;
    }
    Some(delimited("vpc_flow_log", " ", declared_columns(&columns), Some("1")))
}

/// What CloudFront's fields are called in AWS's own table, and their types.
const CLOUDFRONT: [(&str, &str); 33] = [
    ("date", "date date"),
    ("time", "time string"),
    ("x-edge-location", "location string"),
    ("sc-bytes", "bytes bigint"),
    ("c-ip", "request_ip string"),
    ("cs-method", "method string"),
    ("cs(Host)", "host string"),
    ("cs-uri-stem", "uri string"),
    ("sc-status", "status int"),
    ("cs(Referer)", "referrer string"),
    ("cs(User-Agent)", "user_agent string"),
    ("cs-uri-query", "query_string string"),
    ("cs(Cookie)", "cookie string"),
    ("x-edge-result-type", "result_type string"),
    ("x-edge-request-id", "request_id string"),
    ("x-host-header", "host_header string"),
    ("cs-protocol", "request_protocol string"),
    ("cs-bytes", "request_bytes bigint"),
    ("time-taken", "time_taken double"),
    ("x-forwarded-for", "xforwarded_for string"),
    ("ssl-protocol", "ssl_protocol string"),
    ("ssl-cipher", "ssl_cipher string"),
    ("x-edge-response-result-type", "response_result_type string"),
    ("cs-protocol-version", "http_version string"),
    ("fle-status", "fle_status string"),
    ("fle-encrypted-fields", "fle_encrypted_fields int"),
    ("c-port", "c_port int"),
    ("time-to-first-byte", "time_to_first_byte double"),
    ("x-edge-detailed-result-type", "x_edge_detailed_result_type string"),
    ("sc-content-type", "sc_content_type string"),
    ("sc-content-len", "sc_content_len bigint"),
    ("sc-range-start", "sc_range_start bigint"),
    ("sc-range-end", "sc_range_end bigint"),
];

/// The numbers of other W3C logs, as IIS writes them.
const W3C_TYPES: [(&str, &str); 8] = [
    ("date", "date"),
    ("s-port", "int"),
    ("sc-status", "int"),
    ("sc-substatus", "int"),
    ("sc-win32-status", "bigint"),
    ("sc-bytes", "bigint"),
    ("cs-bytes", "bigint"),
    ("time-taken", "bigint"),
];

/// W3C's extended log format: lines that begin with `#`, one of which names the fields. CloudFront separates cells by tabs,
/// IIS by spaces, and writes its header again whenever it starts.
pub(super) fn w3c_log(head: &Head<'_>) -> Option<Known> {
    let lines = head.lines();
    if !lines.first()?.starts_with('#') {
        return None;
    }
    let names: Vec<&str> = lines.iter().find_map(|line| line.strip_prefix("#Fields:"))?.split_whitespace().collect();
    if names.len() < 2 || !are_unlike(&names) {
        return None;
    }
    let rows: Vec<&str> = lines.iter().copied().filter(|line| !line.starts_with('#')).collect();
    let is_cloudfront = names.contains(&"x-edge-location");
    let delimiter = if is_cloudfront || rows.first().is_some_and(|row| row.contains('\t')) { "\t" } else { " " };
    if !rows.is_empty() && !are_fitting(&rows, |line| line.split(delimiter).count() == names.len()) {
        return None;
    }
    let declare = |name: &&str| match CLOUDFRONT.iter().find(|(known, _)| is_cloudfront && known == name) {
        Some((_, declared)) => (*declared).to_owned(),
        None => {
            let data_type = W3C_TYPES.iter().find(|(known, _)| known == name).map_or("string", |(_, known)| *known);
            let plain: String =
                name.chars().map(|c| if c.is_alphanumeric() { c.to_ascii_lowercase() } else { '_' }).collect();
            format!("{} {data_type}", plain.trim_matches('_'))
        }
    };
    let columns: Vec<String> = names.iter().map(declare).collect();
    let column_names: Vec<&str> = columns.iter().filter_map(|column| column.split(' ').next()).collect();
    if !are_unlike(&column_names) || column_names.contains(&"") {
        return None;
    }
    let classification = if is_cloudfront { "cloudfront" } else { "w3c_extended_log" };
    let mut known = delimited(classification, delimiter, declared_columns(&columns.join(", ")), None);
    if is_cloudfront {
        known.parameters.insert("skip.header.line.count".to_owned(), "2".to_owned());
    } else {
        known.properties.insert("limnos.comment".to_owned(), "#".to_owned());
    }
    Some(known)
}

/// Whether no two names are the same.
fn are_unlike(names: &[&str]) -> bool {
    let mut seen = std::collections::HashSet::new();
    names.iter().all(|name| seen.insert(name.to_lowercase()))
}

/// A log of cells where a hyphen stands for "nothing".
fn delimited(classification: &str, delimiter: &str, columns: Vec<Column>, header_rows: Option<&str>) -> Known {
    let delimiter = if delimiter == "\t" { "\\t" } else { delimiter };
    let properties = [("field.delim", delimiter), ("serialization.null.format", "-")];
    Known {
        classification: classification.to_owned(),
        format: FileFormat::Csv,
        serde: Some(LAZY_SERDE.to_owned()),
        columns,
        properties: properties.map(|(name, value)| (name.to_owned(), value.to_owned())).into(),
        parameters: header_rows
            .map(|count| ("skip.header.line.count".to_owned(), count.to_owned()))
            .into_iter()
            .collect(),
    }
}

/// AWS's own columns for CloudTrail: what differs from event to event is JSON text.
const CLOUDTRAIL_COLUMNS: &str = "eventversion string, \
    useridentity struct<type:string,principalid:string,arn:string,accountid:string,invokedby:string,accesskeyid:string,\
    username:string,sessioncontext:struct<attributes:struct<mfaauthenticated:string,creationdate:string>,\
    sessionissuer:struct<type:string,principalid:string,arn:string,accountid:string,username:string>,\
    ec2roledelivery:string,webidfederationdata:struct<federatedprovider:string,attributes:map<string,string>>>>, \
    eventtime timestamp with time zone, eventsource string, eventname string, awsregion string, sourceipaddress string, \
    useragent string, errorcode string, errormessage string, requestparameters string, responseelements string, \
    additionaleventdata string, requestid string, eventid string, \
    resources array<struct<arn:string,accountid:string,type:string>>, eventtype string, apiversion string, \
    readonly string, recipientaccountid string, serviceeventdetails string, sharedeventid string, vpcendpointid string, \
    eventcategory string, tlsdetails struct<tlsversion:string,ciphersuite:string,clientprovidedhostheader:string>";

/// A CloudTrail document: `{"Records":[{"eventVersion":..`.
pub(super) fn cloudtrail(head: &Head<'_>) -> Option<Known> {
    let text = head.text?;
    let start = text.trim_start().strip_prefix('{')?.trim_start().strip_prefix("\"Records\"")?;
    let begin = start.get(..start.len().min(4096)).unwrap_or(start);
    if !["\"eventVersion\"", "\"eventSource\"", "\"eventName\""].iter().all(|key| start.contains(key))
        || !begin.contains("\"eventVersion\"")
    {
        return None;
    }
    Some(Known {
        classification: "cloudtrail".to_owned(),
        format: FileFormat::Json,
        serde: Some("org.apache.hive.hcatalog.data.JsonSerDe".to_owned()),
        columns: declared_columns(CLOUDTRAIL_COLUMNS),
        properties: [("limnos.json.layout", "document"), ("limnos.json.path", "Records")]
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .into(),
        parameters: BTreeMap::new(),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_pattern_has_a_group_for_each_column() {
        for (log, regex) in LINE_LOGS.iter().zip(LINE_REGEXES.iter()) {
            assert_eq!(regex.captures_len() - 1, declared_columns(log.columns).len(), "{}", log.classification);
        }
        assert_eq!(declared_columns(CLOUDTRAIL_COLUMNS).len(), 25);
    }
}
