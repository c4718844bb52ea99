//! Commands for vCards.

use super::accounts::account;
use super::responses::refused;
use super::{Call, ControlError, EjabberdClient, Result, Shape, Value};
use crate::domain::model::Jid;
use crate::domain::observed::Vcard;
use crate::domain::spec::VcardField;

impl EjabberdClient {
    /// The `fields` of an account's vCard. A missing field is empty.
    ///
    /// Reads the vCard as a whole, because a command for each field is slow, and a missing field
    /// fails in four ways, of which one is a crash. A control channel that carries only commands
    /// reads each field.
    pub async fn vcard<'f>(
        &self,
        jid: &Jid,
        fields: impl IntoIterator<Item = &'f VcardField>,
    ) -> Result<Vcard> {
        const NAME: &str = "get_vcard";
        let fields: Vec<&VcardField> = fields.into_iter().collect();
        let call = Call::function("mod_vcard", NAME, account(jid));
        let response = match self.control.call(call, self.deadline).await {
            Err(ControlError::Unsupported { .. }) => return self.vcard_fields(jid, &fields).await,
            Err(ControlError::UnknownCommand { .. }) => {
                self.needs_module(&jid.host, NAME, "mod_vcard").await?;
                return Err(ControlError::Malformed(NAME));
            }
            response => response?,
        };
        let cards = response.as_list().ok_or_else(|| refused(NAME, &response))?;
        let card = cards.first().and_then(Element::read);
        let text = |field: &VcardField| card.as_ref().and_then(|card| card.field(field));
        Ok(fields
            .into_iter()
            .map(|field| (field.clone(), text(field).unwrap_or_default().to_owned()))
            .collect())
    }

    async fn vcard_fields(&self, jid: &Jid, fields: &[&VcardField]) -> Result<Vcard> {
        self.needs_module(&jid.host, "get_vcard", "mod_vcard").await?;
        let mut card = Vcard::new();
        for field in fields {
            let mut args = account(jid);
            args.push(field.element.into());
            let name = match field.part {
                None => "get_vcard",
                Some(part) => {
                    args.push(part.into());
                    "get_vcard2"
                }
            };
            let text = match self.command(name, Shape::Text, args).await {
                Ok(response) => response.as_text().unwrap_or_default().to_owned(),
                // There is no vCard, no such field, or no such part of the field.
                Err(ControlError::Refused { message, .. }) if message.starts_with("error_no_") => {
                    String::new()
                }
                Err(ControlError::Crashed { place, .. }) if place.contains("get_vcard_content") => {
                    String::new()
                }
                Err(error) => return Err(error),
            };
            card.insert((*field).clone(), text);
        }
        Ok(card)
    }

    /// Sets one field of an account's vCard, and keeps the other fields. The account must exist,
    /// because ejabberd also stores the vCard of an absent account.
    pub async fn set_vcard(&self, jid: &Jid, field: &VcardField, text: &str) -> Result<()> {
        let mut args = account(jid);
        args.push(field.element.into());
        // Not `set_nickname`, which replaces the whole vCard.
        let name = match field.part {
            None => "set_vcard",
            Some(part) => {
                args.push(part.into());
                "set_vcard2"
            }
        };
        args.push(text.into());
        let response = self.command(name, Shape::Rescode, args).await?;
        if response.is_ok() { Ok(()) } else { Err(refused(name, &response)) }
    }
}

/// An XML element, in the form of ejabberd's `xmlel` tuple.
struct Element<'v> {
    name: &'v str,
    children: &'v [Value],
}

impl<'v> Element<'v> {
    fn read(value: &'v Value) -> Option<Self> {
        match value.as_tuple()? {
            [tag, name, _, children] if tag.as_text() == Some("xmlel") => {
                Some(Self { name: name.as_text()?, children: children.as_list()? })
            }
            _ => None,
        }
    }

    fn elements(&self) -> impl Iterator<Item = Element<'v>> {
        self.children.iter().filter_map(Element::read)
    }

    fn child(&self, name: &str) -> Option<Element<'v>> {
        self.elements().find(|child| child.name == name)
    }

    fn text(&self) -> &'v str {
        let data = |child: &'v Value| match child.as_tuple()? {
            [tag, data] if tag.as_text() == Some("xmlcdata") => data.as_text(),
            _ => None,
        };
        self.children.iter().find_map(data).unwrap_or_default()
    }

    fn field(&self, field: &VcardField) -> Option<&'v str> {
        match (field.element, field.part) {
            // The part of `TEL` is the kind of the number; the number itself is in a separate
            // element.
            ("TEL", Some(kind)) => {
                let of_kind = |tel: &Element<'v>| tel.name == "TEL" && tel.child(kind).is_some();
                Some(self.elements().find(of_kind)?.child("NUMBER")?.text())
            }
            (element, Some(part)) => Some(self.child(element)?.child(part)?.text()),
            (element, None) => Some(self.child(element)?.text()),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn element(name: &str, children: Vec<Value>) -> Value {
        let word = |word: &str| Value::Atom(word.to_owned());
        let name = Value::Text(name.to_owned());
        Value::Tuple(vec![word("xmlel"), name, Value::List(vec![]), Value::List(children)])
    }

    fn text(text: &str) -> Value {
        Value::Tuple(vec![Value::Atom("xmlcdata".into()), Value::Text(text.to_owned())])
    }

    #[test]
    fn a_phone_number_is_found_by_its_kind() {
        let number = |kind: &str, number: &str| {
            element("TEL", vec![element(kind, vec![]), element("NUMBER", vec![text(number)])])
        };
        let card = element(
            "vCard",
            vec![number("HOME", "1"), number("WORK", "2"), element("FN", vec![text("Ann")])],
        );
        let card = Element::read(&card).unwrap();
        let field = |element, part| card.field(&VcardField { element, part });
        assert_eq!(field("TEL", Some("WORK")), Some("2"));
        assert_eq!(field("TEL", Some("CELL")), None);
        assert_eq!(field("FN", None), Some("Ann"));
        assert_eq!(field("N", Some("GIVEN")), None);
    }
}
