//! WHAT EXISTS: databases, tables, partitions and views, stored transactionally.
//!
//! The life of a change:
//! 1. A caller reads [`Catalog::snapshot`], an immutable view of everything, and decides.
//! 2. It hands a list of [`Change`]s to [`Catalog::commit`]: all of them happen, or none.
//! 3. The store writes them in one transaction ([`store`]), durable before `commit` returns.
//! 4. The next [`Snapshot`] is built from the last one and swapped in; readers of the old one keep it.
//!
//! Beside it lies what is known of data files ([`FileFacts`]), which is no part of a snapshot. Which files of a table a statement
//! sees while others write, its snapshot says ([`mod@write`]). Bookmarks ([`Bookmark`]) know what jobs have processed.
//!
//! This crate knows no query and no DataFusion, and no network but the way to a PostgreSQL that keeps the catalog. Records on
//! disk ([`record`]) are never the runtime types.

#![warn(missing_docs)]

pub mod block;
pub mod bookmark;
pub mod catalog;
pub mod change;
pub mod crawl_run;
pub mod crawler;
mod crawler_record;
pub mod data_type;
pub mod database;
pub mod dataset;
mod dataset_record;
mod draft;
mod draft_dataset;
mod draft_object;
mod draft_role;
mod draft_write;
pub mod error;
pub mod facts;
pub mod ingestion;
pub mod location;
pub mod name;
mod near;
pub mod object;
pub mod partition;
pub mod privilege;
pub mod record;
pub mod reject;
pub mod report;
pub mod report_run;
pub mod role;
mod role_record;
pub mod schedule;
mod schedule_record;
pub mod schedule_run;
pub mod snapshot;
pub mod store;
pub mod table;
pub mod transfer;
pub mod write;
mod write_record;

pub use bookmark::{Bookmark, BookmarkUpdate};
pub use catalog::{Catalog, FactsMemory, ScheduleClaim};
pub use change::{AclChange, AclObject, Change, CreateMode, DatabaseChange};
pub use crawl_run::{CrawlChange, CrawlCounts, CrawlRun, Run, RunState};
pub use crawler::{Classifier, ClassifierDefinition, Crawler, CrawlerDefinition, Schedule};
pub use data_type::{DataType, StructField};
pub use database::Database;
pub use dataset::{DatasetDefinition, DatasetSource, DatasetSpelling, Refresh};
pub use error::{Error, Result};
pub use facts::{FileFacts, FileVersion};
pub use ingestion::{Ingestion, IngestionCounts, IngestionTrigger};
pub use location::Location;
pub use name::TableName;
pub use object::{Object, Objects};
pub use partition::{Partition, PartitionList, PartitionStorage};
pub use privilege::{Acl, AclEdit, AclItem, AclKind, DefaultAcl, Privilege, Privileges};
pub use reject::{KeptReject, Reject};
pub use report::{
    Report, ReportChart, ReportDefinition, ReportEmail, ReportOutput, ReportParameter, ReportQuery, ReportValue,
};
pub use report_run::{Delivery, ReportFile, ReportRun};
pub use role::{BOOTSTRAP_ROLE, Membership, Role, RoleDefinition};
pub use schedule::{ScheduleDefinition, StatementSchedule};
pub use schedule_run::{ScheduleOutcome, ScheduleRun, ScheduleRunState, ScheduleState};
pub use snapshot::Snapshot;
pub use store::SniffedFile;
pub use table::{Column, FileFormat, StorageDescriptor, Table, TableDefinition, TableKind, TableVersion};
pub use write::{RemovedFile, Write, WriteName, WriteTarget, Writes};
