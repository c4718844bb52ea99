//! Creates rooms. `ejabberdctl` splits a list of options at commas and a pair at a colon, and has
//! no escape, so this module sets some values after the room's creation.

use super::{SECRET, Turn};
use crate::domain::model::ApiVersion;
use crate::ejabberd::{Arg, ControlError, Shape, Value};

pub(super) const CREATE: &str = "create_room_with_opts";
const CHANGE: &str = "change_room_option";
const AFFILIATE: &str = "set_room_affiliation";

/// The last API version in which an account is one argument. In later versions, an account is two
/// arguments.
const ONE_ARGUMENT_UNTIL: ApiVersion = ApiVersion(2);

/// The last API version in which a list argument is JSON.
const JSON_UNTIL: ApiVersion = ApiVersion(0);

/// A room to create.
#[derive(Debug)]
pub(super) struct NewRoom {
    /// The names of the room, the service and the vhost.
    name: [String; 3],
    options: Vec<(String, String)>,
    affiliations: Vec<(String, String)>,
}

impl NewRoom {
    pub(super) fn of(args: Vec<Arg>) -> Result<Self, ControlError> {
        let unsupported = |why| ControlError::Unsupported { command: CREATE, why };
        let malformed = || ControlError::Malformed(CREATE);
        let [room, service, host, pairs] = <[Arg; 4]>::try_from(args).map_err(|_| malformed())?;
        let (Arg::Text(room), Arg::Text(service), Arg::Text(host), Arg::Pairs(pairs)) =
            (room, service, host, pairs)
        else {
            return Err(malformed());
        };
        let mut new =
            Self { name: [room, service, host], options: Vec::new(), affiliations: Vec::new() };
        for (name, value) in pairs {
            let value = value.expose().to_owned();
            if value.contains('\0') {
                return Err(unsupported("an argument has a NUL"));
            }
            match name.as_str() {
                "password" if !value.is_empty() => return Err(unsupported(SECRET)),
                "affiliations" => {
                    let entries = value.split(',').filter_map(|entry| entry.split_once(':'));
                    new.affiliations =
                        entries.map(|(kind, jid)| (jid.to_owned(), kind.to_owned())).collect();
                }
                // Set the subject at the room's creation, because no command changes a subject
                // later.
                "subject" if !is_plain(&value) => {
                    return Err(unsupported(
                        "the list of options cannot contain a subject with such characters; use \
                         an image that has an `erl`",
                    ));
                }
                _ => new.options.push((name, value)),
            }
        }
        Ok(new)
    }
}

/// Whether a list of options can contain `value`.
fn is_plain(value: &str) -> bool {
    !value.is_empty() && value.chars().all(|c| c.is_alphanumeric() || " _.-!?".contains(c))
}

impl Turn<'_> {
    pub(super) async fn create_room(&self, new: NewRoom) -> Result<Value, ControlError> {
        let api = self.api().await?;
        let NewRoom { name, options, affiliations } = new;
        let (at_once, later): (Vec<_>, Vec<_>) =
            options.into_iter().partition(|(_, value)| api <= JSON_UNTIL || is_plain(value));
        let mut args: Vec<String> = name.to_vec();
        args.push(if api <= JSON_UNTIL { json(&at_once) } else { list(&at_once) });
        let response = self.command(CREATE, Shape::Rescode, args).await?;
        if !response.is_ok() {
            return Ok(response);
        }
        let [room, service, _] = name;
        for (name, value) in later {
            let args = vec![room.clone(), service.clone(), name, value];
            let response = self.command(CHANGE, Shape::Rescode, args).await?;
            if !response.is_ok() {
                return Ok(response);
            }
        }
        for (jid, kind) in affiliations {
            let mut args = vec![room.clone(), service.clone()];
            match jid.split_once('@') {
                Some((user, host)) if api > ONE_ARGUMENT_UNTIL => {
                    args.extend([user.to_owned(), host.to_owned()]);
                }
                _ => args.push(jid),
            }
            args.push(kind);
            let response = self.command(AFFILIATE, Shape::Rescode, args).await?;
            if !response.is_ok() {
                return Ok(response);
            }
        }
        Ok(response)
    }
}

fn list(options: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        options.iter().map(|(name, value)| format!("{name}:{value}")).collect();
    pairs.join(",")
}

fn json(options: &[(String, String)]) -> String {
    let pairs: Vec<_> = options
        .iter()
        .map(|(name, value)| serde_json::json!({ "name": name, "value": value }))
        .collect();
    serde_json::Value::from(pairs).to_string()
}
