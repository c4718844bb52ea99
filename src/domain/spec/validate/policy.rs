//! Validates `spec.policy`.

use wildmatch::WildMatch;

use super::patterns::KnownHosts;
use super::{Scope, patterns, spans};
use crate::domain::model::Digest;
use crate::domain::spec::decode::decode;
use crate::domain::spec::desired::{GuardLimits, Mode, Policy, Prune};
use crate::domain::spec::document;
use crate::domain::spec::tree::Node;

pub(super) fn check(
    node: Option<&Node>,
    known_hosts: &KnownHosts,
    scope: &mut Scope<'_, '_>,
) -> Option<Policy> {
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
        let message = "`maxDeletePercent` is more than 100; use a value from 0 to 100";
        scope.report.error(node.span, message);
    }
    if let Some(node) = guard_node.and_then(|guard| guard.get("approve"))
        && let Some(digest) = &approve
        && (digest.len() < 12
            || !digest.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b)))
    {
        let message =
            "`approve` is not a digest: a digest has at least 12 characters of 0-9 and a-f";
        scope.report.error(node.span, message).help =
            Some("copy the digest that `plan` prints with the refused deletions".into());
    }
    let ignore_node = node.and_then(|node| node.get("ignore"));
    let mut kept = Vec::with_capacity(ignore.len());
    for (pattern, span) in ignore.iter().zip(spans(ignore_node, ignore.len())) {
        let Some(span) = span else { continue };
        match patterns::normalised(pattern, known_hosts) {
            Err(wrong) => scope.report.error(span, wrong.message).help = wrong.help,
            Ok(pattern) => {
                if patterns::matches_everything(&pattern) {
                    let message = "this pattern matches everything, so nothing is managed";
                    scope.report.warning(span, message);
                } else if let Some(help) = patterns::regular_expression(&pattern) {
                    let message = "this looks like a regular expression, but a pattern is not a regular expression";
                    scope.report.warning(span, message).help = Some(help);
                }
                kept.push(WildMatch::new(&pattern));
            }
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
        ignore: kept,
        guard: GuardLimits { max_delete_percent, free_deletes, approve: approve.map(Digest::new) },
    })
}
