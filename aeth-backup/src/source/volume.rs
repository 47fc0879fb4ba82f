//! Named volumes.

use super::{FileSource, PathSource, Source, VirtualFile};
use aeth_core::{Body, ByteStream, Error, Result};
use async_trait::async_trait;
use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use serde::Serialize;
use std::collections::BTreeMap;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};
use std::time::UNIX_EPOCH;

/// A named volume: what it holds, in full fidelity, at `/volumes/NAME/data`, and what describes it (labels, owner,
/// mode, what it is mounted from) at `/volumes/NAME/volume.json`, so that it can be made anew before its data is
/// restored. What is mounted below it is left out.
///
/// ```
/// # let dir = tempfile::tempdir().unwrap();
/// # let path = dir.path();
/// use aeth_backup::{Plan, VolumeSource};
/// let uploads = VolumeSource::new("uploads", path)?.label("driver", "local");
/// let plan = Plan::new().sources(uploads.into_sources());
/// # let _ = plan;
/// # Ok::<(), aeth_core::Error>(())
/// ```
#[derive(Debug, Clone)]
pub struct VolumeSource {
    data: PathSource,
    description: Description,
}

#[derive(Debug, Clone, Serialize)]
struct Description {
    name: String,
    path: PathBuf,
    uid: u32,
    gid: u32,
    /// As `chmod` takes it, in octal digits.
    mode: String,
    #[serde(skip_serializing_if = "Option::is_none")]
    mount: Option<Mount>,
    labels: BTreeMap<String, String>,
}

/// A line of `/proc/self/mountinfo` (proc(5)).
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
struct Mount {
    source: String,
    file_system: String,
    options: String,
}

impl VolumeSource {
    /// The volume `name`, whose content is the directory `path`.
    ///
    /// # Errors
    /// `Invalid` for a name that is no single path segment, or a path that is no directory; `NotFound` or
    /// `Denied`, naming the path.
    pub fn new(name: impl Into<String>, path: impl AsRef<Path>) -> Result<Self> {
        let name = name.into();
        if name.is_empty() || name.contains('/') || matches!(name.as_str(), "." | "..") || name.contains('\0')
        {
            return Err(Error::invalid("not a name for a volume")
                .with_key(name)
                .with_remedy("give one path segment"));
        }
        let data = PathSource::new(path.as_ref())?.at(format!("/volumes/{name}/data")).one_file_system(true);
        let metadata = std::fs::metadata(data.path()).map_err(crate::error::io(path.as_ref()))?;
        if !metadata.is_dir() {
            return Err(Error::invalid("a volume is a directory").with_key(path.as_ref().display()));
        }
        let mounts = std::fs::read_to_string("/proc/self/mountinfo").unwrap_or_default();
        let description = Description {
            name,
            path: data.path().to_path_buf(),
            uid: metadata.uid(),
            gid: metadata.gid(),
            mode: format!("{:o}", metadata.mode() & 0o7777),
            mount: mount_of(data.path(), &mounts),
            labels: BTreeMap::new(),
        };
        Ok(Self { data, description })
    }

    /// Notes something about the volume. Never a secret.
    #[must_use]
    pub fn label(mut self, name: impl Into<String>, value: impl Into<String>) -> Self {
        self.description.labels.insert(name.into(), value.into());
        self
    }

    /// Changes how its content is read: excludes, other file systems.
    #[must_use]
    pub fn data(mut self, change: impl FnOnce(PathSource) -> PathSource) -> Self {
        self.data = change(self.data);
        self
    }

    /// The sources of a plan that it is.
    #[must_use]
    pub fn into_sources(self) -> Vec<Source> {
        let at = format!("/volumes/{}/volume.json", self.description.name);
        // Plain strings and numbers: this has a JSON form.
        let text = serde_json::to_vec_pretty(&self.description).unwrap_or_default();
        vec![Source::Path(self.data), Source::files(at, Described(text.into()))]
    }
}

#[derive(Debug)]
struct Described(Bytes);

#[async_trait]
impl FileSource for Described {
    fn list(&self) -> BoxStream<'_, Result<VirtualFile>> {
        let size = u64::try_from(self.0.len()).unwrap_or(0);
        futures_util::stream::iter([Ok(VirtualFile::new("", UNIX_EPOCH).size(size))]).boxed()
    }

    async fn open(&self, _file: &VirtualFile) -> Result<ByteStream> {
        Ok(Body::Bytes(self.0.clone()).into_stream())
    }
}

/// What is mounted where the path lies; the last mount of the longest mount point counts.
fn mount_of(path: &Path, mounts: &str) -> Option<Mount> {
    let mut best: Option<(usize, Mount)> = None;
    for line in mounts.lines() {
        let Some((left, right)) = line.split_once(" - ") else { continue };
        let (left, right): (Vec<_>, Vec<_>) = (left.split(' ').collect(), right.split(' ').collect());
        let (Some(point), Some(options), [file_system, source, ..]) =
            (left.get(4), left.get(5), right.as_slice())
        else {
            continue;
        };
        let point = unescape(point);
        if path.starts_with(&point) && best.as_ref().is_none_or(|(length, _)| point.len() >= *length) {
            let mount = Mount {
                source: unescape(source),
                file_system: (*file_system).to_owned(),
                options: (*options).to_owned(),
            };
            best = Some((point.len(), mount));
        }
    }
    best.map(|(_, mount)| mount)
}

/// Blanks, tabs, line ends and backslashes stand in octal there.
fn unescape(text: &str) -> String {
    [("\\040", " "), ("\\011", "\t"), ("\\012", "\n"), ("\\134", "\\")]
        .iter()
        .fold(text.to_owned(), |text, (escape, character)| text.replace(escape, character))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_innermost_mount_is_found() {
        let mounts = "22 1 254:1 / / rw,relatime shared:1 - ext4 /dev/vda1 rw\n\
                      40 22 0:35 / /srv/with\\040blank rw,noatime - xfs /dev/vdb rw\n\
                      garbage\n";
        let found = mount_of(Path::new("/srv/with blank/x"), mounts).unwrap();
        assert_eq!((found.source.as_str(), found.file_system.as_str()), ("/dev/vdb", "xfs"));
        assert_eq!(mount_of(Path::new("/srv/withx"), mounts).unwrap().file_system, "ext4");
        assert_eq!(mount_of(Path::new("/x"), ""), None);
    }
}
