//! Reads secrets from files, environment variables and the output of programs, and reads the files
//! that the desired state refers to.
//!
//! An error names the source and the problem, and never contains the secret.

mod command;
mod files;
mod group;
#[cfg(test)]
mod tests;

use std::path::{Path, PathBuf};
use std::time::Duration;

use async_trait::async_trait;
use zeroize::Zeroizing;

use crate::domain::model::Secret;
use crate::domain::spec::{SecretSink, SecretSource};
use crate::engine::{IsOurs, SecretError, Secrets};

/// The maximum size of a file with a secret and of the output of a program, in bytes.
const MAX_SOURCE_BYTES: usize = 64 << 10;

/// The maximum length of a password, in bytes: eight times the maximum length of a part of a JID
/// (1023 bytes).
const MAX_SECRET_BYTES: usize = 1023 * 8;

/// The maximum size of a file that the desired state refers to, in bytes.
const MAX_FILE_BYTES: usize = 16 << 20;

/// The time limit for an operation of a disk or a program.
const DEADLINE: Duration = Duration::from_secs(30);

/// The characters of generated passwords. The list contains no characters that people confuse (`0`,
/// `O`, `o`, `1`, `l`, `I`), and no characters with a meaning in a shell or a URL.
const ALPHABET: &[u8] = b"ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnpqrstuvwxyz23456789";

/// The length of generated passwords, in characters. 24 characters have 139 bits of entropy.
const GENERATED_LENGTH: usize = 24;

/// Reads and writes secrets on this machine.
#[derive(Debug, Clone, Copy, Default)]
pub struct FileSecrets;

impl FileSecrets {
    /// Creates the adapter, which reads and writes with the rights of the operator.
    #[must_use]
    pub fn new() -> Self {
        Self
    }
}

/// Kills the programs that print a secret, with their children. The operator calls this function
/// before it exits.
pub fn end_programs() {
    group::end_all();
}

#[async_trait]
impl Secrets for FileSecrets {
    async fn read(&self, source: &SecretSource) -> Result<Secret, SecretError> {
        let (what, found) = match source {
            SecretSource::Inline(secret) => {
                let text = Zeroizing::new(secret.expose().as_bytes().to_vec());
                return check(text).map_err(error("the inline password"));
            }
            SecretSource::File(path) => {
                let path = path.clone();
                let what = path.display().to_string();
                (what, blocking(move || files::read(&path, MAX_SOURCE_BYTES)).await)
            }
            SecretSource::Env(name) => (format!("the variable {name}"), variable(name)),
            SecretSource::Command(argv) => {
                let program = argv.first().map_or("", String::as_str);
                (format!("the output of {program}"), command::output(argv).await)
            }
            SecretSource::Generate => {
                return Err(error("a generated password")(
                    "the operator generates it when it creates the account, and stores it in the state directory"
                        .to_owned(),
                ));
            }
        };
        found.and_then(|bytes| check(without_newline(bytes))).map_err(error(&what))
    }

    fn generate(&self) -> Result<Secret, SecretError> {
        generate().map_err(error("random numbers"))
    }

    async fn publish(
        &self,
        sink: &SecretSink,
        secret: &Secret,
        is_ours: IsOurs,
    ) -> Result<(), SecretError> {
        let (SecretSink { file, mode }, secret) = (sink.clone(), secret.clone());
        let what = file.display().to_string();
        let done = blocking(move || files::publish(&file, mode, &secret, &is_ours));
        done.await.map_err(error(&what))
    }

    async fn exposure(&self, path: &Path) -> Result<Option<String>, SecretError> {
        let owned: PathBuf = path.to_owned();
        let found = blocking(move || files::exposure(&owned)).await;
        found.map_err(error(&path.display().to_string()))
    }

    async fn read_file(&self, path: &Path) -> Result<Vec<u8>, SecretError> {
        let owned: PathBuf = path.to_owned();
        blocking(move || files::read(&owned, MAX_FILE_BYTES))
            .await
            .map(|mut bytes| std::mem::take(&mut *bytes))
            .map_err(error(&path.display().to_string()))
    }
}

fn error(what: &str) -> impl FnOnce(String) -> SecretError {
    let what = what.to_owned();
    |cause| SecretError { what, cause }
}

/// Runs `work` on a blocking thread, with a time limit. The limit ends the wait for a network disk
/// that does not respond, but the thread continues.
async fn blocking<T: Send + 'static>(
    work: impl FnOnce() -> Result<T, String> + Send + 'static,
) -> Result<T, String> {
    match tokio::time::timeout(DEADLINE, tokio::task::spawn_blocking(work)).await {
        Ok(Ok(done)) => done,
        Ok(Err(_)) => Err("the read was interrupted".to_owned()),
        Err(_) => Err(format!("the disk did not respond for {} s", DEADLINE.as_secs())),
    }
}

fn variable(name: &str) -> Result<Zeroizing<Vec<u8>>, String> {
    std::env::var_os(name)
        .map(|value| Zeroizing::new(value.into_encoded_bytes()))
        .ok_or_else(|| "it is not set; set it in the environment of the operator".to_owned())
}

/// Removes one newline at the end, which editors and `echo` add.
fn without_newline(mut bytes: Zeroizing<Vec<u8>>) -> Zeroizing<Vec<u8>> {
    if bytes.last() == Some(&b'\n') {
        bytes.pop();
    }
    bytes
}

/// Converts the bytes to a secret. Refuses passwords that ejabberd refuses or changes.
fn check(mut bytes: Zeroizing<Vec<u8>>) -> Result<Secret, String> {
    if bytes.len() > MAX_SECRET_BYTES {
        let len = bytes.len();
        return Err(format!("it has {len} bytes; a password has at most {MAX_SECRET_BYTES}"));
    }
    let text = String::from_utf8(std::mem::take(&mut *bytes)).map_err(|e| {
        drop(Zeroizing::new(e.into_bytes()));
        "it is not UTF-8 text".to_owned()
    })?;
    let secret = Secret::new(text);
    let text = secret.expose();
    if text.is_empty() {
        return Err("it is empty; ejabberd accepts no empty password".to_owned());
    }
    match text.chars().find(|c| c.is_control()) {
        None => Ok(secret),
        Some('\n' | '\r') => Err("it has more than one line; a password is one line, \
                                  ended by at most one newline (\\n, not \\r\\n)"
            .to_owned()),
        Some('\t') => Err("it has a tab, which ejabberd does not accept".to_owned()),
        Some(_) => Err("it has a control character, which ejabberd does not accept".to_owned()),
    }
}

fn generate() -> Result<Secret, String> {
    // Use only bytes below the largest multiple of the alphabet's size. With the other bytes, the
    // first characters of the alphabet would be more frequent.
    let limit = 256 - 256 % ALPHABET.len();
    let mut password = String::with_capacity(GENERATED_LENGTH);
    let mut random = Zeroizing::new([0_u8; 2 * GENERATED_LENGTH]);
    while password.len() < GENERATED_LENGTH {
        getrandom::fill(&mut *random).map_err(|e| e.to_string())?;
        let wanted = GENERATED_LENGTH - password.len();
        password.extend(
            random
                .iter()
                .map(|&byte| usize::from(byte))
                .filter(|&byte| byte < limit)
                .filter_map(|byte| ALPHABET.get(byte % ALPHABET.len()))
                .map(|&byte| char::from(byte))
                .take(wanted),
        );
    }
    Ok(Secret::new(password))
}
