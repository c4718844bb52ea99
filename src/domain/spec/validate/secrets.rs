//! Checks the sources and the sinks of secrets.

use std::path::PathBuf;

use super::Scope;
use crate::domain::model::Secret;
use crate::domain::spec::desired::{SecretSink, SecretSource};
use crate::domain::spec::document::{SecretFrom, SecretTo};
use crate::domain::spec::mask;
use crate::domain::spec::tree::{Node, Span};

/// The maximum length of a password that ejabberd accepts, in bytes, before and after stringprep:
/// `ejabberd_auth:validate_credentials/3` calls `jid:resourceprep/1` (tried on 23.01, 24.12 and
/// 26.07).
const MAX_PASSWORD_BYTES: usize = 1023;

/// Checks a password that is written in the desired state file. No message contains a part of the
/// password.
pub(super) fn inline(
    secret: Secret,
    span: Span,
    scope: &mut Scope<'_, '_>,
) -> Option<SecretSource> {
    let text = secret.expose();
    let wrong = if text.is_empty() {
        Some("the password is empty; ejabberd refuses that")
    } else if text.len() > MAX_PASSWORD_BYTES {
        Some("the password has over 1023 bytes; ejabberd refuses that")
    } else if text.contains(['\n', '\r']) {
        Some("the password holds a line break")
    } else if text.contains('\t') {
        Some("the password holds a tab; ejabberd refuses that")
    } else if text.contains(char::is_control) {
        Some("the password holds a control character")
    } else {
        match stringprep::resourceprep(text) {
            Ok(prepared) if prepared.len() > MAX_PASSWORD_BYTES => {
                Some("the password has over 1023 bytes after stringprep; ejabberd refuses that")
            }
            Ok(_) => None,
            Err(_) => Some(
                "stringprep forbids a character of the password, such as an emoji, or its mixed text directions; ejabberd refuses that",
            ),
        }
    };
    if let Some(wrong) = wrong {
        scope.report.error(span, wrong);
        return None;
    }
    scope.report.counted_warning(
        span,
        "everyone who can read this file can read the password",
        Some("put the password into a separate file or variable: `passwordFrom: { file: … }`"),
    );
    Some(SecretSource::Inline(secret))
}

/// Whether a secret may have `generate: true` as its source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Generation {
    Allowed,
    Forbidden,
}

/// Checks a `passwordFrom` or `tokenFrom`.
pub(super) fn source(
    from: SecretFrom,
    node: &Node,
    generation: Generation,
    scope: &mut Scope<'_, '_>,
) -> Option<SecretSource> {
    let SecretFrom { file, env, command, generate } = from;
    let given: Vec<&str> = ["file", "env", "command", "generate"]
        .into_iter()
        .filter(|key| node.get(key).is_some())
        .collect();
    if given.len() != 1 {
        let message = match given.as_slice() {
            [] => "the source of the secret is missing".to_owned(),
            [..] => format!("a secret has one source, and here are {}", given.len()),
        };
        let help = match generation {
            Generation::Allowed => {
                "give exactly one of `file`, `env`, `command` and `generate: true`"
            }
            Generation::Forbidden => "give exactly one of `file`, `env` and `command`",
        };
        scope.report.error(node.span, message).help = Some(help.to_owned());
        return None;
    }
    let at = |key| super::objects::field(node, key);
    if let Some(file) = file {
        return path(&file, at("file"), scope).map(SecretSource::File);
    }
    if let Some(env) = env {
        if env.is_empty() || env.contains(|c: char| c == '=' || c.is_whitespace() || c.is_control())
        {
            let message = format!("{} cannot be the name of a variable", mask::quoted(&env));
            scope.report.error(at("env"), message).help =
                Some("write a name without spaces and `=`, such as `XMPP_SECRET`".into());
            return None;
        }
        return Some(SecretSource::Env(env));
    }
    if let Some(command) = command {
        if command.first().is_none_or(String::is_empty)
            || command.iter().any(|word| word.contains('\0'))
        {
            scope.report.error(at("command"), "a command begins with a program").help =
                Some("a command is a list, never a shell line: `[pass, show, xmpp/ann]`".into());
            return None;
        }
        return Some(SecretSource::Command(command));
    }
    match generate {
        Some(true) if generation == Generation::Allowed => Some(SecretSource::Generate),
        Some(true) => {
            let message = "only the password of an account can be generated";
            scope.report.error(at("generate"), message).help =
                Some("create the secret, and give `file`, `env` or `command`".into());
            None
        }
        Some(false) => {
            scope.report.error(at("generate"), "`generate: false` has no meaning").help =
                Some(match generation {
                    Generation::Allowed => {
                        "leave out `passwordFrom`, or write `generate: true`".into()
                    }
                    Generation::Forbidden => "give `file`, `env` or `command`".into(),
                });
            None
        }
        None => None,
    }
}

/// Checks a `passwordTo`.
pub(super) fn sink(to: SecretTo, node: &Node, scope: &mut Scope<'_, '_>) -> Option<SecretSink> {
    let SecretTo { file, mode } = to;
    if mode.0 & 0o007 != 0 {
        scope.report.warning(
            super::objects::field(node, "mode"),
            format!("permissions {:04o} let every user of the host read the password", mode.0),
        );
    }
    let span = super::objects::field(node, "file");
    let file = place(&file, span, scope)?;
    scope.files.written(&file, span);
    Some(SecretSink { file, mode: mode.0 })
}

/// Resolves the path of an input, relative to the directory of the file that names the input.
/// `None` if the path is invalid.
pub(super) fn path(text: &str, span: Span, scope: &mut Scope<'_, '_>) -> Option<PathBuf> {
    let path = place(text, span, scope)?;
    scope.files.read(&path);
    Some(path)
}

fn place(text: &str, span: Span, scope: &mut Scope<'_, '_>) -> Option<PathBuf> {
    if text.trim().is_empty() || text.contains('\0') {
        scope.report.error(span, "this cannot be a path").help =
            Some("write the path of a file, such as `secrets/ann`".into());
        return None;
    }
    Some(scope.report.base(span).join(text))
}
