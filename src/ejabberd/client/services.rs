//! The services for rooms of a vhost.

use std::collections::BTreeSet;

use super::responses::{number, texts};
use super::{Arg, Call, EjabberdClient, Result, Value};
use crate::domain::model::Vhost;
use crate::domain::observed::HostServices;

impl EjabberdClient {
    /// The names of the services for rooms of `host`; empty if `host` has no service.
    pub async fn room_services(&self, host: &Vhost) -> Result<BTreeSet<Vhost>> {
        const NAME: &str = "get_module_opt_hosts";
        if !self.has_module(host, "mod_muc").await? {
            return Ok(BTreeSet::new());
        }
        let args = vec![host.as_str().into(), Arg::Atom("mod_muc")];
        let response =
            self.control.call(Call::function("gen_mod", NAME, args), self.deadline).await?;
        let names = texts(NAME, &response)?;
        Ok(names.into_iter().filter_map(|name| Vhost::new(name).ok()).collect())
    }

    /// The services for rooms of `host`, their limits, and the features that `host` has.
    pub async fn host_services(&self, host: &Vhost) -> Result<HostServices> {
        let rooms = self.room_services(host).await?;
        let max_users = if rooms.is_empty() {
            None
        } else {
            let call = Call::function("mod_muc_opt", "max_users", vec![host.as_str().into()]);
            let most = number("max_users", &self.control.call(call, self.deadline).await?).ok();
            most.and_then(|most| u64::try_from(most).ok())
        };
        let captchas = Call::function("ejabberd_option", "captcha_cmd", Vec::new());
        let captchas = self.control.call(captchas, self.deadline).await?;
        Ok(HostServices {
            rooms,
            max_users,
            archives: self.has_module(host, "mod_mam").await?,
            logs: self.has_module(host, "mod_muc_log").await?,
            rosters: self.has_module(host, "mod_roster").await?,
            captchas: !matches!(&captchas, Value::Atom(word) if word == "undefined"),
        })
    }
}
