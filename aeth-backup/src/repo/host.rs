//! Who and where we are, as locks, keys and snapshots say it.

use parking_lot::Mutex;
use std::collections::HashMap;
use std::os::unix::fs::MetadataExt;
use std::sync::{Arc, LazyLock};

/// The machine and the user that this process runs as.
#[derive(Debug, Clone)]
pub(crate) struct Host {
    pub(crate) hostname: String,
    pub(crate) username: String,
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

impl Host {
    pub(crate) fn detect(hostname: Option<&str>) -> Self {
        let uid = rustix::process::getuid().as_raw();
        let hostname = hostname.map_or_else(machine_name, str::to_owned);
        let username = Names::load().user(uid).as_ref().to_owned();
        Self { hostname, username, uid, gid: rustix::process::getgid().as_raw() }
    }
}

/// The name of the machine, empty when it has none that is UTF-8.
pub(crate) fn machine_name() -> String {
    rustix::system::uname().nodename().to_str().unwrap_or("").to_owned()
}

/// True while a process of that number lives on this machine (it may belong to somebody else).
pub(crate) fn process_is_alive(pid: u32) -> bool {
    let Some(pid) = i32::try_from(pid).ok().and_then(rustix::process::Pid::from_raw) else {
        return false;
    };
    match rustix::process::test_kill_process(pid) {
        Ok(()) => true,
        Err(error) => error != rustix::io::Errno::SRCH,
    }
}

/// `<boot>:<pid namespace>:<start time>` of this process; empty where the system does not say.
pub(crate) fn process_stamp() -> &'static str {
    static STAMP: LazyLock<String> = LazyLock::new(|| read_stamp().unwrap_or_default());
    &STAMP
}

fn read_stamp() -> Option<String> {
    let boot = std::fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let namespace = std::fs::metadata("/proc/self/ns/pid").ok()?.ino();
    let stat = std::fs::read_to_string("/proc/self/stat").ok()?;
    // The 22nd field; the second is a name in parentheses that may hold anything.
    let started = stat.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    Some(format!("{}:{namespace}:{started}", boot.trim()))
}

/// The names of users and groups, from `/etc/passwd` and `/etc/group`, as restic's official builds look them
/// up.
#[derive(Debug)]
pub(crate) struct Names {
    users: HashMap<u32, Arc<str>>,
    groups: HashMap<u32, Arc<str>>,
    empty: Arc<str>,
}

impl Names {
    /// Reads the files again: a long-lived process must see users that were added.
    pub(crate) fn load() -> Self {
        Self { users: read("/etc/passwd"), groups: read("/etc/group"), empty: "".into() }
    }

    pub(crate) fn user(&self, uid: u32) -> Arc<str> {
        Arc::clone(self.users.get(&uid).unwrap_or(&self.empty))
    }

    pub(crate) fn group(&self, gid: u32) -> Arc<str> {
        Arc::clone(self.groups.get(&gid).unwrap_or(&self.empty))
    }
}

fn read(path: &str) -> HashMap<u32, Arc<str>> {
    let text = std::fs::read(path).unwrap_or_default();
    let mut names = HashMap::new();
    for line in String::from_utf8_lossy(&text).lines() {
        let mut fields = line.split(':');
        if let (Some(name), Some(id)) = (fields.next(), fields.nth(1).and_then(|id| id.parse().ok())) {
            // The first entry of a number wins.
            names.entry(id).or_insert_with(|| name.into());
        }
    }
    names
}

/// The locks that this process holds. A lock of this host with our own number that is not among them may have
/// been left by a process that had the number before: in a container every run may be process 1.
static HELD: Mutex<Vec<crate::Id>> = Mutex::new(Vec::new());

pub(crate) fn hold(id: crate::Id) {
    HELD.lock().push(id);
}

pub(crate) fn release(id: crate::Id) {
    HELD.lock().retain(|held| *held != id);
}

pub(crate) fn holds(id: crate::Id) -> bool {
    HELD.lock().contains(&id)
}
