//! [`Object`]: whatever has a name and a definition and is neither database nor table. Each kind has names of its own.

use std::collections::BTreeMap;
use std::ops::Deref;
use std::sync::Arc;

use crate::{Result, Snapshot};

/// An object as it is in one [`Snapshot`].
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Object<D> {
    /// Never reused.
    pub id: i64,
    /// Lower case.
    pub name: String,
    /// Counts changes of the definition, from 1.
    pub version: i64,
    /// Milliseconds since 1970, UTC.
    pub created_at_ms: i64,
    /// Milliseconds since 1970, UTC.
    pub updated_at_ms: i64,
    /// What the user said.
    pub definition: D,
}

impl<D> Deref for Object<D> {
    type Target = D;

    fn deref(&self) -> &D {
        &self.definition
    }
}

/// Objects of one kind, by name.
pub type Objects<D> = BTreeMap<String, Arc<Object<D>>>;

/// What a kind of objects must be able to do to be kept.
pub(crate) trait Definition: Sized + Clone {
    /// The kind in the store and in messages: `crawler`.
    const KIND: &'static str;

    /// Checks that there can be such an object.
    fn validate(&self) -> Result<()>;

    /// The frozen form.
    fn encode(&self) -> Result<String>;

    /// From the frozen form.
    fn decode(text: &str) -> Result<Self>;

    /// Where a snapshot has them.
    fn objects(snapshot: &Snapshot) -> &Objects<Self>;

    /// Where a snapshot in the making has them.
    fn objects_mut(snapshot: &mut Snapshot) -> &mut Objects<Self>;
}
