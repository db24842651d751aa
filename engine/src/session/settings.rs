//! [`Settings`]: what SET may set. An allow-list: a name not here can't be set.

/// The settings of one session.
#[derive(Debug, Clone, Default)]
pub struct Settings {}
