//! ORC's run length encodings: a [`ByteStream`] -> bytes, bits, whole numbers.
//!
//! <https://orc.apache.org/specification/ORCv1/#run-length-encoding>

use super::protobuf::zigzag;
use super::stream::ByteStream;
use super::{Decoded, Fault, short};

/// Bytes: runs of one byte, and literals.
#[derive(Debug)]
pub(super) struct ByteRle {
    stream: ByteStream,
    /// Values left in this run.
    left: usize,
    /// What is repeated; `None` in literals.
    repeated: Option<u8>,
}

impl ByteRle {
    pub(super) fn new(stream: ByteStream) -> Self {
        Self { stream, left: 0, repeated: None }
    }

    pub(super) fn byte(&mut self) -> Decoded<u8> {
        if self.left == 0 {
            let header = self.stream.byte()?;
            if header < 0x80 {
                self.left = usize::from(header) + 3;
                self.repeated = Some(self.stream.byte()?);
            } else {
                self.left = 256 - usize::from(header);
                self.repeated = None;
            }
        }
        self.left -= 1;
        match self.repeated {
            Some(byte) => Ok(byte),
            None => self.stream.byte(),
        }
    }
}

/// Bits, eight to a byte of [`ByteRle`], high ones first.
#[derive(Debug)]
pub(super) struct BitRle {
    bytes: ByteRle,
    byte: u8,
    left: u8,
}

impl BitRle {
    pub(super) fn new(stream: ByteStream) -> Self {
        Self { bytes: ByteRle::new(stream), byte: 0, left: 0 }
    }

    pub(super) fn bit(&mut self) -> Decoded<bool> {
        if self.left == 0 {
            self.byte = self.bytes.byte()?;
            self.left = 8;
        }
        self.left -= 1;
        Ok(self.byte >> self.left & 1 == 1)
    }
}

/// Whole numbers, in the older or the newer encoding.
#[derive(Debug)]
pub(super) struct IntRle {
    stream: ByteStream,
    is_newer: bool,
    is_signed: bool,
    /// The run that is being read: at most 512 numbers.
    run: Vec<i64>,
    at: usize,
    /// Numbers packed to a width, on their way into a run.
    packed: Vec<u8>,
    unpacked: Vec<u64>,
}

impl IntRle {
    pub(super) fn new(stream: ByteStream, is_newer: bool, is_signed: bool) -> Self {
        Self { stream, is_newer, is_signed, run: Vec::new(), at: 0, packed: Vec::new(), unpacked: Vec::new() }
    }

    pub(super) fn number(&mut self) -> Decoded<i64> {
        if self.at == self.run.len() {
            self.at = 0;
            self.run.clear();
            if self.is_newer { self.newer_run()? } else { self.older_run()? }
        }
        let number = self.run[self.at];
        self.at += 1;
        Ok(number)
    }

    fn varint(&mut self) -> Decoded<i64> {
        let number = self.stream.varint()?;
        Ok(self.sign(number))
    }

    fn sign(&self, number: u64) -> i64 {
        if self.is_signed { zigzag(number) } else { number as i64 }
    }

    fn older_run(&mut self) -> Decoded<()> {
        let header = self.stream.byte()?;
        if header < 0x80 {
            let delta = i64::from(self.stream.byte()? as i8);
            let mut number = self.varint()?;
            for _ in 0..usize::from(header) + 3 {
                self.run.push(number);
                number = number.wrapping_add(delta);
            }
        } else {
            for _ in 0..256 - usize::from(header) {
                let number = self.varint()?;
                self.run.push(number);
            }
        }
        Ok(())
    }

    fn newer_run(&mut self) -> Decoded<()> {
        let header = self.stream.byte()?;
        match header >> 6 {
            0 => {
                let number = self.big_endian(usize::from(header >> 3 & 7) + 1)?;
                let number = self.sign(number);
                self.run.resize(usize::from(header & 7) + 3, number);
                Ok(())
            }
            1 => {
                let (width, length) = self.width_and_length(header)?;
                self.unpack(length, width)?;
                for index in 0..length {
                    let number = self.sign(self.unpacked[index]);
                    self.run.push(number);
                }
                Ok(())
            }
            2 => self.patched_run(header),
            _ => self.delta_run(header),
        }
    }

    fn big_endian(&mut self, bytes: usize) -> Decoded<u64> {
        let mut number = 0;
        for _ in 0..bytes {
            number = number << 8 | u64::from(self.stream.byte()?);
        }
        Ok(number)
    }

    /// The width of the numbers in bits, and how many there are.
    fn width_and_length(&mut self, header: u8) -> Decoded<(u32, usize)> {
        let low = self.stream.byte()?;
        Ok((width(header >> 1 & 0x1f), (usize::from(header & 1) << 8 | usize::from(low)) + 1))
    }

    /// Most numbers are narrow, and the high bits of the few wide ones lie in a list behind them.
    fn patched_run(&mut self, header: u8) -> Decoded<()> {
        let (value_width, length) = self.width_and_length(header)?;
        let (third, fourth) = (self.stream.byte()?, self.stream.byte()?);
        let base_bytes = usize::from(third >> 5) + 1;
        let patch_width = width(third & 0x1f);
        let gap_width = u32::from(fourth >> 5) + 1;
        let patch_count = usize::from(fourth & 0x1f);
        let base = self.big_endian(base_bytes)?;
        let sign_bit = 1_u64 << (8 * base_bytes - 1);
        // The sign is the highest bit, the rest is the magnitude.
        let base = if base & sign_bit == 0 { base as i64 } else { ((base & !sign_bit) as i64).wrapping_neg() };
        self.unpack(length, value_width)?;
        let mut values = std::mem::take(&mut self.unpacked);
        if patch_width + gap_width > 64 {
            return Err(Fault::corrupt("a patch is wider than 64 bits"));
        }
        self.unpack(patch_count, fixed_width(patch_width + gap_width))?;
        let mut at = 0_usize;
        for &entry in &self.unpacked {
            let patch = entry & low_bits(patch_width);
            at += (entry >> patch_width) as usize;
            // An entry without bits only lengthens the gap.
            if patch != 0 {
                let value = values.get_mut(at).ok_or_else(|| Fault::corrupt("a patch lies behind its run"))?;
                *value |= patch.checked_shl(value_width).unwrap_or(0);
            }
        }
        self.run.extend(values.iter().map(|value| base.wrapping_add(*value as i64)));
        values.clear();
        self.unpacked = values;
        Ok(())
    }

    fn delta_run(&mut self, header: u8) -> Decoded<()> {
        let (width, length) = self.width_and_length(header)?;
        let base = self.varint()?;
        self.run.push(base);
        let delta = zigzag(self.stream.varint()?);
        if header >> 1 & 0x1f == 0 {
            let mut number = base;
            for _ in 1..length {
                number = number.wrapping_add(delta);
                self.run.push(number);
            }
            return Ok(());
        }
        let mut number = base.wrapping_add(delta);
        if length > 1 {
            self.run.push(number);
        }
        self.unpack(length.saturating_sub(2), width)?;
        for index in 0..self.unpacked.len() {
            let step = self.unpacked[index] as i64;
            number = if delta < 0 { number.wrapping_sub(step) } else { number.wrapping_add(step) };
            self.run.push(number);
        }
        Ok(())
    }

    /// Fills `unpacked` with `count` numbers of `width` bits, which end on a whole byte.
    fn unpack(&mut self, count: usize, width: u32) -> Decoded<()> {
        self.unpacked.clear();
        self.packed.resize((count * width as usize).div_ceil(8), 0);
        self.stream.exact(&mut self.packed)?;
        let (mut bits, mut held) = (0_u128, 0_u32);
        let mut bytes = self.packed.iter();
        for _ in 0..count {
            while held < width {
                bits = bits << 8 | u128::from(*bytes.next().ok_or_else(short)?);
                held += 8;
            }
            held -= width;
            self.unpacked.push((bits >> held) as u64 & low_bits(width));
        }
        Ok(())
    }
}

fn low_bits(count: u32) -> u64 {
    if count >= 64 { u64::MAX } else { (1 << count) - 1 }
}

/// The width that five bits stand for.
fn width(code: u8) -> u32 {
    match code {
        0..=23 => u32::from(code) + 1,
        24 => 26,
        25 => 28,
        26 => 30,
        27 => 32,
        28 => 40,
        29 => 48,
        30 => 56,
        _ => 64,
    }
}

/// The next width that can be written.
fn fixed_width(bits: u32) -> u32 {
    (0..32).map(width).find(|width| *width >= bits).unwrap_or(64)
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use bytes::Bytes;

    use super::*;

    fn numbers(bytes: &[u8], is_newer: bool, is_signed: bool, count: usize) -> Vec<i64> {
        let stream = ByteStream::new(Bytes::copy_from_slice(bytes), None);
        let mut rle = IntRle::new(stream, is_newer, is_signed);
        let numbers = (0..count).map(|_| rle.number().unwrap()).collect();
        assert!(rle.number().is_err(), "more numbers than there should be");
        numbers
    }

    /// The examples in the format's specification.
    #[test]
    fn the_examples_of_the_specification() {
        assert_eq!(numbers(&[0x61, 0x00, 0x07], false, false, 100), vec![7; 100]);
        assert_eq!(numbers(&[0x61, 0xff, 0x64], false, false, 100), (1..=100).rev().collect::<Vec<i64>>());
        assert_eq!(numbers(&[0xfb, 0x02, 0x03, 0x04, 0x07, 0x0b], false, false, 5), [2, 3, 4, 7, 11]);
        assert_eq!(numbers(&[0x0a, 0x27, 0x10], true, false, 5), [10000; 5]);
        let direct = [0x5e, 0x03, 0x5c, 0xa1, 0xab, 0x1e, 0xde, 0xad, 0xbe, 0xef];
        assert_eq!(numbers(&direct, true, false, 4), [23713, 43806, 57005, 48879]);
        let patched = [
            0x8e, 0x13, 0x2b, 0x21, 0x07, 0xd0, 0x1e, 0x00, 0x14, 0x70, 0x28, 0x32, 0x3c, 0x46, 0x50, 0x5a, 0x64, 0x6e,
            0x78, 0x82, 0x8c, 0x96, 0xa0, 0xaa, 0xb4, 0xbe, 0xfc, 0xe8,
        ];
        let expected = [
            2030, 2000, 2020, 1_000_000, 2040, 2050, 2060, 2070, 2080, 2090, 2100, 2110, 2120, 2130, 2140, 2150, 2160,
            2170, 2180, 2190,
        ];
        assert_eq!(numbers(&patched, true, false, 20), expected);
        let delta = [0xc6, 0x09, 0x02, 0x02, 0x22, 0x42, 0x42, 0x46];
        assert_eq!(numbers(&delta, true, false, 10), [2, 3, 5, 7, 11, 13, 17, 19, 23, 29]);
    }

    #[test]
    fn bytes_and_bits() {
        let stream = |bytes: &[u8]| ByteStream::new(Bytes::copy_from_slice(bytes), None);
        let mut bytes = ByteRle::new(stream(&[0x61, 0x00, 0xfe, 0x44, 0x45]));
        assert!((0..100).all(|_| bytes.byte().unwrap() == 0));
        assert_eq!((bytes.byte().unwrap(), bytes.byte().unwrap()), (0x44, 0x45));
        assert!(bytes.byte().is_err());
        let mut bits = BitRle::new(stream(&[0xff, 0x80]));
        let bits: Vec<bool> = (0..8).map(|_| bits.bit().unwrap()).collect();
        assert_eq!(bits, [true, false, false, false, false, false, false, false]);
    }
}
