//! Results of queries as documents that people open.
