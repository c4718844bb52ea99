//! The list of checks.

use super::{Check, Topic, certificates, file, network, settings};

/// The security checklist: first the items of the hardening guide, then the conditions that
/// the guide assumes.
pub const CHECKS: [Check; 16] = [
    Check {
        name: "variant_hardened",
        topic: Topic {
            title: "the hardened variant is declared and in force",
            why: "The other items describe the hardened variant one by one; any other file can lose one of them with the next change.",
        },
        cure: Some("Set spec.config.variant: hardened, commit, and let the operator roll it out."),
        judge: settings::variant_hardened,
    },
    Check {
        name: "loopback_inside",
        topic: Topic {
            title: "the server itself listens on loopback alone",
            why: "A socket on any other address is open to whoever reaches that address: with the host's network everybody, in a bridge network every other container on it, whatever Docker publishes.",
        },
        cure: Some(
            "Set `ip: 127.0.0.1` for each listener in the configuration, and spec.server.docker.network: host, so that the loopback is that of the host.",
        ),
        judge: network::loopback_inside,
    },
    Check {
        name: "loopback_published",
        topic: Topic {
            title: "Docker publishes its ports on loopback alone",
            why: "Docker forwards a published port past the host's own firewall rules.",
        },
        cure: Some(
            "Publish with the address, as in `-p 127.0.0.1:5222:5222` or spec.server.docker.ports, or use the host's network; a container's ports change only when it is made anew.",
        ),
        judge: network::loopback_published,
    },
    Check {
        name: "loopback_host",
        topic: Topic {
            title: "on the host, its ports are open on loopback alone",
            why: "This is what counts in the end: what the host accepts on other addresses, others can reach. It is what `ss -tln` shows.",
        },
        cure: Some("Fix loopback_inside and loopback_published: the host accepts what they name."),
        judge: network::loopback_host,
    },
    Check {
        name: "api_commands",
        topic: Topic {
            title: "nobody but the console may change anything by the API",
            why: "Whoever may call `register`, `create_room` or `send_message` makes accounts and rooms and writes as anybody; where a rule goes by address no password is asked, and a reverse proxy on this host makes everybody come from loopback.",
        },
        cure: Some(
            "In api_permissions, let only `from: ejabberd_ctl` have \"*\", and list under `what` of every other rule only commands that read: status, stats, connected_users_number.",
        ),
        judge: file::api_commands,
    },
    Check {
        name: "web_handlers",
        topic: Topic {
            title: "no administration, client or registration over HTTP",
            why: "/admin takes the administrator's password, /bosh and /ws let clients in past the rules of port 5222, and a registration page makes accounts for anybody.",
        },
        cure: Some(
            "Remove those entries from request_handlers; keep `/api: mod_http_api` at most.",
        ),
        judge: file::web_handlers,
    },
    Check {
        name: "starttls_file",
        topic: Topic {
            title: "the configuration demands TLS of every client",
            why: "Without it a client may send its password in the clear, and one that is moved to another host later does so over the network.",
        },
        cure: Some(
            "Set `starttls_required: true` (or `tls: true`) for every listener with `module: ejabberd_c2s`.",
        ),
        judge: file::starttls_file,
    },
    Check {
        name: "starttls_wire",
        topic: Topic {
            title: "the running server demands TLS of every client",
            why: "The file says what shall be, and only a client sees what is: a reload may not have taken, or the certificate cannot be read.",
        },
        cure: Some(
            "Mend starttls_file and reload; if that holds, see to the certificate: the server's log says what is wrong with it.",
        ),
        judge: network::starttls_wire,
    },
    Check {
        name: "certificates_current",
        topic: Topic {
            title: "no certificate ends within two weeks",
            why: "When it has ended, no client logs in any more.",
        },
        cure: Some(
            "Have it renewed, and put the new one where spec.config.files says: it is taken up without a restart.",
        ),
        judge: certificates::certificates_current,
    },
    Check {
        name: "rooms_members_only",
        topic: Topic {
            title: "new rooms are for their members alone",
            why: "A room that is made without saying otherwise would be open to every account.",
        },
        cure: Some(
            "Set `members_only: true` under modules.mod_muc.default_room_options; rooms that are there already keep what they have.",
        ),
        judge: file::rooms_members_only,
    },
    Check {
        name: "log_level",
        topic: Topic {
            title: "the server does not log at debug",
            why: "At `loglevel: debug` ejabberd writes every stanza that it receives to its log, among them the passwords of clients that log in by PLAIN, and what people write to each other.",
        },
        cure: Some(
            "Set `loglevel: info`, remove `log_modules_fully`, and delete the log files that were written until then.",
        ),
        judge: file::log_level,
    },
    Check {
        name: "distribution_local",
        topic: Topic {
            title: "Erlang's own ports are on loopback alone",
            why: "Whoever reaches the Erlang distribution and knows or guesses its cookie runs any code as the server; epmd (4369) tells where it is.",
        },
        cure: Some(
            "Set ERL_EPMD_ADDRESS=127.0.0.1 and ERL_ZFLAGS='-kernel inet_dist_use_interface {127,0,0,1}' for the container; one that the operator makes has both.",
        ),
        judge: network::distribution_local,
    },
    Check {
        name: "version_floor",
        topic: Topic {
            title: "the version is one that is known to this program",
            why: "Neither this checklist nor the two variants were ever tried with an older ejabberd; it may ignore what they say.",
        },
        cure: Some("Upgrade the image."),
        judge: settings::version_floor,
    },
    Check {
        name: "restart_policy",
        topic: Topic {
            title: "nobody but the operator starts it again",
            why: "Another one who restarts it starts it in the middle of a rollout, with files that have not been checked together, and hides that it crashes.",
        },
        cure: Some("docker update --restart=no CONTAINER"),
        judge: settings::restart_policy,
    },
    Check {
        name: "docker_socket",
        topic: Topic {
            title: "the container does not see the Docker engine",
            why: "Who may talk to the engine is root of the host: any hole in the server would be one in the host.",
        },
        cure: Some(
            "Make the container anew without that mount; the operator talks to the engine from outside.",
        ),
        judge: settings::docker_socket,
    },
    Check {
        name: "not_privileged",
        topic: Topic {
            title: "the container has no privileges of the host",
            why: "In a privileged container, root of the container is root of the host.",
        },
        cure: Some(
            "Make the container anew without --privileged and added capabilities; ejabberd needs none.",
        ),
        judge: settings::not_privileged,
    },
];
