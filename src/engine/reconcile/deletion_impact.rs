//! Describes in a plan which data each deletion deletes.

use crate::domain::diff::{ChangeSet, ObjectAction};
use crate::domain::model::{Jid, Op};
use crate::engine::reconcile::round::Reconciler;

/// The limit of accounts whose messages are counted. Each account costs two calls, so more
/// accounts get a general text.
const COUNTED: usize = 20;

impl Reconciler {
    /// Adds the data that is lost to the reason for each deletion.
    pub(in crate::engine) async fn explain_deletions(&self, set: &mut ChangeSet) {
        let accounts =
            set.objects.iter().filter(|step| matches!(step.action(), ObjectAction::DeleteUser(_)));
        let few = accounts.count() <= COUNTED;
        for step in set.objects.iter_mut().filter(|step| step.op() == Op::Delete) {
            let what = match step.action() {
                ObjectAction::DeleteUser(jid) if few => self.of_account(jid).await,
                ObjectAction::DeleteUser(_) => {
                    "its roster, vCard, waiting messages and archive are deleted too".to_owned()
                }
                ObjectAction::DeleteGroup(_) => "its members no longer see each other".to_owned(),
                ObjectAction::DeleteRoom(_) => {
                    "its history, subject and affiliations are deleted too".to_owned()
                }
                ObjectAction::RemoveAffiliation(_)
                | ObjectAction::SetAffiliation { .. }
                | ObjectAction::StoreAccounts { .. }
                | ObjectAction::CreateUser(_)
                | ObjectAction::SetPassword(_)
                | ObjectAction::SetVcard(_)
                | ObjectAction::Ban { .. }
                | ObjectAction::Unban(_)
                | ObjectAction::CreateGroup(_)
                | ObjectAction::UpdateGroup(_)
                | ObjectAction::CreateRoom(_)
                | ObjectAction::UpdateRoom { .. } => continue,
            };
            step.explain(&what);
        }
    }

    async fn of_account(&self, jid: &Jid) -> String {
        // Without the module there are no messages; some versions cannot count them.
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
        format!("its roster, its vCard{waiting}{archive} are deleted too")
    }
}

fn messages(count: i64) -> String {
    if count == 1 { "1 message".to_owned() } else { format!("{count} messages") }
}
