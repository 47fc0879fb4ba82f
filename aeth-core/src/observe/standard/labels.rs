//! The names of the labels, and the values that are fixed.

/// Which database handle (`main` unless the host names it).
pub const DATABASE: &str = "database";
/// A cache's namespace.
pub const NAMESPACE: &str = "namespace";
/// A cache tier's name (`memory`, `redis`, `sqlite`).
pub const TIER: &str = "tier";
/// A blob store's name (`local-dir`, `s3`).
pub const STORE: &str = "store";
/// A volume's name as the host configured it, or its mount point.
pub const VOLUME: &str = "volume";
/// A block device's kernel name (`vda`, `dm-0`).
pub const DEVICE: &str = "device";
/// A backup plan's name.
pub const PLAN: &str = "plan";
/// A backup location's name.
pub const LOCATION: &str = "location";
/// A component's name in health reports.
pub const COMPONENT: &str = "component";
/// What was done: `read`, `write`, or the method's name (`get`, `put`, `list`).
pub const OPERATION: &str = "operation";
/// The kind of an error, as [`ErrorKind::as_str`](crate::ErrorKind::as_str) gives it.
pub const KIND: &str = "kind";
/// The state of a pooled connection: [`IDLE`] or [`USED`].
pub const STATE: &str = "state";
/// A normalised statement's fingerprint, 16 hexadecimal digits.
pub const FINGERPRINT: &str = "fingerprint";

/// [`OPERATION`]: reading.
pub const READ: &str = "read";
/// [`OPERATION`]: writing.
pub const WRITE: &str = "write";
/// [`STATE`]: in the pool.
pub const IDLE: &str = "idle";
/// [`STATE`]: handed out.
pub const USED: &str = "used";
