//! The host's directories that belong into the backup.

use crate::settings::Problems;
use crate::storage::StorageBuilder;
use std::path::{Path, PathBuf};

/// The host's directories, without the data directory and the locations that may lie in them.
pub(super) fn check(builder: &StorageBuilder, problems: &mut Problems) -> Vec<aeth_backup::PathSource> {
    let settings = &builder.settings;
    let places = settings.files.locations.iter().chain(&settings.backup.locations);
    // What is no directory resolves to a path that no walk finds.
    let places = places.map(|location| local(&location.at));
    let own: Vec<PathBuf> = std::iter::once(settings.data_dir.as_path()).chain(places).map(resolve).collect();
    let mut sources = builder.directories.clone();
    for (i, directory) in builder.settings.backup.directories.iter().enumerate() {
        match aeth_backup::PathSource::new(directory) {
            Ok(_) if own.iter().any(|own| resolve(directory).starts_with(own)) => problems.add(
                format!("backup.directories[{i}]"),
                format!("`{}` lies in the data directory or in a location", directory.display()),
                "name directories of the host: the storage's own data is in the backup already",
            ),
            Ok(source) => sources.push(source),
            Err(error) => problems.add_error(format!("backup.directories[{i}]"), &error),
        }
    }
    let exclude = |source: aeth_backup::PathSource| {
        let own = own.clone();
        source.exclude("the storage itself", move |path, directory| {
            directory && own.iter().any(|own| own == path)
        })
    };
    sources.into_iter().map(exclude).collect()
}

/// The directory that a location names.
fn local(at: &Path) -> &Path {
    at.to_str().and_then(|text| text.strip_prefix("file://")).map_or(at, Path::new)
}

/// The path with its existing part resolved, so that it compares equal to what a walk finds.
fn resolve(path: &Path) -> PathBuf {
    let absolute = std::path::absolute(path).unwrap_or_else(|_| path.to_owned());
    for ancestor in absolute.ancestors() {
        if let (Ok(real), Ok(rest)) = (ancestor.canonicalize(), absolute.strip_prefix(ancestor)) {
            return if rest.as_os_str().is_empty() { real } else { real.join(rest) };
        }
    }
    absolute
}
