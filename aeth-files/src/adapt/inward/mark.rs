//! Marks of states.

use super::Engine;
use aeth_core::blob::ETag;
use object_store::UpdateVersion;

/// Between the version and the etag of a mark that has both.
const BETWEEN: char = '@';

/// The mark of a state that the engine describes.
pub(super) fn mark(engine: Engine, e_tag: Option<&str>, version: Option<&str>) -> Option<ETag> {
    match (engine.by_version(), version, e_tag) {
        (true, Some(version), e_tag) => {
            Some(ETag::new(format!("{version}{BETWEEN}{}", e_tag.unwrap_or_default())))
        }
        // The listings of Azure, and of some servers with the protocol of S3, leave out the quotes that their headers
        // have around the same tag.
        (_, _, Some(bare)) if matches!(engine, Engine::Azure | Engine::S3) && !bare.ends_with('"') => {
            Some(ETag::new(format!("\"{bare}\"")))
        }
        (_, _, e_tag) => e_tag.map(ETag::new),
    }
}

/// The engine's words for a mark; `None` for one that it cannot have given.
pub(super) fn state(engine: Engine, mark: &ETag) -> Option<UpdateVersion> {
    if !engine.by_version() {
        return Some(UpdateVersion { e_tag: Some(mark.as_str().into()), version: None });
    }
    let (version, e_tag) = mark.as_str().split_once(BETWEEN)?;
    let e_tag = Some(e_tag.to_owned()).filter(|e_tag| !e_tag.is_empty());
    Some(UpdateVersion { e_tag, version: Some(version.into()) })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn marks_come_back() {
        let given = mark(Engine::S3, Some("\"a@b\""), Some("v1")).unwrap();
        assert_eq!(given.as_str(), "\"a@b\"");
        assert_eq!(state(Engine::S3, &given).unwrap().e_tag.unwrap(), "\"a@b\"");
        for text in ["0x1", "\"0x1\""] {
            for engine in [Engine::Azure, Engine::S3] {
                assert_eq!(mark(engine, Some(text), None).unwrap().as_str(), "\"0x1\"");
            }
        }
        let given = mark(Engine::Gcs, Some("\"a\""), Some("17")).unwrap();
        let back = state(Engine::Gcs, &given).unwrap();
        assert_eq!((back.e_tag.as_deref(), back.version.as_deref()), (Some("\"a\""), Some("17")));
        assert!(state(Engine::Gcs, &ETag::new("foreign")).is_none());
        assert!(mark(Engine::Other, None, Some("1")).is_none());
    }
}
