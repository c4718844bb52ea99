//! Finds the Erlang installation in the container or on the host of a server: checks which of the
//! paths that [`super`] names exist.

use async_trait::async_trait;

use super::{
    ControlScript, Installation, Launcher, NodeAddress, boot_candidates, known_launchers,
    release_lib,
};

/// The maximum number of scripts in a chain of wrappers. A wrapper script can call another wrapper
/// script, so the search needs a limit.
const MAX_WRAPPERS: usize = 3;

/// The paths of the cookie file, relative to the home directory. OTP reads both files
/// (`auth:read_cookie/0` of OTP 25 to 29).
const COOKIE_FILES: [&str; 2] = [".erlang.cookie", ".config/erlang/.erlang.cookie"];

/// The files in the container of the server, or on the host if the server has no container.
#[async_trait]
pub(crate) trait Files: Sync {
    /// The error of a failed read.
    type Error;

    /// Whether a file, directory or link exists at `path`.
    async fn exists(&self, path: &str) -> Result<bool, Self::Error>;

    /// The text of the file at `path`; `None` if the file does not exist.
    async fn read(&self, path: &str) -> Result<Option<String>, Self::Error>;
}

/// The control script at the first of `paths` that exists, and then the scripts that this script
/// wraps. The last script in the list starts Erlang.
pub(crate) async fn control_scripts<F: Files>(
    files: &F,
    paths: &[&str],
) -> Result<Vec<ControlScript>, F::Error> {
    let mut chain: Vec<ControlScript> = Vec::new();
    let mut next: Vec<String> = paths.iter().map(|path| (*path).to_owned()).collect();
    while chain.len() < MAX_WRAPPERS {
        let mut found = None;
        for path in next {
            if let Some(text) = files.read(&path).await? {
                found = Some(ControlScript { path, text });
                break;
            }
        }
        let Some(script) = found else { break };
        next = script.wrapped().map(str::to_owned).into_iter().collect();
        chain.push(script);
    }
    Ok(chain)
}

/// The Erlang installation in the container or on the host of a server: the installation of the VM
/// at `node`, otherwise the installation that the control script starts, otherwise an `erl` at a
/// known path. `None` if none of these programs exists.
pub(crate) async fn installation<F: Files>(
    files: &F,
    node: Option<&NodeAddress>,
    scripts: &[ControlScript],
) -> Result<Option<Installation>, F::Error> {
    let script = scripts.last();
    let of_vm = node.and_then(Launcher::of_vm);
    let candidates = of_vm
        .into_iter()
        .chain(script.into_iter().flat_map(ControlScript::launchers))
        .chain(known_launchers());
    for launcher in candidates {
        if !files.exists(&launcher.program()).await? {
            continue;
        }
        let named = match node.and_then(|node| node.boot.as_deref()) {
            Some(boot) => Some(boot),
            None => script.and_then(ControlScript::boot),
        };
        let boot = match launcher.root() {
            Some(root) => boot_file(files, root, named).await?,
            None => None,
        };
        return Ok(Some(Installation {
            release_lib: launcher.root().map(|root| release_lib(root, node)),
            launcher,
            // If no boot file was found, pass only the name: `erl` then uses the file `start_clean`
            // in its own installation.
            boot: boot.unwrap_or_else(|| "start_clean".to_owned()),
            libs: script.map(ControlScript::libs).unwrap_or_default(),
        }));
    }
    Ok(None)
}

async fn boot_file<F: Files>(
    files: &F,
    root: &str,
    named: Option<&str>,
) -> Result<Option<String>, F::Error> {
    let data = files.read(&format!("{root}/releases/start_erl.data")).await?;
    for candidate in boot_candidates(root, named, data.as_deref()) {
        if files.exists(&format!("{candidate}.boot")).await? {
            return Ok(Some(candidate));
        }
    }
    Ok(None)
}

/// Whether the server at `node` has created its cookie. If the operator's VM starts earlier, that
/// VM creates a cookie, and the server then fails to start (seen on 24.12).
pub(crate) async fn has_cookie<F: Files>(files: &F, node: &NodeAddress) -> Result<bool, F::Error> {
    let (None, Some(home)) = (&node.cookie, &node.home) else { return Ok(true) };
    for file in COOKIE_FILES {
        if files.exists(&format!("{home}/{file}")).await? {
            return Ok(true);
        }
    }
    Ok(false)
}
