//! [`Fault`]: what a decoder of ORC or Avro meets, which doesn't know the file's name.

use std::borrow::Cow;

use super::input::corrupted;
use crate::{Error, ErrorCode};

/// See the module.
#[derive(Debug)]
pub(super) enum Fault {
    /// Completes "the file is corrupt because".
    Corrupt(Cow<'static, str>),
    /// A text that isn't UTF-8.
    Encoding,
    /// More than is read.
    Limit(String),
    /// What the format allows and we don't read.
    Unsupported(String),
}

pub(super) type Decoded<T> = Result<T, Fault>;

impl Fault {
    pub(super) fn corrupt(reason: impl Into<Cow<'static, str>>) -> Self {
        Self::Corrupt(reason.into())
    }

    /// The same as an error about the file `name`.
    pub(super) fn error(self, name: &str) -> Error {
        match self {
            Self::Corrupt(reason) => corrupted(name, &reason),
            Self::Encoding => {
                Error::new(ErrorCode::CharacterNotInRepertoire, "invalid byte sequence for encoding \"UTF8\"")
                    .with_detail(format!("File \"{name}\" has a text that is not UTF-8."))
            }
            Self::Limit(reason) => {
                Error::new(ErrorCode::ProgramLimitExceeded, format!("file \"{name}\" cannot be read"))
                    .with_detail(reason)
            }
            Self::Unsupported(reason) => {
                Error::unsupported(format!("file \"{name}\" cannot be read")).with_detail(reason)
            }
        }
    }
}
