//! [`Error`]: what went wrong, in PostgreSQL's words, with the code that every endpoint translates from.

pub(crate) mod translate;

use std::fmt;

pub(crate) use translate::{nearest, to_datafusion};

/// The engine's result.
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// The cause of an error. This is the one table from cause to SQLSTATE
/// (<https://www.postgresql.org/docs/15/errcodes-appendix.html>).
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum ErrorCode {
    SyntaxError,
    UndefinedTable,
    UndefinedColumn,
    UndefinedFunction,
    UndefinedObject,
    UndefinedDatabase,
    InvalidSchemaName,
    AmbiguousColumn,
    DuplicateTable,
    DuplicateSchema,
    DuplicateColumn,
    DuplicateObject,
    WrongObjectType,
    DependentObjectsStillExist,
    InvalidGrantOperation,
    ReservedName,
    DatatypeMismatch,
    /// A parameter of which nothing says what it is.
    IndeterminateDatatype,
    InvalidTableDefinition,
    InvalidColumnReference,
    GroupingError,
    FeatureNotSupported,
    InvalidParameterValue,
    CantChangeRuntimeParam,
    UndefinedParameter,
    InvalidTextRepresentation,
    InvalidBinaryRepresentation,
    /// What COPY was sent is not what its format says.
    BadCopyFileFormat,
    NumericValueOutOfRange,
    DivisionByZero,
    /// A square root or power that isn't a number.
    InvalidArgumentForPower,
    InvalidArgumentForLogarithm,
    /// A negative length of a substring.
    SubstringError,
    /// A subquery gave more rows than the one that was wanted.
    CardinalityViolation,
    InvalidRowCountInLimit,
    InvalidRowCountInOffset,
    /// A window function at a place where there is none.
    WindowingError,
    /// Two tables or WITH queries of one name.
    DuplicateAlias,
    InvalidDatetimeFormat,
    DatetimeFieldOverflow,
    /// An interval's field that is too large.
    IntervalFieldOverflow,
    /// A zone too far from Greenwich.
    InvalidTimeZoneDisplacement,
    /// A character that a text can't hold.
    UntranslatableCharacter,
    InvalidRegularExpression,
    CharacterNotInRepertoire,
    DataException,
    /// A statement that can't be planned, for a reason that has no code of its own.
    InvalidStatement,
    /// A file's bytes are not what its format says.
    DataCorrupted,
    /// A file that was there when the query was planned is gone or replaced.
    FileChanged,
    /// An object is there and not in the state that the statement needs.
    ObjectNotInPrerequisiteState,
    /// A file or prefix does not exist.
    UndefinedFile,
    /// The operating system or the object store refused access.
    InsufficientPrivilege,
    /// Outside the configured roots.
    LocationNotAllowed,
    IoError,
    DiskFull,
    OutOfMemory,
    TooManyConnections,
    ConfigurationLimitExceeded,
    StatementTooComplex,
    ProgramLimitExceeded,
    QueryCanceled,
    AdminShutdown,
    InFailedTransaction,
    /// Something runs, or is used, that the statement needs for itself.
    ObjectInUse,
    ActiveTransaction,
    NoActiveTransaction,
    ReadOnlyTransaction,
    InvalidSavepoint,
    InvalidCursorName,
    /// A cursor that is declared to be two things at once.
    InvalidCursorDefinition,
    InvalidPreparedStatement,
    InvalidPassword,
    InvalidAuthorization,
    ProtocolViolation,
    SerializationFailure,
    /// A defect of ours. Clients see the query id, not the text.
    Internal,
}

impl ErrorCode {
    /// The five-character code that PostgreSQL clients test.
    pub const fn sqlstate(self) -> &'static str {
        match self {
            Self::SyntaxError => "42601",
            Self::UndefinedTable => "42P01",
            Self::UndefinedColumn => "42703",
            Self::UndefinedFunction => "42883",
            Self::UndefinedObject | Self::UndefinedParameter => "42704",
            Self::UndefinedDatabase => "3D000",
            Self::InvalidSchemaName => "3F000",
            Self::AmbiguousColumn => "42702",
            Self::DuplicateTable => "42P07",
            Self::DuplicateSchema => "42P06",
            Self::DuplicateColumn => "42701",
            Self::DuplicateObject => "42710",
            Self::WrongObjectType => "42809",
            Self::DependentObjectsStillExist => "2BP01",
            Self::InvalidGrantOperation => "0LP01",
            Self::ReservedName => "42939",
            Self::DatatypeMismatch => "42804",
            Self::IndeterminateDatatype => "42P18",
            Self::InvalidTableDefinition => "42P16",
            Self::InvalidColumnReference => "42P10",
            Self::GroupingError => "42803",
            Self::FeatureNotSupported => "0A000",
            Self::InvalidParameterValue => "22023",
            Self::CantChangeRuntimeParam => "55P02",
            Self::InvalidTextRepresentation => "22P02",
            Self::InvalidBinaryRepresentation => "22P03",
            Self::BadCopyFileFormat => "22P04",
            Self::NumericValueOutOfRange => "22003",
            Self::DivisionByZero => "22012",
            Self::InvalidArgumentForPower => "2201F",
            Self::InvalidArgumentForLogarithm => "2201E",
            Self::SubstringError => "22011",
            Self::CardinalityViolation => "21000",
            Self::InvalidRowCountInLimit => "2201W",
            Self::InvalidRowCountInOffset => "2201X",
            Self::WindowingError => "42P20",
            Self::DuplicateAlias => "42712",
            Self::InvalidDatetimeFormat => "22007",
            Self::DatetimeFieldOverflow => "22008",
            Self::IntervalFieldOverflow => "22015",
            Self::InvalidTimeZoneDisplacement => "22009",
            Self::UntranslatableCharacter => "22P05",
            Self::InvalidRegularExpression => "2201B",
            Self::CharacterNotInRepertoire => "22021",
            Self::DataException => "22000",
            Self::InvalidStatement => "42000",
            Self::DataCorrupted => "XX001",
            Self::FileChanged | Self::ObjectNotInPrerequisiteState => "55000",
            Self::ObjectInUse => "55006",
            Self::UndefinedFile => "58P01",
            Self::InsufficientPrivilege | Self::LocationNotAllowed => "42501",
            Self::IoError => "58030",
            Self::DiskFull => "53100",
            Self::OutOfMemory => "53200",
            Self::TooManyConnections => "53300",
            Self::ConfigurationLimitExceeded => "53400",
            Self::StatementTooComplex => "54001",
            Self::ProgramLimitExceeded => "54000",
            Self::QueryCanceled => "57014",
            Self::AdminShutdown => "57P01",
            Self::InFailedTransaction => "25P02",
            Self::ActiveTransaction => "25001",
            Self::NoActiveTransaction => "25P01",
            Self::ReadOnlyTransaction => "25006",
            Self::InvalidSavepoint => "3B001",
            Self::InvalidCursorName => "34000",
            Self::InvalidCursorDefinition => "42P11",
            Self::InvalidPreparedStatement => "26000",
            Self::InvalidPassword => "28P01",
            Self::InvalidAuthorization => "28000",
            Self::ProtocolViolation => "08P01",
            Self::SerializationFailure => "40001",
            Self::Internal => "XX000",
        }
    }
}

/// An error as a user reads it: a primary message (lower case, no full stop), and detail and hint as sentences.
#[derive(Debug, Clone)]
pub struct Error {
    /// The cause.
    pub code: ErrorCode,
    /// `table "sales.ordrs" does not exist`
    pub message: String,
    /// More facts, a full sentence.
    pub detail: Option<String>,
    /// What to do, a full sentence.
    pub hint: Option<String>,
    /// 1-based character position in the statement's text.
    pub position: Option<usize>,
}

impl Error {
    /// An error with nothing but its message.
    pub fn new(code: ErrorCode, message: impl Into<String>) -> Self {
        Self { code, message: message.into(), detail: None, hint: None, position: None }
    }

    /// Adds a detail sentence.
    #[must_use]
    pub fn with_detail(mut self, detail: impl Into<String>) -> Self {
        self.detail = Some(detail.into());
        self
    }

    /// Adds a hint sentence.
    #[must_use]
    pub fn with_hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Says where in the text.
    #[must_use]
    pub fn at(mut self, position: usize) -> Self {
        self.position = Some(position);
        self
    }

    /// A syntax error.
    pub fn syntax(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::SyntaxError, message)
    }

    /// Something valid that isn't built.
    pub fn unsupported(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::FeatureNotSupported, message)
    }

    /// A defect of ours.
    pub fn internal(message: impl Into<String>) -> Self {
        Self::new(ErrorCode::Internal, message)
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.message)
    }
}

impl std::error::Error for Error {}

impl From<limnos_catalog::Error> for Error {
    fn from(error: limnos_catalog::Error) -> Self {
        use limnos_catalog::Error as Catalog;
        let code = match &error {
            Catalog::NotFound { kind: "database", .. } => ErrorCode::InvalidSchemaName,
            Catalog::NotFound { kind: "table" | "view" | "dataset" | "materialized view", .. } => {
                ErrorCode::UndefinedTable
            }
            Catalog::NotFound { .. } => ErrorCode::UndefinedObject,
            Catalog::AlreadyExists { kind: "database", .. } => ErrorCode::DuplicateSchema,
            Catalog::AlreadyExists { kind: "table" | "view" | "dataset" | "materialized view", .. } => {
                ErrorCode::DuplicateTable
            }
            Catalog::AlreadyExists { .. } => ErrorCode::DuplicateObject,
            Catalog::WrongKind { .. } => ErrorCode::WrongObjectType,
            Catalog::NotEmpty { .. } => ErrorCode::DependentObjectsStillExist,
            Catalog::Invalid { .. } => ErrorCode::InvalidTableDefinition,
            Catalog::Conflict { .. } | Catalog::WriteEnded { .. } => ErrorCode::SerializationFailure,
            Catalog::InUse { .. } | Catalog::Dependents { .. } => ErrorCode::DependentObjectsStillExist,
            Catalog::Loop { .. } => ErrorCode::InvalidGrantOperation,
            Catalog::Reserved { .. } => ErrorCode::ReservedName,
            Catalog::Unusable { .. } => ErrorCode::DataCorrupted,
            _ => ErrorCode::IoError,
        };
        let mut new = Self::new(code, error.to_string());
        new.hint = error.hint().map(str::to_owned);
        if let Catalog::Dependents { detail, .. } | Catalog::Reserved { detail, .. } = &error {
            new.detail.clone_from(detail);
        }
        if let Catalog::NotEmpty { table_count, .. } = &error {
            new.detail = Some(format!("It holds {table_count} tables and views."));
            new.hint = Some("Use DROP ... CASCADE to drop them too.".to_owned());
        }
        new
    }
}

/// Something a client is told beside the answer (PostgreSQL's NoticeResponse).
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// `NOTICE`, `WARNING` or `INFO`.
    pub severity: &'static str,
    /// SQLSTATE; `00000` where nothing fits better.
    pub sqlstate: &'static str,
    pub message: String,
}

impl Notice {
    /// A plain NOTICE.
    #[allow(clippy::self_named_constructors, reason = "NOTICE is PostgreSQL's word for the severity")]
    pub fn notice(message: impl Into<String>) -> Self {
        Self { severity: "NOTICE", sqlstate: "00000", message: message.into() }
    }

    /// A WARNING.
    pub fn warning(message: impl Into<String>) -> Self {
        Self { severity: "WARNING", sqlstate: "01000", message: message.into() }
    }
}
