//! The checksums of framed text: XXH32 (LZ4) and CRC-32C (Snappy).
//!
//! <https://github.com/Cyan4973/xxHash/blob/dev/doc/xxhash_spec.md>, <https://www.rfc-editor.org/rfc/rfc3720#appendix-B.4>.

const PRIMES: [u32; 5] = [0x9e37_79b1, 0x85eb_ca77, 0xc2b2_ae3d, 0x27d4_eb2f, 0x1656_67b1];

/// XXH32 with seed 0, fed piece by piece.
#[derive(Debug, Clone)]
pub(super) struct Xxh32 {
    lanes: [u32; 4],
    /// Bytes that don't fill a stripe of sixteen yet.
    held: [u8; 16],
    held_length: usize,
    total: u64,
}

impl Default for Xxh32 {
    fn default() -> Self {
        let lanes = [PRIMES[0].wrapping_add(PRIMES[1]), PRIMES[1], 0, 0_u32.wrapping_sub(PRIMES[0])];
        Self { lanes, held: [0; 16], held_length: 0, total: 0 }
    }
}

impl Xxh32 {
    pub(super) fn update(&mut self, mut bytes: &[u8]) {
        self.total += bytes.len() as u64;
        if self.held_length > 0 {
            let taken = bytes.len().min(16 - self.held_length);
            self.held[self.held_length..self.held_length + taken].copy_from_slice(&bytes[..taken]);
            self.held_length += taken;
            bytes = &bytes[taken..];
            if self.held_length < 16 {
                return;
            }
            let stripe = self.held;
            self.stripe(&stripe);
            self.held_length = 0;
        }
        let (stripes, rest) = bytes.as_chunks::<16>();
        for stripe in stripes {
            self.stripe(stripe);
        }
        self.held[..rest.len()].copy_from_slice(rest);
        self.held_length = rest.len();
    }

    fn stripe(&mut self, stripe: &[u8; 16]) {
        let (words, _) = stripe.as_chunks::<4>();
        for (lane, word) in self.lanes.iter_mut().zip(words) {
            let mixed = lane.wrapping_add(u32::from_le_bytes(*word).wrapping_mul(PRIMES[1]));
            *lane = mixed.rotate_left(13).wrapping_mul(PRIMES[0]);
        }
    }

    pub(super) fn finish(&self) -> u32 {
        let [a, b, c, d] = self.lanes;
        let mut hash = if self.total >= 16 {
            let sum = a.rotate_left(1).wrapping_add(b.rotate_left(7));
            sum.wrapping_add(c.rotate_left(12)).wrapping_add(d.rotate_left(18))
        } else {
            PRIMES[4]
        };
        // The specification adds the length modulo 2^32.
        hash = hash.wrapping_add(self.total as u32);
        let (words, rest) = self.held[..self.held_length].as_chunks::<4>();
        for word in words {
            let word = u32::from_le_bytes(*word).wrapping_mul(PRIMES[2]);
            hash = hash.wrapping_add(word).rotate_left(17).wrapping_mul(PRIMES[3]);
        }
        for byte in rest {
            let byte = u32::from(*byte).wrapping_mul(PRIMES[4]);
            hash = hash.wrapping_add(byte).rotate_left(11).wrapping_mul(PRIMES[0]);
        }
        hash = (hash ^ (hash >> 15)).wrapping_mul(PRIMES[1]);
        hash = (hash ^ (hash >> 13)).wrapping_mul(PRIMES[2]);
        hash ^ (hash >> 16)
    }
}

/// XXH32 of `bytes`.
pub(super) fn xxh32(bytes: &[u8]) -> u32 {
    let mut hash = Xxh32::default();
    hash.update(bytes);
    hash.finish()
}

const CRC32C: [u32; 256] = {
    let mut table = [0; 256];
    let mut index = 0;
    while index < 256 {
        let mut value = index as u32;
        let mut bit = 0;
        while bit < 8 {
            value = if value & 1 == 1 { (value >> 1) ^ 0x82f6_3b78 } else { value >> 1 };
            bit += 1;
        }
        table[index] = value;
        index += 1;
    }
    table
};

/// CRC-32C of `bytes`.
pub(super) fn crc32c(bytes: &[u8]) -> u32 {
    !bytes.iter().fold(!0, |crc, byte| (crc >> 8) ^ CRC32C[((crc ^ u32::from(*byte)) & 0xff) as usize])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn checksums_are_those_of_their_specifications() {
        assert_eq!(crc32c(b"123456789"), 0xe306_9283);
        assert_eq!(crc32c(&[0; 32]), 0x8a91_36aa);
        for (text, expected) in [
            ("", 0x02cc_5d05),
            ("a", 0x550d_7456),
            ("abc", 0x32d1_53ff),
            ("Nobody inspects the spammish repetition", 0xe229_3b2f),
        ] {
            assert_eq!(xxh32(text.as_bytes()), expected, "{text}");
            let mut pieces = Xxh32::default();
            text.as_bytes().chunks(5).for_each(|piece| pieces.update(piece));
            assert_eq!(pieces.finish(), expected, "{text}");
        }
    }
}
