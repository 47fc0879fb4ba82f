//! The contract of a backup sink.

mod blob_sink;
mod object;
mod sink;

pub use blob_sink::BlobSink;
pub use object::{ObjectId, ObjectKind, ObjectMeta};
pub use sink::{BackupSink, SinkCapabilities};
