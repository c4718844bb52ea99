//! Secrets that a program prints. No shell, no terminal, no input, and nothing
//! of the operator's own but `PATH` and `HOME`.

use std::process::Stdio;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::{Child, Command};
use tokio::time::timeout;
use zeroize::Zeroizing;

use super::group::Group;
use super::{DEADLINE, MAX_SOURCE_BYTES};

/// How much of the standard error is looked at for its first line, in bytes.
const MAX_STDERR_BYTES: usize = 4 << 10;

/// How much of that line is shown, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// How long what a program printed may take to be read once it has ended. Longer
/// means that a program in a session of its own keeps the pipe open.
const REST_WITHIN: Duration = Duration::from_millis(500);

/// Where programs are found if the operator itself has no `PATH`.
const DEFAULT_PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// Runs `argv` and gives what it prints. It is killed, with what it started,
/// where it takes too long or prints too much, and when nobody waits any more.
pub(super) async fn output(argv: &[String]) -> Result<Zeroizing<Vec<u8>>, String> {
    let mut child = start(argv)?;
    // Dropped before the child: until that is waited for, the number of its group is its own.
    let mut group = Group::of(&child);
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("its output could not be read".to_owned());
    };
    let run = async {
        // All at once, so that no outgrown buffer keeps a secret.
        let mut printed = Zeroizing::new(Vec::with_capacity(MAX_SOURCE_BYTES + 64));
        let mut said = Zeroizing::new(Vec::with_capacity(MAX_STDERR_BYTES + 64));
        {
            // Both at once: a program that fills one pipe waits before the other.
            let reading =
                async { tokio::try_join!(all(stdout, &mut printed), beginning(stderr, &mut said)) };
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
                    // What it left behind would keep the pipes open, and run on.
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
        // `status` says "exit status: 3" or "signal: 9 (SIGKILL)".
        Err(match first_line(&said) {
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
        // So that it can be ended with all that it starts.
        .process_group(0)
        .kill_on_drop(true);
    if let Some(home) = inherited("HOME") {
        command.env("HOME", home);
    }
    // Ours close themselves; those that the operator was started with do not.
    close_fds::set_fds_cloexec_threadsafe(3, &[]);
    command.spawn().map_err(|e| format!("it could not be started: {e}"))
}

/// Reads everything, up to the most that is possible.
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

/// Keeps the beginning, and reads on, so that a talkative program does not stop halfway.
async fn beginning(mut pipe: impl AsyncRead + Unpin, said: &mut Vec<u8>) -> Result<(), String> {
    head(&mut pipe, MAX_STDERR_BYTES, said).await?;
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await.map(drop).map_err(|e| e.to_string())
}

fn first_line(said: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS).collect())
}
