//! Validates `spec.messaging`: programs that send and read messages through the operator.

mod lists;
mod patterns;
mod registration;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};

use lists::{Limited, MAX_PATTERNS, check_limits, entries};

use super::objects::{collect, field};
use super::secrets::Generation;
use super::users::Users;
use super::{Scope, secrets, sinks, spans};
use crate::domain::messaging::{JidPattern, Tool};
use crate::domain::model::{Jid, RoomJid};
use crate::domain::spec::decode::decode;
use crate::domain::spec::desired::{
    AffiliationKind, ClientName, Memberships, Messaging, MessagingClient, Rate, Room, SecretSource,
};
use crate::domain::spec::tree::{Node, Span, Value};
use crate::domain::spec::{document, mask};

/// The maximum number of clients.
const MAX_CLIENTS: usize = 100;

/// The parts of the file that decide whom a client may act as.
struct Declared<'d> {
    users: Option<&'d Users>,
    /// The owners of the declared rooms, each with one of the rooms.
    owners: BTreeMap<Jid, &'d RoomJid>,
}

/// A source of a token, with the name and the position of the client that declares the source.
struct Token {
    source: SecretSource,
    client: ClientName,
    span: Span,
}

pub(super) fn check(
    node: &Node,
    memberships: Memberships<'_>,
    rooms: Option<&BTreeMap<RoomJid, Room>>,
    scope: &mut Scope<'_, '_>,
) -> Option<Messaging> {
    let list = node.get("clients");
    let apart: Vec<&Node> = list.into_iter().collect();
    decode::<document::Messaging>(node, &apart, scope.report)?;
    let Some(list) = list else { return Some(Messaging { clients: Vec::new() }) };
    let count = list.items().len();
    if count > MAX_CLIENTS {
        let message = format!("`clients` has {count} entries; at most {MAX_CLIENTS} are possible");
        scope.report.error(list.span, message).help =
            Some("remove the clients that no program uses".into());
        return None;
    }
    let declared = Declared { users: memberships.users, owners: owners(memberships, rooms, list) };
    let mut tokens = Vec::with_capacity(count);
    let clients = collect("client", list, scope, name, |client, name, node, scope| {
        build(client, name, node, &declared, &mut tokens, scope)
    });
    Some(Messaging { clients: clients.into_values().collect() })
}

/// The owners of the declared rooms. Empty without clients, because the search takes long if many
/// rooms name large groups.
fn owners<'d>(
    memberships: Memberships<'_>,
    rooms: Option<&'d BTreeMap<RoomJid, Room>>,
    clients: &Node,
) -> BTreeMap<Jid, &'d RoomJid> {
    if clients.items().is_empty() {
        return BTreeMap::new();
    }
    let mut owners = BTreeMap::new();
    for (name, room) in rooms.into_iter().flatten().filter(|(_, room)| room.present) {
        let listed = room.affiliations.as_ref().and_then(|all| all.get(&AffiliationKind::Owner));
        if listed.is_none_or(Vec::is_empty) {
            continue;
        }
        for (account, kind) in memberships.affiliations_of(room).into_iter().flatten() {
            if kind == AffiliationKind::Owner {
                owners.entry(account).or_insert(name);
            }
        }
    }
    owners
}

fn name(
    client: &document::MessagingClient,
    node: &Node,
    scope: &mut Scope<'_, '_>,
) -> Option<ClientName> {
    let name = ClientName::new(&client.name);
    if name.is_none() {
        let message = format!("{} cannot be the name of a client", mask::quoted(&client.name));
        scope.report.error(field(node, "name"), message).help =
            Some("use 1 to 64 characters of `a-z`, `0-9`, `.`, `_` and `-`".into());
    }
    name
}

fn build(
    client: document::MessagingClient,
    name: &ClientName,
    node: &Node,
    declared: &Declared<'_>,
    tokens: &mut Vec<Token>,
    scope: &mut Scope<'_, '_>,
) -> Option<MessagingClient> {
    let document::MessagingClient { name: _, token_from, act_as, tools, to, rate, registration } =
        client;

    let token_from = node.get("tokenFrom").and_then(|node| {
        let source = secrets::source(token_from, node, Generation::Forbidden, scope)?;
        check_token(&source, name, node.span, tokens, scope);
        Some(source)
    });
    let errors = scope.report.errors();
    let act_as = patterns::act_as(&act_as, node.get("actAs"), declared, scope);
    let act_as_is_valid = scope.report.errors() == errors;
    let tools_node = node.get("tools");
    let has_all_tools = tools_node.is_none_or(|node| node.items().len() == tools.len());
    let tools = check_tools(&tools, tools_node, scope);
    let to: Vec<JidPattern> =
        entries("to", &to, node.get("to"), MAX_PATTERNS, scope, patterns::pattern)
            .into_iter()
            .map(|(pattern, _)| pattern)
            .collect();
    let rate = check_rate(&rate, node.get("rate"), scope);
    let registration = registration
        .zip(node.get("registration"))
        .map(|(registration, node)| registration::check(registration, node, declared, scope));

    require(&tools, node, scope);
    if has_all_tools {
        warn_of_useless_fields(&tools, node, scope);
    }
    let registration = match registration {
        Some(registration) => {
            let registration = registration?;
            let covered = act_as.iter().any(|pattern| pattern.overlaps(&registration.names));
            if act_as_is_valid && !act_as.is_empty() && !covered {
                let message = format!(
                    "no entry of `actAs` matches a name of {}, so the client cannot act as the accounts that it creates",
                    mask::quoted(registration.names.local())
                );
                let span = node.get("registration").map_or(node.span, |node| field(node, "names"));
                scope.report.warning(span, message).help =
                    Some("add the pattern to `actAs`, or correct `names`".into());
            }
            Some(registration)
        }
        None => None,
    };
    Some(MessagingClient {
        name: name.clone(),
        token_from: token_from?,
        act_as,
        tools,
        to,
        rate,
        registration,
    })
}

/// Reports a source of a token that another client has too.
fn check_token(
    source: &SecretSource,
    name: &ClientName,
    span: Span,
    tokens: &mut Vec<Token>,
    scope: &mut Scope<'_, '_>,
) {
    let source = match source {
        SecretSource::File(path) => SecretSource::File(sinks::absolute(path)),
        other => other.clone(),
    };
    match tokens.iter().find(|token| token.source == source) {
        Some(first) => {
            let message = format!(
                "the clients `{}` ({}) and `{name}` have the same token, so the operator cannot distinguish them",
                first.client,
                scope.report.reference(first.span)
            );
            scope.report.error(span, message).help =
                Some("create a separate token for each client".into());
        }
        None => tokens.push(Token { source, client: name.clone(), span }),
    }
}

fn check_tools(written: &[Tool], node: Option<&Node>, scope: &mut Scope<'_, '_>) -> BTreeSet<Tool> {
    let mut tools = BTreeSet::new();
    for (number, tool) in written.iter().enumerate() {
        if !tools.insert(*tool)
            && let Some(span) = spans(node, written.len()).nth(number).flatten()
        {
            scope.report.warning(span, format!("`{tool}` is listed twice"));
        }
    }
    tools
}

/// Reports the missing fields that a tool needs.
fn require(tools: &BTreeSet<Tool>, node: &Node, scope: &mut Scope<'_, '_>) {
    let is_empty = |key: &str| {
        let value = node.get(key).map(|node| &node.value);
        value.is_none_or(|value| matches!(value, Value::List(items) if items.is_empty()))
    };
    let tool_span = |tool: Tool| {
        let written = node.get("tools").map(Node::items).unwrap_or_default();
        let item = written.iter().find(|item| item.text() == Some(tool.as_str()));
        item.map_or(node.span, |item| item.span)
    };
    if is_empty("actAs")
        && let Some(tool) = tools.iter().find(|tool| tool.acts_as_account())
    {
        let message = format!("`{tool}` acts as an account, and `actAs` has no account");
        scope.report.error(tool_span(*tool), message).help =
            Some("list the accounts that the client may act as: `actAs: [messenger]`".into());
    }
    if is_empty("to") && tools.contains(&Tool::SendMessage) {
        let message =
            format!("`{}` needs a recipient, and `to` has no recipient", Tool::SendMessage);
        scope.report.error(tool_span(Tool::SendMessage), message).help = Some(format!(
            "list the accounts and rooms that the client may send to: `to: [\"*@{}\"]`",
            scope.home
        ));
    }
    if node.get("registration").is_none() && tools.contains(&Tool::RegisterUser) {
        let message = format!(
            "`{}` needs a rule for the new accounts, and `registration` is missing",
            Tool::RegisterUser
        );
        scope.report.error(tool_span(Tool::RegisterUser), message).help =
            Some("add the rule: `registration: { names: \"agent-*\" }`".into());
    }
}

/// Warns of fields that no tool uses.
fn warn_of_useless_fields(tools: &BTreeSet<Tool>, node: &Node, scope: &mut Scope<'_, '_>) {
    if let Some(entry) = node.entry("tools").filter(|_| tools.is_empty()) {
        let message = "the client has no tools, so the client can do nothing";
        scope.report.warning(entry.key_span, message).help =
            Some("list tools, or remove the client".into());
    }
    // `xmpp_send_message` registers a missing recipient with `ensure_recipient`.
    let registers = [Tool::RegisterUser, Tool::SendMessage].iter().any(|tool| tools.contains(tool));
    if let Some(entry) = node.entry("registration").filter(|_| !registers) {
        let message = "`registration` has no effect without a tool that creates accounts";
        scope.report.warning(entry.key_span, message).help =
            Some(format!("remove `registration`, or add `{}` to `tools`", Tool::RegisterUser));
    }
}

fn check_rate(rate: &document::Rate, node: Option<&Node>, scope: &mut Scope<'_, '_>) -> Rate {
    let document::Rate { per_minute, burst } = *rate;
    check_limits(&Limited { key: "perMinute", value: per_minute, max: 60_000 }, node, scope);
    check_limits(&Limited { key: "burst", value: burst, max: 10_000 }, node, scope);
    Rate { per_minute, burst }
}
