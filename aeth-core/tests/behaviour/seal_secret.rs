//! Secrets: where they come from, and that they stay secret.
#![allow(clippy::unwrap_used, reason = "a failed step fails the test")]

use aeth_core::{ErrorKind, Secret};

#[test]
fn shows_nothing_and_compares_whole() {
    let secret = Secret::new("hunter2");
    assert_eq!(format!("{secret:?} {:#?}", Some(&secret)), "Secret(***) Some(\n    Secret(***),\n)");
    assert_eq!(secret, secret.clone());
    assert_eq!(secret, Secret::from("hunter2".to_owned()));
    for other in ["hunter3", "iunter2", "hunter", "hunter22", ""] {
        assert_ne!(secret, Secret::new(other));
    }
    assert_eq!(secret.expose_str().unwrap(), "hunter2");
    let error = Secret::new([0xff, 0x41]).expose_str().unwrap_err();
    assert_eq!(error.kind(), ErrorKind::Invalid);
    assert!(!format!("{error:?}").contains("ff"));
}

#[test]
fn files_lose_one_newline() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    for (text, expected) in [
        (&b"pass"[..], &b"pass"[..]),
        (b"pass\n", b"pass"),
        (b"pass\r\n", b"pass"),
        (b"pass\r", b"pass\r"),
        (b"pass\n\n", b"pass\n"),
        (b" pass ", b" pass "),
        (b"\xff\x00\n", b"\xff\x00"),
    ] {
        std::fs::write(&path, text).unwrap();
        assert_eq!(Secret::from_file(&path).unwrap().expose(), expected, "{text:?}");
    }
    for text in [&b""[..], b"\n", b"\r\n", &[b'x'; 65_537]] {
        std::fs::write(&path, text).unwrap();
        let error = Secret::from_file(&path).unwrap_err();
        assert_eq!(error.kind(), ErrorKind::Invalid);
        assert!(error.to_string().contains("secret") && error.remedy().is_some(), "{error}");
        assert_eq!(error.key(), path.to_str());
    }
    let missing = Secret::from_file(dir.path().join("nowhere")).unwrap_err();
    assert_eq!(missing.kind(), ErrorKind::NotFound);
    assert!(missing.to_string().contains("nowhere"), "{missing}");
    assert!(Secret::from_file(dir.path()).is_err());
}

/// The environment of this process cannot be changed safely, so a child of it with its own one does the asking.
#[test]
fn environment_variables() {
    if let Ok(expected) = std::env::var("SEAL_SECRET_EXPECTED") {
        let outcome = match Secret::from_env("SEAL_SECRET_TEST") {
            Ok(secret) => secret.expose_str().unwrap().to_owned(),
            Err(error) => {
                assert!(error.to_string().contains("SEAL_SECRET_TEST"), "{error}");
                format!("{}", error.kind())
            }
        };
        assert_eq!(outcome, expected);
        return;
    }
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("secret");
    std::fs::write(&path, "from file\n").unwrap();
    let path = path.to_str().unwrap();
    for (value, file, expected) in [
        (Some("direct\n"), None, "direct\n"),
        (None, Some(path), "from file"),
        (Some("direct"), Some(path), "invalid"),
        (Some(""), None, "invalid"),
        (None, None, "not_found"),
    ] {
        let mut child = std::process::Command::new(std::env::current_exe().unwrap());
        child.args(["--exact", "seal_secret::environment_variables"]).env("SEAL_SECRET_EXPECTED", expected);
        for (name, value) in [("SEAL_SECRET_TEST", value), ("SEAL_SECRET_TEST_FILE", file)] {
            match value {
                Some(value) => child.env(name, value),
                None => child.env_remove(name),
            };
        }
        let output = child.output().unwrap();
        assert!(output.status.success(), "{expected}: {}", String::from_utf8_lossy(&output.stdout));
    }
}

#[cfg(unix)]
mod permissions {
    use super::Secret;
    use std::fmt::Debug;
    use std::os::unix::fs::PermissionsExt;
    use std::sync::{Arc, Mutex};
    use tracing::field::{Field, Visit};
    use tracing::span::{Attributes, Id, Record};
    use tracing::{Event, Metadata, Subscriber};

    /// Keeps the text of every event.
    #[derive(Clone, Default)]
    struct Log(Arc<Mutex<Vec<String>>>);

    impl Subscriber for Log {
        fn enabled(&self, _: &Metadata<'_>) -> bool {
            true
        }
        fn new_span(&self, _: &Attributes<'_>) -> Id {
            Id::from_u64(1)
        }
        fn record(&self, _: &Id, _: &Record<'_>) {}
        fn record_follows_from(&self, _: &Id, _: &Id) {}
        fn event(&self, event: &Event<'_>) {
            let mut text = Text(event.metadata().level().to_string());
            event.record(&mut text);
            self.0.lock().unwrap().push(text.0);
        }
        fn enter(&self, _: &Id) {}
        fn exit(&self, _: &Id) {}
    }

    struct Text(String);

    impl Visit for Text {
        fn record_debug(&mut self, field: &Field, value: &dyn Debug) {
            self.0 += &format!(" {field}={value:?}");
        }
    }

    #[test]
    fn a_file_that_all_may_read_is_told() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("secret");
        std::fs::write(&path, "hunter2").unwrap();
        for (mode, warned) in [(0o600, false), (0o440, false), (0o444, true), (0o604, true)] {
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            let log = Log::default();
            tracing::subscriber::with_default(log.clone(), || Secret::from_file(&path)).unwrap();
            let events = log.0.lock().unwrap();
            assert_eq!(events.len(), usize::from(warned), "{mode:o}: {events:?}");
            for event in events.iter() {
                assert!(event.starts_with("WARN") && event.contains(path.to_str().unwrap()), "{event}");
                assert!(event.contains(&format!("{mode:04o}")) && !event.contains("hunter2"), "{event}");
            }
        }
    }
}
