//! The ends of transaction blocks, and the blocks that nobody begins: several statements that come together are one
//! transaction, as in PostgreSQL.

use std::sync::Arc;

use crate::cache::NamedCache;
use crate::command::setting::end_block;
use crate::execute::QueryContext;
use crate::parse::TransactionModes;
use crate::session::Settings;
use crate::{Engine, Outcome, Prepared, Result, Session};

impl Engine {
    /// COMMIT. However it ends, the block has ended then.
    pub(crate) async fn commit(
        self: &Arc<Self>,
        session: &mut Session,
        prepared: &Prepared,
        context: QueryContext,
    ) -> Result<Outcome> {
        if let Err(error) = self.commit_changes(session).await {
            session.abandon_block();
            return Err(error);
        }
        self.execute_command(session, prepared, context).await
    }

    /// Opens a block for several statements that come together, unless the session has one.
    pub fn begin_implicit(&self, session: &mut Session) {
        if session.block.is_none() {
            session.settings.begin_transaction(&TransactionModes::default());
            session.open_block(&self.catalog().snapshot(), true);
        }
    }

    /// Commits such a block, if that is what the session has.
    ///
    /// # Errors
    /// As COMMIT. The block has ended then.
    pub async fn commit_implicit(&self, session: &mut Session) -> Result<()> {
        if !session.is_in_implicit_block() {
            return Ok(());
        }
        if let Err(error) = self.commit_changes(session).await {
            session.abandon_block();
            return Err(error);
        }
        end_block(&self.catalog().snapshot(), session, Settings::commit);
        Ok(())
    }

    async fn commit_changes(&self, session: &mut Session) -> Result<()> {
        let Some(block) = session.block.as_mut().filter(|block| block.has_changes()) else { return Ok(()) };
        block.clone().commit(self.catalog()).await?;
        // Whatever becomes of the rest of the statement, they are not committed twice.
        block.clear();
        self.shared.scan.listings.clear();
        self.shared.sweeper.wake();
        Ok(())
    }
}
