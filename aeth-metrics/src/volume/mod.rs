//! The disks below the data.

mod crypt;
mod diskstats;
mod mount;
mod report;
mod usage;
mod volumes;

pub use mount::Mount;
pub use report::{VolumeIo, VolumeRates, VolumeReport};
pub use volumes::{VolumeOptions, VolumeSpec, Volumes};
