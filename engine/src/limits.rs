//! The limits that hold for every statement, with the reason for each.

/// Longest SQL text. Longer ones are refused with `54001` before they are tokenized: parse trees take some fifty times
/// the text's size.
pub const SQL_BYTES_MAX: usize = 1 << 20;

/// Deepest nesting of one expression or query. DataFusion walks trees recursively.
pub const SQL_DEPTH_MAX: usize = 500;

/// Longest chain of one binary operator or set operation (`1+1+...`, `a OR b OR ...`). The parser builds such chains as
/// deep as they are long, and its own recursion limit doesn't see them; unbounded ones overflow the stack, which no
/// `catch_unwind` catches.
pub const SQL_CHAIN_MAX: usize = 2000;

/// What an operator counts in such a chain that isn't AND or OR: `1+1+...` may have 500. DataFusion names
/// every sum after all that is in it, wherever it asks for a type, so planning one takes the cube of its length: under a
/// second for 500 and half a minute for 2,000, in a debug build.
pub const SQL_OPERATOR_WEIGHT: usize = 4;

/// What a set operation counts: a thousand branches of EXCEPT are planned in seconds, two thousand in half a minute.
pub const SQL_SET_WEIGHT: usize = 2;

/// Stack of the threads that parse, plan and execute. Bounds the two limits above from below: 500 levels of
/// DataFusion's planner in a debug build must fit; tests plan texts just within the limits on such a thread.
pub const WORKER_STACK_BYTES: usize = 64 << 20;

/// Most columns that a crawl infers; RowDescription counts columns in an int16, PostgreSQL allows 1,600 in a table.
pub const INFERRED_COLUMNS_MAX: usize = 4096;

/// Deepest nesting of an inferred JSON type.
pub const INFERRED_DEPTH_MAX: usize = 64;

/// Deepest nesting of a value's type. PostgreSQL's arrays have 6 dimensions; lakes hold deeper rows, stacks don't.
pub const TYPE_DEPTH_MAX: usize = 100;

/// Deepest nesting of queries inside expressions (`(SELECT ...)`, `EXISTS`, `IN`). The optimizer's work doubles with each.
pub const SUBQUERY_DEPTH_MAX: usize = 12;

/// Most nodes of a plan. A CTE that is named twice is planned twice, so 40 short lines can ask for 2^40 nodes; the longest
/// chain of UNIONs has under 10,000.
pub const PLAN_NODES_MAX: usize = 20_000;

/// Most statements of one transaction block that change something. Each keeps its changes in memory and, where it writes, a
/// file in a folder; psycopg's `executemany` sends one for each row.
pub const BLOCK_STATEMENTS_MAX: usize = 10_000;

/// Most partitions that the changes of one transaction block name, some 200 bytes each.
pub const BLOCK_PARTITIONS_MAX: usize = 1_000_000;

/// Most savepoints of one transaction block: drivers that set one before each statement (pgJDBC's `autosave`) don't all
/// release them.
pub const BLOCK_SAVEPOINTS_MAX: usize = 10_000;

/// Most files that one transaction block holds on to, some 200 bytes each: those of the tables that it has read.
pub const BLOCK_FILES_MAX: usize = 500_000;

/// Most bytes of plans that are kept for those who ask the same again, all sessions together: some thousands of them.
pub const KEPT_PLANS_BYTES_MAX: usize = 32 << 20;

/// Longest text whose parse and plan are kept. Longer ones are rarely sent twice.
pub const KEPT_TEXT_BYTES_MAX: usize = 8 << 10;

/// Most texts whose parse is kept, some fifty times the text's size each.
pub const KEPT_TEXTS_MAX: usize = 256;

/// Largest constant answer that is kept with its plan.
pub const KEPT_CONSTANT_BYTES_MAX: usize = 64 << 10;
