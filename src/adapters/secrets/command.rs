//! Reads a secret from the output of a program. The program has no shell, no terminal and no input.
//! From the operator's environment, the program gets only `PATH` and `HOME`.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::group::Group;
use super::{DEADLINE, MAX_SOURCE_BYTES};

/// The maximum number of bytes of standard error that the operator stores to find the first line.
const MAX_STDERR_BYTES: usize = 4 << 10;

/// The maximum length, in characters, of the first line of standard error in a message.
const MAX_SHOWN_CHARS: usize = 200;

/// The time limit to read the rest of the output after the program has ended. A child in a separate
/// session can keep the pipe open for a longer time.
const REST_WITHIN: Duration = Duration::from_millis(500);

/// The `PATH` of the program if the operator has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs `argv` and returns the standard output.
///
/// Kills the program and its children in three cases: the program runs for too long, the program
/// prints too much, or the caller drops the future.
pub(super) async fn output(argv: &[String]) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut child = start(argv)?;
    // Declare the group after the child, so that the group is dropped first: until the child is
    // reaped, no other group can get the id of this group.
    let mut group = Group::of(&child);
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("the operator cannot read its output".to_owned());
    };
    let run = async {
        // Allocate the full size, because a buffer that grows leaves copies of the secret behind.
        let mut printed = Zeroizing::new(Vec::with_capacity(MAX_SOURCE_BYTES + 64));
        let mut error_output = Zeroizing::new(Vec::with_capacity(MAX_STDERR_BYTES + 64));
        {
            // Read both pipes at the same time. Otherwise a program that waits on one full pipe
            // writes nothing to the other pipe, and never ends.
            let reading = async {
                tokio::try_join!(all(stdout, &mut printed), beginning(stderr, &mut error_output))
            };
            tokio::pin!(reading);
            let read = tokio::select! {
                biased;
                read = reading.as_mut() => Some(read),
                () = group.leader_ended() => None,
            };
            match read {
                Some(read) => {
                    read?;
                    group.leader_ended().await;
                    group.end();
                }
                None => {
                    // Kill the children of the program. Otherwise the children keep the pipes open
                    // and continue to run.
                    group.end();
                    if let Ok(read) = timeout(REST_WITHIN, reading).await {
                        read?;
                    }
                }
            }
        }
        let status = child.wait().await.map_err(|e| e.to_string())?;
        if status.success() {
            return Ok(printed);
        }
        // `status` prints "exit status: 3" or "signal: 9 (SIGKILL)".
        Err(match first_line(&error_output) {
            Some(line) => format!("it failed with {status}: {line}"),
            None => format!("it failed with {status}"),
        })
    };
    timeout(DEADLINE, run)
        .await
        .unwrap_or_else(|_| Err(format!("it did not end within {} s", DEADLINE.as_secs())))
}

fn start(argv: &[String]) -> Result<Child, String> {
    let (program, rest) =
        argv.split_first().ok_or_else(|| "the command is empty; name a program".to_owned())?;
    let inherited = |name| std::env::var_os(name).filter(|value| !value.is_empty());
    let mut command = Command::new(program);
    command
        .args(rest)
        .env_clear()
        .env("PATH", inherited("PATH").unwrap_or_else(|| DEFAULT_PATH.into()))
        .env("LANG", "C.UTF-8")
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        // With a separate process group, the operator can kill the program with its children.
        .process_group(0)
        .kill_on_drop(true);
    if let Some(home) = inherited("HOME") {
        command.env("HOME", home);
    }
    // The operator's own descriptors close on exec, but the descriptors that the operator inherited
    // do not.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    command.spawn().map_err(|e| format!("it could not be started: {e}"))
}

/// Reads the whole output. An output of more than [`MAX_SOURCE_BYTES`] is an error.
async fn all(pipe: impl AsyncRead + Unpin, printed: &mut Vec<u8>) -> Result<(), String> {
    head(pipe, MAX_SOURCE_BYTES + 1, printed).await?;
    if printed.len() > MAX_SOURCE_BYTES {
        return Err(format!("it printed more than {MAX_SOURCE_BYTES} bytes"));
    }
    Ok(())
}

async fn head(
    pipe: impl AsyncRead + Unpin,
    limit: usize,
    bytes: &mut Vec<u8>,
) -> Result<(), String> {
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    pipe.take(most).read_to_end(bytes).await.map(drop).map_err(|e| e.to_string())
}

/// Stores the first bytes of standard error and discards the rest, so that the program never waits
/// on a full pipe.
async fn beginning(
    mut pipe: impl AsyncRead + Unpin,
    error_output: &mut Vec<u8>,
) -> Result<(), String> {
    head(&mut pipe, MAX_STDERR_BYTES, error_output).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await.map(drop).map_err(|e| e.to_string())
}

fn first_line(error_output: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(error_output);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS).collect())
}
