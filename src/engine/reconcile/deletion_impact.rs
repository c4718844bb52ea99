//! Describes in a plan which data is lost by each deletion.

use crate::domain::diff::{ChangeSet, ObjectAction};
use crate::domain::model::{Jid, Op};
use crate::engine::reconcile::round::Reconciler;

/// The maximum number of deleted accounts whose messages the operator counts. Each account costs
/// two calls, so a plan that deletes more accounts gets a general text.
const COUNTED: usize = 20;

impl Reconciler {
    /// Adds a description of the lost data to the reason of each deletion.
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
        // Treat an error as 0: without the module there are no offline messages, and some ejabberd
        // versions cannot count the messages.
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
