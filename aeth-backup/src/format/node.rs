//! One entry of a tree.

use super::{FileMode, NodeTime, gojson, quote};
use crate::Id;
use aeth_core::{Error, Result};
use base64::prelude::{BASE64_STANDARD, Engine};
use serde::Deserialize;
use serde_json::value::RawValue;
use std::borrow::Cow;
use std::sync::Arc;

/// What a node is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum NodeKind {
    /// A regular file, with content.
    File,
    /// A directory, with a subtree.
    Dir,
    /// A symbolic link, with a target.
    Symlink,
    /// A block device.
    Dev,
    /// A character device.
    CharDev,
    /// A named pipe.
    Fifo,
    /// A socket (never written, but found in other writers' trees).
    Socket,
    /// Something that its writer could not name.
    #[serde(other)]
    Irregular,
}

impl NodeKind {
    /// As it stands in a tree.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::File => "file",
            Self::Dir => "dir",
            Self::Symlink => "symlink",
            Self::Dev => "dev",
            Self::CharDev => "chardev",
            Self::Fifo => "fifo",
            Self::Socket => "socket",
            Self::Irregular => "irregular",
        }
    }
}

/// An extended attribute.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Xattr {
    /// Its name, namespace included (`user.comment`).
    pub name: String,
    /// Its value.
    pub value: Vec<u8>,
}

/// A file, directory or other item of a backup.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub struct Node {
    /// The name within its directory, as the bytes that the file system has.
    pub name: Vec<u8>,
    /// What it is.
    pub kind: NodeKind,
    /// Permissions, type and special bits.
    pub mode: FileMode,
    /// When the content was last modified.
    pub mtime: NodeTime,
    /// When it was last read. Backups set it to `mtime`, as restic does, so that reading changes nothing.
    pub atime: NodeTime,
    /// When the inode was last changed.
    pub ctime: NodeTime,
    /// The owner's number.
    pub uid: u32,
    /// The group's number.
    pub gid: u32,
    /// The owner's name, empty when unknown.
    pub user: Arc<str>,
    /// The group's name, empty when unknown.
    pub group: Arc<str>,
    /// The inode number.
    pub inode: u64,
    /// The file system's number.
    pub device_id: u64,
    /// The length of a file in bytes.
    pub size: u64,
    /// How many names the inode has.
    pub links: u64,
    /// What a symbolic link points to.
    pub link_target: Vec<u8>,
    /// Extended attributes, in the order in which the file system lists them.
    pub xattrs: Vec<Xattr>,
    /// The number of a device node.
    pub device: u64,
    /// The blobs that make a file's content, in order. `None` for everything that is not a file.
    pub content: Option<Vec<Id>>,
    /// The tree of a directory.
    pub subtree: Option<Id>,
    /// Attributes of other systems (Windows), kept as they are.
    pub(crate) generic: Option<Arc<str>>,
}

impl Node {
    /// A node with the given name and kind, everything else empty.
    #[must_use]
    pub fn new(name: impl Into<Vec<u8>>, kind: NodeKind) -> Self {
        Self {
            name: name.into(),
            kind,
            mode: FileMode::default(),
            mtime: NodeTime::default(),
            atime: NodeTime::default(),
            ctime: NodeTime::default(),
            uid: 0,
            gid: 0,
            user: "".into(),
            group: "".into(),
            inode: 0,
            device_id: 0,
            size: 0,
            links: 0,
            link_target: Vec::new(),
            xattrs: Vec::new(),
            device: 0,
            content: None,
            subtree: None,
            generic: None,
        }
    }

    /// Appends the JSON: restic's key order, its omissions, Go's escapes.
    pub(super) fn write(&self, out: &mut Vec<u8>) {
        out.extend_from_slice(b"{\"name\":");
        gojson::string(out, quote::quote(&self.name).as_deref().unwrap_or(&self.name));
        out.extend_from_slice(b",\"type\":\"");
        out.extend_from_slice(self.kind.as_str().as_bytes());
        out.push(b'"');
        number(out, "mode", self.mode.bits().into());
        for (key, time) in [("mtime", self.mtime), ("atime", self.atime), ("ctime", self.ctime)] {
            begin(out, key);
            out.push(b'"');
            time.write(out);
            out.push(b'"');
        }
        for (key, value) in [("uid", self.uid), ("gid", self.gid)] {
            begin(out, key);
            out.extend_from_slice(value.to_string().as_bytes());
        }
        text(out, "user", self.user.as_bytes());
        text(out, "group", self.group.as_bytes());
        number(out, "inode", self.inode);
        number(out, "device_id", self.device_id);
        number(out, "size", self.size);
        number(out, "links", self.links);
        text(out, "linktarget", &self.link_target);
        if std::str::from_utf8(&self.link_target).is_err() {
            text(out, "linktarget_raw", BASE64_STANDARD.encode(&self.link_target).as_bytes());
        }
        self.write_xattrs(out);
        if let Some(generic) = &self.generic {
            begin(out, "generic_attributes");
            out.extend_from_slice(generic.as_bytes());
        }
        number(out, "device", self.device);
        self.write_content(out);
        if let Some(subtree) = &self.subtree {
            text(out, "subtree", subtree.to_string().as_bytes());
        }
        out.push(b'}');
    }

    fn write_xattrs(&self, out: &mut Vec<u8>) {
        if self.xattrs.is_empty() {
            return;
        }
        begin(out, "extended_attributes");
        for (i, xattr) in self.xattrs.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"[{\"name\":" } else { b",{\"name\":" });
            gojson::string(out, xattr.name.as_bytes());
            begin(out, "value");
            gojson::string(out, BASE64_STANDARD.encode(&xattr.value).as_bytes());
            out.push(b'}');
        }
        out.push(b']');
    }

    fn write_content(&self, out: &mut Vec<u8>) {
        begin(out, "content");
        let Some(content) = &self.content else {
            out.extend_from_slice(b"null");
            return;
        };
        out.push(b'[');
        for (i, id) in content.iter().enumerate() {
            out.extend_from_slice(if i == 0 { b"\"" } else { b",\"" });
            let mut hex_digits = [0; 64];
            // The buffer is exactly twice the id, so this cannot fail.
            if hex::encode_to_slice(id.as_bytes(), &mut hex_digits).is_ok() {
                out.extend_from_slice(&hex_digits);
            }
            out.push(b'"');
        }
        out.push(b']');
    }
}

fn begin(out: &mut Vec<u8>, key: &str) {
    out.extend_from_slice(b",\"");
    out.extend_from_slice(key.as_bytes());
    out.extend_from_slice(b"\":");
}

fn number(out: &mut Vec<u8>, key: &str, value: u64) {
    if value != 0 {
        begin(out, key);
        out.extend_from_slice(value.to_string().as_bytes());
    }
}

fn text(out: &mut Vec<u8>, key: &str, value: &[u8]) {
    if !value.is_empty() {
        begin(out, key);
        gojson::string(out, value);
    }
}

/// The JSON as it is read: every writer's omissions and oddities are accepted.
#[derive(Deserialize)]
pub(super) struct NodeJson<'a> {
    #[serde(borrow)]
    name: Cow<'a, str>,
    #[serde(rename = "type")]
    kind: NodeKind,
    #[serde(default)]
    mode: FileMode,
    #[serde(default)]
    mtime: NodeTime,
    #[serde(default)]
    atime: NodeTime,
    #[serde(default)]
    ctime: NodeTime,
    #[serde(default)]
    uid: u32,
    #[serde(default)]
    gid: u32,
    #[serde(default, borrow)]
    user: Cow<'a, str>,
    #[serde(default, borrow)]
    group: Cow<'a, str>,
    #[serde(default)]
    inode: u64,
    #[serde(default)]
    device_id: u64,
    #[serde(default)]
    size: u64,
    #[serde(default)]
    links: u64,
    #[serde(default, borrow)]
    linktarget: Cow<'a, str>,
    #[serde(default, borrow)]
    linktarget_raw: Option<Cow<'a, str>>,
    #[serde(default)]
    extended_attributes: Option<Vec<XattrJson>>,
    #[serde(default, borrow)]
    generic_attributes: Option<&'a RawValue>,
    #[serde(default)]
    device: u64,
    #[serde(default)]
    content: Option<Vec<Id>>,
    #[serde(default)]
    subtree: Option<Id>,
}

#[derive(Deserialize)]
struct XattrJson {
    name: String,
    #[serde(default)]
    value: Option<String>,
}

impl NodeJson<'_> {
    pub(super) fn into_node(self) -> Result<Node> {
        let base64 = |text: &str| {
            BASE64_STANDARD
                .decode(text)
                .map_err(|_| Error::corrupt("a tree holds something that is not base64"))
        };
        let name = quote::unquote(&self.name)
            .ok_or_else(|| Error::corrupt("a tree holds a name with broken quoting").with_key(&self.name))?;
        let xattrs = self.extended_attributes.unwrap_or_default();
        let xattrs = xattrs
            .into_iter()
            .map(|xattr| Ok(Xattr { value: base64(xattr.value.as_deref().unwrap_or(""))?, name: xattr.name }))
            .collect::<Result<_>>()?;
        Ok(Node {
            name,
            kind: self.kind,
            mode: self.mode,
            mtime: self.mtime,
            atime: self.atime,
            ctime: self.ctime,
            uid: self.uid,
            gid: self.gid,
            user: self.user.as_ref().into(),
            group: self.group.as_ref().into(),
            inode: self.inode,
            device_id: self.device_id,
            size: self.size,
            links: self.links,
            link_target: match self.linktarget_raw {
                Some(raw) => base64(&raw)?,
                None => self.linktarget.as_bytes().to_vec(),
            },
            xattrs,
            device: self.device,
            content: self.content,
            subtree: self.subtree,
            generic: self.generic_attributes.map(|raw| raw.get().into()),
        })
    }
}
