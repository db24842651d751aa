//! What the machine has: memory, cores and files, as a container is allowed to use them.

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

/// Files that this process may have open, sockets among them; `None` is not known, or no limit.
pub(super) fn open_files_max() -> Option<usize> {
    limits_open_files(&fs::read_to_string("/proc/self/limits").ok()?)
}

fn limits_open_files(text: &str) -> Option<usize> {
    let line = text.lines().find_map(|line| line.strip_prefix("Max open files"))?;
    line.split_whitespace().next()?.parse().ok()
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
        let text = "Limit  Soft Limit  Hard Limit  Units\nMax open files            1024                 524288               files\n";
        assert_eq!(super::limits_open_files(text), Some(1024));
        assert_eq!(super::limits_open_files("Max open files  unlimited  unlimited  files"), None);
    }
}
