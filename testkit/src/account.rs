//! The account that servers run under: PostgreSQL refuses root.

/// Numeric ids of an account.
#[derive(Clone, Copy, Debug)]
pub(crate) struct Account {
    pub(crate) uid: u32,
    pub(crate) gid: u32,
}

/// The unprivileged account for servers, or `None` when this process is unprivileged already.
pub(crate) fn for_servers() -> Option<Account> {
    if !crate::process::is_root() {
        return None;
    }
    let passwd = std::fs::read_to_string("/etc/passwd").unwrap_or_default();
    let found = ["postgres", "nobody"].iter().find_map(|name| lookup(&passwd, name));
    Some(found.expect("running as root, and neither `postgres` nor `nobody` is in /etc/passwd"))
}

fn lookup(passwd: &str, name: &str) -> Option<Account> {
    passwd.lines().find_map(|line| {
        let mut fields = line.split(':');
        if fields.next()? != name {
            return None;
        }
        let uid = fields.nth(1)?.parse().ok()?;
        let gid = fields.next()?.parse().ok()?;
        Some(Account { uid, gid })
    })
}
