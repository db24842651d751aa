//! [`Login`]: who a session is, below what SET ROLE makes of it.

use super::Session;

/// Who logged in, and whom SET SESSION AUTHORIZATION has put in the place.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Login {
    /// Who proved to be so.
    pub user: String,
    /// `session_user`: the same, unless a superuser has said otherwise.
    pub session_user: String,
    /// The process itself: its user holds the files anyway, so nothing is asked.
    is_process: bool,
    /// `session_user` and `current_user` as they were before the transaction's block, and before SET LOCAL.
    saved: Option<Saved>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct Saved {
    block: (String, String),
    /// What COMMIT goes back to.
    local: Option<(String, String)>,
}

impl Login {
    pub(super) fn new(user: &str) -> Self {
        Self { user: user.to_owned(), session_user: user.to_owned(), is_process: false, saved: None }
    }
}

impl Session {
    /// Makes it a session of the process itself, which may do everything.
    #[must_use]
    pub fn of_process(mut self) -> Self {
        self.login.is_process = true;
        self
    }

    /// Whether nothing is asked of it: the process itself, and not what it has become by SET ROLE.
    pub(crate) fn is_process(&self) -> bool {
        self.login.is_process && self.user == self.login.user
    }

    /// Whether it was begun by the process itself.
    pub(crate) fn is_of_process(&self) -> bool {
        self.login.is_process
    }

    /// The role that a statement names, which may be `current_user` or `session_user`.
    pub(crate) fn role_named<'a>(&'a self, name: &'a str) -> &'a str {
        match name {
            "current_user" | "current_role" => &self.user,
            "session_user" => &self.login.session_user,
            name => name,
        }
    }

    /// Puts other names in place, until the end of the transaction if `local`.
    pub(crate) fn become_role(&mut self, session_user: String, user: String, local: bool) {
        if let Some(saved) = &mut self.login.saved {
            let now = (self.login.session_user.clone(), self.user.clone());
            if local {
                saved.local.get_or_insert(now);
            } else {
                saved.local = None;
            }
        } else if local {
            return;
        }
        (self.login.session_user, self.user) = (session_user, user);
    }

    /// A block begins.
    pub(crate) fn save_role(&mut self) {
        let block = (self.login.session_user.clone(), self.user.clone());
        self.login.saved.get_or_insert(Saved { block, local: None });
    }

    /// A block ends: ROLLBACK takes back what it has changed, COMMIT what it has changed locally.
    pub(crate) fn end_role(&mut self, is_commit: bool) {
        let Some(Saved { block, local }) = self.login.saved.take() else { return };
        let back = if is_commit { local } else { Some(block) };
        if let Some((session_user, user)) = back {
            (self.login.session_user, self.user) = (session_user, user);
        }
    }
}
