//! An engine that is honest about its version and new programs, and then lies.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::answers::{Answer, End};

/// It listens until it is dropped.
pub struct FakeEngine {
    directory: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl FakeEngine {
    pub fn start(answer: Answer) -> Self {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(directory.path())).unwrap();
        let answer = Arc::new(answer);
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let answer = Arc::clone(&answer);
                // That the other side hangs up is what the tests are for.
                tokio::spawn(async move { drop(serve(stream, &answer).await) });
            }
        });
        Self { directory, task }
    }

    pub fn host(&self) -> String {
        format!("unix://{}", socket(self.directory.path()).display())
    }
}

impl Drop for FakeEngine {
    fn drop(&mut self) {
        self.task.abort();
    }
}

fn socket(directory: &Path) -> PathBuf {
    directory.join("docker.sock")
}

async fn serve(mut stream: UnixStream, answer: &Answer) -> std::io::Result<()> {
    let mut head = Vec::new();
    while !head.windows(4).any(|end| end == b"\r\n\r\n") {
        let mut piece = [0; 4096];
        let length = stream.read(&mut piece).await?;
        if length == 0 {
            return Ok(());
        }
        head.extend_from_slice(&piece[..length]);
    }
    let request = String::from_utf8_lossy(&head);
    let path = request.split(' ').nth(1).unwrap_or_default();
    let (path, _) = path.split_once('?').unwrap_or((path, ""));
    if path.ends_with("/version") {
        return json(&mut stream, r#"{"ApiVersion":"1.41"}"#).await;
    }
    if request.starts_with("POST") && path.ends_with("/exec") {
        return json(&mut stream, r#"{"Id":"1"}"#).await;
    }
    stream.write_all(&answer.bytes).await?;
    match &answer.end {
        End::Close => {}
        End::Silence => drop(stream.read_to_end(&mut Vec::new()).await),
        End::Forever(piece) => loop {
            stream.write_all(piece).await?;
        },
        End::Drip(piece) => loop {
            stream.write_all(piece).await?;
            tokio::time::sleep(std::time::Duration::from_secs(1)).await;
        },
    }
    Ok(())
}

async fn json(stream: &mut UnixStream, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json";
    let text = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await
}
