//! The security checklist, as a program.
//!
//! Pure: [`check`] judges an [`Evidence`] that somebody else gathered. There is
//! one list of checks, [`CHECKS`]; whoever wants to know whether a server is
//! safe, be it the `audit` command, the health gate of a rollout or a metric,
//! asks it. The names are fixed: dashboards are made of them.
//!
//! What could not be looked at is [`Verdict::Unknown`], which is never taken
//! for holding. Where the configuration can be read in two ways, the answer is
//! the worse one, or `Unknown`.

mod access;
mod certificates;
mod evidence;
mod file;
mod network;
mod promise;
mod settings;
mod sockets;

use schemars::JsonSchema;
use serde::Serialize;

pub use certificates::{Certificate, ends, warning};
pub use evidence::{ClientListener, Distribution, Evidence, Inside, Variant, Wire};
pub use promise::{broken_around, broken_promise};
pub use settings::VERSION_FLOOR;
pub use sockets::{Socket, Table, listening, listening_with_inode, user_of_status};

/// Whether an item of the checklist holds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Verdict {
    /// It does.
    Holds,
    /// It does not.
    Fails,
    /// It could not be looked at.
    Unknown,
}

impl Verdict {
    /// Yes or no, or nothing where that is not known: what a metric shows.
    #[must_use]
    pub const fn holds(self) -> Option<bool> {
        match self {
            Self::Holds => Some(true),
            Self::Fails => Some(false),
            Self::Unknown => None,
        }
    }
}

/// What a look at one item found.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Finding {
    /// The fixed name of the item.
    pub check: &'static str,
    /// What is to hold, in words.
    pub title: &'static str,
    /// Whether it does.
    pub verdict: Verdict,
    /// What was seen; of what is not known, why.
    pub seen: String,
    /// Why it matters.
    pub why: &'static str,
    /// What to do about it.
    pub mend: &'static str,
}

/// One item of the checklist.
#[derive(Debug, Clone, Copy)]
pub struct Check {
    /// Its name; never changes.
    pub name: &'static str,
    title: &'static str,
    why: &'static str,
    mend: &'static str,
    look: fn(&Evidence) -> Answer,
}

/// A verdict and the words for it.
type Answer = (Verdict, String);

fn holds(seen: impl Into<String>) -> Answer {
    (Verdict::Holds, seen.into())
}

fn fails(seen: impl Into<String>) -> Answer {
    (Verdict::Fails, seen.into())
}

fn unknown(why: impl Into<String>) -> Answer {
    (Verdict::Unknown, why.into())
}

/// Looks at every item, in the order of the list.
#[must_use]
pub fn check(evidence: &Evidence) -> Vec<Finding> {
    let look = |check: &Check| {
        let &Check { name, title, why, mend, look } = check;
        let (verdict, seen) = look(evidence);
        Finding { check: name, title, verdict, seen, why, mend }
    };
    CHECKS.iter().map(look).collect()
}

/// The checklist: first what the guide has, then what it takes for granted.
pub const CHECKS: [Check; 16] = [
    Check {
        name: "variant_hardened",
        title: "the hardened variant is declared and in force",
        why: "The other items describe the hardened variant one by one; any other file can lose one of them with the next change.",
        mend: "Set spec.config.variant: hardened, commit, and let the operator roll it out.",
        look: settings::variant_hardened,
    },
    Check {
        name: "loopback_inside",
        title: "the server itself listens on loopback alone",
        why: "A socket on any other address is open to whoever reaches that address: with the host's network everybody, in a bridge network every other container on it, whatever Docker publishes.",
        mend: "Set `ip: 127.0.0.1` for each listener in the configuration, and spec.server.docker.network: host, so that the loopback is that of the host.",
        look: network::loopback_inside,
    },
    Check {
        name: "loopback_published",
        title: "Docker publishes its ports on loopback alone",
        why: "Docker forwards a published port past the host's own firewall rules.",
        mend: "Publish with the address, as in `-p 127.0.0.1:5222:5222` or spec.server.docker.ports, or use the host's network; a container's ports change only when it is made anew.",
        look: network::loopback_published,
    },
    Check {
        name: "loopback_host",
        title: "on the host, its ports are open on loopback alone",
        why: "This is what counts in the end: what the host accepts on other addresses, others can reach. It is what `ss -tln` shows.",
        mend: "Fix loopback_inside and loopback_published: the host accepts what they name.",
        look: network::loopback_host,
    },
    Check {
        name: "api_commands",
        title: "nobody but the console may change anything by the API",
        why: "Whoever may call `register`, `create_room` or `send_message` makes accounts and rooms and writes as anybody; where a rule goes by address no password is asked, and a reverse proxy on this host makes everybody come from loopback.",
        mend: "In api_permissions, let only `from: ejabberd_ctl` have \"*\", and list under `what` of every other rule only commands that read: status, stats, connected_users_number.",
        look: file::api_commands,
    },
    Check {
        name: "web_handlers",
        title: "no administration, client or registration over HTTP",
        why: "/admin takes the administrator's password, /bosh and /ws let clients in past the rules of port 5222, and a registration page makes accounts for anybody.",
        mend: "Remove those entries from request_handlers; keep `/api: mod_http_api` at most.",
        look: file::web_handlers,
    },
    Check {
        name: "starttls_file",
        title: "the configuration demands TLS of every client",
        why: "Without it a client may send its password in the clear, and one that is moved to another host later does so over the network.",
        mend: "Set `starttls_required: true` (or `tls: true`) for every listener with `module: ejabberd_c2s`.",
        look: file::starttls_file,
    },
    Check {
        name: "starttls_wire",
        title: "the running server demands TLS of every client",
        why: "The file says what shall be, and only a client sees what is: a reload may not have taken, or the certificate cannot be read.",
        mend: "Mend starttls_file and reload; if that holds, see to the certificate: the server's log says what is wrong with it.",
        look: network::starttls_wire,
    },
    Check {
        name: "certificates_current",
        title: "no certificate ends within two weeks",
        why: "When it has ended, no client logs in any more.",
        mend: "Have it renewed, and put the new one where spec.config.files says: it is taken up without a restart.",
        look: certificates::certificates_current,
    },
    Check {
        name: "rooms_members_only",
        title: "new rooms are for their members alone",
        why: "A room that is made without saying otherwise would be open to every account.",
        mend: "Set `members_only: true` under modules.mod_muc.default_room_options; rooms that are there already keep what they have.",
        look: file::rooms_members_only,
    },
    Check {
        name: "log_level",
        title: "the server does not log at debug",
        why: "At `loglevel: debug` ejabberd writes every stanza that it receives to its log, among them the passwords of clients that log in by PLAIN, and what people write to each other.",
        mend: "Set `loglevel: info`, remove `log_modules_fully`, and delete the log files that were written until then.",
        look: file::log_level,
    },
    Check {
        name: "distribution_local",
        title: "Erlang's own ports are on loopback alone",
        why: "Whoever reaches the Erlang distribution and knows or guesses its cookie runs any code as the server; epmd (4369) tells where it is.",
        mend: "Set ERL_EPMD_ADDRESS=127.0.0.1 and ERL_ZFLAGS='-kernel inet_dist_use_interface {127,0,0,1}' for the container; one that the operator makes has both.",
        look: network::distribution_local,
    },
    Check {
        name: "version_floor",
        title: "the version is one that is known to this program",
        why: "Neither this checklist nor the two variants were ever tried with an older ejabberd; it may ignore what they say.",
        mend: "Upgrade the image.",
        look: settings::version_floor,
    },
    Check {
        name: "restart_policy",
        title: "nobody but the operator starts it again",
        why: "Another one who restarts it starts it in the middle of a rollout, with files that have not been checked together, and hides that it crashes.",
        mend: "docker update --restart=no CONTAINER",
        look: settings::restart_policy,
    },
    Check {
        name: "docker_socket",
        title: "the container does not see the Docker engine",
        why: "Who may talk to the engine is root of the host: any hole in the server would be one in the host.",
        mend: "Make the container anew without that mount; the operator talks to the engine from outside.",
        look: settings::docker_socket,
    },
    Check {
        name: "not_privileged",
        title: "the container has no privileges of the host",
        why: "In a privileged container, root of the container is root of the host.",
        mend: "Make the container anew without --privileged and added capabilities; ejabberd needs none.",
        look: settings::not_privileged,
    },
];

#[cfg(test)]
mod tests;
