//! A fake Docker engine, which responds correctly only to requests for its version and for new
//! programs.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{UnixListener, UnixStream};

use super::answers::{Answer, End};

/// A fake engine. Dropping the value ends the engine.
pub struct FakeEngine {
    directory: tempfile::TempDir,
    task: tokio::task::JoinHandle<()>,
}

impl FakeEngine {
    /// Starts an engine that sends `answer` to every request, except requests for the version and
    /// for new programs.
    pub fn start(answer: Answer) -> Self {
        let answer = Arc::new(answer);
        Self::listen(move |stream| {
            let answer = Arc::clone(&answer);
            async move { lie(stream, &answer).await }
        })
    }

    /// Sends the responses of `answer`, which maps the method and the path of a request to a status
    /// and a body.
    pub fn scripted(answer: impl Fn(&str, &str) -> (u16, String) + Send + Sync + 'static) -> Self {
        let answer = Arc::new(answer);
        Self::listen(move |mut stream| {
            let answer = Arc::clone(&answer);
            async move {
                let Some(request) = Request::read(&mut stream).await? else { return Ok(()) };
                if request.path.ends_with("/version") {
                    return json(&mut stream, 200, VERSION).await;
                }
                let (status, body) = answer(&request.method, &request.path);
                json(&mut stream, status, &body).await
            }
        })
    }

    fn listen<F>(serve: impl Fn(UnixStream) -> F + Send + 'static) -> Self
    where
        F: Future<Output = std::io::Result<()>> + Send + 'static,
    {
        let directory = tempfile::tempdir().unwrap();
        let listener = UnixListener::bind(socket(directory.path())).unwrap();
        let task = tokio::spawn(async move {
            while let Ok((stream, _)) = listener.accept().await {
                let served = serve(stream);
                // The tests cause closed connections on purpose.
                tokio::spawn(async move { drop(served.await) });
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

const VERSION: &str = r#"{"ApiVersion":"1.41"}"#;

struct Request {
    method: String,
    /// The path without the query.
    path: String,
}

impl Request {
    /// Reads the head of a request. `None` if the client closes the connection before the end of
    /// the head.
    async fn read(stream: &mut UnixStream) -> std::io::Result<Option<Self>> {
        let mut head = Vec::new();
        while !head.windows(4).any(|end| end == b"\r\n\r\n") {
            let mut piece = [0; 4096];
            let length = stream.read(&mut piece).await?;
            if length == 0 {
                return Ok(None);
            }
            head.extend_from_slice(&piece[..length]);
        }
        let head = String::from_utf8_lossy(&head);
        let mut words = head.split(' ');
        let method = words.next().unwrap_or_default().to_owned();
        let path = words.next().unwrap_or_default();
        let (path, _) = path.split_once('?').unwrap_or((path, ""));
        Ok(Some(Self { method, path: path.to_owned() }))
    }
}

async fn lie(mut stream: UnixStream, answer: &Answer) -> std::io::Result<()> {
    let Some(request) = Request::read(&mut stream).await? else { return Ok(()) };
    if request.path.ends_with("/version") {
        return json(&mut stream, 200, VERSION).await;
    }
    if request.method == "POST" && request.path.ends_with("/exec") {
        return json(&mut stream, 200, r#"{"Id":"1"}"#).await;
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

async fn json(stream: &mut UnixStream, status: u16, body: &str) -> std::io::Result<()> {
    let length = body.len();
    let head = format!("HTTP/1.1 {status} X\r\nContent-Type: application/json");
    let text = format!("{head}\r\nContent-Length: {length}\r\n\r\n{body}");
    stream.write_all(text.as_bytes()).await
}
