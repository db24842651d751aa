//! Partition values as one key of bytes: compact, comparable, and sorted as the values are.
//!
//! ```text
//! [Some("a\0b"), None]  ->  01 'a' 00 ff 'b' 00 00   02
//! ```
//! A value is `01`, its bytes with each `00` written as `00 ff`, and `00 00`. A NULL is `02`, so it sorts last, as in
//! PostgreSQL.

const VALUE: u8 = 1;
const NULL: u8 = 2;
const END: u8 = 0;
const ESCAPED_ZERO: u8 = 0xff;

/// Writes `values` into `key`, which is cleared first so that one buffer serves many.
pub(crate) fn encode(values: &[Option<String>], key: &mut Vec<u8>) {
    key.clear();
    for value in values {
        let Some(value) = value else {
            key.push(NULL);
            continue;
        };
        key.push(VALUE);
        for byte in value.bytes() {
            key.push(byte);
            if byte == END {
                key.push(ESCAPED_ZERO);
            }
        }
        key.extend_from_slice(&[END, END]);
    }
}

/// Appends the values of `key` to `columns`, one to each. `None` if the key is damaged or has another count of values.
pub(crate) fn decode_into(key: &[u8], columns: &mut [Vec<Option<Box<str>>>]) -> Option<()> {
    let mut rest = key;
    for column in columns {
        let (&tag, mut tail) = rest.split_first()?;
        if tag == NULL {
            column.push(None);
            rest = tail;
            continue;
        }
        if tag != VALUE {
            return None;
        }
        let mut bytes = Vec::new();
        loop {
            let end = tail.iter().position(|&byte| byte == END)?;
            bytes.extend_from_slice(&tail[..end]);
            let mark = *tail.get(end + 1)?;
            tail = &tail[end + 2..];
            match mark {
                END => break,
                ESCAPED_ZERO => bytes.push(END),
                _ => return None,
            }
        }
        column.push(Some(String::from_utf8(bytes).ok()?.into_boxed_str()));
        rest = tail;
    }
    rest.is_empty().then_some(())
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn key(values: &[Option<String>]) -> Vec<u8> {
        let mut key = vec![9];
        encode(values, &mut key);
        key
    }

    fn any_values() -> impl Strategy<Value = Vec<Option<String>>> {
        prop::collection::vec(prop::option::of(prop_oneof!["[\0\u{1}\u{2}ab]{0,4}", any::<String>()]), 3)
    }

    proptest! {
        #[test]
        fn what_is_written_reads_back(values in any_values()) {
            let mut columns = vec![Vec::new(); values.len()];
            prop_assert_eq!(decode_into(&key(&values), &mut columns), Some(()));
            let read: Vec<Option<String>> = columns.iter().map(|column| column[0].as_deref().map(str::to_owned)).collect();
            prop_assert_eq!(&read, &values);
            // Another count of values is noticed.
            prop_assert_eq!(decode_into(&key(&values), &mut vec![Vec::new(); values.len() - 1]), None);
            prop_assert_eq!(decode_into(&key(&values), &mut vec![Vec::new(); values.len() + 1]), None);
        }

        #[test]
        fn sorts_as_the_values_do(left in any_values(), right in any_values()) {
            // NULL after every value.
            let order = |values: &[Option<String>]| -> Vec<(bool, Option<String>)> {
                values.iter().map(|value| (value.is_none(), value.clone())).collect()
            };
            prop_assert_eq!(key(&left).cmp(&key(&right)), order(&left).cmp(&order(&right)));
        }

        #[test]
        fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..20)) {
            let _ = decode_into(&bytes, &mut vec![Vec::new(); 2]);
        }
    }
}
