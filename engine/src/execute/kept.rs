//! [`KeptRows`]: the rows of a cursor that goes back, or that outlives its transaction. Some in memory, under the memory of
//! all queries, the rest in a file beside the spill files, under their limit.

use std::fs::File;
use std::io::{Read, Seek, SeekFrom, Write};
use std::sync::Arc;

use arrow::array::RecordBatch;
use arrow::ipc::reader::StreamReader;
use arrow::ipc::writer::StreamWriter;
use datafusion::execution::disk_manager::DiskManager;
use datafusion::execution::{SpillFile, SpillWriter};

use super::{GlobalMemory, KeptMemory};
use crate::result_cache::compact::compact;
use crate::{Error, ErrorCode, Result};

/// Bytes of one cursor's rows in memory. What people page through fits; a session with all the portals it may have holds a
/// quarter of a GiB, and only of what queries leave free.
const MEMORY_BYTES_MAX: usize = 4 << 20;

/// See the module. Rows are added at the end, and read from anywhere.
pub struct KeptRows {
    global: Arc<GlobalMemory>,
    memory: Option<KeptMemory>,
    memory_bytes: usize,
    disk: Arc<DiskManager>,
    file: Option<RowFile>,
    batches: Vec<Kept>,
    rows: u64,
    /// The batch that was read from the file last: cursors that go back do so row by row.
    recent: Option<(usize, RecordBatch)>,
}

struct Kept {
    /// The number of its first row.
    first: u64,
    place: Place,
}

enum Place {
    Memory(RecordBatch),
    File { offset: u64, length: usize },
}

/// A file of batches, each an IPC stream of its own, so that each can be read alone.
struct RowFile {
    /// Deletes the file when it is dropped, and counts its bytes.
    file: Arc<dyn SpillFile>,
    writer: Box<dyn SpillWriter>,
    length: u64,
}

impl std::fmt::Debug for KeptRows {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("KeptRows")
            .field("rows", &self.rows)
            .field("memory_bytes", &self.memory_bytes)
            .finish_non_exhaustive()
    }
}

impl KeptRows {
    pub(crate) fn new(global: Arc<GlobalMemory>, disk: Arc<DiskManager>) -> Self {
        let (memory, file, batches, recent) = (None, None, Vec::new(), None);
        Self { global, memory, memory_bytes: 0, disk, file, batches, rows: 0, recent }
    }

    /// How many rows there are.
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Adds rows.
    ///
    /// # Errors
    /// `53400` where spill files have no room for them, `58030`.
    pub async fn push(&mut self, batch: &RecordBatch) -> Result<()> {
        if batch.num_rows() == 0 {
            return Ok(());
        }
        let (batch, bytes) = compact(batch)?;
        let count = batch.num_rows() as u64;
        let place = if self.take_memory(bytes) { Place::Memory(batch) } else { self.write(batch).await? };
        self.batches.push(Kept { first: self.rows, place });
        self.rows += count;
        Ok(())
    }

    /// Rows from number `row` on, counted from 0: at least one, at most `max`, as many as are at hand together.
    ///
    /// # Errors
    /// `58030`.
    ///
    /// # Panics
    /// When there is no such row.
    pub async fn after(&mut self, row: u64, max: u64) -> Result<RecordBatch> {
        let (first, batch) = self.batch_with(row).await?;
        let start = (row - first) as usize;
        let count = usize::try_from(max).unwrap_or(usize::MAX).min(batch.num_rows() - start);
        Ok(batch.slice(start, count))
    }

    /// Rows from number `row` on backwards: at least one, at most `max`, the last first.
    ///
    /// # Errors
    /// `58030`.
    ///
    /// # Panics
    /// When there is no such row.
    pub async fn before(&mut self, row: u64, max: u64) -> Result<RecordBatch> {
        let (first, batch) = self.batch_with(row).await?;
        let last = (row - first) as usize;
        let count = usize::try_from(max).unwrap_or(usize::MAX).min(last + 1);
        let indices: arrow::array::UInt32Array = (0..count).map(|back| (last - back) as u32).collect();
        arrow::compute::take_record_batch(&batch, &indices).map_err(|error| Error::internal(error.to_string()))
    }

    async fn batch_with(&mut self, row: u64) -> Result<(u64, RecordBatch)> {
        assert!(row < self.rows, "row {row} of {}", self.rows);
        let index = self.batches.partition_point(|kept| kept.first <= row) - 1;
        let kept = &self.batches[index];
        let first = kept.first;
        let (offset, length) = match &kept.place {
            Place::Memory(batch) => return Ok((first, batch.clone())),
            Place::File { offset, length } => (*offset, *length),
        };
        if let Some((_, batch)) = self.recent.as_ref().filter(|(recent, _)| *recent == index) {
            return Ok((first, batch.clone()));
        }
        let file = self.file.as_ref().map(|file| Arc::clone(&file.file));
        let file = file.ok_or_else(|| Error::internal("rows without their file"))?;
        let batch = blocking(move || read(&*file, offset, length)).await?;
        self.recent = Some((index, batch.clone()));
        Ok((first, batch))
    }

    /// Takes memory for rows while half of it is free: the rows of cursors can't be taken back when queries need it.
    fn take_memory(&mut self, bytes: usize) -> bool {
        let is_free = self.global.used() + self.global.kept() + bytes <= self.global.limit() / 2;
        if self.file.is_some() || self.memory_bytes + bytes > MEMORY_BYTES_MAX || !is_free {
            return false;
        }
        let taken = match &mut self.memory {
            Some(memory) => memory.grow(bytes),
            None => {
                self.memory = self.global.keep(bytes);
                self.memory.is_some()
            }
        };
        if taken {
            self.memory_bytes += bytes;
        }
        taken
    }

    async fn write(&mut self, batch: RecordBatch) -> Result<Place> {
        let disk = Arc::clone(&self.disk);
        let file = self.file.take();
        let (file, place) = blocking(move || {
            let mut file = match file {
                Some(file) => file,
                None => {
                    let file = disk.create_tmp_file("keeping the rows of a cursor")?;
                    RowFile { writer: file.open_writer()?, file, length: 0 }
                }
            };
            let mut bytes = Vec::new();
            let written = StreamWriter::try_new(&mut bytes, &batch.schema()).and_then(|mut writer| {
                writer.write(&batch)?;
                writer.finish()
            });
            written.map_err(|error| Error::internal(format!("a cursor's rows can't be written: {error}")))?;
            file.writer.write_all(&bytes).map_err(|error| no_room(&error))?;
            let place = Place::File { offset: file.length, length: bytes.len() };
            file.length += bytes.len() as u64;
            Ok((file, place))
        })
        .await?;
        self.file = Some(file);
        Ok(place)
    }
}

/// `work`, which waits for a disk, on a thread that may.
async fn blocking<T: Send + 'static>(work: impl FnOnce() -> Result<T> + Send + 'static) -> Result<T> {
    let done = tokio::task::spawn_blocking(work).await;
    done.unwrap_or_else(|error| Err(Error::internal(format!("a task stopped: {error}"))))
}

fn no_room(error: &std::io::Error) -> Error {
    if error.kind() == std::io::ErrorKind::StorageFull {
        return Error::new(ErrorCode::DiskFull, "could not write the rows of a cursor: no space left on device");
    }
    Error::new(ErrorCode::ConfigurationLimitExceeded, "the rows of a cursor take more than temporary files may")
        .with_detail(format!("{error}"))
        .with_hint("Fetch forward only with a cursor that is neither SCROLL nor WITH HOLD, or select less.")
}

fn read(file: &dyn SpillFile, offset: u64, length: usize) -> Result<RecordBatch> {
    let broken = |error: &dyn std::fmt::Display| {
        Error::new(ErrorCode::IoError, format!("could not read the rows of a cursor: {error}"))
    };
    let path = file.path().ok_or_else(|| Error::internal("a spill file without a path"))?;
    let mut file = File::open(path).map_err(|error| broken(&error))?;
    let mut bytes = vec![0; length];
    file.seek(SeekFrom::Start(offset)).map_err(|error| broken(&error))?;
    file.read_exact(&mut bytes).map_err(|error| broken(&error))?;
    let mut reader = StreamReader::try_new(bytes.as_slice(), None).map_err(|error| broken(&error))?;
    let batch = reader.next().ok_or_else(|| Error::internal("a cursor's rows are not in their file"))?;
    batch.map_err(|error| broken(&error))
}

#[cfg(test)]
#[allow(clippy::unwrap_used, reason = "tests")]
mod tests {
    use arrow::array::{AsArray, Int64Array, StringArray};
    use arrow::datatypes::Int64Type;
    use datafusion::execution::disk_manager::DiskManagerBuilder;

    use super::*;

    fn batch(from: i64, count: i64) -> RecordBatch {
        let text: StringArray = (from..from + count).map(|row| Some(format!("{row}").repeat(100))).collect();
        let numbers = Int64Array::from_iter_values(from..from + count);
        RecordBatch::try_from_iter([("n", Arc::new(numbers) as _), ("t", Arc::new(text) as _)]).unwrap()
    }

    fn numbers(batch: &RecordBatch) -> Vec<i64> {
        batch.column(0).as_primitive::<Int64Type>().values().to_vec()
    }

    #[tokio::test]
    async fn rows_in_memory_and_on_disk_are_read_from_anywhere() {
        let global = GlobalMemory::new(1 << 30);
        let disk = Arc::new(DiskManagerBuilder::default().build().unwrap());
        let mut kept = KeptRows::new(Arc::clone(&global), Arc::clone(&disk));
        for number in 0..20 {
            kept.push(&batch(number * 1000, 1000)).await.unwrap();
        }
        assert_eq!(kept.rows(), 20_000);
        assert!(kept.memory_bytes <= MEMORY_BYTES_MAX && kept.memory_bytes > MEMORY_BYTES_MAX / 2);
        assert_eq!(global.kept(), kept.memory_bytes);
        assert!(disk.used_disk_space() > 1 << 20, "{}", disk.used_disk_space());
        for row in [0, 999, 1000, 9_500, 19_999] {
            assert_eq!(numbers(&kept.after(row, 1).await.unwrap()), [row as i64]);
        }
        assert_eq!(numbers(&kept.after(19_998, 100).await.unwrap()), [19_998, 19_999]);
        assert_eq!(numbers(&kept.before(19_001, 100).await.unwrap()), [19_001, 19_000]);
        assert_eq!(numbers(&kept.before(2, 2).await.unwrap()), [2, 1]);
        drop(kept);
        assert_eq!((global.kept(), disk.used_disk_space()), (0, 0));
    }

    #[tokio::test]
    async fn a_full_spill_folder_is_an_error_of_its_own() {
        let disk = Arc::new(DiskManagerBuilder::default().with_max_temp_directory_size(1000).build().unwrap());
        // So little memory that nothing is kept there.
        let mut kept = KeptRows::new(GlobalMemory::new(1000), disk);
        let error = kept.push(&batch(0, 1000)).await.unwrap_err();
        assert_eq!(error.code, ErrorCode::ConfigurationLimitExceeded);
    }
}
