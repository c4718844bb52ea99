//! The tables for reading a log: the meaning of words, and the entries that do not explain a failed
//! start.

use super::reason::EndReason::{
    self, AddressMissing, ApplicationMissing, BadMount, CertificateInvalid, ConfigInvalid,
    ConfigReaderFailed, ConfigUnreadable, CookieUnusable, DatabaseDamaged, DatabaseUnusable,
    DiskFull, DiskReadOnly, EpmdUnreachable, ImageMissing, LimitReached, NodeNameChanged,
    NodeNameInvalid, NodeNameTaken, PermissionDenied, PortForbidden, PortTaken, UnixSocketFailed,
    WrongUser,
};

/// A sign: words in the log of a server or in the error of an engine, with their meaning. An entry
/// has the sign if the entry in lower case contains all `parts`. Erlang (`eaddrinuse`) and Elixir
/// (`:eaddrinuse`) share the spelling of a reason.
pub(super) struct Sign {
    pub(super) parts: &'static [&'static str],
    pub(super) reason: EndReason,
    pub(super) cure: &'static str,
}

const fn sign(parts: &'static [&'static str], reason: EndReason, cure: &'static str) -> Sign {
    Sign { parts, reason, cure }
}

const FREE_THE_PORT: &str = "another program has the port; `ss -tlnp` shows which: end it, or give the listener another port";
const MAKE_ROOM: &str = "free space on the disk that holds the server's files";
const OWN_THE_FILES: &str =
    "the user that runs the server must own its files: database, logs and configuration";
const CORRECT_THE_FILE: &str = "correct the configuration; the operator replaces it with the declared file if ejabberd accepts that file";
const CORRECT_THE_NODE: &str = "ERLANG_NODE (in ejabberdctl.cfg, see spec.config.files, or in spec.server.docker.environment) must be NAME@HOST, with a HOST that resolves where the server runs";
const FIX_THE_COOKIE: &str =
    "the user that runs the server must own its `.erlang.cookie`, with mode 400 and one line in it";
const RESTORE: &str = "a file of the database is damaged: move the file aside and restore a backup, or start with an empty database";
const LOOK_AT_THE_DATABASE: &str = "the database did not start: its directory needs free space and must belong to the user that runs the server; if `schema.DAT` is damaged, restore a backup";
const RAISE_THE_LIMIT: &str = "the server has reached its limit of files, threads or processes: raise the limit (`--ulimit`, `--pids-limit`)";

/// The first sign that fits counts, so special signs precede general signs. Seen on 23.01, 24.12,
/// 26.07 and Docker 20.10; the logs are in `tests/causes`.
pub(super) const SIGNS: &[Sign] = &[
    sign(
        &["node name mismatch"],
        NodeNameChanged,
        "its database belongs to a node with another name: set ERLANG_NODE to that name (in ejabberdctl.cfg, see spec.config.files, or in spec.server.docker.environment)",
    ),
    sign(
        &["in use by another erlang node"],
        NodeNameTaken,
        "another ejabberd on this host has the same node name: end it, or give this server another name (ERLANG_NODE in ejabberdctl.cfg, see spec.config.files)",
    ),
    sign(&["invalid node name"], NodeNameInvalid, CORRECT_THE_NODE),
    sign(&["can't set long node name"], NodeNameInvalid, CORRECT_THE_NODE),
    sign(&["can't set short node name"], NodeNameInvalid, CORRECT_THE_NODE),
    sign(&["hostname", "is illegal"], NodeNameInvalid, CORRECT_THE_NODE),
    sign(
        &["register/listen error", "no_reg_reply_from_epmd"],
        PortTaken,
        "a program other than epmd has port 4369; `ss -tlnp` shows which: end it, or set ERL_EPMD_PORT",
    ),
    sign(
        &["failed to open socket at unix:", "permission denied"],
        PermissionDenied,
        "the user that runs the server must be able to write to the directory of the socket",
    ),
    // ejabberd opens a Unix socket under a name in base64 that ejabberd derives from the Erlang
    // cookie. About one cookie in six gives a name with a slash, which ejabberd cannot read back
    // (seen on 26.07); a long path fails in the same function (ejabberd's issue 4435). The listener
    // process fails after each of its restarts, and then ejabberd stops.
    sign(
        &["get_definitive_udsocket_path"],
        UnixSocketFailed,
        "ejabberd cannot open a listener at a Unix socket with this Erlang cookie, or the path is too long: use a port at 127.0.0.1, a shorter path, or another cookie",
    ),
    sign(
        &["failed to open socket", "permission denied"],
        PortForbidden,
        "a port below 1024 needs the capability NET_BIND_SERVICE: give the listener a port above 1023",
    ),
    sign(&["eaddrinuse"], PortTaken, FREE_THE_PORT),
    sign(&["address already in use"], PortTaken, FREE_THE_PORT),
    sign(
        &["port is already allocated"],
        PortTaken,
        "another container publishes the port: stop it, or change spec.server.docker.ports",
    ),
    sign(
        &["failed to open socket", "can't assign requested address"],
        AddressMissing,
        "the server's host has no such address: correct `ip` of the listener",
    ),
    sign(
        &["eaddrnotavail"],
        AddressMissing,
        "the server's host has no such address: correct `ip` of the listener, or INET_DIST_INTERFACE in ejabberdctl.cfg (see spec.config.files)",
    ),
    sign(&["enospc"], DiskFull, MAKE_ROOM),
    sign(&["no space left on device"], DiskFull, MAKE_ROOM),
    sign(
        &["read-only file system"],
        DiskReadOnly,
        "the server must be able to write to its database: mount the volume without `ro`, and check `dmesg` for a fault of the disk",
    ),
    sign(
        &["erofs"],
        DiskReadOnly,
        "the server must be able to write to its database: mount the volume without `ro`, and check `dmesg` for a fault of the disk",
    ),
    sign(
        &["no such image"],
        ImageMissing,
        "correct spec.server.docker.image, or `docker pull` the image",
    ),
    sign(
        &["bind source path does not exist"],
        BadMount,
        "a directory of the host that the container mounts does not exist: create it again",
    ),
    sign(
        &["error mounting"],
        BadMount,
        "a mount of the container has the wrong type, such as a file for a directory: check its mounts",
    ),
    sign(&["cookie file", "must be accessible by owner only"], CookieUnusable, FIX_THE_COOKIE),
    sign(&["error when reading", ".erlang.cookie"], CookieUnusable, FIX_THE_COOKIE),
    sign(&["too short cookie string"], CookieUnusable, FIX_THE_COOKIE),
    sign(
        &["failed to read yaml file", "permission denied"],
        ConfigUnreadable,
        "the user that runs the server must be able to read its configuration",
    ),
    sign(
        &["failed to read yaml file", "no such file"],
        ConfigUnreadable,
        "the file that the message names is missing: put the file there (see spec.config.files), or remove the option that includes it",
    ),
    sign(
        &["ejabberdctl.cfg", "syntax error"],
        ConfigInvalid,
        "correct that line of ejabberdctl.cfg (see spec.config.files)",
    ),
    sign(&["failed to read", "ejabberd.yml", "syntax error"], ConfigInvalid, CORRECT_THE_FILE),
    sign(&["failed to read yaml file"], ConfigInvalid, CORRECT_THE_FILE),
    sign(
        &["failed to read", "ejabberd.yml"],
        ConfigUnreadable,
        "the user that runs the server must be able to read its configuration",
    ),
    sign(&["invalid value of option"], ConfigInvalid, CORRECT_THE_FILE),
    sign(&["application: unknown option"], ConfigInvalid, CORRECT_THE_FILE),
    sign(&["missing required option"], ConfigInvalid, CORRECT_THE_FILE),
    sign(
        &["failed to read pem file"],
        CertificateInvalid,
        "`certfiles` of the configuration must name readable PEM files, each with a certificate or its key",
    ),
    sign(
        &["invalid certificates configuration"],
        CertificateInvalid,
        "`certfiles` of the configuration must name readable PEM files, each with a certificate or its key",
    ),
    sign(
        &["failed to start erlang application", "no such file or directory"],
        ApplicationMissing,
        "this installation of ejabberd lacks that application: use an image that has it, or remove the option that needs it",
    ),
    sign(
        &["this command can only be run by root or the user"],
        WrongUser,
        "let the container run as the user of its image: remove `--user`, or `user:`",
    ),
    sign(&["emfile"], LimitReached, RAISE_THE_LIMIT),
    sign(&["failed to create", "thread"], LimitReached, RAISE_THE_LIMIT),
    sign(&["resource temporarily unavailable"], LimitReached, RAISE_THE_LIMIT),
    sign(&["permission denied"], PermissionDenied, OWN_THE_FILES),
    sign(&["eacces"], PermissionDenied, OWN_THE_FILES),
    sign(&["not_a_dets_file"], DatabaseDamaged, RESTORE),
    sign(&["bad_freelists"], DatabaseDamaged, RESTORE),
    sign(&["not_a_log_file"], DatabaseDamaged, RESTORE),
    // Seen on busy hosts: the VM starts epmd, and registers before epmd listens. 23.01 prints the
    // reason (`econnrefused`) on a separate line.
    sign(
        &["register/listen error"],
        EpmdUnreachable,
        "epmd, Erlang's port mapper, did not respond; the server starts epmd, and its next start finds epmd",
    ),
    // ejabberd has accepted the same files offline, so these files are not the cause. Seen on a
    // busy host, where Erlang's code server could not load a module of ejabberd.
    sign(
        &["exception occurred during configuration processing"],
        ConfigReaderFailed,
        "ejabberd's own code failed while it read the configuration: if that repeats, its installation is damaged, or one of its modules is for another version",
    ),
];

/// Signs that count only if no entry has one of the [`SIGNS`]: the words have more than one cause,
/// and another entry usually shows the actual cause.
pub(super) const WEAK_SIGNS: &[Sign] = &[
    sign(&["not allowed to write in mnesia dir"], PermissionDenied, OWN_THE_FILES),
    sign(&["bad_type", "disc_only_copies"], DatabaseUnusable, LOOK_AT_THE_DATABASE),
    sign(&["node_not_running"], DatabaseUnusable, LOOK_AT_THE_DATABASE),
];

/// The beginnings of entries that only report the failure of the start, or repeat the reason of an
/// earlier entry. These entries count only if no other entry explains the failure.
pub(super) const WRAPPERS: [&str; 14] = [
    "application ",
    "application:",
    "child ",
    "crash report",
    "crash_report",
    "error in process",
    "failed to start ejabberd application: {",
    "init terminating",
    "kernel pid terminated",
    "runtime terminating",
    "supervisor report",
    "supervisor_report",
    "{\"init terminating",
    "{\"kernel pid terminated",
];

/// The beginnings of entries that a server logs although the server starts, or that every server
/// logs at its end (tested on each version).
pub(super) const HARMLESS: [&str; 8] = [
    "crash dump is being written",
    "failed to set logging",
    "failed to transform mnesia table",
    "id: cannot find name",
    "inet_config: ",
    "ldap connection to",
    "sed: ",
    "{exit,{\"{application_start_failure",
];

/// Parts of harmless entries. The last is the message of a shell about the end of the VM:
/// `ejabberdctl: line 134: 19 Killed "$@"`.
pub(super) const HARMLESS_PARTS: [&[&str]; 2] =
    [&["file operation error", "inetrc"], &["line ", "\"$@\""]];
