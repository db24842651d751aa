//! CREATE and DROP CLASSIFIER.

use limnos_catalog::{Change, ClassifierDefinition, CreateMode};

use crate::command::{CommandAnswer, CommandContext, commit, skipping};
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
        ClassifierDefinition::Json { path } => {
            if path == "$" || path.starts_with("$.") || path.starts_with("$[") {
                return Ok(());
            }
            let message = format!("invalid JSON path \"{path}\"");
            Err(Error::new(ErrorCode::InvalidParameterValue, message)
                .with_hint("A path begins with $, such as '$.Records[*]'."))
        }
    }
}
