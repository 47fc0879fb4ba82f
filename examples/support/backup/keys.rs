//! The passwords of a repository.

use super::args::Key;
use super::browse::table;
use super::exit::Outcome;
use super::location::{Access, read_password};
use super::output::Output;
use aetherius::backup::{Id, KeyInfo};
use aetherius::{Error, Result};
use serde_json::json;

pub(super) async fn key(access: &Access, command: &Key, output: Output) -> Result<Outcome> {
    let repository = access.open().await?;
    match command {
        Key::List => {
            let keys = repository.keys().await?;
            if output.json {
                output.value(|| keys.iter().map(describe).collect());
                return Ok(Outcome::Complete);
            }
            let mut rows = vec![["", "ID", "User", "Host", "Created"].map(str::to_owned)];
            for key in &keys {
                let time =
                    key.created.map_or_else(String::new, |time| time.to_string().replacen('T', " ", 1));
                rows.push([
                    if key.current { "*".into() } else { String::new() },
                    key.id.short(),
                    key.username.clone(),
                    key.hostname.clone(),
                    time.get(..19).unwrap_or(&time).to_owned(),
                ]);
            }
            output.result(|| table(&rows), || json!({}));
        }
        Key::Add { new_password_file } => {
            let id = repository.add_key(&read_password(new_password_file)?).await?;
            said(output, "added", id);
        }
        Key::Passwd { new_password_file } => {
            let id = repository.change_password(&read_password(new_password_file)?).await?;
            said(output, "changed", id);
        }
        Key::Remove { id } => {
            let keys = repository.keys().await?;
            let mut fits = keys.iter().filter(|key| key.id.to_string().starts_with(id.as_str()));
            let (Some(key), None) = (fits.next(), fits.next()) else {
                return Err(Error::invalid("the id is that of no key, or the beginning of several")
                    .with_key(id)
                    .with_remedy("list the keys with `key list`"));
            };
            repository.remove_key(key.id).await?;
            said(output, "removed", key.id);
        }
    }
    Ok(Outcome::Complete)
}

fn said(output: Output, what: &str, id: Id) {
    output.line(format!("key {} {what}", id.short()));
    output.value(|| json!({ "message_type": "key", "id": id.to_string(), "action": what }));
}

fn describe(key: &KeyInfo) -> serde_json::Value {
    json!({
        "current": key.current,
        "id": key.id.to_string(),
        "userName": key.username,
        "hostName": key.hostname,
        "created": key.created.map(|time| time.to_string()),
    })
}
