//! A directory as a blob: `{"nodes":[…]}` and a newline, names in the order of their bytes.

use super::Node;
use super::node::NodeJson;
use aeth_core::{Error, Result};
use serde::Deserialize;

/// A directory's nodes.
#[derive(Debug, Clone, Default)]
pub(crate) struct Tree {
    pub(crate) nodes: Vec<Node>,
}

#[derive(Deserialize)]
struct TreeJson<'a> {
    #[serde(borrow)]
    nodes: Option<Vec<NodeJson<'a>>>,
}

impl Tree {
    /// Reads a tree blob. Other writers' trees may be out of order: they are put in order.
    pub(crate) fn parse(bytes: &[u8]) -> Result<Self> {
        let json: TreeJson<'_> = serde_json::from_slice(bytes).map_err(crate::error::json("tree"))?;
        let nodes = json.nodes.unwrap_or_default().into_iter().map(NodeJson::into_node);
        let mut nodes = nodes.collect::<Result<Vec<_>>>()?;
        if !nodes.is_sorted_by(|a, b| a.name < b.name) {
            nodes.sort_by(|a, b| a.name.cmp(&b.name));
        }
        Ok(Self { nodes })
    }

    /// The node of that name.
    pub(crate) fn find(&self, name: &[u8]) -> Option<&Node> {
        let at = self.nodes.binary_search_by(|node| node.name.as_slice().cmp(name)).ok()?;
        self.nodes.get(at)
    }
}

/// Makes a tree blob.
#[derive(Debug)]
pub(crate) struct TreeWriter {
    out: Vec<u8>,
    last: Vec<u8>,
}

impl TreeWriter {
    pub(crate) fn new() -> Self {
        Self { out: b"{\"nodes\":[".to_vec(), last: Vec::new() }
    }

    /// Appends a node; each name must be greater than the one before.
    pub(crate) fn add(&mut self, node: &Node) -> Result<()> {
        if node.name <= self.last {
            return Err(Error::invalid("the nodes of a tree must ascend by name")
                .with_key(String::from_utf8_lossy(&node.name)));
        }
        if !self.last.is_empty() {
            self.out.push(b',');
        }
        node.write(&mut self.out);
        self.last.clone_from(&node.name);
        Ok(())
    }

    pub(crate) fn finish(mut self) -> Vec<u8> {
        self.out.extend_from_slice(b"]}\n");
        self.out
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A tree as restic 0.19 writes it, with everything that is particular about it: quoted names, Go's escapes,
    /// omitted zeroes, an empty file, a raw link target, attributes of another system, times with offsets.
    const GOLDEN: &str = concat!(
        r#"{"nodes":["#,
        r#"{"name":"a\\\"b\\xff\u003c\u0026\\u00a0é","type":"file","mode":420,"mtime":"2023-11-14T23:13:20.12+01:00","#,
        r#""atime":"2023-11-14T23:13:20.12+01:00","ctime":"1969-12-31T23:59:59.000000001Z","uid":0,"gid":100,"#,
        r#""user":"root","group":"users","inode":12,"device_id":64769,"links":1,"#,
        r#""extended_attributes":[{"name":"user.a","value":"AP8="},{"name":"user.b","value":""}],"content":[]},"#,
        r#"{"name":"d","type":"dir","mode":2148532735,"mtime":"2023-11-14T22:13:20Z","atime":"2023-11-14T22:13:20Z","#,
        r#""ctime":"2023-11-14T22:13:20Z","uid":1,"gid":1,"generic_attributes":{"windows.file_attributes":32},"#,
        r#""content":null,"subtree":"0101010101010101010101010101010101010101010101010101010101010101"},"#,
        r#"{"name":"dev","type":"chardev","mode":69206416,"mtime":"2023-11-14T22:13:20Z","atime":"2023-11-14T22:13:20Z","#,
        r#""ctime":"2023-11-14T22:13:20Z","uid":1,"gid":1,"links":1,"device":1281,"content":null},"#,
        r#"{"name":"l","type":"symlink","mode":134218239,"mtime":"2023-11-14T22:13:20Z","atime":"2023-11-14T22:13:20Z","#,
        r#""ctime":"2023-11-14T22:13:20Z","uid":1,"gid":1,"links":1,"linktarget":"to\ufffd","linktarget_raw":"dG//","#,
        r#""content":null}]}"#,
        "\n",
    );

    #[test]
    fn reading_and_writing_gives_the_same_bytes() {
        let tree = Tree::parse(GOLDEN.as_bytes()).unwrap();
        assert_eq!(tree.nodes[0].name, b"a\"b\xff<&\xc2\xa0\xc3\xa9");
        assert_eq!(tree.nodes[3].link_target, b"to\xff");
        assert_eq!(tree.nodes[1].mode.permissions(), 0o1777);
        let mut writer = TreeWriter::new();
        tree.nodes.iter().for_each(|node| writer.add(node).unwrap());
        assert_eq!(String::from_utf8(writer.finish()).unwrap(), GOLDEN);
    }

    #[test]
    fn oddities_of_other_writers_are_read_and_order_is_kept() {
        let json = br#"{"x":1,"nodes":[{"name":"b","type":"new kind","content":null},
            {"name":"a","type":"file","extended_attributes":[{"name":"n","value":null}],"content":null,"error":"e"}]}"#;
        let tree = Tree::parse(json).unwrap();
        assert_eq!(tree.nodes.iter().map(|node| node.name.as_slice()).collect::<Vec<_>>(), [b"a", b"b"]);
        assert!(tree.find(b"b").is_some() && tree.find(b"c").is_none());
        let mut writer = TreeWriter::new();
        writer.add(&tree.nodes[1]).unwrap();
        assert!(writer.add(&tree.nodes[0]).is_err() && writer.add(&tree.nodes[1]).is_err());
        assert!(Tree::parse(br#"{"nodes":[{"name":"\\x","type":"file","content":[]}]}"#).is_err());
    }
}
