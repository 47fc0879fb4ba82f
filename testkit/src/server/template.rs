//! An initialised PostgreSQL cluster that is copied instead of being made again: `initdb` takes a second,
//! a copy a fraction of it.

use std::fs::{self, File};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use crate::tool::outcome;
use crate::{account, dir};

/// Copies a freshly initialised cluster to `data`, which must not exist.
#[track_caller]
pub(crate) fn copy_to(bin: &Path, data: &Path) {
    let template = ensure(bin);
    cp(&template, data);
}

/// The template for these server programs, made once in the target directory.
fn ensure(bin: &Path) -> PathBuf {
    let keep = dir::target_dir().join("testkit");
    fs::create_dir_all(&keep).expect("the target directory can be written");
    let id: String =
        bin.to_string_lossy().chars().map(|c| if c.is_alphanumeric() { c } else { '-' }).collect();
    let owner = account::for_servers().map_or_else(|| rustix::process::getuid().as_raw(), |a| a.uid);
    let template = keep.join(format!("cluster{id}-{owner}"));
    // Several test programs can arrive here at once; the first makes it.
    let lock = File::create(keep.join("cluster.lock")).expect("the target directory can be written");
    lock.lock().expect("the file system has locks");
    if !template.is_dir() {
        let work = dir::service_dir();
        let fresh = work.path().join("data");
        initdb(bin, &fresh);
        let partial = keep.join("cluster.partial");
        drop(fs::remove_dir_all(&partial));
        cp(&fresh, &partial);
        fs::rename(&partial, &template).expect("a rename inside the target directory");
    }
    template
}

/// Makes a cluster in `data`, which must not exist.
#[track_caller]
pub(crate) fn initdb(bin: &Path, data: &Path) {
    let mut command = as_server_account(bin.join("initdb"));
    command.current_dir("/").env("LC_ALL", "C.UTF-8").arg("-D").arg(data);
    command.args(["--auth=trust", "--username=postgres", "--encoding=UTF8", "--locale=C.UTF-8", "--no-sync"]);
    let output = command.output().unwrap_or_else(|e| panic!("cannot run initdb: {e}"));
    outcome(&command, &output).unwrap_or_else(|failure| panic!("{failure}"));
}

/// A command that runs under the servers' account.
pub(crate) fn as_server_account(program: PathBuf) -> Command {
    let mut command = Command::new(program);
    if let Some(account) = account::for_servers() {
        command.uid(account.uid).gid(account.gid);
    }
    command
}

#[track_caller]
fn cp(from: &Path, to: &Path) {
    let mut command = Command::new("cp");
    command.arg("-a").arg(from).arg(to);
    let output = command.output().expect("cp is part of every system");
    outcome(&command, &output).unwrap_or_else(|failure| panic!("{failure}"));
}
