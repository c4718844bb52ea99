//! Who is what in a room.

use std::collections::BTreeMap;

use super::responses::refused;
use super::rooms::room_args;
use super::{Arg, ControlError, EjabberdClient, Result, Shape, Value};
use crate::domain::model::{AffiliationId, ApiVersion, Jid, RoomJid};
use crate::domain::spec::AffiliationKind;

/// Up to this version of the API an account is one argument, later two.
const ONE_ARGUMENT_UNTIL: ApiVersion = ApiVersion(2);

impl EjabberdClient {
    /// The affiliations of a room that runs; a hibernated one is woken. Whole
    /// domains, and names that this program could not have written, are left out.
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

    /// Gives an account an affiliation with a room, or takes it away.
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

/// The kind that ejabberd's `word` means, if it is any.
pub(super) fn kind(word: &str) -> Option<AffiliationKind> {
    AffiliationKind::ALL.into_iter().find(|kind| kind.as_str() == word)
}
