//! Having what the tests need: found where it is, installed where it is not.

mod apt;
mod npm;
mod python;
mod rust;

use crate::Result;

/// A program that tests run, and the Debian packages that bring it.
struct Need {
    what: &'static str,
    packages: &'static [&'static str],
    present: fn() -> bool,
}

const NEEDS: &[Need] = &[
    Need { what: "restic", packages: &["restic"], present: || found("restic") },
    Need {
        what: "Redis",
        packages: &["redis-server"],
        present: || found("redis-server") && found("redis-cli"),
    },
    Need { what: "PostgreSQL", packages: &["postgresql"], present: || testkit::postgres_bin().is_ok() },
    Need { what: "PgBouncer", packages: &["pgbouncer"], present: || found("pgbouncer") },
    Need { what: "OpenSSL", packages: &["openssl"], present: || found("openssl") },
    Need { what: "the client of SSH", packages: &["openssh-client"], present: || found("ssh") },
    Need { what: "Python with venv", packages: &["python3", "python3-venv"], present: python::usable },
    Need { what: "promtool", packages: &["prometheus"], present: || found("promtool") },
    Need { what: "Node.js", packages: &["nodejs", "npm"], present: || found("node") && found("npm") },
    Need { what: "git", packages: &["git"], present: || found("git") },
    Need { what: "Git LFS", packages: &["git-lfs"], present: || found("git-lfs") },
];

/// What only the benches need.
const PEERS: &[Need] = &[Need { what: "borg", packages: &["borgbackup"], present: || found("borg") }];

fn found(program: &str) -> bool {
    testkit::tool(program, program).is_ok()
}

/// Finds or installs everything; the message of a failure says what to run by hand.
pub(crate) fn everything() -> Result<()> {
    rust::components()?;
    have(NEEDS)?;
    let python = python::environment()?;
    npm::packages()?;
    for need in NEEDS {
        println!("have {}", need.what);
    }
    println!("have Tink, moto and rclone in {}", python.display());
    println!("have Azurite");
    Ok(())
}

/// The peers that benches are held against, as far as Debian has them.
pub(crate) fn peers() -> Result<()> {
    have(PEERS)
}

/// rustic, a second reader of the repositories that we write; built once, in a private directory.
pub(crate) fn rustic() -> Result<std::path::PathBuf> {
    rust::rustic()
}

fn have(needs: &[Need]) -> Result<()> {
    let missing: Vec<&Need> = needs.iter().filter(|need| !(need.present)()).collect();
    if missing.is_empty() {
        return Ok(());
    }
    let packages: Vec<&str> = missing.iter().flat_map(|need| need.packages).copied().collect();
    apt::install(&packages)?;
    match missing.iter().find(|need| !(need.present)()) {
        Some(still) => {
            Err(format!("{} is not there even after installing {}", still.what, still.packages.join(" ")))
        }
        None => Ok(()),
    }
}

/// The interpreter that the tests take as judge; see [`everything`].
pub(crate) fn python() -> Result<std::path::PathBuf> {
    python::environment()
}
