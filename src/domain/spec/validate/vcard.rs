//! Validates `nickname` and `vcard` of an account.

use std::collections::BTreeMap;

use super::Scope;
use super::objects::{field, fits};
use crate::domain::spec::desired::VcardField;
use crate::domain::spec::tree::Node;
use crate::domain::spec::{mask, suggest};

const NICKNAME: VcardField = single("NICKNAME");

/// The fields that the commands of ejabberd can read and write one by one (XEP-0054). For elements
/// with one usual part, the name of the part is optional.
const FIELDS: [(&str, VcardField); 34] = [
    ("ADR.CTRY", part("ADR", "CTRY")),
    ("ADR.EXTADD", part("ADR", "EXTADD")),
    ("ADR.LOCALITY", part("ADR", "LOCALITY")),
    ("ADR.PCODE", part("ADR", "PCODE")),
    ("ADR.POBOX", part("ADR", "POBOX")),
    ("ADR.REGION", part("ADR", "REGION")),
    ("ADR.STREET", part("ADR", "STREET")),
    ("BDAY", single("BDAY")),
    ("DESC", single("DESC")),
    ("EMAIL", part("EMAIL", "USERID")),
    ("EMAIL.USERID", part("EMAIL", "USERID")),
    ("FN", single("FN")),
    ("JABBERID", single("JABBERID")),
    ("MAILER", single("MAILER")),
    ("N.FAMILY", part("N", "FAMILY")),
    ("N.GIVEN", part("N", "GIVEN")),
    ("N.MIDDLE", part("N", "MIDDLE")),
    ("N.PREFIX", part("N", "PREFIX")),
    ("N.SUFFIX", part("N", "SUFFIX")),
    ("NICKNAME", NICKNAME),
    ("NOTE", single("NOTE")),
    ("ORG", part("ORG", "ORGNAME")),
    ("ORG.ORGNAME", part("ORG", "ORGNAME")),
    ("ORG.ORGUNIT", part("ORG", "ORGUNIT")),
    ("ROLE", single("ROLE")),
    ("TEL.CELL", part("TEL", "CELL")),
    ("TEL.FAX", part("TEL", "FAX")),
    ("TEL.HOME", part("TEL", "HOME")),
    ("TEL.VOICE", part("TEL", "VOICE")),
    ("TEL.WORK", part("TEL", "WORK")),
    ("TITLE", single("TITLE")),
    ("TZ", single("TZ")),
    ("UID", single("UID")),
    ("URL", single("URL")),
];

const fn single(element: &'static str) -> VcardField {
    VcardField { element, part: None }
}

const fn part(element: &'static str, part: &'static str) -> VcardField {
    VcardField { element, part: Some(part) }
}

/// Every name under which a field can be declared.
pub fn vcard_fields() -> impl Iterator<Item = &'static str> {
    FIELDS.iter().map(|(name, _)| *name)
}

/// Checks the declared fields, including `nickname`, and returns the valid fields.
pub(super) fn check(
    nickname: Option<String>,
    mut written: BTreeMap<String, String>,
    user: &Node,
    scope: &mut Scope<'_, '_>,
) -> BTreeMap<VcardField, String> {
    let mut fields = BTreeMap::new();
    if let Some(text) = nickname
        && fits(&text, "nickname", field(user, "nickname"), scope)
    {
        fields.insert(NICKNAME, text);
    }
    for entry in user.get("vcard").map(Node::entries).unwrap_or_default() {
        // A field with a decoding error is not in `written`.
        let Some((name, text)) = written.remove_entry(&entry.key) else { continue };
        let Some((_, known)) = FIELDS.iter().find(|(known, _)| *known == name) else {
            let upper = name.to_uppercase();
            let help = suggest::closest(&upper, FIELDS.iter().map(|(known, _)| *known))
                .map(|known| format!("did you mean `{known}`?"));
            let message = format!("the vCard field {} cannot be set", mask::quoted(&name));
            scope.report.error(entry.key_span, message).help = help;
            continue;
        };
        if !fits(&text, &name, entry.value.span, scope) {
            continue;
        }
        if fields.insert(known.clone(), text).is_some() {
            let message =
                format!("the vCard's {} is given twice", mask::quoted(&known.to_string()));
            scope.report.error(entry.key_span, message);
        }
    }
    fields
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_sorted_and_without_repetitions() {
        assert!(FIELDS.windows(2).all(|pair| pair[0].0 < pair[1].0));
    }
}
