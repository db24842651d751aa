//! COMMENT ON.

use limnos_catalog::{Change, DatabaseChange, TableKind};

use super::{CommandAnswer, CommandContext, alter, commit, dataset, resolve_database_name, resolve_table_name};
use crate::parse::statement::CommentTarget;
use crate::{Result, Session};

pub(super) async fn comment(
    context: &CommandContext<'_>,
    session: &mut Session,
    target: &CommentTarget,
    text: Option<&str>,
) -> Result<CommandAnswer> {
    let text = text.map(str::to_owned);
    let notices = match target {
        CommentTarget::Database(name) => {
            let name = resolve_database_name(session, name);
            let change = DatabaseChange::Comment(text);
            commit(context, session, vec![Change::AlterDatabase { name, change }]).await?
        }
        CommentTarget::Table { view, name } => {
            let name = resolve_table_name(session, name);
            if !*view && context.snapshot.table(&name)?.kind.dataset().is_some() {
                let notices = dataset::change(context, session, &name, |_, definition| {
                    definition.comment.clone_from(&text);
                    Ok(())
                });
                return Ok(CommandAnswer::tag("COMMENT").with_notices(notices.await?));
            }
            alter::change(context, session, &name, *view, |alteration| {
                alteration.definition.comment.clone_from(&text);
                Ok(())
            })
            .await?
        }
        CommentTarget::Column { table, column } => {
            let name = resolve_table_name(session, table);
            let kind = &context.snapshot.table(&name)?.kind;
            if kind.dataset().is_some() {
                let notices = dataset::change(context, session, &name, |_, definition| {
                    match definition.columns.iter_mut().find(|other| other.name == *column) {
                        Some(found) => found.comment.clone_from(&text),
                        None => return Err(dataset::no_column(&name, column)),
                    }
                    Ok(())
                });
                return Ok(CommandAnswer::tag("COMMENT").with_notices(notices.await?));
            }
            let view = matches!(kind, TableKind::View { .. });
            alter::change(context, session, &name, view, |alteration| {
                let definition = &mut alteration.definition;
                let mut columns = definition.columns.iter_mut().chain(&mut definition.partition_keys);
                match columns.find(|other| other.name == *column) {
                    Some(found) => found.comment.clone_from(&text),
                    None => return Err(alteration.no_column(column)),
                }
                Ok(())
            })
            .await?
        }
    };
    Ok(CommandAnswer::tag("COMMENT").with_notices(notices))
}
