//! Numbers and strings to bytes and back. Reading never goes beyond what is there, and takes no memory for more than is there.

/// What is wrong with bytes.
pub(super) type Wrong = String;

/// Bytes that grow.
#[derive(Default)]
pub(super) struct Writer(pub(super) Vec<u8>);

impl Writer {
    pub(super) fn u8(&mut self, value: u8) {
        self.0.push(value);
    }

    pub(super) fn u32(&mut self, value: u32) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn u64(&mut self, value: u64) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn i128(&mut self, value: i128) {
        self.0.extend_from_slice(&value.to_le_bytes());
    }

    pub(super) fn bytes(&mut self, bytes: &[u8]) {
        self.u64(bytes.len() as u64);
        self.0.extend_from_slice(bytes);
    }
}

/// Bytes that are read from the front.
pub(super) struct Reader<'a>(pub(super) &'a [u8]);

impl<'a> Reader<'a> {
    fn take(&mut self, count: usize) -> Result<&'a [u8], Wrong> {
        let (taken, rest) = self
            .0
            .split_at_checked(count)
            .ok_or_else(|| format!("{count} bytes are wanted, {} are left", self.0.len()))?;
        self.0 = rest;
        Ok(taken)
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Wrong> {
        let (taken, rest) = self
            .0
            .split_first_chunk::<N>()
            .ok_or_else(|| format!("{N} bytes are wanted, {} are left", self.0.len()))?;
        self.0 = rest;
        Ok(*taken)
    }

    pub(super) fn u8(&mut self) -> Result<u8, Wrong> {
        Ok(u8::from_le_bytes(self.array()?))
    }

    pub(super) fn u32(&mut self) -> Result<u32, Wrong> {
        Ok(u32::from_le_bytes(self.array()?))
    }

    pub(super) fn u64(&mut self) -> Result<u64, Wrong> {
        Ok(u64::from_le_bytes(self.array()?))
    }

    pub(super) fn i128(&mut self) -> Result<i128, Wrong> {
        Ok(i128::from_le_bytes(self.array()?))
    }

    pub(super) fn u128(&mut self) -> Result<u128, Wrong> {
        Ok(u128::from_le_bytes(self.array()?))
    }

    /// A count of things of which each takes at least a byte.
    pub(super) fn count(&mut self) -> Result<usize, Wrong> {
        let count = self.u64()?;
        usize::try_from(count)
            .ok()
            .filter(|&count| count <= self.0.len())
            .ok_or_else(|| format!("{count} things are told of in {} bytes", self.0.len()))
    }

    pub(super) fn bytes(&mut self) -> Result<&'a [u8], Wrong> {
        let count = self.u64()?;
        let count = usize::try_from(count).map_err(|_| format!("{count} bytes are told of"))?;
        self.take(count)
    }

    pub(super) fn string(&mut self) -> Result<&'a str, Wrong> {
        std::str::from_utf8(self.bytes()?).map_err(|_| "text is not UTF-8".to_owned())
    }

    pub(super) fn end(&self) -> Result<(), Wrong> {
        if self.0.is_empty() { Ok(()) } else { Err(format!("{} bytes follow the end", self.0.len())) }
    }
}
