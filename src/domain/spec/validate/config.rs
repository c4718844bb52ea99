//! Validates `spec.config`.

use std::collections::BTreeMap;
use std::path::PathBuf;

use super::users::Users;
use super::{Scope, not_declared, secrets};
use crate::domain::model::{Jid, Localpart};
use crate::domain::spec::decode::decode;
use crate::domain::spec::desired::{Config, ConfigApply, Gate, UserState};
use crate::domain::spec::tree::{Node, Span};
use crate::domain::spec::{document, mask};

pub(super) fn check(
    node: &Node,
    users: Option<&Users>,
    scope: &mut Scope<'_, '_>,
) -> Option<Config> {
    let document::Config { variant, variants, files, apply, gate } =
        decode(node, &[], scope.report)?;
    let variants_node = node.get("variants");
    if let (Some(span), Some(all)) = (node.get("variant").map(|node| node.span), variants_node)
        && all.entry(&variant).is_none()
    {
        let names = all.entries().iter().map(|entry| entry.key.as_str());
        let (message, help) = not_declared("the variant", &variant, names);
        scope.report.error(span, message).help =
            help.or_else(|| Some("add it, with its file, under `variants`".into()));
    }
    let variants = paths(variants, variants_node, scope);
    for entry in node.get("files").map(Node::entries).unwrap_or_default() {
        if entry.key.is_empty() || entry.key.contains('/') || entry.key == "." || entry.key == ".."
        {
            let message = format!(
                "{} cannot be the name of a file beside the configuration",
                mask::quoted(&entry.key)
            );
            scope.report.error(entry.key_span, message);
        }
    }
    let files = paths(files, node.get("files"), scope);
    let gate = check_gate(gate, node.get("gate"), users, scope);
    Some(Config {
        variant,
        variants,
        files,
        apply: match apply {
            document::ConfigApply::Auto => ConfigApply::Auto,
            document::ConfigApply::Restart => ConfigApply::Restart,
        },
        gate,
    })
}

fn paths(
    mut written: BTreeMap<String, String>,
    node: Option<&Node>,
    scope: &mut Scope<'_, '_>,
) -> BTreeMap<String, PathBuf> {
    let entries = node.map(Node::entries).unwrap_or_default();
    entries
        .iter()
        .filter_map(|entry| {
            let (name, path) = written.remove_entry(&entry.key)?;
            Some((name, secrets::path(&path, entry.value.span, scope)?))
        })
        .collect()
}

fn check_gate(
    gate: document::Gate,
    node: Option<&Node>,
    users: Option<&Users>,
    scope: &mut Scope<'_, '_>,
) -> Gate {
    let document::Gate { settle, timeout, canary } = gate;
    let span_of = |key| node.and_then(|node| node.get(key)).map(|node| node.span);
    if settle.0 >= timeout.0
        && let Some(span) = span_of("timeout").or(span_of("settle"))
    {
        let message =
            format!("the gate ends after {timeout}, before the server can be healthy for {settle}");
        scope.report.error(span, message).help =
            Some("`timeout` must be longer than `settle`".into());
    }
    let canary = canary
        .zip(span_of("canary"))
        .and_then(|(name, span)| check_canary(&name, span, users, scope));
    Gate { settle: settle.0, timeout: timeout.0, canary }
}

fn check_canary(
    name: &str,
    span: Span,
    users: Option<&Users>,
    scope: &mut Scope<'_, '_>,
) -> Option<Jid> {
    let jid = match Jid::parse(name, &scope.home) {
        Ok(jid) => jid,
        Err(error) => {
            scope.bad_name(span, name, &error);
            return None;
        }
    };
    match users.and_then(|users| users.get(&jid)) {
        Some(user) if user.state == UserState::Present => Some(jid),
        Some(_) => {
            scope
                .report
                .error(span, format!("the canary {} must be able to log in", mask::quoted(name)))
                .help = Some("use an account with `state: present`".into());
            None
        }
        None if scope.some_users => None,
        None => {
            let names = users
                .into_iter()
                .flat_map(|users| users.keys().map(|jid| &jid.local))
                .map(Localpart::as_str);
            let (message, help) = not_declared("the canary", name, names);
            scope.report.error(span, message).help =
                help.or_else(|| Some("it must be one of `users`".into()));
            None
        }
    }
}
