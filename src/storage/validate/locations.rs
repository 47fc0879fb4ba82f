//! The places of the files and of the backup.

use crate::location::Place;
use crate::settings::{LocationSettings, Problems, Settings};
use std::path::Path;

/// Understands all locations, in the order of the settings.
pub(super) fn check(settings: &Settings, problems: &mut Problems) -> (Vec<Place>, Vec<Place>) {
    let files = places("files.locations", &settings.files.locations, settings, problems);
    let backup = places("backup.locations", &settings.backup.locations, settings, problems);
    for place in &backup {
        if files.iter().any(|other| other.is_same(place)) {
            problems.add(
                "backup.locations",
                format!("`{}` is a location of the files as well", place.label()),
                "give the backup a place of its own",
            );
        }
    }
    let most = u32::try_from(settings.files.locations.len()).unwrap_or(u32::MAX);
    match settings.files.write_quorum {
        Some(_) if most < 2 => problems.add(
            "files.write_quorum",
            "means nothing without several files.locations",
            "leave it out, or name more locations",
        ),
        Some(quorum) if !(1..=most).contains(&quorum) => problems.add(
            "files.write_quorum",
            format!("{quorum} is out of range"),
            "give 1 to the number of files.locations",
        ),
        _ => {}
    }
    (files, backup)
}

fn places(
    setting: &str,
    locations: &[LocationSettings],
    settings: &Settings,
    problems: &mut Problems,
) -> Vec<Place> {
    let mut found: Vec<Place> = Vec::new();
    for (i, location) in locations.iter().enumerate() {
        let name = format!("{setting}[{i}]");
        let Some(place) = Place::check(&name, location, problems) else { continue };
        if found.iter().any(|other| other.is_same(&place) || other.label() == place.label()) {
            problems.add(name, format!("`{}` is named twice", place.label()), "name each location once");
            continue;
        }
        if let Some(directory) = place.directory() {
            check_directory(&name, directory, settings, problems);
        }
        found.push(place);
    }
    found
}

fn check_directory(name: &str, directory: &Path, settings: &Settings, problems: &mut Problems) {
    let data = &settings.data_dir;
    let live = ["files", "db", "keys", "cache", "mirror", "tmp"].map(|part| data.join(part));
    if directory == data || live.iter().any(|part| directory.starts_with(part)) {
        let message = format!("`{}` lies among the storage's own data", directory.display());
        problems.add(name, message, "name a directory of its own, best on another disk");
    } else if directory.exists() && !directory.is_dir() {
        problems.add(name, format!("`{}` is not a directory", directory.display()), "name a directory");
    }
}
