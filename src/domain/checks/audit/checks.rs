//! The list of the items of the security checklist.

use super::{Check, Topic, certificates, file, messaging, network, nginx, settings};

/// The security checklist: first the items of the hardening guide, then the conditions that
/// the guide assumes, and last the chain from nginx through the MCP server to the operator.
pub const CHECKS: [Check; 20] = [
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
            why: "Other machines can reach a socket on any other address: with the host's network from everywhere, in a bridge network from every other container on that network, whatever Docker publishes.",
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
            "Publish with the address, as in `-p 127.0.0.1:5222:5222` or spec.server.docker.ports, or use the host's network; only a new container gets other ports.",
        ),
        judge: network::loopback_published,
    },
    Check {
        name: "loopback_host",
        topic: Topic {
            title: "on the host, its ports are open on loopback alone",
            why: "This item decides: other machines can reach every port that the host opens on another address. `ss -tln` shows these ports.",
        },
        cure: Some("Fix loopback_inside and loopback_published, which name the sockets."),
        judge: network::loopback_host,
    },
    Check {
        name: "api_commands",
        topic: Topic {
            title: "only the console may change anything through the API",
            why: "A caller of `register`, `create_room` or `send_message` creates accounts and rooms, and writes as any account. A rule that admits an address asks for no password, and behind a reverse proxy on this host every request comes from loopback.",
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
            why: "/admin takes the administrator's password, /bosh and /ws let clients in past the rules of port 5222, and a registration page creates an account for every visitor.",
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
            why: "Without TLS a client may send its password in the clear. A client on another host sends it over the network.",
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
            why: "The file shows what is declared, and only a client sees what is in force: a reload may have had no effect, or the server cannot read the certificate.",
        },
        cure: Some(
            "Fix starttls_file and reload. If starttls_file holds, fix the certificate: the server's log names the fault.",
        ),
        judge: network::starttls_wire,
    },
    Check {
        name: "certificates_current",
        topic: Topic {
            title: "no certificate ends within two weeks",
            why: "Clients reject a certificate that has ended, so they cannot log in.",
        },
        cure: Some(
            "Renew the certificate, and put the new file at its path in spec.config.files: the server loads it without a restart.",
        ),
        judge: certificates::certificates_current,
    },
    Check {
        name: "rooms_members_only",
        topic: Topic {
            title: "new rooms are for their members alone",
            why: "A room that is created without this option would be open to every account.",
        },
        cure: Some(
            "Set `members_only: true` under modules.mod_muc.default_room_options; existing rooms keep their options.",
        ),
        judge: file::rooms_members_only,
    },
    Check {
        name: "log_level",
        topic: Topic {
            title: "the server does not log at debug",
            why: "At `loglevel: debug` ejabberd writes every stanza that it receives to its log, including the passwords of clients that log in with PLAIN, and the text of messages.",
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
            why: "A caller that reaches the Erlang distribution and knows or guesses its cookie can run any code as the server; epmd (port 4369) reports the port of the distribution.",
        },
        cure: Some(
            "Set ERL_EPMD_ADDRESS=127.0.0.1 and ERL_ZFLAGS='-kernel inet_dist_use_interface {127,0,0,1}' for the container; a container that the operator creates has both.",
        ),
        judge: network::distribution_local,
    },
    Check {
        name: "version_floor",
        topic: Topic {
            title: "this program supports the version of ejabberd",
            why: "This checklist and the two variants are not tested with an older ejabberd, which may ignore their options.",
        },
        cure: Some("Upgrade the image."),
        judge: settings::version_floor,
    },
    Check {
        name: "restart_policy",
        topic: Topic {
            title: "only the operator restarts the server",
            why: "A second program that restarts the server can start it in the middle of a rollout, with files that were not checked together, and hides crashes.",
        },
        cure: Some("docker update --restart=no CONTAINER"),
        judge: settings::restart_policy,
    },
    Check {
        name: "docker_socket",
        topic: Topic {
            title: "the container has no access to the Docker engine",
            why: "A program that may use the engine is root of the host: a hole in the server would be a hole in the host.",
        },
        cure: Some(
            "Recreate the container without that mount; the operator uses the engine from outside.",
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
            "Recreate the container without --privileged and added capabilities; ejabberd needs neither.",
        ),
        judge: settings::not_privileged,
    },
    Check {
        name: "mcp_loopback",
        topic: Topic {
            title: "the MCP server listens on loopback alone",
            why: "The MCP server speaks HTTP without TLS: on another address, the tokens of its clients cross the network without encryption, past the limits of nginx.",
        },
        cure: Some(
            "Start it with `mcp --listen 127.0.0.1:3444`, and let nginx serve other hosts (manifests/nginx).",
        ),
        judge: messaging::mcp_loopback,
    },
    Check {
        name: "nginx_routes",
        topic: Topic {
            title: "nginx exposes only its routes",
            why: "A request that nginx sends to ejabberd or to the operator comes from loopback, where their own rules for other hosts do not apply.",
        },
        cure: Some(
            "Remove that route, or use the site of manifests/nginx: `location = /mcp` with TLS for the MCP server, and `allow` with `deny all` for the page.",
        ),
        judge: nginx::nginx_routes,
    },
    Check {
        name: "messaging_tokens",
        topic: Topic {
            title: "the tokens of messaging clients are long and private",
            why: "A program that has or guesses a token can do everything that the client of the token may do.",
        },
        cure: Some(
            "Create a separate token for each client with `openssl rand -hex 32`, in a file with mode 600 that belongs to the user of the operator.",
        ),
        judge: messaging::tokens,
    },
    Check {
        name: "messaging_act_as",
        topic: Topic {
            title: "no messaging client acts as every account",
            why: "With `*` in actAs, one stolen token writes and reads as each account of the host, also as accounts that are created later.",
        },
        cure: Some(
            "List the accounts in spec.messaging.clients[].actAs, or use a prefix such as `agent-*`.",
        ),
        judge: messaging::act_as,
    },
];
