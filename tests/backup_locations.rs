//! The `backup` program on locations that are not directories: S3 beside stock restic, object lock proven by refused
//! deletions, and opendal's URIs.
#![cfg(all(feature = "backup", feature = "s3", feature = "opendal-services"))]
#![allow(missing_docs, clippy::unwrap_used, clippy::disallowed_methods)]

#[path = "support/program.rs"]
mod program;

use program::{PASSWORD, Program, lines, text};
use std::io::{Read, Write};
use std::net::TcpStream;
use std::path::Path;
use std::process::Command;
use testkit::{Compare, Moto, Shape, assert_same_tree, restic_in, temp_dir};

/// What reaches moto: it asks nobody who he is, but the tools want to have an answer.
fn environment() -> Vec<(&'static str, String)> {
    vec![
        ("AWS_ACCESS_KEY_ID", "key".into()),
        ("AWS_SECRET_ACCESS_KEY", "secret of the bucket".into()),
        ("AWS_REGION", "us-east-1".into()),
        ("AWS_ENDPOINT_URL", Moto::shared().url()),
    ]
}

fn program() -> Program {
    Program::default().environment(environment()).secret("secret of the bucket")
}

/// Stock restic on the same objects.
fn restic(bucket: &str, prefix: &str, args: &[&str]) -> String {
    let repository = format!("s3:{}/{bucket}/{prefix}", Moto::shared().url());
    let mut command = Command::new(testkit::tool("restic", "restic").unwrap());
    command.args(["--no-cache", "--repo", &repository]).args(args).env("RESTIC_PASSWORD", PASSWORD);
    command.envs(environment());
    let output = command.output().unwrap();
    let said = String::from_utf8_lossy(&output.stdout).into_owned();
    assert!(output.status.success(), "{args:?}: {said}{}", String::from_utf8_lossy(&output.stderr));
    said
}

/// One request to moto, which hides objects from who gives no name; the status and the answer.
fn ask(method: &str, path: &str, headers: &str) -> (u16, String) {
    let mut stream = TcpStream::connect(("127.0.0.1", Moto::shared().port())).unwrap();
    let request = format!(
        "{method} {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: AWS key:unchecked\r\n{headers}Content-Length: 0\r\nConnection: close\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    let status = answer.split_whitespace().nth(1).unwrap().parse().unwrap();
    (status, answer)
}

fn elements<'a>(text: &'a str, name: &str) -> Vec<&'a str> {
    let (open, close) = (format!("<{name}>"), format!("</{name}>"));
    text.split(&open).skip(1).map(|rest| rest.split(&close).next().unwrap()).collect()
}

#[test]
fn a_bucket_is_shared_with_stock_restic_and_mirrored_in_a_directory() {
    let dir = temp_dir();
    let at = |name: &str| dir.path().join(name);
    let (tree, mirror, other) = (at("tree"), at("mirror"), at("other"));
    Shape::new(11).files(60).bytes(3 << 20).build(&tree).unwrap();
    assert_eq!(ask("PUT", "/backups", "").0, 200);
    let (bucket, source) = ("s3://backups/of/this", text(&tree));
    let program = program();
    program.fails(&[bucket], &["snapshots"], 10, &["no repository", bucket]);
    program.fails(&["s3://no-such-bucket/x"], &["init"], 1, &["no-such-bucket"]);
    assert!(program.ok(&[bucket], &["init"]).contains(bucket));
    let said = program.ok(&[bucket], &["run", "--source", source, "--tag", "ours"]);
    assert!(said.contains("saved"), "{said}");
    assert!(restic("backups", "of/this", &["check", "--read-data"]).contains("no errors were found"));
    let target = at("by restic");
    restic("backups", "of/this", &["restore", "latest", "--target", text(&target)]);
    let place = tree.canonicalize().unwrap();
    assert_same_tree(&tree, &target.join(place.strip_prefix("/").unwrap()), Compare::full());

    // restic backs up to the same bucket; nothing is stored twice, and we give its snapshot back.
    let theirs = restic("backups", "of/this", &["backup", "--json", "--tag", "theirs", text(&place)]);
    assert!(lines(&theirs).pop().unwrap()["data_blobs"] == 0, "{theirs}");
    let ours = at("by us");
    let restored = [
        "restore",
        "--snapshot",
        "latest",
        "--tag",
        "theirs",
        "--target",
        text(&ours),
        "--root",
        text(&place),
    ];
    program.ok(&[bucket], &restored);
    assert_same_tree(&tree, &ours, Compare::full());

    // A directory beside it: filled with what the bucket has, then both take every run.
    let both = [bucket, text(&mirror)];
    program.ok(&both, &["init", "--attach"]);
    std::fs::write(tree.join("more"), "more").unwrap();
    let summary = lines(&program.ok(&both, &["run", "--source", source, "--json"])).pop().unwrap();
    assert_eq!(
        (&summary["files_new"], &summary["lagging"]),
        (&1.into(), &serde_json::json!([])),
        "{summary}"
    );
    let said = restic_in(&mirror, PASSWORD).run(["check", "--read-data"]);
    assert!(said.contains("no errors were found"), "{said}");
    program.ok(&both, &["forget", "--keep-last", "1", "--group-by", "host", "--prune"]);
    assert!(program.ok(&both, &["check", "--read-data"]).contains("no errors were found"));
    assert!(restic("backups", "of/this", &["check", "--read-data"]).contains("no errors were found"));
    assert!(restic("backups", "of/this", &["snapshots", "--json"]).matches("short_id").count() == 1);

    // Into another repository by a URI of opendal, which restic reads as a directory.
    let uri = format!("fs://{}", text(&other));
    program.ok(&[&uri], &["init"]);
    assert!(program.ok(&[bucket], &["copy", "--to", &uri]).contains("1 snapshots copied"));
    let said = restic_in(&other, PASSWORD).run(["check", "--read-data"]);
    assert!(said.contains("no errors were found"), "{said}");
    assert!(program.ok(&[&uri], &["ls", text(&place)]).contains("more"));
}

/// Keys with their versions.
type Versions = Vec<(String, String)>;

/// What a bucket holds, and its marks of deletion.
fn versions(bucket: &str) -> (Versions, Versions) {
    let (status, answer) = ask("GET", &format!("/{bucket}?versions"), "");
    assert_eq!(status, 200, "{answer}");
    let pairs = |name: &str| {
        let found = elements(&answer, name).into_iter();
        let pairs =
            found.map(|one| (elements(one, "Key")[0].to_owned(), elements(one, "VersionId")[0].to_owned()));
        pairs.collect::<Vec<_>>()
    };
    (pairs("Version"), pairs("DeleteMarker"))
}

#[test]
fn what_is_locked_in_a_bucket_cannot_be_destroyed() {
    let dir = temp_dir();
    let tree = dir.path().join("tree");
    Shape::new(12).files(20).bytes(1 << 20).build(&tree).unwrap();
    let source = text(&tree);
    let locked = "x-amz-bucket-object-lock-enabled: true\r\n";
    assert_eq!(ask("PUT", "/kept", locked).0, 200);
    let (bucket, program) = ("s3://kept/r", program());
    let with = |args: &[&str]| program.ok(&[bucket], &[args, &["--object-lock", "30d"]].concat());
    with(&["init"]);
    with(&["run", "--source", source]);
    std::fs::write(tree.join("more"), "more").unwrap();
    with(&["run", "--source", source]);

    // Everything that lasts is kept; what comes and goes is not.
    let (objects, _) = versions("kept");
    let until = |key: &str, version: &str| {
        let (status, answer) = ask("HEAD", &format!("/kept/{key}?versionId={version}"), "");
        assert_eq!(status, 200, "{key}: {answer}");
        let header = |line: &str| {
            let (name, value) = line.split_once(':')?;
            name.eq_ignore_ascii_case("x-amz-object-lock-retain-until-date").then(|| value.trim().to_owned())
        };
        answer.lines().find_map(header)
    };
    let mut kept = 0;
    for (key, version) in &objects {
        let lasting = !key.starts_with("r/locks/") && !key.starts_with("r/aetherius/");
        assert_eq!(until(key, version).is_some(), lasting, "{key}");
        let (status, answer) = ask("DELETE", &format!("/kept/{key}?versionId={version}"), "");
        if lasting {
            kept += 1;
            assert!(status == 403 && answer.contains("AccessDenied"), "{key} was destroyed: {answer}");
        }
    }
    assert!(kept >= 8, "{objects:?}");
    assert!(program.ok(&[bucket], &["check", "--read-data"]).contains("no errors were found"));

    // An attacker with these credentials forgets and prunes everything: the objects are hidden, and come back when
    // the marks are taken away.
    let first = lines(&program.ok(&[bucket], &["snapshots", "--json"]))[0][0]["id"].clone();
    program.ok(&[bucket], &["forget", "--keep-last", "1", "--prune", "--max-unused", "0"]);
    program.ok(&[bucket], &["prune", "--exclusive", "--max-unused", "0"]);
    assert!(program.ok(&[bucket], &["snapshots"]).contains("1 snapshots"));
    let (_, markers) = versions("kept");
    let hidden = markers.iter().filter(|(key, _)| key.starts_with("r/snapshots/")).count();
    assert_eq!(hidden, 1, "{markers:?}");
    for (key, version) in
        markers.iter().filter(|(key, _)| !key.starts_with("r/locks/") && !key.starts_with("r/aetherius/"))
    {
        assert_eq!(ask("DELETE", &format!("/kept/{key}?versionId={version}"), "").0, 204, "{key}");
    }
    // What the prune remembered to have removed is not hidden behind its own memory: restic reads it all.
    let listed = restic("kept", "r", &["snapshots", "--json"]);
    assert!(listed.contains(first.as_str().unwrap()), "{listed}");
    assert!(restic("kept", "r", &["check", "--read-data"]).contains("no errors were found"));

    // Locks are extended for what is needed.
    let key = objects.iter().find(|(key, _)| key == "r/config").unwrap();
    let before = until(&key.0, &key.1).unwrap();
    std::thread::sleep(std::time::Duration::from_millis(1_100));
    let said = with(&["extend-locks"]);
    assert!(said.contains("objects are kept for longer"), "{said}");
    assert!(until(&key.0, &key.1).unwrap() > before);
    program.fails(&[bucket], &["extend-locks"], 1, &["without a time"]);

    // A bucket without object lock says so, and nothing is claimed that does not hold.
    assert_eq!(ask("PUT", "/open", "").0, 200);
    program.fails(&["s3://open/r"], &["init", "--object-lock", "30d"], 1, &["object lock"]);
    let nowhere = dir.path().join("directory");
    program.ok(&[text(&nowhere)], &["init"]);
    program.fails(&[text(&nowhere)], &["extend-locks", "--object-lock", "30d"], 1, &["no sink can"]);
}

#[test]
fn uris_keep_their_secrets_and_refusals_say_what_there_is() {
    let program = program().secret("hunter2");
    let dead = testkit::free_port();
    for (uri, words) in [
        ("gopher://host/x", ["no kind of location", "--help"].as_slice()),
        ("sftp://joe:hunter2@127.0.0.1:1/x", &["no kind of location", "sftp://joe@127.0.0.1:1/x"]),
        (&format!("webdav:///x?endpoint=http://127.0.0.1:{dead}&password=hunter2"), &["webdav:///x"]),
        ("webdav://joe:hunter2@127.0.0.1:1/x", &["webdav://joe@127.0.0.1:1/x"]),
    ] {
        program.fails(&[uri], &["snapshots"], 1, words);
    }
    let missing = temp_dir();
    let uri = format!("fs://{}", text(&missing.path().join("none")));
    program.fails(&[&uri], &["snapshots"], 10, &["no repository"]);
    assert!(!Path::new(&missing.path().join("none/config")).exists());
}
