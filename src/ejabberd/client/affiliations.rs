//! Commands for the affiliations of rooms.

use std::collections::BTreeMap;

use super::responses::refused;
use super::rooms::room_args;
use super::{Arg, ControlError, EjabberdClient, Result, Shape, Value};
use crate::domain::model::{AffiliationId, ApiVersion, Jid, RoomJid};
use crate::domain::spec::AffiliationKind;

/// The last API version in which an account is one argument. In later versions, an account is two
/// arguments.
const ONE_ARGUMENT_UNTIL: ApiVersion = ApiVersion(2);

impl EjabberdClient {
    /// The affiliations of a room. Starts a hibernated room. Leaves out whole domains, and names
    /// that cannot be declared.
    pub async fn affiliations(&self, room: &RoomJid) -> Result<BTreeMap<Jid, AffiliationKind>> {
        const NAME: &str = "get_room_affiliations";
        let response = self.command(NAME, Shape::Pairs, room_args(room)).await?;
        let rows = response.as_list().ok_or(ControlError::Malformed(NAME))?;
        let row = |row: &Value| -> Option<(Jid, AffiliationKind)> {
            let (jid, word) = match row.as_tuple()? {
                [user, host, word, _] => (format!("{}@{}", user.as_text()?, host.as_text()?), word),
                [jid, word, ..] => (jid.as_text()?.to_owned(), word),
                _ => return None,
            };
            Some((jid.parse().ok()?, kind(word.as_text()?)?))
        };
        Ok(rows.iter().filter_map(row).collect())
    }

    /// Sets the affiliation of an account in a room; removes the affiliation if `to` is `None`.
    pub async fn affiliate(&self, id: &AffiliationId, to: Option<AffiliationKind>) -> Result<()> {
        const NAME: &str = "set_room_affiliation";
        let AffiliationId { room, account } = id;
        let mut args = room_args(room);
        if self.api().await? <= ONE_ARGUMENT_UNTIL {
            args.push(Arg::Text(account.to_string()));
        } else {
            args.extend([account.local.as_str().into(), account.host.as_str().into()]);
        }
        args.push(to.map_or("none", AffiliationKind::as_str).into());
        let response = self.command(NAME, Shape::Rescode, args).await?;
        if response.is_ok() { Ok(()) } else { Err(refused(NAME, &response)) }
    }
}

/// The kind of affiliation with the name `word` in ejabberd; `None` if the kind cannot be declared.
pub(super) fn kind(word: &str) -> Option<AffiliationKind> {
    AffiliationKind::ALL.into_iter().find(|kind| kind.as_str() == word)
}
