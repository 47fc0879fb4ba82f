//! What is counted.

use aeth_core::observe::standard::{files, labels};
use aeth_core::observe::{Collector, Counter, Descriptor, Gauge, Histogram, MetricsSource};
use aeth_core::{Error, ErrorKind};
use std::borrow::Cow;
use std::time::Duration;

/// How long the other operations took; puts and gets have histograms of their own.
const OPERATION_TIME: Descriptor =
    Descriptor::duration("aeth_files_operation_duration_seconds", "Time that calls took, by operation.");
/// Streams that are being read or written.
const STREAMS: Descriptor = Descriptor::gauge("aeth_files_streams", "Bodies that are being read or written.");

/// The operations, in the order of [`NAMES`].
#[derive(Debug, Clone, Copy)]
#[repr(usize)]
pub(crate) enum Operation {
    Get,
    Head,
    Put,
    Delete,
    Copy,
    Rename,
    List,
    Upload,
    Presign,
}

const NAMES: [&str; 9] = ["get", "head", "put", "delete", "copy", "rename", "list", "upload", "presign"];
const KINDS: [ErrorKind; 11] = [
    ErrorKind::AlreadyExists,
    ErrorKind::Invalid,
    ErrorKind::Denied,
    ErrorKind::Unsupported,
    ErrorKind::Busy,
    ErrorKind::Full,
    ErrorKind::Unavailable,
    ErrorKind::Timeout,
    ErrorKind::Corrupt,
    ErrorKind::Closed,
    ErrorKind::Other,
];

#[derive(Debug, Default)]
struct PerOperation {
    calls: Counter,
    errors: [Counter; KINDS.len()],
    time: Histogram,
}

/// The instruments of one store. Recording is a few relaxed additions.
#[derive(Debug)]
pub(crate) struct Instruments {
    label: String,
    operations: [PerOperation; NAMES.len()],
    pub(crate) uploaded: Counter,
    pub(crate) downloaded: Counter,
    download_time: Histogram,
    pub(crate) streams: Gauge,
    /// Size and number of all blobs, as the last survey found them; -1 before the first.
    size: Gauge,
    objects: Gauge,
}

impl Instruments {
    pub(crate) fn new(label: String) -> Self {
        let (size, objects) = (Gauge::default(), Gauge::default());
        size.set(-1);
        objects.set(-1);
        Self {
            label,
            operations: std::array::from_fn(|_| PerOperation::default()),
            uploaded: Counter::new(),
            downloaded: Counter::new(),
            download_time: Histogram::new(),
            streams: Gauge::default(),
            size,
            objects,
        }
    }

    /// Records a call that ended.
    pub(crate) fn ended(&self, operation: Operation, took: Duration, error: Option<&Error>) {
        let Some(instruments) = self.operations.get(operation as usize) else { return };
        instruments.calls.increment();
        instruments.time.record_duration(took);
        if let Some(error) = error {
            self.failed(operation, error);
        }
    }

    /// Records a failure: of a call, or of a stream that it gave. Answers are none.
    pub(crate) fn failed(&self, operation: Operation, error: &Error) {
        let kind = error.kind();
        if matches!(kind, ErrorKind::NotFound | ErrorKind::Precondition) {
            return;
        }
        // A kind that is newer than this table counts as the last one, which means the same: any other.
        let at = KINDS.iter().position(|known| *known == kind).unwrap_or(KINDS.len() - 1);
        if let Some(counter) = self.operations.get(operation as usize).and_then(|of| of.errors.get(at)) {
            counter.increment();
        }
    }

    /// Records a body that was read to its end.
    pub(crate) fn read(&self, took: Duration) {
        self.download_time.record_duration(took);
    }

    /// Records what a survey found.
    pub(crate) fn surveyed(&self, objects: u64, size: u64) {
        self.objects.set(i64::try_from(objects).unwrap_or(i64::MAX));
        self.size.set(i64::try_from(size).unwrap_or(i64::MAX));
    }
}

impl MetricsSource for Instruments {
    fn component(&self) -> Cow<'_, str> {
        "storage".into()
    }

    #[allow(clippy::cast_precision_loss, reason = "a gauge of more than 2^53 bytes may be rounded")]
    fn collect(&self, out: &mut dyn Collector) {
        let store = (labels::STORE, self.label.as_str());
        for (gauge, descriptor) in [(&self.size, &files::SIZE), (&self.objects, &files::OBJECTS)] {
            if gauge.get() >= 0 {
                out.gauge(descriptor, &[store], gauge.get() as f64);
            }
        }
        out.counter(&files::UPLOADED, &[store], self.uploaded.get());
        out.counter(&files::DOWNLOADED, &[store], self.downloaded.get());
        out.gauge(&STREAMS, &[store], self.streams.get() as f64);
        if let Some(put) = self.operations.get(Operation::Put as usize) {
            out.histogram(&files::UPLOAD_TIME, &[store], &put.time.snapshot());
        }
        out.histogram(&files::DOWNLOAD_TIME, &[store], &self.download_time.snapshot());
        // Family by family, as an export wants them.
        let named = || NAMES.iter().zip(&self.operations);
        for (name, of) in named() {
            out.counter(&files::OPERATIONS, &[store, (labels::OPERATION, name)], of.calls.get());
        }
        for (name, of) in named() {
            for (kind, counter) in KINDS.iter().zip(&of.errors).filter(|(_, counter)| counter.get() > 0) {
                let labels = [store, (labels::OPERATION, name), (labels::KIND, kind.as_str())];
                out.counter(&files::ERRORS, &labels, counter.get());
            }
        }
        for (name, of) in named().filter(|(_, of)| of.calls.get() > 0) {
            out.histogram(&OPERATION_TIME, &[store, (labels::OPERATION, name)], &of.time.snapshot());
        }
    }
}
