//! CREATE and DROP CLASSIFIER.

use limnos_catalog::crawler::CsvHeader;
use limnos_catalog::{Change, ClassifierDefinition, CreateMode};

use crate::command::{CommandAnswer, CommandContext, commit, skipping};
use crate::crawl::{self, CustomClassifier};
use crate::{Error, ErrorCode, Result, Session};

pub(in crate::command) async fn create(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    definition: &ClassifierDefinition,
    mode: CreateMode,
) -> Result<CommandAnswer> {
    let answer = CommandAnswer::tag("CREATE CLASSIFIER");
    if mode == CreateMode::IfNotExists && context.snapshot.classifier(name).is_ok() {
        let notice = skipping(&format!("classifier \"{name}\" already exists"), "42710");
        return Ok(answer.with_notices(vec![notice]));
    }
    check(definition)?;
    custom_classifier(definition).check()?;
    let change = Change::CreateClassifier { name: name.to_owned(), definition: definition.clone(), mode };
    let notices = commit(context, session, vec![change]).await?;
    Ok(answer.with_notices(notices))
}

pub(in crate::command) async fn drop(
    context: &CommandContext<'_>,
    session: &mut Session,
    name: &str,
    if_exists: bool,
) -> Result<CommandAnswer> {
    let answer = CommandAnswer::tag("DROP CLASSIFIER");
    if if_exists && context.snapshot.classifier(name).is_err() {
        return Ok(answer.with_notices(vec![skipping(&format!("classifier \"{name}\" does not exist"), "00000")]));
    }
    let change = Change::DropClassifier { name: name.to_owned(), if_exists };
    let notices = commit(context, session, vec![change]).await?;
    Ok(answer.with_notices(notices))
}

/// Refuses what can be told to be wrong without a file.
fn check(definition: &ClassifierDefinition) -> Result<()> {
    let invalid = |message: String| Err(Error::new(ErrorCode::InvalidParameterValue, message));
    match definition {
        ClassifierDefinition::Grok { pattern, classification, .. } => {
            if pattern.trim().is_empty() || classification.trim().is_empty() {
                return invalid("the pattern and the classification of a classifier must not be empty".to_owned());
            }
            Ok(())
        }
        ClassifierDefinition::Csv { delimiter, quote, columns, .. } => {
            for (what, text) in [("delimiter", delimiter), ("quote", quote)] {
                let is_one = text.as_ref().is_none_or(|text| text.len() == 1 && !matches!(text.as_str(), "\n" | "\r"));
                if !is_one {
                    return invalid(format!(
                        "the {what} of a classifier must be one character of ASCII and no line end"
                    ));
                }
            }
            if delimiter.is_some() && delimiter == quote {
                return invalid("the delimiter and the quote of a classifier must differ".to_owned());
            }
            let mut seen = std::collections::HashSet::new();
            match columns.iter().find(|column| !seen.insert(column.as_str())) {
                Some(column) => {
                    let message = format!("column \"{column}\" specified more than once");
                    Err(Error::new(ErrorCode::DuplicateColumn, message))
                }
                None => Ok(()),
            }
        }
        ClassifierDefinition::Json { .. } => Ok(()),
    }
}

/// A classifier as crawls take it.
pub(super) fn custom_classifier(definition: &ClassifierDefinition) -> CustomClassifier {
    match definition {
        ClassifierDefinition::Grok { pattern, custom_patterns, classification } => CustomClassifier::Grok {
            classification: classification.clone(),
            pattern: pattern.clone(),
            custom_patterns: custom_patterns.clone().unwrap_or_default(),
        },
        ClassifierDefinition::Csv { delimiter, quote, header, columns } => {
            let character = |text: &Option<String>| text.as_ref().and_then(|text| text.chars().next());
            CustomClassifier::Csv {
                delimiter: character(delimiter).unwrap_or(','),
                quote: character(quote),
                header: match header {
                    CsvHeader::Present => crawl::CsvHeader::Present,
                    CsvHeader::Absent => crawl::CsvHeader::Absent,
                    CsvHeader::Unknown => crawl::CsvHeader::Detect,
                },
                columns: columns.clone(),
                // Who names one column means it.
                allow_single_column: columns.len() == 1,
            }
        }
        ClassifierDefinition::Json { path } => CustomClassifier::Json { path: path.clone() },
    }
}
