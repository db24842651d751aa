//! What the machine has: memory and cores, as a container is allowed to use them.

use std::fs;

/// Assumed where the system doesn't tell.
const MEMORY_UNKNOWN: u64 = 8 << 30;

/// The machine's memory, or the control group's limit where that is less.
pub(super) fn memory_bytes() -> u64 {
    let total =
        fs::read_to_string("/proc/meminfo").ok().and_then(|text| meminfo_total(&text)).unwrap_or(MEMORY_UNKNOWN);
    ["/sys/fs/cgroup/memory.max", "/sys/fs/cgroup/memory/memory.limit_in_bytes"]
        .iter()
        // "max" in the file of version 2 is no limit.
        .filter_map(|path| fs::read_to_string(path).ok()?.trim().parse().ok())
        .fold(total, u64::min)
}

/// One thread per core that we may use.
pub(super) fn core_count() -> usize {
    std::thread::available_parallelism().map_or(1, usize::from)
}

fn meminfo_total(text: &str) -> Option<u64> {
    let line = text.lines().find(|line| line.starts_with("MemTotal:"))?;
    let kib: u64 = line.split_whitespace().nth(1)?.parse().ok()?;
    Some(kib * 1024)
}

#[cfg(test)]
mod tests {
    #[test]
    fn meminfo_is_read_in_kibibytes() {
        let text = "MemFree: 1 kB\nMemTotal:       16384 kB\n";
        assert_eq!(super::meminfo_total(text), Some(16 << 20));
        assert_eq!(super::meminfo_total("garbage"), None);
    }
}
