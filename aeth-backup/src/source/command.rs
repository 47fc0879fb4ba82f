//! What a command writes, as a file.

use super::entry::{FileSource, VirtualFile};
use crate::process::ExternalCommand;
use aeth_core::{ByteStream, Result};
use async_trait::async_trait;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;

/// The output of a command as a file, read as it comes: a database dump, an export. A command that fails leaves
/// its file out of the backup, and the report names it. The command runs anew with each run of the plan.
///
/// ```
/// use aeth_backup::{CommandSource, ExternalCommand, Plan, Source, VirtualFile};
/// use std::time::SystemTime;
///
/// let dump = ExternalCommand::new("pg_dump").args(["--format=custom", "app"]);
/// let file = VirtualFile::new("", SystemTime::UNIX_EPOCH);
/// let plan = Plan::new().source(Source::files("/databases/app.dump", CommandSource::new(file, dump)));
/// # let _ = plan;
/// ```
#[derive(Debug, Clone)]
pub struct CommandSource {
    file: VirtualFile,
    command: ExternalCommand,
}

impl CommandSource {
    /// `file` is what `command` writes to its standard output. With an empty path the source is this one file.
    #[must_use]
    pub fn new(file: VirtualFile, command: ExternalCommand) -> Self {
        Self { file, command }
    }
}

#[async_trait]
impl FileSource for CommandSource {
    fn list(&self) -> BoxStream<'_, Result<VirtualFile>> {
        futures_util::stream::iter([Ok(self.file.clone())]).boxed()
    }

    async fn open(&self, _file: &VirtualFile) -> Result<ByteStream> {
        self.command.stream()
    }
}
