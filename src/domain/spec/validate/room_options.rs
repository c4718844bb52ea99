//! The options of a room, by the names that ejabberd uses.

use std::collections::BTreeMap;

use super::Scope;
use super::objects::fits;
use crate::domain::model::ServerVersion;
use crate::domain::spec::decode::meant_by;
use crate::domain::spec::desired::OptionValue;
use crate::domain::spec::document::RoomOption;
use crate::domain::spec::tree::{Node, Span};
use crate::domain::spec::{mask, suggest};

/// The type of the value of an option.
enum Shape {
    Bool,
    /// A number of at least 1.
    Positive,
    Text,
    Word(&'static [&'static str]),
    Words(&'static [&'static str]),
}

use Shape::{Bool, Positive, Text, Word, Words};

/// The room options of ejabberd 23.01 to 26.07. An unknown option crashes the command of ejabberd,
/// or ejabberd ignores the option, so the validation must find misspelt names.
const OPTIONS: [(&str, Shape); 31] = [
    ("allow_change_subj", Bool),
    // `allowpm` replaced this option after 23.01.
    ("allow_private_messages", Bool),
    ("allow_private_messages_from_visitors", Word(&["anyone", "moderators", "nobody"])),
    ("allow_query_users", Bool),
    ("allow_subscription", Bool),
    ("allow_user_invites", Bool),
    ("allow_visitor_nickchange", Bool),
    ("allow_visitor_status", Bool),
    ("allow_voice_requests", Bool),
    ("allowpm", Word(&["anyone", "participants", "moderators", "none"])),
    ("anonymous", Bool),
    ("captcha_protected", Bool),
    ("description", Text),
    ("enable_hats", Bool),
    ("lang", Text),
    ("logging", Bool),
    ("mam", Bool),
    ("max_users", Positive),
    ("members_by_default", Bool),
    ("members_only", Bool),
    ("moderated", Bool),
    ("password", Text),
    ("password_protected", Bool),
    ("persistent", Bool),
    ("presence_broadcast", Words(&["moderator", "participant", "visitor"])),
    ("public", Bool),
    ("public_list", Bool),
    ("pubsub", Text),
    ("title", Text),
    ("vcard", Text),
    ("voice_request_min_interval", Positive),
];

/// Options that cannot be declared, each with the reason.
const NOT_OURS: [(&str, &str); 5] = [
    ("affiliations", "use the field `affiliations` beside `options`"),
    ("captcha_whitelist", "no command of ejabberd can change it"),
    ("subject", "use the field `subject` beside `options`"),
    ("subscribers", "only the users of a room can subscribe"),
    ("vcard_xupdate", "ejabberd computes this option from `vcard`"),
];

/// The names of all room options that can be declared.
pub fn room_options() -> impl Iterator<Item = &'static str> {
    OPTIONS.iter().map(|(name, _)| *name)
}

/// Whether a new room of a server of `version` has the option `name`. For an existing room, read
/// the options of the room instead.
#[must_use]
pub fn room_option(name: &str, version: ServerVersion) -> bool {
    // 23.01 has the old option, and 24.12 has the new option (seen). The change is between these
    // versions, so a version in between counts as a version with both options; the operator reads
    // the created room to see which option exists.
    const OLD_UNTIL: ServerVersion = ServerVersion { year: 24, month: 11 };
    const NEW_SINCE: ServerVersion = ServerVersion { year: 23, month: 2 };
    match name {
        "allow_private_messages" => version <= OLD_UNTIL,
        "allowpm" => version >= NEW_SINCE,
        _ => OPTIONS.iter().any(|(known, _)| *known == name),
    }
}

/// The declared form of the value that ejabberd prints for the option `name`. `None` if the value
/// cannot be declared.
#[must_use]
pub fn printed_room_option(name: &str, printed: &str) -> Option<OptionValue> {
    let (_, shape) = OPTIONS.iter().find(|(known, _)| *known == name)?;
    match shape {
        Bool => printed.parse().ok().map(OptionValue::Bool),
        Positive => printed.parse().ok().filter(|number| *number > 0).map(OptionValue::Int),
        Text => Some(OptionValue::Text(printed.to_owned())),
        Word(known) => known.contains(&printed).then(|| OptionValue::Text(printed.to_owned())),
        Words(known) => {
            let inside = printed.strip_prefix('[')?.strip_suffix(']')?;
            let words = inside.split(',').map(str::trim).filter(|word| !word.is_empty());
            let words: Vec<String> = words.map(str::to_owned).collect();
            let all_known = words.iter().all(|word| known.contains(&word.as_str()));
            all_known.then_some(OptionValue::List(words))
        }
    }
}

pub(super) fn check(
    mut written: BTreeMap<String, RoomOption>,
    node: Option<&Node>,
    scope: &mut Scope<'_, '_>,
) -> BTreeMap<String, OptionValue> {
    let mut options = BTreeMap::new();
    for entry in node.map(Node::entries).unwrap_or_default() {
        // An option with a decoding error is not in `written`.
        let Some((name, value)) = written.remove_entry(&entry.key) else { continue };
        let Some((_, shape)) = OPTIONS.iter().find(|(known, _)| *known == name) else {
            let quoted = mask::quoted(&name);
            let (message, help) = match NOT_OURS.iter().find(|(other, _)| *other == name) {
                Some((_, why)) => {
                    (format!("the room option {quoted} cannot be set"), Some((*why).to_owned()))
                }
                None => {
                    let known = OPTIONS.iter().map(|(known, _)| *known);
                    let help = suggest::closest(&name, known);
                    let help = help.map(|known| format!("did you mean `{known}`?"));
                    (format!("ejabberd has no room option {quoted}"), help)
                }
            };
            scope.report.error(entry.key_span, message).help = help;
            continue;
        };
        if let Some(value) = shaped(&name, value, shape, entry.value.span, scope) {
            if matches!(&value, OptionValue::Text(text) if name == "vcard" && !is_vcard(text)) {
                let message =
                    "the room option `vcard` is not the XML of a vCard, so clients get no vCard";
                scope.report.warning(entry.value.span, message).help =
                    Some("write `<vCard xmlns='vcard-temp'>…</vCard>`, or an empty text".into());
            }
            options.insert(name, value);
        }
    }
    options
}

/// Whether clients get `text` as the vCard of a room. `mod_muc_room` parses the text for each
/// request, and responds that the room has no vCard if parsing fails.
fn is_vcard(text: &str) -> bool {
    let text = text.trim();
    let begins = text.strip_prefix("<vCard").is_some_and(|rest| rest.starts_with([' ', '>', '/']));
    text.is_empty() || (begins && (text.ends_with("</vCard>") || text.ends_with("/>")))
}

fn shaped(
    name: &str,
    value: RoomOption,
    shape: &Shape,
    span: Span,
    scope: &mut Scope<'_, '_>,
) -> Option<OptionValue> {
    let meant = match (shape, &value) {
        (Bool, RoomOption::Int(1)) => Some("write `true`"),
        (Bool, RoomOption::Int(0)) => Some("write `false`"),
        (Bool, RoomOption::Text(text)) => meant_by(text),
        _ => None,
    };
    let expected = match (shape, value) {
        (Bool, RoomOption::Bool(value)) => return Some(OptionValue::Bool(value)),
        (Positive, RoomOption::Int(value)) if value > 0 => return Some(OptionValue::Int(value)),
        (Text, RoomOption::Text(value)) => {
            return fits(&value, name, span, scope).then_some(OptionValue::Text(value));
        }
        (Word(known), RoomOption::Text(value)) => {
            if known.contains(&value.as_str()) {
                return Some(OptionValue::Text(value));
            }
            return unknown_word(name, &value, known, span, scope);
        }
        (Words(known), RoomOption::List(values)) => {
            match values.iter().find(|value| !known.contains(&value.as_str())) {
                None => return Some(OptionValue::List(values)),
                Some(value) => return unknown_word(name, value, known, span, scope),
            }
        }
        (Bool, _) => "true or false".to_owned(),
        (Positive, _) => "a whole number above zero".to_owned(),
        (Text, _) => "a text".to_owned(),
        (Word(known), _) => format!("one of {}", suggest::listed(known.iter().copied())),
        (Words(known), _) => format!("a list of {}", suggest::listed(known.iter().copied())),
    };
    scope.report.error(span, format!("the room option `{name}` must be {expected}")).help =
        meant.map(str::to_owned);
    None
}

fn unknown_word<T>(
    name: &str,
    value: &str,
    known: &[&str],
    span: Span,
    scope: &mut Scope<'_, '_>,
) -> Option<T> {
    let message = format!("the room option `{name}` cannot be {}", mask::quoted(value));
    scope.report.error(span, message).help = suggest::help(value, known);
    None
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_without_repetitions() {
        assert!(OPTIONS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }

    #[test]
    fn printed_options_are_read_in_their_declared_form() {
        let read = |name, printed| printed_room_option(name, printed);
        assert_eq!(read("mam", "true"), Some(OptionValue::Bool(true)));
        assert_eq!(read("max_users", "20"), Some(OptionValue::Int(20)));
        assert_eq!(read("title", "[a"), Some(OptionValue::Text("[a".into())));
        let list = |words: &[&str]| {
            Some(OptionValue::List(words.iter().map(|word| (*word).to_owned()).collect()))
        };
        assert_eq!(read("presence_broadcast", "[]"), list(&[]));
        assert_eq!(
            read("presence_broadcast", "[visitor, moderator]"),
            list(&["visitor", "moderator"])
        );
        for (name, printed) in [
            ("max_users", "none"),
            ("max_users", "0"),
            ("mam", "banana"),
            ("allowpm", "everyone"),
            ("presence_broadcast", "[everyone]"),
            ("vcard_xupdate", "undefined"),
        ] {
            assert_eq!(read(name, printed), None, "{name} {printed}");
        }
    }
}
