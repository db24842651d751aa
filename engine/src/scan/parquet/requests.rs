//! Which requests a reader makes for the byte ranges that are asked of it: near ones in one, huge ones in several at a time.

use std::ops::Range;

use bytes::{Bytes, BytesMut};
use futures::future::BoxFuture;
use futures::stream::{self, StreamExt, TryStreamExt};

use crate::Result;

/// How a store is best asked.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Link {
    /// Two ranges closer than this are read in one request.
    gap_bytes: u64,
    /// A request for more is made in parts.
    request_bytes_max: u64,
}

impl Link {
    /// On a network a request costs more than the bytes of a gap, and one connection is slower than several.
    const REMOTE: Self = Self { gap_bytes: 1 << 20, request_bytes_max: 8 << 20 };
    /// On local disk only a system call is saved.
    const LOCAL: Self = Self { gap_bytes: 32 << 10, request_bytes_max: u64::MAX };

    /// That of a local or a remote store.
    pub(crate) fn new(is_remote: bool) -> Self {
        if is_remote { Self::REMOTE } else { Self::LOCAL }
    }
}

/// Requests of one row group under way at the same time.
const REQUESTS_MAX: usize = 10;

/// The requests for `ranges`, in the order of their bytes.
pub(crate) fn requests(ranges: &[Range<u64>], link: Link) -> Vec<Range<u64>> {
    let mut sorted: Vec<&Range<u64>> = ranges.iter().filter(|range| !range.is_empty()).collect();
    sorted.sort_unstable_by_key(|range| (range.start, range.end));
    let mut merged: Vec<Range<u64>> = Vec::with_capacity(sorted.len());
    for range in sorted {
        match merged.last_mut() {
            Some(last)
                if range.end <= last.end
                    || range.start < last.end
                    || (range.start - last.end <= link.gap_bytes
                        && range.end - last.start <= link.request_bytes_max) =>
            {
                last.end = last.end.max(range.end);
            }
            _ => merged.push(range.clone()),
        }
    }
    merged.into_iter().flat_map(|range| parts(range, link.request_bytes_max)).collect()
}

/// `range` in as few equal parts as have at most `bytes_max` bytes.
fn parts(range: Range<u64>, bytes_max: u64) -> impl Iterator<Item = Range<u64>> {
    let length = range.end - range.start;
    let part = length.div_ceil(length.div_ceil(bytes_max).max(1)).max(1);
    (0..length.div_ceil(part)).map(move |index| {
        let start = range.start + index * part;
        start..(start + part).min(range.end)
    })
}

/// The bytes of some requests.
#[derive(Debug)]
pub(crate) struct Pieces {
    requests: Vec<Range<u64>>,
    bytes: Vec<Bytes>,
}

impl Pieces {
    /// Makes `requests`, some at a time.
    pub(crate) async fn fetch(
        requests: Vec<Range<u64>>,
        fetch: impl Fn(Range<u64>) -> BoxFuture<'static, Result<Bytes>> + Send,
    ) -> Result<Self> {
        let fetches: Vec<_> = requests.iter().cloned().map(fetch).collect();
        let bytes = stream::iter(fetches).buffered(REQUESTS_MAX).try_collect().await?;
        Ok(Self { requests, bytes })
    }

    /// The bytes of `range`, which the requests were made for.
    pub(crate) fn slice(&self, range: &Range<u64>) -> Bytes {
        if range.is_empty() {
            return Bytes::new();
        }
        let length = |length: u64| usize::try_from(length).expect("it was fetched into memory");
        let first = self.requests.partition_point(|request| request.end <= range.start);
        let pieces = self.requests[first..].iter().zip(&self.bytes[first..]);
        let mut slices = pieces.take_while(|(request, _)| request.start < range.end).map(|(request, bytes)| {
            let (start, end) = (range.start.max(request.start), range.end.min(request.end));
            bytes.slice(length(start - request.start)..length(end - request.start))
        });
        let slice = slices.next().unwrap_or_default();
        let Some(second) = slices.next() else { return slice };
        let mut joined = BytesMut::with_capacity(length(range.end - range.start));
        for slice in [slice, second].into_iter().chain(slices) {
            joined.extend_from_slice(&slice);
        }
        joined.freeze()
    }
}

#[cfg(test)]
#[allow(clippy::unwrap_used, clippy::single_range_in_vec_init, reason = "tests")]
mod tests {
    use futures::FutureExt;

    use super::*;

    const LINK: Link = Link { gap_bytes: 10, request_bytes_max: 100 };

    #[test]
    fn near_ranges_are_one_request_and_huge_ones_several() {
        for (ranges, made) in [
            (vec![], vec![]),
            (vec![5..5], vec![]),
            (vec![0..10, 10..20], vec![0..20]),
            (vec![30..40, 0..20], vec![0..40]),
            (vec![0..10, 21..30], vec![0..10, 21..30]),
            // Not one of more than is asked for at once.
            (vec![0..60, 60..120], vec![0..60, 60..120]),
            (vec![0..250], vec![0..84, 84..168, 168..250]),
            (vec![0..60, 20..130], vec![0..65, 65..130]),
            (vec![0..50, 10..20], vec![0..50]),
        ] {
            assert_eq!(requests(&ranges, LINK), made, "{ranges:?}");
        }
        assert_eq!(requests(&[0..u64::MAX], Link::LOCAL), [0..u64::MAX]);
    }

    #[tokio::test]
    async fn every_range_gets_its_bytes() {
        let file: Vec<u8> = (0..2000_u32).map(|at| (at % 251) as u8).collect();
        let ranges = [300..700, 0..7, 7..30, 35..90, 200..200, 699..1500, 1990..2000];
        let bytes = file.clone();
        let fetch = move |range: Range<u64>| {
            let bytes = Bytes::copy_from_slice(&bytes[range.start as usize..range.end as usize]);
            async move { Ok(bytes) }.boxed()
        };
        let pieces = Pieces::fetch(requests(&ranges, LINK), fetch).await.unwrap();
        for range in ranges {
            assert_eq!(pieces.slice(&range)[..], file[range.start as usize..range.end as usize], "{range:?}");
        }
    }
}
