//! `spec.policy`.

use wildmatch::WildMatch;

use super::{Scope, spans};
use crate::model::{Digest, Localpart};
use crate::spec::decode::decode;
use crate::spec::desired::{GuardLimits, Mode, Policy, Prune};
use crate::spec::document;
use crate::spec::tree::Node;

pub(super) fn check(node: Option<&Node>, scope: &mut Scope<'_, '_>) -> Option<Policy> {
    let written = match node {
        Some(node) => decode::<document::Policy>(node, &[], scope.report)?,
        None => document::Policy::default(),
    };
    let document::Policy { mode, prune, ignore, guard } = written;
    let document::Guard { max_delete_percent, free_deletes, approve } = guard;

    let guard_node = node.and_then(|node| node.get("guard"));
    if max_delete_percent > 100
        && let Some(node) = guard_node.and_then(|guard| guard.get("maxDeletePercent"))
    {
        scope.report.error(node.span, "a share is at most 100 percent");
    }
    if let Some(node) = guard_node.and_then(|guard| guard.get("approve"))
        && let Some(digest) = &approve
        && (digest.len() < 12
            || !digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    {
        scope.report.error(node.span, "this is not a digest").help =
            Some("copy the one that `plan` shows with the refused deletions".into());
    }
    let ignore_node = node.and_then(|node| node.get("ignore"));
    for (pattern, span) in ignore.iter().zip(spans(ignore_node, ignore.len())) {
        let Some(span) = span else { continue };
        if pattern.trim().is_empty() {
            scope.report.error(span, "an empty pattern matches nothing");
        } else if pattern.chars().all(|c| c == '*') {
            scope.report.warning(span, "this pattern matches everything, so nothing is managed");
        }
    }
    Some(Policy {
        mode: match mode {
            document::Mode::Enforce => Mode::Enforce,
            document::Mode::Report => Mode::Report,
        },
        prune: match prune {
            document::Prune::Managed => Prune::Managed,
            document::Prune::None => Prune::None,
            document::Prune::All => Prune::All,
        },
        ignore: ignore.iter().map(|pattern| WildMatch::new(&normalised(pattern))).collect(),
        guard: GuardLimits { max_delete_percent, free_deletes, approve: approve.map(Digest::new) },
    })
}

/// A pattern as the names are that it is held against: `Guest-*` means
/// `guest-1`, because that is what ejabberd makes of `Guest-1`. `*` and `?`
/// pass through nodeprep as they are; the host part has no more than letters.
fn normalised(pattern: &str) -> String {
    match pattern.split_once('@') {
        Some((local, host)) => format!("{}@{}", normalised(local), host.to_lowercase()),
        None => Localpart::new(pattern)
            .map_or_else(|_| pattern.to_lowercase(), |local| local.to_string()),
    }
}
