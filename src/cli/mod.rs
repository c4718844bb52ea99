//! The command line.

mod apply;
mod args;
mod audit;
mod configs;
mod doctor;
mod empty_store;
mod endpoint;
mod events;
mod explain;
mod export;
mod inventory;
mod log;
mod logged_control;
mod logs;
mod manual;
mod mcp;
mod messaging;
mod output;
mod pages;
mod progress;
mod run;
mod runtimes;
mod schemas;
mod session;
mod show;
mod status_text;
mod table;
mod terminal;
mod times;
mod verdict_marks;

use std::process::ExitCode;

use tokio::signal::unix::{SignalKind, signal};
use tracing::level_filters::LevelFilter;

use args::Command;
pub use args::{Arguments, command};
pub use manual::{ENVIRONMENT, FILES, exit_statuses};
pub use schemas::output_schemas;

/// The exit code of a failure.
const FAILURE: u8 = 1;
/// The exit code of wrong arguments or a wrong file (`EX_USAGE` in `sysexits.h`).
const USAGE: u8 = 64;

/// The reason why a command ends without success.
#[derive(Debug)]
pub(crate) enum Exit {
    /// The command failed, with this message. The exit code is [`FAILURE`].
    Failure(String),
    /// The arguments or the file are wrong, with this message. The exit code is [`USAGE`].
    Usage(String),
    /// The command has printed its own message, and ends with this exit code.
    Code(u8),
}

impl<E: std::error::Error> From<E> for Exit {
    fn from(error: E) -> Self {
        Self::Failure(format!("failed to {error}"))
    }
}

type Outcome = Result<(), Exit>;

/// Runs the program.
#[must_use]
pub fn main() -> ExitCode {
    let arguments = match args::parse() {
        Ok(arguments) => arguments,
        Err(error) => {
            // Ignore the error: if standard error is closed, no message can be printed.
            let _ = error.print();
            return ExitCode::from(if error.use_stderr() { USAGE } else { 0 });
        }
    };
    match dispatch(arguments) {
        Ok(()) => ExitCode::SUCCESS,
        Err(Exit::Code(code)) => ExitCode::from(code),
        Err(Exit::Failure(message)) => {
            output::complain(&message);
            ExitCode::from(FAILURE)
        }
        Err(Exit::Usage(message)) => {
            output::complain(&message);
            ExitCode::from(USAGE)
        }
    }
}

/// Disables core dumps, and prevents other processes of the same user from reading the memory of
/// this process, because the memory holds passwords.
fn keep_memory_private() {
    use rustix::process::{DumpableBehavior, Resource, Rlimit};
    let none = Rlimit { current: Some(0), maximum: Some(0) };
    let limited = rustix::process::setrlimit(Resource::Core, none);
    let closed = rustix::process::set_dumpable_behavior(DumpableBehavior::NotDumpable);
    if let Err(error) = limited.and(closed) {
        tracing::debug!(%error, "failed to turn off core dumps");
    }
}

fn dispatch(arguments: Arguments) -> Outcome {
    keep_memory_private();
    // The parent process may have left descriptors open. The programs that the operator starts must
    // not inherit these descriptors.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    let Arguments { desired_state, state_dir, log_format, command } = arguments;
    let state_dir = state_dir.unwrap_or_else(args::default_state_dir);
    let level = match command {
        Command::Run { .. } | Command::Mcp(_) => LevelFilter::INFO,
        // All other commands print a result, so log only warnings.
        _ => LevelFilter::WARN,
    };
    log::start(log_format, level);
    let paths = session::Paths { desired_state, state_dir };
    match command {
        Command::Explain { field, recursive: false } => explain::explain(field.as_deref()),
        Command::Explain { field, recursive: true } => {
            explain::explain_recursively(field.as_deref())
        }
        Command::Schema => output::pretty_json(&crate::domain::spec::schema()),
        Command::Completions { shell } => pages::completions(shell),
        Command::Man { output } => pages::man(output.as_deref()),
        Command::Validate => block_on(show::validate(&paths)),
        Command::Plan { output, detailed_exitcode } => {
            let exit =
                if detailed_exitcode { show::PlanExit::Detailed } else { show::PlanExit::Plain };
            block_on(show::plan(&paths, output, exit))
        }
        Command::Apply { output, approve } => block_on(apply::apply(&paths, output, approve)),
        Command::Run { listen, token_file, resync, messaging_socket } => {
            let web = endpoint::Web { listen, token_file };
            // `run` handles signals itself.
            until_done(run::run(&paths, &web, resync, messaging_socket))
        }
        // `mcp` handles signals itself.
        Command::Mcp(arguments) => until_done(mcp::mcp(arguments)),
        Command::Retry { fill: false } => block_on(configs::retry(&paths)),
        Command::Retry { fill: true } => block_on(configs::fill(&paths)),
        Command::Inventory { output } => inventory::inventory(&paths, output),
        Command::Forget { name, kind, host } => {
            block_on(inventory::forget(&paths, name, kind, host))
        }
        Command::Adopt { name: Some(name), kind, .. } => {
            block_on(inventory::adopt(&paths, &name, kind))
        }
        Command::Adopt { .. } => block_on(inventory::adopt_all(&paths)),
        Command::Secret { name } => block_on(inventory::secret(&paths, &name)),
        Command::History { output } => configs::history(&paths, output),
        Command::Rollback { digest } => block_on(configs::rollback(&paths, digest)),
        Command::Status { output } => block_on(show::status(&paths, output)),
        Command::Events { limit, warnings, about, since, follow, output } => {
            let filter = events::Filter { limit, warnings, about, since };
            if follow {
                block_on(events::follow(&paths, &filter, output))
            } else {
                events::show(&paths, &filter, output)
            }
        }
        Command::Logs { since, tail, follow, no_marks, output } => {
            let window = logs::Window { since, tail, follow, no_marks };
            block_on(logs::logs(&paths, &window, output))
        }
        Command::Export { container, output, engine } => {
            block_on(export::export(container, engine, &output))
        }
        Command::Doctor { user, symptom, output } => {
            block_on(doctor::doctor(&paths, user.as_deref(), symptom, output))
        }
        Command::Audit { output } => block_on(audit::audit(&paths, output)),
    }
}

/// Waits for a signal that ends the program. Returns the exit code.
async fn interrupted() -> i32 {
    let (Ok(mut term), Ok(mut int)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        return std::future::pending().await;
    };
    // Both branches are cancel-safe. A shell shows the same exit codes for these signals.
    tokio::select! {
        _ = term.recv() => 143,
        _ = int.recv() => 130,
    }
}

/// Runs a command until its end, or until a signal ends the command.
fn block_on(work: impl Future<Output = Outcome>) -> Outcome {
    until_done(async {
        tokio::select! {
            result = work => result,
            code = interrupted() => {
                // Programs that print a secret are in another process group. Without this call,
                // these programs would continue to run.
                crate::adapters::secrets::end_programs();
                std::process::exit(code)
            }
        }
    })
}

fn until_done(work: impl Future<Output = Outcome>) -> Outcome {
    // Use two threads: one for the reconciliation, and one for the page, which must respond at the
    // same time.
    let runtime =
        tokio::runtime::Builder::new_multi_thread().worker_threads(2).enable_all().build()?;
    let result = runtime.block_on(work);
    // Do not wait for blocking file reads, because a read that hangs would delay the end.
    runtime.shutdown_background();
    result
}
