//! A stripe's streams: its footer says where they lie; those of the wanted columns are fetched, near ones together.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use chrono_tz::Tz;
use object_store::{ObjectMeta, ObjectStore, coalesce_ranges};

use super::protobuf::{Fields, Value};
use super::stream::{ByteStream, Compression};
use super::tail::{StripeInfo, Tail};
use super::{Decoded, Fault};
use crate::scan::format::input::read_range;
use crate::{Error, Result};

/// Stripes up to this size are read whole, in one request.
const SMALL_STRIPE_BYTES: u64 = 256 << 10;

/// Streams closer than this are read in one request.
const GAP_BYTES: u64 = 256 << 10;

/// Most that is held of one stripe, packed. Writers make stripes of 64 to 256 MB.
const STRIPE_BYTES_MAX: u64 = 1 << 30;

/// The footer of a stripe unpacks to at most this.
const FOOTER_BYTES_MAX: usize = 64 << 20;

/// What a stream is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) enum Purpose {
    /// Which rows have a value.
    Present,
    Data,
    Length,
    Dictionary,
    /// Of decimals the scale, of timestamps the nanoseconds.
    Secondary,
}

/// How a column's values are written.
#[derive(Debug, Clone, Copy)]
pub(super) struct Encoding {
    pub(super) has_dictionary: bool,
    /// Whether whole numbers are in the newer of the two encodings.
    pub(super) is_newer: bool,
    pub(super) dictionary_size: u64,
}

/// What was fetched of a stripe.
#[derive(Debug)]
pub(super) struct Streams {
    streams: HashMap<(usize, Purpose), Bytes>,
    encodings: Vec<Encoding>,
    /// The time zone that its wall clocks were in.
    pub(super) zone: Option<Zone>,
    compression: Option<Compression>,
}

impl Streams {
    /// Takes a stream out; one that has no bytes need not be there.
    pub(super) fn stream(&mut self, column: usize, purpose: Purpose) -> ByteStream {
        ByteStream::new(self.streams.remove(&(column, purpose)).unwrap_or_default(), self.compression)
    }

    pub(super) fn has(&self, column: usize, purpose: Purpose) -> bool {
        self.streams.contains_key(&(column, purpose))
    }

    pub(super) fn encoding(&self, column: usize) -> Decoded<Encoding> {
        self.encodings.get(column).copied().ok_or_else(|| Fault::corrupt("a column has no encoding"))
    }
}

/// A stripe's footer.
#[derive(Debug, Default)]
struct Footer {
    /// The wanted streams and where they lie in the file.
    streams: Vec<((usize, Purpose), Range<u64>)>,
    encodings: Vec<Encoding>,
    zone: Option<Zone>,
}

/// Fetches what `stripe` has of the columns numbered `wanted` (ascending). `count` is told how many bytes that are.
pub(super) async fn fetch(
    store: &Arc<dyn ObjectStore>,
    object: &ObjectMeta,
    name: &str,
    tail: &Tail,
    stripe: &StripeInfo,
    wanted: &[usize],
    count: &(dyn Fn(usize) + Send + Sync),
) -> Result<Streams> {
    let footer_start = stripe.offset + stripe.data_bytes;
    let end = footer_start + stripe.footer_bytes;
    let is_small = end - stripe.offset <= SMALL_STRIPE_BYTES;
    let start = if is_small { stripe.offset } else { footer_start };
    let bytes = match &tail.whole {
        Some(whole) => whole.slice(start as usize..end as usize),
        None => {
            let bytes = read_range(store, object, name, start..end).await?;
            count(bytes.len());
            bytes
        }
    };
    let footer = bytes.slice((footer_start - start) as usize..);
    let footer = Footer::parse(footer, tail.compression, stripe, wanted).map_err(|fault| fault.error(name))?;
    let ranges: Vec<Range<u64>> = footer.streams.iter().map(|(_, range)| range.clone()).collect();
    let total: u64 = ranges.iter().map(|range| range.end - range.start).sum();
    if total > STRIPE_BYTES_MAX {
        let limit = format!("A stripe has {total} bytes of the wanted columns; at most {STRIPE_BYTES_MAX} are read.");
        return Err(Fault::Limit(limit).error(name));
    }
    let parts = if is_small {
        let at = |offset: u64| (offset - start) as usize;
        ranges.iter().map(|range| bytes.slice(at(range.start)..at(range.end))).collect()
    } else {
        let fetch = |range: Range<u64>| async {
            let bytes = read_range(store, object, name, range).await?;
            count(bytes.len());
            Ok::<_, Error>(bytes)
        };
        coalesce_ranges(&ranges, fetch, GAP_BYTES).await?
    };
    let streams = footer.streams.into_iter().map(|(key, _)| key).zip(parts).collect();
    let Footer { encodings, zone, .. } = footer;
    Ok(Streams { streams, encodings, zone, compression: tail.compression })
}

impl Footer {
    fn parse(packed: Bytes, compression: Option<Compression>, stripe: &StripeInfo, wanted: &[usize]) -> Decoded<Self> {
        let bytes = ByteStream::new(packed, compression).rest(FOOTER_BYTES_MAX)?;
        let mut footer = Self::default();
        let end = stripe.offset + stripe.data_bytes;
        let mut at = stripe.offset;
        for field in Fields::new(&bytes) {
            match field? {
                (1, value) => {
                    let (key, length) = stream(value)?;
                    let start = at;
                    at = at
                        .checked_add(length)
                        .filter(|at| *at <= end)
                        .ok_or_else(|| Fault::corrupt("a stream lies outside its stripe"))?;
                    if let Some(key) = key
                        && wanted.binary_search(&key.0).is_ok()
                    {
                        footer.streams.push((key, start..at));
                    }
                }
                (2, value) => footer.encodings.push(encoding(value)?),
                (3, value) => footer.zone = zone(value.text()?)?,
                _ => {}
            }
        }
        Ok(footer)
    }
}

/// Which stream a message is about, if it is one of those with values, and its length.
fn stream(message: Value<'_>) -> Decoded<(Option<(usize, Purpose)>, u64)> {
    let (mut kind, mut column, mut length) = (0, 0, 0);
    for field in message.fields()? {
        match field? {
            (1, value) => kind = value.number()?,
            (2, value) => column = value.number()?,
            (3, value) => length = value.number()?,
            _ => {}
        }
    }
    let purpose = match kind {
        0 => Purpose::Present,
        1 => Purpose::Data,
        2 => Purpose::Length,
        3 => Purpose::Dictionary,
        5 => Purpose::Secondary,
        // Indexes and Bloom filters.
        _ => return Ok((None, length)),
    };
    let column = usize::try_from(column).map_err(|_| Fault::corrupt("a stream is of no column"))?;
    Ok((Some((column, purpose)), length))
}

fn encoding(message: Value<'_>) -> Decoded<Encoding> {
    let (mut kind, mut dictionary_size) = (0, 0);
    for field in message.fields()? {
        match field? {
            (1, value) => kind = value.number()?,
            (2, value) => dictionary_size = value.number()?,
            _ => {}
        }
    }
    match kind {
        0..=3 => Ok(Encoding { has_dictionary: kind & 1 == 1, is_newer: kind >= 2, dictionary_size }),
        other => Err(Fault::Unsupported(format!("It has a column in the unknown encoding {other}."))),
    }
}

/// Where a writer's wall clock was.
#[derive(Debug, Clone, Copy)]
pub(super) enum Zone {
    Named(Tz),
    /// Seconds east of UTC.
    Offset(i32),
}

/// The zone of wall clocks; `None` where it is UTC, as which they are read anyway.
fn zone(name: &str) -> Decoded<Option<Zone>> {
    let unknown = || Fault::corrupt(format!("its writer's time zone \"{name}\" is unknown"));
    if matches!(name, "" | "UTC" | "GMT" | "Etc/UTC" | "Etc/GMT" | "Z" | "Zulu" | "UCT" | "Etc/UCT" | "Universal") {
        return Ok(None);
    }
    if let Ok(zone) = name.parse() {
        return Ok(Some(Zone::Named(zone)));
    }
    // Java's own: `GMT+08:00`.
    let offset = name.strip_prefix("GMT").or_else(|| name.strip_prefix("UTC")).ok_or_else(unknown)?;
    let (sign, time) = match offset.split_at_checked(1) {
        Some(("+", time)) => (1, time),
        Some(("-", time)) => (-1, time),
        _ => return Err(unknown()),
    };
    let (hours, minutes) = time.split_once(':').unwrap_or((time, "0"));
    match (hours.parse::<i32>(), minutes.parse::<i32>()) {
        (Ok(hours @ 0..=23), Ok(minutes @ 0..=59)) => Ok(Some(Zone::Offset(sign * (hours * 3600 + minutes * 60)))),
        _ => Err(unknown()),
    }
}
