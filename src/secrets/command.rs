//! Secrets that a program prints. No shell, no terminal, no input.

use std::process::Stdio;

use tokio::io::{AsyncRead, AsyncReadExt};
use tokio::process::Command;
use zeroize::Zeroizing;

use super::{DEADLINE, MAX_SOURCE_BYTES};

/// How much of the standard error is looked at for its first line, in bytes.
const MAX_STDERR_BYTES: usize = 4 << 10;

/// How much of that line is shown, in characters.
const MAX_SHOWN_CHARS: usize = 200;

/// Runs `argv` and gives what it prints. It is killed where it takes too long
/// or prints too much.
pub(super) async fn output(argv: &[String]) -> Result<Zeroizing<Vec<u8>>, String> {
    let (program, rest) =
        argv.split_first().ok_or_else(|| "the command is empty; name a program".to_owned())?;
    let mut child = Command::new(program)
        .args(rest)
        .stdin(Stdio::null())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true)
        .spawn()
        .map_err(|e| format!("it could not be started: {e}"))?;
    let (Some(stdout), Some(stderr)) = (child.stdout.take(), child.stderr.take()) else {
        return Err("its output could not be read".to_owned());
    };
    let run = async {
        let printed = async {
            let bytes = head(stdout, MAX_SOURCE_BYTES + 1).await?;
            if bytes.len() > MAX_SOURCE_BYTES {
                return Err(format!("it printed more than {MAX_SOURCE_BYTES} bytes"));
            }
            Ok(bytes)
        };
        // Both at once: a program that fills one pipe waits before the other.
        let (printed, said) = tokio::try_join!(printed, first_part(stderr))?;
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
    tokio::time::timeout(DEADLINE, run)
        .await
        .unwrap_or_else(|_| Err(format!("it did not end within {} s", DEADLINE.as_secs())))
}

async fn head(pipe: impl AsyncRead + Unpin, limit: usize) -> Result<Zeroizing<Vec<u8>>, String> {
    // All at once, so that no outgrown buffer keeps a secret.
    let mut bytes = Zeroizing::new(Vec::with_capacity(limit + 32));
    let most = u64::try_from(limit).unwrap_or(u64::MAX);
    pipe.take(most).read_to_end(&mut bytes).await.map_err(|e| e.to_string())?;
    Ok(bytes)
}

async fn first_part(mut pipe: impl AsyncRead + Unpin) -> Result<Zeroizing<Vec<u8>>, String> {
    let bytes = head(&mut pipe, MAX_STDERR_BYTES).await?;
    // Read on, so that a talkative program does not stop halfway.
    tokio::io::copy(&mut pipe, &mut tokio::io::sink()).await.map_err(|e| e.to_string())?;
    Ok(bytes)
}

fn first_line(said: &[u8]) -> Option<String> {
    let text = String::from_utf8_lossy(said);
    let line = text.lines().map(str::trim).find(|line| !line.is_empty())?;
    Some(line.chars().filter(|c| !c.is_control()).take(MAX_SHOWN_CHARS).collect())
}
