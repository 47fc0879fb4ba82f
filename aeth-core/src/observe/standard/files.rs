//! `files`: total size, upload speed, download speed, error rate. All carry [`labels::STORE`].
//!
//! [`labels::STORE`]: super::labels::STORE

use crate::observe::{Descriptor, Unit};

/// Bytes of all blobs, as far as the component knows.
pub const SIZE: Descriptor =
    Descriptor::gauge("aeth_files_size_bytes", "Size of all blobs.").with_unit(Unit::Bytes);
/// Number of blobs, as far as the component knows.
pub const OBJECTS: Descriptor = Descriptor::gauge("aeth_files_objects", "Number of blobs.");
/// Bytes of bodies written.
pub const UPLOADED: Descriptor =
    Descriptor::counter("aeth_files_uploaded_bytes", "Bytes of blobs written.").with_unit(Unit::Bytes);
/// Bytes of bodies read.
pub const DOWNLOADED: Descriptor =
    Descriptor::counter("aeth_files_downloaded_bytes", "Bytes of blobs read.").with_unit(Unit::Bytes);
/// How long puts took, from the call to the acknowledgement.
pub const UPLOAD_TIME: Descriptor = Descriptor::duration(
    "aeth_files_upload_duration_seconds",
    "Time from the start of a write to its acknowledgement.",
);
/// How long gets took, from the call to the last byte.
pub const DOWNLOAD_TIME: Descriptor = Descriptor::duration(
    "aeth_files_download_duration_seconds",
    "Time from the start of a read to its last byte.",
);
/// Calls, by `operation` (the method's name).
pub const OPERATIONS: Descriptor = Descriptor::counter("aeth_files_operations", "Calls by operation.");
/// Calls that failed, by `operation` and `kind`. `NotFound` and `Precondition` are answers, not failures, and
/// are not counted.
pub const ERRORS: Descriptor =
    Descriptor::counter("aeth_files_errors", "Calls that failed, by operation and kind.");

/// The section.
pub const ALL: &[Descriptor] =
    &[SIZE, OBJECTS, UPLOADED, DOWNLOADED, UPLOAD_TIME, DOWNLOAD_TIME, OPERATIONS, ERRORS];
