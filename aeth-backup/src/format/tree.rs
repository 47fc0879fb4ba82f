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
