//! The options of a new room.
//!
//! No command reports all options of a new room, and a room that is created to read its options
//! would change the server. So this module contains ejabberd's defaults, and adds the
//! `default_room_options` of `mod_muc`, as the server does.

use super::read_rooms::printed;
use super::{Call, ControlError, EjabberdClient, Result, Value};
use crate::domain::model::{ServerVersion, Vhost};
use crate::domain::observed::RoomOptions;

/// The output of `get_room_options` for a new room on 23.01, 24.12 and 26.07 (tested). The limit
/// `max_users` of `mod_muc` only caps the value `max_users` of a room.
const DEFAULTS: [(&str, &str); 29] = [
    ("allow_change_subj", "true"),
    ("allow_private_messages", "true"),
    ("allow_private_messages_from_visitors", "anyone"),
    ("allow_query_users", "true"),
    ("allow_subscription", "false"),
    ("allow_user_invites", "false"),
    ("allow_visitor_nickchange", "true"),
    ("allow_visitor_status", "true"),
    ("allow_voice_requests", "true"),
    ("allowpm", "anyone"),
    ("anonymous", "true"),
    ("captcha_protected", "false"),
    ("description", ""),
    ("logging", "false"),
    ("mam", "false"),
    ("max_users", "200"),
    ("members_by_default", "true"),
    ("members_only", "false"),
    ("moderated", "true"),
    ("password", ""),
    ("password_protected", "false"),
    ("persistent", "false"),
    ("presence_broadcast", "[moderator,participant,visitor]"),
    ("public", "true"),
    ("public_list", "true"),
    ("pubsub", ""),
    ("title", ""),
    ("vcard", ""),
    ("voice_request_min_interval", "1800"),
];

/// The default of `enable_hats`, which changed between the tested versions; `None` for a version in
/// between.
fn hats(version: ServerVersion) -> Option<&'static str> {
    const OFF_UNTIL: ServerVersion = ServerVersion { year: 24, month: 12 };
    const ON_SINCE: ServerVersion = ServerVersion { year: 26, month: 7 };
    match version {
        version if version <= OFF_UNTIL => Some("false"),
        version if version >= ON_SINCE => Some("true"),
        _ => None,
    }
}

impl EjabberdClient {
    /// The options of a room of `host` that is created without options. Leaves out an option if its
    /// default is unknown.
    pub async fn new_room_options(&self, host: &Vhost) -> Result<RoomOptions> {
        const NAME: &str = "default_room_options";
        let mut options: RoomOptions = DEFAULTS
            .iter()
            .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()))
            .collect();
        if let Some(hats) = hats(self.version().await?) {
            options.insert("enable_hats".to_owned(), hats.to_owned());
        }
        let language = Call::function("ejabberd_option", "language", Vec::new());
        let language = self.control.call(language, self.deadline).await?;
        options.extend(language.as_text().map(|word| ("lang".to_owned(), word.to_owned())));
        if !self.has_module(host, "mod_muc").await? {
            return Ok(options);
        }
        let call = Call::function("mod_muc_opt", NAME, vec![host.as_str().into()]);
        let response = self.control.call(call, self.deadline).await?;
        let configured = response.as_list().ok_or(ControlError::Malformed(NAME))?;
        options.extend(configured.iter().filter_map(|pair| match pair.as_tuple()? {
            [Value::Atom(name), value] => Some((name.clone(), printed(value)?)),
            _ => None,
        }));
        Ok(options)
    }
}
