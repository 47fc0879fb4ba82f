//! The contract of a backup sink.

mod blob_sink;
mod object;
mod object_lock;
mod sink;

pub use blob_sink::BlobSink;
pub use object::{ObjectId, ObjectKind, ObjectMeta};
pub use object_lock::ObjectLock;
pub use sink::{BackupSink, SinkCapabilities, no_object_lock};
