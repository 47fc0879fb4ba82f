//! The command line.

use aetherius::Size;
use aetherius::backup::{GroupBy, Keep, MaxUnused, Quorum, Span};
use clap::{Parser, Subcommand};
use std::path::PathBuf;

/// Encrypted, deduplicated backups in the restic repository format, to one or several locations at once.
///
/// Several locations (repeat --repo) are replicas of one repository: each alone gives everything back, and one that
/// was away is brought up to date by the next run. Stock restic reads every one of them with the same password.
#[derive(Debug, Parser)]
#[command(name = "backup", version, after_help = super::exit::HELP)]
pub(super) struct Args {
    /// Where the repository is: a directory, s3://BUCKET/PREFIX, or a URI of opendal (`--help` lists the kinds).
    /// Repeat it for several replicas.
    #[arg(long, short, global = true, value_name = "LOCATION", env = "AETHERIUS_REPOSITORY")]
    pub(super) repo: Vec<String>,
    /// A file whose first line is the password.
    #[arg(long, short, global = true, value_name = "FILE")]
    pub(super) password_file: Option<PathBuf>,
    /// One JSON object a line, for machines.
    #[arg(long, global = true)]
    pub(super) json: bool,
    /// Never removes anything but locks: what is there cannot be lost by this program.
    #[arg(long, global = true)]
    pub(super) append_only: bool,
    /// Which locations must take everything: `all`, `primary` (the first), or how many. The others follow, in this run
    /// or the next.
    #[arg(long, global = true, default_value = "1", value_name = "WHICH", value_parser = quorum)]
    pub(super) quorum: Quorum,
    /// Lets the bucket keep from being destroyed what is written to s3:// locations, for so long (such as `30d`); the
    /// bucket must have been made with object lock.
    #[arg(long, global = true, value_name = "TIME")]
    pub(super) object_lock: Option<aetherius::Span>,
    /// Nobody can shorten that time, not even the account's owner.
    #[arg(long, global = true, requires = "object_lock")]
    pub(super) compliance: bool,
    /// Says only what went wrong.
    #[arg(long, short, global = true)]
    pub(super) quiet: bool,
    #[command(subcommand)]
    pub(super) command: Command,
}

#[derive(Debug, Subcommand)]
pub(super) enum Command {
    /// Makes a new repository.
    Init(Init),
    /// Backs up: makes one snapshot of all sources.
    Run(Run),
    /// Lists the snapshots.
    Snapshots(Filter),
    /// Lists what is in a snapshot.
    Ls(Ls),
    /// Looks for files in the snapshots.
    Find(Find),
    /// Shows how two snapshots differ.
    Diff(Diff),
    /// Writes one file of a snapshot to the standard output.
    Dump(Dump),
    /// Restores a snapshot, or a part of it.
    Restore(Restore),
    /// Proves a snapshot good: restores it somewhere else, reads every file again, and removes it.
    Drill(Drill),
    /// Looks for damage.
    Check(Check),
    /// Forgets snapshots that no rule keeps; their data stays until a prune.
    Forget(Forget),
    /// Removes what no snapshot needs any more.
    Prune(Prune),
    /// Copies snapshots into another repository.
    Copy(Copy),
    /// Changes the tags of snapshots.
    Tag(Tag),
    /// Gives every location what it lacks of what the others have.
    CatchUp(CatchUp),
    /// Keeps what the snapshots need from being destroyed for another --object-lock.
    ExtendLocks,
    /// Removes the locks of processes that are gone.
    Unlock(Unlock),
    /// Lists, adds, removes and changes passwords.
    Key {
        /// What to do.
        #[command(subcommand)]
        command: Key,
    },
    /// Mends what is damaged: from another location first, then what can be saved.
    Repair(Repair),
}

#[derive(Debug, clap::Args)]
pub(super) struct Init {
    /// Fills locations that are empty from those that hold the repository, instead of making a new one.
    #[arg(long)]
    pub(super) attach: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Run {
    /// A directory or a file, in full fidelity. Repeat it for several.
    #[arg(long, value_name = "PATH", required_unless_present = "git")]
    pub(super) source: Vec<PathBuf>,
    /// A git repository with all its branches and tags, as a bundle that `git clone` takes.
    #[arg(long, value_name = "DIR")]
    pub(super) git: Vec<PathBuf>,
    /// Leaves out what fits the pattern, in the syntax of .gitignore.
    #[arg(long, short, value_name = "PATTERN")]
    pub(super) exclude: Vec<String>,
    /// The same without regard to case.
    #[arg(long, value_name = "PATTERN")]
    pub(super) iexclude: Vec<String>,
    /// Leaves out what fits the patterns in the file.
    #[arg(long, value_name = "FILE")]
    pub(super) exclude_file: Vec<PathBuf>,
    /// The same without regard to case.
    #[arg(long, value_name = "FILE")]
    pub(super) iexclude_file: Vec<PathBuf>,
    /// Leaves out what directories hold in which NAME stands (and begins with HEADER).
    #[arg(long, value_name = "NAME[:HEADER]")]
    pub(super) exclude_if_present: Vec<String>,
    /// Leaves out what directories hold that are marked by a CACHEDIR.TAG.
    #[arg(long)]
    pub(super) exclude_caches: bool,
    /// Leaves out larger files.
    #[arg(long, value_name = "SIZE")]
    pub(super) exclude_larger_than: Option<Size>,
    /// Leaves out what is mounted below the sources.
    #[arg(long, short = 'x')]
    pub(super) one_file_system: bool,
    /// A label for the snapshot.
    #[arg(long, value_name = "TAG")]
    pub(super) tag: Vec<String>,
    /// The host name that the snapshot carries; default: the machine's.
    #[arg(long, value_name = "NAME")]
    pub(super) host: Option<String>,
    /// Reads every file again, whatever the snapshot before says.
    #[arg(long, short)]
    pub(super) force: bool,
}

#[derive(Debug, clap::Args, Default)]
pub(super) struct Filter {
    /// Only snapshots of this host.
    #[arg(long, short = 'H', value_name = "NAME")]
    pub(super) host: Vec<String>,
    /// Only snapshots with these tags (separated by commas); repeat it for alternatives.
    #[arg(long, value_name = "TAG[,TAG]")]
    pub(super) tag: Vec<String>,
    /// Only snapshots with this path.
    #[arg(long, value_name = "PATH")]
    pub(super) path: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct Ls {
    /// An id, the beginning of one, or `latest`.
    #[arg(long, default_value = "latest", value_name = "ID")]
    pub(super) snapshot: String,
    /// Where in the snapshot.
    #[arg(default_value = "/", value_name = "PATH")]
    pub(super) at: String,
    /// Only what stands directly there.
    #[arg(long)]
    pub(super) flat: bool,
    /// With mode, owner, size and time.
    #[arg(long, short)]
    pub(super) long: bool,
    #[command(flatten)]
    pub(super) filter: Filter,
}

#[derive(Debug, clap::Args)]
pub(super) struct Find {
    /// Names or paths, with `*`, `?`, `[...]` and `**`.
    #[arg(required = true)]
    pub(super) pattern: Vec<String>,
    /// Without regard to case.
    #[arg(long, short)]
    pub(super) ignore_case: bool,
    /// Only in this snapshot.
    #[arg(long, value_name = "ID")]
    pub(super) snapshot: Vec<String>,
    /// With mode, owner, size and time.
    #[arg(long, short)]
    pub(super) long: bool,
    #[command(flatten)]
    pub(super) filter: Filter,
}

#[derive(Debug, clap::Args)]
pub(super) struct Diff {
    /// The first snapshot.
    pub(super) before: String,
    /// The second one.
    #[arg(default_value = "latest")]
    pub(super) after: String,
    /// Also what differs in its metadata only.
    #[arg(long)]
    pub(super) metadata: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Dump {
    /// An id, the beginning of one, or `latest`.
    #[arg(long, default_value = "latest", value_name = "ID")]
    pub(super) snapshot: String,
    /// The file's absolute path in the snapshot.
    #[arg(id = "file", value_name = "PATH")]
    pub(super) file: String,
    #[command(flatten)]
    pub(super) filter: Filter,
}

#[derive(Debug, clap::Args)]
pub(super) struct Restore {
    /// An id, the beginning of one, or `latest`.
    #[arg(long, value_name = "ID")]
    pub(super) snapshot: String,
    /// The directory to restore into, made when it is missing.
    #[arg(long, short, value_name = "DIR")]
    pub(super) target: PathBuf,
    /// Restores only what stands at this path of the snapshot, and puts it at the target itself.
    #[arg(long, value_name = "PATH")]
    pub(super) root: Option<String>,
    /// Restores only this path and what is below it. Repeat it for several.
    #[arg(long, short, value_name = "PATH")]
    pub(super) include: Vec<String>,
    /// Leaves out what fits the pattern. Repeat it for several.
    #[arg(long, short, value_name = "PATTERN")]
    pub(super) exclude: Vec<String>,
    /// What happens to files that are there; without it, the target must be missing or empty. Only the parts that
    /// differ are written.
    #[arg(long, value_enum, num_args = 0..=1, require_equals = true, default_missing_value = "always", value_name = "WHEN")]
    pub(super) overwrite: Option<Overwrite>,
    /// Removes from the target what the snapshot does not have.
    #[arg(long, requires = "overwrite")]
    pub(super) delete: bool,
    /// Only says what would be done.
    #[arg(long, short = 'n')]
    pub(super) dry_run: bool,
    /// Reads every file again and compares it with the snapshot.
    #[arg(long)]
    pub(super) verify: bool,
    #[command(flatten)]
    pub(super) filter: Filter,
}

#[derive(Debug, Clone, Copy, clap::ValueEnum)]
pub(super) enum Overwrite {
    /// Their content is compared with the snapshot.
    Always,
    /// Those of the same size and time are taken to be the same.
    IfChanged,
    /// Those that were modified later than the snapshot's stay.
    IfNewer,
    /// They stay; what is missing is restored.
    Never,
}

#[derive(Debug, clap::Args)]
pub(super) struct Drill {
    /// An id, the beginning of one, or `latest`.
    #[arg(long, default_value = "latest", value_name = "ID")]
    pub(super) snapshot: String,
    /// Restores only files chosen by chance, of about so many bytes together.
    #[arg(long, value_name = "SIZE")]
    pub(super) sample: Option<Size>,
    /// The directory to restore into for a while; default: a new one among the temporary files.
    #[arg(long, value_name = "DIR")]
    pub(super) scratch: Option<PathBuf>,
    #[command(flatten)]
    pub(super) filter: Filter,
}

#[derive(Debug, clap::Args)]
pub(super) struct Check {
    /// Reads every byte of every location.
    #[arg(long, conflicts_with = "rotate")]
    pub(super) read_data: bool,
    /// Reads a part of the data, another one each day, so that after so many days all of it was read.
    #[arg(long, value_name = "DAYS")]
    pub(super) rotate: Option<u32>,
    /// Reads the N-th of T parts of the data.
    #[arg(long, value_name = "N/T", value_parser = subset, conflicts_with_all = ["rotate", "read_data"])]
    pub(super) read_data_subset: Option<(u32, u32)>,
}

fn subset(text: &str) -> Result<(u32, u32), String> {
    let parsed = text.split_once('/').and_then(|(part, of)| Some((part.parse().ok()?, of.parse().ok()?)));
    match parsed {
        Some((part, of)) if (1..=of).contains(&part) => Ok((part, of)),
        _ => Err("write N/T, such as 1/7: the first of seven parts".to_owned()),
    }
}

fn quorum(text: &str) -> Result<Quorum, String> {
    match text {
        "all" => Ok(Quorum::All),
        "primary" => Ok(Quorum::Primary),
        count => match count.parse() {
            Ok(count) if count > 0 => Ok(Quorum::AtLeast(count)),
            _ => Err("write `all`, `primary`, or how many".to_owned()),
        },
    }
}

#[derive(Debug, clap::Args)]
pub(super) struct Tag {
    /// Adds a tag.
    #[arg(long, value_name = "TAG", conflicts_with = "set")]
    pub(super) add: Vec<String>,
    /// Removes a tag.
    #[arg(long, value_name = "TAG", conflicts_with = "set")]
    pub(super) remove: Vec<String>,
    /// Puts these in the place of all others.
    #[arg(long, value_name = "TAG", required_unless_present_any = ["add", "remove"])]
    pub(super) set: Vec<String>,
    /// These snapshots: ids, beginnings of them, or `latest`.
    #[arg(required = true, value_name = "ID")]
    pub(super) snapshot: Vec<String>,
}

#[derive(Debug, clap::Args)]
pub(super) struct CatchUp {
    /// Only says what each location lacks.
    #[arg(long, short = 'n')]
    pub(super) dry_run: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Unlock {
    /// Removes the locks of living processes as well: only when nobody uses the repository.
    #[arg(long)]
    pub(super) remove_all: bool,
}

#[derive(Debug, clap::Args)]
pub(super) struct Forget {
    /// These snapshots, whatever the rules say: ids, or beginnings of them.
    #[arg(value_name = "ID", conflicts_with_all = ["keep_last", "keep_hourly", "keep_daily", "keep_weekly"])]
    pub(super) snapshot: Vec<String>,
    /// Keeps the latest N (or `unlimited`).
    #[arg(long, short = 'l', value_name = "N")]
    pub(super) keep_last: Option<Keep>,
    /// Keeps the latest of each of the last N hours that have one.
    #[arg(long, value_name = "N")]
    pub(super) keep_hourly: Option<Keep>,
    /// Keeps the latest of each of the last N days that have one.
    #[arg(long, short = 'd', value_name = "N")]
    pub(super) keep_daily: Option<Keep>,
    /// Keeps the latest of each of the last N weeks that have one.
    #[arg(long, short = 'w', value_name = "N")]
    pub(super) keep_weekly: Option<Keep>,
    /// Keeps the latest of each of the last N months that have one.
    #[arg(long, short = 'm', value_name = "N")]
    pub(super) keep_monthly: Option<Keep>,
    /// Keeps the latest of each of the last N quarters that have one.
    #[arg(long, value_name = "N")]
    pub(super) keep_quarterly: Option<Keep>,
    /// Keeps the latest of each of the last N years that have one.
    #[arg(long, short = 'y', value_name = "N")]
    pub(super) keep_yearly: Option<Keep>,
    /// Keeps all of this time before the latest, such as `1y5m7d2h`.
    #[arg(long, value_name = "SPAN")]
    pub(super) keep_within: Option<Span>,
    /// Keeps daily ones of this time.
    #[arg(long, value_name = "SPAN")]
    pub(super) keep_within_daily: Option<Span>,
    /// Keeps weekly ones of this time.
    #[arg(long, value_name = "SPAN")]
    pub(super) keep_within_weekly: Option<Span>,
    /// Keeps monthly ones of this time.
    #[arg(long, value_name = "SPAN")]
    pub(super) keep_within_monthly: Option<Span>,
    /// Keeps those with these tags (separated by commas); repeat it for alternatives.
    #[arg(long, value_name = "TAG[,TAG]")]
    pub(super) keep_tag: Vec<String>,
    /// What the snapshots of a group have in common: host, paths, tags, or several with commas.
    #[arg(long, short, default_value = "host,paths", value_name = "WORDS")]
    pub(super) group_by: GroupBy,
    /// Prunes afterwards.
    #[arg(long)]
    pub(super) prune: bool,
    /// Only says what would be done.
    #[arg(long, short = 'n')]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) filter: Filter,
    #[command(flatten)]
    pub(super) pruning: Pruning,
}

#[derive(Debug, clap::Args)]
pub(super) struct Prune {
    /// Only says what would be done.
    #[arg(long, short = 'n')]
    pub(super) dry_run: bool,
    #[command(flatten)]
    pub(super) pruning: Pruning,
}

#[derive(Debug, clap::Args)]
pub(super) struct Copy {
    /// Where the other repository is. Repeat it for several replicas.
    #[arg(long, required = true, value_name = "LOCATION")]
    pub(super) to: Vec<String>,
    /// A file whose first line is the other's password; default: AETHERIUS_TO_PASSWORD, or the same password.
    #[arg(long, value_name = "FILE")]
    pub(super) to_password_file: Option<PathBuf>,
    /// These snapshots; default: all that pass the filter.
    #[arg(value_name = "ID")]
    pub(super) snapshot: Vec<String>,
    #[command(flatten)]
    pub(super) filter: Filter,
}

#[derive(Debug, Subcommand)]
pub(super) enum Key {
    /// Lists the keys; the one in use has a star.
    List,
    /// Adds a password.
    Add {
        /// A file whose first line is the new password.
        #[arg(long, value_name = "FILE")]
        new_password_file: PathBuf,
    },
    /// Changes the password that was given.
    Passwd {
        /// A file whose first line is the new password.
        #[arg(long, value_name = "FILE")]
        new_password_file: PathBuf,
    },
    /// Removes a password; not the one that was given.
    Remove {
        /// The key's id, or the beginning of it.
        id: String,
    },
}

#[derive(Debug, clap::Args)]
pub(super) struct Repair {
    /// What to mend; in this order each loses less than the next.
    #[arg(value_enum)]
    pub(super) what: RepairWhat,
    /// Only says what would be done.
    #[arg(long, short = 'n')]
    pub(super) dry_run: bool,
    /// With `index`: reads the header of every pack.
    #[arg(long)]
    pub(super) read_packs: bool,
    /// With `snapshots`: forgets the damaged ones.
    #[arg(long)]
    pub(super) forget: bool,
}

#[derive(Debug, Clone, clap::ValueEnum)]
pub(super) enum RepairWhat {
    /// Files that another location has whole.
    Replicas,
    /// The index, from the packs.
    Index,
    /// Packs that are damaged everywhere: what can be read of them is saved.
    Packs,
    /// Snapshots, without what is lost.
    Snapshots,
}

#[derive(Debug, clap::Args)]
pub(super) struct Pruning {
    /// How much may stay unused: bytes with a unit, a percentage, or `unlimited`.
    #[arg(long, value_name = "LIMIT")]
    pub(super) max_unused: Option<MaxUnused>,
    /// Removes at once, under an exclusive lock, instead of in two phases beside running backups.
    #[arg(long)]
    pub(super) exclusive: bool,
}
