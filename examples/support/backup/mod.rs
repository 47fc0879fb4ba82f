//! The parts of the `backup` example.

mod args;
mod browse;
mod bucket;
mod copy;
mod exit;
mod forget;
mod keys;
mod location;
mod make;
mod output;
mod progress;
mod repair;
mod restore;
mod upkeep;

use aetherius::{Error, Result};
use args::{Args, Command};
use clap::Parser;
use exit::Outcome;
use output::Output;
use std::process::ExitCode;

pub(crate) fn main() -> ExitCode {
    let args = Args::parse();
    let output = Output { json: args.json, quiet: args.quiet };
    let runtime = tokio::runtime::Builder::new_multi_thread().enable_all().max_blocking_threads(8).build();
    let result = runtime.map_err(Error::from).and_then(|runtime| {
        let result = runtime.block_on(Box::pin(run(args, output)));
        // What blocks on a disk that is gone must not keep the program.
        runtime.shutdown_timeout(std::time::Duration::from_secs(5));
        result
    });
    match result {
        Ok(Outcome::Complete) => ExitCode::SUCCESS,
        Ok(Outcome::Incomplete) => ExitCode::from(exit::INCOMPLETE),
        Err(error) => {
            output.failure(&error);
            ExitCode::from(exit::code(&error))
        }
    }
}

async fn run(args: Args, output: Output) -> Result<Outcome> {
    let access = location::Access::new(&args)?;
    match args.command {
        Command::Init(init) => make::init(&access, &init, output).await,
        Command::Run(run) => make::run(&access, &run, output).await,
        Command::Snapshots(list) => browse::snapshots(&access, &list, output).await,
        Command::Ls(ls) => browse::ls(&access, &ls, output).await,
        Command::Find(find) => browse::find(&access, &find, output).await,
        Command::Diff(diff) => browse::diff(&access, &diff, output).await,
        Command::Dump(dump) => restore::dump(&access, &dump).await,
        Command::Restore(options) => restore::restore(&access, &options, output).await,
        Command::Drill(drill) => restore::drill(&access, &drill, output).await,
        Command::Check(check) => upkeep::check(&access, &check, output).await,
        Command::Forget(forget) => forget::forget(&access, &forget, output).await,
        Command::Copy(options) => Box::pin(copy::copy(&access, &options, output)).await,
        Command::Tag(tag) => upkeep::tag(&access, &tag, output).await,
        Command::CatchUp(options) => Box::pin(upkeep::catch_up(&access, &options, output)).await,
        Command::ExtendLocks => Box::pin(upkeep::extend_locks(&access, output)).await,
        Command::Unlock(unlock) => upkeep::unlock(&access, &unlock, output).await,
        Command::Key { command } => keys::key(&access, &command, output).await,
        Command::Repair(options) => repair::repair(&access, &options, output).await,
        Command::Prune(prune) => forget::prune(&access, &prune, output).await,
    }
}
