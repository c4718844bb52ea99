//! Validation: turns the document into the desired state.

mod affiliations;
mod config;
mod messaging;
mod objects;
mod patterns;
mod policy;
mod room_options;
mod rooms;
mod secrets;
mod server;
mod sinks;
mod users;
mod vcard;

pub use objects::can_be_shown;
pub use room_options::{printed_room_option, room_option, room_options};
pub use vcard::vcard_fields;

use std::collections::{BTreeMap, BTreeSet};

use sha2::{Digest as _, Sha256};

use super::decode::decode;
use super::desired::{DesiredState, Member, Memberships, Room};
use super::document::{API_VERSION, KIND};
use super::merge::merge;
use super::problem::{Problem, Severity};
use super::report::Report;
use super::source::SourceFile;
use super::tree::{Node, Span, Value};
use super::{document, mask, suggest, tree};
use crate::domain::model::{NameError, Revision, RoomJid, Vhost};

/// The maximum size of all files of a desired state together, in bytes.
pub const MAX_FILE_BYTES: usize = 16 * 1024 * 1024;

/// A desired state without errors.
#[derive(Debug, Clone)]
pub struct Validated {
    /// The desired state.
    pub desired: DesiredState,
    /// The warnings, in the order of their positions.
    pub warnings: Vec<Problem>,
}

/// The values that all parts of the validation share.
struct Scope<'r, 'a> {
    report: &'r mut Report<'a>,
    /// The default vhost; a placeholder if the file has no valid vhost.
    home: Vhost,
    /// All managed vhosts; `None` if a vhost has an error. The validation then does not check the
    /// hosts of names.
    hosts: Option<BTreeSet<Vhost>>,
    /// Whether entries of `users` have errors. The validation then does not report references to
    /// unknown accounts.
    some_users: bool,
    /// Whether entries of `groups` have errors. The validation then does not report references to
    /// unknown groups.
    some_groups: bool,
    /// The files that the desired state names.
    files: sinks::Files,
}

impl Scope<'_, '_> {
    /// Whether the operator manages `host`, or the managed vhosts are not known.
    fn is_ours(&self, host: &Vhost) -> bool {
        self.hosts.as_ref().is_none_or(|hosts| hosts.contains(host))
    }

    /// Adds an error about a name.
    fn bad_name(&mut self, span: Span, name: &str, error: &NameError) {
        let draft =
            self.report.error(span, format!("{} cannot be a name: {error}", mask::quoted(name)));
        if name.contains('@') && matches!(error, NameError::Forbidden { .. }) {
            draft.help = Some("write only the part before the `@`".into());
        }
    }
}

/// Reads and checks the files of one desired state, merged in their order.
///
/// If there is an error, returns all errors and warnings, in the order of their positions.
pub fn validate(files: &[SourceFile]) -> Result<Validated, Vec<Problem>> {
    let total: usize = files.iter().map(|file| file.text.len()).sum();
    if total > MAX_FILE_BYTES {
        let message =
            format!("the desired state has {total} bytes; at most {MAX_FILE_BYTES} are read");
        return Err(vec![Problem::error(message)]);
    }
    let mut report = Report::new(files);
    let desired = read(files, &mut report).and_then(|root| check(&root, files, &mut report));
    let failed = report.errors() > 0;
    let problems = report.finish();
    match desired {
        Some(desired) if !failed => Ok(Validated { desired, warnings: problems }),
        // Each missing part must have an error in the report. If a bug forgets the error, this case
        // still refuses the incomplete desired state.
        _ if problems.iter().all(|problem| problem.severity != Severity::Error) => {
            Err(vec![Problem::error("the desired state could not be understood")])
        }
        _ => Err(problems),
    }
}

/// Merges the files into one tree. `None` if a file is not valid YAML: the parts that are missing
/// in the other files could be in that file.
fn read(files: &[SourceFile], report: &mut Report<'_>) -> Option<Node> {
    let mut nodes = 0;
    let trees: Vec<_> = files
        .iter()
        .enumerate()
        .map(|(number, file)| tree::parse(number, &file.text, &mut nodes, report))
        .collect();
    let mut trees = trees.into_iter().collect::<Option<Vec<_>>>()?.into_iter();
    let Some(mut root) = trees.next() else {
        report.error_of_all("there is no file to read");
        return None;
    };
    for tree in trees {
        merge(&mut root, tree, report);
    }
    if root.value == Value::Null {
        report.error(root.span, "the file is empty").help =
            Some(format!("begin with `apiVersion: {API_VERSION}` and `kind: {KIND}`"));
        return None;
    }
    Some(root)
}

/// The hash of the names and contents of the files. The hash does not contain the directories, so
/// that a checkout in another directory has the same revision.
fn revision(files: &[SourceFile]) -> Revision {
    let mut hash = Sha256::new();
    for file in files {
        let name = file.path.file_name().unwrap_or_default().as_encoded_bytes();
        for part in [name, file.text.as_bytes()] {
            hash.update(part.len().to_le_bytes());
            hash.update(part);
        }
    }
    Revision::new(hex::encode(hash.finalize()))
}

/// A field that the format contains, but that the operator does not support yet.
struct Unsupported {
    path: &'static [&'static str],
    /// The supported alternatives, for the message.
    instead: &'static str,
    help: &'static str,
}

/// The unsupported fields. To support a field, delete the entry of the field from this list.
const UNSUPPORTED: &[Unsupported] = &[Unsupported {
    path: &["spec", "server", "external"],
    instead: "only `docker` and `process` are supported",
    help: "use `docker` or `process`",
}];

/// Warns of each unsupported field that the file contains. The field is valid and has no effect.
fn warn_of_unsupported_fields(root: &Node, report: &mut Report<'_>) {
    for Unsupported { path, instead, help } in UNSUPPORTED {
        let Some((key, parent)) = path.split_last() else { continue };
        if let Some(entry) = root.at(parent).and_then(|parent| parent.entry(key))
            && entry.value.value != Value::Null
        {
            let path = path.join(".");
            let message = format!("declared but not yet supported: `{path}`: {instead}");
            report.counted_warning(entry.key_span, &message, Some(help));
        }
    }
}

fn check(root: &Node, files: &[SourceFile], report: &mut Report<'_>) -> Option<DesiredState> {
    // Each large part is decoded separately, so that an error in one part does not hide the errors
    // in other parts.
    let part = |key| root.at(&["spec", key]);
    let parts = ["server", "config", "users", "groups", "rooms", "messaging", "policy"].map(part);
    let apart: Vec<&Node> = parts.iter().copied().flatten().collect();
    let [server, config, users, groups, rooms, messaging, policy] = parts;
    let document = decode::<document::Document>(root, &apart, report);
    let (document, spec_decoded) = match document {
        Some(document) => (document, true),
        None => (
            document::Document { api_version: None, kind: None, metadata: None, spec: None },
            false,
        ),
    };
    if spec_decoded {
        header(root, &document, report);
    }
    warn_of_unsupported_fields(root, report);

    let spec = document.spec;
    let mut scope = hosts(root, spec.as_ref(), report);
    let suspend = spec.is_some_and(|spec| spec.suspend);
    empty_kinds(root, &mut scope);
    let server = server.and_then(|node| server::check(node, &mut scope));
    let errors = scope.report.errors();
    let users = users.map(|node| users::check(node, &mut scope));
    scope.some_users = scope.report.errors() > errors;
    let errors = scope.report.errors();
    let groups = groups.map(|node| rooms::check_groups(node, users.as_ref(), &mut scope));
    scope.some_groups = scope.report.errors() > errors;
    let rooms = rooms.map(|node| {
        let known = affiliations::Known { users: users.as_ref(), groups: groups.as_ref() };
        rooms::check(node, &known, &mut scope)
    });
    let config = config.map(|node| config::check(node, users.as_ref(), &mut scope));
    let messaging = messaging.map(|node| {
        let memberships = Memberships { users: users.as_ref(), groups: groups.as_ref() };
        messaging::check(node, memberships, rooms.as_ref(), &mut scope)
    });
    sinks::check(files, &mut scope);
    let known_hosts = known_hosts(&scope, groups.as_ref(), rooms.as_ref());
    let policy = policy::check(policy, &known_hosts, &mut scope);

    let mut further = scope.hosts.unwrap_or_default();
    further.remove(&scope.home);
    let config = match config {
        Some(checked) => Some(checked?),
        None => None,
    };
    let messaging = match messaging {
        Some(checked) => Some(checked?),
        None => None,
    };
    Some(DesiredState {
        name: document.metadata?.name,
        revision: revision(files),
        host: scope.home,
        hosts: further.into_iter().collect(),
        suspend,
        server: server?,
        config,
        users,
        groups,
        rooms,
        messaging,
        policy: policy?,
    })
}

/// Collects the hosts of all names in the file.
fn known_hosts(
    scope: &Scope<'_, '_>,
    groups: Option<&rooms::Groups>,
    rooms: Option<&BTreeMap<RoomJid, Room>>,
) -> patterns::KnownHosts {
    let rooms = || rooms.into_iter().flatten();
    let services = rooms().map(|(name, _)| &name.service);
    let listed = rooms().filter_map(|(_, room)| room.affiliations.as_ref());
    let listed = listed.flat_map(BTreeMap::values).flatten().filter_map(|member| match member {
        Member::Account(account) => Some(&account.host),
        Member::Group(_) => None,
    });
    let members = groups.into_iter().flatten().filter_map(|(_, group)| group.members.as_ref());
    let members = members.flatten().map(|member| &member.host);
    patterns::KnownHosts {
        hosts: scope.hosts.clone(),
        others: services.chain(listed).chain(members).cloned().collect(),
        anywhere: rooms().any(|(_, room)| room.exclusive),
    }
}

/// Checks `apiVersion` and `kind`, and that the required parts exist.
fn header(root: &Node, document: &document::Document, report: &mut Report<'_>) {
    let mut expect = |key: &str, value: Option<&str>, known: &str| match (value, root.get(key)) {
        (Some(value), Some(node)) if value != known => {
            report
                .error(node.span, format!("{} is not a known `{key}`", mask::quoted(value)))
                .help = Some(format!("this version of the program knows `{known}`"));
        }
        (None, None) => {
            report.error(root.span, format!("`{key}` is missing")).help =
                Some(format!("add `{key}: {known}`"));
        }
        _ => {}
    };
    expect("apiVersion", document.api_version.as_deref(), API_VERSION);
    expect("kind", document.kind.as_deref(), KIND);

    let mut require = |at: Option<&Node>, key: &str, help: &str| {
        if let Some(at) = at.filter(|node| matches!(node.value, Value::Map(_)))
            && at.get(key).is_none()
        {
            let span = root.entries().iter().find(|entry| std::ptr::eq(&raw const entry.value, at));
            let span = span.map_or(at.span, |entry| entry.key_span);
            report.error(span, format!("`{key}` is missing here")).help = Some(help.to_owned());
        }
    };
    require(Some(root), "metadata", "add `metadata: { name: … }`");
    require(Some(root), "spec", "add `spec:` with the desired state");
    require(
        root.get("spec"),
        "host",
        "add `host:` with the default vhost, e.g. `host: example.org`",
    );
    require(root.get("spec"), "server", "add `server: { docker: { container: … } }`");
    if let (Some(metadata), Some(node)) = (&document.metadata, root.at(&["metadata", "name"]))
        && metadata.name.trim().is_empty()
    {
        report.error(node.span, "the name is empty");
    }
}

/// Checks `host` and `hosts`, and returns the scope with the managed vhosts.
fn hosts<'r, 'a>(
    root: &Node,
    spec: Option<&document::Spec>,
    report: &'r mut Report<'a>,
) -> Scope<'r, 'a> {
    let mut known = BTreeSet::new();
    let mut complete = spec.is_some();
    let mut home = None;
    let host_node = root.at(&["spec", "host"]);
    let further = root.at(&["spec", "hosts"]);
    complete &= further.is_none_or(|node| matches!(node.value, Value::List(_)));
    let further = further.map(Node::items).unwrap_or_default();
    for (index, node) in host_node.into_iter().chain(further).enumerate() {
        let Some(text) = node.text() else {
            complete = false;
            continue;
        };
        match Vhost::new(text) {
            Ok(host) => {
                if index == 0 && host_node.is_some() {
                    home = Some(host.clone());
                }
                if !known.insert(host) {
                    report.warning(node.span, format!("{} is listed twice", mask::quoted(text)));
                }
            }
            Err(error) => {
                complete = false;
                report
                    .error(node.span, format!("{} cannot be a host: {error}", mask::quoted(text)));
            }
        }
    }
    complete &= home.is_some();
    let home = home.unwrap_or_else(placeholder_host);
    Scope {
        report,
        home,
        hosts: complete.then_some(known),
        some_users: false,
        some_groups: false,
        files: sinks::Files::default(),
    }
}

#[allow(clippy::expect_used, reason = "a constant name, which every test of a missing host reads")]
fn placeholder_host() -> Vhost {
    Vhost::new("host.invalid").expect("a valid name")
}

/// Warns of a key without a value, such as `users:`: the author may mean an empty list.
fn empty_kinds(root: &Node, scope: &mut Scope<'_, '_>) {
    let Some(spec) = root.get("spec") else { return };
    for kind in ["users", "groups", "rooms"] {
        if let Some(entry) = spec.entry(kind)
            && entry.value.value == Value::Null
        {
            scope
                .report
                .warning(
                    entry.key_span,
                    format!("`{kind}` has no value, so the operator does not manage {kind}"),
                )
                .help = Some(format!("to declare that there are no {kind}, write `{kind}: []`"));
        }
    }
}

/// Returns a position for each element of a decoded list: the position of the element, or of the
/// list if the positions of the elements are unknown. `None` without a node.
fn spans(node: Option<&Node>, count: usize) -> impl Iterator<Item = Option<Span>> {
    // A list with decoding errors has fewer elements, so the positions do not match.
    let items = node.map(Node::items).unwrap_or_default();
    let whole = node.map(|node| node.span);
    (0..count).map(move |index| match items.get(index) {
        Some(item) if items.len() == count => Some(item.span),
        _ => whole,
    })
}

/// The message and the help for a name that is not declared.
fn not_declared<'k>(
    what: &str,
    name: &str,
    known: impl IntoIterator<Item = &'k str>,
) -> (String, Option<String>) {
    let help =
        suggest::closest(name, known).map(|candidate| format!("did you mean `{candidate}`?"));
    (format!("{what} {} is not declared", mask::quoted(name)), help)
}
