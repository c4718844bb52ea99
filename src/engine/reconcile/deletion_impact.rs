//! What a deletion takes along, which a plan says before it is done.

use crate::domain::diff::{Action, ChangeSet};
use crate::domain::model::{Jid, Op};
use crate::engine::Engine;

/// For more accounts than this it is said in general: each costs two calls.
const COUNTED: usize = 20;

impl Engine {
    /// Adds to the reason of each deletion what is lost with the object.
    pub(in crate::engine) async fn say_what_goes(&self, set: &mut ChangeSet) {
        let deletions = set.changes.iter().filter(|change| change.op == Op::Delete);
        let few =
            deletions.filter(|c| matches!(c.action, Action::DeleteUser(_))).count() <= COUNTED;
        for change in set.changes.iter_mut().filter(|change| change.op == Op::Delete) {
            let what = match &change.action {
                Action::DeleteUser(jid) if few => self.of_account(jid).await,
                Action::DeleteUser(_) => {
                    "its roster, vCard, waiting messages and archive go with it".to_owned()
                }
                Action::DeleteGroup(_) => "its members no longer see each other".to_owned(),
                Action::DeleteRoom(_) => {
                    "its history, subject and affiliations go with it".to_owned()
                }
                _ => continue,
            };
            change.reason = format!("{}; {what}", change.reason);
        }
    }

    async fn of_account(&self, jid: &Jid) -> String {
        // Without the module there are none; a version may not tell.
        let waiting = self.server.offline_messages(jid).await.unwrap_or(0);
        let archived = self.server.archived_messages(jid).await.ok();
        let archive = match archived {
            Some(0) => String::new(),
            Some(n) => format!(", {} in its archive", messages(n)),
            None => ", its archive".to_owned(),
        };
        let waiting = match waiting {
            0 => String::new(),
            n => format!(", {} for when it is online", messages(n)),
        };
        format!("its roster, its vCard{waiting}{archive} go with it")
    }
}

fn messages(count: i64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}
