//! Credentials -> [`Identity`].

/// Who a connection is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Identity {
    /// The role's name.
    pub user: String,
}
